# shellcheck shell=bash disable=SC2153 # PORT is the release's
# Sourced by ApplicationStart after proxy.sh: the service's nginx file, and the network on which nginx reaches containers.

# Every container of esteira is on this network, where nginx reaches it without Docker's proxy, which would cost as much
# processor time as nginx itself. Containers do not reach one another.
NETWORK=${ESTEIRA_NETWORK:-esteira}

subnet() { docker network inspect "$NETWORK" --format '{{(index .IPAM.Config 0).Subnet}}' 2>/dev/null || :; }

# Made once and kept. Docker chooses the addresses, so that they are nobody else's here, but lets a container have a
# certain one only where they were said when the network was made. So it is made twice.
make_network() {
    local chosen
    [[ -z $(subnet) ]] || return 0
    docker network create "$NETWORK-new" >/dev/null 2>&1 || :
    chosen=$(NETWORK=$NETWORK-new subnet)
    docker network rm "$NETWORK-new" >/dev/null 2>&1 || :
    docker network create --subnet "$chosen" --opt com.docker.network.bridge.enable_icc=false "$NETWORK" >/dev/null 2>&1 || :
}

# address_of PORT: of the container that is published on 127.0.0.1:PORT. Ports are everybody's own on a host, and so are
# these addresses: nginx's file stays as it is while containers come and go. Empty: the network is too small for that.
address_of() {
    local net
    net=$(subnet)
    if [[ $net == *.0.0/16 ]]; then say "${net%.0.0/16}.$(($1 / 256)).$(($1 % 256))"; fi
}

# server_for CONTAINER PORT: where nginx reaches it, or would reach one like it on that port. Where its address cannot be
# reached (an engine in a machine of its own) or is not known (a container of an earlier esteira), by the port on 127.0.0.1.
server_for() {
    local inner
    inner=$(inner_port "$1")
    if [[ -n $(inspect "$1" "{{with index .NetworkSettings.Networks \"$NETWORK\"}}{{.IPAddress}}{{end}}") ]] &&
        timeout 2 bash -c ": </dev/tcp/$(address_of "${1##*-}")/$inner" 2>/dev/null; then
        say "$(address_of "$2"):$inner"
    else
        say "127.0.0.1:$2"
    fi
}

# Ports that nginx knows as leading to another port inside: until it has read its file anew, it would look there.
other_inner_port() {
    local here server
    for here in $(ports_in "$SITE"); do
        server=$(server_of "$here")
        [[ $server == 127.0.0.1:* || $server == *:$PORT ]] || printf '%s ' "$here"
    done
}

# free_ports COUNT: ports that no container of esteira has, running or stopped (a stopped one may be started again), on which
# nobody listens, and which are no other service's; first those that nginx knows as this service's. Not that of the live
# one either, should somebody have removed it: the names would be equal, and a swap needs two.
free_ports() {
    local here taken live found=0
    live=$(live_now)
    taken=" ${live##*-} $(other_inner_port) $(docker ps --all --filter label=esteira.port --format '{{.Label "esteira.port"}}' | tr '\n' ' ')"
    for here in "$CONF_DIR"/esteira-*.conf; do
        if [[ $here != "$SITE" ]]; then taken+=$(ports_in "$here" | tr '\n' ' '); fi
    done
    for here in $(ports_in "$SITE") $(seq "$FIRST_PORT" $((FIRST_PORT + 99))); do
        if [[ $taken != *" $here "* ]] && ! (: <"/dev/tcp/127.0.0.1/$here") 2>/dev/null; then
            say "$here"
            taken+="$here "
            found=$((found + 1))
        fi
        ((found < $1)) || return 0
    done
}

reload_proxy() {
    local words
    words=$("${NGINX[@]}" -t 2>&1 && "${NGINX[@]}" -s reload 2>&1) && return
    if [[ -e $SITE.former ]]; then mv "$SITE.former" "$SITE"; fi # nginx can start again as it was
    fail "nginx -t and reload of $SITE: expected success, got: $(grep -m 1 'emerg\|error' <<<"$words" || say "$words")" \
        "mend the file it names (Debian's own: sudo rm /etc/nginx/sites-enabled/default), or start nginx, then: esteira retry"
}

# upstreams CONTAINER: three, a line each: its own, the live one's, and what nginx has already or would be next. Only the
# container's own is looked up, the others serve or do not matter yet.
upstreams() {
    local own live port server
    own=$(server_for "$1" "${1##*-}")
    live=$(live_now)
    {
        say "${1##*-}"
        say "${live##*-}"
        ports_in "$SITE"
        free_ports 3
    } | awk '/./ && !seen[$0]++ && n++ < 3' | sort -n | while read -r port; do
        server=$(server_of "$port")
        if [[ $port == "${1##*-}" ]]; then
            server=$own
        elif [[ -z $server ]]; then
            server=$(server_for "$(if [[ $live == *-$port ]]; then say "$live"; else say "$1"; fi)" "$port")
        fi
        say "upstream esteira_${VARIABLE}_$port { server $server; keepalive 1024; keepalive_requests 100000; keepalive_timeout 1s; }"
    done
}

# site CONTAINER: the text of the service's nginx file, with which the container can be reached.
site() {
    local text body="client_max_body_size ${MAX_BODY_MB}m;" lines
    text=$(<"${HOOKS%/*}/proxy.conf")
    if grep -qs '^ *client_max_body_size' "$CONF_DIR/esteira-$SERVICE.d"/*.conf; then body="# client_max_body_size is your own"; fi
    lines=$(upstreams "$1")
    text=${text//@UPSTREAMS@/"$lines"}
    text=${text//@CHOICES@/"$(printf '%s\n' "$lines" | sed 's/^upstream \(esteira_[a-z0-9_]*_\([0-9]*\)\) .*/    \2 \1;/')"}
    text=${text//@SERVICE@/"$SERVICE"}
    text=${text//@VARIABLE@/"$VARIABLE"}
    text=${text//@LISTEN@/"$LISTEN"}
    text=${text//@DEFAULT@/"$(default_of_host)"}
    text=${text//@ACCESS_LOG@/"$ACCESS_LOG"}
    text=${text//@MAX_BODY@/"$body"}
    text=${text//@MAX_BODY_MB@/"$MAX_BODY_MB"}
    text=${text//@RESPONSE_SECONDS@/"$RESPONSE_SECONDS"}
    text=${text//@LIVE@/"$LIVE"}
    say "${text//@CONF_DIR@/"$CONF_DIR"}"
}

# install_site CONTAINER: called before the traffic turns there. The file is the same for every release of a service, so
# nginx reads it once. Again only when it is another one (a new esteira, another port inside the container, other limits),
# or nginx does not answer by it: a reload closes idle kept-alive connections, which costs the request that is on its way
# on one.
install_site() {
    site "$1" >"$SITE.new"
    if [[ -e $SITE && ! -e $SITE.former && $(<"$SITE.new") == "$(<"$SITE")" ]]; then
        rm -f "$SITE.new"
        [[ $(answer_of "$(health_path "$(live_now)")") == *" $(live_now) " ]] || reload_proxy
    else
        if [[ -e $SITE ]]; then cp "$SITE" "$SITE.former"; fi
        mv "$SITE.new" "$SITE"
        reload_proxy
    fi
    rm -f "$SITE.former"
}

