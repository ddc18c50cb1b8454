#!/usr/bin/env bash
# ValidateService: does a client get the new release's answer? Then the old container has its drain time and goes; a page
# that is still open on it connects again, to the new one. On failure the traffic is turned back and the new one removed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=host.sh
. "$(dirname "$0")/host.sh"

# Status and container of GET $HEALTH_PATH as a client sees it: "200 heart-r-v2-18081".
answer() {
    local address=$LISTEN
    [[ $address == *:* ]] || address=127.0.0.1:$address
    curl --silent --noproxy '*' --max-time 5 --output /dev/null --dump-header - "http://$address$HEALTH_PATH" | tr -d '\r' |
        sed -n -e 's,^HTTP/[^ ]* \([0-9]*\).*,\1,p' -e 's/^x-esteira-release: *//Ip' | paste -s -d ' ' - || :
}

# At a service's first release nginx still answers from its former configuration for a moment.
check() {
    local got deadline=$((SECONDS + 10))
    if [[ $(live_now) != "$CANDIDATE" ]]; then
        WHY="expected $CANDIDATE to be live: another deployment, or a person, came in between"
        CANDIDATE= # whoever came may want it back
        fail "$WHY" "see which with: esteira status"
    fi
    while got=$(answer) && [[ $got != "200 $CANDIDATE" ]]; do
        ((SECONDS < deadline)) || fail "GET $HEALTH_PATH through nginx ($LISTEN): expected 200 from $CANDIDATE, got ${got:-no answer}" \
            "see nginx's side on the host (sudo nginx -T), then: esteira retry"
        sleep 0.2
    done
}

# The old container goes; its image stays for a quick way back, what is older goes.
retire_old() {
    local name reference kept old
    old=$(<"$SITE.before")
    kept=$(inspect "$old" '{{.Config.Image}}')
    if [[ -n $old && $old != "$CANDIDATE" ]] && is_running "$old"; then
        say "$old has $DRAIN_SECONDS s to finish"
        sleep $((DRAIN_SECONDS > 0 ? DRAIN_SECONDS : 1)) # a request that read the link before may not be connected yet
    fi
    docker update --restart unless-stopped "$CANDIDATE" >/dev/null
    rm -f "$SITE.before" # accepted: from here on nothing is turned back
    for name in $old $(containers); do
        [[ $name != "$CANDIDATE" ]] || continue
        docker stop "$name" >/dev/null 2>&1 || :
        docker rm --force "$name" >/dev/null 2>&1 || :
        rm -f "$NAMES/$name"
    done
    for reference in $(docker image ls --digests --format '{{.Repository}}@{{.Digest}}' "${IMAGE%@*}"); do
        [[ $reference == "$IMAGE" || $reference == "$kept" ]] || docker image rm "$reference" >/dev/null 2>&1 || :
    done
}

lock_host
read_candidate
check
if [[ -e $SITE.before ]]; then retire_old; fi
say "$CANDIDATE is live"
