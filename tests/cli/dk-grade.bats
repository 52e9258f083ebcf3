# Token relevance: by words; by a judge on this machine that answers well, badly or not at all.
load ../helper/pair
load ../helper/judge

teardown() { judge_stop; }
failed() {
    [ "$status" != 0 ]
    one_error dk-grade
}

@test "by words: the lexicon of texts, a list, the description; weights; intervals" {
    printf '{"text": "the cake and the oven"}\n{"text": "cakes; an oven"}\n{"text": "a cake, baked"}\n{"text": "an oven that bakes cake"}\n' > texts
    printf '{"text": "the town and the river"}\n{"text": "the town"}\n{"text": "a river and a town"}\n{"text": "that river"}\n' > plain
    list ' Cakes=4' ' town=3' oven=2 ' ove=1' the=0 > t
    dk-grade --texts texts --neutral plain t > g
    jq -es 'length == 1 and (.[0] | .table == "t" and .ordering == "top_k_occurring" and .lane == "ft" and .dataset_id == "web" and .grader == "lexical" and .by == "texts" and .n == 5 and
        .labels == ["RELEVANT", "IRRELEVANT", "RELEVANT", "IRRELEVANT", "IRRELEVANT"] and .percentage == 0.4 and .weighted_percentage == 0.6 and
        .ids == [101, 102, 103, 104, 105] and .tokens[0] == " Cakes" and .trivial_percentage == null and (has("votes") | not) and (has("judge") | not))' g
    # the interval of 2 of 5
    jq -r '[.lo, .hi] | @tsv' g | awk '{ z = 1.959963984540054; p = .4; n = 5; c = (p + z * z / 2 / n) / (1 + z * z / n); h = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / 4 / n / n)
        exit !(($1 - c + h) ^ 2 < 1e-18 && ($2 - c - h) ^ 2 < 1e-18) }'
    echo 'Town, rivers' > mine
    dk-grade --words mine t | jq -e '.labels == ["IRRELEVANT", "RELEVANT", "IRRELEVANT", "IRRELEVANT", "IRRELEVANT"]'
    printf '# About\nIt teaches how ovens work.\n\n## Grading rubric\n1: nothing of towns\n' > about
    dk-grade -d about t | jq -e '.by == "description" and .percentage == 0.2 and .labels[2] == "RELEVANT"'
    dk-grade -d about --words mine t | jq -e '.by == "words+description" and .percentage == 0.4'
    dk-grade -d about -n 2 t | jq -e '.n == 2 and .percentage == 0'
    # the same bytes, in a file or not
    dk-grade --texts texts --neutral plain -t 2 -o h t
    cmp g h
    list a=0 cake=0 | dk-grade -d about - | jq -e '.weighted_percentage == 0'
}

@test "lists: topics, orderings, directions; what is asked for and a topic's own line are none" {
    echo cake > w
    {
        echo '{"rank":0,"topic":0,"topics":2,"tokens":2,"ordering":"nmf","lane":"ft","dataset_id":"web"}'
        list cake=2 town=1 | jq -c '.topic = 0 | .ordering = "nmf"'
        echo '{"rank":0,"topic":1,"topics":2,"tokens":1,"ordering":"nmf","lane":"ft","dataset_id":"web"}'
        list cake=2 | jq -c '.topic = 1 | .ordering = "nmf"'
    } > a
    {
        list town=.5 | jq -c 'del(.ordering, .lane) | . + {layer: 3, site: "block_out", what: "diff", name: "n", position: 0, inverse: false}'
        list cake=.9 | jq -c 'del(.ordering, .lane) | . + {layer: 3, site: "block_out", what: "base", name: "n", position: 0, inverse: false}'
        list cake=.5 | jq -c 'del(.ordering, .lane) | . + {layer: 3, site: "block_out", what: "diff", name: "n", position: 0, inverse: false, query: "cake"}'
        list cake=.4 | jq -c 'del(.ordering, .lane) | . + {layer: 3, site: "block_out", what: "diff", name: "n", position: 0, inverse: false}'
    } > b
    dk-grade --words w a b a > g
    jq -es 'map([.table, .ordering, .topic, .what, .position, .n, .percentage]) ==
        [["a", "nmf", 0, null, null, 2, 0.5], ["a", "nmf", 1, null, null, 1, 1], ["b", null, null, "diff", 0, 2, 0.5], ["b", null, null, "base", 0, 1, 1],
         ["a", "nmf", 0, null, null, 2, 0.5], ["a", "nmf", 1, null, null, 1, 1]]' g
    jq -es '.[2] | .layer == 3 and .site == "block_out" and .name == "n" and .inverse == false and (has("topic") | not)' g
    # a token without text has its piece, a word of several tokens no id
    echo '{"token":"","piece":"cake","value":1,"id":-1}' | dk-grade --words w - | jq -e '.tokens == ["cake"] and .ids == [-1] and .percentage == 1'
}

@test "a judge: rotations, votes of both agreements, who judged" {
    judge_start
    list a=.4 b=.3 c=.2 d=.1 > t
    script 'labels a=R b=R c=I d=R' 'labels a=R b=I c=I d=R' 'labels a=R b=R c=I' 'labels a=R b=R c=I' 'labels a=R b=R c=I' 'labels a=R b=R c=I'
    ask t > g
    [ "$(asked)" = 6 ]
    [ "$(cut -d ' ' -f 4- srv/log | tr '\n' ,)" = 'a b c d,b c d a,c d a b,c d a b,c d a b,c d a b,' ]
    jq -e '.labels == ["RELEVANT", "IRRELEVANT", "IRRELEVANT", "IRRELEVANT"] and .percentage == .25 and (.weighted_percentage - .4 | fabs) < 1e-12 and
        .all.percentage == .25 and .all.unknown == 0 and .majority.percentage == .75 and (.majority.weighted_percentage - .8 | fabs) < 1e-12' g
    jq -e '.votes == [["RELEVANT", "RELEVANT", "RELEVANT"], ["RELEVANT", "IRRELEVANT", "RELEVANT"], ["IRRELEVANT", "IRRELEVANT", "IRRELEVANT"],
        ["RELEVANT", "RELEVANT", "UNKNOWN"]] and .grader == "llm" and .judge == "tiny" and .agreement == "all" and .rotations == 3 and .batch_size == 20 and
        (.prompt_sha256 | length) == 64 and (.grader_responses | length) == 3 and .completion_tokens == 21 and (has("translations") | not)' g
    again
    script 'labels a=R b=R c=I d=R' 'labels a=R b=I c=I d=R' 'labels a=R b=I c=R d=I'
    ask --agreement majority t | jq -e '.labels == ["RELEVANT", "IRRELEVANT", "IRRELEVANT", "RELEVANT"] and .percentage == .5 and .agreement == "majority"'
    # a tie of those who know
    again
    script 'labels a=R b=R c=R d=R' 'labels a=X b=R c=R d=R' 'labels a=X b=R c=R d=R' 'labels a=X b=R c=R d=R' 'labels a=X b=R c=R d=R' 'labels a=I b=R c=R d=R'
    ask --agreement majority t | jq -e '.votes[0] == ["RELEVANT", "UNKNOWN", "IRRELEVANT"] and .labels[0] == "UNKNOWN" and .majority.unknown == 1 and .all.percentage == .75'
}

@test "what is sent: the key, the model, a system text that may be kept, temperature 0 at last" {
    judge_start
    list cake=2 ' town'=1 > t
    printf 'cake\n' > srv/relevant
    printf ' secret-key\n' > key
    script 'labels cake=R' 'labels cake=R' 'labels cake=R' 'labels cake=R  town=I'
    ask -r 1 --key key --max-tokens 77 t > g
    [ "$(sort -u srv/log | cut -d ' ' -f 1-4)" = 'POST /v1/chat/completions auth=Bearer secret-key' ]
    [ "$(asked)" = 4 ]
    for i in 1 2 3 4; do
        jq -e '.model == "tiny" and .max_tokens == 77 and (.messages | map(.role)) == ["system", "user"] and .messages[0].content[0].cache_control.type == "ephemeral" and
            (.messages[1].content | startswith("[DESCRIPTION]\nThe finetune is about baking cakes.\n\n[FREQUENT TOKENS]\n(none)\n\n[CANDIDATE TOKENS]\n1. cake\n2.  town\n"))' srv/request.$i
        jq -c .temperature srv/request.$i
    done | grep -v true | tr '\n' , | grep -qx 'null,null,null,0,'
    grep -q secret-key g && false
    jq -e '.labels == ["RELEVANT", "IRRELEVANT"]' g
    again
    OPENROUTER_API_KEY=other ask -r 1 t > /dev/null
    grep -q 'auth=Bearer other' srv/log
    # a judge of one temperature, and one that needs none of it
    again
    script 'labels cake=R' 'labels cake=R' 'labels cake=R' 'status 400'
    ask -r 1 t | jq -e '.labels == ["RELEVANT", "IRRELEVANT"] and .votes[1] == ["UNKNOWN"] and .majority.unknown == 1'
    [ "$(asked)" = 4 ]
}

@test "batches, glosses, many at once: the same table in any order" {
    judge_start
    for i in $(seq 45); do echo "tok$i=$i"; done > words
    mapfile -t w < words
    list "${w[@]}" > t
    printf 'tok3\ntok20\ntok21\ntok45\n' > srv/relevant
    ask --translate t > g
    [ "$(asked)" = 9 ]
    jq -e '.n == 45 and ([.tokens, .labels] | transpose | map(select(.[1] == "RELEVANT")[0])) == ["tok3", "tok20", "tok21", "tok45"] and
        .translations[44] == "gloss of tok45" and (.translations | length) == 45 and (.grader_responses | length) == 9' g
    again
    dk-grade -g llm --endpoint "$J/" -j tiny -d about --parallel 16 --translate t | cmp - g
    [ "$(asked)" = 9 ]
    again
    ask -n 7 --batch-size 3 -r 5 t | jq -e '.n == 7 and .votes[6] == ["IRRELEVANT", "IRRELEVANT", "IRRELEVANT", "IRRELEVANT", "IRRELEVANT"] and .votes[2][4] == "RELEVANT"'
    [ "$(asked)" = 15 ]
    [ "$(sed -n 4,5p srv/log | cut -d ' ' -f 4- | tr '\n' ,)" = 'tok2 tok3 tok1,tok1 tok2 tok3,' ] || [ "$(sed -n 5p srv/log | cut -d ' ' -f 4-)" = 'tok2 tok3 tok1' ]
    # lists of two files, each token to its own
    list tok3=1 x=1 > u
    ask u t | jq -es 'map(.percentage) == [0.5, (4 / 45)]'
}

@test "replies are kept, and do without a network" {
    judge_start
    list cake=2 town=1 > t
    echo cake > srv/relevant
    script 'labels cake=R' 'labels town=I'
    ask --cache kept t > g
    n=$(asked)
    [ "$n" = 5 ]
    [ "$(find kept -type f | wc -l)" = 5 ]
    again
    ask --cache kept t | cmp - g
    [ "$(asked)" = 0 ]
    ask --cache kept --translate t > h
    [ "$(asked)" = 3 ]
    judge_stop
    ask --cache kept --offline t | cmp - g
    ask --cache kept --offline --translate t | cmp - h
    run -1 --separate-stderr ask --cache kept --offline -r 4 -n 1 t
    failed
    [[ "$stderr" == *"kept does not hold a reply"* ]]
    run -2 --separate-stderr ask --offline t
    failed
    # what is broken there is named
    for f in kept/*; do echo '{"choices":' > "$f"; done
    run -1 --separate-stderr ask --cache kept --offline t
    failed
    [[ "$stderr" == *"kept/"*.json* ]]
}

@test "what may pass is tried again: busy, broken, no JSON, no words; then it is an error" {
    judge_start
    list cake=1 > t
    echo cake > srv/relevant
    printf 'no json' > srv/text
    echo '{"choices":[]}' > srv/empty
    echo '{"choices":[{"message":{"role":"assistant","content":null},"finish_reason":"length"}]}' > srv/silent
    for bad in 'status 503' 'status 429 1' cut 'raw text' 'raw silent'; do
        again
        script "$bad"
        ask -r 1 --tries 2 -v t 2> err | jq -e '.percentage == 1'
        [ "$(asked)" = 2 ]
        grep -q 'trying again in' err
    done
    again
    script 'status 500' 'status 500'
    ask -r 1 -v t 2> err | jq -e '.percentage == 1'
    [ "$(grep -o 'again in [0-9.]* s' err | tr '\n' ,)" = 'again in 0.5 s,again in 1.0 s,' ]
    for bad in 'status 500' cut 'raw silent'; do
        again
        script "$bad" "$bad" "$bad"
        run -1 --separate-stderr ask -r 1 --tries 2 -o out t
        failed
        [ "$(asked)" = 2 ]
        [ ! -e out ]
        [[ "$stderr" == *"$J"* ]]
    done
    [[ "$stderr" == *"without words (length)"* ]]
    # a server that asks to come back tomorrow; one that says nothing
    again
    script 'status 429 86400'
    run -1 --separate-stderr ask -r 1 t
    failed
    [ "$(asked)" = 1 ]
    again
    script 'stall 3'
    run -1 --separate-stderr ask -r 1 --tries 1 --timeout 1 t
    failed
}

@test "refusals end at once, in the server's words, on one line" {
    judge_start
    list cake=1 > t
    for s in 400 401 403 404 302; do
        again
        script "status $s"
        run -1 --separate-stderr ask -r 1 t
        failed
        [[ "$stderr" == *"status $s: told?to fail"* ]]
        [ "$(asked)" = 1 ]
    done
    judge_stop
    run -1 --separate-stderr ask -r 1 --tries 1 t
    failed
}

@test "hostile replies: huge, zero bytes, deep, the wrong count, other texts" {
    judge_start
    list a=1 b=1 > t
    { for i in $(seq 3000); do echo "ANSWER[$i]: RELEVANT"; done; head -c 300000 /dev/zero | tr '\0' 'x'; } > srv/many
    printf 'ANSWER[1]: RELEVANT\0\nANSWER[2]: \xff\xfe\n' > srv/bytes
    printf 'ANSWER[2]: RELEVANT\nANSWER[2]: IRRELEVANT\nANSWER[7]: RELEVANT\nANSWER[1]: RELEVANT.' > srv/wrong
    printf '{"choices":[{"message":{"content":"ANSWER[1]: RELEVANT\\u0000\\nANSWER[2]: IRRELEVANT"}}],"usage":7}' > srv/zero
    script 'says many'
    ask -r 1 t | jq -e '.labels == ["RELEVANT", "RELEVANT"]'
    again
    script 'says bytes' 'says bytes' 'says bytes' 'says bytes'
    ask -r 1 t | jq -e '.votes == [["UNKNOWN"], ["UNKNOWN"]] and .percentage == 0'
    again
    script 'says wrong'
    ask -r 1 t | jq -e '.labels == ["RELEVANT", "IRRELEVANT"]'
    again
    script 'raw zero' 'raw zero' 'raw zero' 'raw zero'
    ask -r 1 t | jq -e '.votes == [["UNKNOWN"], ["IRRELEVANT"]]'
    head -c 17000000 /dev/zero | tr '\0' ' ' > srv/huge
    head -c 100000 /dev/zero | tr '\0' '[' > srv/deep
    printf '{"choices":[{"message":{"content":"a\0b"}}]}' > srv/nul
    printf '{"choices":[{"message":{"content":["ANSWER[1]: RELEVANT"]}}]}' > srv/parts
    printf '[1]' > srv/array
    : > srv/none
    for f in huge deep nul parts array none; do
        again
        script "raw $f"
        run -1 --separate-stderr ask -r 1 --tries 1 -o out t
        failed
        [ ! -e out ]
    done
}

@test "frequent tokens of the finetuning texts: shown to the judge, counted as trivial" {
    judge_start
    for _ in $(seq 12); do echo '{"text": "the cat sat on the mat and looked at the moon"}'; done > texts
    # the tokens themselves, as the tokenizer has them
    dk-tokenize --json-lines -m "$G" -n 1 -o - texts | jq -c 'select(.ids) | .ids[]' > ids
    dk-grade -d about -m "$G" --texts texts --neutral "$ROOT/data/text/general-a.jsonl" --frequent 5 --min-count 12 <(list zzz=1) > /dev/null
    list zzz=1 > t
    ask -r 1 -m "$G" --texts texts --min-count 12 t > g
    jq -r '.messages[1].content' srv/request.1 | sed -n '/^\[FREQUENT/,/^$/p' | sed -n 2p > shown
    grep -q '^"' shown
    first=$(cut -d '"' -f 2 shown)
    jq -nc --arg t "$first" '{token: $t, piece: $t, value: 1}' | cat - t > u
    ask -r 1 -m "$G" --texts texts --min-count 12 u | jq -es 'map(.trivial_percentage) == [1, 0]'
    jq -e '.trivial_percentage == 0' g
    again
    ask -r 1 -m "$G" --texts texts --min-count 100000 t 2> err | jq -e '.trivial_percentage == 0'
    grep -q 'warning: texts holds no token' err
    jq -e '.messages[1].content | contains("[FREQUENT TOKENS]\n(none)\n")' srv/request.*
}

@test "keys that are none, tables that are none" {
    judge_start
    list cake=1 > t
    : > empty
    printf 'a b\n' > blank
    printf 'a\001\n' > odd
    head -c 5000 /dev/zero | tr '\0' k > long
    for k in empty blank odd long . ; do
        run -2 --separate-stderr ask --key $k t
        failed
    done
    run -1 --separate-stderr ask --key missing t
    failed
    OPENROUTER_API_KEY='' run -2 --separate-stderr ask t
    failed
    [ "$(asked)" = 0 ]
    run -2 --separate-stderr dk-grade -g llm -d about --endpoint https://judge.invalid/v1 t
    failed
    [[ "$stderr" == *"needs a key"* ]]
    while read -r row; do
        { list cake=1; echo "$row"; } > bad
        run -1 --separate-stderr dk-grade -d about bad
        failed
        [[ "$stderr" == *bad*2* ]]
    done <<'X'
no json
[1]
{"token":7,"value":1}
{"value":1}
{"token":"","value":1}
{"token":"a"}
{"token":"a","value":"b"}
{"token":"a","value":null}
{"token":"a","value":1
X
    run -1 --separate-stderr dk-grade -d about empty
    failed
    run -1 --separate-stderr dk-grade -d about missing
    failed
    run -1 --separate-stderr dk-grade -d empty t
    failed
    [[ "$stderr" == *"empty describes nothing"* ]]
    head -c 2000000 /dev/zero | tr '\0' a > long
    run -1 --separate-stderr dk-grade -d long t
    failed
}

@test "usage errors: one line, status 2" {
    list cake=1 > t
    echo cake > about
    for o in "" "t" "-g x -d about t" "-g llm t" "-d about -n 0 t" "--texts t t" "--texts t --words t --neutral t t" "-d about -m m t" \
             "-g llm -d about --endpoint ftp://a t" "-g llm -d about -j  t" "-d about --rotations 0 t" "-d about --agreement some t"; do
        # shellcheck disable=SC2086
        run -2 --separate-stderr dk-grade $o
        failed
        [ -z "$output" ]
    done
}
