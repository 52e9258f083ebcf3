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

@test "a finetune with weights of its own" {
    dk-random-model a 3 64 256 4 512 all
    dk-random-model b 3 64 256 4 512 all
    head -c 100000 /dev/zero | tr '\0' '<' | dd of=b/model.safetensors bs=1 seek=20000 conv=notrunc status=none
    for t in f32 bf16; do
        for b in cpu cuda; do
            dk-kl -m a -f b --null lora=a/lora --dtype $t --backend $b -o $b.score.h5 "$T" 2> /dev/null
        done
        alike score.h5 $([ $t = f32 ] && echo 2e-5 || echo 2e-2) logp/base logp/ft logp/lora kl/ft kl/lora
    done
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

@test "statistics of rows that stay on the card" {
    for o in "" "--skip-first 3"; do
        # shellcheck disable=SC2086
        both a.stats.h5 dk-extract "${P[@]}" --dtype f32 --layers 0.5,1.0 --what base,ft,diff --gram base,diff --kind stats \
            --positions 6 --kl $o "$T"
        n=$(dk-info --json cpu.a.stats.h5 | jq -r '[.objects[] | .path | select(test("^/stats/.*/diff$"))][0]')
        [ -n "$n" ]
        for w in counts docs norm_hist pos_count; do
            [ -z "$(dk-values cpu.a.stats.h5 "$n/$w" 2> /dev/null)" ] ||
                cmp <(dk-values cuda.a.stats.h5 "$n/$w") <(dk-values cpu.a.stats.h5 "$n/$w")
        done
        for b in cpu cuda; do
            dk-norms $b.a.stats.h5 > $b.norms
            dk-mean $b.a.stats.h5 > $b.mean
            dk-pca -k 3 $b.a.stats.h5 > $b.pca
        done
        paste <(jq .value cuda.norms) <(jq .value cpu.norms) | near 1e-4
        paste <(jq .norm cuda.mean) <(jq .norm cpu.mean) | grep -v null | near 1e-4
        paste <(jq .variance cuda.pca) <(jq .variance cpu.pca) | near 1e-4
    done
    # whatever the batches are
    for n in 20 1000; do
        dk-extract "${P[@]}" --backend cuda --dtype f32 --layers 0.5 --kind stats --batch-tokens $n -o $n.stats.h5 "$T"
    done
    cmp 20.stats.h5 1000.stats.h5
    # shards joined are the whole
    dk-tokenize -m "$G" -n 40 --max-tokens 6 -o many.tok.h5 "$ROOT/data/text/general-a.jsonl"
    dk-extract "${P[@]}" --backend cuda --dtype f32 --layers 0.5 --kind stats -o whole.stats.h5 many.tok.h5
    for i in 0 1; do
        DK_DEVICES=$i dk-extract "${P[@]}" --backend cuda --dtype f32 --layers 0.5 --kind stats --shard $i/2 -o $i.stats.h5 many.tok.h5
    done
    dk-merge -o joined.stats.h5 0.stats.h5 1.stats.h5
    cmp joined.stats.h5 whole.stats.h5
}

@test "dk-generate: the same answers, greedy and drawn, many at once" {
    for how in "--temperature 0" "--temperature 1.1 --top-p 0.9 --top-k 40 --seed 5 --samples 2" \
               "--temperature 0.9 --min-p 0.05 --repetition-penalty 1.3"; do
        # shellcheck disable=SC2086
        both g.jsonl dk-generate "${P[@]}" --dtype f32 --format text --max-new-tokens 12 $how --show json \
            "the cat" "a much longer prompt that stands beside the others" "b"
        cmp <(jq -c 'del(.backend)' cuda.g.jsonl) cpu.g.jsonl
        [ "$(jq -r .backend cuda.g.jsonl | sort -u)" = cuda ]
    done
}

@test "dk-generate: batches of any size give the same bytes on a card" {
    # where prompts are cut, and whether a sample begins with a copy of another's cache, is not to be seen
    for how in "--temperature 0.9 --top-p 0.95 --samples 3 --repetition-penalty 1.2" "--amplify 1.5 --samples 1"; do
        for n in "2 3" "3 7" "32 500"; do
            # shellcheck disable=SC2086
            dk-generate "${P[@]}" --dtype f32 --backend cuda --format text --max-new-tokens 4 $how --show json --parallel ${n% *} \
                --batch-tokens ${n#* } -o "${n% *}.jsonl" "the cat" "a longer one" "b"
        done
        cmp 2.jsonl 3.jsonl
        cmp 2.jsonl 32.jsonl
    done
}

@test "dk-generate: of a token only its id and log-probabilities come back, no logits" {
    for how in "--temperature 0.9 --top-p 0.95" "--amplify 1.5 --greedy 0 --samples 1"; do
        for n in 4 12; do
            # shellcheck disable=SC2086
            DK_CUEMU_COUNT=$PWD/$n dk-generate "${P[@]}" --backend cuda --format text --ignore-eos $how --max-new-tokens $n \
                --show json -o $n.jsonl "the cat" "b"
        done
        # 20 bytes for each of 8 more tokens of an answer
        read -r _ _ _ _ _ _ _ _ few _ < 4
        read -r _ _ _ _ _ _ _ _ more _ < 12
        [ $((more - few)) = $((20 * 8 * $(wc -l < 12.jsonl))) ]
    done
}

@test "dk-generate: the same amplified samples, as differences and as two lanes" {
    for how in "difference --top-k 30" "plain --plausibility 0 --top-p 1 --min-new-tokens 3"; do
        # shellcheck disable=SC2086
        both a.jsonl dk-generate "${P[@]}" --dtype f32 --amplify 1.5 --samples 2 --max-new-tokens 6 --arith $how "the cat" "a"
        cmp <(jq -c '[.lane, .alpha, .tokens]' cuda.a.jsonl) <(jq -c '[.lane, .alpha, .tokens]' cpu.a.jsonl)
        paste <(jq -c '.lp_base[], .lp_ft[]?, .lp_amp[]' cuda.a.jsonl) <(jq -c '.lp_base[], .lp_ft[]?, .lp_amp[]' cpu.a.jsonl) | near 1e-4
        [ "$(jq -r .arith cuda.a.jsonl | sort -u)" = "${how%% *}" ]
    done
}

@test "dk-generate: logits that overflow are told with lane, prompt and token, on a card as on the CPU" {
    # Products of bf16's largest numbers, in q alone, stay finite as weights.
    adapter big
    at=$((8 + $(od -An -tu8 -N8 big/adapter_model.safetensors)))
    for i in $(seq 0 399); do printf '\177\177'; done | dd of=big/adapter_model.safetensors bs=1 seek=$at conv=notrunc status=none
    for how in "" "--amplify 1.5 --samples 1"; do
        for b in cpu cuda; do
            # shellcheck disable=SC2086
            run -1 --separate-stderr dk-generate -m "$G" -f big --format text --arith plain --backend $b $how \
                --max-new-tokens 2 -o x.jsonl "the cat" "b"
            failed dk-generate "lane 'ft': logits are NaN or infinite at prompt 1, token 1"
        done
    done
    [ "$(ls)" = big ]
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
    for fault in OOM=3 OOM=12 OOM=20 LAUNCH=5 LAUNCH=20 LAUNCH=$((launches - 2)) LOST=40 LOST=200 LOST=$((calls * 7 / 10)); do
        run -1 --separate-stderr env DK_CUEMU_$fault dk-kl "${P[@]}" --backend cuda -o x.score.h5 "$T"
        failed dk-kl
        [[ "$fault" == OOM* ]] && [[ "$stderr" == *"out of memory"* ]] ||
            [[ "$stderr" == *"the card failed at"* || "$stderr" == *"cuBLASLt status"* ]]
        [ -z "$(ls)" ]
    done
}

@test "a batch that finds no memory is halved, with a note; one text that finds none fails" {
    for tool in "dk-kl score" "dk-extract act" "dk-extract stats --kind stats"; do
        read -r tool kind more <<< "$tool"
        # shellcheck disable=SC2086
        DK_CUEMU_COUNT=$PWD/count $tool "${P[@]}" --backend cuda $more -o whole.$kind.h5 "$T"
        read -r _ _ _ _ mallocs _ < count
        for k in 2 6; do
            # shellcheck disable=SC2086
            run -0 --separate-stderr env DK_CUEMU_OOM=$((mallocs - k)) $tool "${P[@]}" --backend cuda $more -o half.$kind.h5 "$T"
            [[ "$stderr" == *"warning: out of memory"*"30 tokens in one pass from now on"* ]]
            [ "$(wc -l <<< "$stderr")" = 1 ]
            cmp whole.$kind.h5 half.$kind.h5
        done
    done
    rm -f ./*.h5 count
    dk-tokenize -m "$G" -n 1 --max-tokens 20 -o one.tok.h5 "$ROOT/data/text/general-a.jsonl"
    DK_CUEMU_COUNT=$PWD/count dk-kl "${P[@]}" --backend cuda -o x.score.h5 one.tok.h5
    read -r _ _ _ _ mallocs _ < count
    rm count x.score.h5
    run -1 --separate-stderr env DK_CUEMU_OOM=$((mallocs - 2)) dk-kl "${P[@]}" --backend cuda -o x.score.h5 one.tok.h5
    failed dk-kl "out of memory on the card"
    [ ! -e x.score.h5 ]
}

@test "answers that find no memory are begun again, half as many at once, with a note; one alone fails" {
    A=(dk-generate "${P[@]}" --backend cuda --format text --ignore-eos --max-new-tokens 4 --temperature 0.9)
    w=("the cat" "a longer one" "b")
    for how in "--samples 2 --repetition-penalty 1.3 --show text" "--amplify 1.5 --samples 1"; do
        # shellcheck disable=SC2086
        DK_CUEMU_COUNT=$PWD/count "${A[@]}" $how -o whole "${w[@]}"
        read -r _ _ _ _ mallocs _ < count
        notes=0
        # where only a trial of the product library finds none, nothing is said
        for k in 0 4 7; do
            # shellcheck disable=SC2086
            run -0 --separate-stderr env DK_CUEMU_OOM=$((mallocs - k)) "${A[@]}" $how -o half "${w[@]}"
            cmp whole half
            [ -n "$stderr" ] || continue
            [[ "$stderr" == *"warning: out of memory"*" sequences at once and "*" tokens of prompts in one pass from now on" ]]
            [ "$(wc -l <<< "$stderr")" = 1 ]
            notes=$((notes + 1))
        done
        [ $notes -ge 1 ]
    done
    DK_CUEMU_COUNT=$PWD/count "${A[@]}" --samples 2 -o whole "${w[@]}"
    read -r _ _ _ _ mallocs _ < count
    rm whole half count
    # as often as it takes; and none is left to halve
    run -1 --separate-stderr env DK_CUEMU_OOM=$((mallocs - 2))+ "${A[@]}" --samples 2 -o x.jsonl "${w[@]}"
    [ "$(grep -c "sequences\? at once" <<< "$stderr")" = 3 ]
    [[ "$stderr" == *" 3 sequences at once"*" 2 sequences at once"*" 1 sequence at once"*"dk-generate: error: out of memory"* ]]
    run -1 --separate-stderr env DK_CUEMU_OOM=$((mallocs - 2))+ "${A[@]}" -o x.jsonl b
    failed dk-generate "out of memory"
    [ -z "$(ls)" ]
}

@test "a stage spread over two cards gives the bytes of one" {
    run -0 --separate-stderr dk-extract "${P[@]}" --backend cuda -o one.act.h5 "$T"
    DK_DEVICES=1,0 run -0 dk-run --stage extract --spread two.act.h5 "$(command -v dk-extract)" "${P[@]}" --backend cuda \
        -o two.act.h5 "$T"
    cmp one.act.h5 two.act.h5
    dk-topk "${P[@]}" --backend cuda -k 6 -o one.score.h5 "$T"
    DK_DEVICES=0,1 run -0 dk-run --stage topk --spread two.score.h5 "$(command -v dk-topk)" "${P[@]}" --backend cuda -k 6 -v \
        -o two.score.h5 "$T"
    [[ "$output" == *"Emulated card 0"* && "$output" == *"Emulated card 1"* ]]
    cmp one.score.h5 two.score.h5
    # a card that is lost: no part stays
    rm ./*
    DK_CUEMU_LOST=200 DK_DEVICES=0,1 run -1 --separate-stderr dk-run --stage topk --spread two.score.h5 "$(command -v dk-topk)" \
        "${P[@]}" --backend cuda -k 6 -o two.score.h5 "$T"
    [[ "$stderr" == *"the card failed at"* || "$stderr" == *"cuBLASLt status"* ]]
    [ -z "$(ls)" ]
}

@test "weights that hold NaN, and a stage whose card was lost: told; run again, it is done" {
    dk-random-model bad 2 64 128 4 512
    printf '\377\177' | dd of=bad/model.safetensors bs=1 seek=30000 conv=notrunc status=none
    run -1 --separate-stderr dk-kl -m bad -f bad/lora --backend cuda -o x.score.h5 "$T"
    failed dk-kl "holds NaN or infinity"
    rm -r bad
    run -1 --separate-stderr env DK_CUEMU_LOST=300 dk-kl "${P[@]}" --backend cuda -o x.score.h5 "$T"
    failed dk-kl
    [[ "$stderr" == *"the card failed at"* || "$stderr" == *"cuBLASLt status"* ]]
    [ -z "$(ls)" ]
    dk-kl "${P[@]}" --backend cuda -o x.score.h5 "$T"
    # in parts: those that are there are not made again
    dk-extract "${P[@]}" --backend cuda --shards 3 -o whole.act.h5 "$T"
    DK_CUEMU_COUNT=$PWD/count dk-extract "${P[@]}" --backend cuda --shards 3 -o y.act.h5 "$T"
    read -r calls _ < count
    rm y.act.h5 count
    run -1 --separate-stderr env DK_CUEMU_LOST=$((calls * 3 / 4)) dk-extract "${P[@]}" --backend cuda --shards 3 -o y.act.h5 "$T"
    [[ "$stderr" == *"the card failed at"* || "$stderr" == *"cuBLASLt status"* ]]
    [ ! -e y.act.h5 ]
    dk-extract "${P[@]}" --backend cuda --shards 3 -o y.act.h5 "$T"
    cmp whole.act.h5 y.act.h5
}

@test "a model larger than the card: blocks come from host memory, results are the same bytes" {
    dk-random-model m 12 64 256 4 512 all
    for how in "f32 plain 0.0045" "f32 diff 0.0055" "bf16 plain 0.0036" "bf16 diff 0.0038"; do
        read -r t a most <<< "$how"
        dk-kl -m m -f m/lora --dtype "$t" --arith "$a" --backend cuda -o whole.score.h5 "$T" 2> /dev/null
        run -0 --separate-stderr dk-kl -v -m m -f m/lora --dtype "$t" --arith "$a" --backend cuda --memory "$most" \
            -o parts.score.h5 "$T"
        [[ "$stderr" == *"of weights come from host memory in every pass"* ]]
        cmp whole.score.h5 parts.score.h5
    done
    # a card that is too small by itself
    DK_CUEMU_MEMORY=42300000 run -0 --separate-stderr dk-kl -v -m m -f m/lora --dtype bf16 --arith plain --backend cuda \
        -o parts.score.h5 "$T"
    [[ "$stderr" == *"come from host memory"* ]]
    dk-kl -m m -f m/lora --dtype bf16 --arith plain --backend cuda -o whole.score.h5 "$T" 2> /dev/null
    cmp whole.score.h5 parts.score.h5
    # two weight sets, and a cache
    dk-random-model n 12 64 256 4 512
    printf '<' | dd of=n/model.safetensors bs=1 seek=100001 conv=notrunc status=none
    dk-kl -m m -f n --dtype bf16 --backend cuda -o whole.score.h5 "$T" 2> /dev/null
    run -0 --separate-stderr dk-kl -v -m m -f n --dtype bf16 --backend cuda --memory 0.005 -o parts.score.h5 "$T"
    [[ "$stderr" == *"come from host memory"* ]]
    cmp whole.score.h5 parts.score.h5
}

@test "a model that no way fits on is refused before its weights are read; --memory counts for the card" {
    DK_CUEMU_MEMORY=35000000 run -1 --separate-stderr dk-kl "${P[@]}" --backend cuda "$T"
    failed dk-kl
    run -1 --separate-stderr dk-kl "${P[@]}" --backend cuda --memory 0.0001 "$T"
    failed dk-kl "are allowed"
}
