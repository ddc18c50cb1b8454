# shellcheck shell=bash
# Sourced by ValidateService after switch.sh: is the release well under real requests? It is judged from the moment the
# traffic turned, while the old one still runs: it must not end, its health must stay, and its answers must not be errors.

SICK_LOOKS=3 # bad answers of the health path in a row, a second apart: one request may take a server's whole attention
MIN_ERRORS=5

# Since 1970, with a fraction: from then on requests came to the candidate.
turned_at() { stat --format=%.3Y "$LIVE"; }

# tally OLD: of the candidate since the turn "ERRORS ANSWERS", and the same of the old one before, by the last 8 MB of the
# proxy's log. An error is a status of 500 and more.
tally() {
    tail -c 8000000 "$ACCESS_LOG" 2>/dev/null | awk -v new="$CANDIDATE" -v old="$1" -v at="$(turned_at)" '
        $2 == new && $1 >= at { answers++; if ($3 >= 500) errors++ }
        $2 == old { before++; if ($3 >= 500) wrong++ }
        END { print errors + 0, answers + 0, wrong + 0, before + 0 }'
}

# begin_judging OLD
begin_judging() {
    OLD_JUDGED=$1
    SICK=0 LOOKED=$SECONDS
    PID=$(inspect "$CANDIDATE" '{{.State.Pid}}')
    is_running "$CANDIDATE" || fail_ended
    arm $(((DRAIN_SECONDS > MIN_READY_SECONDS ? DRAIN_SECONDS : MIN_READY_SECONDS) + 90)) "$CANDIDATE"
}

# Looks once; ends the hook where the release is sick. Its health and its answers once a second.
judge() {
    local errors answers wrong before
    [[ -d /proc/$PID ]] || is_running "$CANDIDATE" || fail_ended # the kernel's word is there at once
    ((SECONDS > LOOKED)) || return 0
    LOOKED=$SECONDS
    if look "$CANDIDATE"; then SICK=0; else SICK=$((SICK + 1)); fi
    ((SICK < SICK_LOOKS)) || fail "GET $ASKED of $CANDIDATE since it has the traffic: expected $(health_of "$CANDIDATE" | sed 's/.* //'), got $ANSWER, $SICK times in a row" \
        "see what it says under load (docker logs), mend it and push again"
    read -r errors answers wrong before < <(tally "$OLD_JUDGED")
    if ((errors >= MIN_ERRORS && errors * 10 > answers && errors * before >= 2 * wrong * answers)); then
        fail "$errors of the first $answers answers of $CANDIDATE were errors (status 500 and above), expected at most a tenth${before:+; of ${OLD_JUDGED:-nothing} it were $wrong of $before}" \
            "mend what the log above says and push again"
    fi
}

fail_ended() {
    local seconds
    seconds=$((EPOCHSECONDS - $(turned_at | sed 's/[.,].*//')))
    fail_if_out_of_memory
    fail "$CANDIDATE ended $seconds s after it got the traffic ($(inspect "$CANDIDATE" 'exit code {{.State.ExitCode}}')), expected it to go on" \
        "mend what the log above says and push again"
}

# Until min_ready_seconds have passed since the turn, and its last health answer was good.
judge_until_ready() {
    local end
    end=$(($(turned_at | sed 's/[.,].*//') + MIN_READY_SECONDS))
    while judge && ((EPOCHSECONDS < end || SICK)); do sleep 0.2; done
}
