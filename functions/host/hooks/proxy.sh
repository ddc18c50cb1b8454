# shellcheck shell=bash
# Sourced after containers.sh: the service's place in nginx.
#
# The state is where a person would look for it. What is live: where the link esteira-SERVICE.live points, beside the
# service's nginx file. A swap that has not come to its end: the container that was live before it, in
# esteira-SERVICE.before (empty: there was none).

SITE=$CONF_DIR/esteira-$SERVICE.conf
LIVE=$CONF_DIR/esteira-$SERVICE.live
BEFORE=$CONF_DIR/esteira-$SERVICE.before
# shellcheck disable=SC2153 # of release.sh
ACCESS_LOG=$ACCESS_LOGS/esteira-$SERVICE.log
# A file for each, since nginx resolves the link, so its end must exist. In it: the container's health_of.
NAMES=$CONF_DIR/esteira-$SERVICE.containers

# The container that requests go to, and the one they went to before a swap that is under way. Empty: none.
live_now() {
    local to
    to=$(readlink "$LIVE" || :)
    say "${to##*/}"
}
live_before() { cat "$BEFORE" 2>/dev/null || :; }

what_is_live() {
    local live
    live=$(live_now)
    if [[ -z $live ]]; then
        say "no release of $SERVICE is live on this host"
    elif is_running "$live"; then
        say "$live is live"
    else
        say "$live should be live and is not running (start it with: docker start $live)"
    fi
}

# answer_of PATH: status and answering container of GET PATH through the proxy, as a client sees it: "200 heart-v1-18080".
answer_of() {
    local address=$LISTEN
    [[ $address == *:* ]] || address=127.0.0.1:$address
    curl --silent --noproxy '*' --max-time 5 --output /dev/null --dump-header - "http://$address$1" | tr -d '\r' |
        sed -n -e 's,^HTTP/[^ ]* \([0-9]*\).*,\1,p' -e 's/^x-esteira-release: *//Ip' | tr '\n' ' ' || :
}

# await_answer PATH PATTERN: wait until the proxy's answer matches, 10 s at most: an nginx that reloads, as for a service's
# first release, still answers from its former configuration for a moment. The last answer is left in ANSWER.
await_answer() {
    local deadline=$((SECONDS + 10))
    while ANSWER=$(answer_of "$1") && ANSWER=${ANSWER% }; do
        # shellcheck disable=SC2053 # a pattern on purpose
        [[ $ANSWER == $2 ]] && return 0
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

# health_path CONTAINER: where it is asked through the proxy.
health_path() {
    local known
    known=$(health_of "$1")
    say "${known% *}"
}

reload_proxy() {
    local words
    words=$("${NGINX[@]}" -t 2>&1 && "${NGINX[@]}" -s reload 2>&1) && return
    if [[ -e $SITE.former ]]; then mv "$SITE.former" "$SITE"; fi # nginx can start again as it was
    fail "nginx -t and reload of $SITE: expected success, got: $(grep -m 1 'emerg\|error' <<<"$words" || say "$words")" \
        "mend the file it names (Debian's own: sudo rm /etc/nginx/sites-enabled/default), or start nginx, then: esteira retry"
}

# Called after point_to. nginx's file of the service is the same for every release, so nginx reads it once. Again only when
# this bundle's proxy.conf is another one, or nginx does not answer by it: a reload closes idle kept-alive connections,
# which costs the request that is on its way on one.
install_site() {
    sed -e "s|@SERVICE@|$SERVICE|g" -e "s|@VARIABLE@|${SERVICE//-/_}|g" -e "s|@LISTEN@|$LISTEN|g" \
        -e "s|@CONF_DIR@|$CONF_DIR|g" -e "s|@ACCESS_LOG@|$ACCESS_LOG|g" "${HOOKS%/*}/proxy.conf" >"$SITE.new"
    if [[ -e $SITE && $(<"$SITE.new") == "$(<"$SITE")" ]]; then
        rm -f "$SITE.new"
        [[ $(answer_of "$(health_path "$(live_now)")") == *" $(live_now) " ]] || reload_proxy
    else
        if [[ -e $SITE ]]; then cp "$SITE" "$SITE.former"; fi
        mv "$SITE.new" "$SITE"
        reload_proxy
    fi
    rm -f "$SITE.former"
}

# point_to CONTAINER: the link is replaced by a rename, so that every request finds the one or the other.
point_to() {
    mkdir -p "$NAMES"
    if [[ $1 == "${CANDIDATE:-}" ]]; then say "${FOUND:-}" >"$NAMES/$1.new" && mv "$NAMES/$1.new" "$NAMES/$1"; fi
    [[ -e $NAMES/$1 ]] || : >"$NAMES/$1"
    ln -sfn "${NAMES##*/}/$1" "$LIVE.new"
    mv -T "$LIVE.new" "$LIVE"
}

# turn_proxy CONTAINER: send new requests there.
turn_proxy() {
    live_now >"$BEFORE.new"
    mv "$BEFORE.new" "$BEFORE"
    point_to "$1"
    install_site
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
        rm -rf "$LIVE" "$NAMES"
    fi
    rm -f "$BEFORE"
}

# Names of containers that are no more.
forget_names() {
    local file known
    known=" $(containers | tr '\n' ' ') $(live_now) "
    for file in "$NAMES"/*; do
        [[ $known == *" ${file##*/} "* ]] || rm -f "$file"
    done
}

# drain CONTAINER SECONDS: wait until nothing is open to it, so long at most; OPEN is what was left.
drain() {
    local port quiet=0 end
    end=$((${EPOCHREALTIME/[.,]/} + ($2 > 0 ? $2 : 1) * 1000000)) # SECONDS is whole ones: up to one less than promised
    port=$(label "$1" port)
    while sleep 0.5; do # first: a request that read the link before the turn may not be connected yet
        OPEN=$(connections "$port")
        if ((OPEN)); then quiet=0; else quiet=$((quiet + 1)); fi
        ((quiet < 2 && ${EPOCHREALTIME/[.,]/} < end)) || return 0
    done
}
