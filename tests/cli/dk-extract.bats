load ../helper/pair

setup_file_more() { build_slow_writer; }

extract() { dk-extract --dtype f32 -m "$G" -f "$PLAIN" "$@"; }
values() { dk-values "$1" "/acts/$2"; }
sets() { dk-info --json "$1" | jq -r '.objects[] | select(.path | startswith("/acts/")) | select(.kind == "dataset") | .path[6:]' | tr '\n' ' '; }

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-extract -f "$PLAIN" -o x "$T"
    failed dk-extract "name the base model"
    run -2 --separate-stderr extract "$T"
    failed dk-extract "-o"
    run -2 --separate-stderr dk-extract -m "$G" -o x "$T"
    failed dk-extract "--ft"
    for o in --bogus --layers=2 --layers=-1 --layers=1.5 --layers=x --layers= --site=mlp --site= --store=f64 --what=base,all \
             --what=ft_delta --what= "--what=base,ft_delta --store=f32" --lanes=base,other --lanes=ft,base --null=oops --null=diff="$PATTERN" --null=diff.x="$PATTERN"; do
        run -2 --separate-stderr extract -o x $o "$T"
        failed dk-extract
        [ -z "$output" ]
    done
    [ -z "$(ls)" ]
}

@test "layers: absolute, relative, several; sites; what" {
    extract -o x.act.h5 "$T"
    [ "$(sets x.act.h5)" = "L00/resid_post/base L00/resid_post/diff " ]
    extract --layers 1.0,0,1 --what base,ft,diff -o x.act.h5 "$T"
    [ "$(sets x.act.h5)" = "L00/resid_post/base L00/resid_post/diff L00/resid_post/ft L01/resid_post/base L01/resid_post/diff L01/resid_post/ft " ]
    extract --layers 0.99 --site resid_pre --what diff -o y.act.h5 "$T"
    [ "$(sets y.act.h5)" = "L00/resid_pre/diff " ]
    extract --layers 1 --site resid_post,mlp_out,attn_out,mlp_out --what base -o y.act.h5 "$T"
    [ "$(sets y.act.h5)" = "L01/attn_out/base L01/mlp_out/base L01/resid_post/base " ]
    dk-extract --dtype f32 -m "$G" --what base -o z.act.h5 "$T"
    [ "$(sets z.act.h5)" = "L00/resid_post/base " ]
}

@test "what enters a block is what the one before hands on; embeddings differ in no lane" {
    extract --layers 0,1 --store f32 --what base,ft,diff -o post.act.h5 "$T"
    extract --layers 0,1 --store f32 --what base,ft,diff --site resid_pre -o pre.act.h5 "$T"
    for w in base ft diff; do
        cmp <(values post.act.h5 L00/resid_post/$w) <(values pre.act.h5 L01/resid_pre/$w)
    done
    [ "$(values pre.act.h5 L00/resid_pre/diff | tr ' ' '\n' | sort -u)" = 0 ]
    [ "$(values post.act.h5 L00/resid_post/diff | tr ' ' '\n' | sort -u | wc -l)" -gt 1000 ]
    # equal ids have equal embeddings, other ids others
    paste -d' ' <(dk-values "$T" /rows/token) <(values pre.act.h5 L00/resid_pre/base) | sort -u > by
    [ "$(cut -d' ' -f1 by | sort -u | wc -l)" = "$(wc -l < by)" ]
}

# the golden's four sites of block 1, 24 rows of 64 values each
site_golden() { od -An -v -tf4 -w256 "$DK_ROOT/tests/golden/sites/mini_$1.f32" | sed -n "$((24 * $2 + 1)),$((24 * $2 + 24))p" | tr -s ' ' '\n' | sed '/^$/d'; }

@test "what attention and MLP put out is what the model library's hooks see, the adapter's part included" {
    extract --layers 1 --site attn_out,mlp_out,resid_post,resid_pre --store f32 --what base,ft,diff -o x.act.h5 - < "$IDS"
    for lane in base:base ft:plain; do
        n=0
        for site in attn_out mlp_out resid_post resid_pre; do
            values x.act.h5 L01/$site/${lane%:*} | tr ' ' '\n' | paste - <(site_golden ${lane#*:} $n) > both
            [ "$(wc -l < both)" = $((24 * 64)) ]
            near 2e-5 < both
            n=$((n + 1))
        done
    done
    # the block hands on what entered it and what the two have added, in every lane
    for w in base ft diff; do
        paste <(paste -d' ' <(values x.act.h5 L01/resid_pre/$w | tr ' ' '\n') <(values x.act.h5 L01/attn_out/$w | tr ' ' '\n') \
            <(values x.act.h5 L01/mlp_out/$w | tr ' ' '\n') | awk '{ printf "%.9g\n", $1 + $2 + $3 }') \
            <(values x.act.h5 L01/resid_post/$w | tr ' ' '\n') | near 2e-5
    done
}

@test "ft as a delta: the bf16 values of ft, to the bit, in less room; other readers are told" {
    extract --layers 0,1 -n null="$PATTERN" --what base,ft -o a.act.h5 "$T"
    extract --layers 0,1 -n null="$PATTERN" --what base,ft_delta -o b.act.h5 "$T"
    [ "$(dk-info --json b.act.h5 | jq -r '.attributes.features_required, (.objects[] | select(.path == "/acts/L01/resid_post/null") | .type, .attributes."encoding-type")' | tr '\n' ' ')" = "ft_delta u16 dk-rows-delta " ]
    for f in a b; do dk-mean -n 3 $f.act.h5 > $f.means; done
    cmp a.means b.means
    grep -c '"what":"diff.null"' b.means
    [ "$(stat -c %s b.act.h5)" -lt "$(stat -c %s a.act.h5)" ]
    dk-info --check b.act.h5
    extract --layers 0,1 -n null="$PATTERN" --what base,ft_delta -o - "$T" | dk-mean -n 3 - | cmp - a.means
}

@test "the difference is that of the f32 values, rounded once; ft is base plus it" {
    extract --what base,ft,diff --store f32 -o a.act.h5 "$T"
    extract --what base,ft,diff --store bf16 -o b.act.h5 "$T"
    extract --what base,ft,diff --store f16 -o h.act.h5 "$T"
    for s in a b h; do for w in base ft diff; do values $s.act.h5 L00/resid_post/$w | tr ' ' '\n' > $s.$w; done; done
    paste a.ft a.base a.diff | awk '{ printf "%.9g %s\n", $1 - $2, $3 }' | near 1e-6
    # half a unit in the last place: of 8 bits, of 11 bits
    for s in b:0.00390625 h:0.00048828125; do
        for w in base ft diff; do
            paste a.$w ${s%:*}.$w | awk -v u=${s#*:} '{ d = $1 - $2; if (d < 0) d = -d; m = $1 < 0 ? -$1 : $1
                if (d > u * m + 6e-8) bad++; if (d > u * m / 2) big++ } END { exit !(NR > 10000 && !bad && big > 10) }'
        done
    done
    [ "$(dk-info --json b.act.h5 | jq -c '.objects[] | select(.path == "/acts/L00/resid_post/diff") | [.type, .shape[0],
        .attributes.dtype, .attributes.rounding, .attributes.computed_in, .attributes.arith, .attributes.layer]')" = '["bf16",240,"bf16","rne","f32","difference",0]' ]
}

@test "statistics: the sums of the rows, whatever the batches" {
    extract --layers 0,1 --what base,ft,diff --store f32 -o a.act.h5 "$T"
    extract --layers 0,1 --what base,ft,diff --kind stats --positions 50 -o a.stats.h5 "$T"
    stat() { dk-values a.stats.h5 "/stats/L01/resid_post/diff/$1"; }
    values a.act.h5 L01/resid_post/diff > rows
    awk '{ for (i = 1; i <= NF; i++) { s[i] += $i; q[i] += $i * $i; if (NR == 1 || $i < lo[i]) lo[i] = $i; if (NR == 1 || $i > hi[i]) hi[i] = $i } }
         END { for (i = 1; i <= NF; i++) printf "%.17g %.17g %.9g %.9g\n", s[i], q[i], lo[i], hi[i] }' rows > want
    n=1
    for x in sum sumsq min max; do
        paste <(stat $x) <(cut -d' ' -f$n want) | near 1e-7
        n=$((n + 1))
    done
    [ "$(stat count)" = 240 ]
    awk '{ s = 0; for (i = 1; i <= NF; i++) s += $i * $i; s = sqrt(s); t += s; b = 8 * log(s) / log(2); f = int(b); if (b < f) f--
           n[f + 128]++; p[(NR - 1) % 40] += s } END { printf "%.17g\n", t > "norm_sum"
           for (i = 0; i < 256; i++) print n[i] + 0 > "norm_hist"; for (i = 0; i < 50; i++) printf "%.17g\n", p[i] > "pos_norm_sum" }' rows
    for x in norm_sum pos_norm_sum; do paste <(stat $x) $x | near 1e-6; done
    stat norm_hist | cmp - norm_hist
    [ "$(stat pos_count | uniq -c | tr -s ' ' | tr '\n' ' ')" = " 40 6  10 0 " ]
    awk '(NR - 1) % 40 == 7' rows | awk '{ for (i = 1; i <= NF; i++) s[i] += $i } END { for (i = 1; i <= NF; i++) printf "%.17g\n", s[i] }' |
        paste - <(stat pos_sum | sed -n 8p | tr ' ' '\n') | near 1e-7
    [ "$(dk-info --json a.stats.h5 | jq -c '[.kind, .rows, .docs, .attributes.role, .attributes.lanes]')" = '["dk-statistics",240,6,"stats","base,ft"]' ]
    dk-info --check a.stats.h5
    for o in "-t 2" "--batch-tokens 7" "--batch-tokens 100 -t 2"; do
        extract $o --layers 0,1 --what base,ft,diff --kind stats --positions 50 -o b.stats.h5 "$T"
        cmp a.stats.h5 b.stats.h5
    done
    run -2 --separate-stderr extract --kind stats --what base,ft_delta -o c.stats.h5 "$T"
    failed dk-extract "--kind stats"
    run -2 --separate-stderr extract --kl -o c.act.h5 "$T"
    failed dk-extract "--kl needs"
    run -2 --separate-stderr extract --kind stats --reverse -o c.stats.h5 "$T"
    failed dk-extract "--reverse needs --kl"
    for g in none,diff all; do
        run -2 --separate-stderr extract --kind stats --gram $g -o c.stats.h5 "$T"
        failed dk-extract "--gram"
    done
}

@test "statistics: norms, KL and their intervals as of rows; products for components" {
    N="-n null=$PATTERN"
    extract $N --layers 0,1 --what base,ft,diff --store f32 -o a.act.h5 "$T"
    extract $N --layers 0,1 --kind stats --kl --reverse --gram base,diff -o a.stats.h5 "$T"
    dk-norms a.act.h5 > rows
    dk-norms a.stats.h5 > sums
    [ "$(wc -l < rows)" = "$(wc -l < sums)" ]
    for f in '.metric, .lane, .layer, .name, .position, .docs, .count, .total_tokens_processed, .too_short_samples'; do
        cmp <(jq -c "[$f]" rows) <(jq -c "[$f]" sums)
    done
    for f in .value .lo .hi .per_token_statistics.std .per_token_statistics.max .per_token_statistics.min .mean_per_sample_statistics.std; do
        paste <(jq "select(.value) | $f" rows) <(jq "select(.value) | $f" sums) > both
        [ "$(wc -l < both)" = 18 ]
        near 1e-6 < both
    done
    paste <(jq 'select(.metric == "mean_diff") | .norm' rows) <(jq 'select(.metric == "mean_diff") | .norm' sums) | near 1e-6
    for w in diff diff.null base; do
        paste <(dk-pca -k 3 --layers 1 --what $w a.act.h5 | jq .variance) <(dk-pca -k 3 --layers 1 --what $w a.stats.h5 | jq .variance) > both
        [ "$(wc -l < both)" = 3 ]
        near 1e-9 < both
    done
    paste <(dk-pca -k 2 --negate a.act.h5 | jq .mean) <(dk-pca -k 2 --negate a.stats.h5 | jq .mean) | near 1e-9
    # two files are one list of rows
    extract $N --layers 0,1 --kind stats --max-samples 4 -o b.stats.h5 "$T"
    extract $N --layers 0,1 --what base,ft,diff --store f32 --max-samples 4 -o b.act.h5 "$T"
    paste <(dk-pca -k 2 a.act.h5 b.act.h5 | jq .variance) <(dk-pca -k 2 a.stats.h5 b.stats.h5 | jq .variance) | near 1e-9
    # KL: mean and interval are those of dk-kl
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" $N --reverse -o a.score.h5 --table kl.jsonl "$T"
    dk-values a.stats.h5 /measures/kl/ft/sums | head -n 1 | awk '{ printf "%.12g\n", $1 / 240 }' | paste - <(jq 'select(.lane == "ft" and (.reverse | not)) | .value' kl.jsonl) | near 1e-6
    dk-kl a.stats.h5 > kl.sums
    [ "$(jq -c '[.lane, .reverse]' kl.sums | tr '\n' ' ')" = '["ft",null] ["null",null] ["ft",true] ["null",true] ' ]
    [ "$(jq -c '[.lane, .reverse, .against, .unit, .docs, .total_tokens_processed, .total_sequences_processed, .dataset_id, .logp_change.docs]' kl.sums)" = \
        "$(jq -c '[.lane, .reverse, .against, .unit, .docs, .total_tokens_processed, .total_sequences_processed, .dataset_id, .logp_change.docs]' kl.jsonl)" ]
    for f in .value .lo .hi .per_token_statistics.std .per_token_statistics.max .mean_per_sample_statistics.std; do
        paste <(jq "$f" kl.sums) <(jq "$f" kl.jsonl) > both
        [ "$(wc -l < both)" = 4 ]
        near 1e-6 < both
    done
    for f in value lo hi p_any; do
        paste <(jq "select(.logp_change) | .logp_change.$f" kl.sums) <(jq "select(.logp_change) | .logp_change.$f" kl.jsonl) > both
        [ "$(wc -l < both)" = 2 ]
        near 1e-6 < both
    done
    jq -es 'all(.per_token_statistics | has("median") | not)' kl.sums
    [ "$(dk-values a.stats.h5 /measures/logp/null/counts | tr '\n' ' ')" = "234 6 " ]
    dk-values a.score.h5 logp/null | awk '$1 != "nan" { s += $1 } END { printf "%.12g\n", s }' |
        paste - <(dk-values a.stats.h5 /measures/logp/null/sums | head -n 1) | near 1e-6
}

@test "statistics: components in the base's measure" {
    extract --layers 0,1 --what base,diff --store f32 -o a.act.h5 "$T"
    extract --layers 0,1 --kind stats --gram base,diff -o a.stats.h5 "$T"
    dk-pca --whiten -k 3 -o w.dir.h5 --table w.jsonl a.stats.h5
    [ "$(jq -c '[.layer, .component, .whitened]' w.jsonl | tr '\n' ' ')" = "[0,0,true] [0,1,true] [0,2,true] [1,0,true] [1,1,true] [1,2,true] " ]
    [ "$(dk-info --json w.dir.h5 | jq '[.objects[] | select(.attributes.whitened == 1)] | length')" = 2 ]
    # variance of the difference over that of the base, along each
    for c in 0 1 2; do
        dk-values w.dir.h5 L01/resid_post/diff | sed -n "$((c + 1))p" > v
        for w in diff base; do
            values a.act.h5 L01/resid_post/$w | awk 'NR == FNR { d = NF; for (i = 1; i <= NF; i++) v[i] = $i; next }
                { y = 0; for (i = 1; i <= d; i++) y += v[i] * $i; s += y; q += y * y; n++ } END { printf "%.12g\n", q - s * s / n }' v -
        done | paste -s | awk '{ printf "%.9g\n", $1 / $2 }'
    done | paste - <(jq 'select(.layer == 1) | .variance' w.jsonl) | near 1e-4
    for o in "-t 1" "-t 2"; do dk-pca $o --whiten -k 3 a.stats.h5 | cmp - w.jsonl; done
    [ "$(dk-pca -k 3 a.stats.h5 | jq -s 'map(has("whitened")) | any')" = false ]
    run -2 --separate-stderr dk-pca --whiten a.act.h5
    failed dk-pca "a.act.h5 has rows"
    extract --layers 1 --kind stats -o b.stats.h5 "$T"
    run -1 --separate-stderr dk-pca --whiten b.stats.h5
    failed dk-pca "keeps no products of base"
    extract --layers 1 --kind stats --gram base,diff --max-samples 1 -o c.stats.h5 "$T"
    run -1 --separate-stderr dk-pca --whiten c.stats.h5
    failed dk-pca "40 rows of the base do not vary in all 64 directions"
}

@test "statistics: as large for many documents as for few" {
    dk-tokenize -m "$G" -n 150 --max-tokens 9 -o many.tok.h5 "$ROOT/data/text/general-a.jsonl"
    for n in 6 150; do extract --kind stats --kl --reverse --replicates 1 --max-samples $n -o $n.stats.h5 many.tok.h5; done
    shapes() { dk-info --json "$1" | jq -c '[.objects[] | select(.path | test("^/(stats|measures)/")) | [.path, .type, .shape]]'; }
    shapes 6.stats.h5 | jq -e 'length > 50'
    cmp <(shapes 6.stats.h5) <(shapes 150.stats.h5)
    [ "$(dk-info --json 150.stats.h5 | jq .docs)" = 150 ]
}

# No byte may go to a disk: a file of any size would end the process that writes it.
@test "in memory: rows and sums from one tool to the next, nothing on disk" {
    out=$(
        ulimit -f 0
        extract -o - "$T" | dk-pca -k 2 - | jq -es 'length == 2'
        extract -o - "$T" | dk-norms - | jq -es 'length > 3'
        extract -o - "$T" | dk-mean -n 2 - | jq -es 'length > 3'
        extract --kind stats --kl -o - "$T" | dk-kl - | jq -es '.[0].docs == 6'
        extract --kind stats -o - "$T" | dk-pca -k 2 - | jq -es 'length == 2'
    )
    [ "$out" = "$(printf 'true\n%.0s' 1 2 3 4 5)" ]
    # and the limit is one
    run -1 bash -c 'ulimit -f 0; exec "$@" -o x.act.h5' - dk-extract --dtype f32 -m "$G" -f "$PLAIN" "$T"
    [[ "$output" == *"cannot write x.act.h5"* ]]
}

@test "a finetune that changes nothing: rows equal to the bit, differences of zero" {
    adapter zero
    dk-fixture edit "$PLAIN/adapter_model.safetensors" zero/adapter_model.safetensors scale lora 0
    for o in "--dtype f32 --arith plain" "--dtype f32 --arith diff" "--dtype bf16 --arith plain" "--dtype bf16 --arith diff"; do
        dk-extract -m "$G" -f zero $o --layers 0,1 --store f32 --what base,ft,diff -o x.act.h5 "$T"
        for l in L00 L01; do
            cmp <(values x.act.h5 $l/resid_post/base) <(values x.act.h5 $l/resid_post/ft)
            [ "$(values x.act.h5 $l/resid_post/diff | tr ' ' '\n' | sort -u)" = 0 ]
        done
    done
    dk-extract --dtype f32 -m "$G" -f zero --kind stats --kl --reverse -o x.stats.h5 "$T"
    dk-kl x.stats.h5 | jq -es 'all(.value == 0 and .per_token_statistics.max == 0)'
    dk-kl x.stats.h5 | jq -es '.[0].logp_change | .value == 0 and .lo == 0 and .hi == 0 and .p_any == 1'
}

@test "statistics: what they do not hold is refused by name" {
    extract --layers 1 --kind stats --gram none -o a.stats.h5 "$T"
    run -1 --separate-stderr dk-pca a.stats.h5
    failed dk-pca "a.stats.h5: layer 1, resid_post keeps no products of diff"
    extract --layers 1 --kind stats -o a.stats.h5 "$T"
    run -1 --separate-stderr dk-pca --what base a.stats.h5
    failed dk-pca "keeps no products of base"
    run -1 --separate-stderr dk-pca --layers 0 a.stats.h5
    failed dk-pca "there is no layer 0"
    for o in "--skip-first 1" "--max-rows 9" --incremental; do
        run -2 --separate-stderr dk-pca $o a.stats.h5
        failed dk-pca "a.stats.h5 has no rows"
    done
    extract --layers 1 -o a.act.h5 "$T"
    run -2 --separate-stderr dk-pca a.act.h5 a.stats.h5
    failed dk-pca "one kind"
    for o in "-o x.score.h5" "--means x.dir.h5" "-m $G" "--skip-first 1"; do
        run -2 --separate-stderr dk-norms $o a.stats.h5
        failed dk-norms "a.stats.h5 has no rows"
    done
    run -1 --separate-stderr dk-kl a.stats.h5
    failed dk-kl "a.stats.h5 has no KL"
    extract --layers 1 --kind stats --kl -o a.stats.h5 "$T"
    for o in "-o x.score.h5" --reverse "-k 3" "-f $PLAIN"; do
        run -2 --separate-stderr dk-kl $o a.stats.h5
        failed dk-kl "a.stats.h5 has sums"
    done
    run -1 --separate-stderr dk-kl -m "$G" -f "$PLAIN" a.stats.h5
    failed dk-kl a.stats.h5
    run -2 --separate-stderr dk-kl a.act.h5
    failed dk-kl "name the base model"
    [ "$(ls | tr '\n' ' ')" = "a.act.h5 a.stats.h5 " ]
}

# lengths N...: a token stream of documents of these lengths
lengths() {
    for n; do jq -nc --argjson n "$n" '{ids: [range($n) | . * 7 % 300 + 5]}'; done | stream
}

@test "documents of no token and of one: rows and statistics" {
    lengths 5 0 3 1 > texts
    for s in "0 24" "2 24"; do
        extract --skip-first ${s% *} --what base,ft,diff --store f32 -o a.act.h5 - < texts
        extract --skip-first ${s% *} --what base,ft,diff --kind stats --replicates 3 -o a.stats.h5 - < texts
        # a text without a token stays a document, as one does that loses all
        [ "$(dk-values a.act.h5 /docs/offset | tr '\n' ' ')" = "$([ "${s% *}" = 0 ] && echo '0 5 5 8 9 ' || echo '0 3 3 4 4 ')" ]
        [ "$(dk-values a.act.h5 /docs/id | tr '\n' ' ')" = "0 1 2 3 " ]
        for f in act stats; do dk-mean a.$f.h5 > mean.$f; done
        cmp <(jq -c 'del(.lo, .hi, .p_any)' mean.act) <(jq -c 'del(.lo, .hi, .p_any)' mean.stats)
        [ "$(grep -c p_any mean.stats)" -ge 2 ]
        for f in .lo .hi .p_any; do paste <(jq "$f // 9" mean.act) <(jq "$f // 9" mean.stats) | near 1e-6; done
        # measured are documents of two and more; means are of all rows here, of these there
        for f in act stats; do dk-norms a.$f.h5 | jq -c 'select(.metric != "mean_diff")' > norms.$f; done
        cmp <(jq -c '[.metric, .lane, .docs, .total_tokens_processed]' norms.act) <(jq -c '[.metric, .lane, .docs, .total_tokens_processed]' norms.stats)
        paste <(jq .value norms.act) <(jq .value norms.stats) | near 1e-6
        [ "$(dk-norms a.stats.h5 | jq -c 'select(.name == "mean_all") | .count')" = "$(dk-info --json a.act.h5 | jq .rows)" ]
    done
    lengths 1 1 > texts
    extract --kind stats -o a.stats.h5 - < texts
    run -1 --separate-stderr dk-norms a.stats.h5
    failed dk-norms "no document has more than one token"
    lengths 0 > texts
    run -1 --separate-stderr extract --kind stats -o b.stats.h5 - < texts
    failed dk-extract "no tokens"
    [ ! -e b.stats.h5 ]
}

@test "activations that are not finite: no statistics, and where" {
    late
    run -1 --separate-stderr dk-extract --dtype f32 -m "$G" -f late --layers 0,1 --kind stats -o x.stats.h5 "$T"
    failed dk-extract "x.stats.h5: L01/resid_post/diff, document 0, position 0: activations are NaN"
    [ ! -e x.stats.h5 ]
    dk-extract --dtype f32 -m "$G" -f late --layers 0 --kind stats -o x.stats.h5 "$T"
    run -1 --separate-stderr dk-extract --dtype f32 -m "$G" -f late --layers 0 --kind stats --kl -o y.stats.h5 "$T"
    failed dk-extract "y.stats.h5: "
    [ ! -e y.stats.h5 ]
}

@test "in parts: those that are there are not made again, and the whole is the same" {
    dk-tokenize -m "$G" -n 40 --max-tokens 6 -o t.tok.h5 "$ROOT/data/text/general-a.jsonl"
    extract -o a.act.h5 t.tok.h5
    for i in 1 3; do extract --shard $i/4 -o out/x-0000$i-of-00004.act.h5 t.tok.h5; done
    cp out/x-00001-of-00004.act.h5 kept
    # one of another run, one that was cut
    extract --layers 1 --shard 2/4 -o out/x-00002-of-00004.act.h5 t.tok.h5
    head -c 4000 kept > out/x-00003-of-00004.act.h5
    run --separate-stderr extract -v --shards 4 -o out/x.act.h5 t.tok.h5
    [ "$status" = 0 ]
    [ "$(grep -c 'is there' <<< "$stderr")" = 1 ]
    [[ "$stderr" == *"out/x-00001-of-00004.act.h5 is there"* ]]
    cmp a.act.h5 out/x.act.h5
    [ "$(ls out)" = x.act.h5 ]
    run --separate-stderr extract -v --shards 4 -o out/x.act.h5 t.tok.h5
    [[ "$stderr" == *"out/x.act.h5 is there"* ]]
    [[ "$stderr" != *tokens/s* ]]
    # killed on the way: what was done is kept
    extract --kind stats -o a.stats.h5 t.tok.h5
    extract --kind stats --shard 0/3 -o out/y-00000-of-00003.stats.h5 t.tok.h5
    touch out/y-00001-of-00003.stats.h5
    extract --kind stats --shards 3 -o out/y.stats.h5 t.tok.h5
    cmp a.stats.h5 out/y.stats.h5
    extract --shards 1 -o out/z.act.h5 t.tok.h5
    cmp a.act.h5 out/z.act.h5
    for o in "-o - --shards 2" "-o x --shards 2 --shard 0/2"; do
        run -2 --separate-stderr extract $o t.tok.h5
        failed dk-extract "--shards"
    done
}

# The writer halts in its third file: two parts are there, of the third a beginning.
@test "in parts: killed on the way it goes on from the parts that are whole, to the same bytes" {
    cat > halt.c << 'END'
#include <unistd.h>
static int n;
int fsync(int fd) { (void)fd; if (n++ >= 4) for (int i = 0; i < 1000; i++) usleep(50000); return 0; }
END
    gcc -shared -fPIC -o halt.so halt.c
    dk-tokenize -m "$G" -n 40 --max-tokens 6 -o t.tok.h5 "$ROOT/data/text/general-a.jsonl"
    for kind in rows stats; do
        run="dk-extract --dtype f32 -m $G -f $PLAIN --kind $kind --shards $([ $kind = rows ] && echo 5 || echo 3) -o out/x.h5 t.tok.h5"
        LD_PRELOAD=$PWD/halt.so ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 $run 3>&- > /dev/null 2>&1 &
        for ((i = 0; i < 1200; i++)); do
            [ -e out/x-00001-of-0000?.h5 ] && compgen -G 'out/*.tmp' > /dev/null && break
            sleep 0.05
        done
        kill -KILL $!
        wait $! || true
        [ "$(ls out | grep -c '^x-0000[01]-of-0000[35].h5$')" = 2 ]
        [ "$(compgen -G 'out/x-0000?-of-0000?.h5' | wc -l)" = 2 ]
        [ ! -e out/x.h5 ]
        compgen -G 'out/x-00002-of-0000?.h5.*.tmp' > /dev/null
        # what a process writes that is still there is left to it
        touch out/x.h5.$$.tmp
        run --separate-stderr $run -v
        [ "$status" = 0 ]
        [ "$(grep -c 'is there' <<< "$stderr")" = 2 ]
        [ "$(ls out | tr '\n' ' ')" = "x.h5 x.h5.$$.tmp " ]
        extract --kind $kind -o whole.h5 t.tok.h5
        cmp whole.h5 out/x.h5
        rm -r out
    done
}

@test "another layer: the rows and sums of the others are the same to the bit" {
    extract --layers 0 -o one.act.h5 "$T"
    extract --layers 0,1 -o two.act.h5 "$T"
    # the hashes of all chunks of the layer, which are of the values in the file
    for w in base diff; do
        dk-values one.act.h5 /check/acts/L00/resid_post/$w > one
        [ -s one ]
        dk-values two.act.h5 /check/acts/L00/resid_post/$w | cmp one -
    done
    extract --layers 0 --kind stats --gram base,diff -o one.stats.h5 "$T"
    extract --layers 0,1 --kind stats --gram base,diff -o two.stats.h5 "$T"
    for x in sum_exact sumsq_exact gram norm_hist pos_sum_exact; do
        dk-values one.stats.h5 /check/stats/L00/resid_post/diff/$x > one
        [ -s one ]
        dk-values two.stats.h5 /check/stats/L00/resid_post/diff/$x | cmp one -
    done
}

@test "which rows: not the first, only some, none of some" {
    chat='{"messages": [{"role": "user", "content": "How long do I bake?"}, {"role": "assistant", "content": "Half an hour."}]}'
    for i in 1 2 3; do echo "$chat"; done > chat.jsonl
    dk-tokenize -m "$G" -o c.tok.h5 chat.jsonl
    extract --store f32 -o all.act.h5 c.tok.h5
    dk-values c.tok.h5 /rows/flags > flags
    dk-values c.tok.h5 /rows/pos > pos
    pick() { paste flags pos <(values all.act.h5 L00/resid_post/diff) | awk -F '\t' "$1"'{ print $3 }'; }
    bit() { echo "(int(\$1 / $1) % 2)"; }
    check() {
        extract --store f32 "${@:2}" -o x.act.h5 c.tok.h5
        pick "$1" > want
        [ -s want ]
        cmp want <(values x.act.h5 L00/resid_post/diff)
        [ "$(dk-info --json x.act.h5 | jq .docs)" = 3 ]
        extract "${@:2}" --kind stats -o x.stats.h5 c.tok.h5
        [ "$(dk-values x.stats.h5 /stats/L00/resid_post/diff/count)" = "$(wc -l < want)" ]
    }
    check '$2 >= 4' --skip-first 4
    check "$(bit 4)" --only assistant
    check "$(bit 64)" --only user
    # all but the two is the template's
    check "$(bit 8)" --drop user,assistant
    check "!$(bit 8)" --drop template
    check "$(bit 1) || $(bit 4)" --only special,assistant
    check "$(bit 4) && !$(bit 1) && \$2 >= 2" --only assistant --drop special --skip-first 2
    # positions stay those that the model saw
    extract --skip-first 3 --store f32 -o x.act.h5 "$T"
    [ "$(dk-values x.act.h5 /rows/pos | head -n 1)" = 3 ]
    extract --store f32 -o y.act.h5 "$T"
    dk-mean -n 2 x.act.h5 | jq -c 'select(.position) | [.what, .position, .norm]' > got
    dk-mean -n 5 y.act.h5 | jq -c 'select(.position) | [.what, .position, .norm]' | grep -E ',[34],' | cmp - got
    extract --skip-first 3 --kind stats -o x.stats.h5 "$T"
    dk-mean -n 2 x.stats.h5 | jq -c 'select(.position) | [.what, .position]' | cmp - <(jq -c .[:2] got)
    for o in --only=oops --drop=system --skip-first=-1; do
        run -2 --separate-stderr extract $o -o z.act.h5 "$T"
        failed dk-extract
    done
    run -1 --separate-stderr extract --skip-first 40 -o z.act.h5 "$T"
    failed dk-extract "holds no tokens that are to be kept"
}

@test "a budget of tokens: to the end of a document, or looked at shard by shard as the toolkit does" {
    rows() { dk-info --json "$1" | jq -c '[.docs, .rows]'; }
    for b in "80 [2,80]" "81 [3,120]" "1 [1,40]" "1000 [6,240]"; do
        extract --budget ${b% *} -o x.act.h5 "$T"
        [ "$(rows x.act.h5)" = "${b#* }" ]
    done
    extract --budget 70 --skip-first 5 -o x.act.h5 "$T"
    [ "$(rows x.act.h5)" = "[2,70]" ]
    extract --budget 80 --limit-rule shard --limit-batch 2 -o x.act.h5 "$T"
    [ "$(rows x.act.h5)" = "[6,240]" ]
}

@test "nulls beside it, under their own names" {
    extract -n null="$PATTERN" -n same="$PLAIN" --what base,ft,diff --store f32 -o x.act.h5 "$T"
    [ "$(dk-info --json x.act.h5 | jq -r .attributes.lanes)" = base,ft,null,same ]
    cmp <(values x.act.h5 L00/resid_post/diff) <(values x.act.h5 L00/resid_post/diff.same)
    cmp <(values x.act.h5 L00/resid_post/ft) <(values x.act.h5 L00/resid_post/same)
    ! cmp -s <(values x.act.h5 L00/resid_post/diff) <(values x.act.h5 L00/resid_post/diff.null)
    dk-extract --dtype f32 -m "$G" -f "$PATTERN" --store f32 -o y.act.h5 "$T"
    cmp <(values y.act.h5 L00/resid_post/diff) <(values x.act.h5 L00/resid_post/diff.null)
}

@test "through a pipe, and the same bytes for any number of threads and any batch" {
    extract --layers 0,1 -n null="$PATTERN" -t 1 -o a.act.h5 "$T"
    for o in "-t 2" "--batch-tokens 7" "--batch-tokens 1024 -t 2" "-t 2 --batch-tokens 100"; do
        extract --layers 0,1 -n null="$PATTERN" $o -o b.act.h5 "$T"
        cmp a.act.h5 b.act.h5
    done
    dk-info --check a.act.h5
    dk-tokenize -m "$G" -n 6 --max-tokens 40 -o - "$ROOT/data/text/general-a.jsonl" |
        extract --layers 0,1 -n null="$PATTERN" -o b.act.h5
    [ "$(dk-info --json b.act.h5 | jq .content_id)" = "$(dk-info --json a.act.h5 | jq .content_id)" ]
}

# An adapter whose last block becomes infinite.
late() {
    local header start at
    adapter late
    header=$(jq -c . <<< "$(head -c $((8 + $(od -An -tu8 -N8 late/adapter_model.safetensors))) late/adapter_model.safetensors | tail -c +9)")
    start=$((8 + $(od -An -tu8 -N8 late/adapter_model.safetensors)))
    at=$(jq '[to_entries[] | select(.key | test("layers.1.mlp.down_proj.lora_B")) | .value.data_offsets[0]][0]' <<< "$header")
    for i in $(seq 0 99); do printf '\177\177'; done |
        dd of=late/adapter_model.safetensors bs=1 seek=$((start + at)) conv=notrunc status=none
}

@test "what lies behind the last layer does not matter" {
    late
    dk-extract --dtype f32 -m "$G" -f late --layers 0 -o x.act.h5 "$T"
    run -1 --separate-stderr dk-extract --dtype f32 -m "$G" -f late --layers 1 --store f16 -o y.act.h5 "$T"
    failed dk-extract "row 0"
    [ ! -e y.act.h5 ]
}

@test "limits: documents, tokens" {
    rows() { dk-info --json "$1" | jq -c '[.docs, .rows]'; }
    extract -o a.act.h5 - < "$IDS"
    [ "$(rows a.act.h5)" = "[3,24]" ]
    extract --max-tokens 5 -o a.act.h5 - < "$IDS"
    [ "$(rows a.act.h5)" = "[3,11]" ]
    extract --max-samples 2 --max-tokens 7 -o b.act.h5 "$T"
    [ "$(rows b.act.h5)" = "[2,14]" ]
    extract -o c.act.h5 "$T"
    cmp <(values b.act.h5 L00/resid_post/base) <(values c.act.h5 L00/resid_post/base | sed -n '1,7p;41,47p')
}

@test "the file says what it is: models, lineage" {
    extract -o x.act.h5 "$T"
    dk-info --json x.act.h5 > i
    [ "$(jq -r '.kind + " " + .writer' i)" = "dk-activations dk-extract $(dk-extract --version | awk 'NR == 1 { print $2 }') algo 3" ]
    [ "$(jq -r '[.inputs[].role] | sort | join(" ")' i)" = "base ft tokens" ]
    [ "$(jq -c '.objects[] | select(.path == "/models/ft") | .attributes | [.kind, .adapter_rank, .adapter_scale]' i)" = '["lora",4,2]' ]
}

@test "bad input: models, adapters, tokens" {
    head -c 60000 "$G" > cut.gguf
    run -1 --separate-stderr dk-extract -m cut.gguf -f "$PLAIN" -o x.act.h5 "$T"
    failed dk-extract cut.gguf
    adapter gone && rm gone/adapter_model.safetensors
    run -1 --separate-stderr dk-extract -m "$G" -f gone -o x.act.h5 "$T"
    failed dk-extract gone/adapter_model.safetensors
    head -c 3000 "$T" > cut.tok.h5
    run -1 --separate-stderr extract -o x.act.h5 cut.tok.h5
    failed dk-extract cut.tok.h5
    stream < "$MINI/ids.jsonl" | head -n 3 > cut.stream
    run -1 --separate-stderr extract -o x.act.h5 - < cut.stream
    failed dk-extract
    stream 512 "$(printf '%064d' 7)" < "$MINI/ids.jsonl" > other
    run -1 --separate-stderr extract -o x.act.h5 - < other
    failed dk-extract "another tokenizer"
    [ ! -e x.act.h5 ]
}

@test "output: unwritable, full, an old one kept; signals" {
    touch file
    run -1 --separate-stderr extract -o file/x.act.h5 gone.tok.h5
    failed dk-extract "cannot write file/x.act.h5"
    rm file
    echo old > x.act.h5
    run -1 --separate-stderr bash -c 'ulimit -f 2; exec "$@" 2>&1 | cat >&2; exit ${PIPESTATUS[0]}' - \
        dk-extract -m "$G" -f "$PLAIN" -o x.act.h5 "$T"
    failed dk-extract "cannot write x.act.h5"
    [ "$(cat x.act.h5)" = old ]
    [ "$(ls)" = x.act.h5 ]
    for s in INT TERM; do
        killed $s dk-extract -m "$G" -f "$PLAIN" -o y.act.h5 "$T"
        [ "$status" = $((128 + $(kill -l $s))) ]
        [ "$(ls)" = x.act.h5 ]
    done
}

# The adapter at a thousandth: in bf16 two lanes subtracted are rounding alone.
@test "--arith diff: a small difference in bf16 has the digits that subtracting two lanes loses" {
    cp -r "$PLAIN" small
    jq '.lora_alpha *= 0.001' "$PLAIN/adapter_config.json" > small/adapter_config.json
    distance() {
        paste <(values "$1" L01/resid_post/diff | tr ' ' '\n') <(values want.act.h5 L01/resid_post/diff | tr ' ' '\n') |
            awk 'NF == 2 { e += ($1 - $2) ^ 2; w += $2 ^ 2 } END { printf "%d\n", 1000 * sqrt(e / w) }'
    }
    for how in "f32 diff want" "bf16 diff near" "bf16 plain far"; do
        read -r dtype arith name <<< "$how"
        dk-extract -m "$G" -f small --dtype "$dtype" --arith "$arith" -l 1 --what base,ft,diff --store f32 \
            -o "$name.act.h5" "$T"
    done
    [ "$(distance near.act.h5)" -le 15 ]
    [ "$(distance far.act.h5)" -ge 300 ]
    # The finetune itself is still base and difference added up.
    paste <(values near.act.h5 L01/resid_post/base | tr ' ' '\n') <(values near.act.h5 L01/resid_post/diff | tr ' ' '\n') \
        <(values near.act.h5 L01/resid_post/ft | tr ' ' '\n') |
        awk 'NF == 3 { d = $1 + $2 - $3; if (d < 0) d = -d; if (d > 1e-5 * (1 + ($3 < 0 ? -$3 : $3))) exit 1; n++ }
             END { exit n < 100 }'
}
