# shellcheck shell=bash disable=SC2034 # what looks unused here is read by the hooks
# Sourced after release.sh by the hooks that change what is live: the service's containers, and what the kernel says of
# them.
#
# A container was once accepted if its restart policy is unless-stopped; a candidate's is no until the proxy turns, so
# that one left behind by a crash does not come back.

inspect() { docker inspect --type container --format "$2" "$1" 2>/dev/null || :; }

label() { inspect "$1" "{{index .Config.Labels \"esteira.$2\"}}"; }

is_running() { [[ $(inspect "$1" '{{.State.Running}}') == true ]]; }

# Every container of this service, running or not.
containers() { docker ps --all --filter "label=esteira.service=$SERVICE" --format '{{.Names}}'; }

# masked CONTAINER: standard input without secrets. What a hook prints goes into the release's history and its messages,
# where it cannot be deleted. The container's environment tells the values of the release's parameters.
masked() {
    python3 -I -B "${HOOKS%/*}/guard/mask.py" "${HOOKS%/*}/release.json" <(inspect "$1" '{{json .Config.Env}}') 2>/dev/null ||
        say "(not shown: its secrets could not be masked; on the host: docker logs $1)"
}

# What is asked where nobody said which path tells that the container is ready.
HEALTH_CANDIDATES=(/ping /health /healthz /_stcore/health /)
SETTLE_SECONDS=3

# health_of CONTAINER: the path that tells that it is ready, and the status that it answers there: "/ping 200". What was
# found out stands in the container's file (proxy.sh). Empty: nobody knows yet.
health_of() {
    local kept
    kept=$(cat "$LIVE=$1" 2>/dev/null || :)
    if [[ -n $HEALTH_PATH && (-z $kept || $(label "$1" identity) == "$IDENTITY") ]]; then
        say "$HEALTH_PATH 200"
    else
        say "$kept"
    fi
}

# status_of URL: the HTTP status of GET URL, or curl's own words where no answer came.
status_of() {
    local words
    words=$(curl --silent --show-error --globoff --noproxy '*' --max-time 5 --output /dev/null --write-out '%{http_code}' "$1" 2>&1) ||
        words=${words%000}
    tr -d '\n' <<<"$words"
}

# look CONTAINER: asks once around; true where it is ready, and FOUND is the path and the status that say so. The last
# path asked is in ASKED, its answer in ANSWER. A path that answers 5xx is there and not ready. Where none of the list is
# there, / is taken with what it answers, once it has answered for a while.
look() {
    local base known path paths=("${HEALTH_CANDIDATES[@]}") wanted=200
    base=http://127.0.0.1:$(label "$1" port)
    known=$(health_of "$1")
    if [[ -n $known ]]; then paths=("${known% *}") wanted=${known##* }; fi
    for path in "${paths[@]}"; do
        ASKED=$path
        ANSWER=$(status_of "$base$path")
        FOUND="$path $ANSWER"
        [[ $ANSWER != "$wanted" ]] || return 0
        [[ -z $known && $ANSWER == [1-4][0-9][0-9] ]] || { SETTLED= && return 1; }
    done
    SETTLED=${SETTLED:-$SECONDS}
    ((SECONDS - SETTLED >= SETTLE_SECONDS))
}

# await_health CONTAINER SECONDS: false where it ended, or was not ready within that time.
await_health() {
    local deadline=$((SECONDS + $2)) pause=0.1 # the first seconds count: a kept container answers within one
    SETTLED=
    until look "$1"; do
        is_running "$1" && ((SECONDS < deadline)) || return 1
        ((deadline - SECONDS > $2 - 5)) || pause=0.5
        sleep "$pause"
    done
}

# listeners CONTAINER: "ADDRESS PORT", in the kernel's hexadecimal, of all that listens inside. Nothing in the container
# is run for it, there may be no shell. Docker's own resolver, 127.0.0.11, is not the container's doing.
listeners() {
    local pid
    pid=$(inspect "$1" '{{.State.Pid}}')
    cat "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" 2>/dev/null |
        sed -n 's/^ *[0-9]*: \([0-9A-F]*\):\([0-9A-F]\{4\}\) [0-9A-F:]* 0A .*/\1 \2/p' | grep -v '^0B00007F' || :
}

# listens_elsewhere CONTAINER: false where somebody in it listens on PORT for all, or nobody on anything; else WHERE is
# what it listens on instead.
listens_elsewhere() {
    local address at
    WHERE=
    while read -r address at; do
        at=$((16#$at))
        if ((at != PORT)); then
            WHERE=${WHERE:-$at}
        elif [[ $address == 0100007F || $address == 00000000000000000000000001000000 ]]; then
            WHERE="127.0.0.1:$at"
        else
            return 1
        fi
    done < <(listeners "$1")
    [[ -n $WHERE ]]
}

# listens_for_all CONTAINER: the ports on which somebody in it listens for all, the lowest first.
listens_for_all() {
    local address at
    while read -r address at; do
        [[ $address =~ ^0+$ ]] && say $((16#$at))
    done < <(listeners "$1") | sort -n
}

# connections ADDRESS:PORT: how many are open from this host (from nginx, that is) to there.
connections() {
    local a b c d
    IFS=. read -r a b c d <<<"${1%:*}"
    grep -c " $(printf '%02X%02X%02X%02X:%04X' "$d" "$c" "$b" "$a" "${1##*:}") 01 " /proc/net/tcp || :
}

# inner_port CONTAINER: the one that it listens on, behind the one that Docker publishes.
inner_port() { inspect "$1" '{{json .HostConfig.PortBindings}}' | sed 's,^[^0-9]*\([0-9]*\).*,\1,'; }

# memory_of CONTAINER: MiB that would be free without it. Its file cache does not count, the kernel gives that up.
memory_of() {
    local pid group file
    pid=$(inspect "$1" '{{.State.Pid}}')
    group=$(sed -n 's/^[0-9]*:memory://p; s/^0:://p' "/proc/$pid/cgroup" 2>/dev/null | head -n 1 || :)
    for file in "/sys/fs/cgroup/memory$group/memory.stat" "/sys/fs/cgroup$group/memory.stat"; do
        [[ -n $group && -e $file ]] || continue
        sed -n 's/^\(total_rss\|anon\) //p' "$file" | { read -r bytes && say $((bytes / 1048576)); }
        return
    done
    say 0
}
