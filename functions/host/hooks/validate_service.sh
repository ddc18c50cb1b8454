#!/usr/bin/env bash
# ValidateService: does a client get the new release's answer? Then the old one has its drain time, is stopped and kept,
# and what is older goes. On failure – until the old one is stopped – the proxy is turned back and the new one removed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=release.sh
. "$(dirname "$0")/release.sh"
# shellcheck source-path=SCRIPTDIR source=swap.sh
. "$(dirname "$0")/swap.sh"

check_live() {
    local live
    live=$(live_in "$SITE")
    [[ -n $live && $(label "$live" identity) == "$IDENTITY" ]] ||
        fail "expected $TITLE to be live, got ${live:-nothing}: another deployment, or a person, came in between" \
            "see which with: esteira status"
    # No .before, or one cut off before the turn (it names the live one itself): this release was accepted earlier, so
    # a failure takes nothing away and nothing is to be retired.
    if [[ -e $SITE.before && $(live_in "$SITE.before") != "$live" ]]; then CANDIDATE=$live; fi
    await_answer "$HEALTH_PATH" "200 $live" ||
        fail "GET $HEALTH_PATH through the proxy ($LISTEN): expected 200 from $live, got ${ANSWER:-no answer}" \
            "see nginx's side on the host (sudo tail /var/log/nginx/error.log, sudo nginx -T), then: esteira retry"
}

# Requests and WebSockets begun on the old container end there: nginx's former workers hold them until it is stopped.
retire_old() {
    local old
    old=$(live_in "$SITE.before")
    if [[ -n $old ]] && is_running "$old"; then
        say "$old has $DRAIN_SECONDS s to finish"
        sleep $((DRAIN_SECONDS > 0 ? DRAIN_SECONDS : 1)) # nginx's former workers take new requests for a moment yet
        docker stop "$old" >/dev/null
    fi
    remove_older "$CANDIDATE" "$old"
    CANDIDATE= # accepted
    rm -f "$SITE.before"
}

# remove_older KEPT...: all other containers of the service, and its images that no container on this host uses.
remove_older() {
    local name reference used
    for name in $(containers); do
        [[ " $* " == *" $name "* ]] || docker rm --force "$name" >/dev/null || :
    done
    used=" $(docker ps --all --no-trunc --format '{{.Image}}' | tr '\n' ' ')"
    for reference in $(docker image ls --digests --format '{{.Repository}}@{{.Digest}}' "${IMAGE%@*}"); do
        [[ $used == *" $reference "* ]] || docker image rm "$reference" >/dev/null 2>&1 || :
    done
}

lock_host
check_live
if [[ -n $CANDIDATE ]]; then retire_old; fi
say "$TITLE answers through the proxy, as $(live_in "$SITE")"
