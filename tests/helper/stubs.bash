# Loaded by tests of graphs on stand-ins: here a copy of graphs, configurations and
# texts, bin/ with the tools that only look (conf, fetch, run) as they are and all
# others as stubs, which note their calls in $STUB; the default model as if fetched.
stubs_here() {
    local t
    cp -r "$ROOT/pipelines" "$ROOT/configs" "$ROOT/data" .
    mkdir bin stub
    export STUB=$PWD/stub
    for t in conf fetch run; do ln -s "$(command -v dk-$t)" bin/; done
    for t in check tokenize kl topk mine extract mean norms encode examples pca lens null calibrate generate phrases grade report; do
        ln -s "$ROOT/tests/helper/stub-tool" bin/dk-$t
    done
    # DK_CACHE is this test's own.
    mkdir -p "$DK_CACHE/models/SmolLM2-135M"
    echo model > "$DK_CACHE/models/SmolLM2-135M/SmolLM2-135M-Instruct.Q4_1.gguf"
    unset MAKEFLAGS MFLAGS MAKELEVEL
}
