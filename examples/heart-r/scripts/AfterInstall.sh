#!/usr/bin/env bash
# AfterInstall: start the release beside the live one, on a free loopback port, and wait until it answers. Nobody is sent
# to it yet: on failure it is taken away, and the live one has not been touched.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=host.sh
. "$(dirname "$0")/host.sh"

# A script that ran to its end before has nothing to do; what a killed one left is cleared.
clear_leftovers() {
    local name
    for name in $(containers); do
        [[ $name != "$(live_now)" && $name != "$(cat "$SITE.before" 2>/dev/null)" ]] || continue
        docker rm --force "$name" >/dev/null
    done
}

# A port that no container was given, running or not, and on which nobody listens.
free_port() {
    local here
    for ((here = FIRST_PORT; here < FIRST_PORT + 100; here++)); do
        [[ -z $(docker ps --all --quiet --filter "label=esteira.port=$here") ]] || continue
        (: <"/dev/tcp/127.0.0.1/$here") 2>/dev/null || { say "$here" && return; }
    done
    return 1
}

start() {
    local free
    free=$(free_port) || fail "ports $FIRST_PORT to $((FIRST_PORT + 99)) of 127.0.0.1 are all taken" \
        "see by whom with: sudo ss -ltnp; then: esteira retry"
    CANDIDATE=$SERVICE-$RELEASE-$free
    docker run --detach --name "$CANDIDATE" --restart no --publish "127.0.0.1:$free:$PORT" \
        --read-only --tmpfs /tmp --security-opt no-new-privileges "${ENVIRONMENT[@]}" --env "RELEASE=$RELEASE" \
        --label "esteira.service=$SERVICE" --label "esteira.release=$RELEASE" --label "esteira.port=$free" \
        --label "heart-r.site=$SITE" "$IMAGE" >/dev/null ||
        fail "docker run of $IMAGE failed" "try it on the host: docker run --rm $IMAGE"
    say "$CANDIDATE" >"$BUNDLE/candidate"
}

wait_until_it_answers() {
    local got url deadline=$((SECONDS + STARTUP_SECONDS))
    url=http://127.0.0.1:$(inspect "$CANDIDATE" '{{index .Config.Labels "esteira.port"}}')$HEALTH_PATH
    while got=$(status_of "$url") && [[ $got != 200 ]]; do
        is_running "$CANDIDATE" ||
            fail "GET $HEALTH_PATH of $CANDIDATE: expected 200, got the end of R ($(inspect "$CANDIDATE" 'exit code {{.State.ExitCode}}'))" \
                "mend what the log above says and push again"
        ((SECONDS < deadline)) || fail "GET $HEALTH_PATH of $CANDIDATE within $STARTUP_SECONDS s: expected 200, got $got" \
            "mend the answer and push again, or raise startup_seconds if it only needs longer"
        sleep 0.5
    done
}

lock_host
if [[ -s $BUNDLE/candidate ]]; then
    read_candidate
else
    clear_leftovers
    start
fi
wait_until_it_answers
say "$CANDIDATE answers, and nobody is sent to it yet"
