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
    [ "$(jq -c 'select(.method == "kl") | .statistic' t | tr -d '"' | tr '\n' ' ')" = "mean q95 q99.9 share_on_top_percent logp_change types " ]
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
    jq -es 'map(select(.method == "kl" and .verdict)) | length == 5 and all(.value == 0 and .verdict == "within null")' t
    of logp_change | jq -e '.p_any == 1 and .lo == 0 and .hi == 0'
    of mean_top_value | jq -e '.value == 0 and .verdict == "within null"'
    of types | jq -e '.value == 0'
    # every method as the finetune's, beside a null: bit for bit the base, exactly nothing, no finding
    run_same() { "$1" --dtype f32 -m "$G" -f "$F/same" -n rigid_1="$F/n1" "${@:2}" "$F/texts.tok.h5"; }
    run_same dk-kl -k 10 -o x.score.h5 --table x.jsonl
    cmp <(dk-values x.score.h5 logp/ft) <(dk-values x.score.h5 logp/base)
    jq -es 'map(select(.lane == "ft")) | length == 1 and .[0].value == 0 and .[0].per_token_statistics.max == 0' x.jsonl
    run_same dk-extract --layers 0,1 --store f32 --what base,ft,diff -o x.act.h5
    for l in 0 1; do cmp <(dk-values x.act.h5 /acts/L0$l/resid_post/ft) <(dk-values x.act.h5 /acts/L0$l/resid_post/base); done
    dk-mean -n 3 -o x.dir.h5 --table x.means.jsonl x.act.h5
    dk-norms -n 0 --table x.norms.jsonl x.act.h5
    dk-lens -m "$G" -k 20 -o x.lens.jsonl x.dir.h5
    dk-mine -m "$G" --snippets 0 -o x.mined.jsonl x.score.h5
    dk-calibrate -m "$G" --words "$F/words" x.score.h5 x.means.jsonl x.norms.jsonl x.lens.jsonl > t
    jq -es 'map(select(.verdict)) | length > 20 and all(.verdict == "within null")' t
    jq -es 'map(select(.kind == "size")) | length > 8 and all(.value == 0)' t
    jq -es 'map(select(.statistic == "tokens" or .statistic == "types")) | length == 2 and all(.value == 0)' t
}

@test "any lane can be the one, and then the finetune is a null" {
    dk-calibrate -l rigid_2 "$S" > t
    of mean | jq -r '.lane, (.null.values | keys | join(" "))' | tr '\n' ' ' | grep -qx 'rigid_2 ft rigid_1 rigid_3 rigid_4 rigid_5 '
    run -1 --separate-stderr dk-calibrate -l other "$S"
    failed dk-calibrate "no statistic of a lane 'other'"
}

@test "rates: those of dk-mine; entries are ranked by z" {
    # what adds nothing raises nothing, though its lists hold the first ids
    dk-calibrate --list 1000 "$F/two.score.h5" > t
    of rate > r
    [ "$(wc -l < r)" = "$(of tokens | jq .value)" ]
    jq -es 'map(.z) | length > 0 and . == (sort | reverse)' r
    dk-mine -m "$G" -n 512 --snippets 0 "$F/two.score.h5" > mined
    jq -c -s --slurpfile m mined '.[] as $r | $m[] | select(.id == $r.id) | [.value, $r.value]' r |
        tr -d '[]' | tr ',' ' ' > two
    [ "$(wc -l < two)" = "$(wc -l < r)" ]
    near 1e-5 < two
    jq -es 'all(.against == "same" and .null_value == 0)' r
    # of a null that raises tokens its rate
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -n other="$PATTERN" -k 10 -o x.score.h5 "$F/texts.tok.h5"
    dk-calibrate --list 1000 x.score.h5 | of rate /dev/stdin > r
    dk-mine -m "$G" -n 512 --snippets 0 x.score.h5 > mined
    jq -c -s --slurpfile m mined '.[] as $r | $m[] | select(.id == $r.id) | [.value, $r.value], [.null.other.value, $r.null_value]' r |
        tr -d '[]' | tr ',' ' ' | near 1e-5
    dk-calibrate --list 1 "$F/two.score.h5" | jq -s 'map(select(.statistic == "rate")) | length' | grep -qx 1
}

@test "means, norms and lists of directions" {
    dk-calibrate -m "$G" --words "$F/words" --neutral "$ROOT/data/text/general-a.jsonl" "$F/a.means.jsonl" "$F/a.norms.jsonl" "$F/a.lens.jsonl" > t
    of relative_norm | jq -s 'length' | grep -qx 4
    of relative_norm | jq -es 'all(.few_docs and .docs < 100)'
    # halves and entropy as the tables have them, larger where documents agree and few tokens hold the mass
    for w in ft rigid_3; do
        d=diff; [ $w = ft ] || d=diff.$w
        jq --arg w $d 'select(.what == $w) | .halves' "$F/a.means.jsonl" > want
        of halves | jq --arg w $w 'if $w == "ft" then .value else .null.values[$w] end' | paste - want | near 1e-12
        jq --arg w $d 'select(.what == $w and .rank == 1 and .inverse == false) | 0 - .entropy' "$F/a.lens.jsonl" > want
        of lens_focus | jq --arg w $w 'if $w == "ft" then .value else .null.values[$w] end' | paste - want | near 1e-12
    done
    of halves | jq -es 'length == 4 and all(.kind == "content" and .method == "activation_difference_lens" and .null.m == 5)'
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

@test "components: of the first the sizes, of each content, at both ends the lists" {
    for i in ft 1 2 3 4 5; do
        w=diff; [ $i = ft ] || w=diff.rigid_$i
        dk-pca -k 6 --halves --what $w -o c$i.dir.h5 --table c$i.jsonl "$F/a.act.h5"
        dk-lens -m "$G" --first 2 -k 25 -o c$i.lens.jsonl c$i.dir.h5
    done
    dk-calibrate -m "$G" --words "$F/words" --neutral "$ROOT/data/text/general-a.jsonl" c*.jsonl > t
    [ "$(jq -r 'select(.verdict and .statistic != "lexicon") | .statistic' t | sort | uniq -c | tr '\n' ' ' | tr -s ' ')" = \
        " 1 first_share 5 halves 2 kurtosis 1 participation 1 trace " ]
    jq -es 'map(select(.verdict)) | all(.method == "pca" and .null.m == 5 and .layer == 1 and .site == "resid_post")' t
    for s in trace:total_variance first_share:ratio participation:participation; do
        of ${s%:*} | jq '.kind == "size"' | grep -qx true
        of ${s%:*} | jq '.value, .null.values.rigid_2' | paste - <(for i in ft 2; do jq "select(.component == 0) | .${s#*:}" c$i.jsonl; done) | near 1e-12
    done
    of halves | jq '.component, .value, .null.values.rigid_4' | paste - <(for c in 0 1 2 3 4; do echo $c; for i in ft 4; do jq "select(.component == $c) | .halves" c$i.jsonl; done; done) | near 1e-12
    of kurtosis | jq '.component, .value, .null.values.rigid_5' | paste - <(for c in 0 1; do echo $c
        for i in ft 5; do jq "select(.name == \"pc_$c\" and .rank == 1 and .inverse == false) | .kurtosis" c$i.lens.jsonl; done; done) | near 1e-12
    # two components, two ends
    of lexicon | jq -c '[.component, .inverse // false]' | tr '\n' ' ' | grep -qx '\[0,false\] \[1,false\] \[0,true\] \[1,true\] '
    jq -s 'map(select(.statistic == "lexicon" and .component == 1 and .inverse)) | .[0].tokens[]' t |
        cmp - <(jq -s 'map(select(.name == "pc_1" and .inverse and .rank <= 20)) | .[].token' cft.lens.jsonl)
    # quotients by the base's variance are others
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --kind stats --gram base,diff -o s.stats.h5 "$F/texts.tok.h5"
    dk-pca -k 2 --whiten --table w.jsonl s.stats.h5
    run -1 --separate-stderr dk-calibrate w.jsonl
    failed dk-calibrate "no statistic of a lane 'ft'"
}

@test "types of tokens: mean divergence where each stands, in parts of the lane's mean" {
    # what adds nothing is the null, so whatever has more than its share is beyond it
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -n same="$F/same" -n twice="$F/same" -o x.score.h5 "$F/texts.tok.h5"
    dk-calibrate -m "$G" --list 1000 x.score.h5 > t
    of type > r
    [ "$(wc -l < r)" = "$(of types | jq .value)" ]
    [ "$(wc -l < r)" -gt 3 ]
    jq -es 'map(.z) | . == (sort | reverse)' r
    jq -es 'all(.against == "same" and .null_value == 0 and .q_bh <= .05 and .count >= 4 and .docs > 1)' r
    paste <(dk-values x.score.h5 /rows/token | tr ' ' '\n') <(dk-values x.score.h5 kl/ft | tr ' ' '\n') > rows
    jq -r '[.id, .value, .se, .count, .docs] | @tsv' r > got
    # 40 rows a document
    awk 'FILENAME == "rows" { t[FNR] = $1; k[FNR] = $2; m += $2; n = FNR; next }
         FNR == 1 { m /= n }
         { split("", X); split("", N); x = c = xx = xn = nn = docs = 0
           for (i = 1; i <= n; i++) if (t[i] == $1) { d = int((i - 1) / 40); X[d] += k[i] / m; N[d]++ }
           for (d in N) { x += X[d]; c += N[d]; xx += X[d] ^ 2; xn += X[d] * N[d]; nn += N[d] ^ 2; docs++ }
           r = x / c; se = sqrt(docs / (docs - 1) * (xx - 2 * r * xn + r * r * nn)) / c; least = (x + .5) / (c + 1) / sqrt(c)
           printf "%.9g %.9g\n%.9g %.9g\n%d %d\n%d %d\n", $2, r, $3, (se > least ? se : least), $4, c, $5, docs }' rows got | near 1e-5
    # with five nulls or more: p_pool and fdr_td, none by another's name
    dk-calibrate --list 1000 "$S" | of type /dev/stdin | jq -es 'all(has("p_pool") and has("fdr_td") and (has("q_bh") | not))'
    dk-calibrate -t 1 -m "$G" --list 1000 x.score.h5 | cmp - t
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
