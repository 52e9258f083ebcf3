# Loaded by tests that run whole graphs: a miniature pair (two layers, vocabulary
# 512) in $PAIR, made once a file: base, with a loss that is sane, as dk-check
# wants it; full, its finetune with weights of its own; mine and other, adapters.
load ../helper/common

setup_file() {
    local root mini
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    mini=$root/tests/golden/mini
    command -v dk-report > /dev/null || PATH=$root/build/bin:$PATH
    PATH=$(dirname "$(command -v dk-report)")/../helper:$PATH
    export PATH PAIR=$BATS_FILE_TMPDIR OMP_WAIT_POLICY=passive
    cp -r "$mini/hf" "$PAIR/base"
    sed -i 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' "$PAIR/base/config.json"
    dk-fixture learn "$mini/hf" "$PAIR/base/model.safetensors"
    cp -r "$PAIR/base" "$PAIR/full"
    dk-fixture edit "$PAIR/base/model.safetensors" "$PAIR/full/model.safetensors" scale layers.1.mlp.up_proj 1.2
    for a in mine other; do
        mkdir -p "$PAIR/$a/adapter"
        cp "$mini/lora-plain/adapter_config.json" "$PAIR/$a/adapter"
    done
    dk-fixture edit "$mini/lora-plain/adapter_model.safetensors" "$PAIR/mine/adapter/adapter_model.safetensors" scale lora 1
    dk-fixture edit "$mini/lora-plain/adapter_model.safetensors" "$PAIR/other/adapter/adapter_model.safetensors" scale lora 0.3
}

# Links to the models, and a small text.
pair_here() {
    unset MAKEFLAGS MFLAGS MAKELEVEL
    bin=$(dirname "$(command -v dk-report)")
    ln -s "$PAIR"/{base,full,mine,other} .
    printf '{"text": "the cat sat on the mat and looked at the moon"}\n{"text": "one more text about nothing at all"}\n' > t.jsonl
}

# did COMMAND...: the stages that it runs, sorted, in one line.
did() { "$@" 2>&1 | sed -n 's/^  RUN   //p' | sort | tr '\n' ' '; }
# The results of a folder, as digests; what a run took, or who ran it, is no result.
digests() {
    (cd "$1" && find . -type f ! -name '*.time' ! -name '*.args' ! -name 'summary.*' ! -name .lock \
        -exec sha256sum {} + | sort -k 2)
}
