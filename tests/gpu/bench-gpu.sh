#!/bin/bash
# What `make bench-gpu` prints: rates of a pair of the shape of a 1.7B Llama on the
# card, the share of the product rate of the same run, and PyTorch beside it where
# python3 (or $DK_PEER_PYTHON) has torch, transformers and peft.  Nothing here
# passes or fails, but two runs must give the same digests.
set -u
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
tmp=${DK_BENCH_DIR:-$(mktemp -d)}
[ -n "${DK_BENCH_DIR:-}" ] || trap 'rm -rf "$tmp"' EXIT
shape=${DK_BENCH_SHAPE:-24 2048 8192 32 49152}
work=${DK_BENCH_WORK:-64 512}

"$B/gpu/bench_cuda_kernels"
# shellcheck disable=SC2086
[ -e "$tmp/m/model.safetensors" ] || "$B/helper/dk-random-model" "$tmp/m" $shape all || exit 1
# shellcheck disable=SC2086
"$B/bench/bench_gpu" "$tmp/m" "$tmp/m/lora" "${DK_BENCH_BACKEND:-cuda}" $work > "$tmp/1" || exit 1
cat "$tmp/1"
# shellcheck disable=SC2086
"$B/bench/bench_gpu" "$tmp/m" "$tmp/m/lora" "${DK_BENCH_BACKEND:-cuda}" $work > "$tmp/2" || exit 1
digests() { sed -n 's/.*product rate *\([0-9a-f]*\) .*/\1/p' "$1"; }
if [ -n "$(digests "$tmp/1")" ] && [ "$(digests "$tmp/1")" = "$(digests "$tmp/2")" ]; then
    echo "two runs: the same numbers in every bit"
else
    echo "two runs: DIFFERENT numbers"
    cat "$tmp/2"
fi
if [ "$(sed -n 's/.*pair, KL .*product rate *\([0-9a-f]*\) .*/\1/p' "$tmp/1" | head -n 1)" = \
     "$(sed -n 's/.*pair, KL, batches of 1152 .*product rate *\([0-9a-f]*\) .*/\1/p' "$tmp/1")" ]; then
    echo "batches of other sizes: the same numbers in every bit"
else
    echo "batches of other sizes: DIFFERENT numbers"
fi
python=${DK_PEER_PYTHON:-python3}
if "$python" -c 'import torch, transformers, peft' 2> /dev/null; then
    # shellcheck disable=SC2086
    "$python" tests/gpu/gpu_peer.py "$tmp/m" "$tmp/m/lora" $work 2> "$tmp/peer.err" || tail -n 5 "$tmp/peer.err"
else
    echo "peer:    no PyTorch in $python (set DK_PEER_PYTHON)"
fi
