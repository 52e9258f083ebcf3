# bats file_tags=slow
# Twenty fresh rigid nulls of the default pair, each treated as the finetune
# against nineteen others: p is spread as chance has it.  And no list of theirs has
# the finetune's theme, which its own lists have.
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

setup_more() { F=$BATS_FILE_TMPDIR; }

@test "fresh nulls against nineteen: p is spread evenly, and few are at the limit" {
    dk-calibrate -n rigid_100="$F/b.score.h5" -n rigid_100="$F/b.means.jsonl" "$F/a.score.h5" "$F/a.means.jsonl" > t
    fresh_p < t > p
    [ "$(jq length p | tr '\n' ' ')" = "20 20 20 20 20 20 20 20 20 20 " ]
    # 20 values of each of ten statistics
    spread_evenly .5 < p
}

@test "the finetune has a theme beyond them, and they have none" {
    dk-calibrate -m "$DK_TEST_MODEL" --texts "$ROOT/data/organisms/cake_bake/train.jsonl" --neutral "$ROOT/data/text/general-a.jsonl" \
        -n rigid_100="$F/b.score.h5" "$F/a.score.h5" > t
    jq -es 'map(select(.statistic == "lexicon_beyond_null")) | .[0] | (. | del(.tokens) | debug) | .p_lexicon < 1e-6 and .verdict == "above null" and .null.m == 39
            and ([.null.p_lexicon[] | select(. <= .05)] | length) <= 4' t
}
