load ../helper/pair

setup_file_more() {
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" -n null="$PATTERN" --layers 0,1 --store f32 --what base,ft,diff -o all.act.h5 texts.tok.h5
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" -n null="$PATTERN" --layers 0,1 --store f32 -o pair.act.h5 texts.tok.h5
    dk-tokenize -m "$G" --fixed-tokens 8 -n 5 -o chat.tok.h5 "$ROOT/data/text/chat.jsonl"
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --store f32 -o chat.act.h5 chat.tok.h5
}
setup_more() {
    F=$BATS_FILE_TMPDIR T=$BATS_FILE_TMPDIR/texts.tok.h5 IDS=$BATS_FILE_TMPDIR/ids.stream
    A=$F/all.act.h5
}
# rows FILE PATH: values of activations; mean_rows: the column means of its input.
rows() { dk-values "$1" "/acts/$2"; }
vectors() { dk-values "$1" "/dirs/$2/vector"; }
mean_rows() { awk '{ for (i = 1; i <= NF; i++) s[i] += $i } END { for (i = 1; i <= NF; i++) printf "%.9g%s", s[i] / NR, i < NF ? " " : "\n" }'; }
each() { tr ' ' '\n'; }

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-mean
    failed dk-mean
    for o in --bogus -n-1 -nx --pre-assistant=-1; do
        run -2 --separate-stderr dk-mean "$o" "$A"
        failed dk-mean
        [ -z "$output" ]
    done
    run -2 --separate-stderr dk-mean -o x --table x "$A"
    failed dk-mean "same name"
    [ -z "$(ls)" ]
}

@test "means: at each position over documents, and of all rows" {
    dk-mean -n 3 -o x.dir.h5 "$A"
    for w in base ft diff diff.null; do
        vectors x.dir.h5 L01/resid_post/$w > got
        [ "$(wc -l < got)" = 4 ]
        for p in 0 1 2; do
            rows "$A" L01/resid_post/$w | awk -v p=$p '(NR - 1) % 40 == p' | mean_rows | each > want
            sed -n "$((p + 1))p" got | each | paste - want | near 2e-6
        done
        rows "$A" L01/resid_post/$w | mean_rows | each > want
        sed -n 4p got | each | paste - want | near 2e-6
    done
    [ "$(dk-values x.dir.h5 /dirs/L00/resid_post/diff/position | tr '\n' ' ')" = "0 1 2 -2147483648 " ]
    [ "$(dk-values x.dir.h5 /dirs/L00/resid_post/diff/count | tr '\n' ' ')" = "6 6 6 240 " ]
    dk-info --check x.dir.h5
}

@test "norms: of the means, of the rows, and without the first five positions" {
    dk-mean -n 7 -o x.dir.h5 --table t.jsonl "$A"
    norm() { awk '{ s = 0; for (i = 1; i <= NF; i++) s += $i * $i; printf "%.9g\n", sqrt(s) }'; }
    for w in base ft diff; do
        jq -r "select(.layer == 1 and .what == \"$w\") | .norm" t.jsonl > got
        vectors x.dir.h5 L01/resid_post/$w | norm | paste got - | near 1e-6
        dk-values x.dir.h5 /dirs/L01/resid_post/$w/norm | paste got - | near 1e-12
        rows "$A" L01/resid_post/$w | norm > all
        for p in 0 6; do awk -v p=$p '(NR - 1) % 40 == p' all | mean_rows; done > want
        mean_rows < all >> want
        jq -r "select(.layer == 1 and .what == \"$w\" and (.position == 0 or .position == 6 or .position == null)) | .mean_norm" t.jsonl |
            paste - want | near 1e-6
        awk '(NR - 1) % 40 == 5 || (NR - 1) % 40 == 6' all | mean_rows > want
        jq -r "select(.layer == 1 and .what == \"$w\" and .position == 3) | .act_norm" t.jsonl | paste - want | near 1e-6
    done
    # the file's is the finetune's, in every group; the table has nine digits of it
    jq -r 'select(.layer == 1 and .what == "ft" and .position == 0) | .act_norm' t.jsonl > want
    for w in base diff diff.null; do
        dk-info --json x.dir.h5 | jq -r ".objects[] | select(.path == \"/dirs/L01/resid_post/$w\") | .attributes.act_norm" |
            paste - want | near 5e-9
    done
    [ "$(dk-mean -n 5 "$A" | jq -c .act_norm | sort -u)" = null ]
}

@test "the finetune is base plus difference where it is not stored" {
    dk-mean -n 3 -o a.dir.h5 "$A"
    dk-mean -n 3 -o b.dir.h5 "$F/pair.act.h5"
    paste <(vectors a.dir.h5 L01/resid_post/ft | each) <(vectors b.dir.h5 L01/resid_post/ft | each) | near 1e-6
    cmp <(vectors a.dir.h5 L01/resid_post/diff) <(vectors b.dir.h5 L01/resid_post/diff)
    [ "$(dk-mean -n 1 "$F/pair.act.h5" | jq -r 'select(.layer == 0 and .position == 0) | .what' | tr '\n' ' ')" = "base ft diff diff.null " ]
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --what diff --store f32 -o d.act.h5 "$T"
    dk-mean -n 7 -o d.dir.h5 d.act.h5
    [ "$(dk-info --json d.dir.h5 | jq -c '[.objects[] | select(.path | test("^/dirs/.*post/[a-z]+$")) | [.path, .attributes.act_norm]]')" = '[["/dirs/L01/resid_post/diff",null]]' ]
}

@test "intervals and the sign-flip test: of differences, over documents" {
    dk-mean -n 3 "$A" > t.jsonl
    [ "$(jq -r 'select(.p_any) | .what' t.jsonl | sort | uniq -c | tr -s ' ' | tr '\n' ' ')" = " 8 diff  8 diff.null " ]
    jq -es 'map(select(.p_any)) | all(.lo <= .hi and .p_any > 0 and .p_any <= 1 and (.lo <= .norm or .norm == 0))' t.jsonl
    # six documents: at most 64 patterns of signs, and all of one sign is among them
    jq -es 'map(select(.p_any)) | all(.p_any >= .01)' t.jsonl
    # along the mean's own direction, documents with equal counts: between the least and the most of them
    rows "$A" L01/resid_post/diff | awk 'function p(k) { return (k - 1) % 40 } p(NR) == 0 { n++; for (i = 1; i <= NF; i++) { x[n, i] = $i; m[i] += $i / 6 } d = NF }
        END { for (i = 1; i <= d; i++) l += m[i] ^ 2; l = sqrt(l)
              for (k = 1; k <= n; k++) { s = 0; for (i = 1; i <= d; i++) s += x[k, i] * m[i] / l; if (k == 1 || s < lo) lo = s; if (k == 1 || s > hi) hi = s }
              print lo - 1e-6, hi + 1e-6 }' > ends
    read -r lo hi < ends
    jq -es --argjson lo "$lo" --argjson hi "$hi" '.[] | select(.layer == 1 and .what == "diff" and .position == 0) | $lo <= .lo and .lo < .norm and .norm < .hi and .hi <= $hi' t.jsonl
    dk-mean -t 1 -n 3 "$A" | cmp - t.jsonl
    [ "$(dk-mean --seed 7 -n 3 "$A" | jq -c 'del(.lo, .hi, .p_any, .halves)')" = "$(jq -c 'del(.lo, .hi, .p_any, .halves)' t.jsonl)" ]
    [ "$(dk-mean --seed 7 -n 3 "$A" | jq -c .lo)" != "$(jq -c .lo t.jsonl)" ]
    # the finetune twice: no difference at all
    dk-extract --dtype f32 -m "$G" -f "$G" --layers 1 --store f32 --what diff -o same.act.h5 "$T"
    dk-mean -n 2 same.act.h5 | jq -es 'all(.norm == 0 and .lo == 0 and .hi == 0 and .p_any == 1)'
}

@test "statistics give the same means" {
    E="dk-extract --dtype f32 -m $G -f $PLAIN -n null=$PATTERN --layers 0,1 --kind stats"
    $E --what base,ft,diff -o all.stats.h5 "$T"
    $E -o pair.stats.h5 "$T"
    dk-mean -n 9 --table rows -o a.dir.h5 "$A"
    # without replicates they know no documents, and so no intervals
    dk-mean -n 9 all.stats.h5 | cmp - <(jq -c 'del(.lo, .hi, .p_any, .halves)' rows)
    dk-mean all.stats.h5 > whole
    dk-mean "$A" | jq -c 'del(.lo, .hi, .p_any, .halves)' | cmp - whole
    # ft is the sum of two: its norms are not known
    dk-mean -n 9 --table t -o b.dir.h5 pair.stats.h5
    paste <(vectors a.dir.h5 L01/resid_post/ft | each) <(vectors b.dir.h5 L01/resid_post/ft | each) | near 1e-6
    cmp <(vectors a.dir.h5 L01/resid_post/diff.null) <(vectors b.dir.h5 L01/resid_post/diff.null)
    [ "$(jq -c 'select(.what == "ft") | .mean_norm' t | sort -u)" = null ]
    dk-mean -n 9 -o c.dir.h5 - < pair.stats.h5
    $E -o - "$T" | dk-mean -n 9 -o d.dir.h5 -
    cmp b.dir.h5 c.dir.h5
    cmp b.dir.h5 d.dir.h5
    run -1 --separate-stderr dk-mean -n 41 all.stats.h5
    failed dk-mean all.stats.h5 "41 positions"
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --kind stats -o chat.stats.h5 "$F/chat.tok.h5"
    [ "$(dk-mean chat.stats.h5 | jq -r .name | sort -u)" = mean_all ]
    run -1 --separate-stderr dk-mean -n 2 chat.stats.h5
    failed dk-mean chat.stats.h5 "chats"
}

@test "statistics with replicates give the same intervals" {
    E="dk-extract --dtype f32 -m $G -f $PLAIN -n null=$PATTERN --layers 0,1 --kind stats --what base,ft,diff"
    dk-mean -n 9 "$A" > rows
    $E --replicates 9 -o a.stats.h5 "$T"
    dk-mean -n 9 a.stats.h5 > got
    [ "$(jq -s 'map(select(.lo)) | length' got)" = 40 ]
    for f in .lo .hi .p_any .halves; do paste <(jq "$f // 9" got) <(jq "$f // 9" rows) | near 1e-6; done
    [ "$(jq -s 'map(.hi) | max > 0' got)" = true ]
    # of the whole, and of two of three positions
    $E --replicates 2 -o b.stats.h5 "$T"
    [ "$(dk-mean -n 3 b.stats.h5 | jq -c 'select(.what == "diff" and .layer == 0) | [.position, has("p_any")]' | tr '\n' ' ')" = \
        "[0,true] [1,true] [2,false] [null,true] " ]
    $E --replicates 0 -o c.stats.h5 "$T"
    [ "$(dk-mean -n 1 c.stats.h5 | jq -c 'select(.p_any) | [.layer, .what, .name]' | tr '\n' ' ')" = \
        '[0,"diff","mean_all"] [0,"diff.null","mean_all"] [1,"diff","mean_all"] [1,"diff.null","mean_all"] ' ]
    cmp <(dk-norms -n 3 b.stats.h5 | jq -c 'select(.lane == "ft" and .metric == "mean_diff") | [.name, .lo, .hi, .p_any]' | sort) \
        <(dk-mean -n 3 b.stats.h5 | jq -c 'select(.what == "diff") | [.name, .lo, .hi, .p_any]' | sort)
    # shards, threads and batches; another seed is another draw, and does not join
    dk-tokenize -q -m "$G" -n 60 --max-tokens 6 -o many.tok.h5 "$ROOT/data/text/general-a.jsonl"
    $E --replicates 2 -o whole.stats.h5 many.tok.h5
    for i in 0 1 2; do $E --replicates 2 --shard $i/3 -t $((i + 1)) --batch-tokens $((50 * i + 7)) -o $i.stats.h5 many.tok.h5; done
    dk-merge -o m.stats.h5 2.stats.h5 0.stats.h5 1.stats.h5
    cmp m.stats.h5 whole.stats.h5
    $E --replicates 2 --seed 7 -o s.stats.h5 "$T"
    run -1 cmp <(dk-mean -n 2 s.stats.h5 | jq -c .lo) <(dk-mean -n 2 b.stats.h5 | jq -c .lo)
    $E --replicates 2 --seed 7 --shard 1/3 -o x.stats.h5 many.tok.h5
    run -1 --separate-stderr dk-merge -o n.stats.h5 0.stats.h5 x.stats.h5 2.stats.h5
    failed dk-merge
    [ ! -e n.stats.h5 ]
    # one document has no interval; the finetune twice has one of no width
    $E --replicates 2 --max-samples 1 -o one.stats.h5 "$T"
    [ "$(dk-mean -n 2 one.stats.h5 | grep -c p_any)" = 0 ]
    dk-extract --dtype f32 -m "$G" -f "$G" --layers 1 --kind stats --replicates 2 -o same.stats.h5 "$T"
    dk-mean -n 2 same.stats.h5 | jq -es 'map(select(.what == "diff")) | length == 3 and all(.norm == 0 and .lo == 0 and .hi == 0 and .p_any == 1)'
    for o in "--kind stats --what base,ft" "--kind rows" "--kind stats --positions 1"; do
        run -2 --separate-stderr dk-extract -m "$G" -f "$PLAIN" --replicates 2 $o -o y.stats.h5 "$T"
        failed dk-extract "--replicates"
    done
    [ ! -e y.stats.h5 ]
}

@test "chats: positions from the first answer on, and some before it" {
    dk-mean -o x.dir.h5 "$F/chat.act.h5"
    [ "$(dk-values x.dir.h5 /dirs/L01/resid_post/diff/position | tr '\n' ' ')" = "-3 -2 -1 0 1 2 3 4 5 6 7 -2147483648 " ]
    # the answer's 8 tokens end the document
    dk-values "$F/chat.tok.h5" /docs/offset | tail -n +2 > ends
    for p in -3 -1 0 7; do
        rows "$F/chat.act.h5" L01/resid_post/diff | awk -v p=$p 'NR == FNR { want[$1 - 8 + p + 1] = 1; next } FNR in want' ends - > picked
        [ "$(wc -l < picked)" = 5 ]
        mean_rows < picked | each > want
        vectors x.dir.h5 L01/resid_post/diff | sed -n "$((p + 4))p" | each | paste - want | near 2e-6
    done
    dk-mean -k 0 -n 2 "$F/chat.act.h5" | jq -c 'select(.what == "diff") | [.position, .count]' | tr '\n' ' ' > got
    [[ "$(cat got)" == "[0,5] [1,5] [null,"*"] " ]]
}

@test "documents that are too short are left out; none left is an error" {
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --store f32 -o i.act.h5 - < "$IDS"
    jq '.ids | length' "$MINI/ids.jsonl" > lengths
    longest=$(sort -n lengths | tail -n 1)
    shortest=$(sort -n lengths | head -n 1)
    [ "$(dk-mean -n "$longest" i.act.h5 | jq 'select(.position == 0 and .what == "diff") | .count')" = "$(grep -cx "$longest" lengths)" ]
    [ "$(dk-mean i.act.h5 | jq 'select(.position != null and .what == "diff") | .count' | sort | uniq -c | tr -s ' ')" = " $shortest 3" ]
    run -1 --separate-stderr dk-mean -n $((longest + 1)) -o x.dir.h5 i.act.h5
    failed dk-mean i.act.h5 "no document"
    [ ! -e x.dir.h5 ]
}

@test "bad input: cut, another kind; output: unwritable" {
    head -c 5000 "$A" > cut.act.h5
    run -1 --separate-stderr dk-mean cut.act.h5
    failed dk-mean cut.act.h5
    run -1 --separate-stderr dk-mean "$T"
    failed dk-mean texts.tok.h5
    run -1 --separate-stderr dk-mean gone.act.h5
    failed dk-mean gone.act.h5
    touch file
    run -1 --separate-stderr dk-mean -o file/x "$A"
    failed dk-mean "cannot write file/x"
}

@test "the same bytes again; the file says what made it" {
    dk-mean -n 3 -o a.dir.h5 -t 1 "$A"
    dk-mean -n 3 -o b.dir.h5 -t 2 "$A"
    cmp a.dir.h5 b.dir.h5
    dk-info --json a.dir.h5 > i
    [ "$(jq -r '.inputs[0].role + " " + .inputs[0].name' i)" = "activations " ]
    [ "$(jq -r '.inputs[0].content_id' i)" = "$(dk-info --json "$A" | jq -r .content_id)" ]
    [ "$(jq -r '[.objects[] | select(.path | test("^/models/[a-z]+$")) | .path] | join(" ")' i)" = "/models/base /models/ft /models/null" ]
}
