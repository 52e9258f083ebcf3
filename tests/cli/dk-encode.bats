load ../helper/pair

setup_file_more() {
    E="dk-extract --dtype f32 -m $G -f $PLAIN -n null=$PATTERN --layers 0,1 --store f32"
    $E --what base,ft,diff -o all.act.h5 texts.tok.h5
    $E -o pair.act.h5 texts.tok.h5
    dk-pca -k 4 --skip-first 1 -o pc.dir.h5 all.act.h5
    dk-mean -n 3 -o mean.dir.h5 all.act.h5
}
setup_more() {
    F=$BATS_FILE_TMPDIR T=$BATS_FILE_TMPDIR/texts.tok.h5
    A=$F/all.act.h5 D=$F/pc.dir.h5 M=$F/mean.dir.h5
}
rows() { dk-values "$A" "/acts/$1"; }
scores() { dk-values "$1" "/scores/$2"; }
# along VECTOR-FILE MEAN-FILE LINE: of rows on standard input, (row - mean) . v / |v| for the LINE-th vector
along() {
    awk -v at="$3" 'FILENAME == ARGV[1] { if (FNR == at) { n = NF; for (i = 1; i <= n; i++) { v[i] = $i; s += $i * $i } } next }
        FILENAME == ARGV[2] { m[FNR] = $1; next }
        { x = 0; for (i = 1; i <= n; i++) x += ($i - m[i]) * v[i]; printf "%.9g\n", x / sqrt(s) }' "$1" "$2" -
}

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-encode "$A"
    failed dk-encode "--dirs"
    run -2 --separate-stderr dk-encode -d "$D"
    failed dk-encode
    for o in --bogus --skip-first=-1 --first=x --layers=x; do
        run -2 --separate-stderr dk-encode -d "$D" "$o" "$A"
        failed dk-encode
        [ -z "$output" ]
    done
    run -2 --separate-stderr dk-encode -d "$D" -o x --table x "$A"
    failed dk-encode "same name"
    run -2 --separate-stderr dk-encode -d - -
    failed dk-encode "both be standard input"
    [ -z "$(ls)" ]
}

@test "components: rows about their mean along each, of the finetune and of the null" {
    dk-encode -d "$D" -o x.score.h5 "$A"
    [ "$(dk-info --json x.score.h5 | jq -r '[.objects[] | select(.kind == "dataset" and (.path | test("^/scores/.*/L01/"))) | .path[8:]] | join(" ")')" = \
      "$(for i in 0 1 2 3; do for l in ft null; do printf 'proj/L01/resid_post/pc_%d/%s ' $i $l; done; done | sed 's/ $//')" ]
    dk-values "$D" /dirs/L01/resid_post/diff/vector > v
    dk-values "$D" /dirs/L01/resid_post/diff/mean | tr ' ' '\n' > m
    for i in 0 3; do
        for l in ft null; do
            rows L01/resid_post/diff"$([ $l = ft ] || echo .null)" | along v m $((i + 1)) | paste - <(scores x.score.h5 proj/L01/resid_post/pc_$i/$l) | near 1e-5
        done
    done
    # without its mean
    dk-encode -d "$D" --raw -o y.score.h5 "$A"
    rows L01/resid_post/diff | along v /dev/null 1 | paste - <(scores y.score.h5 proj/L01/resid_post/pc_0/ft) | near 1e-5
    run -1 cmp <(scores x.score.h5 proj/L01/resid_post/pc_0/ft) <(scores y.score.h5 proj/L01/resid_post/pc_0/ft)
    dk-info --check x.score.h5
}

@test "the variance of the projections is that of the component" {
    dk-encode -d "$D" --skip-first 1 --layers 1 --table t -o x.score.h5 "$A"
    scores x.score.h5 proj/L01/resid_post/pc_0/ft > v
    [ "$(grep -c nan v)" = 6 ]
    grep -v nan v | awk '{ s += $1; q += $1 * $1 } END { printf "%.9g\n", (q - s * s / NR) / (NR - 1) }' > got
    dk-values "$D" /dirs/L01/resid_post/diff/variance | tr ' ' '\n' | head -n 1 | paste got - | near 1e-4
    jq -e -s 'map(select(.direction == "pc_0" and .lane == "ft")) | .[0] | .layer == 1 and .docs == 6 and .total_tokens_processed == 234
        and (.value | fabs) < 1e-4 and .lo < .value and .value < .hi and .skipped_first_tokens == 1' t
    jq -r 'select(.direction == "pc_0" and .lane == "ft") | .per_token_statistics | .min, .max' t |
        paste - <(grep -v nan v | sort -g | sed -n '1p;$p') | near 1e-6
}

@test "the root mean square of the projections, with its interval over texts" {
    dk-encode -d "$D" --layers 1 --table t -o x.score.h5 "$A"
    for l in ft null; do
        scores x.score.h5 proj/L01/resid_post/pc_2/$l | awk '{ q += $1 * $1 } END { printf "%.9g\n", sqrt(q / NR) }' |
            paste - <(jq --arg l $l 'select(.direction == "pc_2" and .lane == $l) | .rms' t) | near 1e-6
    done
    jq -es 'all(.[]; .rms_lo < .rms and .rms < .rms_hi)' t
    # of one text none
    dk-encode -d "$D" --layers 1 --max-samples 1 --table t -o x.score.h5 "$A"
    jq -es 'all(.[]; .rms > 0 and .rms_lo == null and .rms_hi == null)' t
}

@test "values in the first texts only" {
    dk-encode -d "$D" --layers 1 --first 1 -o x.score.h5 "$A"
    dk-encode -d "$D" --layers 1 --first 1 --max-samples 2 -o y.score.h5 --table t "$A"
    cmp <(scores x.score.h5 proj/L01/resid_post/pc_0/ft | head -n 80) <(scores y.score.h5 proj/L01/resid_post/pc_0/ft | grep -v nan)
    jq -e -s 'all(.[]; .docs == 2 and .total_tokens_processed == 80)' t
}

@test "components of negated rows: the values change their sign" {
    dk-pca -k 2 --layers 1 --negate -o n.dir.h5 "$A"
    dk-pca -k 2 --layers 1 -o p.dir.h5 "$A"
    dk-encode -d n.dir.h5 -o n.score.h5 "$A"
    dk-encode -d p.dir.h5 -o p.score.h5 "$A"
    paste <(scores n.score.h5 proj/L01/resid_post/pc_1/ft | awk '{ print -$1 }') <(scores p.score.h5 proj/L01/resid_post/pc_1/ft) | near 1e-5
}

@test "means: of differences, or of the base's rows in every lane; what is not stored is worked out" {
    dk-encode -d "$M" --layers 1 --name mean_all -o x.score.h5 "$A"
    dk-values "$M" /dirs/L01/resid_post/diff/vector > v
    rows L01/resid_post/diff | along v /dev/null 4 | paste - <(scores x.score.h5 proj/L01/resid_post/mean_all/ft) | near 1e-5
    dk-encode -d "$M" --what base --name 'mean_pos_?' --first 2 --layers 1 -o y.score.h5 "$A"
    [ "$(dk-info --json y.score.h5 | jq -r '[.objects[] | select(.kind == "dataset") | .path | select(test("^/scores/")) | ltrimstr("/scores/proj/L01/resid_post/")] | join(" ")')" = \
      "mean_pos_0/base mean_pos_0/ft mean_pos_0/null mean_pos_1/base mean_pos_1/ft mean_pos_1/null" ]
    dk-values "$M" /dirs/L01/resid_post/base/vector > v
    rows L01/resid_post/ft | along v /dev/null 2 | paste - <(scores y.score.h5 proj/L01/resid_post/mean_pos_1/ft) | near 1e-5
    dk-encode -d "$M" --what base --name 'mean_pos_?' --layers 1 -o z.score.h5 "$F/pair.act.h5"
    paste <(scores y.score.h5 proj/L01/resid_post/mean_pos_1/ft) <(scores z.score.h5 proj/L01/resid_post/mean_pos_1/ft) | near 1e-5
}

@test "dk-examples takes it, at both ends, the null beside" {
    dk-encode -d "$D" --layers 1 --first 1 -o x.score.h5 "$A"
    dk-examples -m "$G" --score 'proj/*/ft' --by extreme --side both -k 2 x.score.h5 > e
    [ "$(jq -r '[.side, .rank] | join(" ")' e | tr '\n' ',')" = "top 1,top 2,bottom 1,bottom 2," ]
    scores x.score.h5 proj/L01/resid_post/pc_0/ft | sort -g | sed -n '1p;$p' > want
    jq -s '(map(select(.side == "bottom"))[0].value), (map(select(.side == "top"))[0].value)' e | paste - want | near 1e-6
    jq -e -s 'all(.[]; .null.null != null and (.text | length) > 20 and (.values | length) == 40)' e
}

@test "own texts in, projections out, nothing on disk; the same bytes with any threads and from streams" {
    echo '{"text": "The cat sat on the mat."}' | dk-tokenize -m "$G" -o - - |
        dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 0,1 --store f32 -o - - | dk-encode -d "$D" -o - - |
        dk-examples -m "$G" --score 'proj/*/pc_0/ft' --by extreme - > e
    [ "$(jq -r .text e | sort -u)" = "The cat sat on the mat." ]
    dk-encode -t 1 -d "$D" -o a.score.h5 --table a "$A"
    dk-encode -t 2 -d - -o b.score.h5 --table b "$A" < "$D"
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" -n null="$PATTERN" --layers 0,1 --store f32 --what base,ft,diff -o - "$T" |
        dk-encode -d "$D" -o c.score.h5 --table c -
    cmp a.score.h5 b.score.h5
    cmp a.score.h5 c.score.h5
    cmp a b
    cmp a c
    dk-encode -d "$D" "$A" | cmp - a
    dk-info --json a.score.h5 > i
    [ "$(jq -r '[.inputs[].role] | join(" ")' i)" = "directions activations" ]
    [ "$(jq -r '.inputs[1].content_id' i)" = "$(dk-info --json "$A" | jq -r .content_id)" ]
}

@test "bad input: cut, another kind, what is not there, other widths; output: unwritable" {
    head -c 5000 "$A" > cut.act.h5
    run -1 --separate-stderr dk-encode -d "$D" -o x.score.h5 cut.act.h5
    failed dk-encode cut.act.h5
    run -1 --separate-stderr dk-encode -d "$T" "$A"
    failed dk-encode texts.tok.h5
    run -1 --separate-stderr dk-encode -d "$D" gone.act.h5
    failed dk-encode gone.act.h5
    run -1 --separate-stderr dk-encode -d "$D" --what other "$A"
    failed dk-encode pc.dir.h5 "no directions of other"
    run -1 --separate-stderr dk-encode -d "$D" --layers 7 "$A"
    failed dk-encode "at these layers"
    run -1 --separate-stderr dk-encode -d "$D" --name pc_9 "$A"
    failed dk-encode "no direction"
    run -1 --separate-stderr dk-encode -d "$D" --skip-first 40 "$A"
    failed dk-encode all.act.h5 "no document has more than 40 tokens"
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 0 --store f32 --what base,diff -o zero.act.h5 "$T"
    dk-pca -k 1 --layers 1 -o one.dir.h5 "$A"
    run -1 --separate-stderr dk-encode -d one.dir.h5 zero.act.h5
    failed dk-encode zero.act.h5 "no activations at the layers"
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" --layers 1 --store f32 --what base -o base.act.h5 "$T"
    run -1 --separate-stderr dk-encode -d one.dir.h5 base.act.h5
    failed dk-encode base.act.h5 "has no diff"
    for what in vector mean; do
        cp one.dir.h5 nan.dir.h5
        HDF5_PLUGIN_PATH=$(dirname "$(command -v dk-encode)")/../hdf5 /usr/bin/python3 - $what << 'END'
import sys, h5py
h5py.h5z.filter_avail(32015)
f = h5py.File("nan.dir.h5", "r+")
d = f["/dirs/L01/resid_post/diff/" + sys.argv[1]]
v = d[...]
v[..., 3] = float("nan")
d[...] = v
END
        run -1 --separate-stderr dk-encode -d nan.dir.h5 "$A"
        failed dk-encode nan.dir.h5
    done
    touch file
    for o in -o --table; do
        run -1 --separate-stderr dk-encode -d "$D" $o file/x "$A"
        failed dk-encode "cannot write file/x"
    done
    run -1 --separate-stderr dk-encode -d "$D" -o none.score.h5 <(head -c 20000 "$A")
    [ ! -e none.score.h5 ]
}
