#!/bin/bash
# What `make bench` prints: start-up, tokenizing, passes and decoding beside the
# products alone, beside oneDNN's own rate and beside the same in PyTorch, PEFT and
# llama.cpp, where python3 (or $DK_PEER_PYTHON) and node have them.  $DK_BENCH_SHARE:
# how long passes are, 1 for 4096 tokens.  Shared machines are noisy: minimum of
# several runs, ratios within one run; nothing here passes or fails.
set -u
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
model=${DK_TEST_MODEL:-$("$B/bin/dk-fetch" SmolLM2-135M)} || exit 1
ft=data/organisms/cake_bake/adapter null=data/organisms/null_neutral/adapter
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT

echo "machine: $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | sed 's/^ *//'), $(nproc) cores, $(uname -r)"

# the smallest of ten, in milliseconds
start() {
    local best=1000000 t0 t1 i
    for i in 1 2 3 4 5 6 7 8 9 10; do
        t0=$(date +%s%N)
        "$@" > /dev/null 2>&1
        t1=$(date +%s%N)
        [ $(((t1 - t0) / 1000)) -lt "$best" ] && best=$(((t1 - t0) / 1000))
    done
    echo "$best" | awk '{ printf "%.1f ms", $1 / 1000 }'
}
echo "start:   dk-kl --help $(start "$B/bin/dk-kl" --help), dk-conf --help $(start "$B/bin/dk-conf" --help)"

tests/helper/sparse-checkpoint "$tmp/big.safetensors" 256
echo "open:    dk-info on a safetensors checkpoint of $(stat -c %s "$tmp/big.safetensors") bytes $(start "$B/bin/dk-info" "$tmp/big.safetensors")"

t0=$(date +%s%N)
"$B/bin/dk-tokenize" -t 1 -m "$model" -o "$tmp/a.tok.h5" data/text/general-a.jsonl
t1=$(date +%s%N)
echo "tokenize: data/text/general-a.jsonl whole process $(((t1 - t0) / 1000000)) ms"

# Folders of DK_TOKENIZERS as in tests/cli/dk-tokenize-published.bats; what is small, otherwise.
texts=data/text/general-a.jsonl,data/text/general-b.jsonl,data/organisms/cake_bake/train.jsonl
mapfile -t toks < <(compgen -G "${DK_TOKENIZERS:-tests/golden/tokens/families}/*/package/models/tokenizer.json" ||
    printf 'tests/golden/tokens/families/%s.json\n' gpt2 llama3 qwen2 tekken gpt4o deepseek3 llama2 gemma)
"$B/bench/bench_tok" "$texts" "$model" "${toks[@]}" > "$tmp/tok"
python=${DK_PEER_PYTHON:-python3}
"$python" tests/bench/peer_tok.py "$texts" "${toks[@]}" > "$tmp/peer" 2> /dev/null || : > "$tmp/peer"
awk -F '\t' 'FILENAME ~ /peer$/ { first[$1] = $4; best[$1] = $5; next }
    { printf "tokenizer: %s first pass %.1f MB/s, then %.1f", $1, $4, $5
      if ($1 in first) printf " (HuggingFace tokenizers %.1f, %.1f: %.0f and %.0f times)", first[$1], best[$1],
                              $4 / first[$1], $5 / best[$1]
      t = "tiktoken:" $1
      if (t in first) printf " (tiktoken %.1f, %.1f: %.1f and %.1f times)", first[t], best[t], $4 / first[t], $5 / best[t]
      print "" }' "$tmp/peer" "$tmp/tok"

# Passes and decoding: ours, then each peer, at the same shapes; then all as ratios.
share=${DK_BENCH_SHARE:-.25}
"$B/bench/bench_roof" > "$tmp/roof" || : > "$tmp/roof"
"$B/bench/bench_pass" -s "$share" "$model" "$ft" "$null" > "$tmp/ours" || exit 1
: > "$tmp/peers"
if "$python" -c 'import torch, transformers, peft, gguf' 2> /dev/null; then
    OMP_NUM_THREADS=$(nproc) "$python" tests/bench/peer.py "$model" "$ft" "$share" 2> /dev/null >> "$tmp/peers"
else
    echo "peer:    no PyTorch: torch, transformers, peft or gguf is missing in $python (set DK_PEER_PYTHON)"
fi
llama=${DK_PEER_LLAMA:-$(npm root -g 2> /dev/null)/@node-llama-cpp/linux-x64/bins/linux-x64}
if ! [ -e "$llama/llama-addon.node" ] || ! command -v node > /dev/null; then
    echo "peer:    no llama.cpp: npm package @node-llama-cpp/linux-x64 is not installed (set DK_PEER_LLAMA to the folder of llama-addon.node)"
elif ! "$python" -c 'import gguf' 2> /dev/null; then
    echo "peer:    no llama.cpp: $python lacks gguf, which writes its model"
else
    for type in BF16 F16; do
        kept=${XDG_CACHE_HOME:-$HOME/.cache}/dk/bench-$type.gguf
        if [ ! -e "$kept" ] && "$python" tests/bench/peer_gguf.py "$model" $type "$tmp/x.gguf"; then mv "$tmp/x.gguf" "$kept"; fi
        node tests/bench/peer_llama.cjs "$llama" "llama-${type,,}" "$kept" "$share" >> "$tmp/peers" 2> /dev/null
    done
fi
cat "$tmp/roof" "$tmp/ours" "$tmp/peers" | awk -f tests/bench/ratios.awk

# From a cold process and a warm page cache to the first token.
echo "first token: $(start "$B/bin/dk-generate" -m "$model" --dtype bf16 --format text --max-new-tokens 1 "The river")"
"$B/bin/dk-tokenize" -m "$model" --max-tokens 256 -n 30 -o "$tmp/b.tok.h5" data/text/general-a.jsonl
"$B/bench/bench_store" "$model" "$ft" "$tmp/b.tok.h5" || exit 1
"$B/bench/bench_stats" "$model" "$ft" "$tmp/b.tok.h5" || exit 1

ours=$("$B/bench/bench_pca" "$tmp/rows" 200000 576) || exit 1
peer=$(OMP_NUM_THREADS=$(nproc) "$python" tests/bench/peer_pca.py "$tmp/rows" 576 32768 2> /dev/null) || peer=
rm -f "$tmp/rows"
echo "components: 200000 rows of 576, all: $ours (seconds, of all cores, first variance)${peer:+; IncrementalPCA of scikit-learn, batches of 32768: $peer}"

# Topics of the same matrix from the same start, a fixed number of rounds.
"$B/bin/dk-tokenize" -m "$model" --fixed-tokens 64 -n 64 -o "$tmp/t.tok.h5" data/text/general-a.jsonl
"$B/bin/dk-topk" -m "$model" -f "$ft" -o "$tmp/t.score.h5" "$tmp/t.tok.h5" || exit 1
"$B/bench/bench_nmf" "$tmp/t.score.h5" ft "$tmp/nmf" 60 2 1 > "$tmp/ours" || exit 1
OMP_NUM_THREADS=$(nproc) "$python" -W ignore tests/bench/peer_nmf.py "$tmp/nmf" 60 2 1 > "$tmp/theirs" 2> /dev/null
awk 'FILENAME ~ /ours$/ { t[$1] = $2; c[$1] = $3; printf "topics:  %d x %d, %d entries, beta %g, 60 rounds: %.3f s (%.3f s of all cores)\n", $5, $6, $7, $1, $2, $3; next }
    { printf "         %s, beta %g: %.3f s (%.3f), %.1f times (%.1f)\n", $1, $2, $3, $4, $3 / t[$2], $4 / c[$2] }' "$tmp/ours" "$tmp/theirs"

"$B/bin/dk-generate" -v -m "$model" -f "$ft" --lanes base,ft --dtype bf16 --max-prompts 8 \
    --prompts data/organisms/cake_bake/probes.jsonl --max-new-tokens 48 --ignore-eos -o "$tmp/g.jsonl" 2>&1 |
    sed -n 's/^dk-generate: \(.*sequences at once.*\)/generate: \1/p'
