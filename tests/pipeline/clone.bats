# A fresh clone: make builds the tools before it decides anything, also for
# `make -n`.  The compiler is a stand-in that "links" by copying, so this is
# about order, not about C.
load ../helper/common

setup_more() {
    git clone -q "$ROOT" clone 2> /dev/null || skip "this is no git checkout"
    (cd "$ROOT" && tar cf - Makefile pipelines configs lib tools) | tar xf - -C clone
    export STUB=$PWD/stub BUILT=$(dirname "$(command -v dk-conf)") ROOT
    mkdir stub bin
    cat > bin/cc <<'EOF'
#!/bin/bash
# Questions about the machine's libraries are the real compiler's.
case "$*" in *.tmp*) exec gcc "$@" ;; esac
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
case $out in
*/bin/dk-conf | */bin/dk-fetch | */bin/dk-run) cp "$BUILT/${out##*/}" "$out" ;;
*/bin/*) cp "$ROOT/tests/helper/stub-tool" "$out" ;;
*) touch "$out" ;;
esac
EOF
    chmod +x bin/cc
    mkdir -p "$DK_CACHE/models/SmolLM2-135M"
    echo model > "$DK_CACHE/models/SmolLM2-135M/SmolLM2-135M-Instruct.Q4_1.gguf"
    unset MAKEFLAGS MFLAGS MAKELEVEL B
    cd clone || return 1
    for t in check tokenize kl topk mine extract mean lens generate report; do [ -f tools/dk-$t.c ] || touch tools/dk-$t.c; done
}
mk() { make --no-print-directory CC="$BATS_TEST_TMPDIR/w/bin/cc" kl.use_chat_dataset=true "$@"; }

@test "make -n on a fresh clone tells the truth, and changes no result" {
    run -0 mk -n cake_bake
    [ "$(grep -c 'RUN   ' <<< "$output")" = 25 ]
    [ ! -e results ]
    run -0 mk cake_bake
    [ -f results/SmolLM2-135M/cake_bake/summary.txt ]
    run -0 mk -n cake_bake
    [[ "$output" != *RUN* ]]
}

@test "a tool that was rebuilt reruns nothing while its algorithm number stands" {
    mk cake_bake
    sleep 0.02
    touch tools/dk-kl.c
    run -0 mk cake_bake
    [[ "$output" == *"LINK  build/bin/dk-kl"* ]]
    [[ "$output" != *RUN* ]]
}
