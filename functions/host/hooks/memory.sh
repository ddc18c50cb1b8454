# shellcheck shell=bash disable=SC2034 # STOPPED is read by switch.sh
# Sourced by ApplicationStart after switch.sh: does the host's memory hold two at once, and was it the limit that ended
# the candidate?

# memory_mb MemAvailable|MemTotal: of the host.
memory_mb() {
    local kb
    kb=$(sed -n "s/^$1: *\([0-9]*\) kB/\1/p" "${ESTEIRA_MEMINFO:-/proc/meminfo}")
    say $((kb / 1024))
}

# The candidate may use its limit; without one, about what the live one uses. If that is not free, then as configured:
# refuse, or stop the live one first, so that nothing answers for a while.
make_room() {
    local live used=0 needed free short
    live=$(former)
    if [[ -n $live ]] && is_running "$live"; then used=$(memory_of "$live"); fi
    needed=$((MEMORY_MB ? MEMORY_MB : used))
    free=$(memory_mb MemAvailable)
    ((needed > free)) || return 0
    short="$TITLE may use $needed MB of memory, expected so much to be free beside ${live:-nothing}, got $free MB"
    if ((needed > free + used)); then
        refuse "$short; stopping the live one first would free only $used MB" "take a larger instance, or lower memory_mb"
    fi
    [[ $WHEN_MEMORY_IS_SHORT == stop-first ]] ||
        refuse "$short" "take a larger instance, lower memory_mb, or accept a gap: set when_memory_is_short to stop-first"
    say "$short: $live is stopped first (when_memory_is_short)"
    STOPPED=${EPOCHREALTIME/[.,]/}
    docker stop "$live" >/dev/null
}

# Nothing was started yet, so there is nothing to undo and no log to show.
refuse() {
    CANDIDATE=
    disarm
    fail "$@"
}

fail_if_out_of_memory() {
    local limit="what the host has"
    [[ $(inspect "$CANDIDATE" '{{.State.OOMKilled}}') == true ]] || return 0
    if ((MEMORY_MB)); then limit="memory_mb=$MEMORY_MB"; fi
    fail "$CANDIDATE was killed for lack of memory: expected it to do with $limit, it wanted more" \
        "raise memory_mb, or let the model use less, and push again"
}
