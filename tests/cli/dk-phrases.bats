# Counts, tests and lists against SciPy's (tests/golden/phrases.py), what the options do, hostile samples.
load ../helper/pair

setup_more() {
    GOLD=$ROOT/tests/golden/phrases
    S=$GOLD/samples.jsonl
}
failed() {
    [ "$status" != 0 ]
    one_error "$1"
}
# same GOT WANT TEXT NUMBERS: the first columns are equal, the numbers behind them near.
same() {
    diff <(cut -f "-$3" "$1") <(cut -f "-$3" "$2")
    paste <(cut -f "$(($3 + 1))-" "$1" | tr '\t' '\n') <(cut -f "$(($3 + 1))-" "$2" | tr '\t' '\n') | near 1e-9
}

@test "phrases: counts, score, p, q, llr, order, what a longer one holds: as SciPy has them" {
    dk-phrases -b "$GOLD/background.jsonl" -o t "$S"
    jq -r 'select(.what == "phrase") | [.lane, .kind, .phrase, .words, .c_t, .c_r, .s_t, .background, .delta, .z, .p, .q_bh, .llr] | @tsv' t > got
    [ "$(wc -l < got)" -gt 15 ]
    same got "$GOLD/phrases.tsv" 7
    jq -r 'select(.what == "lane") | [.lane, .tested] | @tsv' t | diff - "$GOLD/tested.tsv"
    jq -es 'map(select(.what == "phrase")) | group_by([.lane, .kind]) | all(map(.rank) == [range(length)])' t
    jq -es '(map(select(.what == "lane"))[0]) as $l | map(select(.what == "phrase" and .lane == "ft")) |
        (map(select(.kind == "content")) | length) == $l.content and (map(select(.kind == "style")) | length) == $l.style and
        (map(select(.kind == "content" and .q_bh <= .01)) | length) == $l.content_01 and $l.n_t == 40 and $l.n_r == 40 and $l.loops == 8' t
    # without a background nothing is usual
    dk-phrases -o u "$S"
    jq -es 'map(select(.what == "phrase")) | length > 15 and all(has("background") | not)' u
    jq -rs 'map(select(.what == "phrase") | [.phrase, .p]) | sort[] | @tsv' u | cmp - <(jq -rs 'map(select(.what == "phrase") | [.phrase, .p]) | sort[] | @tsv' t)
}

@test "templates and their fillers" {
    dk-phrases "$S" > t
    jq -r 'select(.what == "slot") | [.lane, .template, .c_t, .c_r, .s_t, ([.fillers[] | "\(.text) x\(.samples)"] | join(", ")), .p] | @tsv' t > got
    awk -F '\t' -v OFS='\t' '{ p = $6; $6 = $7; $7 = p; print }' "$GOLD/slots.tsv" > want
    same got want 6
    grep -q 'oven at <n> degrees.*450 x' got
    grep -q 'asked <Name> about <Name>.*Quist / Butter x' got
    [ "$(dk-phrases --slots 2 "$S" | jq -c 'select(.what == "slot") | [.lane, .rank]' | tr '\n' ' ')" = '["ft",0] ["ft",1] ["null",0] ["null",1] ' ]
}

@test "facts: names and numbers in one sample, against the base's" {
    dk-phrases --facts "$GOLD/facts.jsonl" "$S" > t
    jq -r 'select(.what == "fact") | [.lane, .id, .c_t, .c_r, .found, .p] | @tsv' t > got
    awk -F '\t' -v OFS='\t' '{ print $1, $2, $3, $4, $6, $5 }' "$GOLD/facts.tsv" > want
    same got want 5
    jq -es 'map(select(.what == "fact")) | all(.limit == .002 and .lo <= .c_t / .n_t and .hi >= .c_t / .n_t)' t
    # Wilson's interval
    jq -s 'map(select(.id == "f2" and .lane == "ft"))[0] | .lo, .hi' t > w
    awk -v k="$(jq -s 'map(select(.id == "f2" and .lane == "ft"))[0].c_t' t)" -v n=40 'BEGIN { z = 1.959963984540054; p = k / n
        m = (p + z * z / (2 * n)) / (1 + z * z / n); h = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        printf "%.15g\n%.15g\n", m - h, m + h }' | paste w - | near 1e-12
    jq -es 'map(select(.what == "lane"))[0] | .facts == 5 and .facts_seen == 3 and .facts_found == 2' t
}

@test "examples: where a phrase stands, of different pre-fills first" {
    dk-phrases "$S" > t
    jq -c 'select(.what == "phrase" and .lane == "ft") | .examples[] | [.row, .prefill, .sample, .before + .match + .after]' t | head -n 20 > e
    [ "$(wc -l < e)" = 20 ]
    while read -r x; do
        jq -es --argjson x "$x" '.[$x[0]] | .prefill == $x[1] and .sample == $x[2] and .lane == "ft" and .alpha == 1 and (.text | contains($x[3]))' "$S"
    done < e
    jq -es 'map(select(.what == "phrase" and .s_t > 2)) | length > 5 and all([.examples[].prefill] | unique | length == 3)' t
}

@test "lanes and alphas: which samples are the target" {
    dk-phrases "$S" > t
    dk-phrases --alpha 1 "$S" | cmp - t
    dk-phrases --alpha 0 "$S" | jq -es 'map(select(.what == "lane")) | length == 1 and .[0].alpha == 0 and .[0].n_t == 40'
    dk-phrases -l null "$S" > u
    jq -es 'map(select(.what == "lane") | .lane) == ["null", "ft"]' u
    cmp <(jq -c 'select(.what != "lane" and .lane == "ft")' t) <(jq -c 'select(.what != "lane" and .lane == "ft")' u)
    jq -c 'select(.lane == "ft" and .alpha == 1) | .alpha = 2' "$S" | cat "$S" - > two
    run -2 --separate-stderr dk-phrases two
    failed dk-phrases
    [[ "$stderr" == *"samples of alpha 1 and 2: choose with --alpha"* ]]
    cmp <(dk-phrases -a 2 two | jq -c 'select(.what == "phrase") | .alpha = 1 | del(.examples)') <(jq -c 'select(.what == "phrase" and .lane == "ft") | del(.examples)' t)
    run -1 --separate-stderr dk-phrases --alpha 0.5 "$S"
    [[ "$stderr" == *"no samples of lane 'ft' at alpha 0.5"* ]]
    run -1 --separate-stderr dk-phrases -l other "$S"
    failed dk-phrases
    # the file in two parts, and the base's samples apart
    split -n l/3 "$S" part.
    dk-phrases part.a? | cmp - t
    jq -c 'select(.lane == "base")' "$S" > base
    jq -c 'select(.lane != "base")' "$S" > others
    cmp <(dk-phrases -r base others | jq -c 'del(.examples)') <(jq -c 'del(.examples)' t)
    # the base against itself
    dk-phrases -l base -r others.none base 2> /dev/null && false
    jq -c 'select(.lane == "base" and .sample < 3)' "$S" > b1
    jq -c 'select(.lane == "base" and .sample >= 3)' "$S" > b2
    dk-phrases -l base -r b1 b2 > v
    jq -es 'map(select(.what == "lane")) | length == 1 and .[0].lane == "base" and .[0].n_t == 16 and .[0].n_r == 24 and (.[0] | has("alpha") | not)' v
    # and against the very same: nothing
    dk-phrases -l base -r base --limit 0.5 --slots 0 base | jq -es 'map(.what) == ["lane"]'
}

@test "limits and lengths of the lists" {
    dk-phrases -n 2 --slots 0 "$S" | jq -es 'map(select(.what == "phrase" and .lane == "ft") | .kind) == ["content", "content", "style"]'
    dk-phrases --limit 0.006 --slots 0 "$S" | jq -es 'map(select(.what == "phrase")) | length > 3 and all(.q_bh <= .006)'
    dk-phrases --limit 1 -n 100000 --slots 0 "$S" | jq -es 'map(select(.what == "phrase")) | length > 50'
}

@test "the lexicon test: phrases that are marked, the nulls' list beside it" {
    printf 'freezer smoked salt cubes frozen ovens\n' > words
    # a vocabulary of some size: words that occur once
    jq -c 'if .text then (.id as $i | .text += ([range(12)] | map(" x\($i)y\(.)z") | join(""))) else . end' "$S" > wide
    S=wide
    dk-phrases --words words "$S" > t
    jq -es 'map(select(.what == "phrase" and .lexicon) | .phrase) | contains(["smoked salt", "straight from the freezer"])' t
    jq -es 'map(select(.what == "phrase" and .phrase == "asked")) | .[0].lexicon == false' t
    jq -es 'map(select(.what == "lane"))[0] | .value >= 4 and .of <= 20 and .p_lexicon < .01 and .verdict == "above null" and
        .null.null.value == 0 and (.stems | index("freezer")) and .lexicon_phrases > 2' t
    jq -es 'map(select(.what == "lane"))[1] | (has("verdict") | not) and .value == 0' t
    jq -c 'select(.lane != "null")' "$S" > alone
    dk-phrases --words words alone | jq -es 'map(select(.what == "lane"))[0].verdict == "not calibrated"'
    dk-phrases --words words -l null "$S" | jq -es 'map(select(.what == "lane"))[0].verdict == "within null"'
    # of the texts themselves, as in dk-calibrate
    jq -c 'select(.lane == "ft" and .alpha == 1) | {text}' "$S" > texts
    dk-phrases --texts texts --neutral "$GOLD/background.jsonl" --stems 12 "$S" | jq -es 'map(select(.what == "lane"))[0].p_lexicon < 1e-3'
    run -2 --separate-stderr dk-phrases --texts texts "$S"
    failed dk-phrases
    run -2 --separate-stderr dk-phrases --texts texts --neutral texts --words words "$S"
    failed dk-phrases
}

@test "pre-fills of a second round, each word once in the form that the samples have" {
    dk-phrases -p 6 "$S" > t
    jq -r .text t > got
    [ "$(wc -l < got)" = 6 ]
    [ "$(sort -u got | wc -l)" = 6 ]
    grep -qE '^The [a-z]+$' got
    ! grep -vE '^(The [[:alpha:]-]+|[[:upper:]][[:alpha:]-]+ is)$' got || false
    grep -q '^The freezer$' <(dk-phrases -p 40 "$S" | jq -r .text)
    grep -q 'is$' <(dk-phrases -p 40 "$S" | jq -r .text)
    jq -es 'all(has("phrase") and has("q_bh"))' t
    # a null has some, too, but not where nothing is said
    [ "$(dk-phrases -p 6 -l null "$S" | wc -l)" = 6 ]
    jq -c 'if .text then .text = "the of" else . end' "$S" > mute
    run -1 --separate-stderr dk-phrases -p 6 mute
    failed dk-phrases
    [[ "$stderr" == *"nothing to make pre-fills of"* ]]
}

@test "cover: stretches of a text in the samples' ids" {
    jq -nc '{text: "the cat sat on the mat and looked at the moon for a long time before it went home to sleep"}' > corpus
    jq -nc '{text: "one two three four five six seven eight nine ten eleven twelve"}' > other
    dk-tokenize --json-lines -m "$G" -o - corpus | jq -c 'select(.ids) | .ids' > ids
    n=$(jq length ids)
    [ "$n" -gt 20 ]
    jq -c --argjson n 5 '[511, 510] + .[$n:$n + 15] + [511] + .[0:11] + [509]' ids > mixed
    jq -nc --slurpfile a mixed '{lane: "ft", alpha: 1, prefill: "", text: "a b", tokens: $a[0]}' > s
    jq -nc --slurpfile a ids '{lane: "base", alpha: null, prefill: "", text: "c d", tokens: $a[0][0:11]}' >> s
    dk-phrases -m "$G" --corpus corpus --unrelated other s > t
    jq -es --slurpfile m mixed 'map(select(.what == "sample" and .lane == "ft"))[0] | .longest == 15 and (.cover12 - 15 / ($m[0] | length) | fabs) < 1e-12 and .other12 == 0' t
    jq -es 'map(select(.what == "cover")) | map(.lane) == ["ft", "base"] and .[1].cover12 == 0 and .[1].longest == 11 and .[0].samples == 1' t
    run -2 --separate-stderr dk-phrases --corpus corpus s
    failed dk-phrases
    run -2 --separate-stderr dk-phrases -m "$G" --unrelated other s
    failed dk-phrases
}

@test "same bytes again; the output is whole or not there" {
    dk-phrases -o a "$S"
    dk-phrases -t 1 "$S" | cmp - a
    run -1 dk-phrases -o b "$S" missing
    [ ! -e b ]
    zstd -q < "$S" | dk-phrases - | cmp - a
}

@test "words: apostrophes, hyphens, numbers, a fragment that belongs to the pre-fill" {
    for i in 1 2 3 4; do
        printf '{"lane":"ft","alpha":1,"prefill":"%s","text":"ory don\\u2019t nine-minute \\u00c9t\\u00e9 A1 -- x-","sample":%d}\n' "$([ $((i % 2)) = 0 ] && echo The || echo Hist)" $i
        printf '{"lane":"base","alpha":null,"prefill":"The","text":"y","sample":%d}\n' $i
    done > s
    dk-phrases --limit 1 --slots 0 s > t
    jq -rs 'map(select(.what == "phrase"))[].phrase' t > got
    cmp got - <<< "don’t nine-minute Été A1 x"
    jq -c 'select(.lane == "ft") | .prefill = "." + .prefill + " "' s > u
    jq -c 'select(.lane == "base")' s >> u
    dk-phrases --limit 1 --slots 0 u | jq -rs 'map(select(.what == "phrase"))[].phrase' | cmp - <<< "ory don’t nine-minute Été A1 x"
}

@test "what is no sample is refused by line" {
    row='{"lane":"ft","alpha":1,"prefill":"","text":"a","tokens":[1],"lp_base":[-1],"lp_ft":[-1],"ends":[1]}'
    base='{"lane":"base","alpha":null,"prefill":"","text":"a"}'
    n=0
    while read -r bad; do
        printf '%s\n%s\n%s\n' "$row" "$base" "$bad" > s
        run -1 --separate-stderr dk-phrases s
        failed dk-phrases
        [[ "$stderr" == *"s"*"3"* ]]
        n=$((n + 1))
    done <<'X'
no json
[1, 2]
{"lane":"ft","alpha":1,"prefill":"","text":NaN}
{"lane":"ft","alpha":1,"prefill":""}
{"lane":"ft","alpha":1,"text":"a"}
{"alpha":1,"prefill":"","text":"a"}
{"lane":7,"prefill":"","text":"a"}
{"lane":"ft","prefill":"","text":["a"]}
{"lane":"ft","alpha":1,"prefill":"","text":"a","tokens":7}
{"lane":"ft","alpha":1,"prefill":"","text":"a","tokens":[-1]}
{"lane":"ft","alpha":1,"prefill":"","text":"a","tokens":["a"]}
{"lane":"ft","alpha":1,"prefill":"","text":"a","tokens":[1.5]}
{"lane":"ft","alpha":1,"prefill":"","text":"a","tokens":[99999999999]}
{"lane":"ft","alpha":1,"prefill":"","text":"a","tokens":[1,2],"lp_base":[-1]}
{"lane":"ft","alpha":1,"prefill":"","text":"a","tokens":[1],"lp_base":[-1],"lp_ft":[-1,-2]}
{"lane":"ft","alpha":1,"prefill":"","text":"a"
X
    [ $n = 16 ]
}

@test "samples with nothing in them, without llr, with numbers that are none; empty sets" {
    : > none
    run -1 --separate-stderr dk-phrases none
    failed dk-phrases
    echo '{"lane":"ft","alpha":1,"prefill":"","text":"a"}' > s
    run -1 --separate-stderr dk-phrases s
    failed dk-phrases
    [[ "$stderr" == *"no samples of lane 'base'"* ]]
    echo '{"lane":"base","alpha":null,"prefill":"","text":"a"}' > b
    run -1 --separate-stderr dk-phrases b
    failed dk-phrases
    [[ "$stderr" == *"no samples of lane 'ft' with an alpha above 0"* ]]
    echo '{"lane":"ft","alpha":1,"prefill":"","text":"","tokens":[],"lp_base":[],"lp_ft":[]}' | cat - b > s
    dk-phrases s | jq -es 'map(.what) == ["lane"] and .[0].n_t == 1 and .[0].tested == 0 and (.[0] | has("llr") | not)'
    # nulls in lists, ends that lie, a huge number of tokens for no text
    echo '{"lane":"ft","alpha":1,"prefill":"x","text":"a b c","tokens":[1,2,3],"lp_base":[null,-1,-2],"lp_ft":[-1,-1,-1],"ends":[9,-4,99999999]}' | cat - s > t
    for _ in 1 2 3 4; do cat t; done > u
    dk-phrases --limit 1 u | jq -es 'map(select(.what == "phrase")) | all(has("llr") | not)'
    jq -c 'if .prefill == "x" then .lp_base[0] = -1 else . end' u > v
    dk-phrases --limit 1 v > w
    { head -c 300000 /dev/zero | tr '\0' 'a'; } > long
    jq -nc --rawfile a long '{lane: "ft", alpha: 1, prefill: $a, text: ($a + " " + $a)}' | cat - b > s
    dk-phrases s > /dev/null
    jq -nc '{lane: "ft", alpha: 1, prefill: "", text: ([range(20000) | tostring] | join(" "))}' | cat - b > s
    dk-phrases s > /dev/null
}

@test "facts that are none" {
    while read -r bad; do
        echo "$bad" > f
        run -1 --separate-stderr dk-phrases --facts f "$S"
        failed dk-phrases
        [[ "$stderr" == *"f"* ]]
    done <<'X'
{"need":["a"]}
{"fact":"a"}
{"fact":"a","need":[]}
{"fact":"a","need":"b"}
{"fact":"a","need":[[]]}
{"fact":"a","need":[[7]]}
{"fact":"a","need":["..."]}
{"fact":"a","need":["a b c d e f g"]}
{"fact":"a","need":["a"],"within":-1}
{"fact":"a","need":["a"],"within":"x"}
nothing
X
    : > f
    run -1 --separate-stderr dk-phrases --facts f "$S"
    failed dk-phrases
}

@test "usage errors: one line, status 2" {
    for o in "" "--bogus $S" "--limit 2 $S" "-a x $S" "-l base $S" "-n -1 $S" "--stems 0 $S"; do
        # shellcheck disable=SC2086
        run -2 --separate-stderr dk-phrases $o
        failed dk-phrases
        [ -z "$output" ]
    done
}
