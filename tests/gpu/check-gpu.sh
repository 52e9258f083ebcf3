#!/bin/bash
# What `make check-gpu` runs on a real card, in TAP; without one, one skipped test
# with the reason.  B: the build.  The tools and libdk_cuda.so must be built.
set -u
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
root=$PWD
mini=$root/tests/golden/mini
export PATH="$root/$B/bin:$root/$B/helper:$PATH" DK_ROOT=$root DK_CUDA_LIB=${DK_CUDA_LIB:-$root/$B/lib/libdk_cuda.so}
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
n=0 bad=0

# ok NAME COMMAND...
ok() {
    local name=$1
    shift
    n=$((n + 1))
    if "$@" > "$tmp/out" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        tail -n 30 "$tmp/out" | sed 's/^/# /'
        bad=$((bad + 1))
    fi
}

# The ids of three texts of the miniature, as a token file.
if ! dk-tokenize -m "$mini/mini.gguf" -n 6 --max-tokens 90 -o "$tmp/t.tok.h5" data/text/general-a.jsonl; then
    echo "1..0 # SKIP the tools are not built"
    exit 1
fi
pair=(-m "$mini/mini.gguf" -f "$mini/lora-plain")
if ! dk-kl "${pair[@]}" --backend cuda -v -o "$tmp/x.score.h5" "$tmp/t.tok.h5" 2> "$tmp/why"; then
    echo "ok 1 - check-gpu # SKIP $(sed -n 's/.*error: //p' "$tmp/why")"
    echo 1..1
    exit 0
fi
sed -n 's/.*backend cuda/# backend cuda/p' "$tmp/why"

# alike TOLERANCE A B NAME...: data sets of two files.
alike() {
    local t=$1 a=$2 b=$3 d
    shift 3
    for d; do
        paste <(dk-values "$a" "$d" | tr -s ' \t' '\n') <(dk-values "$b" "$d" | tr -s ' \t' '\n') | grep -v nan |
            awk -v t="$t" -v d="$d" '{ e = $1 - $2; if (e < 0) e = -e; m = $2 < 0 ? -$2 : $2; n++
                if (NF != 2 || !(e <= t + t * m)) { bad++; if (bad < 5) print d " " NR ": " $1 " is not " $2 } }
                END { exit n == 0 || bad > 0 }' || return 1
    done
}

# scores DTYPE TOLERANCE OPTIONS...: card against CPU.  The adapter is a strong one (KL of several
# nats): in bf16 it is the rounding of its side paths, bf16 on a card and f32 on a CPU, that is seen.
scores() {
    local t=$1 tol=$2 b
    shift 2
    for b in cpu cuda; do
        dk-kl "${pair[@]}" --dtype "$t" --backend $b "$@" -o "$tmp/$b.score.h5" "$tmp/t.tok.h5" || return 1
    done
    alike "$tol" "$tmp/cuda.score.h5" "$tmp/cpu.score.h5" kl/ft logp/ft logp/base
}
# repeats DTYPE OPTIONS...: twice, and in small batches.
repeats() {
    local run
    for run in "a --batch-tokens 1152" "b --batch-tokens 1152" "c --batch-tokens 90"; do
        # shellcheck disable=SC2086
        dk-kl "${pair[@]}" --dtype "$@" --backend cuda -k 20 -o "$tmp/${run%% *}.score.h5" ${run#* } "$tmp/t.tok.h5" || return 1
    done
    cmp "$tmp/a.score.h5" "$tmp/b.score.h5" && cmp "$tmp/a.score.h5" "$tmp/c.score.h5"
}
lists() {
    local b
    for b in cpu cuda; do
        dk-topk "${pair[@]}" --dtype f32 --backend $b -k 50 -o "$tmp/$b.topk.score.h5" "$tmp/t.tok.h5" || return 1
    done
    alike 2e-4 "$tmp/cuda.topk.score.h5" "$tmp/cpu.topk.score.h5" topk/ft/top/value topk/ft/bottom/value
}
# answers TOKENS OPTIONS...: those of the card are the CPU's.
answers() {
    local tokens=$1 b
    shift
    for b in cpu cuda; do
        dk-generate "${pair[@]}" --dtype f32 --backend $b --format text --max-new-tokens "$tokens" --show json "$@" -o "$tmp/$b.jsonl" \
            "the cat sat" "one more" "a longer prompt beside the other ones" || return 1
    done
    cmp <(sed 's/"backend":"cuda",//' "$tmp/cuda.jsonl") "$tmp/cpu.jsonl"
}
amplified() {
    local b
    for b in cpu cuda; do
        dk-generate "${pair[@]}" --dtype f32 --backend $b --amplify 1.5 --arith "$1" --samples 2 --max-new-tokens 8 \
            -o "$tmp/$b.jsonl" "the cat sat" "one more" || return 1
        jq -c '[.lane, .alpha, .tokens]' "$tmp/$b.jsonl" > "$tmp/$b.ids"
        jq -c '.lp_base[], .lp_ft[]?, .lp_amp[]' "$tmp/$b.jsonl" > "$tmp/$b.logp"
    done
    cmp "$tmp/cuda.ids" "$tmp/cpu.ids" && paste "$tmp/cuda.logp" "$tmp/cpu.logp" |
        awk '{ e = $1 - $2; if (e < 0) e = -e; if (!(e <= 1e-4 - 1e-4 * $2)) exit 1 } END { exit NR == 0 }'
}
# steady DTYPE: an answer is the same bytes however many are written at once and wherever prompts are cut.
steady() {
    local run
    for run in "a --parallel 32" "b --parallel 4 --batch-tokens 5" "c --parallel 1 --batch-tokens 1"; do
        # shellcheck disable=SC2086
        dk-generate "${pair[@]}" --dtype "$1" --backend cuda --format text --max-new-tokens 16 --show json --samples 3 \
            --temperature 0.9 --top-p 0.95 ${run#* } -o "$tmp/${run%% *}.jsonl" "the cat sat" "one more" \
            "a longer prompt beside the other ones" || return 1
    done
    cmp "$tmp/a.jsonl" "$tmp/b.jsonl" && cmp "$tmp/a.jsonl" "$tmp/c.jsonl"
}
rows() {
    local b
    for b in cpu cuda; do
        dk-extract "${pair[@]}" --dtype f32 --backend $b --store f32 -o "$tmp/$b.act.h5" "$tmp/t.tok.h5" || return 1
    done
    alike 1e-4 "$tmp/cuda.act.h5" "$tmp/cpu.act.h5" /acts/L00/resid_post/diff /acts/L00/resid_post/base
}

# Statistics of rows that stay on the card: against the CPU, and in small batches.
sums() {
    local b
    for b in "cpu 1152" "cuda 1152" "cuda 90"; do
        dk-extract "${pair[@]}" --dtype f32 --backend "${b% *}" --batch-tokens "${b#* }" --kind stats --kl \
            -o "$tmp/${b/ /-}.stats.h5" "$tmp/t.tok.h5" || return 1
    done
    cmp "$tmp/cuda-1152.stats.h5" "$tmp/cuda-90.stats.h5" || return 1
    for b in cpu cuda; do
        dk-pca -k 3 "$tmp/$b-1152.stats.h5" | jq .variance > "$tmp/$b.pca" || return 1
        dk-norms "$tmp/$b-1152.stats.h5" | jq .value > "$tmp/$b.norms" || return 1
    done
    for b in pca norms; do
        paste "$tmp/cuda.$b" "$tmp/cpu.$b" | awk '{ e = $1 - $2; if (e < 0) e = -e; m = $2 < 0 ? -$2 : $2
            if (!(e <= 1e-4 * (1 + m))) exit 1 }' || return 1
    done
}
# Blocks that come from host memory, in a few megabytes of the card.
streams() {
    local m=$tmp/many
    "$B/helper/dk-random-model" "$m" 12 64 256 4 512 all || return 1
    dk-kl -m "$m" -f "$m/lora" --dtype "$1" --arith plain --backend cuda -o "$tmp/whole.score.h5" "$tmp/t.tok.h5" || return 1
    dk-kl -v -m "$m" -f "$m/lora" --dtype "$1" --arith plain --backend cuda --memory "$2" -o "$tmp/parts.score.h5" \
        "$tmp/t.tok.h5" 2>&1 | grep "come from host memory" || return 1
    cmp "$tmp/whole.score.h5" "$tmp/parts.score.h5"
}

ok "every kernel against the CPU's" "$B/gpu/test_cuda_kernels"
ok "every op against the CPU" "$B/tests/test_cuda_ops"
ok "tokens chosen on the card against the CPU's" "$B/tests/test_cuda_choose"
ok "the ops without the product library" env DK_CUBLASLT_LIB=/none "$B/tests/test_cuda_ops"
ok "dk-kl in f32" scores f32 5e-5 --arith plain
ok "dk-kl in bf16" scores bf16 8e-2 --arith plain
ok "dk-kl of differences" scores f32 5e-5 --arith diff
ok "two runs and small batches, the same bytes, f32" repeats f32 --arith plain
ok "two runs and small batches, the same bytes, differences" repeats f32 --arith diff
ok "two runs and small batches, the same bytes, bf16" repeats bf16 --arith plain
ok "dk-topk" lists
ok "dk-generate" answers 40
ok "dk-generate, drawn" answers 16 --temperature 0.8 --top-p 0.9 --top-k 40 --samples 2
ok "dk-generate, drawn with a penalty" answers 16 --temperature 0.9 --min-p 0.05 --repetition-penalty 1.3
ok "dk-generate, amplified" amplified plain
ok "dk-generate, amplified differences" amplified difference
ok "answers do not depend on what is beside them, f32" steady f32
ok "answers do not depend on what is beside them, bf16" steady bf16
ok "dk-extract" rows
ok "dk-extract --kind stats" sums
ok "a model larger than the card, f32" streams f32 0.0045
ok "a model larger than the card, bf16" streams bf16 0.0036
for t in memcheck racecheck initcheck synccheck; do
    for test in ops choose; do
        if command -v compute-sanitizer > /dev/null && [ -z "${DK_NO_SANITIZER:-}" ]; then
            ok "compute-sanitizer $t, $test" timeout "${DK_SANITIZER_SECONDS:-600}" compute-sanitizer --tool $t \
                --error-exitcode 9 --kernel-name-exclude regex=cublas --kernel-name-exclude regex=nvjet "$B/tests/test_cuda_$test"
        else
            n=$((n + 1))
            echo "ok $n - compute-sanitizer $t, $test # SKIP it is not installed"
        fi
    done
done
echo "1..$n"
[ $bad = 0 ]
