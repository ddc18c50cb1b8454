# shellcheck shell=bash
# Sourced after proxy.sh and switch.sh by ValidateService: the watcher, a unit of its own for each service, which goes on
# looking when the deployment is over. The bundle's folder goes away, so the unit runs a copy.

WATCHER_UNIT=esteira-watcher-$SERVICE.service
WATCHER_DIR=${ESTEIRA_WATCHER_DIR:-/usr/local/lib/esteira}/$SERVICE

# Started anew only where it is another one: what it has seen is what it compares with. A release is not called failed
# because nobody can watch it; the controller says that its host is silent.
install_watcher() {
    under_systemd || return 0
    local unit=${ESTEIRA_UNITS:-/etc/systemd/system}/$WATCHER_UNIT
    mkdir -p "$WATCHER_DIR"
    watcher_unit >"$unit.new"
    if cmp -s "$unit.new" "$unit" && diff -rq -x __pycache__ "${HOOKS%/*}/watcher" "$WATCHER_DIR/watcher" >/dev/null 2>&1; then
        rm -f "$unit.new"
        if systemctl is-active --quiet "$WATCHER_UNIT"; then return 0; fi
    else
        rm -rf "$WATCHER_DIR/watcher"
        cp -R "${HOOKS%/*}/watcher" "$WATCHER_DIR/watcher"
        mv "$unit.new" "$unit"
        systemctl daemon-reload
    fi
    systemctl enable --quiet "$WATCHER_UNIT"
    systemctl restart --no-block "$WATCHER_UNIT"
}

watcher_unit() {
    say "[Unit]" && say "Description=esteira: watches what is live of $SERVICE and reports it"
    say "After=docker.service nginx.service network-online.target"
    say "[Service]" && say "WorkingDirectory=$WATCHER_DIR"
    say "ExecStart=$(command -v python3) -B -m watcher $SERVICE $LIVE $ACCESS_LOG"
    say "Restart=always" && say "RestartSec=10" && say "Nice=5" && say "MemoryMax=256M"
    env | sed -n 's/^ESTEIRA_.*/Environment="&"/p'
    say "[Install]" && say "WantedBy=multi-user.target"
}
