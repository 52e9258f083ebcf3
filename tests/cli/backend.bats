# Tools on a card: the CUDA backend with its kernels, runtime and product library
# emulated on the CPU (tests/cuemu), against the CPU backend.
load ../helper/pair

setup_file_more() {
    export EMU
    EMU=$(cd "$(dirname "$(command -v dk-kl)")/.." && pwd)/lib/libdk_cuda_emu.so
    if [ ! -e "$EMU" ]; then
        echo "$EMU is not built: make libdk_cuda_emu" >&2
        return 1
    fi
    dk-tokenize -m "$G" -n 3 --max-tokens 20 -o few.tok.h5 "$ROOT/data/text/general-a.jsonl"
}

setup_more() {
    T=$BATS_FILE_TMPDIR/few.tok.h5
    export DK_CUDA_LIB=$EMU DK_CUBLASLT_LIB=$EMU
    unset DK_DEVICES
    P=(-m "$G" -f "$PLAIN")
}

# both FILE COMMAND...: FILE with its name's stem and .cpu or .cuda, once on each.
both() {
    local file=$1 b
    shift
    for b in cpu cuda; do
        run -0 --separate-stderr "$@" --backend $b -o "$b.$file"
        [ -z "$stderr" ]
    done
}

# alike FILE TOLERANCE NAME...: these data sets of both.
alike() {
    local file=$1 t=$2 n
    shift 2
    for n; do
        paste <(dk-values "cuda.$file" "$n" | tr -s ' \t' '\n') <(dk-values "cpu.$file" "$n" | tr -s ' \t' '\n') |
            grep -v nan > pairs
        near "$t" < pairs || { echo "$n"; return 1; }
    done
}

@test "dk-kl: divergences, probabilities, lists and sums, both dtypes" {
    for t in f32 bf16; do
        both $t.score.h5 dk-kl "${P[@]}" --dtype $t --arith plain -k 5 --top-tokens 4 --null pattern="$PATTERN" "$T"
        alike $t.score.h5 "$([ $t = f32 ] && echo 2e-5 || echo 2e-2)" logp/base logp/ft kl/ft kl/pattern
    done
    alike f32.score.h5 2e-4 topk/ft/top/value lens/base/logp vocab/ft/sum_logit_diff
    cmp <(dk-values cuda.f32.score.h5 lens/base/index) <(dk-values cpu.f32.score.h5 lens/base/index)
    [ "$(dk-info --json cuda.f32.score.h5 | jq -r '.objects[] | select(.path == "/models/base") | .attributes.backend')" = cuda ]
    [ "$(dk-info --json cpu.f32.score.h5 | jq -r '.objects[] | select(.path == "/models/base") | .attributes.backend')" = null ]
}

@test "dk-kl with lanes as differences" {
    both d.score.h5 dk-kl "${P[@]}" --dtype f32 --arith diff -k 3 "$T"
    alike d.score.h5 1e-4 kl/ft logp/ft topk/ft/top/value
}

@test "batches of any size give the same bytes on a card, and so do two runs" {
    dk-kl "${P[@]}" --backend cuda --dtype bf16 --arith plain -k 5 -o a.score.h5 "$T"
    dk-kl "${P[@]}" --backend cuda --dtype bf16 --arith plain -k 5 -o b.score.h5 "$T"
    cmp a.score.h5 b.score.h5
    dk-kl "${P[@]}" --backend cuda --dtype bf16 --arith plain -k 5 --batch-tokens 20 -o c.score.h5 "$T"
    cmp a.score.h5 c.score.h5
    # without the product library too
    DK_CUBLASLT_LIB=/none dk-kl "${P[@]}" --backend cuda --dtype bf16 --arith plain -k 5 -o d.score.h5 "$T"
    for n in kl/ft logp/ft; do
        paste <(dk-values d.score.h5 $n) <(dk-values a.score.h5 $n) | grep -v nan | near 2e-2
    done
}

@test "dk-topk, dk-extract and dk-lens" {
    both t.score.h5 dk-topk "${P[@]}" --dtype f32 -k 6 "$T"
    alike t.score.h5 2e-4 topk/ft/top/value topk/ft/bottom/value
    both a.act.h5 dk-extract "${P[@]}" --dtype f32 --store f32 --layers 0.5 "$T"
    n=$(dk-info --json cpu.a.act.h5 | jq -r '[.objects[] | select(.path | test("^/acts/.*/diff$")) | .path][0]')
    alike a.act.h5 1e-4 "$n"
    dk-mean "${P[@]}" -o m.dirs.h5 cpu.a.act.h5 2> why || dk-mean -o m.dirs.h5 cpu.a.act.h5
    both l.jsonl dk-lens -m "$G" --dtype f32 -k 5 m.dirs.h5
    cmp <(jq -c '[.tokens[]?.id]' cuda.l.jsonl) <(jq -c '[.tokens[]?.id]' cpu.l.jsonl)
}

@test "dk-generate: the same answers, greedy and drawn, many at once" {
    for how in "--temperature 0" "--temperature 0.8 --seed 5 --samples 2"; do
        # shellcheck disable=SC2086
        both g.jsonl dk-generate "${P[@]}" --dtype f32 --format text --max-new-tokens 12 $how --show json \
            "the cat" "a much longer prompt that stands beside the others" "b"
        cmp <(jq -c 'del(.backend)' cuda.g.jsonl) cpu.g.jsonl
        [ "$(jq -r .backend cuda.g.jsonl | sort -u)" = cuda ]
    done
}

@test "dk-generate: the same amplified samples, as differences and as two lanes" {
    for arith in difference plain; do
        both a.jsonl dk-generate "${P[@]}" --dtype f32 --amplify 1.5 --arith $arith --samples 2 --max-new-tokens 6 "the cat" "a"
        cmp <(jq -c '[.lane, .alpha, .tokens]' cuda.a.jsonl) <(jq -c '[.lane, .alpha, .tokens]' cpu.a.jsonl)
        paste <(jq -c '.lp_base[], .lp_ft[]?, .lp_amp[]' cuda.a.jsonl) <(jq -c '.lp_base[], .lp_ft[]?, .lp_amp[]' cpu.a.jsonl) | near 1e-4
        [ "$(jq -r .arith cuda.a.jsonl | sort -u)" = $arith ]
    done
}

@test "dk-check runs on a card" {
    run --separate-stderr dk-check "${P[@]}" --dtype f32 --backend cpu
    grep -c '"status":"pass"' <<< "$output" > want
    run --separate-stderr dk-check "${P[@]}" --dtype f32 --backend cuda
    [ "$(grep -c '"status":"pass"' <<< "$output")" = "$(cat want)" ]
    grep -q '"check":"S1","lane":"ft","status":"pass"' <<< "$output"
}

@test "other architectures" {
    for a in qwen2 gemma2 gpt2; do
        m=$ROOT/tests/golden/archs/$a
        [ -e "$m/model.safetensors" ] || continue
        dk-tokenize -m "$m" -n 2 --max-tokens 12 -o $a.tok.h5 "$ROOT/data/text/general-a.jsonl" 2> /dev/null || continue
        both $a.score.h5 dk-kl -m "$m" -f "$m/lora" --dtype f32 $a.tok.h5
        alike $a.score.h5 1e-4 kl/ft
    done
}

@test "without a card: auto is the CPU, byte for byte; cuda fails with the reason" {
    dk-kl "${P[@]}" --backend cpu -o cpu.score.h5 "$T"
    for what in driver old card kind image memory; do
        DK_CUEMU_NONE=$what run -0 --separate-stderr dk-kl "${P[@]}" -o auto.score.h5 "$T"
        [ -z "$stderr" ]
        cmp cpu.score.h5 auto.score.h5
        DK_CUEMU_NONE=$what run -1 --separate-stderr dk-kl "${P[@]}" --backend cuda -o no.score.h5 "$T"
        failed dk-kl
        [ ! -e no.score.h5 ]
    done
    DK_CUEMU_NONE=driver run -0 --separate-stderr dk-kl -v "${P[@]}" -o auto.score.h5 "$T"
    [[ "$stderr" == *"backend cpu: "*"no NVIDIA driver"* ]]
    DK_CUDA_LIB=/none run -1 --separate-stderr dk-kl "${P[@]}" --backend cuda -o no.score.h5 "$T"
    failed dk-kl "/none is not there"
    DK_CUDA_LIB=$G run -1 --separate-stderr dk-kl "${P[@]}" --backend cuda -o no.score.h5 "$T"
    failed dk-kl
    DK_DEVICES=9 run -1 --separate-stderr dk-kl "${P[@]}" --backend cuda -o no.score.h5 "$T"
    failed dk-kl "DK_DEVICES=9"
    run -2 --separate-stderr dk-kl "${P[@]}" --backend tpu "$T"
    failed dk-kl
    [ -z "$(ls | grep -v -e cpu.score.h5 -e auto.score.h5)" ]
}

@test "-v says which card and which products" {
    run -0 --separate-stderr dk-kl -v "${P[@]}" "$T"
    [[ "$stderr" == *"backend cuda: Emulated card 0"*"products: cuBLASLt"* ]]
    DK_DEVICES=1,0 run -0 --separate-stderr dk-kl -v "${P[@]}" "$T"
    [[ "$stderr" == *"Emulated card 1"* ]]
}

@test "a card that runs out of memory, fails at a launch or is lost: one line, nothing half written" {
    DK_CUEMU_COUNT=$PWD/count dk-kl "${P[@]}" --backend cuda -o x.score.h5 "$T"
    read -r calls _ launches _ mallocs _ < count
    rm count x.score.h5
    for fault in OOM=3 OOM=20 OOM=$((mallocs * 4 / 5)) LAUNCH=5 LAUNCH=20 LAUNCH=$((launches - 2)) LOST=40 LOST=200 \
        LOST=$((calls * 7 / 10)); do
        run -1 --separate-stderr env DK_CUEMU_$fault dk-kl "${P[@]}" --backend cuda -o x.score.h5 "$T"
        failed dk-kl
        [[ "$fault" == OOM* ]] && [[ "$stderr" == *"out of memory on the card"* ]] ||
            [[ "$stderr" == *"the card failed at"* || "$stderr" == *"cuBLASLt status"* ]]
        [ -z "$(ls)" ]
    done
}

@test "a model larger than the card is refused before its weights are read; --memory counts for the card" {
    DK_CUEMU_MEMORY=40000000 run -1 --separate-stderr dk-kl "${P[@]}" --backend cuda "$T"
    failed dk-kl
    run -1 --separate-stderr dk-kl "${P[@]}" --backend cuda --memory 0.0001 "$T"
    failed dk-kl "are allowed"
}
