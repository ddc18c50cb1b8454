#!/usr/bin/env bash
# ApplicationStart: send new requests to the release that AfterInstall started. A link that names the container is replaced,
# and nginx reads nothing anew: a reload would close connections that clients keep, with a request on its way on one or the
# other. Requests and WebSockets that are open stay where they are until ValidateService stops the old container.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=host.sh
. "$(dirname "$0")/host.sh"

# The service's nginx file, the same for every release. Your own directives go into the directory it includes.
site() {
    local name=esteira_${SERVICE//-/_}
    cat <<END
# Written for $SERVICE: edits are lost. Your own go into $CONF_DIR/esteira-$SERVICE.d/*.conf.

map \$http_upgrade \$${name}_connection {
    default upgrade;
    '' '';
}

server {
    listen $LISTEN default_server;

    # What is live is a link to CONTAINER-PORT.
    root $LIVE;
    if (\$realpath_root ~ "/([^/]+-([0-9]+))\$") {
        set \$${name} \$1;
        set \$${name}_port \$2;
    }
    add_header X-Esteira-Release \$${name} always; # which container answered: ValidateService relies on it
    include $CONF_DIR/esteira-$SERVICE.d/*.conf;

    location / {
        proxy_pass http://127.0.0.1:\$${name}_port;
        proxy_http_version 1.1;
        proxy_set_header Host \$http_host;
        proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto \$scheme;
        proxy_set_header Upgrade \$http_upgrade;
        proxy_set_header Connection \$${name}_connection;
        proxy_read_timeout 3600s; # a Shiny page left open says nothing for long
    }
}
END
}

reload() {
    local words
    words=$("${NGINX[@]}" -t 2>&1 && "${NGINX[@]}" -s reload 2>&1) ||
        fail "nginx -t and reload of $SITE: expected success, got: $(grep -m 1 'emerg\|error' <<<"$words" || say "$words")" \
            "mend the file it names, or start nginx, then: esteira retry"
}

# What was live is written down first; empty where nothing was, and then nginx has to read the file.
turn() {
    local former
    former=$(live_now)
    say "$former" >"$SITE.before.new"
    mv "$SITE.before.new" "$SITE.before"
    site >"$SITE.new"
    if [[ -n $former && $(<"$SITE.new") == "$(cat "$SITE" 2>/dev/null)" ]]; then
        rm -f "$SITE.new"
    else
        [[ -L $LIVE ]] || point_to "${former:-$CANDIDATE}"
        mv "$SITE.new" "$SITE"
        reload
    fi
    point_to "$CANDIDATE"
}

lock_host
read_candidate
if [[ $(live_now) != "$CANDIDATE" ]]; then turn; fi
say "$CANDIDATE takes the traffic"
