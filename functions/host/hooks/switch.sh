# shellcheck shell=bash
# Sourced after proxy.sh: the dead-man's switch. Before a swap changes anything its time is written down, in .armed
# beside the service's nginx file: "SECONDS-SINCE-1970 CANDIDATE". ValidateService takes the file away; if it does not in
# time, watch.sh – a process of its own, which outlives hook and agent – puts back what was live before. So .armed says
# that a candidate was not accepted yet, and the next deployment acts on it too, where no watch was left to.

UNIT=esteira-switch-$SERVICE.service

is_overdue() {
    local deadline
    read -r deadline _ 2>/dev/null <"$ARMED" && ((deadline <= EPOCHSECONDS))
}

has_ended() { [[ -e $BEFORE && $(inspect "$(armed)" '{{.State.Status}}') == exited ]]; }

# arm SECONDS CANDIDATE: from now on so long, instead of what was said before.
arm() {
    say "$((EPOCHSECONDS + $1)) $2" >"$ARMED.new" && mv "$ARMED.new" "$ARMED"
}

disarm() {
    rm -f "$ARMED"
    if under_systemd; then systemctl disable --quiet "$UNIT" || :; fi # watch.sh ends by itself
}

# A host whose lock lies elsewhere shares its machine, whose systemd is not its own.
under_systemd() { [[ ${ESTEIRA_SYSTEMD:-$([[ -d /run/systemd/system && -z ${ESTEIRA_LOCK:-} ]] && say yes)} == yes ]]; }

# Start watch.sh away from the hook: it lives when the agent kills the hook's process group (job control gives it one of
# its own from its first moment), and holds neither the hook's output, for which the agent would wait, nor the host's lock.
watch() {
    if under_systemd; then
        watch_by_systemd
        return
    fi
    set -m
    LIFECYCLE_EVENT=switch setsid bash "$HOOKS/watch.sh" </dev/null >>"$LOG" 2>&1 9>&- &
    set +m
    disown
}

# A unit of its own, and enabled: after a reboot in the middle of a swap it starts again. A transient timer would not.
watch_by_systemd() {
    local file=${ESTEIRA_UNITS:-/etc/systemd/system}/$UNIT
    {
        say "[Unit]" && say "Description=esteira: puts $SERVICE back unless its swap is validated"
        say "After=docker.service nginx.service"
        say "[Service]" && say "ExecStart=/bin/bash $HOOKS/watch.sh"
        say "Restart=on-failure" && say "RestartSec=10"
        say "StandardOutput=append:$LOG" && say "StandardError=append:$LOG" && say "Environment=LIFECYCLE_EVENT=switch"
        env | sed -n 's/^ESTEIRA_.*/Environment="&"/p'
        say "[Install]" && say "WantedBy=multi-user.target"
    } >"$file.new"
    mv "$file.new" "$file"
    systemctl daemon-reload
    systemctl enable --quiet "$UNIT"
    systemctl restart --no-block "$UNIT"
}

# The container to which requests went before the swap, or nothing.
former() { if [[ -e $BEFORE ]]; then live_before; else live_now; fi; }

# What was live before serves again. Cut off anywhere, it may be run again.
bring_back() {
    local name
    name=$(former)
    if [[ -n $name && $name != "$1" ]] && ! is_running "$name"; then # it had to make room first
        docker start "$name" >/dev/null && await_health "$name" "$STARTUP_SECONDS"
        say_gap
    fi
    if [[ -e $BEFORE ]]; then
        turn_back
        if is_running "$1"; then # what it is answering may end
            drain "$1" 10
            docker stop "$1" >/dev/null
        fi
    fi
}

engine_answers() { docker version >/dev/null 2>&1; }

# put_back CANDIDATE: undo a swap of which no hook is left. False, and to be tried again, while no engine answers.
put_back() {
    engine_answers || return 1
    bring_back "$1"
    docker rm --force "$1" >/dev/null 2>&1 || :
    disarm
}

# From the moment the live one was stopped to make room, in microseconds; empty: it was not.
STOPPED=

say_gap() {
    local ms
    [[ -n $STOPPED ]] || return 0
    ms=$(((${EPOCHREALTIME/[.,]/} - STOPPED) / 1000))
    printf 'no release answered for %d.%d s\n' $((ms / 1000)) $((ms % 1000 / 100))
}

CANDIDATE= # the container that `undo` takes away

# Take the candidate away again and show the end of its log: 50 lines, and no more than leaves room for the sentence.
undo() {
    [[ -n $CANDIDATE ]] || return 0
    bring_back "$CANDIDATE"
    say "the log of $CANDIDATE ends:"
    docker logs --tail 50 "$CANDIDATE" 2>&1 | masked "$CANDIDATE" | tail -c 900 | iconv -c -f UTF-8 -t UTF-8
    say
    docker rm --force "$CANDIDATE" >/dev/null
    if engine_answers; then disarm; fi # else the switch goes on trying
}

# retire CONTAINER: stop it and keep it, for an instant rollback. The .before goes with it.
retire() {
    if [[ -n $1 && $1 != "$(live_now)" ]] && is_running "$1"; then
        docker stop "$1" >/dev/null || say "$1 could not be stopped; stop it with: docker stop $1"
    fi
    rm -f "$BEFORE"
}

# What an earlier deployment left in the middle is brought to an end: back, unless it was accepted.
settle() {
    local candidate
    candidate=$(armed)
    if [[ -n $candidate ]]; then
        put_back "$candidate" || fail "the Docker engine does not answer" "start it, then: esteira retry"
        say "$candidate was never validated and is removed; $(what_is_live)"
    elif [[ -e $BEFORE ]]; then
        retire "$(live_before)"
    fi
}
