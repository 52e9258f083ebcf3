load ../helper/pair

setup_file_more() {
    E="dk-extract --dtype f32 -m $G -f $PLAIN --store f32"
    $E -n null="$PATTERN" --layers 0,1 --what base,ft,diff -o all.act.h5 texts.tok.h5
    $E --layers 0,1 -o pair.act.h5 texts.tok.h5
    $E --layers 1 -o ids.act.h5 - < ids.stream
}
setup_more() {
    F=$BATS_FILE_TMPDIR T=$BATS_FILE_TMPDIR/texts.tok.h5
    A=$F/all.act.h5 I=$F/ids.act.h5
}
rows() { dk-values "$1" "/acts/$2"; }
dirs() { dk-values "$1" "/dirs/$2"; }
each() { tr ' ' '\n'; }
# variances FILE PLACE, rows on standard input: "got" is the variance along each component of FILE,
# and "skew" what should be 0: the mean along it, and how far it goes with the component before it.
variances() {
    dirs "$1" "$2/vector" > v
    dirs "$1" "$2/mean" | each > m
    awk 'FILENAME == "m" { mean[FNR] = $1; next }
         FILENAME == "v" { for (i = 1; i <= NF; i++) v[FNR, i] = $i; k = FNR; next }
         { n++; for (c = 1; c <= k; c++) { s = 0; for (i = 1; i <= NF; i++) s += ($i - mean[i]) * v[c, i]; sq[c] += s * s; sum[c] += s
               if (c > 1) cross[c] += s * last; last = s } }
         END { for (c = 1; c <= k; c++) printf "%.10g\n", sq[c] / (n - 1) > "got"
               for (c = 1; c <= k; c++) printf "%.10g %.10g\n", (sum[c] / n) / sqrt(sq[1] / n), (c > 1 ? cross[c] / sq[1] : 0) > "skew" }' m v -
}

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-pca
    failed dk-pca
    for o in --bogus -k-1 --layers=x --skip-first=-1 --batch-size=0 --drop-last; do
        run -2 --separate-stderr dk-pca "$o" "$A"
        failed dk-pca
        [ -z "$output" ]
    done
    run -2 --separate-stderr dk-pca -o x --table x "$A"
    failed dk-pca "same name"
    run -2 --separate-stderr dk-pca "$A" -
    failed dk-pca "standard input"
    run -2 --separate-stderr dk-pca --incremental --batch-size 4 -k 5 "$A"
    failed dk-pca "does not give 5"
    [ -z "$(ls)" ]
}

@test "components: variances of the rows along them, uncorrelated, and about their mean" {
    dk-pca -k 6 -o x.dir.h5 --table t.jsonl "$A"
    [ "$(jq -c '[.layer, .what, .component, .count]' t.jsonl | sed -n '1p;7p' | tr '\n' ' ')" = '[0,"diff",0,240] [1,"diff",0,240] ' ]
    rows "$A" L01/resid_post/diff | variances x.dir.h5 L01/resid_post/diff
    [ "$(wc -l < got)" = 6 ]
    dirs x.dir.h5 L01/resid_post/diff/variance | each | paste got - | near 2e-6
    jq 'select(.layer == 1) | .variance' t.jsonl | paste got - | near 2e-6
    awk '{ for (i = 1; i <= 2; i++) if ($i > 1e-5 || $i < -1e-5) exit 1; n++ } END { exit n != 6 }' skew
    # the largest entry is positive
    dirs x.dir.h5 L01/resid_post/diff/vector | awk '{ m = 0; for (i = 1; i <= NF; i++) if ($i * $i > m * m) m = $i; if (m <= 0) bad = 1 } END { exit bad }'
    jq -s -e 'map(select(.layer == 1)) | (.[0].singular - ((.[0].variance * 239) | sqrt) | fabs < 1e-9) and
        (.[5].cumulative - (map(.ratio) | add) | fabs < 1e-12) and (.[0].ratio - .[0].variance / .[0].total_variance | fabs < 1e-12)' t.jsonl
    dk-info --check x.dir.h5
}

@test "all of them: the ratios sum to one; base, ft; negated rows have other means alone" {
    [ "$(dk-pca --layers 1 "$A" | jq -s 'last | .cumulative | . * 1e9 | round')" = 1000000000 ]
    for w in base ft; do dk-pca --what $w -k 2 --layers 1 "$A" | jq .variance > $w; done
    [ "$(wc -l < base)" = 2 ]
    run -1 cmp base ft
    # the finetune is base plus difference where it is not stored
    dk-pca --what ft -k 2 --layers 1 "$F/pair.act.h5" | jq .variance | paste ft - | near 1e-5
    dk-pca -k 3 --layers 1 -o a.dir.h5 --table a "$A"
    dk-pca -k 3 --layers 1 --negate -o b.dir.h5 --table b "$A"
    cmp <(dirs a.dir.h5 L01/resid_post/diff/vector) <(dirs b.dir.h5 L01/resid_post/diff/vector)
    cmp <(jq -c 'del(.mean)' a) <(jq -c 'del(.mean)' b)
    paste <(jq .mean a) <(jq '0 - .mean' b) | near 1e-12
    dk-pca --what diff.null --layers 1 -k 1 "$A" | jq -r .what | grep -qx diff.null
}

# side SEED DOC: 0, 1: the sign that the first flip of the sign-flip test gives a document.
mix() {
    local z=$(($1 + 0x9E3779B97F4A7C15))
    z=$(((z ^ (z >> 30 & 0x3FFFFFFFF)) * 0xBF58476D1CE4E5B9))
    z=$(((z ^ (z >> 27 & 0x1FFFFFFFFF)) * 0x94D049BB133111EB))
    echo $((z ^ (z >> 31 & 0x1FFFFFFFF)))
}
side() {
    local z
    z=$(mix "$(($(mix "$(($(mix "$(($(mix "$1") ^ 2))") ^ 1))") ^ $2))")
    echo $((z < 0))
}

@test "how many directions share the variance; what one half of the documents says, the other does" {
    dk-pca --layers 1 "$A" > t
    [ "$(wc -l < t)" = "$(jq -s '.[0].participation as $p | map(select((.participation - $p | fabs) < 1e-9)) | length' t)" ]
    jq -s '"\(.[0].participation) \((map(.variance) | add) as $s | $s * $s / (map(.variance * .variance) | add))"' -r t | near 1e-9
    [ "$(dk-pca --layers 1 -k 2 "$A" | jq -s '.[1].participation')" = "$(jq -s '.[0].participation' t)" ]
    [ "$(dk-pca --layers 1 -k 2 --incremental "$A" | grep -c participation)" = 0 ]
    [ "$(grep -c halves t)" = 0 ]
    # each half by itself
    dk-pca --layers 1 --halves -o whole.dir.h5 --table h "$A"
    cmp <(jq -c 'del(.halves)' h) t
    for d in 0 1 2 3 4 5; do side 42 $d; done > sides
    [ "$(sort -u sides | wc -l)" = 2 ]
    for s in 0 1; do
        head -n 6 "$ROOT/data/text/general-a.jsonl" | paste -d ' ' sides - | sed -n "s/^$s //p" > part.jsonl
        dk-tokenize -q -m "$G" --max-tokens 40 -o part.tok.h5 part.jsonl
        dk-extract --dtype f32 -m "$G" -f "$PLAIN" --store f32 --layers 1 -o part.act.h5 part.tok.h5
        dk-pca -k 5 -o $s.dir.h5 part.act.h5
        dirs $s.dir.h5 L01/resid_post/diff/vector > v$s
    done
    awk 'FILENAME == "v0" { for (i = 1; i <= NF; i++) a[FNR, i] = $i; next } { for (i = 1; i <= NF; i++) b[FNR, i] = $i; d = NF }
         END { for (c = 1; c <= 5; c++) for (k = 1; k <= 5; k++) { s = 0; for (i = 1; i <= d; i++) s += a[c, i] * b[k, i]; x[c] += s * s; y[k] += s * s }
               for (c = 1; c <= 5; c++) print (sqrt(x[c]) + sqrt(y[c])) / 2 }' v0 v1 > want
    jq '.halves // empty' h > got
    [ "$(wc -l < got)" = 5 ]
    paste got want | near 1e-5
    jq -es 'map(.halves // empty) | all(. > 0 and . <= 1 + 1e-9) and .[0] > .3' h
    # any threads, another draw; what is read as a stream
    dk-pca -t 2 --layers 1 --halves "$A" | cmp - h
    dk-pca --layers 1 --halves - < "$A" | cmp - h
    run -1 cmp -s h <(dk-pca --seed 7 --layers 1 --halves "$A")
    dk-pca --layers 1 --halves --incremental "$A" | jq '.halves // empty' | paste - want | near 1e-5
    # two documents that fall on one side have one half
    dk-pca --layers 1 --halves --max-rows 40 "$A" | grep -c halves | grep -qx 0
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --kind stats --gram diff -o s.stats.h5 "$T"
    run -2 --separate-stderr dk-pca --halves s.stats.h5
    failed dk-pca "has no rows"
}

@test "files are one list of rows; the first tokens and a limit" {
    dk-pca -k 3 --layers 1 "$A" "$I" | jq -c '[.count, .dataset_id]' | sort -u > got
    n=$(rows "$I" L01/resid_post/diff | wc -l)
    [ "$(cat got)" = "[$((240 + n)),\"general-a,ids\"]" ]
    dk-pca -k 3 --layers 1 -o x.dir.h5 "$A" "$I"
    cat <(rows "$A" L01/resid_post/diff) <(rows "$I" L01/resid_post/diff) | variances x.dir.h5 L01/resid_post/diff
    dirs x.dir.h5 L01/resid_post/diff/variance | each | paste got - | near 2e-6
    dk-pca -k 3 --layers 1 --skip-first 30 -o x.dir.h5 "$A"
    rows "$A" L01/resid_post/diff | awk '(NR - 1) % 40 >= 30' | variances x.dir.h5 L01/resid_post/diff
    dirs x.dir.h5 L01/resid_post/diff/variance | each | paste got - | near 2e-6
    # 240 rows of one and 240 of the other: 50 of each
    dk-pca -k 3 --max-rows 100 --layers 1 -o x.dir.h5 --table t "$A" "$F/pair.act.h5"
    [ "$(jq .count t | sort -u)" = 100 ]
    rows "$A" L01/resid_post/diff | head -n 50 > half
    cat half half | variances x.dir.h5 L01/resid_post/diff
    dirs x.dir.h5 L01/resid_post/diff/variance | each | paste got - | near 2e-6
    dk-pca -k 3 --max-rows 70 --skip-first 2 --layers 1 "$A" > a
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" -n null="$PATTERN" --layers 0,1 --store f32 --what base,ft,diff -o - "$T" |
        dk-pca -k 3 --max-rows 70 --skip-first 2 --layers 1 - | cmp - a
    [ "$(jq .count a | sort -u)" = 70 ]
    run -1 --separate-stderr dk-pca --skip-first 40 "$A"
    failed dk-pca all.act.h5 "first 40"
}

@test "in batches: all components as exactly, some nearly; the last rows where asked" {
    dk-pca -k 4 --layers 1 "$A" > exact
    dk-pca -k 4 --layers 1 --incremental --batch-size 50 "$A" > some
    [ "$(jq .count some | sort -u)" = 240 ]
    paste <(jq .ratio exact | head -n 1) <(jq .ratio some | head -n 1) | near 0.05
    run -1 cmp exact some
    [ "$(dk-pca -k 4 --layers 1 --incremental --batch-size 50 --drop-last "$A" | jq .count | sort -u)" = 200 ]
    d=$(rows "$A" L01/resid_post/diff | awk 'NR == 1 { print NF }')
    dk-pca --layers 1 --incremental --batch-size "$d" "$A" | jq .variance > all
    dk-pca --layers 1 "$A" | jq .variance | paste all - | near 1e-8
}

@test "of the rows as they are: mean squares, the mean among them, no mean beside the components" {
    dk-pca --uncentred --layers 1 -o x.dir.h5 --table x "$A"
    rows "$A" L01/resid_post/diff > r
    dirs x.dir.h5 L01/resid_post/diff/vector > v
    awk 'NR == FNR { for (i = 1; i <= NF; i++) v[FNR, i] = $i; k = FNR; next }
         { n++; for (c = 1; c <= k; c++) { s = 0; for (i = 1; i <= NF; i++) s += $i * v[c, i]; q[c] += s * s; m[c] += s } }
         END { for (c = 1; c <= k; c++) printf "%.10g %.10g\n", q[c] / n, m[c] / n }' v r > want
    cut -d' ' -f1 want | head -n 20 | paste - <(jq .variance x | head -n 20) | near 1e-5
    cut -d' ' -f2 want | head -n 5 | paste - <(jq .mean x | head -n 5) | near 1e-4
    awk '{ for (i = 1; i <= NF; i++) s += $i * $i } END { printf "%.10g\n", s / NR }' r | paste - <(jq .total_variance x | sort -u) | near 1e-6
    [ "$(jq -c '[.uncentred, .count]' x | sort -u)" = '[true,240]' ]
    [ "$(dirs x.dir.h5 L01/resid_post/diff/mean | each | sort -u)" = 0 ]
    # more of them lies along the first than is left of the variance about the mean
    dk-pca -k 1 --layers 1 "$A" > c
    [ "$(jq -s '.[0].variance > .[1].variance' <(head -n 1 x) c)" = true ]
    [ "$(jq 'has("uncentred")' c)" = false ]
    # projections are of the rows as they are
    dk-encode -d x.dir.h5 --first 1 -o p.score.h5 "$A"
    dk-encode -d x.dir.h5 --first 1 --raw -o q.score.h5 "$A"
    cmp <(dk-values p.score.h5 /scores/proj/L01/resid_post/pc_0/ft) <(dk-values q.score.h5 /scores/proj/L01/resid_post/pc_0/ft)
    # of statistics the same
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --kind stats --gram diff -o s.stats.h5 "$T"
    dk-pca --uncentred -k 5 s.stats.h5 | jq .variance | paste - <(jq .variance x | head -n 5) | near 1e-4
    for o in --incremental --whiten; do
        run -2 --separate-stderr dk-pca --uncentred $o "$A"
        failed dk-pca "--uncentred"
    done
}

@test "a stream gives the same; the same bytes with any threads; the file says what made it" {
    dk-pca -k 3 -t 1 -o a.dir.h5 --table a "$A"
    dk-pca -k 3 -t 2 -o b.dir.h5 "$A"
    cmp a.dir.h5 b.dir.h5
    dk-pca -k 3 -o c.dir.h5 - < "$A"
    cmp a.dir.h5 c.dir.h5
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" -n null="$PATTERN" --layers 0,1 --store f32 --what base,ft,diff -o - "$T" |
        dk-pca -k 3 -o - - > s
    dk-pca -k 3 --table b - < "$A"
    cmp a b
    dk-lens -m "$G" -k 2 - < s > lens
    dk-lens -m "$G" -k 2 a.dir.h5 | cmp - lens
    [ "$(jq -r '[.name, .inverse, .position] | @csv' lens | sort -u | head -n 3 | tr '\n' ' ')" = '"pc_0",false, "pc_0",true, "pc_1",false, ' ]
    dk-info --json a.dir.h5 > i
    [ "$(jq -r '.inputs[0].content_id' i)" = "$(dk-info --json "$A" | jq -r .content_id)" ]
    [ "$(jq -r '[.objects[] | select(.path == "/dirs/L01/resid_post/diff") | .attributes | .source, .rows] | join(" ")' i)" = "component 240" ]
}

@test "bad input: another kind, cut, what is not there, NaN, equal rows; output: unwritable" {
    run -1 --separate-stderr dk-pca "$T"
    failed dk-pca texts.tok.h5
    run -1 --separate-stderr dk-pca gone.act.h5
    failed dk-pca gone.act.h5
    head -c 5000 "$A" > cut.act.h5
    run -1 --separate-stderr dk-pca cut.act.h5
    failed dk-pca cut.act.h5
    run -1 --separate-stderr dk-pca --what other "$A"
    failed dk-pca all.act.h5 "has no other"
    run -1 --separate-stderr dk-pca --layers 7 "$A"
    failed dk-pca all.act.h5 "no layer 7"
    run -1 --separate-stderr dk-pca --layers 0 "$A" "$I"
    failed dk-pca ids.act.h5 "layer 0"
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --max-samples 1 --store f32 -o one.act.h5 "$T"
    run -1 --separate-stderr dk-pca --skip-first 39 one.act.h5
    failed dk-pca one.act.h5 "1 row: components need at least 2"
    dk-extract --dtype f32 -m "$G" -f "$G" --layers 1 --store f32 -o same.act.h5 "$T"
    run -1 --separate-stderr dk-pca -o x.dir.h5 same.act.h5
    failed dk-pca same.act.h5 "rows are the same"
    # an adapter of zeros: no divergence, no difference, and no component of it
    mkdir zero && cp "$PLAIN/adapter_config.json" zero && dk-fixture edit "$PLAIN/adapter_model.safetensors" zero/adapter_model.safetensors scale lora 0
    dk-kl --dtype f32 -m "$G" -f zero --table - "$T" > kl
    jq -e '.value == 0 and .per_token_statistics.max == 0 and .per_token_statistics.min == 0' kl
    dk-extract --dtype f32 -m "$G" -f zero --layers 1 -o zero.act.h5 "$T"
    dk-norms --table - zero.act.h5 | jq -es 'map(select(.metric == "norm_diff")) | .[0] | .value == 0 and .per_token_statistics.max == 0'
    run -1 --separate-stderr dk-pca -o zero.dir.h5 zero.act.h5
    failed dk-pca zero.act.h5 "rows are the same"
    [ ! -e zero.dir.h5 ]
    cp one.act.h5 nan.act.h5
    HDF5_PLUGIN_PATH=$(dirname "$(command -v dk-pca)")/../hdf5 /usr/bin/python3 - << 'END'
import h5py
h5py.h5z.filter_avail(32015)
f = h5py.File("nan.act.h5", "r+")
d = f["/acts/L01/resid_post/diff"]
x, attrs = d[:], dict(d.attrs)
x[17, 3] = float("nan")
del f["/acts/L01/resid_post/diff"], f["/check"]
d = f.create_dataset("/acts/L01/resid_post/diff", data=x)
for k in attrs: d.attrs.create(k, attrs[k], dtype=attrs[k].dtype if hasattr(attrs[k], "dtype") else None)
END
    run -1 --separate-stderr dk-pca -o x.dir.h5 nan.act.h5
    failed dk-pca nan.act.h5 "row 17: activations are NaN"
    touch file
    run -1 --separate-stderr dk-pca -o file/x "$A"
    failed dk-pca "cannot write file/x"
    [ ! -e x.dir.h5 ]
}
