#!/usr/bin/env bash
# The dead-man's switch itself: waits until the swap is validated, and puts back what was live before if its time passes.
# The same at once where the new one has ended, between two hooks, when requests already went there.
# Started by switch.sh, not by the agent. One per service; it ends when nothing is armed any more.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=release.sh
. "$(dirname "$0")/release.sh"
# shellcheck source-path=SCRIPTDIR source=containers.sh
. "$(dirname "$0")/containers.sh"
# shellcheck source-path=SCRIPTDIR source=proxy.sh
. "$(dirname "$0")/proxy.sh"
# shellcheck source-path=SCRIPTDIR source=switch.sh
. "$(dirname "$0")/switch.sh"

# Under the host's lock, so that a hook which was about to validate has either done it or will see that it came too late.
act() {
    local candidate why=
    lock_host
    set +e # everything is tried
    candidate=$(armed)
    if is_overdue; then
        why="was not validated in time"
    elif has_ended; then
        why="ended ($(inspect "$candidate" 'exit code {{.State.ExitCode}}')) when it had got the traffic"
        docker logs --tail 50 "$candidate" 2>&1 | masked "$candidate"
    fi
    if [[ -n $why ]]; then
        put_back "$candidate" &&
            say "$(date -u +%FT%TZ) $candidate $why, so the host put back what was live before: $(what_is_live)"
    elif [[ ! -e $ARMED && -e $BEFORE ]]; then
        retire "$(live_before)"
        say "$(date -u +%FT%TZ) ended a swap that was accepted and then cut off: $(what_is_live)"
    fi
    set -e
    exec 9>&-
}

exec 8>"$LOCK.$SERVICE"
flock --wait 5 8 || exit 0
while [[ -e $ARMED || -e $BEFORE ]]; do
    if is_overdue || has_ended || [[ ! -e $ARMED ]]; then act; fi
    sleep 1
done
