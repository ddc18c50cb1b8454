#!/usr/bin/env bash
# ApplicationStart: send new requests to the release that AfterInstall started. nginx reads its file anew; requests and
# WebSockets that are open stay where they are, with its former workers, until ValidateService stops the old container.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=host.sh
. "$(dirname "$0")/host.sh"

# site CONTAINER PORT: the service's nginx file. Your own directives go into the directory it includes.
site() {
    local name=esteira_${SERVICE//-/_}
    cat <<END
# Written by every release of $SERVICE: edits are lost. Your own go into $CONF_DIR/esteira-$SERVICE.d/*.conf.
# live: $1

map \$http_upgrade \$${name}_connection {
    default upgrade;
    '' '';
}

server {
    listen $LISTEN default_server;
    add_header X-Esteira-Release $1 always; # which container answered: ValidateService relies on it
    include $CONF_DIR/esteira-$SERVICE.d/*.conf;

    location / {
        proxy_pass http://127.0.0.1:$2;
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

# The file appears whole (a rename) or not at all; its former text, empty where there was none, is kept beside it.
write_site() {
    if [[ -e $SITE ]]; then cp "$SITE" "$SITE.copy"; else : >"$SITE.copy"; fi
    mv "$SITE.copy" "$SITE.before"
    site "$CANDIDATE" "$(inspect "$CANDIDATE" '{{index .Config.Labels "esteira.port"}}')" >"$SITE.new"
    mv "$SITE.new" "$SITE"
}

reload() {
    local words
    words=$("${NGINX[@]}" -t 2>&1 && "${NGINX[@]}" -s reload 2>&1) ||
        fail "nginx -t and reload of $SITE: expected success, got: $(grep -m 1 'emerg\|error' <<<"$words" || say "$words")" \
            "mend the file it names, or start nginx, then: esteira retry"
}

lock_host
read_candidate
if [[ $(live_in "$SITE") != "$CANDIDATE" ]]; then write_site; fi
reload
say "$CANDIDATE takes the traffic"
