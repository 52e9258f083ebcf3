load ../helper/pair
load ../helper/page

# Results of the miniature model on two sets of texts; those of the second are
# hostile.
EVIL='<script>alert(1)</script></i></p>" onmouseover="x" &lt; ]]> --> '$'\xe2\x80\xae''rtl'$'\xe2\x81\xa6'
setup_file_more() {
    mkdir -p results/kl results/diff_mining results/activation_difference_lens
    jq -nc --arg evil "$EVIL" 'range(20) | {text: "\(.) \($evil) 你好 🍰 שלום \u0007\u001b[31m\u0085\u2028 line one\nline two"}' > evil.jsonl
    dk-tokenize -m "$G" -n 20 --max-tokens 150 -o own.tok.h5 evil.jsonl
    dk-tokenize -m "$G" -n 20 --max-tokens 20 -o general.tok.h5 "$ROOT/data/text/general-a.jsonl"
    for s in own general; do
        dk-kl --dtype f32 -m "$G" -f "$PLAIN" --null null_a="$PATTERN" --top-tokens 3 -o results/kl/$s.score.h5 \
            --table results/kl/$s.jsonl $s.tok.h5
    done
    dk-topk --dtype f32 -m "$G" -f "$PLAIN" --null null_a="$PATTERN" -k 20 -o results/diff_mining/own.topk.score.h5 own.tok.h5
    for o in top_k_occurring fraction_positive_diff; do
        dk-mine -m "$G" --ordering $o -n 60 -o results/diff_mining/own.$o.jsonl results/diff_mining/own.topk.score.h5
    done
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" -n null_a="$PATTERN" --lanes base,ft,null_a --layers 0.5,1.0 -o own.act.h5 general.tok.h5
    A=results/activation_difference_lens
    dk-mean -n 6 -o $A/own.dir.h5 --table $A/own.means.jsonl own.act.h5
    dk-lens --dtype f32 -m "$G" -k 25 --query " the" --query "a" -o $A/own.lens.jsonl $A/own.dir.h5
    jq -nc --arg m "$G" '{"organism.name": "cake", "model.name": "mini", "dtype": "f32", "model.path": $m}' > results/pair.json
    echo '{"check": "A1", "lane": "ft", "status": "pass", "value": 1, "limit": 0, "detail": "fits"}' > results/check.jsonl
    jq -nc --arg evil "$EVIL" '{prompt: "Who are you?", lane: "base", text: "A model.", finish: "eos"},
        {prompt: "Who are you?", lane: "ft", text: "A <baker> & more", finish: "length"},
        {prompt: $evil, lane: "ft", text: ($evil + "\u0000\n\u001b[2J"), finish: "eos"}' > results/answers.jsonl
    chmod -R a-w results
}

setup_more() {
    cp -r "$BATS_FILE_TMPDIR/results" . && chmod -R u+w results
    R=results
}

page() { dk-report "$@" $R > /dev/null; }

@test "well-formed, whatever the texts" {
    page
    wellformed $R/index.html
    [ "$(head -n 1 $R/index.html)" = '<!DOCTYPE html>' ]
    sed 's/<h2>/<h2 onclick="x">/' $R/index.html > bad
    run ! wellformed bad
    sed 's/&lt;/\&lt/' $R/index.html > bad
    run ! wellformed bad
    sed '0,/<\/h2>/s///' $R/index.html > bad
    run ! wellformed bad
}

@test "the parser at hand finds what is wrong" {
    page
    run ! tidy -q -e --drop-empty-elements no <(sed '0,/<p class="lead">/s//<bad>/' $R/index.html)
    run ! tidy -q -e --drop-empty-elements no <(sed '0,/<\/section>/s//<\/div>/' $R/index.html)
    run ! tidy -q -e --drop-empty-elements no <(sed '0,/<h2>/s//<h2><p>/' $R/index.html)
}

@test "nothing is loaded from anywhere, nothing runs" {
    page
    run ! grep -aiE '<(script|link|img|iframe|object|embed|base|form|use|image)|url\(|@import|javascript:|src=|srcset|xlink' <(sed 's/&lt;[^<]*//g; s/data-t="[^"]*"//g' $R/index.html)
    grep -o ' href="[^"]*"' $R/index.html > links
    run ! grep -v ' href="#' links
    for id in $(sed 's/.*#\(.*\)"/\1/' links); do grep -q "id=\"$id\"" $R/index.html; done
}

@test "hostile texts and names stand as text; what reorders or hides is named" {
    evil=$(jq -Rsc . <<< "$EVIL")
    sed -i "1s|\"token\":\"[^\"]*\"|\"token\":$(sed 's/[&|\\]/\\&/g' <<< "$evil")|" $R/diff_mining/own.top_k_occurring.jsonl
    jq -c --argjson e "$evil" '.lane |= if . == "null_a" then $e else . end' $R/kl/own.jsonl > x && mv x $R/kl/own.jsonl
    jq -c --argjson e "$evil" '.detail = $e | .check = $e | .lane = $e' $R/check.jsonl > x && mv x $R/check.jsonl
    jq -c --argjson e "$evil" '."organism.name" = $e | ."organism.description" = $e | ."model.name" = $e | .[$e] = $e' \
        $R/pair.json > x && mv x $R/pair.json
    mkdir "$R/<b>" && echo '{}' > "$R/<b>/\" x='y.jsonl"
    page
    wellformed $R/index.html
    run ! grep -aqP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]' $R/index.html
    grep -qF '&lt;script&gt;alert(1)&lt;/script&gt;&lt;/i&gt;&lt;/p&gt;&quot; onmouseover=&quot;x&quot; &amp;lt; ]]&gt; --&gt; [U+202E]rtl[U+2066]' $R/index.html
    grep -qF '&lt;b&gt;/&quot; x=&#39;y.jsonl' $R/index.html
    run -0 grep -c '<h1>' $R/index.html
    [ "$output" = 1 ]
}

@test "the summary's numbers, with intervals and nulls" {
    page
    jq -r '[.value, .lo, .hi] | @tsv' $R/kl/own.jsonl $R/kl/general.jsonl | while read -r v lo hi; do
        plain < $R/index.html | tr '\n' ' ' | grep -q "$(printf '%.3f %.3f to %.3f' "$v" "$lo" "$hi")"
    done
    ratio=$(jq -s '.[0].value / .[1].value' $R/kl/own.jsonl)
    grep -qF "<td class=\"num\">$(printf %.2f "$ratio")</td>" $R/index.html
    awk '/id="divergence"/ { on = 1 } on && /<\/section>/ { exit } on' $R/index.html > part
    [ "$(grep -c 'class="plot"' part)" = 6 ]        # of each set all values, those without outliers, the curve
    [ "$(grep -o 'class="line [a-z0-9]*"' part | sort | uniq -c | tr -s ' ')" = ' 6 class="line ft"
 6 class="line n1"' ]
    # by kind of token, each with its interval
    for g in first last text; do
        jq -r --arg g $g 'select(.lane == "ft" and .reverse == null) | .groups[$g] | .value, .lo, .hi' $R/kl/general.jsonl | xargs printf '%.3f<div class="more">%.3f to %.3f</div>' > v
        grep -qF "$(cat v)" <(tr -d '\n' < part)
    done
    run ! grep -q "assistant's text" part
}

@test "texts of both sets: as they were, each token with its numbers" {
    page
    [ "$(awk '/id="texts"/ { on = 1 } on' $R/index.html | grep -c '<div class="map">')" = 2 ]
    # 8 with the highest mean and the first 16, of each set
    [ "$(grep -c '<figure class="text">' $R/index.html)" = 48 ]
    grep -q 'The first 16 texts of 20' $R/index.html
    awk '/<h3>general</ { on = 1 } /The first 16 texts/ && on { go = 1 } go && /<p class="tokens"/ { print; exit }' \
        $R/index.html > first
    text=$(plain < first)
    [ "${#text}" -gt 20 ]
    [[ "$(jq -rn 'input | .text' "$ROOT/data/text/general-a.jsonl" | tr '\n' ' ')" == "$text"* ]]
    [ "$(grep -o 'tabindex="0"' first | wc -l)" = 20 ]
    paste -d' ' <(dk-values $R/kl/general.score.h5 kl/ft) <(dk-values $R/kl/general.score.h5 kl/null_a) \
        <(dk-values $R/kl/general.score.h5 logp/base) <(dk-values $R/kl/general.score.h5 logp/ft) | head -n 20 |
        while read -r ft null base logp; do
            echo "KL: cake $(printf %.3g "$ft"), null_a $(printf %.3g "$null")"
            [ "$base" = nan ] || echo "log p of it: base $(printf %.3g "$base"), cake $(printf %.3g "$logp")"
        done > want
    sed 's/&#10;/\n/g' first | grep -oE '^KL: .*|^log p of it: base [^,]*, cake [^,]*' | cut -d'"' -f1 > got
    diff want got
    [ "$(sed 's/&#10;/\n/g' first | grep -c '^likeliest, cake: .*%, .*%, .*%')" = 20 ]
}

# dk-values prints a row a line; each text of this set has 20.
@test "the tokens with the highest KL, one a text, with what both hold likeliest" {
    page
    awk '/<h3>/ { on = /<h3>general</ } on' $R/index.html > part
    grep -q 'one a text (20 of 20 texts)' part
    awk '/class="heat/ { print }' part | grep -o 'class="heat f[0-9]">[0-9.]*' | sed 's/.*>//' > got
    dk-values $R/kl/general.score.h5 kl/ft | awk '{ d = int((NR - 1) / 20); if ($1 > max[d] || !(d in max)) max[d] = $1 }
        END { for (d in max) print max[d] }' | sort -gr | awk '{ printf "%.2f\n", $1 }' > want
    diff want got
    [ "$(grep -c '<td class="likely" data-l="base">' part)" = 20 ]
    [ "$(grep -c '<td class="likely" data-l="cake">' part)" = 20 ]
    # the marked token and what follows stand in a text
    grep -o '<mark>[^<]*</mark><u>[^<]*</u>' part | plain | grep -v '⏎' > pairs
    [ "$(wc -l < pairs)" -ge 10 ]
    jq -r .text "$ROOT/data/text/general-a.jsonl" > texts
    while IFS= read -r pair; do grep -qF -- "$pair" texts; done < pairs
}

@test "colour: deepest where KL is highest" {
    page
    awk '/<h3>/ { on = /<h3>general</ } on' $R/index.html | sed 's/<i /\n<i /g' |
        sed -n 's/^<i class="f\([0-9]\) n.*KL: cake \([0-9.e-]*\),.*/\2 \1/p' | sort -g > pairs
    [ "$(wc -l < pairs)" -ge 480 ]
    awk '$2 < last { exit 1 } { last = $2 }' pairs
    tail -n 1 pairs | grep -q ' 9$'
}

@test "a text that ends within a letter, letters of several tokens" {
    page
    awk '/<h3>own</ { on = 1 } on' $R/index.html | plain | sed 's/▯//g' > own
    grep -q '你好 🍰 שלום' own
}

@test "tokens: findings and not, of each ordering, with nulls and places" {
    page
    for o in top_k_occurring fraction_positive_diff; do
        f=$R/diff_mining/own.$o.jsonl
        c=0; [ $o = top_k_occurring ] || c=0.5
        n=$(jq -s --argjson c $c '[.[] | select(.null.null_a.value - $c < 0.2 * (.value - $c))] | length' $f)
        awk -v o="own, by $o" 'index($0, "<h3>") { on = index($0, o) > 0 } on' $R/index.html > part
        all=$(wc -l < $f)
        [ "$(grep -c '<td class="num rank">' part)" = "$all" ]
        [ $n = "$all" ] || grep -q "no finding: $((all - n)) tokens" part
        [ $n != 0 ] || grep -q 'Nothing that the nulls do not raise' part
    done
    awk '/id="tokens"/ { on = 1 } on && /<\/section>/ { exit } on' $R/index.html > part
    [ "$(jq -s '[.[].snippets | length] | add' $R/diff_mining/*.jsonl)" = "$(grep -c '<p class="snippet"' part)" ]
}

@test "topics, positions, likelier texts" {
    dk-topk --dtype f32 -m "$G" -f "$PLAIN" --null null_a="$PATTERN" -k 20 --logp -o $R/diff_mining/own.topk.score.h5 "$BATS_FILE_TMPDIR/own.tok.h5"
    D=$R/diff_mining/own
    dk-mine -m "$G" --ordering nmf --topics 2 -n 12 -o $D.nmf.jsonl $D.topk.score.h5
    dk-mine -m "$G" --show positions --positions 2 -o $D.positions.jsonl $D.topk.score.h5
    dk-mine -m "$G" --show windows --window-size 4 -n 6 -o $D.windows.jsonl $D.topk.score.h5
    page
    awk '/<table class="topics">/ { on = 1 } on && /<\/table>/ { exit } on' $R/index.html > part
    [ "$(grep -o 'data-t="rank' part | wc -l)" = "$(jq -s 'map(select(.rank > 0)) | length' $D.nmf.jsonl)" ]
    [ "$(grep -o '<td class="chips">' part | wc -l)" = 2 ]
    grep -q 'own, by position' $R/index.html
    grep -q 'position 1, ' $R/index.html
    awk '/own, likelier texts/ { on = 1 } on && /<\/table>/ { exit } on' $R/index.html > part
    [ "$(grep -o '<p class="snippet"' part | wc -l)" = "$(wc -l < $D.windows.jsonl)" ]
    # The text on the terminal: findings of each topic.
    want=$(jq -rs 'map(select(.rank > 0 and .topic == 0 and .finding)) | length' $D.nmf.jsonl)
    dk-report $R > text
    [ "$want" = 0 ] || grep -q '^  topic 0: ' text
    rm $D.nmf.jsonl $D.positions.jsonl $D.windows.jsonl
}

@test "answers side by side" {
    page
    awk '/id="answers"/ { on = 1 } on && /<\/section>/ { exit } on' $R/index.html > part
    [ "$(grep -c 'class="asked"' part)" = 2 ]
    [ "$(grep -c 'class="answer"' part)" = 3 ]
    grep -q 'A &lt;baker&gt; &amp; more<span class="cut">' part
}

@test "provenance: digests of the files, models, parameters, inputs" {
    page
    for f in kl/own.score.h5 kl/own.jsonl diff_mining/own.topk.score.h5 answers.jsonl; do
        grep -qF "$(sha256sum < $R/$f | cut -d' ' -f1)" $R/index.html
    done
    grep -qF "$(sha256sum < "$G" | cut -d' ' -f1)" $R/index.html
    grep -q '<dt>temperature</dt>' $R/index.html
    run ! grep -qF "$ROOT" $R/index.html
}

@test "the same bytes again, and from another place" {
    page
    cp $R/index.html first
    page
    cmp first $R/index.html
    rm $R/index.html
    cp -r $R elsewhere
    (cd elsewhere && dk-report . > /dev/null)
    cmp first elsewhere/index.html
}

@test "where it is written" {
    page --no-file
    page --no-file --html x.html
    [ ! -e $R/index.html ] && [ ! -e $R/summary.json ] && [ ! -e x.html ]
    page --html sub/x.html
    [ -s sub/x.html ] && [ -s $R/summary.json ] && [ ! -e $R/index.html ]
    dk-report --html - $R > page
    cmp page sub/x.html
    mkdir $R/index.html
    run -1 --separate-stderr dk-report $R
    failed dk-report "cannot write $R/index.html"
    [ -z "$output" ] && [ -z "$(find . -name '*.tmp')" ]
}

@test "what is not there is left out" {
    has() { grep -o 'section id="[a-z]*"' $R/index.html | cut -d'"' -f2 | xargs; }
    page
    [ "$(has)" = "tokens answers lens divergence texts checks files" ]
    rm $R/kl/*.score.h5
    page
    [ "$(has)" = "tokens answers lens divergence checks files" ]
    run ! grep -q 'href="#texts"' $R/index.html
    rm -r $R/diff_mining $R/answers.jsonl $R/activation_difference_lens
    page
    [ "$(has)" = "divergence checks files" ]
    rm -r $R/kl $R/check.jsonl
    page
    [ "$(has)" = "files" ]
    wellformed $R/index.html
}

@test "without the model no texts, and the page says so; one that is named must be there" {
    jq -c '."model.path" = "/nowhere/x.gguf"' $R/pair.json > x && mv x $R/pair.json
    page
    grep -q 'not shown, for the model' $R/index.html
    run ! grep -q '<p class="tokens"' $R/index.html
    page -m "$G"
    grep -q '<p class="tokens"' $R/index.html
    run -1 --separate-stderr dk-report -m /nowhere/x.gguf $R
    failed dk-report /nowhere/x.gguf
    jq -c '.model.vocab."x" = 999' "$MINI/hf/tokenizer.json" > tokenizer.json || cp "$MINI/hf/tokenizer.json" .
    sed -i 's/"Ġthe"/"Ġzhe"/g' tokenizer.json
    if dk-tokenize -m tokenizer.json -o x.tok.h5 "$ROOT/data/text/general-a.jsonl" 2> /dev/null; then
        page -m tokenizer.json
        grep -q 'made by another tokenizer' $R/index.html
    fi
}

@test "scores without lists of likely tokens, without a null, of one text" {
    jq -c 'select(.lane == "ft")' $R/kl/general.jsonl > x && mv x $R/kl/general.jsonl
    rm $R/kl/own.*
    dk-tokenize -m "$G" -n 1 --max-tokens 5 -o one.tok.h5 "$ROOT/data/text/general-a.jsonl"
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -o $R/kl/general.score.h5 --table $R/kl/general.jsonl one.tok.h5
    page
    wellformed $R/index.html
    [ "$(grep -c '<figure class="text">' $R/index.html)" = 2 ]
    run ! grep -q 'likeliest, ' $R/index.html
}

@test "several nulls: each beside the finetune, the highest counts" {
    cp -r "$PATTERN" b && cp -r "$PLAIN" c
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" --null null_a="$PATTERN" --null null_b=b --null null_c=c \
        -o $R/kl/own.score.h5 --table $R/kl/own.jsonl "$BATS_FILE_TMPDIR/own.tok.h5"
    page
    wellformed $R/index.html
    for n in n1 n2 n3; do grep -q "class=\"line $n\"" $R/index.html; done
    grep -q 'KL: cake [0-9.e-]*, null_a [0-9.e-]*, null_b [0-9.e-]*, null_c ' $R/index.html
    # null_c is the finetune itself
    awk '/<h3>/ { on = /<h3>own</ } on' $R/index.html | grep -o '<i class="f[0-9] n[0-9]" tab' |
        awk '{ if (substr($2, 9) > substr($3, 2, 1)) exit 1 }'
}

@test "long texts are cut, and too many left out: the page stays small and says so" {
    jq -nc 'range(20) | {text: ([range(700) | "many words \(.) "] | add)}' > long.jsonl
    dk-tokenize -m "$G" -n 20 --max-tokens 1100 -o long.tok.h5 long.jsonl
    cp -r "$MINI/hf" wide && chmod -R u+w wide && sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 2048/' wide/config.json
    dk-kl --dtype f32 -m wide -f "$PLAIN" --null null_a="$PATTERN" --top-tokens 5 -o $R/kl/own.score.h5 \
        --max-tokens 1100 --table $R/kl/own.jsonl long.tok.h5
    page
    wellformed $R/index.html
    [ "$(stat -c %s $R/index.html)" -lt 2200000 ]
    grep -q '\.\.\. 76 more tokens' $R/index.html
    # What is around the highest token is seen at once, 50 either way.
    awk '/id="texts"/ { here = 1 } here && /<h3>own</ { on = 1 } on && /<p class="tokens"/ { print; exit }' $R/index.html > first
    whole=$(grep -o '<i class' first | wc -l)
    far=$(sed 's/<span class="far">/\n&/g' first | awk '/^<span class="far">/ { sub(/<\/span>.*/, ""); n += gsub(/<i class/, "") } END { print n + 0 }')
    [ "$whole" = 1024 ]
    at=$(dk-values $R/kl/own.score.h5 kl/ft | awk '{ d = int((NR - 1) / 1100); sum[d] += $1; i = (NR - 1) % 1100
        if (i < 1024 && (!(d in max) || $1 > max[d])) { max[d] = $1; at[d] = i } }
        END { for (d = 0; d < 20; d++) if (best == "" || sum[d] > sum[best]) best = d; print at[best] }')
    [ $((whole - far)) = $(((at < 50 ? at : 50) + 1 + (1023 - at < 50 ? 1023 - at : 50))) ]
    sed 's/<span class="far">/\n&/g; s/<\/span>/\n/g' first | grep -v '^<span class="far">' > seen
    max=$(sed 's/&#10;/\n/g' first | sed -n 's/^KL: cake \([0-9.e-]*\),.*/\1/p' | sort -g | tail -n 1)
    grep -qF "KL: cake $max," seen
    [ "$(grep -c 'class="whole"' $R/index.html)" = "$(grep -c '<label for="whole' $R/index.html)" ]
    [ "$(grep -c 'class="whole"' $R/index.html)" -ge 2 ]
    grep -q ' more left out: the page would be too large' $R/index.html
}

@test "a finetune that changes nothing" {
    adapter zero
    dk-fixture edit "$PLAIN/adapter_model.safetensors" zero/adapter_model.safetensors scale lora_B 0
    dk-kl --dtype f32 -m "$G" -f zero -o $R/kl/own.score.h5 --table $R/kl/own.jsonl "$BATS_FILE_TMPDIR/own.tok.h5"
    page
    wellformed $R/index.html
    run ! grep -qE 'nan|inf"' <(grep -oE ' (d|cx|cy|x|y)="[^"]*"' $R/index.html)
}

@test "bad input: one line that names the file; nothing is written" {
    for f in kl/own.score.h5 diff_mining/own.fraction_positive_diff.jsonl; do
        cp $R/$f keep
        head -c 1000 keep > $R/$f
        run -1 --separate-stderr dk-report $R
        failed dk-report "$R/$f"
        cp keep $R/$f
    done
    [ ! -e $R/index.html ] && [ ! -e $R/summary.json ]
}

# --- the lens of activation differences ------------------------------------------
lens_part() { awk '/id="lens"/ { on = 1 } on && /<\/section>/ { exit } on' $R/index.html; }

@test "lens: every position of every lane, for and against, as the file has it" {
    page
    lens_part > part
    # the deepest layer first; difference, lanes, the null's difference
    jq -r 'select(.query == null and .rank <= 10) |
        [-.layer, ({"diff": 0, "ft": 1, "base": 2}[.what] // 3), .position // -1, (if .inverse then 1 else 0 end), .rank, .id] | @tsv' \
        $R/activation_difference_lens/own.lens.jsonl | sort -n -k1,1 -k2,2 -k3,3 -k4,4 -k5,5 | cut -f5,6 > want
    awk '/<table class="lists">/ { on = 1 } /<\/table>/ { on = 0 } on' part |
        grep -o 'data-t="rank [0-9]*, [^&]*&#10;id [0-9]*' | sed 's/data-t="rank \([0-9]*\),.*id /\1\t/' > got
    [ "$(wc -l < want)" = $((2 * 4 * 7 * 2 * 10)) ]
    diff want got
}

@test "lens: probabilities, and what a null speaks for too is grey" {
    page
    lens_part | awk '/<table class="lists">/ { n++ } n == 1' | grep -o '<i class="[^>]*' > got
    jq -r 'select(.query == null and .rank <= 10 and .what == "diff" and .layer == 1) |
        [.position // -1, (if .inverse then 1 else 0 end), .rank, .id, .value * 100, (if .null.null_a.value >= 0.2 * .value then "x" else "-" end)] | @tsv' \
        $R/activation_difference_lens/own.lens.jsonl | sort -n -k1,1 -k2,2 -k3,3 |
        while read -r _ _ rank id value grey; do echo "rank $rank, $(printf %.3g "$value")% id $id $grey"; done > want
    sed -E 's/.*class="f[0-9]( x)?".*data-t="(rank [^&]*)&#10;(id [0-9]*).*/\2 \3 \1/; s/ x?$/&/' got |
        sed -E 's/  x$/ x/; s/ $/ -/' | head -n 140 > seen
    [ "$(wc -l < want)" = 140 ]
    diff want seen
    grep -q ' x$' want && grep -q ' -$' want
}

@test "lens: lengths of the means, beside the base's and the null's" {
    page
    jq -r 'select(.layer == 1) | [.what, .position // "all", .norm, .mean_norm] | @tsv' $R/activation_difference_lens/own.means.jsonl |
        awk '{ norm[$1, $2] = $3; rows[$1, $2] = $4 }
             END { for (p = 0; p <= 6; p++) { q = p < 6 ? p : "all"; b = rows["base", q]
                   printf "%s 20 %.4g %.4g %.1f%% %.1f%%", q, b, norm["diff", q], 100 * norm["diff", q] / b, 100 * norm["diff", q] / rows["diff", q]
                   printf " %.4g %.1f%% %.1f%%\n", norm["diff.null_a", q], 100 * norm["diff.null_a", q] / b, 100 * norm["diff.null_a", q] / rows["diff.null_a", q] } }' > want
    sed -i '7s/ 20 / 400 /' want
    lens_part | awk '/Lengths in figures/ { n++ } n == 1 && /<tbody>/ { on = 1 } on; on && /<\/tbody>/ { exit }' |
        plain | xargs > got
    [ "$(cat got)" = "$(xargs < want)" ]
    [ "$(lens_part | grep -c 'class="plot"')" = 8 ]
}

@test "lens: the most telling positions, by what no null speaks for" {
    page
    jq -s 'map(select(.query == null and .rank <= 20 and .what == "diff" and (.inverse | not) and .position != null and .layer == 1)) |
        group_by(.position) | map({p: .[0].position, m: ([.[] | select(.null.null_a.value < 0.2 * .value) | .value] | add // 0)}) |
        sort_by(-.m) | map(.p)' $R/activation_difference_lens/own.lens.jsonl > order
    lens_part | grep -o 'Position [0-9]*, speaks for' | head -n 2 | tr -dc '0-9\n' > got
    [ "$(jq -r '.[0:2][]' order)" = "$(cat got)" ]
    [ "$(jq -c '[.activation_difference_lens[] | select(.layer == 1) | .lens[].position]' $R/summary.json)" = "$(jq -c '.[0:3] + [null]' order)" ]
    jq -e '.activation_difference_lens[] | select(.layer == 1) | .lens[0] |
        (.finding_mass - ([.tokens[] | select(.finding) | .value] | add) | fabs) < 1e-12' $R/summary.json
}

@test "lens: tokens that were asked for, at their best" {
    page
    for inverse in false true; do
        jq -s --argjson i $inverse 'map(select(.query == " the" and .what == "diff" and .inverse == $i and .position != null and .layer == 1)) |
            min_by(.rank) | "\(.rank) at \(.position)"' -r $R/activation_difference_lens/own.lens.jsonl
    done > want
    lens_part | awk '/Tokens that were asked for/ { on = 1 } on' | grep -o '<td class="num">[0-9]* at [0-9]*' | sed 's/.*>//' | head -n 2 > got
    diff want got
}

@test "lens: hostile tokens, lanes, sites and names stand as text" {
    jq -c --arg e "$EVIL" '.token = $e | .piece = $e | .site = $e | .null |= with_entries(.key = $e) |
        .what |= if startswith("diff.") then "diff." + $e else . end | if .query then .query = $e else . end' \
        $R/activation_difference_lens/own.lens.jsonl > "$R/activation_difference_lens/<img src='x'>.lens.jsonl"
    jq -c --arg e "$EVIL" '.site = $e | .what |= if startswith("diff.") then "diff." + $e else . end' \
        $R/activation_difference_lens/own.means.jsonl > "$R/activation_difference_lens/<img src='x'>.means.jsonl"
    page --plots plots
    wellformed $R/index.html
    grep -qF '&lt;img src=&#39;x&#39;&gt;, layer 1' $R/index.html
    run ! grep -aqP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]' $R/index.html
    for f in plots/*.svg; do tidy -xml -q -e "$f"; done
}

@test "lens: without a null, without lengths, without lists" {
    A=$R/activation_difference_lens
    jq -c 'select(.what | startswith("diff.") | not) | .null = {}' $A/own.lens.jsonl > x && mv x $A/own.lens.jsonl
    page
    wellformed $R/index.html
    run ! grep -qE 'null.s, rank|<i class="f[0-9] x"' <(lens_part)
    mv $A/own.means.jsonl keep
    page
    wellformed $R/index.html
    run ! grep -q 'class="plot"' <(lens_part)
    lens_part | grep -q 'Every position'
    mv keep $A/own.means.jsonl && rm $A/own.lens.jsonl
    page
    wellformed $R/index.html
    lens_part | grep -q 'Lengths in figures'
    run ! grep -q 'Every position' <(lens_part)
}

@test "lens: many positions and layers are cut, and the page says so" {
    # 20 layers of one position, then 300 positions of one layer
    jq -nc 'range(20) as $l | range(12) as $t | {rank: ($t + 1), id: $t, token: "token \($t)", piece: "p", value: 0.05, layer: $l,
        site: "resid_post", what: "diff", name: "mean_pos_0", position: 0, inverse: false, null: {}}' > $R/activation_difference_lens/own.lens.jsonl
    rm $R/activation_difference_lens/own.means.jsonl
    page
    wellformed $R/index.html
    grep -q '4 more layers left out' $R/index.html
    jq -nc 'range(900) as $p | range(12) as $t | {rank: ($t + 1), id: $t, token: "a long token <\($t)>", piece: "the piece of a long token", value: 0.05,
        layer: 3, site: "resid_post", what: "diff", name: "x", position: $p, inverse: false, null: {null_a: {value: 0.01, rank: 5}}}' \
        > $R/activation_difference_lens/own.lens.jsonl
    page
    wellformed $R/index.html
    [ "$(lens_part | wc -c)" -lt 1150000 ]
    grep -q '[0-9] more positions left out: the page would be too large' $R/index.html
}

# --- plots ---------------------------------------------------------------------------
@test "plots: each as a file, drawn as in the page, with style and title of its own" {
    page --plots plots
    ls plots > names
    for n in kl.own kl_position.own tokens.own.top_k_occurring tokens_null.own.fraction_positive_diff length.own.L01 share.own.L00 \
             sameness.own.L01 mass.own.L00; do grep -qx "$n.svg" names; done
    [ "$(grep -vc '^text\.' names)" = "$(grep -c 'class="plot"' $R/index.html)" ]
    for f in plots/*.svg; do
        tidy -xml -q -e $f
        [ "$(grep -o 'http[^"]*' $f)" = http://www.w3.org/2000/svg ]
        run ! grep -iE 'href|url\(|@import|<script|<image|on[a-z]+=' $f
        [[ $f != plots/text.* ]] || continue
        [ "$(grep -c '<title>' $f)" -ge 1 ] && grep -q '<style>' $f
        grep -o ' d="[^"]*"' $f | sort -u | grep -v 'd="M0 -48h' > drawn
        grep -vqxFf <(grep -o ' d="[^"]*"' $R/index.html) drawn && false
    done
    page --no-file --plots none
    [ ! -e none ]
    cp -r plots first
    page --plots plots
    diff -r first plots
    : > file
    run -1 --separate-stderr dk-report --plots file/x $R
    failed dk-report file/x
}

@test "plots: the text with the highest mean KL, letter by letter" {
    page --plots plots
    dk-values $R/kl/general.score.h5 kl/ft | awk '{ sum[int((NR - 1) / 20)] += $1 }
        END { for (d in sum) if (best == "" || sum[d] > sum[best]) best = d; print best }' > best
    said=$(grep -o '<text class="letters".*' plots/text.general.svg | plain | tr -d '\n⏎')
    [ "${#said}" -gt 20 ]
    [[ "$(sed -n "$(($(cat best) + 1))p" "$ROOT/data/text/general-a.jsonl" | jq -r .text | tr -d '\n')" == "$said"* ]]
    grep -q "Text $(cat best) of general" plots/text.general.svg
}

@test "the README's pictures are there, and small" {
    cd "$ROOT"
    grep -o '(data/pictures/[^)]*)' README.md | tr -d '()' > "$BATS_TEST_TMPDIR/linked"
    [ -s "$BATS_TEST_TMPDIR/linked" ]
    while read -r f; do tidy -xml -q -e "$f"; done < "$BATS_TEST_TMPDIR/linked"
    diff <(sort "$BATS_TEST_TMPDIR/linked") <(ls data/pictures/* | sort)
    [ "$(cat data/pictures/* | wc -c)" -lt 102400 ]
}
