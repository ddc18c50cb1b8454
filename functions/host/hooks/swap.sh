# shellcheck shell=bash
# Sourced after release.sh by the hooks that change what is live: the service's containers and its place in nginx.
#
# The state is where a person would look for it. What is live: the line "# live: CONTAINER" of the service's nginx file.
# A swap that is not validated yet: that file's former text beside it, as .before (empty: there was none). Was once
# accepted: the container's restart policy is unless-stopped; a candidate's is no, so that one left behind by a
# crash does not come back.

SITE=$CONF_DIR/esteira-$SERVICE.conf
CANDIDATE= # the container that `undo` takes away

# live_in FILE: the container an nginx file names, or nothing.
live_in() { sed -n 's/^# live: //p' "$1" 2>/dev/null || :; }

inspect() { docker inspect --type container --format "$2" "$1" 2>/dev/null || :; }

label() { inspect "$1" "{{index .Config.Labels \"esteira.$2\"}}"; }

is_running() { [[ $(inspect "$1" '{{.State.Running}}') == true ]]; }

# Every container of this service, running or not.
containers() { docker ps --all --filter "label=esteira.service=$SERVICE" --format '{{.Names}}'; }

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

# status_of URL: the HTTP status of GET URL, or curl's own words where no answer came.
status_of() {
    local words
    words=$(curl --silent --show-error --noproxy '*' --max-time 5 --output /dev/null --write-out '%{http_code}' "$1" 2>&1) ||
        words=${words%000}
    tr -d '\n' <<<"$words"
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

# turn_proxy CONTAINER PORT: send new requests there. nginx's file appears whole (a rename) or not at all.
turn_proxy() {
    local words
    if [[ -e $SITE ]]; then cp "$SITE" "$SITE.copy"; else : >"$SITE.copy"; fi
    mv "$SITE.copy" "$SITE.before"
    sed -e "s|@SERVICE@|$SERVICE|g" -e "s|@VARIABLE@|${SERVICE//-/_}|g" -e "s|@CONTAINER@|$1|g" -e "s|@PORT@|$2|g" \
        -e "s|@LISTEN@|$LISTEN|g" -e "s|@CONF_DIR@|$CONF_DIR|g" "${HOOKS%/*}/proxy.conf" >"$SITE.new"
    mv "$SITE.new" "$SITE"
    words=$("${NGINX[@]}" -t 2>&1 && "${NGINX[@]}" -s reload 2>&1) ||
        fail "nginx -t and reload of $SITE: expected success, got: $(grep -m 1 'emerg\|error' <<<"$words" || say "$words")" \
            "mend the file it names (Debian's own: sudo rm /etc/nginx/sites-enabled/default), or start nginx, then: esteira retry"
}

turn_back() {
    local former
    if [[ -s $SITE.before ]]; then mv "$SITE.before" "$SITE"; else rm -f "$SITE" "$SITE.before"; fi
    "${NGINX[@]}" -s reload 2>&1
    former=$(live_in "$SITE")
    [[ -z $former ]] || await_answer "$HEALTH_PATH" "* $former"
    sleep 1 # nginx's former workers hear of it a moment after the new ones began
}

# Take the candidate away again and show the end of its log: 50 lines, and no more than leaves room for the sentence.
undo() {
    [[ -n $CANDIDATE ]] || return 0
    if [[ $(live_in "$SITE") == "$CANDIDATE" ]]; then
        turn_back
        docker stop "$CANDIDATE" >/dev/null # what it is answering may end
    fi
    say "the log of $CANDIDATE ends:"
    docker logs --tail 50 "$CANDIDATE" 2>&1 | tail -c 900 | iconv -c -f UTF-8 -t UTF-8
    say
    docker rm --force "$CANDIDATE" >/dev/null
}
