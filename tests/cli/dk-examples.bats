load ../helper/pair

# Eight texts: the first has one token, the sixth none, the last two are the second again.
setup_file_more() {
    { cat "$MINI/ids.jsonl"; echo '{"ids": [9, 8, 7, 6, 5]}'; echo '{"ids": [5, 6]}'; echo '{"ids": []}'; sed -n '2p;2p' "$MINI/ids.jsonl"; } | stream > eight
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" -n null="$PATTERN" --layers 1 --store f32 -o x.act.h5 - < eight
    dk-norms -o x.score.h5 x.act.h5
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -n null="$PATTERN" -k 3 -o kl.score.h5 texts.tok.h5
}
setup_more() { F=$BATS_FILE_TMPDIR X=$BATS_FILE_TMPDIR/x.score.h5 K=$BATS_FILE_TMPDIR/kl.score.h5; }
ex() { dk-examples -m "$G" "$@"; }
# SCORE: "doc first-row value" of every row that has one.
by_doc() {
    dk-values "$X" /docs/offset > offsets
    dk-values "$X" "/scores/$1" | awk 'NR == FNR { o[NR] = $1; n = NR; next }
        { while (d < n - 1 && FNR - 1 >= o[d + 2]) d++; if ($1 != "nan") print d, FNR - 1 - o[d + 1], $1 }' offsets -
}

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-examples -m "$G"
    failed dk-examples
    run -2 --separate-stderr dk-examples "$X"
    failed dk-examples "--model"
    for o in --bogus -k0 --by=worst --side=left --quantiles=0 --quantiles=2 --quantiles=0.5,0.5 --quantiles=0.5,x --context=-1; do
        run -2 --separate-stderr ex "$o" "$X"
        failed dk-examples
        [ -z "$output" ]
    done
    [ -z "$(ls)" ]
}

@test "the largest maximum and the largest mean, in order, each text once" {
    ex --score norm_diff/L01/resid_post/ft "$X" > got
    by_doc norm_diff/L01/resid_post/ft > v
    awk '{ n[$1]++; s[$1] += $3; if (!($1 in m) || $3 > m[$1]) { m[$1] = $3; p[$1] = $2 } }
         END { for (d in m) if (d < 5) print d, m[d], s[d] / n[d], p[d], n[d] }' v > docs
    [ "$(wc -l < docs)" = 4 ]
    sort -k2gr docs | awk '{ print $1, $4, $5 }' > want
    jq -r 'select(.by == "extreme") | "\(.doc) \(.pos) \(.length)"' got | diff want -
    sort -k3gr docs | awk '{ print $1, $4, $5 }' > want
    jq -r 'select(.by == "mean") | "\(.doc) \(.pos) \(.length)"' got | diff want -
    paste <(jq -r 'select(.by == "mean").value' got) <(sort -k3gr docs | cut -d' ' -f3) | near 1e-5
    [ "$(jq -r 'select(.by == "mean").rank' got | tr '\n' ' ')" = "1 2 3 4 " ]
    [ "$(jq -r 'select(.copies == 3).doc' got | sort -u)" = 1 ]
    [ "$(jq -r 'select(.copies == 1).doc' got | sort -u | tr '\n' ' ')" = "2 3 4 " ]
    # the first K are the first of all
    ex -k 2 --score norm_diff/L01/resid_post/ft "$X" | cmp - <(jq -c 'select(.rank <= 2)' got)
}

@test "values and text of every token; the context of the extreme" {
    ex -k 1 --by extreme --context 2 --score norm_diff/L01/resid_post/ft "$X" > got
    doc=$(jq .doc got)
    by_doc norm_diff/L01/resid_post/ft | awk -v d="$doc" '$1 == d { print $3 }' > v
    jq '.values[]' got | paste - v | near 1e-6
    jq -c .ids got | cmp - <(sed -n "$((doc + 1))p" "$MINI/ids.jsonl" | jq -c .ids)
    jq -e '.values[.pos] == .value and .ids[.pos] == .id and .value == (.values | max)' got
    jq -e '. as $r | .text | contains($r.before + $r.token + $r.after)' got || jq -e '.text | contains("\ufffd")' got
    ex -k 1 --by extreme --no-text --no-values --score norm_diff/L01/resid_post/ft "$X" > got
    jq -e 'has("text") or has("ids") or has("values") | not' got
}

@test "the bottom side: smallest values, lowest first" {
    ex --side bottom --by extreme --score norm/L01/resid_post/base "$X" > got
    by_doc norm/L01/resid_post/base | awk '$1 < 5 && (!($1 in m) || $3 < m[$1]) { m[$1] = $3 } END { for (d in m) print d, m[d] }' | sort -k2g > want
    jq -r '"\(.doc)"' got | diff <(cut -d' ' -f1 want) -
    [ "$(jq '.value == (.values | min)' got | sort -u)" = true ]
    ex --side both --by extreme --score norm/L01/resid_post/base "$X" | jq -c 'select(.side == "bottom")' | cmp - got
}

@test "parts: each has its own list, and together they have every text" {
    ex --by mean --quantiles 0.6,1 --score norm_diff/L01/resid_post/ft "$X" > got
    ex --by mean --score norm_diff/L01/resid_post/ft "$X" > all
    [ "$(jq -r '"\(.quantile) \(.rank)"' got | tr '\n' ',')" = "0.6 1,0.6 2,1 1,1 2," ]
    { jq 'select(.quantile == 1).doc' got; jq 'select(.quantile == 0.6).doc' got; } | cmp - <(jq .doc all)
    [ "$(ex --by mean -k 1 --quantiles 0.25,0.5,0.75,1 --score norm_diff/L01/resid_post/ft "$X" | jq .doc)" = "$(jq .doc all | tac)" ]
}

@test "a null's value stands beside; without --score all that say how different" {
    ex -k 3 --by extreme "$X" > got
    [ "$(jq -r .score got | uniq | tr '\n' ' ')" = "cos_dist/L01/resid_post/ft norm_diff/L01/resid_post/ft relative/L01/resid_post/ft " ]
    ex --by extreme --score norm_diff/L01/resid_post/null "$X" > null
    jq -r 'select(.score == "norm_diff/L01/resid_post/ft") | "\(.doc) \(.null.null)"' got | while read -r doc v; do
        [ "$(jq "select(.doc == $doc).value" null)" = "$v" ]
    done
    ex -k 3 --by extreme -l null "$X" | jq -r .score | sort -u | cmp - <(printf '%s\n' {cos_dist,norm_diff,relative}/L01/resid_post/null)
    [ "$(ex -k 1 "$K" | jq -r '[.score, .unit, .by] | join(" ")' | tr '\n' ',')" = "kl/ft nats extreme,kl/ft nats mean," ]
}

@test "several files: a list for each; equal values in the order of the corpus" {
    ex -k 2 --by mean "$K" "$X" > both
    { ex -k 2 --by mean "$K"; ex -k 2 --by mean "$X"; } | cmp - both
    # the null does nothing to the first block: all values are 0
    dk-extract --dtype f32 -m "$G" -f "$PATTERN" --layers 0 --store f32 -o z.act.h5 "$BATS_FILE_TMPDIR/texts.tok.h5"
    dk-norms -o z.score.h5 z.act.h5
    ex --side both --by mean --score norm_diff/L00/resid_post/ft z.score.h5 > z
    if [ "$(jq .value z | sort -u)" = 0 ]; then
        [ "$(jq -r 'select(.side == "top").doc' z | tr '\n' ' ')" = "0 1 2 3 4 5 " ]
        [ "$(jq -r 'select(.side == "bottom").doc' z | tr '\n' ' ')" = "0 1 2 3 4 5 " ]
    else
        false
    fi
}

@test "skipped tokens count nowhere" {
    dk-norms --skip-first 2 -o s.score.h5 "$F/x.act.h5"
    ex --by extreme --score norm_diff/L01/resid_post/ft s.score.h5 > got
    # the text of two tokens is not there
    [ "$(jq .doc got | sort | tr '\n' ' ')" = "1 2 3 " ]
    [ "$(jq '.values[0] == null and .values[1] == null and .values[2] != null and .pos >= 2' got | sort -u)" = true ]
}

@test "bad input: no such score, not one value a token, another kind, another tokenizer" {
    run -1 --separate-stderr ex --score kl/nobody "$K"
    failed dk-examples kl.score.h5 kl/nobody
    run -1 --separate-stderr ex --score topk/ft/top/value "$K"
    failed dk-examples topk/ft/top/value "one value a token"
    run -1 --separate-stderr ex -l nobody "$K"
    failed dk-examples nobody
    run -1 --separate-stderr ex "$BATS_FILE_TMPDIR/texts.tok.h5"
    failed dk-examples texts.tok.h5
    run -1 --separate-stderr ex gone.score.h5
    failed dk-examples gone.score.h5
    head -c 3000 "$K" > cut.score.h5
    run -1 --separate-stderr ex cut.score.h5
    failed dk-examples cut.score.h5
    run -1 --separate-stderr dk-examples -m "$ROOT/tests/data/tokenizers/byte-level.json" "$K"
    failed dk-examples
    touch file
    run -1 --separate-stderr ex -o file/x "$K"
    failed dk-examples "cannot write file/x"
}

@test "a stream of scores; the same bytes again" {
    dk-norms -o - "$F/x.act.h5" | ex -o a.jsonl -
    ex -t 2 -o b.jsonl "$X"
    cmp a.jsonl b.jsonl
}
