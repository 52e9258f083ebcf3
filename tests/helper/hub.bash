# Loaded by tests that fetch: a hub on this machine that serves ./srv.

# hub_start: starts it, and points every tool at it and at a cache of its own.
hub_start() {
    local bin
    bin=$(dirname "$(command -v dk-fetch)")/../helper
    [ -x "$bin/hub-server" ] || {
        echo "hub-server is not built: make helpers" >&2
        return 1
    }
    unset HF_HUB_CACHE HF_TOKEN HF_TOKEN_PATH HF_HUB_OFFLINE
    mkdir -p srv/fault hf
    "$bin/hub-server" "$PWD/srv" 3>&- &
    server=$!
    for _ in {1..400}; do [ -s srv/ports ] && break; sleep 0.05; done
    read -r hub_port cdn_port < srv/ports
    export HF_ENDPOINT=http://127.0.0.1:$hub_port HF_HOME=$PWD/hf no_proxy=127.0.0.1
}
hub_stop() {
    if [ -n "${server:-}" ]; then kill "$server"; fi
    server=
}

# repo OWNER/NAME REVISION COMMIT: its folder is srv/repos/OWNER/NAME/COMMIT.
repo() {
    mkdir -p "srv/repos/$1/refs" "srv/repos/$1/$3"
    echo "$3" > "srv/repos/$1/refs/$2"
}
fault() { echo "${*:2}" > "srv/fault/$1"; }
asked() { if [ -f srv/log ]; then grep -c -- "$1" srv/log; else echo 0; fi || true; }
