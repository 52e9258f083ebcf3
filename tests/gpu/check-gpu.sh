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

# scores DTYPE TOLERANCE OPTIONS...: card against CPU, twice, and in small batches.
scores() {
    local t=$1 tol=$2 b
    shift 2
    for b in cpu cuda; do
        dk-kl "${pair[@]}" --dtype "$t" --backend $b "$@" -o "$tmp/$b.score.h5" "$tmp/t.tok.h5" || return 1
    done
    alike "$tol" "$tmp/cuda.score.h5" "$tmp/cpu.score.h5" kl/ft logp/ft logp/base
}
repeats() {
    dk-kl "${pair[@]}" --dtype "$1" --backend cuda -k 20 -o "$tmp/a.score.h5" "$tmp/t.tok.h5" &&
        dk-kl "${pair[@]}" --dtype "$1" --backend cuda -k 20 -o "$tmp/b.score.h5" "$tmp/t.tok.h5" &&
        dk-kl "${pair[@]}" --dtype "$1" --backend cuda -k 20 --batch-tokens 90 -o "$tmp/c.score.h5" "$tmp/t.tok.h5" &&
        cmp "$tmp/a.score.h5" "$tmp/b.score.h5" && cmp "$tmp/a.score.h5" "$tmp/c.score.h5"
}
lists() {
    local b
    for b in cpu cuda; do
        dk-topk "${pair[@]}" --dtype f32 --backend $b -k 50 -o "$tmp/$b.topk.score.h5" "$tmp/t.tok.h5" || return 1
    done
    alike 2e-4 "$tmp/cuda.topk.score.h5" "$tmp/cpu.topk.score.h5" topk/ft/top/value topk/ft/bottom/value
}
answers() {
    local b
    for b in cpu cuda; do
        dk-generate "${pair[@]}" --dtype f32 --backend $b --format text --max-new-tokens 40 --show json \
            -o "$tmp/$b.jsonl" "the cat sat" "one more" "a longer prompt beside the other ones" || return 1
    done
    cmp <(sed 's/"backend":"cuda",//' "$tmp/cuda.jsonl") "$tmp/cpu.jsonl"
}
rows() {
    local b
    for b in cpu cuda; do
        dk-extract "${pair[@]}" --dtype f32 --backend $b --store f32 -o "$tmp/$b.act.h5" "$tmp/t.tok.h5" || return 1
    done
    alike 1e-4 "$tmp/cuda.act.h5" "$tmp/cpu.act.h5" /acts/L00/resid_post/diff /acts/L00/resid_post/base
}

ok "every kernel against the CPU's" "$B/gpu/test_cuda_kernels"
ok "every op against the CPU" "$B/tests/test_cuda_ops"
ok "the ops without the product library" env DK_CUBLASLT_LIB=/none "$B/tests/test_cuda_ops"
ok "dk-kl in f32" scores f32 5e-5
ok "dk-kl in bf16" scores bf16 2e-2
ok "dk-kl of differences" scores f32 5e-5 --arith diff
ok "two runs and small batches, the same bytes, f32" repeats f32
ok "two runs and small batches, the same bytes, bf16" repeats bf16
ok "dk-topk" lists
ok "dk-generate" answers
ok "dk-extract" rows
for t in memcheck racecheck initcheck synccheck; do
    if command -v compute-sanitizer > /dev/null && [ -z "${DK_NO_SANITIZER:-}" ]; then
        ok "compute-sanitizer $t" timeout "${DK_SANITIZER_SECONDS:-600}" compute-sanitizer --tool $t --error-exitcode 9 \
            --kernel-name-exclude regex=cublas --kernel-name-exclude regex=nvjet "$B/tests/test_cuda_ops"
    else
        n=$((n + 1))
        echo "ok $n - compute-sanitizer $t # SKIP it is not installed"
    fi
done
echo "1..$n"
[ $bad = 0 ]
