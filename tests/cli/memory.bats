bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    mini=$DK_ROOT/tests/golden/mini/mini.gguf
    lora=$DK_ROOT/tests/golden/mini/lora-plain
    export OMP_WAIT_POLICY=passive
}

@test "--memory: what cannot fit is refused before the weights are read" {
    dk-tokenize -q -m "$mini" --max-samples 20 --max-tokens 64 -o t.tok.h5 "$DK_ROOT/data/text/general-a.jsonl"
    for tool in dk-kl dk-topk dk-extract; do
        run -1 --separate-stderr "$tool" -m "$mini" -f "$lora" --memory 0.0001 -o out.h5 t.tok.h5
        [[ "$stderr" == "$tool: error: $mini: 2 lanes take "*" GB at least (weights "*"), 0.00 GB are allowed" ]]
        [ ! -e out.h5 ]
    done
    run -1 --separate-stderr dk-generate -m "$mini" -f "$lora" --memory 0.0001 hello
    [[ "$stderr" == "dk-generate: error: $mini: 2 lanes take "* ]]
    run -2 --separate-stderr dk-kl -m "$mini" -f "$lora" --memory -1 t.tok.h5
    [[ "$stderr" == *--memory* ]]
}

@test "--memory: a smaller batch changes no byte; a text that does not fit is named" {
    dk-tokenize -q -m "$mini" --max-samples 20 --max-tokens 60 -o t.tok.h5 "$DK_ROOT/data/text/general-a.jsonl"
    dk-kl -m "$mini" -f "$lora" --max-tokens 0 -o all.score.h5 t.tok.h5
    for gb in 0.0012 0.0015 0.002 0.003; do
        run --separate-stderr dk-kl -v -m "$mini" -f "$lora" --max-tokens 0 --memory $gb -o some.score.h5 t.tok.h5
        if [ "$status" = 0 ]; then
            cmp all.score.h5 some.score.h5
            [[ "$stderr" != *"tokens of a lane in one pass instead of 1152"* ]] || smaller=1
        fi
    done
    [ "$smaller" = 1 ]
    dk-tokenize -q -m "$mini" --fixed-tokens 200 --max-samples 1 -o long.tok.h5 "$DK_ROOT/data/text/general-a.jsonl"
    run -1 --separate-stderr dk-kl -m "$mini" -f "$lora" --max-tokens 0 --memory 0.002 long.tok.h5
    [[ "$stderr" == "dk-kl: error: a text of 200 tokens does not fit into memory beside the weights: "*"--max-tokens)" ]]
}

@test "a null of full weights takes no more memory for more layers" {
    helper=$(dirname "$(dirname "$(command -v dk-kl)")")/helper
    for n in 1 8; do
        "$helper/dk-random-model" base$n $n 384 1536 6 4096
        cp -r base$n full$n
        "$helper/dk-fixture" edit base$n/model.safetensors full$n/model.safetensors scale weight 1.01
        dk-run --stage null null$n/model.safetensors dk-null -q -m base$n -f full$n -o null$n/model.safetensors
        [ "$(stat -c %s null$n/model.safetensors)" -gt $((n * 9000000)) ]
        peak[n]=$(jq .peak_bytes null$n/model.safetensors.time)
    done
    echo "${peak[1]} ${peak[8]}"
    # the weights of seven layers: 33 MB of the base, 66 of the finetune
    [ $((peak[8] - peak[1])) -lt 8000000 ]
}

# bats test_tags=slow
@test "a pair of bf16 models of 1.7 billion weights takes 1.1 times its weights and its batch" {
    "$(dirname "$(dirname "$(command -v dk-kl)")")"/helper/dk-random-model m 24 2048 8192 32 49152
    dk-tokenize -q -m "$DK_TEST_MODEL" --max-samples 2 --max-tokens 64 -o t.tok.h5 "$DK_ROOT/data/text/general-a.jsonl"
    dk-run --stage pair big.score.h5 dk-kl -q -m m -f m/lora --max-tokens 0 -o big.score.h5 t.tok.h5
    weights=$(stat -c %s m/model.safetensors)
    echo "peak $(jq .peak_bytes big.score.h5.time), weights $weights"
    jq -e --argjson w "$weights" '.peak_bytes < 1.1 * $w' big.score.h5.time
    run -1 --separate-stderr dk-kl -m m -f m/lora --memory 3.4 t.tok.h5
    [[ "$stderr" == "dk-kl: error: m: 2 lanes take 3."*", 3.40 GB are allowed" ]]
}
