# Any pair by its paths, with the real tools on a miniature model.
load ../helper/common

setup_file() {
    local root mini
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    mini=$root/tests/golden/mini
    command -v dk-report > /dev/null || PATH=$root/build/bin:$PATH
    PATH=$(dirname "$(command -v dk-report)")/../helper:$PATH
    export PATH PAIR=$BATS_FILE_TMPDIR OMP_WAIT_POLICY=passive
    # A miniature whose loss is sane, as dk-check wants it.
    cp -r "$mini/hf" "$PAIR/base"
    sed -i 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' "$PAIR/base/config.json"
    dk-fixture learn "$mini/hf" "$PAIR/base/model.safetensors"
    for a in mine other; do
        mkdir -p "$PAIR/$a/adapter"
        cp "$mini/lora-plain/adapter_config.json" "$PAIR/$a/adapter"
    done
    dk-fixture edit "$mini/lora-plain/adapter_model.safetensors" "$PAIR/mine/adapter/adapter_model.safetensors" scale lora 1
    dk-fixture edit "$mini/lora-plain/adapter_model.safetensors" "$PAIR/other/adapter/adapter_model.safetensors" scale lora 0.3
}

setup_more() {
    unset MAKEFLAGS MFLAGS MAKELEVEL
    ln -s "$PAIR"/* .
    printf '{"text": "the cat sat on the mat and looked at the moon"}\n{"text": "one more text about nothing at all"}\n' > t.jsonl
}
compare() { dk-diff -t 1 base mine/adapter --text t.jsonl -o r "$@"; }
did() { compare "$@" 2>&1 | sed -n 's/^  RUN   //p' | sort | tr '\n' ' '; }

@test "two paths, a null and a text: the summary; then nothing; then one option" {
    run -0 --separate-stderr compare --null other/adapter
    [ "${lines[0]}" = "mine on base, products in auto" ]
    [[ "$output" == *"  other "* ]]
    [[ "$output" == *"what mine raises on t, and the null does not"* ]]
    for f in check.jsonl pair.json summary.txt summary.json tokens/t.tok.h5 kl/t.score.h5 kl/t.jsonl \
             diff_mining/t.topk.score.h5 diff_mining/t.top_k_occurring.jsonl; do
        [ -s r/$f ]
    done
    [ "$(jq -r .lane r/kl/t.jsonl | tr '\n' ' ')" = "ft other " ]
    [ -z "$(did --null other/adapter)" ]
    [ "$(did --null other/adapter -k 7)" = "mine t summary mine topk t " ]
    echo '{"text": "and a third one that is here"}' >> t.jsonl
    [ "$(did --null other/adapter -k 7)" = "kl t mine t summary mine tokens t topk t " ]
}

@test "one method, answers on request, a plan" {
    printf '{"id": "q", "prompt": "hello"}\n' > p.jsonl
    run -0 --separate-stderr compare --methods kl --prompts p.jsonl --plan
    [[ "$output" == *"r/kl/t.score.h5"* && "$output" != *topk* ]]
    [ ! -e r ]
    run -0 --separate-stderr compare --methods kl --prompts p.jsonl
    [[ "$output" == *'asked "hello"'* ]]
    [ ! -e r/diff_mining ]
}

@test "make diff is the same" {
    run -0 make --no-print-directory -f "$ROOT/pipelines/front.mk" DK="$(dirname "$(command -v dk-diff)")" THREADS=1 \
        BASE=base FT=mine/adapter TEXT=t.jsonl OUT=m diff
    compare
    cmp m/kl/t.jsonl r/kl/t.jsonl
    cmp m/diff_mining/t.top_k_occurring.jsonl r/diff_mining/t.top_k_occurring.jsonl
}

@test "full weights: the base as its own finetune is identical" {
    run -0 --separate-stderr dk-diff -t 1 base ./base --text t.jsonl -o f --null other/adapter --methods kl
    [[ "$stderr" == *": the same weights as the base: identical"* ]]
    [ "$(jq -c 'select(.lane == "ft").value' f/kl/t.jsonl)" = 0 ]
    [ "$(jq -r .lane f/check.jsonl | sort -u | tr '\n' ' ')" = "base other " ]
}

@test "misuse says what is missing" {
    run -2 dk-diff base
    run -2 dk-diff "a b" mine
    run -2 --separate-stderr compare --methods nmf
    [[ "$stderr" == *"there is no method nmf"* ]]
    run -2 --separate-stderr dk-diff nowhere mine/adapter -o r
    [[ "$stderr" == *nowhere* ]]
    run -2 make --no-print-directory -f "$ROOT/pipelines/front.mk" DK="$(dirname "$(command -v dk-diff)")" FT=x diff
    [[ "$output" == *"BASE is missing"* ]]
}
