# shellcheck shell=bash
# Sourced after containers.sh: the service's place in nginx.
#
# The state is where a person would look for it. What is live: the line "# live: CONTAINER" of the service's nginx file.
# A swap that has not come to its end: that file's former text beside it, as .before (empty: there was none).

SITE=$CONF_DIR/esteira-$SERVICE.conf
CLOSING=$SITE.closing # while it is there, nginx keeps no client's connection alive

# live_in FILE: the container an nginx file names, or nothing.
live_in() { sed -n 's/^# live: //p' "$1" 2>/dev/null || :; }

what_is_live() {
    local live
    live=$(live_in "$SITE")
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

# await_answer PATH PATTERN: wait until the proxy's answer matches, 10 s at most: a reloading nginx still answers from
# its former configuration for a moment. The last answer is left in ANSWER.
await_answer() {
    local deadline=$((SECONDS + 10))
    while ANSWER=$(answer_of "$1") && ANSWER=${ANSWER% }; do
        # shellcheck disable=SC2053 # a pattern on purpose
        [[ $ANSWER == $2 ]] && return 0
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

reload_proxy() {
    local words
    words=$("${NGINX[@]}" -t 2>&1 && "${NGINX[@]}" -s reload 2>&1) ||
        fail "nginx -t and reload of $SITE: expected success, got: $(grep -m 1 'emerg\|error' <<<"$words" || say "$words")" \
            "mend the file it names (Debian's own: sudo rm /etc/nginx/sites-enabled/default), or start nginx, then: esteira retry"
}

# A reload closes idle kept-alive connections at once, and a request that is on its way on one of them is lost (before
# nginx 1.27.4's keepalive_min_timeout). Those who ask often are the ones it would meet: each of them is told with its next
# answer that this was the connection's last.
forewarn() {
    : >"$CLOSING"
    sleep 0.4 >/dev/null 2>&1 9>&- & # the time for it passes beside what else is to do
    FOREWARNED=$!
}

# turn_proxy CONTAINER PORT: after forewarn, send new requests there. nginx's file appears whole (a rename) or not at all.
turn_proxy() {
    if [[ -e $SITE ]]; then cp "$SITE" "$SITE.copy"; else : >"$SITE.copy"; fi
    mv "$SITE.copy" "$SITE.before"
    sed -e "s|@SERVICE@|$SERVICE|g" -e "s|@VARIABLE@|${SERVICE//-/_}|g" -e "s|@CONTAINER@|$1|g" -e "s|@PORT@|$2|g" \
        -e "s|@LISTEN@|$LISTEN|g" -e "s|@CONF_DIR@|$CONF_DIR|g" "${HOOKS%/*}/proxy.conf" >"$SITE.new"
    wait "$FOREWARNED"
    mv "$SITE.new" "$SITE"
    reload_proxy
    rm -f "$CLOSING"
}

# Send requests where they went before the turn. .before goes last: cut off, this is begun anew.
turn_back() {
    local former
    [[ -e $SITE.before ]] || return 0
    forewarn
    if [[ -s $SITE.before ]]; then cp "$SITE.before" "$SITE.new" && mv "$SITE.new" "$SITE"; else rm -f "$SITE"; fi
    wait "$FOREWARNED"
    "${NGINX[@]}" -s reload 2>&1
    former=$(live_in "$SITE")
    [[ -z $former ]] || await_answer "$HEALTH_PATH" "* $former"
    rm -f "$CLOSING" "$SITE.before"
}

# former_workers: how many processes of this nginx still end what they began before the last turn.
former_workers() {
    local file master status count=0
    file=$(sed -n 's/^[[:space:]]*pid[[:space:]]\{1,\}\([^;]*\);.*/\1/p' "$NGINX_CONF" | head -n 1)
    master=$(cat "${file:-/run/nginx.pid}" 2>/dev/null || :)
    for status in $(grep -ls "^PPid:[[:space:]]*${master:-none}\$" /proc/[0-9]*/status || :); do
        if grep -qs 'shutting down' "${status%status}cmdline"; then count=$((count + 1)); fi
    done
    say "$count"
}

# drain CONTAINER SECONDS: wait until nothing is open to it, so long at most; OPEN is what was left. A client that is
# connected and has not asked yet will ask one of nginx's former workers, which knows only this container: while there is
# such a worker, ten quiet seconds are waited for and not one (it may be there for another service's WebSocket).
drain() {
    local port quiet=0 end
    end=$((${EPOCHREALTIME/[.,]/} + ($2 > 0 ? $2 : 1) * 1000000)) # SECONDS is whole ones: up to one less than promised
    port=$(label "$1" port)
    while sleep 0.5; do # first: nginx's former workers take new requests for a moment yet
        OPEN=$(connections "$port")
        if ((OPEN)); then quiet=0; else quiet=$((quiet + 1)); fi
        if ((quiet >= 2)) && (($(former_workers) == 0 || quiet >= 20)); then return; fi
        ((${EPOCHREALTIME/[.,]/} < end)) || return 0
    done
}
