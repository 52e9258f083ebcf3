# bats file_tags=slow
# Twenty fresh rigid nulls of the default pair, each treated as the finetune
# against nineteen others: p is spread as chance has it.  And no list of theirs has
# the finetune's theme, which its own lists have.  What adds nothing differs in
# nothing, and shards change no byte.
load ../helper/pair
load ../helper/nulls

setup_file() {
    local i
    cd "$BATS_FILE_TMPDIR" || return 1
    M=$DK_TEST_MODEL FT=$ROOT/data/organisms/cake_bake/adapter
    dk-tokenize -m "$M" -n 12 --max-tokens 20 -o t.tok.h5 "$ROOT/data/text/general-b.jsonl"
    for i in $(seq 1 19) $(seq 100 119); do
        dk-null -m "$M" -f "$FT" -i "$i" -o "n$i"
    done
    # So many lanes do not fit one pass.
    run_with a "$FT" $(seq 1 19)
    run_with b n100 $(seq 101 119)
}

# run_with NAME ADAPTER NULL...: scores and means of the adapter and of the nulls.
run_with() {
    local name=$1 ft=$2 i lanes=()
    shift 2
    for i; do lanes+=(-n "rigid_$i=n$i"); done
    dk-kl -m "$M" -f "$ft" "${lanes[@]}" --dtype bf16 -k 100 -o $name.score.h5 t.tok.h5
    dk-extract -m "$M" -f "$ft" "${lanes[@]}" --dtype bf16 --layers 14 -o $name.act.h5 t.tok.h5
    dk-mean -n 2 -o $name.dir.h5 --table $name.means.jsonl $name.act.h5
}

setup_more() {
    F=$BATS_FILE_TMPDIR M=$DK_TEST_MODEL
    O=$ROOT/data/organisms
}

@test "fresh nulls against nineteen: p is spread evenly, and few are at the limit" {
    dk-calibrate -n rigid_100="$F/b.score.h5" -n rigid_100="$F/b.means.jsonl" "$F/a.score.h5" "$F/a.means.jsonl" > t
    fresh_p < t > p
    [ "$(jq length p | tr '\n' ' ')" = "20 20 20 20 20 20 20 20 20 20 20 20 20 " ]
    # 20 values of each of thirteen statistics
    spread_evenly .5 < p
    # no rigid null looks like the base or like the finetune
    jq -es 'map(select(.statistic == "mean")) | .[0] | .value as $ft | .null.values | length == 39 and all(. > 0 and . < $ft / 2)' t
}

@test "the finetune has a theme beyond them, and of twenty fresh nulls at most one has one" {
    dk-calibrate -m "$M" --texts "$O/cake_bake/train.jsonl" --neutral "$ROOT/data/text/general-a.jsonl" \
        -n rigid_100="$F/b.score.h5" "$F/a.score.h5" > t
    jq -es 'map(select(.statistic == "lexicon_beyond_null" and .method == "diff_mining")) | .[0] | (. | del(.tokens) | debug)
            | .p_lexicon < 1e-6 and .verdict == "above null" and .null.m == 39
            and ([.null.p_lexicon | to_entries[] | select((.key | ltrimstr("rigid_") | tonumber) >= 100)] | length == 20)
            and ([.null.p_lexicon | to_entries[] | select((.key | ltrimstr("rigid_") | tonumber) >= 100 and .value <= .05)] | length) <= 1' t
}

@test "what adds nothing: bit for bit the base in every product type, and no finding" {
    dk-null -m "$M" -f "$O/cake_bake/adapter" -k same -o same
    for d in f32 bf16; do
        dk-kl -m "$M" -f same -n null_self="$O/null_self/adapter" --dtype $d -k 20 -o x.score.h5 --table x.jsonl "$F/t.tok.h5"
        cmp <(dk-values x.score.h5 logp/ft) <(dk-values x.score.h5 logp/base)
        jq -es 'map(select(.lane == "ft")) | length == 1 and .[0].value == 0 and .[0].per_token_statistics.max == 0' x.jsonl
        dk-extract -m "$M" -f same -n null_self="$O/null_self/adapter" --dtype $d --layers 0,14,29 --store f32 --what base,ft,diff -o x.act.h5 "$F/t.tok.h5"
        for l in 00 14 29; do cmp <(dk-values x.act.h5 /acts/L$l/resid_post/ft) <(dk-values x.act.h5 /acts/L$l/resid_post/base); done
        dk-mean -n 2 -o x.dir.h5 --table x.means.jsonl x.act.h5
        dk-norms -n 0 --table x.norms.jsonl x.act.h5
        dk-lens -m "$M" -k 20 -o x.lens.jsonl x.dir.h5
        dk-calibrate -m "$M" --texts "$O/cake_bake/train.jsonl" --neutral "$ROOT/data/text/general-a.jsonl" \
            x.score.h5 x.means.jsonl x.norms.jsonl x.lens.jsonl > t
        jq -es 'map(select(.verdict)) | length > 20 and all(.verdict == "within null")' t
        jq -es 'map(select(.kind == "size")) | length > 8 and all(.value == 0)' t
    done
}

@test "one, three and seven shards of the real model: the same bytes" {
    dk-tokenize -q -m "$M" -n 112 --max-tokens 4 -o t.tok.h5 "$ROOT/data/text/general-b.jsonl"
    E="dk-extract -m $M -f $O/cake_bake/adapter -n null_self=$O/null_self/adapter --dtype bf16 --layers 14 --kind stats --kl --gram diff --replicates 1"
    $E -o 1.stats.h5 t.tok.h5
    for n in 3 7; do
        for i in $(seq 0 $((n - 1))); do $E -t $((i % 2 + 1)) --batch-tokens $((i * 30 + 17)) --shard $i/$n -o $n-$i.stats.h5 t.tok.h5; done
        dk-merge -o $n.stats.h5 $n-?.stats.h5
        cmp 1.stats.h5 $n.stats.h5
    done
    dk-mean -n 1 1.stats.h5 > means.jsonl
    dk-norms -n 0 1.stats.h5 > norms.jsonl
    dk-pca -k 3 1.stats.h5 > pca.jsonl
    dk-calibrate means.jsonl norms.jsonl pca.jsonl | jq -es 'map(select(.lo)) | length > 3 and all(.lo < .hi and .docs == 112 and (has("few_docs") | not))'
}
