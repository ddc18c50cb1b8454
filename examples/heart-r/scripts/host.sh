# shellcheck shell=bash disable=SC2034 # what looks unused here is read by the scripts
# Sourced first by every script: the release it is about, what is live on this host, the lock, and how a failure ends.
#
# The state is on the host, where a person would look for it, beside the service's nginx file: what is live is where the
# link esteira-SERVICE.live points; the file .before is a switch that is not validated yet, and names the container that
# was live before it; and the file `candidate` in this bundle names the container that this deployment started.

BUNDLE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) # the agent's working directory is not the bundle's
# Amazon Linux 2023 and Debian alike; the variables are for a host laid out differently.
NGINX=(nginx -c "${ESTEIRA_NGINX_CONF:-/etc/nginx/nginx.conf}")
CONF_DIR=${ESTEIRA_NGINX_CONF_DIR:-/etc/nginx/conf.d}
LISTEN=${ESTEIRA_LISTEN:-80}
FIRST_PORT=${ESTEIRA_FIRST_PORT:-18080}
LOCK=${ESTEIRA_LOCK:-/run/esteira.lock}
CANDIDATE= # the container that `undo` takes away
WHY="a command failed, see the lines above"
NEXT="mend that on the host, then: esteira retry"

say() { printf '%s\n' "$*"; }

# fail WHY NEXT: end the script with that sentence and the next thing to type.
fail() {
    WHY=$1
    NEXT=$2
    exit 1
}

# The sentence comes last: the agent sends back only the last 2,048 characters.
end_script() {
    local live status=$?
    ((status)) || return 0
    set +e # from here on everything is tried, whatever fails
    trap '' TERM INT HUP
    undo
    live=$(live_now)
    say "${LIFECYCLE_EVENT:-$(basename "$0" .sh)} failed: ${WHY:0:400}; live is ${live:-nothing}. Next: $NEXT."
}

end_from_outside() { # TERM is what the agent sends when a timeout has passed
    WHY="it was ended from outside, by its timeout or a stopped deployment"
    exit 143
}

trap end_script EXIT
trap end_from_outside TERM INT HUP
exec </dev/null # the agent closes it, and the next opened file would become standard input

# Sets SERVICE, RELEASE, IMAGE, PORT, HEALTH_PATH, STARTUP_SECONDS, DRAIN_SECONDS, and ENVIRONMENT as docker's options.
read_release() {
    local values each
    local program='
import json, sys
release = json.load(open(sys.argv[1], encoding="utf-8"))
names = "service release image port health_path startup_seconds drain_seconds".split()
environment = [f"{name}={value}" for name, value in release.get("environment", {}).items()]
print("".join(f"{value}\0" for value in [*(release[name] for name in names), *environment, "whole"]), end="")'
    mapfile -d '' -t values < <(python3 -c "$program" "$BUNDLE/release.json" 2>&1)
    [[ ${values[-1]:-} == whole ]] || fail "release.json cannot be read: $(tail -n 1 <<<"${values[-1]:-python3 said nothing}")" \
        "have the controller write the bundle anew: esteira retry"
    unset 'values[-1]'
    SERVICE=${values[0]} RELEASE=${values[1]} IMAGE=${values[2]} PORT=${values[3]} HEALTH_PATH=${values[4]}
    STARTUP_SECONDS=${values[5]} DRAIN_SECONDS=${values[6]}
    ENVIRONMENT=()
    for each in "${values[@]:7}"; do ENVIRONMENT+=(--env "$each"); done
    SITE=$CONF_DIR/esteira-$SERVICE.conf LIVE=$CONF_DIR/esteira-$SERVICE.live NAMES=$CONF_DIR/esteira-$SERVICE.containers
}

# One script at a time on the host: two at once would choose the same port.
lock_host() {
    exec 9>"$LOCK"
    flock --wait 120 9 || fail "another deployment held $LOCK for 120 s" "see who with: sudo fuser -v $LOCK; then: esteira retry"
}

# The container this deployment started, for the scripts after AfterInstall.
read_candidate() {
    [[ -s $BUNDLE/candidate ]] || fail "AfterInstall left no container" "deploy again: esteira retry"
    CANDIDATE=$(<"$BUNDLE/candidate")
}

# The container that requests go to, or nothing.
live_now() {
    local to
    to=$(readlink "${LIVE:-}" || sed -n 's/^# live: //p' "${SITE:-}" 2>/dev/null || :) # so scripts before these wrote it down
    say "${to##*/}"
}

# point_to CONTAINER: nginx reads the link at each request, and a rename replaces it: each request finds one or the other.
point_to() {
    mkdir -p "$NAMES"
    : >"$NAMES/$1" # nginx resolves the link, so its end must exist
    ln -sfn "${NAMES##*/}/$1" "$LIVE.new"
    mv -T "$LIVE.new" "$LIVE"
}

inspect() { docker inspect --type container --format "$2" "$1" 2>/dev/null || :; }

is_running() { [[ $(inspect "$1" '{{.State.Running}}') == true ]]; }

# Every container that these scripts started for this nginx file, running or not.
containers() { docker ps --all --filter "label=heart-r.site=$SITE" --format '{{.Names}}'; }

# status_of URL: the HTTP status of GET URL, or curl's words where no answer came.
status_of() {
    local words
    words=$(curl --silent --show-error --noproxy '*' --max-time 5 --output /dev/null --write-out '%{http_code}' "$1" 2>&1) ||
        words=${words%000}
    tr -d '\n' <<<"$words"
}

# Take the candidate away, and first of all the traffic from it; show the end of its log. An accepted one stays.
undo() {
    local former
    [[ -n $CANDIDATE ]] || return 0
    if [[ $(live_now) == "$CANDIDATE" ]]; then
        [[ -e $SITE.before ]] || return 0
        former=$(<"$SITE.before")
        if [[ -n $former ]]; then
            point_to "$former"
        else
            rm -rf "$SITE" "$LIVE" "$NAMES"
            "${NGINX[@]}" -s reload 2>&1
        fi
        rm -f "$SITE.before"
        sleep 1 # a request that read the link before may not be connected yet
        docker stop "$CANDIDATE" >/dev/null
    fi
    say "the log of $CANDIDATE ends:"
    docker logs --tail 50 "$CANDIDATE" 2>&1 | tail -c 900 | iconv -c -f UTF-8 -t UTF-8
    docker rm --force "$CANDIDATE" >/dev/null
    rm -f "$BUNDLE/candidate"
}

read_release
