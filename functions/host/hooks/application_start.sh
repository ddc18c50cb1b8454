#!/usr/bin/env bash
# ApplicationStart: start the release beside the live one, wait until it is healthy, and only then turn the proxy to it.
# On failure the candidate is removed and the live one has not been touched.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=release.sh
. "$(dirname "$0")/release.sh"
# shellcheck source-path=SCRIPTDIR source=swap.sh
. "$(dirname "$0")/swap.sh"

# A hook that ran to its end before, or a redeployment of what is live, has nothing to do.
exit_if_live() {
    local live
    live=$(live_in "$SITE")
    [[ -n $live && $(label "$live" identity) == "$IDENTITY" ]] || return 0
    [[ $(status_of "http://127.0.0.1:$(label "$live" port)$HEALTH_PATH") == 200 ]] || return 0
    say "$TITLE is live already, as $live"
    exit 0
}

# Candidates of hooks that were killed, so that no `undo` ran.
remove_leftovers() {
    local name
    for name in $(containers); do
        [[ $name != "$(live_in "$SITE")" && $(inspect "$name" '{{.HostConfig.RestartPolicy.Name}}') == no ]] || continue
        docker rm --force "$name" >/dev/null
    done
}

# A port no container of esteira has, running or stopped (a stopped one may be started again), and nobody listens on;
# not that of the live one either, should somebody have removed it: the names would be equal, and a swap needs two.
free_port() {
    local here taken live
    live=$(live_in "$SITE")
    taken=" ${live##*-} $(docker ps --all --filter label=esteira.port --format '{{.Label "esteira.port"}}' | tr '\n' ' ')"
    for ((here = FIRST_PORT; here < FIRST_PORT + 100; here++)); do
        [[ $taken == *" $here "* ]] || (: <"/dev/tcp/127.0.0.1/$here") 2>/dev/null || { say "$here" && return; }
    done
    return 1
}

# Start this very release's container again where it was kept, for an instant rollback. False where there is none.
start_kept() {
    local name
    for name in $(containers); do
        [[ $name != "$(live_in "$SITE")" && $(label "$name" identity) == "$IDENTITY" ]] || continue
        CANDIDATE=$name
        docker update --restart no "$name" >/dev/null
        if docker start "$name" >/dev/null; then return 0; fi
        docker rm --force "$name" >/dev/null # its port is taken meanwhile: a new container gets another
    done
    CANDIDATE=
    return 1
}

start_new() {
    local free words
    free=$(free_port) || fail "ports $FIRST_PORT to $((FIRST_PORT + 99)) of 127.0.0.1 are all taken" \
        "see by whom with: sudo ss -ltnp; then: esteira retry"
    CANDIDATE=$SERVICE-$RELEASE-$free
    words=$(docker run --detach --name "$CANDIDATE" --restart no --publish "127.0.0.1:$free:$PORT" \
        --read-only --tmpfs /tmp --security-opt no-new-privileges "${ENVIRONMENT[@]}" \
        --label "esteira.service=$SERVICE" --label "esteira.release=$RELEASE" --label "esteira.number=$NUMBER" \
        --label "esteira.stage=$STAGE" --label "esteira.commit=$COMMIT" --label "esteira.digest=$DIGEST" \
        --label "esteira.identity=$IDENTITY" --label "esteira.port=$free" \
        --label "esteira.deployment=${DEPLOYMENT_ID:-}" "$IMAGE" 2>&1) ||
        fail "docker run of $IMAGE: $(tail -n 1 <<<"$words")" "try it on the host: docker run --rm $IMAGE"
}

wait_until_healthy() {
    local url got state deadline=$((SECONDS + STARTUP_SECONDS))
    url=http://127.0.0.1:$(label "$CANDIDATE" port)$HEALTH_PATH
    while got=$(status_of "$url") && [[ $got != 200 ]]; do
        state=$(inspect "$CANDIDATE" 'exit code {{.State.ExitCode}}{{if .State.OOMKilled}}, killed for lack of memory{{end}}')
        is_running "$CANDIDATE" || fail "GET $HEALTH_PATH of $CANDIDATE: expected 200, got the end of the process ($state)" \
            "mend what the log above says and push again; try it with: docker run --rm --read-only --tmpfs /tmp $IMAGE"
        ((SECONDS < deadline)) || fail "GET $HEALTH_PATH of $CANDIDATE within $STARTUP_SECONDS s: expected 200, got $got" \
            "mend the health answer and push again, or raise startup_seconds if it only needs longer"
        sleep 0.5
    done
}

lock_host
exit_if_live
remove_leftovers
start_kept || start_new
wait_until_healthy
docker update --restart unless-stopped "$CANDIDATE" >/dev/null
turn_proxy "$CANDIDATE" "$(label "$CANDIDATE" port)"
say "$TITLE is healthy and takes the traffic, as $CANDIDATE"
