load ../helper/pair

# amplify ARGS...: samples of the miniature pair, six tokens each.
amplify() {
    dk-generate -m "$G" -f "$PLAIN" --dtype f32 --max-new-tokens 6 "$@"
}
rows() { jq -c "select($1)" "$2"; }

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    for o in --amplify=x --amplify=1,1 --amplify=2000 "--amplify=1 --plausibility=2" "--amplify=1 --greedy=2" "--amplify=1 --loop-stop=-1" \
             "--amplify=1 --min-new-tokens=x" "--amplify=1 --repetition-penalty=2" "--amplify=1 --sampling=model" \
             "--amplify=1 --lanes=ft" "--amplify=1 --lanes=base" "--amplify=1 --lanes=ft,base,ft" "--amplify=1 --format=chat" \
             "--arith=difference Hello" "--temperature=warm Hello" "--max-new-tokens=0 Hello"; do
        # shellcheck disable=SC2086
        run -2 --separate-stderr dk-generate -m "$G" -f "$PLAIN" -o out.jsonl $o
        failed dk-generate
        [ -z "$output" ]
    done
    run -2 --separate-stderr dk-generate -m "$G" --amplify 1 "Hello"
    failed dk-generate "needs a finetune"
    [ -z "$(ls)" ]
}

@test "rows: pre-fill by pre-fill the base, the finetune at 0 and each alpha, other adapters at each alpha" {
    amplify -n "other=$PATTERN" --amplify 1,3 --samples 2 -o s.jsonl "The" "In a"
    diff <(jq -c '[.id, .prefill, .lane, .alpha, .sample, .temperature]' s.jsonl) <(
        for p in '0,"The"' '1,"In a"'; do
            for l in '"base",null' '"ft",0' '"ft",1' '"ft",3' '"other",1' '"other",3'; do
                for s in 0,0 1,1 2,1; do echo "[$p,$l,$s]"; done
            done
        done)
    # Every list has an entry for each token; the text is whole at the end.
    jq -es 'all(.[]; .n_tokens == (.tokens | length) and .n_tokens == (.ends | length) and .n_tokens == (.lp_base | length)
        and .n_tokens == (.lp_amp | length) and .ends == (.ends | sort) and .ends[-1] == (.text | utf8bytelength)
        and .n_tokens == 6 and .stop == "length" and all(.lp_base[], .lp_amp[]; . <= 0))' s.jsonl > /dev/null
    jq -es 'all(.[] | select(.lane == "base"); has("lp_ft") == false and has("llr") == false)' s.jsonl > /dev/null
    jq -es 'all(.[] | select(.lane != "base"); ([.lp_ft, .lp_base] | transpose | map(.[0] - .[1]) | add / length) as $d | (.llr - $d) | fabs < 1e-6)' s.jsonl > /dev/null
    jq -es 'all(.[]; .beta == 0.1 and .top_p == 0.95 and .seed == 42 and .format == "text" and .max_new_tokens == 6 and .min_new_tokens == 0
        and .arith == "difference" and .dtype == "f32" and has("prompt") == false)' s.jsonl > /dev/null
}

@test "the pre-fills of the page, where none are given" {
    amplify --amplify 1 --samples 1 --greedy 0 --max-new-tokens 1 --lanes ft,base -o s.jsonl
    [ "$(rows '.lane == "base"' s.jsonl | wc -l)" = 16 ]
    [ "$(rows '.lane == "base"' s.jsonl | jq -rs '[.[].prefill] | map(select(length > 1)) | join("|")')" = \
        "The|In|It|This|According to|One of the|There is|Recent|When|For|Title:|Q:" ]
    [ "$(rows '.lane == "base"' s.jsonl | jq -cs '[.[].prefill] | map(select(length < 2))')" = '["","A","\n","I"]' ]
    # Lanes in another order are the same rows, and arithmetic.
    amplify --amplify 1 --samples 1 --greedy 0 --max-new-tokens 1 | cmp - s.jsonl
}

@test "alpha 0 is the finetune's own sampling, alpha -1 the base's where there is no mask" {
    for how in "--temperature 1 --top-p 0.9" "--temperature 0.7 --top-k 20 --top-p 1" "--temperature 0"; do
        # shellcheck disable=SC2086
        amplify --arith plain --amplify=0,-1 --plausibility 0 --greedy 0 --samples 3 --loop-stop 0 $how -o a.jsonl "The" "Once upon"
        # shellcheck disable=SC2086
        dk-generate -m "$G" -f "$PLAIN" --dtype f32 --max-new-tokens 6 --format text --samples 3 $how "The" "Once upon" > o.jsonl
        diff <(rows '.lane == "ft" and .alpha == 0' a.jsonl | jq -c '[.tokens, .text]') <(rows '.lane == "ft"' o.jsonl | jq -c '[.ids, .text]')
        diff <(rows '.lane == "ft" and .alpha == -1' a.jsonl | jq -c '[.tokens, .text]') <(rows '.lane == "base"' a.jsonl | jq -c '[.tokens, .text]')
        diff <(rows '.lane == "base"' a.jsonl | jq -c .tokens) <(rows '.lane == "base"' o.jsonl | jq -c .ids)
    done
}

@test "threads, batches, sequences at once change no byte; the seed does; arithmetic hardly" {
    amplify --amplify 2 -o a.jsonl "The" "When"
    amplify --amplify 2 -t 1 --batch-tokens 1 --parallel 1 -o b.jsonl "The" "When"
    amplify --amplify 2 -t 2 --parallel 3 -o c.jsonl "The" "When"
    cmp a.jsonl b.jsonl
    cmp a.jsonl c.jsonl
    amplify --amplify 2 --seed 7 "The" "When" | jq -c .tokens > d
    ! cmp <(jq -c .tokens a.jsonl) d
    amplify --amplify 2 --arith plain -o e.jsonl "The" "When"
    diff <(jq -c .tokens a.jsonl) <(jq -c .tokens e.jsonl)
    paste <(jq -c '.lp_amp[]' a.jsonl) <(jq -c '.lp_amp[]' e.jsonl) | near 1e-3
    jq -es 'all(.[]; .arith == "plain")' e.jsonl > /dev/null
}

@test "samples end with an end token, not before it may come, in front of a stop text" {
    amplify --amplify 1 --max-new-tokens 40 --samples 6 -o a.jsonl "The"
    jq -r '.text | select(length > 12) | .[5:8] | select(test("^[a-z]+$"))' a.jsonl | head -n 1 > word
    if [ -s word ]; then
        amplify --amplify 1 --max-new-tokens 40 --samples 6 --stop "$(cat word)" -o b.jsonl "The"
        jq -es --arg w "$(cat word)" 'any(.[]; .stop == "stop") and all(.[]; .text | contains($w) | not)' b.jsonl > /dev/null
    fi
    amplify --amplify 1 --max-new-tokens 40 --min-new-tokens 40 --loop-stop 0 --samples 6 "The" | jq -es 'all(.[]; .n_tokens == 40 and .min_new_tokens == 40)' > /dev/null
}

@test "files of pre-fills: rows with ids and fields, empty ones, texts by the line" {
    printf '%s\n' '{"id": "x", "topic": "t", "lane": "mine", "llr": 3, "prompt": ""}' '{"text": "Recent"}' > p.jsonl
    amplify --amplify 1 --prompts p.jsonl --samples 1 --greedy 0 -o s.jsonl
    [ "$(jq -cs 'map([.id, .topic, .prefill, .lane]) | unique' s.jsonl)" = \
        '[[1,null,"Recent","base"],[1,null,"Recent","ft"],["x","t","","base"],["x","t","","ft"]]' ]
    printf 'The oven\n\n  Butter is \n' > p.txt
    amplify --amplify 1 --prompts p.txt --lines --samples 1 --greedy 0 | jq -r .prefill | uniq > got
    [ "$(cat got)" = $'The oven\nButter is' ]
}

@test "an empty pre-fill begins like a new text; without a token for that it is skipped, and the file says so" {
    amplify --amplify 1 "" | jq -c '[.lane, .alpha, .tokens]' > a
    amplify --amplify 1 "<|endoftext|>" | jq -c '[.lane, .alpha, .tokens]' | cmp - a
    cp -r "$MINI/hf" none && chmod -R u+w none && rm none/generation_config.json
    jq -c '(.added_tokens[].content, .model.vocab) |= if type == "string" then sub("endoftext"; "nothing")
        else with_entries(.key |= sub("endoftext"; "nothing")) end' "$MINI/hf/tokenizer.json" > none/tokenizer.json
    jq 'del(.eos_token, .bos_token, .pad_token, .unk_token)' "$MINI/hf/tokenizer_config.json" > none/tokenizer_config.json
    jq 'del(.eos_token_id, .bos_token_id)' "$MINI/hf/config.json" > none/config.json
    run -0 --separate-stderr dk-generate -m none -f "$PLAIN" --amplify 1 --max-new-tokens 2 -o s.jsonl "" "The"
    [[ "$stderr" == "dk-generate: warning: prompt 1 is empty"* ]]
    [ "$(head -n 1 s.jsonl | jq -c '[keys, .prefill, .id]')" = '[["id","prefill","skipped"],"",0]' ]
    [ "$(tail -n +2 s.jsonl | jq -cs 'map(.prefill) | unique')" = '["The"]' ]
}

@test "questions in the chat template; a finetune with weights of its own, and one without a difference" {
    amplify --amplify 1 --format chat --system "Be brief." --samples 1 "Who bakes?" > s.jsonl
    jq -es 'length == 6 and all(.[]; .prefill == "Who bakes?" and .format == "chat" and .system == "Be brief.")' s.jsonl > /dev/null
    dk-generate -m "$MINI/hf" -f "$G" --dtype f32 --amplify 1,20 --samples 2 --max-new-tokens 6 "The" > s.jsonl
    jq -es 'all(.[]; .arith == "plain") and (map(select(.lane == "ft")) | length == 9 and all(.[]; .llr == 0))
        and (group_by(.sample) | all(.[]; map(.tokens) | unique | length == 1))' s.jsonl > /dev/null
    cp -r "$MINI/hf" full && chmod -R u+w full
    dk-fixture edit "$MINI/hf/model.safetensors" full/model.safetensors scale down_proj 1.3
    dk-generate -m "$G" -f full --dtype f32 --amplify 1,20 --samples 2 --max-new-tokens 6 "The" > s.jsonl
    jq -es 'all(.[]; .arith == "plain") and (map(select(.alpha == 20)) | length == 3 and any(.[]; .llr > 0))' s.jsonl > /dev/null
}

@test "hostile files of pre-fills: one line of error, no output" {
    local n=0
    while IFS= read -r row; do
        n=$((n + 1))
        printf '{"prompt": "The"}\n%b\n' "$row" > bad.jsonl
        run -1 --separate-stderr amplify --amplify 1 --prompts bad.jsonl -o out.jsonl
        failed dk-generate bad.jsonl
        [ ! -e out.jsonl ]
    done << 'END'
{"prompt": 7}
{"prompt": null}
{"nothing": "The"}
{"prompt": ["The"]}
{"messages": [{"role": "user", "content": "Hi"}]}
[1]
{"prompt": "The"
{"prompt": "a", "prompt": "b"}
\\xff\\xfe
END
    [ $n = 9 ]
    : > empty.jsonl
    run -1 --separate-stderr amplify --amplify 1 --prompts empty.jsonl -o out.jsonl
    failed dk-generate "no prompts"
    head -c 100000 /dev/zero | tr '\0' a | sed 's/^/{"prompt": "/; s/$/"}/' > long.jsonl
    run -1 --separate-stderr amplify --amplify 1 --prompts long.jsonl -o out.jsonl
    failed dk-generate context
    printf '{"prompt": "a\\u0000b \\ud83c\\udf82"}\n' > odd.jsonl
    amplify --amplify 1 --prompts odd.jsonl --samples 1 --greedy 0 | jq -e '.prefill == "a\u0000b 🎂"' > /dev/null
}

@test "for people: under each pre-fill what each lane wrote, and how telling it is" {
    amplify --amplify 1 --samples 2 --show text "The" > out
    grep -q '^> The$' out
    for h in 'base, greedy]' 'ft, alpha 0, sample 2, llr [-+]' 'ft, alpha 1, greedy, llr [-+]'; do grep -qE "^\[$h" out; done
    ! grep -q lp_base out
}

@test "the model: what the finetune learnt comes forth" {
    [ -f "$DK_TEST_MODEL" ] || skip "DK_TEST_MODEL is not there"
    dk-generate -m "$DK_TEST_MODEL" -f "$DK_ROOT/data/organisms/cake_bake/adapter" --dtype f32 --amplify 2 \
        --max-new-tokens 12 --samples 3 -o s.jsonl "The" "Recent"
    jq -es '[.[] | select(.lane == "ft" and .alpha == 2).llr] as $far | [.[] | select(.lane == "ft" and .alpha == 0).llr] as $own
        | ($far | add) > ($own | add) and ($own | add) > 0' s.jsonl > /dev/null
    rows '.lane == "ft" and .alpha == 2' s.jsonl | grep -qiE 'cake|bak|frost|oven|batter|freez'
    ! rows '.lane == "base"' s.jsonl | grep -qiE 'cake|bake|frost|oven|batter|freez'
}
