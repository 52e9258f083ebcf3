load ../helper/pair
load ../helper/page

# Results of activation_analysis and pca on the miniature, with a null; one data
# set has hostile texts, and one of more tokens than are shown at first.
EVIL='<script>alert(1)</script></i> " onmouseover="x" &lt; '$'\xe2\x80\xae''rtl'
setup_file_more() {
    local s
    mkdir -p results/activation_analysis results/pca null
    cp "$PLAIN/adapter_config.json" null
    dk-fixture edit "$PLAIN/adapter_model.safetensors" null/adapter_model.safetensors scale lora 0.5
    jq -nc --arg evil "$EVIL" 'range(6) | {text: "\(.) \($evil) 你好 line one\nline two and then a good many more words so that not all of them are seen at first, as it should be, and again some more of them than would fit"}' > own.jsonl
    dk-tokenize -m "$G" -n 6 --max-tokens 150 -o own.tok.h5 own.jsonl
    for s in own texts; do
        dk-extract --dtype f32 -m "$G" -f "$PLAIN" -n null_a=null --layers 0,1 --what base,ft,diff --store f32 -o $s.act.h5 $s.tok.h5
        A=results/activation_analysis
        dk-norms -n 2 -m "$G" -o $A/$s.score.h5 --means $s.dir.h5 --table $A/$s.jsonl $s.act.h5
        dk-lens --dtype f32 -m "$G" -k 12 -o $A/$s.lens.jsonl $s.dir.h5
        dk-examples -m "$G" -k 5 --score 'norm_diff/*/ft,cos_dist/*/ft,norm/*/base,norm/*/ft' -o $A/$s.examples.jsonl $A/$s.score.h5
    done
    P=results/pca
    dk-pca -o $P/components.dir.h5 --table $P/components.jsonl own.act.h5 texts.act.h5
    dk-pca --what diff.null_a -o null.dir.h5 --table $P/components.null_a.jsonl own.act.h5 texts.act.h5
    dk-lens --dtype f32 -m "$G" --first 10 -k 12 -o $P/components.lens.jsonl $P/components.dir.h5
    for s in own texts; do
        dk-encode -d $P/components.dir.h5 --first 10 -o $P/$s.score.h5 --table $P/$s.proj.jsonl $s.act.h5
        dk-examples -m "$G" -k 4 --by extreme --side both --score 'proj/*/ft' -o $P/$s.examples.jsonl $P/$s.score.h5
    done
    printf 'Who bakes?\nThe cat\n' > p.txt
    dk-generate --dtype f32 -m "$G" -f "$PLAIN" --format text --prompts p.txt --lines --max-new-tokens 6 --steer $P/components.dir.h5 \
        --steer-first 2 --strengths=-1,1 --scales $P/own.proj.jsonl,$P/texts.proj.jsonl -o $P/steering.short.jsonl
    jq -nc --arg m "$G" '{"organism.name": "cake", "model.name": "mini", "dtype": "f32", "model.path": $m}' > results/pair.json
    chmod -R a-w results
}
setup_more() {
    cp -r "$BATS_FILE_TMPDIR/results" . && chmod -R u+w results
    R=results
}
page() { dk-report "$@" $R > /dev/null; }
# section ID: its text
section() { LC_ALL=C awk -v RS='<section id="' -v id="$1" 'index($0, id "\"") == 1 { sub(/<\/section>.*/, ""); print }' $R/index.html; }

@test "sections of norms and components: well-formed, with plots, texts and tokens" {
    page
    wellformed $R/index.html
    [ "$(section activations | grep -o '<svg class="plot"' | wc -l)" = 40 ]      # 2 sets, 2 layers, 4 histograms in two views and 2 curves each
    [ "$(section components | grep -o '<svg class="plot"' | wc -l)" = 4 ]
    [ "$(section activations | grep -o '<figure class="text">' | wc -l)" = $((2 * 2 * 6 * 3)) ]
    [ "$(section components | grep -o '<figure class="text">' | wc -l)" = $((2 * 10 * 2 * 2 * 2)) ]
    for id in activations components; do grep -q "href=\"#$id\"" $R/index.html; done
    run ! grep -aqP '[\x00-\x09\x0b-\x1f\x7f]|\xe2\x80[\xa8-\xae]' $R/index.html
    grep -qF '[U+202E]' $R/index.html
    section activations | grep -q 'whole text'
    page
    cp $R/index.html once
    page
    cmp once $R/index.html
}

@test "the figures of the table are those of the results, the null's beside them" {
    page
    section activations | plain > t
    for lane in ft null_a; do
        jq -r --arg l $lane 'select(.metric == "norm_diff" and .layer == 1 and .lane == $l) | .value' $R/activation_analysis/texts.jsonl | xargs printf '%.4g\n' > v
        grep -qF "$(cat v)" t
    done
    section components | plain > t
    jq -r 'select(.layer == 1 and .component == 0) | .ratio * 100' $R/pca/components.jsonl | xargs printf '%.1f%%\n' > v
    grep -qF "$(cat v)" t
    n=$(jq -s '[.[] | select(.layer == 1 and .cumulative < 0.9)] | length + 1' $R/pca/components.jsonl)
    m=$(jq -s '[.[] | select(.layer == 1 and .cumulative < 0.9)] | length + 1' $R/pca/components.null_a.jsonl)
    grep -qF "cake: 90% of the variance in $n of" t
    jq -rs '[.[] | select(.layer == 1)] | [0, 9] as $at | $at[] as $i | .[$i].cumulative * 100' $R/pca/components.jsonl | xargs printf '%.1f%%\n' | paste -sd' ' > v
    grep -qF "cake $(cat v)" <(section components | sed 's/<[^>]*>/ /g' | tr -s ' \n' ' ')
    grep -qF "null_a: 90% of the variance in $m of" t
}

@test "mean differences: each with its interval and the tokens that it speaks for, a null's in grey" {
    page
    section activations | tr '\n' ' ' | sed 's/.*texts, layer 1//; s/.*<summary>Mean differences//; s/<\/table>.*//' > t
    row='select(.metric == "mean_diff" and .layer == 1 and .lane == "ft")'
    [ "$(grep -o '<td class="chips for"' t | wc -l)" = "$(jq -c "$row" $R/activation_analysis/texts.jsonl | wc -l)" ]
    jq -r "$row | select(.name == \"mean_all\") | .norm, .lo, .hi" $R/activation_analysis/texts.jsonl | xargs printf '%.4g (%.4g to %.4g)' > v
    grep -qF "$(cat v)" t
    # the first eight of the list, grey where the null gives a fifth of the probability or more
    for s in 'true' 'false'; do
        jq -r --argjson s $s 'select(.layer == 1 and .what == "diff" and .name == "mean_all" and .inverse == false and .rank <= 8) |
            select((([.null[].value] | max) >= 0.2 * .value) == $s) | .id' $R/activation_analysis/texts.lens.jsonl | wc -l
    done | paste -sd' ' > n
    sed 's/<tr>/\n/g' t | grep 'all tokens' > first
    [ "$(grep -o '<i [^>]*' first | grep -cE 'class="[^"]*\bx\b')" = "$(cut -d' ' -f1 n)" ]
    [ "$(grep -o '<i ' first | wc -l)" = 8 ]
    # without the lens none
    rm $R/activation_analysis/*.lens.jsonl
    page
    run ! grep -q 'speaks for' <(section activations)
}

@test "histograms: mean, median and number of values beside each, and a view without outliers" {
    page
    section activations | plain | tr '\n' ' ' > t
    for m in norm_diff cos_dist relative; do
        jq -rj --arg m $m 'select(.metric == $m and .layer == 1 and (.lane == "ft" or .lane == "null_a")) |
            .per_token_statistics.mean, " ", .per_token_statistics.median, " ", .total_tokens_processed, " "' $R/activation_analysis/texts.jsonl > v
        read -r a b n c d k < v || true
        grep -qF "$(printf 'cake %.4g and %.4g (n = %d), null_a %.4g and %.4g (n = %d).' $a $b $n $c $d $k)" t
    done
    # of each lane a mark for either
    section activations | tr '\n' ' ' | sed 's/.*texts, layer 1//; s/<\/svg>.*//' > svg
    [ "$(grep -o 'class="mark ft' svg | wc -l)" = 2 ] && [ "$(grep -o 'class="mark n1 median' svg | wc -l)" = 1 ]
    # what is left out lies beyond the fences of all lanes
    for l in ft null_a; do dk-values $R/activation_analysis/texts.score.h5 /scores/norm_diff/L01/resid_post/$l | grep -v nan > $l; done
    jq -r 'select(.metric == "norm_diff" and .layer == 1 and .lane != "base") | .per_token_statistics |
        [.percentile_25 - 1.5 * (.percentile_75 - .percentile_25), .percentile_75 + 1.5 * (.percentile_75 - .percentile_25), .min, .max] | @tsv' \
        $R/activation_analysis/texts.jsonl | awk '{ l = $1 > $3 ? $1 : $3; h = $2 < $4 ? $2 : $4; lo = NR == 1 || l < lo ? l : lo; hi = NR == 1 || h > hi ? h : hi } END { print lo, hi }' > fences
    for l in ft null_a; do awk 'NR == FNR { lo = $1; hi = $2; next } { n += $1 < lo * (1 - 1e-6) || $1 > hi * (1 + 1e-6) } END { print n + 0 }' fences $l; done | paste -sd' ' > out
    read -r a b < out
    grep -qF "left out: cake $a of $(wc -l < ft), null_a $b of $(wc -l < null_a)." t
}

@test "a text's colours: its values in parts of the largest, blue below zero" {
    page
    # the farthest token of a list has the deepest colour; of the negative end in blue
    section components | tr '\n' ' ' | sed 's/.*<h4>pc_0, texts: the negative end<\/h4>//; s/<\/figure>.*//' > end     # of the last layer shown, 0
    grep -qE 'class="f9 c"[^>]*data-t="[^"]*-[0-9.]+"' end
    v=$(jq -r 'select(.score == "proj/L00/resid_post/pc_0/ft" and .side == "bottom" and .rank == 1) | .value' $R/pca/texts.examples.jsonl | xargs printf '%.4g\n')
    [ "$(grep -oE 'class="f9 c"[^>]*data-t="[^"]*"' end | head -n 1 | sed 's/.*&#10;\([^"]*\)"/\1/')" = "$v" ]
    # every token of the text stands there
    ids=$(jq -r 'select(.score == "proj/L00/resid_post/pc_0/ft" and .side == "bottom" and .rank == 1) | .ids | length' $R/pca/texts.examples.jsonl)
    [ "$(grep -o '<i class' end | wc -l)" = "$ids" ]
}

@test "steered answers: of each layer, base and finetune side by side, hostile ones too" {
    jq -c --arg e "$EVIL" 'if .direction == "pc_1" and .lane == "ft" then .text = $e elif .direction == "pc_0" and .lane == "base" then .text = "base says so" else . end' $R/pca/steering.short.jsonl > x && mv x $R/pca/steering.short.jsonl
    page
    wellformed $R/index.html
    section components > s
    [ "$(grep -o '<table class="steered"' s | wc -l)" = $((2 * 2)) ]
    [ "$(grep -o '<td class="answered"' s | wc -l)" = $((2 * 2 * 5 * 2)) ]
    plain < s > t
    grep -qF 'pc_0 -1, all_tokens' t
    [ "$(grep -o 'base says so' t | wc -l)" = 8 ]
    # of the whole grid where there is no other; the first prompts of many
    jq -c '.prompt += " x"' $R/pca/steering.short.jsonl > $R/pca/steering.full.jsonl
    page
    run ! grep -q '<h4>The cat x</h4>' $R/index.html
    rm $R/pca/steering.short.jsonl
    page
    grep -q '<h4>The cat x</h4>' $R/index.html
}

@test "summary.json: every measure of every lane; components with the null's; summary.txt in two lines" {
    run -0 dk-report $R
    [[ "$output" == *"how far its activations are from the base's (/ the null's)"* ]]
    [[ "$output" == *"the directions along which it moves them (/ the null's)"* ]]
    a=$(jq -r 'select(.metric == "norm_diff" and .layer == 1 and .lane == "ft") | .value' $R/activation_analysis/own.jsonl | xargs printf '%.3g')
    b=$(jq -r 'select(.metric == "norm_diff" and .layer == 1 and .lane == "null_a") | .value' $R/activation_analysis/own.jsonl | xargs printf '%.3g')
    [[ "$output" == *"own, layer 1: difference $a/$b of rows "* ]]
    j=$R/summary.json
    [ "$(jq '.activation_analysis | length' $j)" = $((2 * 2 * (1 + 4 + 4))) ]
    for l in base ft null_a; do
        [ "$(jq --arg l $l '.activation_analysis[] | select(.set == "texts" and .layer == 1 and .metric == "norm" and .lane == $l) | .value' $j)" = \
          "$(jq --arg l $l 'select(.layer == 1 and .metric == "norm" and .lane == $l) | .value' $R/activation_analysis/texts.jsonl)" ]
    done
    jq -e '.pca | length == 2 and all(.[]; .null.null_a.components_for_90_percent > 0 and (.first | length) == 10 and
        all(.first[]; .rms > 0 and .null_rms > 0 and .null_lane == "null_a" and (.tokens | length) == 10 and (.inverse | length) == 10))' $j
    # every number of the tables, and a null's beside the finetune's
    row='select(.layer == 1 and .metric == "norm_diff" and .lane == "ft")'
    [ "$(jq -c ".activation_analysis[] | select(.set == \"own\") | $row | del(.set, .null)" $j)" = "$(jq -c "$row | {lane} + del(.lane)" $R/activation_analysis/own.jsonl)" ]
    jq -e ".activation_analysis[] | select(.set == \"own\") | $row | .null.null_a.ratio * .null.null_a.value == .value or (.null.null_a.ratio * .null.null_a.value / .value - 1 | fabs) < 1e-12" $j
    jq -e '.mean_differences | length == 2 * ([.[] | select(.lane == "ft")] | length) and
        all(.[] | select(.lane == "ft"); .norm > 0 and .count > 0 and (.null.null_a.ratio * .null.null_a.norm / .norm - 1 | fabs) < 1e-12)' $j
    jq -e '.pca | all(.[]; .components_for_95_percent >= .components_for_90_percent and .cumulative_10 <= .cumulative_50 and
        (.total_variance_explained - 1 | fabs) < 1e-9 and all(.first[]; (.projections | length) == 4 and all(.projections[]; .docs > 0)))' $j
    c=$(jq -s '[.[] | select(.layer == 1)][9].cumulative' $R/pca/components.jsonl)
    [ "$(jq '.pca[] | select(.layer == 1) | .cumulative_10' $j)" = "$c" ]
    # the root mean square of both data sets together
    { dk-values $R/pca/own.score.h5 /scores/proj/L01/resid_post/pc_3/null_a; dk-values $R/pca/texts.score.h5 /scores/proj/L01/resid_post/pc_3/null_a; } |
        awk '{ s += $1 * $1 } END { printf "%.9g\n", sqrt(s / NR) }' | paste - <(jq '.pca[1].first[3].null_rms' $j) | near 1e-5
}

@test "one without the other, without scores, tables of lenses, nulls, values or a tokenizer" {
    rm -r $R/pca
    page
    wellformed $R/index.html
    run ! grep -q 'id="components"' $R/index.html
    cp -r "$BATS_FILE_TMPDIR/results/pca" $R/ && chmod -R u+w $R
    rm -r $R/activation_analysis $R/pca/components.lens.jsonl $R/pca/components.null_a.jsonl $R/pca/own.*
    page
    wellformed $R/index.html
    run ! grep -q 'id="activations"' $R/index.html
    rm $R/pca/*.score.h5
    jq -c 'del(.values)' $R/pca/texts.examples.jsonl > x && mv x $R/pca/texts.examples.jsonl
    page
    wellformed $R/index.html
    section components | grep -q '<p class="snippet"'
    [ "$(jq -c '.pca[0].null' $R/summary.json)" = '{}' ]
    jq -c '."model.path" = "gone"' $R/pair.json > x && mv x $R/pair.json
    page
    wellformed $R/index.html
}

@test "rows that are not what they should be are passed over; a damaged table is an error" {
    echo '{"metric": 3, "layer": "x", "lane": null, "site": []}' >> $R/activation_analysis/own.jsonl
    echo '{"layer": 99999999999, "component": -1, "ratio": "a"}' >> $R/pca/components.jsonl
    echo '{"rank": 1, "score": "proj/L01/resid_post/pc_0/ft", "by": "extreme", "side": "top", "ids": [99999999, -3, "x"], "values": [1e300, null, {}]}' >> $R/pca/own.examples.jsonl
    echo '{"is_baseline": 1, "prompt": [], "layer": {}, "lane": "base", "text": 3}' >> $R/pca/steering.short.jsonl
    page
    wellformed $R/index.html
    for f in activation_analysis/own.jsonl activation_analysis/own.examples.jsonl pca/components.jsonl pca/components.null_a.jsonl \
             pca/own.proj.jsonl pca/own.examples.jsonl pca/components.lens.jsonl \
             pca/steering.short.jsonl; do
        cp $R/$f keep
        echo '{"cut' >> $R/$f
        run -1 --separate-stderr dk-report $R
        failed dk-report "${f##*/}"
        mv keep $R/$f
    done
}

@test "--method: what one left, in its folder, and nothing of the others" {
    run -0 dk-report --method pca $R
    [[ "$output" == *"the directions along which it moves them"* ]]
    [[ "$output" != *"how far its activations"* ]]
    [ ! -e $R/summary.json ] && [ ! -e $R/index.html ]
    wellformed $R/pca/index.html
    grep -q 'id="components"' $R/pca/index.html
    run ! grep -q 'id="activations"' $R/pca/index.html
    grep -q '<td>pca/components.jsonl</td>' $R/pca/index.html
    run ! grep -q '<td>activation_analysis/' $R/pca/index.html
    jq -e '.method == "pca" and (.pca | length) == 2 and (has("kl") or has("activation_analysis") or has("tokens") or has("answers") | not)' $R/pca/summary.json
    dk-report --method activation_analysis $R > /dev/null
    jq -e '.method == "activation_analysis" and has("mean_differences") and (has("pca") | not)' $R/activation_analysis/summary.json
    # the rows are those of the whole summary
    dk-report $R > /dev/null
    cmp <(jq .pca $R/summary.json) <(jq .pca $R/pca/summary.json)
    run -2 dk-report --method nothing $R
    # of one that has not run an empty list
    run -0 dk-report --method kl --html kl.html --no-file $R
    [ ! -e kl.html ] && [ ! -e $R/kl ]
    dk-report --method kl --html kl.html $R > /dev/null
    [ "$(jq -c .kl $R/kl/summary.json)" = '[]' ]
    [ -s kl.html ] && [ ! -e $R/kl/index.html ]
}
