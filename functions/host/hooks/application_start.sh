#!/usr/bin/env bash
# ApplicationStart: start the release beside the live one, wait until it is healthy, ask its golden questions, and only
# then turn the proxy to it.
# On failure the candidate is removed and the live one serves as before.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=release.sh
. "$(dirname "$0")/release.sh"
# shellcheck source-path=SCRIPTDIR source=containers.sh
. "$(dirname "$0")/containers.sh"
# shellcheck source-path=SCRIPTDIR source=proxy.sh
. "$(dirname "$0")/proxy.sh"
# shellcheck source-path=SCRIPTDIR source=site.sh
. "$(dirname "$0")/site.sh"
# shellcheck source-path=SCRIPTDIR source=switch.sh
. "$(dirname "$0")/switch.sh"
# shellcheck source-path=SCRIPTDIR source=memory.sh
. "$(dirname "$0")/memory.sh"

GOLDEN_SECONDS=330 # golden.py's own limit, and some
PORT_BY=           # why the port is this one, where the release does not say it

# The values behind the SSM parameters, by the host's own role. Not in release.json, so that no secret lies in S3.
fetch_parameters() {
    local text region=
    ((${#PARAMETERS[@]})) || return 0
    require aws
    if [[ $IMAGE =~ \.dkr\.ecr(-fips)?\.([a-z0-9-]+)\. ]]; then region=${BASH_REMATCH[2]}; fi
    text=$(python3 "$HOOKS/parameters.py" "${HOOKS%/*}/release.json" "$(command -v aws)" "$region" 2>&1) ||
        fail "$(tail -n 1 <<<"$text")" \
            "set it (esteira secret set, or aws ssm put-parameter under /STACK/parameters/$SERVICE/), or give the instance's role ssm:GetParameters on it, then: esteira retry"
    eval "$text"
}

# is_this_release CONTAINER: made of the same, with the same values behind its parameters?
is_this_release() {
    [[ -n $1 && $(label "$1" identity) == "$IDENTITY" && $(label "$1" parameters) == "$PARAMETER_VERSIONS" ]]
}

# A hook that ran to its end before, or a redeployment of what is live, has nothing to do.
exit_if_live() {
    local live
    live=$(live_now)
    is_this_release "$live" && look "$live" || return 0
    if [[ $(armed) == "$live" ]]; then # that hook may have been killed between the link and the reload
        arm "$VALIDATION_SECONDS" "$live"
        watch
        install_site "$live"
    fi
    say "$TITLE is live already, as $live"
    exit 0
}

# Candidates of which nothing is written down any more.
remove_leftovers() {
    local name
    for name in $(containers); do
        [[ $name != "$(live_now)" && $(inspect "$name" '{{.HostConfig.RestartPolicy.Name}}') == no ]] || continue
        docker rm --force "$name" >/dev/null
    done
}

# The port inside the container: the release's own, else the first that its image exposes, else a guess.
choose_port() {
    ((PORT == 0)) || return 0
    PORT=$(docker image inspect --format '{{range $port, $_ := .Config.ExposedPorts}}{{println $port}}{{end}}' "$IMAGE" |
        sed -n 's|^\([0-9]*\)/tcp$|\1|p' | sort -n | head -n 1)
    PORT_BY="which the image exposes"
    if [[ -z $PORT ]]; then PORT=8080 PORT_BY="as nothing says another"; fi
}

# Nothing says on which port it listens: it is looked at, and started once more where that is another one.
find_port() {
    local at="" deadline=$((SECONDS + STARTUP_SECONDS))
    [[ $PORT_BY == as* ]] || return 0
    while [[ -z $at ]] && is_running "$CANDIDATE" && ((SECONDS < deadline)); do
        sleep 0.2
        at=$(listens_for_all "$CANDIDATE")
    done
    PORT_BY="where the container listens"
    [[ -n $at && $'\n'$at$'\n' != *$'\n'"$PORT"$'\n'* ]] || return 0
    docker rm --force "$CANDIDATE" >/dev/null
    PORT=${at%%$'\n'*}
    start_new
}

# From here on there is something to undo, by this hook or, should it be killed, by the switch.
begin() {
    CANDIDATE=$1
    arm $((STARTUP_SECONDS + GOLDEN_SECONDS)) "$CANDIDATE"
    watch
    make_room
}

# Start this very release's container again where it was kept, for an instant rollback. False where there is none.
start_kept() {
    local name
    for name in $(containers); do
        if [[ $name == "$(live_now)" ]] || ! is_this_release "$name"; then continue; fi
        begin "$name"
        docker update --restart no "$name" >/dev/null
        PORT=$(inner_port "$name")
        if docker start "$name" >/dev/null; then return 0; fi
        docker rm --force "$name" >/dev/null # its port is taken meanwhile: a new container gets another
    done
    return 1
}

start_new() {
    local free words
    choose_port
    make_network
    free=$(free_ports 1)
    [[ -n $free ]] || fail "ports $FIRST_PORT to $((FIRST_PORT + 99)) of 127.0.0.1 are all taken" \
        "see by whom with: sudo ss -ltnp; then: esteira retry"
    begin "$SERVICE-$RELEASE-$free"
    words=$(run_container "$free" 2>&1) ||
        fail "docker run of $IMAGE: $(cause <<<"$words")" "try it on the host: docker run --rm $IMAGE"
}

# The environment's values are neither on a command line, where every user of the host could read them, nor in a file
# that a killed hook would leave behind. In a subshell: those of several lines go through docker's own environment.
run_container() (
    names=() limits=() added=() network=() address=$(address_of "$1") memory=$((MEMORY_MB ? MEMORY_MB : $(memory_mb MemTotal) * 9 / 10))
    for each in "${ENV_OTHERS[@]}"; do
        export "${each?}"
        names+=(--env "${each%%=*}")
    done
    # Always a limit: a container that takes everything would end nginx and CodeDeploy's agent as well.
    if ((memory)); then limits=(--memory "${memory}m" --memory-swap "${memory}m"); fi
    for each in "${CAPABILITIES[@]}"; do added+=(--cap-add "$each"); done
    if [[ -n $address ]]; then network=(--network "$NETWORK" --ip "$address"); fi
    docker run --detach --name "$CANDIDATE" --restart no --publish "127.0.0.1:$1:$PORT" "${network[@]}" \
        --read-only --tmpfs /tmp --security-opt no-new-privileges --pids-limit 2048 "${limits[@]}" \
        --cap-drop ALL "${added[@]}" \
        --log-driver local --log-opt max-size=10m --log-opt max-file=3 \
        --env-file <(say "$ENV_FILE") "${names[@]}" \
        --label "esteira.service=$SERVICE" --label "esteira.release=$RELEASE" --label "esteira.number=$NUMBER" \
        --label "esteira.stage=$STAGE" --label "esteira.commit=$COMMIT" --label "esteira.digest=$DIGEST" \
        --label "esteira.identity=$IDENTITY" --label "esteira.parameters=$PARAMETER_VERSIONS" \
        --label "esteira.port=$1" --label "esteira.deployment=${DEPLOYMENT_ID:-}" "$IMAGE"
)

wait_until_healthy() {
    local got state
    find_port
    await_health "$CANDIDATE" "$STARTUP_SECONDS" && return
    got=$ANSWER
    fail_if_out_of_memory
    state=$(inspect "$CANDIDATE" 'exit code {{.State.ExitCode}}')
    is_running "$CANDIDATE" || fail "GET $ASKED of $CANDIDATE: expected 200, got the end of the process ($state)" \
        "mend what the log above says and push again; try it with: docker run --rm --read-only --tmpfs /tmp --cap-drop ALL $IMAGE"
    if [[ $got != [1-5][0-9][0-9] ]] && listens_elsewhere "$CANDIDATE"; then
        fail "expected $CANDIDATE to listen on port $PORT within $STARTUP_SECONDS s, got $WHERE: it listens there only" \
            "let it listen on 0.0.0.0:$PORT and push again, or write port: ${WHERE##*:} into esteira.yaml"
    fi
    fail "GET $ASKED of $CANDIDATE within $STARTUP_SECONDS s: expected 200, got $got" \
        "mend the health answer and push again, write another path into esteira.yaml (health: /), or raise startup_seconds"
}

# Before the proxy turns: what answers otherwise than its own training wrote down serves nobody. The image says by a
# label where its questions are (a container has its image's labels); without one nothing is asked.
ask_golden_questions() {
    local path words file=${HOOKS%/*}/golden.json # in the bundle's own directory, which goes with it
    local mend="COPY the golden questions there, or mend the LABEL in the Dockerfile, and push again"
    path=$(label "$CANDIDATE" golden)
    [[ -n $path ]] || return 0
    [[ $path == /* ]] || fail "the image's label esteira.golden is $path, expected a path that begins with /" "$mend"
    rm -rf "$file"
    words=$(docker cp --follow-link "$CANDIDATE:$path" "$file" 2>&1) ||
        fail "the image's label esteira.golden names $path, expected a file there, got: $(cause <<<"$words")" "$mend"
    [[ -f $file ]] || fail "the image's label esteira.golden names $path, expected a file there, got a directory" "$mend"
    if ! words=$(python3 "$HOOKS/golden.py" "http://127.0.0.1:$(label "$CANDIDATE" port)" "$file" 2>&1 | masked "$CANDIDATE"); then
        fail_if_out_of_memory
        fail "$(tail -n 1 <<<"${words:-golden.py ended without a word}")" \
            "mend the model, or its golden questions ($path), and push again"
    fi
    say "$words"
}

turn() {
    arm "$VALIDATION_SECONDS" "$CANDIDATE"
    watch
    turn_proxy "$CANDIDATE"
    [[ -z $STOPPED ]] || await_answer "$(health_path "$CANDIDATE")" "* $CANDIDATE" || :
    say_gap
}

# What had to be found out, with the line of esteira.yaml that would say it. The controller reads it out of the hook's log.
say_found() {
    local path=${FOUND% *}
    [[ -z $PORT_BY ]] || say "found: port $PORT, $PORT_BY; in esteira.yaml: port: $PORT"
    [[ -n $HEALTH_PATH ]] || say "found: health path $path, which answers ${FOUND##* }; in esteira.yaml: health: $path"
}

lock_host
fetch_parameters
exit_if_live
settle
remove_leftovers
start_kept || start_new
wait_until_healthy
ask_golden_questions
turn
say_found
say "$TITLE is healthy and takes the traffic, as $CANDIDATE"
