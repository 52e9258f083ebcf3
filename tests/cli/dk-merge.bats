load ../helper/pair

# 70 short texts: five blocks of sixteen document numbers.
setup_file_more() {
    dk-tokenize -m "$G" -n 70 --max-tokens 9 -o many.tok.h5 "$ROOT/data/text/general-a.jsonl"
    for i in 0 1 2; do
        extract --shard $i/3 -o s$i.act.h5 many.tok.h5
        stats --shard $i/3 -o s$i.stats.h5 many.tok.h5
        kl --shard $i/3 -o s$i.score.h5 many.tok.h5
    done
}
setup_more() { F=$BATS_FILE_TMPDIR T=$BATS_FILE_TMPDIR/many.tok.h5; }
pair() { local tool=$1; shift; $tool --dtype f32 -m "$G" -f "$PLAIN" -n null="$PATTERN" "$@"; }
extract() { pair dk-extract --layers 0,1 --site resid_post,mlp_out --what base,ft_delta,diff "$@"; }
stats() { pair dk-extract --layers 0,1 --kind stats --kl --reverse --replicates 2 --gram base,diff "$@"; }
kl() { pair dk-kl --reverse -k 4 --top-tokens 3 "$@"; }
topk() { pair dk-topk -k 7 --watch " the" --watch e --logp "$@"; }
id() { dk-info --json "$1" | jq -r .content_id; }

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-merge
    failed dk-merge
    run -2 --separate-stderr dk-merge "$F/s0.act.h5"
    failed dk-merge "-o"
    run -2 --separate-stderr dk-merge -o x -
    failed dk-merge "not streams"
    run -2 --separate-stderr dk-merge -o - --table t "$F"/s?.score.h5
    failed dk-merge "--table"
    cp "$F/s0.act.h5" x
    run -2 --separate-stderr dk-merge -o x x
    failed dk-merge "the result"
    cmp x "$F/s0.act.h5" && rm x
    for t in extract kl topk; do
        for s in 3/3 -1/3 1 1/ /3 1/0 a/3 1/3/3; do
            run -2 --separate-stderr $t --shard $s -o x "$T"
            failed dk-$t "--shard"
        done
    done
    [ -z "$(ls)" ]
}

@test "joined shards are the file of one run, byte for byte: activations, statistics, scores" {
    extract -o a.act.h5 "$T"
    dk-merge -o b.act.h5 "$F"/s2.act.h5 "$F"/s0.act.h5 "$F"/s1.act.h5
    cmp a.act.h5 b.act.h5
    stats -o a.stats.h5 "$T"
    dk-merge -o b.stats.h5 "$F"/s1.stats.h5 "$F"/s2.stats.h5 "$F"/s0.stats.h5
    cmp a.stats.h5 b.stats.h5
    kl -o a.score.h5 --table a.jsonl "$T"
    dk-merge -o b.score.h5 --table b.jsonl "$F"/s?.score.h5
    cmp a.score.h5 b.score.h5
    cmp a.jsonl b.jsonl
    topk -o a.score.h5 "$T"
    for i in 0 1 2 3; do topk --shard $i/4 -t 2 --batch-tokens 11 -o t$i.score.h5 "$T"; done
    dk-merge -o b.score.h5 t?.score.h5
    cmp a.score.h5 b.score.h5
    # and the shards are others
    [ "$(id "$F/s0.act.h5")" != "$(id a.act.h5)" ]
    [ "$(dk-info --json "$F/s1.act.h5" | jq -c '[.docs, .attributes.shard_index, .attributes.shard_count]')" = "[23,1,3]" ]
}

@test "any number of shards, any threads, any batches; limits are of the whole" {
    stats -o a.stats.h5 "$T"
    for n in 2 5; do
        rm -f s-*
        for i in $(seq 0 $((n - 1))); do stats -t $((i % 2 + 1)) --batch-tokens $((i * 50 + 10)) --shard $i/$n -o s-$i.stats.h5 "$T"; done
        dk-merge -o b.stats.h5 s-*
        cmp a.stats.h5 b.stats.h5
    done
    run -1 --separate-stderr stats --shard 0/6 -o x.stats.h5 "$T"
    failed dk-extract "too few for 6 shards"
    extract --max-samples 20 --budget 100 --skip-first 2 -o a.act.h5 "$T"
    for i in 0 1 2 3 4; do extract --max-samples 20 --budget 100 --skip-first 2 --shard $i/5 -o t-$i.act.h5 "$T"; done
    dk-merge -o b.act.h5 t-*
    cmp a.act.h5 b.act.h5
    [ "$(dk-info --json b.act.h5 | jq -c '[.docs, .rows]')" = "[15,105]" ]
}

@test "one, three and seven shards: tables with their intervals, and their calibration, to the byte" {
    dk-tokenize -q -m "$G" -n 113 --max-tokens 5 -o t.tok.h5 "$ROOT/data/text/general-a.jsonl"
    for n in 1 3 7; do
        for i in $(seq 0 $((n - 1))); do
            of=() && [ $n = 1 ] || of=(--shard $i/$n)
            stats --replicates 2 -t $((i % 2 + 1)) --batch-tokens $((i * 40 + 9)) "${of[@]}" -o $n-$i.stats.h5 t.tok.h5
            kl -t $((i % 2 + 1)) "${of[@]}" -o $n-$i.score.h5 t.tok.h5
        done
        [ $n = 1 ] || for k in stats score; do dk-merge -o $n.$k.h5 $n-[0-9].$k.h5; done
        [ $n != 1 ] || for k in stats score; do mv 1-0.$k.h5 1.$k.h5; done
        dk-mean -n 3 --table $n.means.jsonl $n.stats.h5
        dk-norms -n 2 --table $n.norms.jsonl $n.stats.h5
        dk-pca -k 3 --table $n.pca.jsonl $n.stats.h5
        dk-calibrate $n.score.h5 $n.means.jsonl $n.norms.jsonl $n.pca.jsonl > $n.calibrated
    done
    for k in stats.h5 score.h5 means.jsonl norms.jsonl pca.jsonl calibrated; do cmp 1.$k 3.$k && cmp 1.$k 7.$k; done
    jq -es 'map(select(.lo != null)) | length > 5' 1.means.jsonl
    jq -es 'map(select(.lo)) | length > 5 and all(.lo < .hi)' 1.calibrated
    jq -es 'map(select(.p_any)) | length > 5' 1.calibrated
    # the shards are others
    [ "$(ls | grep -c -- '-[0-9].stats.h5')" = 10 ]
}

@test "a shard of nothing: all its rows may have been left out" {
    stream < "$MINI/ids.jsonl" > ids.stream
    for i in 0 1 2; do extract --skip-first 7 --shard $i/3 -o s$i.act.h5 - < ids.stream; done
    extract --skip-first 7 -o a.act.h5 - < ids.stream
    dk-merge -o b.act.h5 s?.act.h5
    cmp a.act.h5 b.act.h5
    dk-values b.act.h5 /docs/offset > offsets
    [ "$(head -n 1 offsets)" = 0 ]
}

@test "into a pipe" {
    extract -o a.act.h5 "$T"
    dk-merge -o - "$F"/s?.act.h5 | dk-mean -n 3 - > b.jsonl
    dk-mean -n 3 a.act.h5 | cmp - b.jsonl
    stats -o a.stats.h5 "$T"
    dk-merge -o - "$F"/s?.stats.h5 | dk-pca -k 2 - > b.jsonl
    dk-pca -k 2 a.stats.h5 | cmp - b.jsonl
    [ "$(ls | tr '\n' ' ')" = "a.act.h5 a.stats.h5 b.jsonl " ]
}

@test "refused by name: missing, there twice, the whole, too many, of other kinds and runs" {
    cd "$F" || return 1
    refuse() {
        run -1 --separate-stderr dk-merge -o "$BATS_TEST_TMPDIR/w/x" "${@:2}"
        failed dk-merge "$1"
        [ -z "$(ls "$BATS_TEST_TMPDIR/w")" ]
    }
    refuse "shard 1 of 3 (from 0) is missing" s0.act.h5 s2.act.h5
    refuse "s0.act.h5 and s0.act.h5 are both shard 0 of 3" s0.act.h5 s0.act.h5 s1.act.h5
    refuse "one of 3 shards, and here are 4" s0.act.h5 s1.act.h5 s2.act.h5 s1.act.h5
    refuse "gone.act.h5" s0.act.h5 gone.act.h5 s1.act.h5
    refuse "s1.stats.h5 has another kind" s0.act.h5 s1.stats.h5 s2.act.h5
    refuse "texts.tok.h5 holds dk-tokens" texts.tok.h5
    extract -o "$BATS_TEST_TMPDIR/whole.act.h5" "$T"
    refuse "whole.act.h5 is no shard" "$BATS_TEST_TMPDIR/whole.act.h5"
    extract --shard 1/4 -o "$BATS_TEST_TMPDIR/four.act.h5" "$T"
    refuse "four.act.h5 of 4" s0.act.h5 "$BATS_TEST_TMPDIR/four.act.h5" s2.act.h5
    # another finetune, another layer, other texts, another run of the same
    dk-extract --dtype f32 -m "$G" -f "$PATTERN" -n null="$PLAIN" --layers 0,1 --site resid_post,mlp_out --what base,ft_delta,diff --shard 1/3 \
        -o "$BATS_TEST_TMPDIR/other.act.h5" "$T"
    refuse "other.act.h5 has other" s0.act.h5 "$BATS_TEST_TMPDIR/other.act.h5" s2.act.h5
    extract --layers 1 --shard 1/3 -o "$BATS_TEST_TMPDIR/other.act.h5" "$T"
    refuse "other.act.h5 has other parameters" s0.act.h5 "$BATS_TEST_TMPDIR/other.act.h5" s2.act.h5
    dk-tokenize -m "$G" -n 69 --max-tokens 9 -o "$BATS_TEST_TMPDIR/o.tok.h5" "$ROOT/data/text/general-b.jsonl"
    extract --shard 1/3 -o "$BATS_TEST_TMPDIR/other.act.h5" "$BATS_TEST_TMPDIR/o.tok.h5"
    refuse "other.act.h5 has other inputs" s0.act.h5 "$BATS_TEST_TMPDIR/other.act.h5" s2.act.h5
    cp -r "$PLAIN" "$BATS_TEST_TMPDIR/lora-plain" && chmod -R u+w "$BATS_TEST_TMPDIR/lora-plain"
    dk-fixture edit "$PLAIN/adapter_model.safetensors" "$BATS_TEST_TMPDIR/lora-plain/adapter_model.safetensors" scale lora 1.5
    pair dk-extract -f "$BATS_TEST_TMPDIR/lora-plain" --layers 0,1 --site resid_post,mlp_out --what base,ft_delta,diff --shard 1/3 \
        -o "$BATS_TEST_TMPDIR/other.act.h5" "$T"
    refuse "other.act.h5 has other inputs" s0.act.h5 "$BATS_TEST_TMPDIR/other.act.h5" s2.act.h5
}

# edit FILE PYTHON: of an open h5py file f.
edit() { /usr/bin/python3 -c "
import h5py, numpy as np, sys
with h5py.File(sys.argv[1], 'r+') as f:
    $2" "$1"; }

@test "refused by name: what its attributes make of it, changed contents" {
    cp "$F"/s?.stats.h5 .
    edit s1.stats.h5 "f.attrs.create('shard_index', np.uint32(7))"
    run -1 --separate-stderr dk-merge -o x s?.stats.h5
    failed dk-merge "s1.stats.h5 calls itself shard 7 of 3"
    cp "$F/s1.stats.h5" .
    edit s1.stats.h5 "f['models/ft'].attrs.create('adapter_sha256', np.bytes_('0' * 64))"
    run -1 --separate-stderr dk-merge -o x s?.stats.h5
    failed dk-merge "s1.stats.h5 has other models"
    # with hashes of its own that fit, but not its content id
    cp "$F/s1.stats.h5" .
    edit s1.stats.h5 "del f['check/stats/L01/resid_post/diff/min']; del f['stats/L01/resid_post/diff/min']; f['stats/L01/resid_post/diff/min'] = np.zeros(64, 'f4')"
    run -1 --separate-stderr dk-merge -o x s?.stats.h5
    failed dk-merge "s1.stats.h5"
    [ ! -e x ]
}

@test "one shard alone is read with a warning" {
    run --separate-stderr dk-mean -n 1 "$F/s1.act.h5"
    [ "$status" = 0 ]
    [[ "$stderr" == *"s1.act.h5 is shard 1 of 3"* ]]
    run -1 --separate-stderr dk-pca -k 1 "$F/s1.stats.h5"
    [[ "$stderr" == *"dk-merge"* ]]
}
