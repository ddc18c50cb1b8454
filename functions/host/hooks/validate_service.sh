#!/usr/bin/env bash
# ValidateService: does a client get the new release's answer? Then the old one has its drain time, is stopped and kept,
# and what is older goes. On failure – until the old one is stopped – the proxy is turned back and the new one removed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=release.sh
. "$(dirname "$0")/release.sh"
# shellcheck source-path=SCRIPTDIR source=containers.sh
. "$(dirname "$0")/containers.sh"
# shellcheck source-path=SCRIPTDIR source=proxy.sh
. "$(dirname "$0")/proxy.sh"
# shellcheck source-path=SCRIPTDIR source=switch.sh
. "$(dirname "$0")/switch.sh"
# shellcheck source-path=SCRIPTDIR source=watcher.sh
. "$(dirname "$0")/watcher.sh"
# shellcheck source-path=SCRIPTDIR source=address.sh
. "$(dirname "$0")/address.sh"

# The wait for the host's lock is not the release's fault. Where the switch was quicker, check_live will say so.
hold_the_switch() {
    local name
    name=$(armed)
    if [[ -n $name && $(label "$name" identity) == "$IDENTITY" ]]; then arm 660 "$name"; fi
}

check_live() {
    local live health
    live=$(live_now)
    [[ -n $live && $(label "$live" identity) == "$IDENTITY" ]] ||
        fail "expected $TITLE to be live, got ${live:-nothing}: another deployment, or a person, came in between$(put_back_by_switch)" \
            "see which with: esteira status"
    # Nothing armed: this release was accepted earlier, so a failure takes nothing away.
    if [[ $(armed) == "$live" ]]; then CANDIDATE=$live; fi
    health=$(health_of "$live")
    await_answer "${health% *}" "${health##* } $live" ||
        fail "GET ${health% *} through the proxy ($LISTEN): expected ${health##* } from $live, got ${ANSWER:-no answer}" \
            "see nginx's side on the host (sudo tail /var/log/nginx/error.log, sudo nginx -T), then: esteira retry"
}

put_back_by_switch() {
    if grep -qs "Z $SERVICE-$RELEASE-[0-9]* was not validated in time" "$LOG"; then
        say " (or this hook came after $VALIDATION_SECONDS s, when the host had put the former one back: see $LOG)"
    fi
}

# Requests and WebSockets begun on the old container end there: nginx's former workers hold them until it is stopped.
# Until the end of that a failure, or this hook's death, turns back. What is open at the deadline is closed by the
# container itself, on the TERM of `docker stop`.
let_old_finish() {
    local begun=$SECONDS
    [[ -n $CANDIDATE && -n $1 && $1 != "$CANDIDATE" ]] && is_running "$1" || return 0
    arm $((DRAIN_SECONDS + 60)) "$CANDIDATE"
    say "$1 has $DRAIN_SECONDS s to finish"
    drain "$1" "$DRAIN_SECONDS"
    say "after $((SECONDS - begun)) s $OPEN connections to it were open"
}

accept() {
    CANDIDATE=
    disarm
}

# remove_older KEPT...: all other containers of the service, and its images that no container on this host uses.
remove_older() {
    local name reference used
    for name in $(containers); do
        [[ " $* " == *" $name "* ]] || docker rm --force "$name" >/dev/null || :
    done
    forget_names
    used=" $(docker ps --all --no-trunc --format '{{.Image}}' | tr '\n' ' ')"
    for reference in $(docker image ls --digests --format '{{.Repository}}@{{.Digest}}' "${IMAGE%@*}"); do
        [[ $used == *" $reference "* ]] || docker image rm "$reference" >/dev/null 2>&1 || :
    done
}

hold_the_switch
lock_host
check_live
take_address
OLD=$(live_before)
let_old_finish "$OLD"
if [[ -n $CANDIDATE || -e $BEFORE ]]; then
    accept
    retire "$OLD"
    remove_older "$(live_now)" "$OLD"
fi
install_watcher || say "the watcher of $SERVICE could not be installed"
say "$TITLE answers through the proxy, as $(live_now)"
