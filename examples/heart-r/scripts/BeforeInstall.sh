#!/usr/bin/env bash
# BeforeInstall: bring the image, by digest, so that what was built is what runs. Changes nothing that serves.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=host.sh
. "$(dirname "$0")/host.sh"

# As the instance's role, where the registry is ECR. The token is gone with the script.
log_in() {
    local registry=${IMAGE%%/*}
    [[ $registry =~ \.dkr\.ecr(-fips)?\.([a-z0-9-]+)\.amazonaws\.com ]] || return 0
    DOCKER_CONFIG=$(mktemp -d)
    export DOCKER_CONFIG
    undo() { rm -rf "$DOCKER_CONFIG"; }
    aws ecr get-login-password --region "${BASH_REMATCH[2]}" |
        docker login --username AWS --password-stdin "$registry" >/dev/null ||
        fail "no login to $registry" "see that the instance's role may ecr:GetAuthorizationToken, then: esteira retry"
}

if docker image inspect "$IMAGE" >/dev/null 2>&1; then
    say "$IMAGE is on the host"
else
    log_in
    docker pull --quiet "$IMAGE" ||
        fail "docker pull $IMAGE failed" "see that it is in the registry and the disk has room (df -h), then: esteira retry"
    undo
fi
