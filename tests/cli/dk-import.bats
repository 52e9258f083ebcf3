# Caches of the reference toolkit as activation files.
load ../helper/common

PATH=$(dirname "$(command -v dk-import)")/../helper:$PATH

setup_more() {
    C=$ROOT/tests/golden/refcache
    cp -r "$C" c && chmod -R u+w c
    B=c/base/web/train F=c/ft/web/train
    export OMP_NUM_THREADS=1
}
rows() { dk-values "$1" "/acts/$2" | tr ' ' '\n'; }
info() { dk-info --json "$1" | jq -c "$2"; }
# The 16-bit patterns of all shards of a layer, as numbers.
bf16() { cat "$1"/shard_{0,1,2}.memmap | od -An -v -tu2 -w2 | awk '{ h = $1; s = h >= 32768 ? -1 : 1; h %= 32768; e = int(h / 128); m = h % 128
    printf "%.9g\n", s * (e ? (1 + m / 128) * 2 ^ (e - 127) : m / 128 * 2 ^ -126) }'; }
refused() {
    run -1 --separate-stderr dk-import -o x.act.h5 "${@:2}"
    one_error dk-import
    [[ "$stderr" == *"$1"* ]]
    [ ! -e x.act.h5 ]
    [ -z "$(compgen -G '*.tmp')" ]
}

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    for o in "$B" "-o x.act.h5" "-o x.act.h5 $B $F more" "-o x.act.h5 --what base,other $B $F" "-o x.act.h5 --what diff $B" \
             "-o x.act.h5 --what ft $B" "-o x.act.h5 -l 0.5 $B $F" "-o x.act.h5 --skip-first -1 $B $F"; do
        run -2 --separate-stderr dk-import $o
        one_error dk-import
        [ -z "$output" ]
    done
    [ "$(ls)" = c ]
}

@test "rows of every layer, bit for bit, across the shards; sequences, tokens" {
    dk-import -o x.act.h5 "$B" "$F"
    dk-info --check x.act.h5
    [ "$(info x.act.h5 '[.kind, .rows, .docs, .attributes.lanes]')" = '["dk-activations",24,6,"base,ft"]' ]
    [ "$(info x.act.h5 '[.objects[] | select(.path | startswith("/acts/")) | select(.kind == "dataset") | [.path, .type]]')" = \
        '[["/acts/L01/resid_post/base","bf16"],["/acts/L01/resid_post/ft","bf16"],["/acts/L03/resid_post/base","bf16"],["/acts/L03/resid_post/ft","bf16"]]' ]
    for l in 1 3; do
        for w in base ft; do cmp <(rows x.act.h5 L0$l/resid_post/$w) <(bf16 c/$w/web/train/layer_${l}_out); done
    done
    [ "$(rows x.act.h5 L03/resid_post/ft | wc -l)" = 144 ]
    [ "$(dk-values x.act.h5 /docs/offset | tr '\n' ' ')" = "0 5 5 8 9 19 24 " ]
    [ "$(dk-values x.act.h5 /rows/pos | tr '\n' ' ')" = "0 1 2 3 4 0 1 2 0 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 " ]
    unzip -p "$B/tokens.pt" tokens/data/0 | od -An -v -td8 -w8 | tr -d ' ' | cmp - <(dk-values x.act.h5 /rows/token)
    [ "$(info x.act.h5 '.objects[] | select(.path == "/corpus") | .attributes | [.name, .split]')" = '["web","train"]' ]
    [ "$(info x.act.h5 '[.inputs[] | [.role, .name]] | length')" = 16 ]
}

@test "the difference is that of the stored numbers, rounded once as torch does it; ftb is minus bft" {
    dk-import --what base,ft,diff -l 3 -o x.act.h5 "$B" "$F"
    dk-values x.act.h5 /acts/L03/resid_post/diff | cmp - "$C/diff_3.txt"
    dk-import --what diff -l 3 -o y.act.h5 "$F" "$B"
    paste <(rows x.act.h5 L03/resid_post/diff) <(rows y.act.h5 L03/resid_post/diff) | awk '$1 + $2 != 0 { exit 1 }'
}

@test "float16, float32; one model alone; layers that both have" {
    for s in half:f16 single:f32; do
        dk-import --what ft -l 1 -o x.act.h5 "c/${s%:*}/web/train" "c/${s%:*}/web/train"
        [ "$(info x.act.h5 '.objects[] | select(.path == "/acts/L01/resid_post/ft") | .type')" = "\"${s#*:}\"" ]
        rows x.act.h5 L01/resid_post/ft > ${s#*:}
    done
    cat "$C"/single/web/train/layer_1_out/shard_{0,1,2}.memmap | od -An -v -tf4 -w4 | paste - f32 |
        awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-7 * ($1 < 0 ? -$1 : $1)) exit 1; n++ } END { exit n != 144 }'
    paste f16 f32 | awk '{ d = $1 - $2; if (d < 0) d = -d; m = $2 < 0 ? -$2 : $2; if (d > 6e-8 + m / 2048) exit 1; n++ } END { exit n != 144 }'
    dk-import -o x.act.h5 "$B"
    [ "$(info x.act.h5 .attributes.lanes)" = '"base"' ]
    dk-import -o x.act.h5 "$B" c/long/web/train 2> /dev/null
    [ "$(info x.act.h5 '[.objects[] | select(.path | test("^/acts/L[0-9]+/resid_post/ft$")) | .path]')" = '["/acts/L01/resid_post/ft"]' ]
    rm x.act.h5
    refused "c/half/web/train/layer_1_out has rows of 6 f16, and c/base/web/train/layer_1_out of 6 bf16" -l 1 "$B" c/half/web/train
}

@test "of unequal length: the first tokens of both, the sequences of the shorter; another token is an error with its place" {
    for p in "$B c/long/web/train" "c/long/web/train $B"; do
        run -0 --separate-stderr dk-import -l 1 -o x.act.h5 $p
        [[ "$stderr" == *"the first 24 of both are taken"* ]]
        [ "$(info x.act.h5 '[.rows, .docs]')" = '[24,6]' ]
        [ "$(dk-values x.act.h5 /docs/offset | tail -n 1)" = 24 ]
    done
    cmp <(rows x.act.h5 L01/resid_post/ft) <(bf16 "$B/layer_1_out")
    rm x.act.h5
    /usr/bin/python3 - "$F/tokens.pt" <<'END'
import sys, zipfile
old = zipfile.ZipFile(sys.argv[1])
members = {i.filename: bytearray(old.read(i)) for i in old.infolist()}
members["tokens/data/0"][17 * 8] ^= 1
with zipfile.ZipFile(sys.argv[1], "w") as z:
    for name, data in members.items():
        z.writestr(name, bytes(data))
END
    refused "have other tokens at 17" "$B" "$F"
}

@test "first tokens that were left out count; a tokenizer tells what tokens are" {
    dk-import --skip-first 2 -o x.act.h5 "$B" "$F"
    [ "$(dk-values x.act.h5 /rows/pos | head -n 6 | tr '\n' ' ')" = "2 3 4 5 6 2 " ]
    dk-import -m "$ROOT/tests/golden/mini/hf" -o y.act.h5 "$B" "$F"
    [ "$(info y.act.h5 '.objects[] | select(.path == "/corpus") | .attributes.vocab')" = 512 ]
    [ "$(info y.act.h5 '.objects[] | select(.path == "/corpus") | .attributes.tokenizer_sha256 | length')" = 64 ]
    [ "$(info x.act.h5 '.objects[] | select(.path == "/corpus") | .attributes.tokenizer_sha256')" = '""' ]
    dk-pca -k 2 --what diff y.act.h5 | jq -es 'length == 4'
    dk-import -o - "$B" "$F" | dk-norms - > from.stream
    dk-import -o z.act.h5 "$B" "$F"
    dk-norms z.act.h5 | cmp - from.stream
}

@test "refused by name: what is missing, cut, changed, of another kind" {
    refused "gone/tokens.pt" gone
    rm "$F/layer_1_out/shard_1.memmap"
    refused "layer_1_out/shard_1.memmap" "$B" "$F"
    head -c 100 "$C/ft/web/train/layer_1_out/shard_1.memmap" > "$F/layer_1_out/shard_1.memmap"
    refused "shard_1.memmap has 100 bytes instead of the 108 of shard_1.meta" "$B" "$F"
    cp "$C/ft/web/train/layer_1_out/shard_1.memmap" "$F/layer_1_out/"
    change() { jq -c "$2" "$C/ft/web/train/layer_1_out/$1" > "$F/layer_1_out/$1"; refused "$3" "$B" "$F"; cp "$C/ft/web/train/layer_1_out/$1" "$F/layer_1_out/"; }
    change config.json '.shard_count = 2' "the shards have 19 rows, and config.json says 24"
    change config.json '.shard_count = 4' "shard_3.meta"
    change config.json '.d_model = 7' "shape or type is not what config.json says"
    change config.json '.shuffle_shards = true' "shuffled shards"
    change config.json '.io = "in"' "only what blocks put out"
    change config.json 'del(.total_size)' "lacks total_size"
    change shard_0.meta '.dtype = "torch.int8"' "values of type torch.int8 are not read"
    change shard_1.meta '.dtype = "torch.float16"' "is not what the first shard says"
    change shard_2.meta '.shape = [5]' "has no shape"
    head -c 500 "$C/ft/web/train/tokens.pt" > "$F/tokens.pt"
    refused "tokens.pt" "$B" "$F"
    cp "$C/ft/web/train/sequence_ranges.pt" "$F/tokens.pt"
    refused "goes from 0 to 24, but there are 7 tokens" "$B" "$F"
    cp "$C/ft/web/train/tokens.pt" "$F/tokens.pt"
    cp "$C/ft/web/train/tokens.pt" "$F/sequence_ranges.pt"
    refused "sequence_ranges.pt" "$B" "$F"
    printf '\200\002}q\000.' > "$F/tokens.pt"
    refused "tokens.pt as a zip archive" "$B" "$F"
    mkdir none && cp "$B"/*.pt none
    refused "no layer_N_out" none
    refused "layer_7_out/config.json" -l 7 "$B"
    printf '\200\177' | dd of="$B/layer_1_out/shard_0.memmap" bs=1 seek=4 conv=notrunc status=none
    refused "x.act.h5: /acts/L01/resid_post/base, row 0: activations are NaN" "$B"
}
