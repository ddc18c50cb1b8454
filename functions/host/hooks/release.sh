# shellcheck shell=bash disable=SC2034 # what looks unused here is read by the hooks
# Sourced first by every hook: the release it is about, the host's lock, and how a hook ends.
#
# A hook ends by itself (0), by `fail` (1) or from outside (143). In the last two cases `undo` runs – a hook that
# changes the host redefines it – and then one sentence is printed, last, because the agent sends back only the last
# 2,048 characters: what happened, what is live now, what to type next.

HOOKS=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
# Where things are on Amazon Linux 2023 and on Debian alike; the variables are for a host laid out differently.
NGINX_CONF=${ESTEIRA_NGINX_CONF:-/etc/nginx/nginx.conf}
NGINX=(nginx -c "$NGINX_CONF")
CONF_DIR=${ESTEIRA_NGINX_CONF_DIR:-/etc/nginx/conf.d}
LISTEN=${ESTEIRA_LISTEN:-80}
FIRST_PORT=${ESTEIRA_FIRST_PORT:-18080}
LOCK=${ESTEIRA_LOCK:-/run/esteira.lock}
# What the dead-man's switch did is written here: it acts when no agent listens. Beside a lock that lies elsewhere.
LOG=${ESTEIRA_LOG:-${ESTEIRA_LOCK:+${ESTEIRA_LOCK%/*}/esteira.log}}
LOG=${LOG:-/var/log/esteira.log}
ACCESS_LOGS=${ESTEIRA_LOCK:+${ESTEIRA_LOCK%/*}}
ACCESS_LOGS=${ACCESS_LOGS:-/var/log/nginx} # where the system turns logs over

EVENT=${LIFECYCLE_EVENT:-$(basename "$0" .sh)}
TITLE=release
UNEXPECTED="a command failed unexpectedly, see the lines above"
CAUSE=$UNEXPECTED
NEXT="mend that on the host, then: esteira retry"

say() { printf '%s\n' "$*"; }

# fail CAUSE NEXT: end the hook with that cause (which check, expected, got) and the next thing to do.
fail() {
    CAUSE=$1
    NEXT=$2
    exit 1
}

# What a command printed, as one line that says why it failed. Docker's client ends with where to read about options.
cause() {
    local said
    said=$(grep -v "^Run 'docker\|^See 'docker\|^Usage:\|^ *$" || :)
    grep -i 'error\|fail\|denied\|no space' <<<"$said" | tail -n 1 | grep . || tail -n 1 <<<"$said"
}

# Where a command failed without a word of ours, a full disk is the likeliest reason, and it is seen.
name_full_disk() {
    local place free
    for place in "$CONF_DIR" "${LOCK%/*}" "${LOG%/*}" "${TMPDIR:-/tmp}" "${HOOKS%/*}" /var/lib/docker; do
        free=$(df --output=avail --block-size=1K "$place" 2>/dev/null | tail -n 1 | tr -d ' ')
        if ((${free:-64} < 64)); then
            CAUSE="the disk that holds $place is full"
            NEXT="make room (df -h; docker system df; docker image prune --all) or enlarge the volume (VolumeGiB), then: esteira retry"
            return
        fi
    done
}

undo() { :; }
what_is_live() { say "nothing on the host was changed"; }

end_hook() {
    local status=$?
    ((status)) || return 0
    set +e # from here on everything is tried, whatever fails
    trap '' TERM INT HUP
    if [[ $CAUSE == "$UNEXPECTED" ]]; then name_full_disk; fi
    undo
    # Agent 2.x reads UTF-8 only, and a cut by bytes, as in the agent's own locale, may go through a letter.
    say "$EVENT of $TITLE failed: ${CAUSE:0:400}; $(what_is_live). Next: $NEXT." | { iconv -c -f UTF-8 -t UTF-8 2>/dev/null || cat; }
}

# TERM is what the agent sends when a hook's timeout has passed.
end_from_outside() {
    CAUSE="it was ended from outside, by the hook's timeout or a stopped deployment"
    exit 143
}

trap end_hook EXIT
trap end_from_outside TERM INT HUP
exec </dev/null # the agent closes standard input, and a closed descriptor 0 would be given to the next opened file

# One hook at a time per host, not per service: two deployments at once would choose the same port.
lock_host() {
    exec 9>"$LOCK"
    flock --wait 600 9 || fail "another deployment held $LOCK for 600 s" \
        "see who with: sudo fuser -v $LOCK; then: esteira retry"
}

read_release() {
    local text
    text=$(python3 "$HOOKS/release.py" "${HOOKS%/*}/release.json" 2>&1) ||
        fail "${text:-python3 ended without a word}" "redeploy, so that the controller writes the bundle anew: esteira retry"
    eval "$text"
    MIN_READY_SECONDS=${ESTEIRA_MIN_READY_SECONDS:-$MIN_READY_SECONDS}
    TITLE="$SERVICE $RELEASE"
}

require() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "$tool is not installed on this host" \
            "install it (sudo dnf install $tool, or apt-get), then: esteira retry"
    done
}

require python3
read_release
