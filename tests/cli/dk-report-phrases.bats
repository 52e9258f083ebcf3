# The section of phrases: rounds of made-up samples (tests/golden/phrases.py), some of them hostile.
load ../helper/common
load ../helper/page

EVIL='<script>alert(1)</script></i> " onmouseover="x" &lt; '$'\xe2\x80\xae''rtl'
setup_more() {
    GOLD=$ROOT/tests/golden/phrases
    R=results C=results/contrast
    mkdir -p $C
    echo '{"organism.name": "cake", "model.name": "mini", "dtype": "f32"}' > $R/pair.json
    cp "$GOLD/samples.jsonl" $C/first.jsonl
    printf 'freezer smoked salt cubes frozen ovens\n' > words
    dk-phrases --words words -b "$GOLD/background.jsonl" --facts "$GOLD/facts.jsonl" -o $C/first.phrases.jsonl $C/first.jsonl
    # a second round in which everything is hostile
    jq -c --arg e "$EVIL" 'if .text then .text = "\($e) \(.text)" | .ends = (.ends | map(. + ($e | utf8bytelength) + 1)) | .prefill = $e + .prefill else . end' \
        "$GOLD/samples.jsonl" > $C/second.jsonl
    dk-phrases --words words -o $C/second.phrases.jsonl $C/second.jsonl
}
section() { LC_ALL=C awk -v RS='<section id="' -v id="$1" 'index($0, id "\"") == 1 { sub(/<\/section>.*/, ""); print }' $R/index.html; }

@test "text and object: phrases, nulls, the lexicon test, facts" {
    dk-report $R > t
    grep -q 'first   smoked salt 13/0, about Butter 12/0' t
    grep -q '17 phrases, null 0; 6 of 15 stems' t
    grep -q 'facts found 2 of 5: hot 9/0; salt 13/0' t
    jq -e '.contrast | map(.round) == ["first", "second"]' $R/summary.json
    jq -e '.contrast[0] | (.phrases | length) == 17 and .phrases[0] == (.phrases[0] | {phrase: "smoked salt", c_t: 13, c_r: 0, q_bh, llr}) and
        .lane.null.null.content == 0 and (.facts | map(select(.found)) | length) == 2' $R/summary.json
    awk 'length($0) > 200 { exit 1 }' t
}

@test "the page: tables, facts, templates, the samples in colours; well-formed whatever they say" {
    dk-report $R > /dev/null
    wellformed $R/index.html
    grep -q 'href="#phrases"' $R/index.html
    section phrases > s
    [ "$(grep -o '<figure class="text">' s | wc -l)" = 16 ]
    plain < s > text
    grep -q 'Facts of the list' text
    grep -q 'asked &lt;Name&gt; about &lt;Name&gt;' s
    grep -qF '[U+202E]' s
    ! grep -q '<script>' s || false
    # every token of a sample once, and its colour
    row=$(jq -s 'map(select(.what == "phrase"))[0].examples[0].row' $C/first.phrases.jsonl)
    jq -s ".[$row] | .ends | length" $C/first.jsonl > n
    awk -v RS='<figure class="text">' 'NR == 2' s > one
    [ "$(grep -o '<i class="' one | wc -l)" = "$(cat n)" ]
    jq -rs --argjson r "$row" 'def level: (if . < 0 then -. else . end) / 5 * 9 | if . >= 9 then 9 else . + .5 | floor end;
        .[$r] | [.lp_ft, .lp_base] | transpose[] | (.[0] - .[1]) as $d | "<i class=\"\(if $d < 0 then "c " else "" end)f\($d | level)\""' $C/first.jsonl > want
    grep -o '<i class="[^"]*"' one | diff - want
    dk-report $R > /dev/null
    cp $R/index.html once
    dk-report $R > /dev/null
    cmp once $R/index.html
}

@test "without the samples, or with others in their place, no texts; with rows that are none, no harm" {
    rm $C/first.jsonl
    head -n 3 $C/second.jsonl > short && mv short $C/second.jsonl
    dk-report $R > /dev/null
    ! section phrases | grep -q '<figure class="text">' || false
    jq -c 'if .text then .ends = [5, -1, 999999, 2] | .lp_ft = [0, 0, 0, 0] | .lp_base = [0, null, 0, 0] else . end' "$GOLD/samples.jsonl" > $C/first.jsonl
    dk-report $R > /dev/null
    wellformed $R/index.html
    printf '{"what": "phrase"}\n{"what": "lane"}\n{"what": 7, "examples": 3}\n{"what": "phrase", "lane": "", "kind": "content", "examples": [{"row": -4}, 7]}\n' > $C/first.phrases.jsonl
    dk-report $R > /dev/null
    wellformed $R/index.html
    : > $C/first.phrases.jsonl
    dk-report $R > /dev/null
    echo '{"what"' > $C/first.phrases.jsonl
    run -1 --separate-stderr dk-report $R
    one_error dk-report
}
