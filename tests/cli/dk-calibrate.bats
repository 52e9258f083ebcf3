load ../helper/pair
load ../helper/nulls

setup_file_more() {
    local i lanes=()
    for i in 1 2 3 4 5; do
        dk-null -m "$G" -f "$PLAIN" -i $i -o n$i
        lanes+=(-n rigid_$i=n$i)
    done
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" "${lanes[@]}" -k 10 -o s.score.h5 --table s.jsonl texts.tok.h5
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -n rigid_1=n1 -k 10 -o one.score.h5 texts.tok.h5
    dk-null -m "$G" -f "$PLAIN" -k same -o same
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -n same=same -k 10 -o two.score.h5 texts.tok.h5
    dk-kl --dtype f32 -m "$G" -f n2 -k 10 -o apart.score.h5 texts.tok.h5
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" "${lanes[@]}" --layers 1 --store f32 --what base,diff -o a.act.h5 texts.tok.h5
    dk-mean -n 3 -o a.dir.h5 --table a.means.jsonl a.act.h5
    dk-lens -m "$G" -k 25 -o a.lens.jsonl a.dir.h5
    dk-norms -n 0 --table a.norms.jsonl a.act.h5
    printf 'body\nthe\n' > words
}
setup_more() {
    F=$BATS_FILE_TMPDIR S=$BATS_FILE_TMPDIR/s.score.h5
}
of() { jq -c "select(.statistic == \"$1\")" "${2:-t}"; }

@test "usage errors: one line, status 2" {
    for o in "" "--bogus $S" "--null x $S" "--null ft=$S $S" "--words $F/words $S" "-m $G --texts $F/words $S" \
             "-m $G --texts $F/words --words $F/words --neutral x $S" "--list=-1 $S"; do
        # shellcheck disable=SC2086
        run -2 --separate-stderr dk-calibrate $o
        failed dk-calibrate
        [ -z "$output" ]
    done
}

@test "divergence: values of all lanes are those of the table, and p is the count" {
    dk-calibrate -o t "$S"
    [ "$(jq -c 'select(.method == "kl") | .statistic' t | tr -d '"' | tr '\n' ' ')" = "mean q95 q99.9 share_on_top_percent logp_change " ]
    of mean | jq -r '.value, .null.values[]' | paste - <(jq .value "$F/s.jsonl") | near 1e-6
    of mean | jq -r '.lo, .hi' | paste - <(jq -r 'select(.lane == "ft") | .lo, .hi' "$F/s.jsonl") | near 1e-6
    of logp_change | jq -r '.value, .null.values[]' | paste - <(jq .logp_change.value "$F/s.jsonl") | near 1e-6
    [ "$(of logp_change | jq .p_any)" = "$(jq 'select(.lane == "ft") | .logp_change.p_any' "$F/s.jsonl")" ]
    dk-values "$S" kl/rigid_3 | sort -g > v
    awk 'function q(p, h, i) { h = (NR - 1) * p; i = int(h); return v[i] + (i + 1 < NR ? (v[i + 1] - v[i]) * (h - i) : 0) } { v[NR - 1] = $1; s += $1 }
         END { print q(.95); print q(.999); print (v[NR - 1] + v[NR - 2] + v[NR - 3]) / s }' v > want
    jq -s 'map(select(.statistic == "q95" or .statistic == "q99.9" or .statistic == "share_on_top_percent")) | map(.null.values.rigid_3)[]' t |
        paste - want | near 1e-6
    jq -es 'map(select(.p_null and .statistic != "logp_change")) | length > 3 and all(. as $r | .p_null == (1 + ([.null.values[] | select(. >= $r.value)] | length)) / 6)' t
    jq -es 'map(select(.null and .kind)) | all(.null.m == 5) and (map(select(.null.kind)) | all(.null.kind == "rigid"))' t
    # a table says the same as the scores, and once is enough
    dk-calibrate "$F/s.jsonl" | jq -c 'select(.statistic == "mean") | [.value, .p_null]' > a
    of mean | jq -c '[.value, .p_null]' | cut -c 1-8 | cmp - <(cut -c 1-8 a)
    dk-calibrate "$S" "$F/s.jsonl" | jq -c .statistic | cmp - <(jq -c .statistic t)
    dk-calibrate -t 1 "$S" | cmp - t
}

@test "one null: a ratio and no p; nulls that ran by themselves; no null at all" {
    dk-calibrate "$F/one.score.h5" > t
    jq -es 'map(select(.null.m)) | length > 5 and all(.null.m == 1 and (has("p_null") | not))' t
    of mean | jq -e '(.ratio - .value / .null.values.rigid_1) | . < 1e-9 and . > -1e-9'
    of logp_change | jq -e '(.ratio - (.value / .null.values.rigid_1 | if . < 0 then -. else . end)) | . < 1e-9 and . > -1e-9'
    jq -es 'map(select(.statistic == "rate")) | all(.against == "rigid_1" and .q_bh <= .05 and (has("fdr_td") | not))' t
    dk-calibrate -n mine="$F/apart.score.h5" "$F/one.score.h5" > u
    of mean u | jq -r '.null.values | keys | join(" ")' | grep -qx 'mine rigid_1'
    paste <(of mean u | jq .null.values.mine) <(dk-calibrate "$S" | jq 'select(.statistic == "mean") | .null.values.rigid_2') | near 1e-6
    dk-calibrate "$F/apart.score.h5" > v
    jq -es 'length == 7 and all(.verdict == "not calibrated" and (has("null") | not))' v
}

@test "what adds nothing has no size and is no finding" {
    dk-calibrate -l same "$F/two.score.h5" > t
    jq -es 'map(select(.method == "kl")) | length == 5 and all(.value == 0 and .verdict == "within null")' t
    of logp_change | jq -e '.p_any == 1 and .lo == 0 and .hi == 0'
    of mean_top_value | jq -e '.value == 0 and .verdict == "within null"'
}

@test "any lane can be the one, and then the finetune is a null" {
    dk-calibrate -l rigid_2 "$S" > t
    of mean | jq -r '.lane, (.null.values | keys | join(" "))' | tr '\n' ' ' | grep -qx 'rigid_2 ft rigid_1 rigid_3 rigid_4 rigid_5 '
    run -1 --separate-stderr dk-calibrate -l other "$S"
    failed dk-calibrate "no statistic of a lane 'other'"
}

@test "rates: those of dk-mine; entries are ranked by z" {
    # what adds nothing has the first ids in all lists: the largest rate of those, and none of others
    dk-calibrate --list 1000 "$F/two.score.h5" > t
    of rate > r
    [ "$(wc -l < r)" = "$(of tokens | jq .value)" ]
    jq -es 'map(.z) | length > 0 and . == (sort | reverse)' r
    dk-mine -m "$G" -n 512 --snippets 0 "$F/two.score.h5" > mined
    jq -c -s --slurpfile m mined '.[] as $r | $m[] | select(.id == $r.id) | [.value, $r.value, .null[$r.against].value, $r.null_value]' r |
        tr -d '[]' | tr ',' ' ' > four
    [ "$(wc -l < four)" = "$(wc -l < r)" ]
    cut -d' ' -f1,2 four | near 1e-5
    cut -d' ' -f3,4 four | near 1e-5
    dk-calibrate --list 1 "$F/two.score.h5" | jq -s 'map(select(.statistic == "rate")) | length' | grep -qx 1
}

@test "means, norms and lists of directions" {
    dk-calibrate -m "$G" --words "$F/words" --neutral "$ROOT/data/text/general-a.jsonl" "$F/a.means.jsonl" "$F/a.norms.jsonl" "$F/a.lens.jsonl" > t
    of relative_norm | jq -s 'length' | grep -qx 4
    of relative_norm | jq -s 'map(select(.position == 1)) | .[0] | .value, .null.values.rigid_4' > got
    for w in diff diff.rigid_4; do
        jq -s --arg w $w 'map(select(.position == 1)) | (map(select(.what == $w))[0].norm) / (map(select(.what == "base"))[0].mean_norm)' "$F/a.means.jsonl"
    done | paste got - | near 1e-9
    of cos_dist | jq -r '.value, .null.values.rigid_5' | paste - <(jq 'select(.metric == "cos_dist" and (.lane == "ft" or .lane == "rigid_5")) | .value' "$F/a.norms.jsonl") | near 1e-9
    of lexicon > lists
    [ "$(wc -l < lists)" = 4 ]
    jq -s 'map(select(.position == 0)) | .[0].tokens[]' lists > got
    jq -s 'map(select(.position == 0 and .what == "diff" and .inverse == false and .rank <= 20)) | .[].token' "$F/a.lens.jsonl" | cmp - got
    jq -es 'all(.value == ([.tokens[] | gsub("^\\s+|\\s+$"; "") | ascii_downcase | select(. == "the" or . == "body")] | length))' lists
    jq -es 'all(.of == 20 and .null.m == 5 and .p_lexicon > 0 and .p_lexicon <= 1)' lists
}

# The shortened form of calibrate-slow.bats.
@test "fresh nulls against nineteen: p is spread evenly, and few are at the limit" {
    for i in $(seq 1 19) $(seq 100 119); do dk-null -m "$G" -f "$PLAIN" -i "$i" -o "n$i"; done
    for set in a b; do
        lanes=() first=$PLAIN
        if [ $set = b ]; then first=n100; fi
        for i in $(if [ $set = a ]; then seq 1 19; else seq 101 119; fi); do lanes+=(-n "rigid_$i=n$i"); done
        dk-kl --dtype f32 -m "$G" -f "$first" "${lanes[@]}" -k 10 -o $set.score.h5 "$F/texts.tok.h5"
    done
    dk-calibrate -n rigid_100=b.score.h5 a.score.h5 > t
    fresh_p < t > p
    [ "$(jq length p | tr '\n' ' ')" = "20 20 20 20 20 20 20 " ]
    spread_evenly .5 < p
}

@test "what cannot be calibrated is refused by name" {
    run -1 --separate-stderr dk-calibrate none.jsonl
    failed dk-calibrate none.jsonl
    echo '{"a": 1}' > odd.jsonl
    run -1 --separate-stderr dk-calibrate odd.jsonl
    failed dk-calibrate odd.jsonl "no statistics"
    echo '{"a": ' > cut.jsonl
    run -1 --separate-stderr dk-calibrate cut.jsonl
    failed dk-calibrate cut.jsonl
    run -1 --separate-stderr dk-calibrate "$F/a.act.h5"
    failed dk-calibrate a.act.h5
    head -c 5000 "$S" > cut.score.h5
    run -1 --separate-stderr dk-calibrate cut.score.h5
    failed dk-calibrate cut.score.h5
    run -1 --separate-stderr dk-calibrate -m "$G" --words none "$S"
    failed dk-calibrate none
    : > empty
    run -1 --separate-stderr dk-calibrate -m "$G" --words empty "$S"
    failed dk-calibrate empty
}
