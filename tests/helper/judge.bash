# Loaded by tests that ask a judge: a server on this machine that serves ./srv.

# judge_start: starts it; ask GRADES... asks it with the description in ./about.
judge_start() {
    local bin
    bin=$(dirname "$(command -v dk-grade)")/../helper
    [ -x "$bin/chat-server" ] || {
        echo "chat-server is not built: make helpers" >&2
        return 1
    }
    unset OPENROUTER_API_KEY
    mkdir -p srv
    "$bin/chat-server" "$PWD/srv" 3>&- &
    judge=$!
    for _ in {1..400}; do [ -s srv/port ] && break; sleep 0.05; done
    J=http://127.0.0.1:$(cat srv/port)/v1
    export no_proxy=127.0.0.1
    echo 'The finetune is about baking cakes.' > about
}
judge_stop() {
    if [ -n "${judge:-}" ]; then kill "$judge"; fi
    judge=
}

ask() { dk-grade -g llm --endpoint "$J" -j tiny -d about --parallel 1 "$@"; }
script() { printf '%s\n' "$@" > srv/script; }
asked() { if [ -f srv/log ]; then wc -l < srv/log; else echo 0; fi; }
again() { rm -f srv/log srv/script srv/request.*; }

# list TOKEN=VALUE...: a table of dk-mine.
list() {
    printf '%s\n' "$@" | jq -Rc --slurp 'rtrimstr("\n") / "\n" | to_entries[] | (.value / "=") as $t | {rank: (.key + 1), id: (.key + 101), token: $t[0],
        piece: ("Ġ" + $t[0]), value: ($t[1] | tonumber), ordering: "top_k_occurring", lane: "ft", dataset_id: "web"}'
}
