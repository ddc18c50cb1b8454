#!/usr/bin/env bash
# BeforeInstall: is the host fit, and is the image here? Changes nothing that serves.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=release.sh
. "$(dirname "$0")/release.sh"
# shellcheck source-path=SCRIPTDIR source=containers.sh
. "$(dirname "$0")/containers.sh"
# shellcheck source-path=SCRIPTDIR source=proxy.sh
. "$(dirname "$0")/proxy.sh"

what_is_live() { say "nothing on the host was changed"; }

check_host() {
    local words
    require docker nginx curl flock setsid iconv awk
    words=$(docker version --format '{{.Server.Version}}' 2>&1) ||
        fail "the Docker engine does not answer: $(cause <<<"$words")" \
            "start it on the host (sudo systemctl enable --now docker), then: esteira retry"
    words=$("${NGINX[@]}" -t 2>&1) ||
        fail "nginx -t: expected success, got: $(grep -m 1 emerg <<<"$words" || say "$words")" \
            "mend nginx's configuration (sudo nginx -t names the line), then: esteira retry"
    [[ -d $CONF_DIR ]] || fail "nginx's directory $CONF_DIR does not exist" \
        "create it and include $CONF_DIR/*.conf in nginx.conf's http block, then: esteira retry"
}

# Log in to ECR as the instance's role. The token is kept for this hook only, in a directory removed at its end; for
# another registry the host's own docker configuration is used as it is.
log_in() {
    local registry=${IMAGE%%/*} password
    [[ $registry =~ ^[0-9]{12}\.dkr\.ecr(-fips)?\.([a-z0-9-]+)\.[a-z0-9.-]+$ ]] || return 0
    local region=${BASH_REMATCH[2]}
    require aws
    DOCKER_CONFIG=$(mktemp -d)
    undo() { rm -rf "$DOCKER_CONFIG"; }
    export DOCKER_CONFIG
    password=$(aws ecr get-login-password --region "$region" 2>"$DOCKER_CONFIG/words") ||
        fail "no ECR token for $registry: $(cause <"$DOCKER_CONFIG/words")" \
            "give the instance's role ecr:GetAuthorizationToken and ecr:BatchGetImage, then: esteira retry"
    printf '%s' "$password" | docker login --username AWS --password-stdin "$registry" >"$DOCKER_CONFIG/words" 2>&1 ||
        fail "docker login to $registry: $(cause <"$DOCKER_CONFIG/words")" \
            "check that the host reaches $registry (route, security group, VPC endpoint), then: esteira retry"
}

# Twice the largest image of the service that is here (compressed layers and unpacked ones lie side by side for a while),
# a gigabyte at least.
check_disk() {
    local root free needed=1024 name mb
    root=$(docker info --format '{{.DockerRootDir}}')
    free=$(df --output=avail --block-size=1M "$root" 2>/dev/null | tail -n 1 | tr -d ' ')
    for name in $(docker image ls --no-trunc --quiet "${IMAGE%@*}" | sort --unique); do
        mb=$(($(docker image inspect --format '{{.Size}}' "$name") * 2 / 1048576))
        if ((mb > needed)); then needed=$mb; fi
    done
    ((${free:-$needed} >= needed)) || fail "the disk under $root: expected $needed MB free for a new image, got $free MB" \
        "make room (docker system df, docker image prune --all) or enlarge the volume (VolumeGiB), then: esteira retry"
}

# By digest, so what was built is what runs. An image already here is not asked for: a rollback needs no registry.
pull() {
    local words
    if docker image inspect "$IMAGE" >/dev/null 2>&1; then
        say "$IMAGE is on the host"
        return
    fi
    check_disk
    log_in
    words=$(docker pull --quiet "$IMAGE" 2>&1) ||
        fail "docker pull $IMAGE: $(cause <<<"$words")" \
            "check that the image is in the registry and the disk has room (df -h), then: esteira retry"
    undo
    say "pulled $IMAGE"
}

# An image of another processor starts nowhere on this host, and says only "exec format error".
check_architecture() {
    local built host
    built=$(docker image inspect --format '{{.Architecture}}' "$IMAGE")
    host=$(docker version --format '{{.Server.Arch}}')
    [[ $built == "$host" ]] || fail "the image is built for $built, expected $host, which this host is" \
        "build it there (Architecture of the service's stack is the host's and the builds'), and push again"
}

# check_stage: the hosts of a stage are its own. Another stage's release would take its place, unasked.
check_stage() {
    local live serves
    live=$(live_now)
    serves=$(label "$live" stage)
    [[ -z $serves || $serves == "$STAGE" ]] || fail \
        "this is a release for $STAGE, and the host serves $serves: $live would be replaced by it" \
        "give each stage hosts of its own (the tags of its deployment group); to make this one a host of $STAGE: docker rm --force $live"
}

lock_host
check_host
check_stage
pull
check_architecture
