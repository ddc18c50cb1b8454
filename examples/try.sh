#!/usr/bin/env bash
# Takes each example from a fresh folder to live, as a newcomer would: git init, esteira local up, git push.
# Prints how long each took, from the push to live, and how many files had to be added to a repository that knew nothing
# of esteira. Words after -- go to esteira local up.
#
#   examples/try.sh                     all examples that need no R
#   examples/try.sh flask streamlit     some
#   examples/try.sh -- --engine process
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
esteira=${ESTEIRA:-$root/.venv/bin/esteira}
names=() options=()
while (($#)) && [[ $1 != -- ]]; do names+=("$1") && shift; done
if (($#)); then options=("${@:2}"); fi
# heart-r brings hooks of its own and R: it needs a Docker engine, and tests/docker takes it through.
if ((${#names[@]} == 0)); then
    for folder in examples/*/; do
        name=$(basename "$folder")
        [[ $name == heart-r || ! -e $folder/Dockerfile ]] || names+=("$name")
    done
fi

fail() {
    echo "$*" >&2
    [[ ! -e $work/up.log ]] || tail -n 20 "$work/up.log" >&2
    exit 1
}

# wait_for SECONDS COMMAND...: until it is true; false at the deadline, or once esteira has ended.
wait_for() {
    local deadline=$((SECONDS + $1))
    until "${@:2}"; do
        ((SECONDS < deadline)) && kill -0 "$up" 2>/dev/null || return 1
        sleep 0.2
    done
}

# told EXPRESSION: of what the running stack says about itself.
told() { python3 -c "import json; told = json.load(open('.esteira/local.json')); print($1)"; }

# follow COMMIT: to its end; false while there is no such release yet.
follow() {
    status=0
    "$esteira" tail "$1" --timeout 10m >"$work/tail.log" 2>&1 || status=$?
    ((status != 2))
}

stop() {
    [[ -z ${up:-} ]] || { kill -INT "$up" 2>/dev/null && wait "$up" || :; }
    up=
}
trap stop EXIT

# try NAME: sets TOOK.
try() {
    local commit began page
    work=$(mktemp -d)
    cp -r "$root/examples/$1" "$work/$1"
    cd "$work/$1"
    git init --quiet --initial-branch main
    git add --all
    git -c user.name=newcomer -c user.email=newcomer@example.org commit --quiet --message "my model"
    "$esteira" local up "${options[@]}" >"$work/up.log" 2>&1 &
    up=$!
    wait_for 60 test -e .esteira/local.json || fail "$1: esteira local up did not come up"
    began=${EPOCHREALTIME/[.,]/}
    git push --quiet "$(told "next(iter(told['remotes'].values()))")" main 2>"$work/push.log" ||
        fail "$1: git push failed: $(<"$work/push.log")"
    commit=$(git rev-parse HEAD)
    if ! wait_for 600 follow "$commit" || ((status)); then fail "$1 did not go live: $(tail -n 30 "$work/tail.log")"; fi
    TOOK=$(((${EPOCHREALTIME/[.,]/} - began) / 100000))
    page=$(told "next(iter(told['pages'].values()))")
    curl --silent --show-error --noproxy '*' --max-time 10 --output /dev/null "$page" || fail "$1: nothing answers at $page"
    ADDED=$(git ls-files | grep -cE '^(buildspec\.ya?ml|esteira\.yaml|appspec\.ya?ml|golden\.json)$' || :)
    stop
    cd "$root"
    rm -rf "$work"
}

printf '%-16s %10s   %s\n' example "seconds" "files added"
for name in "${names[@]}"; do
    try "$name"
    printf '%-16s %10s   %s\n' "$name" "$((TOOK / 10)).$((TOOK % 10))" "$ADDED"
done
