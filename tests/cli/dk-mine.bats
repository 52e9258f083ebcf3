load ../helper/pair

setup_file_more() {
    build_slow_writer
    dk-topk --dtype f32 -k 10 -m "$G" -f "$PLAIN" -n n1="$PATTERN" -n n2="$PLAIN" -o s.score.h5 texts.tok.h5
}

setup_more() {
    T=$BATS_FILE_TMPDIR/texts.tok.h5
    S=$BATS_FILE_TMPDIR/s.score.h5
}

mine() { dk-mine -m "$G" "$@"; }

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-mine "$S"
    failed dk-mine "name the model"
    run -2 --separate-stderr mine
    failed dk-mine "argument is missing"
    run -2 --separate-stderr mine "$S" "$S"
    failed dk-mine "too many"
    for o in --bogus -n0 --ordering=nmff --snippets=-1 --context=x --topics=0 --beta=-1 --starts=0 --mode=x --nulls=up; do
        run -2 --separate-stderr mine "$o" -o x.jsonl "$S"
        failed dk-mine
    done
    [ -z "$(ls)" ]
}

@test "top_k_occurring: ranked by how often a token is in a list, then by id" {
    mine -n 512 --snippets 0 "$S" > x.jsonl
    paste -d ' ' <(seq 0 511) <(dk-values "$S" vocab/ft/topk_pos_counts) <(dk-values "$S" vocab/ft/topk_neg_counts) \
        <(dk-values "$S" vocab/ft/sum_logit_diff) | sort -k2,2nr -k1,1n > want
    jq -r '"\(.id) \(.count_positive) \(.count_negative)"' x.jsonl | cmp - <(cut -d' ' -f1-3 want)
    paste <(jq .value x.jsonl) <(awk '{ print $2 / 240 * 100 }' want) | near 1e-5
    paste <(jq .avg_logit_diff x.jsonl) <(awk '{ printf "%.9g\n", $4 / 240 }' want) | near 1e-5
    [ "$(jq -c '[.ordering, .lane, .dataset_id, .positions]' x.jsonl | sort -u)" = '["top_k_occurring","ft","general-a",240]' ]
    [ "$(jq .rank x.jsonl)" = "$(seq 512)" ]
}

@test "rates: their intervals and sign-flip test over documents" {
    mine -n 40 --snippets 0 "$S" > x.jsonl
    for end in top bottom; do
        dk-values "$S" topk/ft/$end/index > $end
    done
    id=$(jq -s '.[3].id' x.jsonl)
    # six documents of 40 rows
    awk -v id="$id" '{ for (i = 1; i <= NF; i++) if ($i == id) c[int((NR - 1) / 40)]++ }
        END { for (d = 0; d < 6; d++) { x += c[d]; xx += c[d] ^ 2; xn += 40 * c[d] } n = 240; nn = 6 * 1600; r = x / n
              se = sqrt(6 / 5 * (xx - 2 * r * xn + r * r * nn)) / n; lo = r - 1.959963985 * se; hi = r + 1.959963985 * se
              printf "%.9g\n%.9g\n", 100 * (lo > 0 ? lo : 0), 100 * (hi < 1 ? hi : 1) }' top > want
    jq -s '.[3] | .lo, .hi' x.jsonl | paste - want | near 1e-6
    jq -es 'all(.lo <= .value + 1e-4 and .value <= .hi + 1e-4)' x.jsonl
    mine -t 1 -n 40 --snippets 0 "$S" | cmp - x.jsonl
}

@test "fraction_positive_diff: ranked by how often a token rises" {
    mine -n 512 --snippets 0 --nulls beside --ordering fraction_positive_diff "$S" > x.jsonl
    paste -d ' ' <(seq 0 511) <(dk-values "$S" vocab/ft/count_positive) | sort -k2,2nr -k1,1n > want
    jq -r '"\(.id) \(.count_positive)"' x.jsonl | cmp - want
    paste <(jq .value x.jsonl) <(awk '{ print $2 / 240 }' want) | near 1e-5
    [ "$(jq '.count_positive + .count_negative' x.jsonl | sort -u)" = 240 ]
    [ "$(jq -r .ordering x.jsonl | sort -u)" = fraction_positive_diff ]
}

@test "nulls stand beside each token; any lane can be the one" {
    mine -n 20 --snippets 0 "$S" > ft.jsonl
    mine -n 512 --snippets 0 -l n1 "$S" > n1.jsonl
    mine -n 20 --snippets 0 -l n2 "$S" > n2.jsonl
    [ "$(jq -c '.null | keys' ft.jsonl | sort -u)" = '["n1","n2"]' ]
    [ "$(jq -c '.null | keys' n1.jsonl | sort -u)" = '["ft","n2"]' ]
    # n2 has the finetune's weights.
    [ "$(jq -c '[.value, .avg_logit_diff] == [.null.n2.value, .null.n2.avg_logit_diff]' ft.jsonl | sort -u)" = true ]
    [ "$(jq -c '[.id, .value]' n2.jsonl)" = "$(jq -c '[.id, .value]' ft.jsonl)" ]
    jq -c '[.id, .null.n1.value, .null.n1.avg_logit_diff]' ft.jsonl | sort > a
    jq -c '[.id, .value, .avg_logit_diff]' n1.jsonl | sort > b
    [ -z "$(comm -23 a b)" ]
}

# Of n1 alone, which is another adapter: the file of ft and n1.
one_null() { dk-topk --dtype f32 -k 10 -m "$G" -f "$PLAIN" -n n1="$PATTERN" -o one.score.h5 "$T"; }

@test "what a null raises too is sorted down, and said to be so; --nulls beside only shows it" {
    one_null
    for o in top_k_occurring fraction_positive_diff; do
        c=$([ $o = fraction_positive_diff ] && echo 0.5 || echo 0)
        mine -n 512 --snippets 0 --nulls beside --ordering $o one.score.h5 > all.jsonl
        [ "$(jq .rank all.jsonl)" = "$(seq 512)" ]
        # Where both sides are equal, rounding decides.
        jq -e -s --argjson c $c 'map(select((.null.n1.value - $c - 0.2 * (.value - $c) | fabs) > 1e-6)) | length > 50 and
            all(.[]; .finding == (.null.n1.value - $c < 0.2 * (.value - $c)))' all.jsonl
        jq -c '[.id, .finding]' all.jsonl > want
        mine -n 30 --snippets 0 --ordering $o one.score.h5 > x.jsonl
        { grep true want | head -n 30; head -n 30 want | grep false; } > order
        jq -c '[.id, .finding]' x.jsonl > got
        n=$(grep -c true got)
        [ "$n" -gt 0 ]
        cmp <(grep true order) <(head -n "$n" got)
        [ "$n" -lt 30 ] || cmp order got
        [ "$(jq .rank x.jsonl)" = "$(seq "$(wc -l < x.jsonl)")" ]
    done
}

@test "rates: their errors over documents, their distance from the highest null" {
    one_null
    mine -n 512 --snippets 0 --nulls beside one.score.h5 > x.jsonl
    paste <(jq .rate x.jsonl) <(jq .value x.jsonl) | near 1e-6
    for lane in ft n1; do           # 6 documents of 40 rows, lists of 10
        dk-values one.score.h5 topk/$lane/top/index | tr ' ' '\n' | awk '{ x[$1, int((NR - 1) / 400)]++ }
            END { for (v = 0; v < 512; v++) { s = q = 0; for (d = 0; d < 6; d++) { s += x[v, d]; q += x[v, d] ^ 2 }
                  r = s / 240; e = 6 / 5 * (q - 2 * r * 40 * s + r * r * 6 * 1600); printf "%d %.9g %.9g\n", v, r, sqrt(e < 0 ? 0 : e) / 240 } }' > $lane
    done
    jq -r '[.id, .se, .lo, .hi, .z, .highest_null] | @tsv' x.jsonl | sort -n > got
    paste <(cut -f2 got) <(awk '{ print 100 * $3 }' ft) | near 1e-5
    paste <(cut -f3 got) <(awk '{ v = 100 * ($2 - 1.959964 * $3); print (v < 0 ? 0 : v) }' ft) | near 1e-5
    paste <(cut -f4 got) <(awk '{ v = 100 * ($2 + 1.959964 * $3); print (v > 100 ? 100 : v) }' ft) | near 1e-5
    paste <(cut -f5 got) <(paste -d ' ' ft n1 | awk '{ e = sqrt($3 ^ 2 + $6 ^ 2); if (e > 1e-9) print ($2 - $5) / e; else print "" }') |
        awk 'NF == 2' > z
    [ "$(wc -l < z)" -gt 50 ]
    near 1e-4 < z
    [ "$(cut -f6 got | sort -u)" = n1 ]
    # one document has no error
    dk-topk --dtype f32 -k 10 -m "$G" -f "$PLAIN" --max-samples 1 -o a.score.h5 "$T"
    [ "$(mine -n 1 --snippets 0 a.score.h5 | jq -c '[.se, .lo, .hi, has("z")]')" = '[null,null,null,false]' ]
}

@test "which tokens count: no punctuation, no special ones, words for their spellings" {
    mine -n 512 --snippets 0 "$S" > all.jsonl
    mine -n 512 --snippets 0 --no-punctuation "$S" > x.jsonl
    jq -c 'select(.token | test("^[\\s\\x1c-\\x1f!-/:-@\\[-`{-~\\p{P}\\p{S}]*$") and (contains("\ufffd") | not) | not) | .id' all.jsonl > want
    [ "$(wc -l < want)" -lt 500 ]
    jq .id x.jsonl | cmp - want
    [ "$(jq .rank x.jsonl)" = "$(seq "$(wc -l < want)")" ]
    mine -n 512 --snippets 0 --no-special "$S" | jq .id > got
    grep -av "^<|" <(jq -r '"\(.token) \(.id)"' all.jsonl) | awk '{ print $NF }' > want
    [ "$(comm -23 <(jq .id all.jsonl | sort) <(sort got) | wc -l)" -gt 2 ]
    [ -z "$(comm -13 <(jq .id all.jsonl | sort) <(sort got))" ]
    # Lists shorter than the vocabulary are filled from below.
    [ "$(mine -n 5 --snippets 0 --no-punctuation "$S" | wc -l)" = 5 ]
    mine -n 512 --merge --snippets 1 "$S" > m.jsonl
    [ "$(jq -r .token m.jsonl | grep -av $'\xef\xbf\xbd' | LC_ALL=C sort | uniq -d)" = "" ]
    [ "$(jq -r .token m.jsonl)" = "$(jq -r '.token | ascii_downcase' m.jsonl)" ]
    # A word's counts are those of its spellings; its id is theirs only if it has one.
    word=$(jq -c 'select(.variants) | [.token, .variants]' m.jsonl | head -n 1)
    ids=$(jq -c '.[1]' <<< "$word")
    [ "$(jq -c --argjson v "$ids" 'select(.variants == $v) | [.count_positive, .id]' m.jsonl)" = \
        "[$(jq --argjson v "$ids" 'select(.id as $i | $v | index($i)) | .count_positive' all.jsonl | paste -sd+ | bc),-1]" ]
    # Its rate counts a position once.
    dk-values "$S" topk/ft/top/index | jq -nR --argjson v "$ids" '[inputs | split(" ") | map(tonumber) |
        select(any(.[]; . as $i | $v | index($i)))] | length / 2.4' > rate
    paste <(jq --argjson v "$ids" 'select(.variants == $v) | .rate' m.jsonl) rate | near 1e-6
    [ "$(jq -c 'select(.variants) | .snippets[0].diff > 0' m.jsonl | sort -u | tail -n 1)" = true ]
}

@test "topics: a line for each, then its tokens by weight" {
    one_null
    mine --ordering nmf --topics 4 -n 20 --nulls beside one.score.h5 > x.jsonl
    [ "$(jq -c 'select(.rank == 0) | [.topic, .topics, .mode, .beta, .orthogonal, .positions]' x.jsonl)" = \
        "$(for t in 0 1 2 3; do echo "[$t,4,\"logit_diff_magnitude\",2,false,240]"; done)" ]
    jq -e -s 'map(select(.rank == 0)) | (map(.prevalence) | add - 1 | fabs) < 1e-9 and all(.[]; .mass > 0 and .explained > 0 and
        .explained < 1 and .cosine[.topic] > 0.999999 and (.starts | length) == 1 and .starts[0].seed == 42)' x.jsonl
    for t in 0 1 2 3; do
        jq -c "select(.rank > 0 and .topic == $t)" x.jsonl > one
        [ "$(jq -s length one)" = "$(jq "select(.rank == 0 and .topic == $t).tokens" x.jsonl)" ]
        jq -e -s 'map(.value) | . == (sort | reverse) and last >= 1e-6' one
        jq -e -s 'all(.[]; .rate > 0 and .share > 0 and .share <= 1 and (.snippets | length) > 0)' one
    done
    # Sorted down as in an ordering.
    mine --ordering nmf --topics 4 -n 20 one.score.h5 | jq -c 'select(.rank > 0) | [.topic, .finding]' > got
    jq -c 'select(.rank > 0) | [.topic, .finding]' x.jsonl | sort -s -t, -k1,1 -k2,2r | cmp - got
    [ "$(cut -d, -f2 got | sort -u | wc -l)" = 2 ]
    mine --ordering nmf --topics 4 -n 20 --nulls beside -t 2 one.score.h5 | cmp - x.jsonl
    run ! cmp x.jsonl <(mine --ordering nmf --topics 4 -n 20 --nulls beside --seed 43 one.score.h5)
}

@test "topics: occurrence, other divergences, several starts, orthogonal, an empty one" {
    mine --ordering nmf -n 5 --mode binary_occurrence --beta 1 --starts 3 --snippets 0 "$S" > x.jsonl
    jq -e -s 'map(select(.rank == 0)) | all(.[]; .mode == "binary_occurrence" and .entries == 2400 and (.starts | map(.seed)) == [42, 43, 44] and
        .loss == (.starts | map(.loss) | min) and (.starts | map(.agreement) | max) > 0.999999)' x.jsonl
    mine --ordering nmf -n 5 --beta 1.5 --snippets 0 "$S" | jq -e -s '.[0] | .beta == 1.5 and .explained > 0'
    mine --ordering nmf -n 5 --orthogonal --snippets 0 "$S" > o.jsonl
    jq -e -s '.[0] | .orthogonal and .orthogonal_weight == 1000 and .starts[0].iterations == 200 and .cosine[1] < 1e-6' o.jsonl
    mine --ordering nmf -n 5 --orthogonal --orthogonal-weight 1e5 --snippets 0 "$S" > e.jsonl
    [ "$(jq -s 'map(select(.rank == 0)) | length' e.jsonl)" = 3 ]
    [ "$(jq -c 'select(.rank == 0 and .tokens == 0) | [.mass, .concentration]' e.jsonl | sort -u)" = '[0,null]' ]
    run -2 --separate-stderr mine --ordering nmf --beta 0 -o x "$S"
    failed dk-mine "beta must be above 0"
    # Nothing is raised where the lanes are equal.
    dk-topk --dtype f32 -k 4 -m "$G" -f "$PLAIN" -n same="$PLAIN" --lanes ft,same -o same.score.h5 "$T"
    run -1 --separate-stderr mine --ordering nmf -l same -o x same.score.h5
    failed dk-mine same.score.h5 "no positive entries"
}

@test "positions: densities of all values of the top lists there" {
    mine --show positions --positions 3 "$S" > x.jsonl
    [ "$(jq -c '[.position, .samples, .n]' x.jsonl)" = "$(printf '[%d,6,60]\n' 0 1 2)" ]
    # The second position: row 1 of each of six documents of 40 rows, 10 values each.
    dk-values "$S" topk/ft/top/value | awk 'NR % 40 == 2' | tr ' ' '\n' > v
    awk '{ s += $1; q += $1 * $1 } END { m = s / NR; d = sqrt((q - NR * m * m) / (NR - 1)); print m, d, d * NR ^ -0.2 }' v > want
    paste <(jq -r 'select(.position == 1) | .mean, .std, .bandwidth' x.jsonl) <(tr ' ' '\n' < want) | near 1e-5
    jq -r 'select(.position == 1) | [.x, .density] | transpose[] | @tsv' x.jsonl > got
    [ "$(wc -l < got)" = 200 ]
    awk 'FILENAME == "want" { h = $3 } FILENAME == "v" { v[n++] = $1 } FILENAME == "got" { s = 0
        for (i = 0; i < n; i++) s += exp(-(($1 - v[i]) / h) ^ 2 / 2); print $2, s / (n * h * sqrt(2 * 3.14159265358979)) }' want v got | near 1e-4
    awk 'NR > 1 { s += ($1 - x) * ($2 + y) / 2 } { x = $1; y = $2 } END { print s, 1 }' got | near 5e-3
    [ "$(mine --show positions --positions 100 "$S" | wc -l)" = 40 ]
}

@test "windows: log-likelihood ratios of pieces of text" {
    dk-topk --dtype f32 -k 3 --logp -m "$G" -f "$PLAIN" --max-tokens 30 -o l.score.h5 "$T"
    mine --show windows --window-size 8 --step 4 -n 1000 l.score.h5 > x.jsonl
    paste -d ' ' <(dk-values l.score.h5 logp/base) <(dk-values l.score.h5 logp/ft) <(dk-values l.score.h5 /rows/token) |
        awk '{ r = NR - 1; b[r] = $1; f[r] = $2; t[r] = $3 } END { for (d = 0; d < 6; d++) for (s = 0; s + 8 <= 29; s += 4) {
            x = y = 0; ids = ""; for (i = 0; i < 8; i++) { r = d * 30 + s + i; x += b[r]; y += f[r]; ids = ids (i ? "," : "") t[r + 1] }
            printf "%d %d %d %.5f %.5f %.5f [%s]\n", d, s + 1, s + 9, y - x, x, y, ids } }' | sort -k4,4gr > want
    [ "$(wc -l < want)" = 36 ]
    [ "$(jq .rank x.jsonl)" = "$(seq 36)" ]
    paste <(jq .value x.jsonl) <(cut -d' ' -f4 want) | near 1e-4
    jq -r '[.doc, .start, .end, .ids | tostring] | join(" ")' x.jsonl | sort > a
    cut -d' ' -f1-3,7 want | sort | cmp - a
    [ "$(mine --show windows -n 2 l.score.h5 | wc -l)" = 2 ]
    [[ "$(sed -n "$(($(head -n 1 x.jsonl | jq .doc) + 1))p" "$ROOT/data/text/general-a.jsonl" | jq -r .text)" == *"$(head -n 1 x.jsonl | jq -r .text)"* ]]
    run -1 --separate-stderr mine --show windows --window-size 30 l.score.h5
    failed dk-mine "no sample has 30 tokens"
    run -1 --separate-stderr mine --show windows "$S"
    failed dk-mine "$S" "--logp"
}

@test "shortlist: tokens that were watched, and which are raised together" {
    dk-topk --dtype f32 -k 60 --watch " the" --watch e --watch " a" -m "$G" -f "$PLAIN" -o w.score.h5 "$T"
    mine --show shortlist w.score.h5 > x.jsonl
    [ "$(jq -r 'select(.id) | .token' x.jsonl | tr '\n' '|')" = " the|e| a|" ]
    dk-values w.score.h5 watch/ft > d
    paste <(jq -r 'select(.id) | .count_positive, .mean, .std, .min, .max' x.jsonl) <(for c in 1 2 3; do cut -d' ' -f$c d | sort -g |
        awk '{ p += $1 > 0; s += $1; q += $1 ^ 2; if (NR == 1) lo = $1; hi = $1 } END { m = s / NR
               print p; print m; print sqrt((q - NR * m * m) / (NR - 1)); print lo; print hi }'; done) | near 1e-4
    [ "$(jq 'select(.id) | .histogram | length, add' x.jsonl | tr '\n' ' ')" = "50 240 50 240 50 240 " ]
    for c in 1 2 3; do          # rows with the token in a list
        id=$(dk-values w.score.h5 vocab/watch/id | sed -n ${c}p)
        for e in top bottom; do dk-values w.score.h5 topk/ft/$e/index | awk -v id="$id" '{ n = 0; for (i = 1; i <= NF; i++) n += $i == id; print n }' > $e$c; done
    done
    paste -d ' ' top1 bottom1 | awk '{ n[int((NR - 1) / 40)] += $1 + $2 } END { for (i = 0; i < 6; i++) printf "%s%d", i ? "," : "[", n[i]; print "]" }' > want
    [ "$(head -n 1 x.jsonl | jq -c .per_sample)" = "$(cat want)" ]
    [ "$(head -n 1 x.jsonl | jq '.per_position | length == 40 and add == '"$(cat top1 bottom1 | paste -sd+ | bc)" )" = true ]
    two() { jq -c 'select(.other == "e" and .token == " the") | '"$1" x.jsonl; }
    [ "$(two .same_point)" = "$(paste -d ' ' top1 top2 | grep -c '1 1')" ]
    [ "$(two .same_sample)" = "$(paste -d ' ' top1 bottom1 top2 bottom2 | awk '{ s = int((NR - 1) / 40); a[s] += $1 + $2; b[s] += $3 + $4 }
        END { for (s = 0; s < 6; s++) n += a[s] > 0 && b[s] > 0; print n + 0 }')" ]
    [ "$(two .same_sign_point)" = "$(awk '$1 * $2 > 0' d | wc -l)" ]
    paste <(two .r) <(awk '{ x += $1; y += $2; xx += $1 ^ 2; yy += $2 ^ 2; xy += $1 * $2 } END { print (xy - x * y / NR) / sqrt((xx - x * x / NR) * (yy - y * y / NR)) }' d) | near 1e-4
    [ "$(jq -c 'select(.other == .token) | .same_point' x.jsonl)" = "$(for c in 1 2 3; do paste -sd+ top$c | bc; done)" ]
    run -1 --separate-stderr mine --show shortlist "$S"
    failed dk-mine "$S" "--watch"
}

@test "tokens: text and spelling" {
    mine -n 512 --snippets 0 "$S" > x.jsonl
    [ "$(jq -c 'select(.id == 265) | [.token, .piece]' x.jsonl)" = '[" the","Ġthe"]' ]
    [ "$(jq -c 'select(.id == 2) | [.token, .piece]' x.jsonl)" = '["<|im_end|>","<|im_end|>"]' ]
}

@test "snippets: where the token rises most, one a document, the text around it" {
    mine -n 12 --snippets 3 --context 4 "$S" > x.jsonl
    [ "$(jq '.snippets | length' x.jsonl | sort -n | tail -n 1)" = 3 ]
    [ "$(jq '.snippets | length == (map(.doc) | unique | length)' x.jsonl | sort -u)" = true ]
    [ "$(jq '[.snippets[].diff] | . == (sort | reverse)' x.jsonl | sort -u)" = true ]
    # Against the lists themselves: best place in each document, its last row left out.
    id=$(head -n 1 x.jsonl | jq .id)
    paste -d ' ' <(dk-values "$S" topk/ft/top/index | tr ' ' '\n') <(dk-values "$S" topk/ft/top/value | tr ' ' '\n') |
        awk -v id="$id" '{ r = int((NR - 1) / 10); d = int(r / 40) }
            $1 == id && r % 40 < 39 && $2 > best[d] { best[d] = $2; at[d] = r % 40 }
            END { for (d in best) print d, at[d], best[d] }' | sort -k3,3gr | head -n 3 > want
    head -n 1 x.jsonl | jq -r '.snippets[] | "\(.doc) \(.pos)"' | cmp - <(cut -d' ' -f1,2 want)
    # The text is that of the tokens: 4 before and at the place, the next, 4 after.
    read -r doc pos _ < want
    line=$(dk-tokenize --json-lines -m "$G" -n 6 --max-tokens 40 -o - "$ROOT/data/text/general-a.jsonl" | sed -n "$((doc + 2))p")
    text=$(sed -n "$((doc + 1))p" "$ROOT/data/text/general-a.jsonl" | jq -r .text)
    part=$(head -n 1 x.jsonl | jq -r '.snippets[0] | .before + .next + .after')
    [[ "$text" == *"$part"* ]]
    [ "$(jq '.ids | length' <<< "$line")" = 40 ]
    mine -n 3 --snippets 1 --context 0 "$S" > y.jsonl
    [ "$(jq -r '.snippets[] | .before + "/" + .after' y.jsonl | sort -u)" = / ]
    [ "$(mine -n 3 --snippets 0 "$S" | jq 'has("snippets")' | sort -u)" = false ]
}

@test "stdout, -o and -o - give the same bytes, for any number of threads" {
    mine "$S" > a.jsonl
    mine -t 2 -o b.jsonl "$S"
    mine -o - "$S" > c.jsonl
    cmp a.jsonl b.jsonl
    cmp a.jsonl c.jsonl
    [ "$(wc -l < a.jsonl)" = 100 ]
    dk-mine -m "$MINI/hf" "$S" | cmp - a.jsonl
    [ "$(mine -n 100000 "$S" | wc -l)" = 512 ]
}

@test "the lists that dk-kl -k leaves give the same table" {
    dk-kl --dtype f32 -k 10 -m "$G" -f "$PLAIN" -n n1="$PATTERN" -n n2="$PLAIN" -o k.score.h5 "$T"
    mine "$S" > a.jsonl
    mine k.score.h5 | cmp - a.jsonl
}

@test "a reader that stops early is no error line" {
    run -0 --separate-stderr bash -c 'dk-mine -m "$1" "$2" | head -n 1' - "$G" "$S"
    [ "${#lines[@]}" = 1 ]
    [ -z "$stderr" ]
}

@test "--stamp and -c: the reference's key" {
    run -0 mine --stamp
    [ "$(tail -n +2 <<< "$output" | cut -d= -f1 | tr '\n' ' ')" = "model show ordering lane nulls num-tokens snippets context no-punctuation merge no-special topics mode beta orthogonal orthogonal-weight starts positions window-size step seed " ]
    printf 'visualization:\n  num_tokens_to_plot: 5\n' > a.yaml
    [ "$(mine -c a.yaml "$S" | wc -l)" = 5 ]
    printf 'normalize_tokens: true\nfilter_special_tokens: true\ntoken_ordering:\n  nmf:\n    num_topics: 2\n    beta: 1\n' > b.yaml
    run -0 mine -c b.yaml --stamp
    [[ "$output" == *"merge=true
no-special=true
topics=2
"*"beta=1
"* ]]
    printf 'visualization:\n  colour: 5\n' > a.yaml
    run -2 --separate-stderr mine -c a.yaml "$S"
    failed dk-mine a.yaml:2 colour
}

@test "bad input: cut, empty, other kinds, other tokenizers, lanes that are not there" {
    head -c 9000 "$S" > cut.score.h5
    : > empty.score.h5
    cp "$T" tokens.score.h5
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -o nolists.score.h5 "$T"
    for f in cut empty tokens nolists gone; do
        run -1 --separate-stderr mine -o x.jsonl $f.score.h5
        failed dk-mine $f.score.h5
        [ -z "$output" ]
    done
    run -1 --separate-stderr mine -l nobody -o x.jsonl "$S"
    failed dk-mine "$S" "'nobody'"
    run -1 --separate-stderr dk-mine -m gone.gguf -o x.jsonl "$S"
    failed dk-mine gone.gguf
    head -c 2000 "$G" > cut.gguf
    run -1 --separate-stderr dk-mine -m cut.gguf -o x.jsonl "$S"
    failed dk-mine cut.gguf
    cp -r "$MINI/hf" hf
    sed -i 's/\["ic","h"\]/["i","ch"]/' hf/tokenizer.json
    run -1 --separate-stderr dk-mine -m hf -o x.jsonl "$S"
    failed dk-mine "another tokenizer" hf
    [ ! -e x.jsonl ]
}

@test "output: unwritable, full, closed, an old one kept" {
    echo old > x.jsonl
    run -1 --separate-stderr mine -o x.jsonl/y "$S"
    failed dk-mine "cannot write x.jsonl/y"
    run -1 --separate-stderr bash -c 'ulimit -f 2; exec "$@" 2>&1 | cat >&2; exit ${PIPESTATUS[0]}' - dk-mine -m "$G" -o x.jsonl "$S"
    failed dk-mine "cannot write x.jsonl: File too large"
    [ "$(cat x.jsonl)" = old ]
    [ "$(ls)" = x.jsonl ]
    run -1 --separate-stderr bash -c '"$@" >&-' - dk-mine -m "$G" "$S"
    failed dk-mine "cannot write standard output"
    [ -c /dev/full ] || skip "no /dev/full"
    run -1 --separate-stderr bash -c '"$@" > /dev/full' - dk-mine -m "$G" "$S"
    failed dk-mine "cannot write standard output: No space left"
}

@test "SIGINT, SIGTERM, SIGKILL in the middle" {
    for s in INT TERM; do
        killed $s dk-mine -m "$G" -o x.jsonl "$S"
        [ "$status" = $((128 + $(kill -l $s))) ]
        [ -z "$(ls)" ]
    done
    killed KILL dk-mine -m "$G" -o x.jsonl "$S"
    [ ! -e x.jsonl ]
}
