# The bytes of a result depend neither on threads, cores and batches, whatever instructions the
# processor has, or may be used: oneDNN's variable caps this program's own kernels, too.
load ../helper/pair

setup() {
    setup_more
    cd "$BATS_TEST_TMPDIR"
}

# caps: what can be tried here; "none" leaves all instructions.
caps() {
    echo none
    grep -qw avx512bw /proc/cpuinfo && echo DNNL_MAX_CPU_ISA=AVX512_CORE
    echo DNNL_MAX_CPU_ISA=AVX2
    echo ONEDNN_MAX_CPU_ISA=SSE41
}

# same CAP OUT COMMAND...: the command writes the same OUT for 1 and 2 threads, one core, and
# batches of several sizes.
same() {
    local cap=$1 out=$2 how n=0
    shift 2
    for how in "-t 2" "-t 1 --batch-tokens 7" "-t 2 --batch-tokens 50" "-t 3 --batch-tokens 161"; do
        [ "$cap" = none ] && cap=LC_ALL=C.UTF-8
        # shellcheck disable=SC2086
        env "$cap" "$@" $how
        mv "$out" "$n.$out"
        cmp "0.$out" "$n.$out"
        n=$((n + 1))
    done
    env "$cap" taskset -c 0 "$@"
    cmp "0.$out" "$out"
}

@test "scores and lists: the same bytes for any threads and batches under every cap" {
    for cap in $(caps); do
        for how in "f32 plain" "bf16 difference" "bf16 plain"; do
            same "$cap" s.score.h5 dk-kl -k 5 -m "$G" -f "$PLAIN" -n n="$PATTERN" --dtype "${how% *}" --arith "${how#* }" \
                -o s.score.h5 "$T"
        done
        same "$cap" t.score.h5 dk-topk -k 9 -m "$G" -f "$PLAIN" --dtype bf16 -o t.score.h5 "$T"
    done
}

@test "activations: the same bytes for any threads and batches under every cap" {
    for cap in $(caps); do
        for how in "f32 difference" "bf16 plain"; do
            same "$cap" a.act.h5 dk-extract -l 0,1 --store f32 -m "$G" -f "$PLAIN" --dtype "${how% *}" \
                --arith "${how#* }" -o a.act.h5 "$T"
        done
    done
}

@test "answers: the same bytes for any threads and batches under every cap" {
    for cap in $(caps); do
        same "$cap" g.jsonl dk-generate -m "$G" -f "$PLAIN" --format text --dtype bf16 --max-new-tokens 12 \
            --temperature 1 --samples 3 -o g.jsonl "The river" "a b c" "In the year of the flood, nobody"
        [ "$(jq -s length g.jsonl)" -ge 18 ]
    done
}

@test "without AVX2: the same numbers but for rounding, and -v says that it is slow" {
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -o a.score.h5 "$T"
    ONEDNN_MAX_CPU_ISA=SSE41 run -0 --separate-stderr dk-kl -v --dtype f32 -m "$G" -f "$PLAIN" -o b.score.h5 "$T"
    [[ $stderr == *"several times slower"* ]]
    paste <(dk-values a.score.h5 kl/ft) <(dk-values b.score.h5 kl/ft) |
        awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-5 * $1 + 1e-9) exit 1; n++ } END { exit n < 5 }'
}

@test "too little memory: one line, nothing written" {
    local refused=0
    for kb in 30000 31000 45000 60000 64500 66500 69500 82500 86500 120000; do
        for tool in "dk-kl -o x.h5" "dk-extract -o x.h5" "dk-generate -o x.h5"; do
            # shellcheck disable=SC2086
            (ulimit -v $kb && $tool -t 1 -m "$G" -f "$PLAIN" "$T") > out 2> err && status=0 || status=$?
            echo "$tool $kb: $status $(cat err)"
            if [ "$status" = 0 ]; then rm -f x.h5; continue; fi
            [ "$status" = 1 ]
            [ "$(wc -l < err)" = 1 ]
            grep -qE "memory|failed to map" err
            [ ! -e x.h5 ]
            refused=$((refused + 1))
        done
    done
    [ $refused -gt 2 ]
}
