# shellcheck shell=bash disable=SC2034 # what looks unused here is read by judge.sh and site.sh
# Sourced after containers.sh: the service's place in nginx.
#
# The state is where a person would look for it. What is live: where the link /etc/esteira-SERVICE points, to the file
# esteira-SERVICE=CONTAINER beside it. Each container has such a file, since nginx resolves the link, so its end must
# exist; in it is the container's health_of. A swap that has not come to its end: the container that was live before it,
# in esteira-SERVICE.before beside the service's nginx file (empty: there was none).

SITE=$CONF_DIR/esteira-$SERVICE.conf
# In a short place: nginx looks up each part of the path at each request, which is most of what it does beside passing on.
LIVE=${ESTEIRA_LINKS:-${ESTEIRA_NGINX_CONF_DIR:-/etc}}/esteira-$SERVICE
BEFORE=$CONF_DIR/esteira-$SERVICE.before
# shellcheck disable=SC2153 # of release.sh
ACCESS_LOG=$ACCESS_LOGS/esteira-$SERVICE.log
VARIABLE=${SERVICE//-/_} # in the names of nginx's variables

# The container that requests go to, and the one they went to before a swap that is under way. Empty: none.
live_now() {
    local to
    to=$(readlink "$LIVE" || readlink "$CONF_DIR/esteira-$SERVICE.live" || :) # the latter by an earlier esteira
    say "${to##*[/=]}"
}
live_before() { cat "$BEFORE" 2>/dev/null || :; }

ARMED=$SITE.armed # see switch.sh
# armed: the candidate that is not accepted yet, or nothing.
armed() { sed -n 's/^[0-9]* //p' "$ARMED" 2>/dev/null || :; }

what_is_live() {
    local live
    live=$(live_now)
    if [[ -z $live ]]; then
        say "no release of $SERVICE is live on this host"
    elif [[ $live == "$(armed)" ]]; then
        say "$live has the traffic and is not accepted; the host puts $(live_before | grep . || say nothing) back by itself, see $LOG"
    elif is_running "$live"; then
        say "$live is live"
    else
        say "$live should be live and is not running (start it with: docker start $live)"
    fi
}

# answer_of PATH: status and answering container of GET PATH through the proxy, as a client sees it: "200 heart-v1-18080".
answer_of() {
    local address=$LISTEN host=()
    [[ $address == *:* ]] || address=127.0.0.1:$address
    if [[ -z $(default_of_host) ]]; then host=(--header "Host: $SERVICE"); fi
    curl --silent --globoff --noproxy '*' --max-time 5 "${host[@]}" --output /dev/null --dump-header - \
        "http://$address$1" | tr -d '\r' |
        sed -n -e 's,^HTTP/[^ ]* \([0-9]*\).*,\1,p' -e 's/^x-esteira-release: *//Ip' | tr '\n' ' ' || :
}

# " default_server" where requests that name no service of this host are this one's: the first service's.
default_of_host() {
    local file
    for file in "$CONF_DIR"/esteira-*.conf; do
        if [[ $file != "$SITE" ]] && grep -qs '^ *listen .*default_server' "$file"; then return; fi
    done
    say " default_server"
}

# await_answer PATH PATTERN: wait until the proxy's answer matches, 10 s at most: an nginx that reloads, as for a service's
# first release, still answers from its former configuration for a moment. The last answer is left in ANSWER.
await_answer() {
    local deadline=$((SECONDS + 10))
    while ANSWER=$(answer_of "$1") && ANSWER=${ANSWER% }; do
        # shellcheck disable=SC2053 # a pattern on purpose
        [[ $ANSWER == $2 ]] && return 0
        ((SECONDS < deadline)) && [[ -z ${CANDIDATE:-} || $(inspect "$CANDIDATE" '{{.State.Status}}') != exited ]] || return 1
        sleep 0.2
    done
}

# health_path CONTAINER: where it is asked through the proxy.
health_path() {
    local known
    known=$(health_of "$1")
    say "${known% *}"
}

# ports_in FILE...: those of the upstreams in nginx files of esteira.
ports_in() { sed -n 's/^upstream esteira_[a-z0-9_]*_\([0-9]*\) .*/\1/p' "$@" 2>/dev/null || :; }

# server_of PORT: where nginx reaches the container that has this port, by the service's file. Empty: it does not say.
server_of() { sed -n "s/^upstream esteira_${VARIABLE}_$1 { server \([^;]*\);.*/\1/p" "$SITE" 2>/dev/null || :; }

# point_to CONTAINER: the link is replaced by a rename, so that every request finds the one or the other.
point_to() {
    local file=$LIVE=$1
    if [[ $1 == "${CANDIDATE:-}" ]]; then say "${FOUND:-}" >"$file.new" && mv "$file.new" "$file"; fi
    [[ -e $file ]] || cp "$CONF_DIR/esteira-$SERVICE.containers/$1" "$file" 2>/dev/null || : >"$file"
    ln -sfn "${file##*/}" "$LIVE.new"
    mv -T "$LIVE.new" "$LIVE"
}

# turn_proxy CONTAINER: send new requests there.
turn_proxy() {
    live_now >"$BEFORE.new"
    mv "$BEFORE.new" "$BEFORE"
    [[ -L $LIVE ]] || point_to "$(live_now | grep . || say "$1")" # until nginx reads its file nobody is sent there
    install_site "$1"
    point_to "$1"
}

# Send requests where they went before the turn. .before goes last: cut off, this is begun anew.
turn_back() {
    local former
    [[ -e $BEFORE ]] || return 0
    former=$(live_before)
    if [[ -n $former ]]; then
        point_to "$former"
    else
        rm -f "$SITE"
        "${NGINX[@]}" -s reload 2>&1
        rm -f "$LIVE" "$LIVE"=*
    fi
    rm -f "$BEFORE"
}

# Names of containers that are no more.
forget_names() {
    local file known
    known=" $(containers | tr '\n' ' ') $(live_now) "
    for file in "$LIVE"=*; do
        [[ $known == *" ${file##*=} "* ]] || rm -f "$file"
    done
    rm -rf "$CONF_DIR/esteira-$SERVICE.live" "$CONF_DIR/esteira-$SERVICE.containers" # an earlier esteira's
}

# drain CONTAINER SECONDS [COMMAND]: wait until nothing is open to it, so long at most; OPEN is what was left. nginx keeps
# a connection for a second after its last request. COMMAND is run again and again meanwhile.
drain() {
    local server quiet=0 end
    end=$((${EPOCHREALTIME/[.,]/} + ($2 > 0 ? $2 : 1) * 1000000)) # SECONDS is whole ones: up to one less than promised
    server=$(server_of "${1##*-}")
    while sleep 0.5; do # first: a request that read the link before the turn may not be connected yet
        ${3:-:}
        OPEN=$(connections "${server:-127.0.0.1:${1##*-}}")
        if ((OPEN)); then quiet=0; else quiet=$((quiet + 1)); fi
        ((quiet < 2 && ${EPOCHREALTIME/[.,]/} < end)) || return 0
    done
}
