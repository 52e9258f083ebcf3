load ../helper/pair

setup_file_more() {
    E="dk-extract --dtype f32 -m $G -f $PLAIN -n null=$PATTERN --layers 0,1 --store f32"
    $E --what base,ft,diff -o all.act.h5 texts.tok.h5
    $E -o pair.act.h5 texts.tok.h5
}
setup_more() {
    F=$BATS_FILE_TMPDIR T=$BATS_FILE_TMPDIR/texts.tok.h5 IDS=$BATS_FILE_TMPDIR/ids.stream
    A=$F/all.act.h5
}
rows() { dk-values "$A" "/acts/$1"; }
scores() { dk-values "$1" "/scores/$2"; }
# of FIRST SECOND: |x|, |y|, |y - x|, cosine distance of their rows
pairs() {
    paste -d' ' <(rows "$1") <(rows "$2") | awk '{
        n = NF / 2; x = y = z = xy = 0
        for (i = 1; i <= n; i++) { x += $i * $i; y += $(n + i) ^ 2; z += ($(n + i) - $i) ^ 2; xy += $i * $(n + i) }
        printf "%.9g %.9g %.9g %.9g %.9g\n", sqrt(x), sqrt(y), sqrt(z), 1 - xy / sqrt(x * y), sqrt(z) / (sqrt(x) + sqrt(y)) }'
}

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-norms
    failed dk-norms
    for o in --bogus --skip-first=-1 --positions=x; do
        run -2 --separate-stderr dk-norms "$o" "$A"
        failed dk-norms
        [ -z "$output" ]
    done
    run -2 --separate-stderr dk-norms -o x --table x "$A"
    failed dk-norms "same name"
    run -2 --separate-stderr dk-norms --means x --table x "$A"
    failed dk-norms "same name"
    [ -z "$(ls)" ]
}

@test "values of every row: lengths, differences, cosines, of the finetune and of a null" {
    dk-norms -o x.score.h5 "$A"
    pairs L01/resid_post/base L01/resid_post/ft > want
    paste <(scores x.score.h5 norm/L01/resid_post/base) <(cut -d' ' -f1 want) | near 1e-6
    paste <(scores x.score.h5 norm/L01/resid_post/ft) <(cut -d' ' -f2 want) | near 1e-6
    paste <(scores x.score.h5 norm_diff/L01/resid_post/ft) <(cut -d' ' -f3 want) | near 1e-5
    paste <(scores x.score.h5 cos_dist/L01/resid_post/ft) <(cut -d' ' -f4 want) | near 1e-6
    paste <(scores x.score.h5 relative/L01/resid_post/ft) <(cut -d' ' -f5 want) | near 1e-5
    rows L01/resid_post/diff.null | awk '{ s = 0; for (i = 1; i <= NF; i++) s += $i * $i; printf "%.9g\n", sqrt(s) }' > want
    paste <(scores x.score.h5 norm_diff/L01/resid_post/null) want | near 1e-6
    [ "$(dk-info --json x.score.h5 | jq -r '[.objects[] | select(.kind == "dataset" and (.path | test("^/scores/.*/L01/"))) | .path[8:]] | join(" ")')" = \
      "cos_dist/L01/resid_post/ft cos_dist/L01/resid_post/null norm/L01/resid_post/base norm/L01/resid_post/ft norm/L01/resid_post/null norm_diff/L01/resid_post/ft norm_diff/L01/resid_post/null relative/L01/resid_post/ft relative/L01/resid_post/null" ]
    dk-info --check x.score.h5
}

@test "what is not stored is worked out" {
    dk-norms -o a.score.h5 "$A"
    dk-norms -o b.score.h5 "$F/pair.act.h5"
    for s in norm norm_diff cos_dist relative; do
        paste <(scores a.score.h5 $s/L01/resid_post/ft) <(scores b.score.h5 $s/L01/resid_post/ft) | near 1e-5
    done
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --what base,ft --store f32 -o c.act.h5 "$T"
    dk-norms -o c.score.h5 c.act.h5
    paste <(scores a.score.h5 norm_diff/L01/resid_post/ft) <(scores c.score.h5 norm_diff/L01/resid_post/ft) | near 1e-5
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --what diff --store f32 -o d.act.h5 "$T"
    [ "$(dk-norms -n 0 d.act.h5 | jq -r .metric | tr '\n' ' ')" = "norm_diff mean_diff " ]
}

@test "the mean difference of all tokens: interval and sign-flip test, as dk-mean has them" {
    dk-norms -n 2 "$A" | jq -c 'select(.name == "mean_all" and .layer == 1) | [.lane, .norm, .lo, .hi, .p_any]' > got
    dk-mean "$A" | jq -c 'select(.name == "mean_all" and .layer == 1 and .p_any) | [(if .what == "diff" then "ft" else "null" end), .norm, .lo, .hi, .p_any]' | cmp - got
    [ "$(wc -l < got)" = 2 ]
    dk-norms -n 2 "$A" | jq -es 'map(select(.metric == "mean_diff" and .p_any)) | all(.name == "mean_all")'
}

@test "the table: statistics over tokens, means and maxima of texts" {
    dk-norms -o x.score.h5 --table t "$A"
    scores x.score.h5 norm_diff/L00/resid_post/ft > v
    jq -c 'select(.metric == "norm_diff" and .lane == "ft" and .layer == 0)' t > row
    [ "$(wc -l < row)" = 1 ]
    sort -g v | awk '{ v[NR - 1] = $1; s += $1 } function p(q, h, i) { h = (NR - 1) * q; i = int(h); return v[i] + (v[i + 1] - v[i]) * (h - i) }
        END { print s / NR; print v[int((NR - 1) / 2)]; print v[0]; print v[NR - 1]; print p(.25); print p(.9); print p(.95); print p(.99) }' > want
    jq -r '.per_token_statistics | .mean, .median, .min, .max, .percentile_25, .percentile_90, .percentile_95, .percentile_99' row | paste - want | near 1e-5
    awk '{ s += $1; m = $1 > m ? $1 : m } NR % 40 == 0 { print s / 40, m; s = m = 0 }' v > docs
    jq -r '.mean_per_sample_statistics | .max, .min' row | paste - <(cut -d' ' -f1 docs | sort -gr | sed -n '1p;$p') | near 1e-5
    jq -r '.max_per_sample_statistics | .max, .min' row | paste - <(cut -d' ' -f2 docs | sort -gr | sed -n '1p;$p') | near 1e-5
    jq -e '.value == .per_token_statistics.mean and .lo < .value and .value < .hi and .docs == 6 and .total_tokens_processed == 240
           and .total_samples_processed == 6 and .too_short_samples == 0' row
    # base and null beside it, and without -o the same on stdout
    [ "$(jq -r 'select(.metric == "norm" and .layer == 1) | .lane' t | tr '\n' ' ')" = "base ft null " ]
    dk-norms "$A" | cmp - t
}

@test "first tokens are left out, not counted as zeros" {
    dk-norms --skip-first 3 -o x.score.h5 --table t "$A"
    [ "$(scores x.score.h5 norm_diff/L01/resid_post/ft | grep -c nan)" = 18 ]
    [ "$(scores x.score.h5 norm_diff/L01/resid_post/ft | grep -n nan | cut -d: -f1 | head -n 4 | tr '\n' ' ')" = "1 2 3 41 " ]
    dk-norms -o y.score.h5 "$A"
    cmp <(scores x.score.h5 cos_dist/L01/resid_post/ft | grep -v nan) <(scores y.score.h5 cos_dist/L01/resid_post/ft | awk '(NR - 1) % 40 >= 3')
    jq -c 'select(.metric == "norm_diff" and .layer == 1 and .lane == "ft")' t > row
    jq -e '.per_token_statistics.min > 0 and .total_tokens_processed == 222 and .skipped_first_tokens == 3' row
    # mean differences have them
    [ "$(jq -r 'select(.metric == "mean_diff" and .layer == 1 and .lane == "ft" and (.position // 0) == 0) | .count' t | tr '\n' ' ')" = "240 6 " ]
    run -1 --separate-stderr dk-norms --skip-first 40 -o z.score.h5 "$A"
    failed dk-norms all.act.h5 "no document has more than 40 tokens"
    [ ! -e z.score.h5 ]
}

@test "a text of one token has no values" {
    { echo '{"ids": [5]}'; echo '{"ids": [5, 6, 7]}'; } | stream > one
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --store f32 -o one.act.h5 - < one
    dk-norms one.act.h5 > t
    jq -c 'select(.metric == "cos_dist")' t > row
    jq -e '.docs == 1 and .total_tokens_processed == 3 and .too_short_samples == 1 and .lo == null' row
    [ "$(jq 'select(.name == "mean_pos_0") | .count' t)" = 1 ]
}

@test "mean differences: those of dk-mean, and at the tokens of the chat template" {
    dk-norms -n 3 --means x.dir.h5 "$A"
    dk-mean -n 3 -o y.dir.h5 "$A"
    for w in diff diff.null; do
        # the whole stands first here, last there
        dk-values x.dir.h5 /dirs/L01/resid_post/$w/vector | tr ' ' '\n' > got
        dk-values y.dir.h5 /dirs/L01/resid_post/$w/vector | sed -n '4p;1,3p' > rows
        { tail -n 1 rows; head -n 3 rows; } | tr ' ' '\n' | paste got - | near 1e-6
    done
    dk-norms -n 0 -m "$G" --means z.dir.h5 --table t "$A"
    dk-values "$T" /rows/token > ids
    jq -r 'select(.layer == 1 and .lane == "ft" and .token_id != null) | [.token_id, .count] | @tsv' t > got
    [ -s got ]
    while read -r id count; do [ "$(grep -cx "$id" ids)" = "$count" ]; done < got
    id=$(sort -k2nr got | head -n 1 | cut -f1)
    rows L01/resid_post/diff | paste -d' ' ids - | awk -v id="$id" '$1 == id { n++; for (i = 2; i <= NF; i++) s[i] += $i; f = NF }
        END { for (i = 2; i <= f; i++) print s[i] / n }' > want
    at=$(cut -f1 got | grep -nx "$id" | cut -d: -f1)
    dk-values z.dir.h5 /dirs/L01/resid_post/diff/vector | sed -n "$((at + 1))p" | tr ' ' '\n' | paste - want | near 1e-5
    run -0 dk-lens -m "$G" -k 2 z.dir.h5
    [[ "$output" == *"mean_token_$id"* ]]
    [ "$(dk-info --json x.dir.h5 | jq -r '.objects[] | select(.path == "/dirs/L01/resid_post/diff") | .attributes.act_norm')" != null ]
}

@test "a stream gives the same bytes; a cut one gives nothing" {
    E="dk-extract --dtype f32 -m $G -f $PLAIN -n null=$PATTERN --layers 0,1 --store f32 -o - $T"
    dk-norms -o a.score.h5 --means a.dir.h5 --table a.jsonl "$F/pair.act.h5"
    $E | dk-norms -o b.score.h5 --means b.dir.h5 --table b.jsonl -
    cmp a.score.h5 b.score.h5
    cmp a.dir.h5 b.dir.h5
    cmp a.jsonl b.jsonl
    $E > s
    head -c 20000 s > cut
    run -1 --separate-stderr dk-norms -o c.score.h5 - < cut
    failed dk-norms "standard input"
    [ ! -e c.score.h5 ]
    dk-norms -o - "$A" > s
    dk-norms -o d.score.h5 "$A"
    dk-info --check - < s
}

@test "the same bytes again; the file says what made it" {
    dk-norms -t 1 -o a.score.h5 "$A"
    dk-norms -t 2 -o b.score.h5 "$A"
    cmp a.score.h5 b.score.h5
    dk-info --json a.score.h5 > i
    [ "$(jq -r '.inputs[0].role' i)" = activations ]
    [ "$(jq -r '.inputs[0].content_id' i)" = "$(dk-info --json "$A" | jq -r .content_id)" ]
    [ "$(jq -r '[.objects[] | select(.path | test("^/models/[a-z]+$")) | .path] | join(" ")' i)" = "/models/base /models/ft /models/null" ]
}

@test "bad input: cut, another kind, another tokenizer; output: unwritable" {
    head -c 5000 "$A" > cut.act.h5
    run -1 --separate-stderr dk-norms cut.act.h5
    failed dk-norms cut.act.h5
    run -1 --separate-stderr dk-norms "$T"
    failed dk-norms texts.tok.h5
    run -1 --separate-stderr dk-norms gone.act.h5
    failed dk-norms gone.act.h5
    run -1 --separate-stderr dk-norms -m gone.gguf "$A"
    failed dk-norms gone.gguf
    run -1 --separate-stderr dk-norms -m "$ROOT/tests/data/tokenizers/byte-level.json" "$A"
    failed dk-norms
    touch file
    for o in -o --means --table; do
        run -1 --separate-stderr dk-norms $o file/x "$A"
        failed dk-norms "cannot write file/x"
    done
}
