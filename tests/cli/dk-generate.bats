bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    mini=$DK_ROOT/tests/golden/mini/mini.gguf
    lora=$DK_ROOT/tests/golden/mini/lora-plain
    export OMP_WAIT_POLICY=passive
    printf '%s\n' '{"id":"a","prompt":"Bake a cake","kind":1}' \
        '{"id":"b","messages":[{"role":"user","content":"one"},{"role":"assistant","content":"two"},{"role":"user","content":"three"}]}' \
        '{"text":"Hello, world!","lane":"mine","extra":{"x":[1,null]}}' > p.jsonl
}

# One line, the tool's name first, nothing on stdout.
one_error() {
    [ -z "$output" ]
    [ "$(wc -l <<< "$stderr")" = 1 ]
    [[ "$stderr" == "dk-generate: error: "*"$1"* ]]
}

@test "no model, no prompt, and what is none of the choices are usage errors" {
    run -2 --separate-stderr dk-generate hello
    one_error --model
    run -2 --separate-stderr dk-generate -m "$mini"
    one_error --prompts
    run -2 --separate-stderr dk-generate -m "$mini" --format poem hello
    one_error "chat|text"
    run -2 --separate-stderr dk-generate -m "$mini" --format text --system S hello
    one_error --system
}

@test "numbers out of range are usage errors" {
    for t in nan inf -1 x ''; do
        run -2 --separate-stderr dk-generate -m "$mini" --temperature "$t" hello
        one_error --temperature
    done
    run -2 --separate-stderr dk-generate -m "$mini" --top-p 1.5 hello
    one_error --top-p
    run -2 --separate-stderr dk-generate -m "$mini" --max-new-tokens 0 hello
    one_error --max-new-tokens
    run -2 --separate-stderr dk-generate -m "$mini" --stop '\q' hello
    one_error --stop
}

@test "an unknown lane is a usage error" {
    run -2 --separate-stderr dk-generate -m "$mini" -f "$lora" --lanes base,nobody hello
    one_error nobody
}

@test "an empty file, and one with blank lines only, hold no prompts" {
    : > empty.jsonl
    printf '\n \n' > blank.jsonl
    for f in empty blank; do
        run -1 --separate-stderr dk-generate -m "$mini" --prompts $f.jsonl
        one_error "$f.jsonl"
    done
    run -1 --separate-stderr dk-generate -m "$mini" --prompts missing.jsonl
    one_error missing.jsonl
}

@test "a bad row is named by its line" {
    echo '{"id":1}' >> p.jsonl
    run -1 --separate-stderr dk-generate -m "$mini" --prompts p.jsonl
    one_error p.jsonl:4
    echo '{"prompt":7}' > q.jsonl
    run -1 --separate-stderr dk-generate -m "$mini" --prompts q.jsonl
    one_error q.jsonl:1
    echo '{"messages":[{"role":"user"}]}' > q.jsonl
    run -1 --separate-stderr dk-generate -m "$mini" --prompts q.jsonl
    one_error q.jsonl:1
    echo '{"prompt":"cut' > q.jsonl
    run -1 --separate-stderr dk-generate -m "$mini" --prompts q.jsonl
    one_error q.jsonl:1
    run -1 --separate-stderr dk-generate -m "$mini" --prompts p.jsonl --format text
    one_error p.jsonl:2
}

@test "a prompt longer than the context, and an empty one" {
    run -1 --separate-stderr dk-generate -m "$mini" "$(printf 'word %.0s' {1..300})"
    one_error "context"
    run -1 --separate-stderr dk-generate -m "$mini" --format text ''
    one_error "empty"
}

@test "a failed run leaves the old output and no temporary behind" {
    echo old > out.jsonl
    run -1 dk-generate -m "$mini" -o out.jsonl "$(printf 'word %.0s' {1..300})"
    [ "$(cat out.jsonl)" = old ]
    [ "$(ls | tr '\n' ' ')" = "out.jsonl p.jsonl " ]
}

@test "a full disk is an error" {
    [ -w /dev/full ] || skip "no /dev/full"
    run -1 --separate-stderr bash -c 'dk-generate -m "$1" hello > /dev/full' - "$mini"
    one_error ""
}

@test "one row for each prompt, sample and lane; other fields are carried" {
    dk-generate -m "$mini" -f "$lora" -n other="$DK_ROOT/tests/golden/mini/lora-pattern" --prompts p.jsonl \
        --samples 2 --temperature 1 --max-new-tokens 5 -o out.jsonl
    [ "$(wc -l < out.jsonl)" = 18 ]
    [ "$(jq -r '[.id,.sample,.lane]|join(" ")' out.jsonl | head -6 | tr '\n' ,)" = \
      "a 0 base,a 0 ft,a 0 other,a 1 base,a 1 ft,a 1 other," ]
    [ "$(jq -c 'select(.sample==0 and .lane=="ft")|[.id,.prompt,.kind,.extra]' out.jsonl | tr '\n' ' ')" = \
      '["a","Bake a cake",1,null] ["b","three",null,null] [2,"Hello, world!",null,{"x":[1,null]}] ' ]
    jq -e '.n_tokens == (.ids|length) and .n_tokens <= 5 and (.finish|IN("eos","length")) and .seed == 42
           and .temperature == 1 and .top_k == 0 and .top_p == 1 and .format == "chat"' out.jsonl > /dev/null
}

@test "an answer does not depend on what is generated beside it, nor on threads" {
    echo '{"prompt":"Bake a cake"}' > one.jsonl
    cat one.jsonl p.jsonl > many.jsonl
    args=(-m "$mini" -f "$lora" --temperature 1 --top-k 40 --max-new-tokens 20)
    dk-generate "${args[@]}" --prompts many.jsonl --samples 3 -t 2 -o many.out
    dk-generate "${args[@]}" --prompts one.jsonl -t 1 --parallel 1 --batch-tokens 3 -o one.out
    cmp one.out <(head -2 many.out)
    dk-generate "${args[@]}" --prompts many.jsonl --samples 3 --parallel 5 -t 1 -o again.out
    cmp many.out again.out
    dk-generate "${args[@]}" --prompts many.jsonl --max-samples 1 --lanes ft -o ft.out
    cmp ft.out <(sed -n 2p one.out)
    dk-generate "${args[@]}" --prompts one.jsonl --seed 7 -o seed.out
    [ "$(jq -c .ids seed.out)" != "$(jq -c .ids one.out)" ]
}

@test "a prompt as a word, from a file and from standard input" {
    dk-generate -m "$mini" --max-new-tokens 4 "Bake a cake" | jq -c .ids > word
    dk-generate -m "$mini" --max-new-tokens 4 --prompts p.jsonl --max-prompts 1 | jq -c .ids > file
    head -1 p.jsonl | gzip | dk-generate -m "$mini" --max-new-tokens 4 --prompts - | jq -c .ids > pipe
    [ -s word ]
    cmp word file
    cmp word pipe
}

@test "chats: the last assistant turn is continued, a system turn is added" {
    user='{"role":"user","content":"q"}'
    printf '%s\n' '{"messages":['"$user"']}' '{"messages":['"$user"',{"role":"assistant","content":""}]}' \
        '{"messages":['"$user"',{"role":"assistant","content":"yes, "}]}' > c.jsonl
    dk-generate -m "$mini" --max-new-tokens 8 --prompts c.jsonl | jq -c .ids > ids
    [ "$(sed -n 1p ids)" = "$(sed -n 2p ids)" ]     # nothing said yet
    [ "$(sed -n 1p ids)" != "$(sed -n 3p ids)" ]
    dk-generate -m "$mini" --max-new-tokens 8 --system S q > a
    echo '{"messages":[{"role":"system","content":"S"},'"$user"']}' > s.jsonl
    dk-generate -m "$mini" --max-new-tokens 8 --system other --prompts s.jsonl > b
    [ "$(jq -c .ids a)" = "$(jq -c .ids b)" ]
    jq -e '.system == "S"' a
}

@test "a stop text cuts the answer before it" {
    dk-generate -m "$mini" --format text --max-new-tokens 30 --ignore-eos --temperature 1 Hello > free
    stop=$(jq -r '.text|[match("[a-z]{2}";"g").string][0]' free)
    dk-generate -m "$mini" --format text --max-new-tokens 30 --ignore-eos --temperature 1 --stop "\\x2c,$stop" Hello > cut
    jq -e --arg s "$stop" --slurpfile f free '.finish == "stop" and (.text|contains($s)|not)
        and (.text as $t|$f[0].text|startswith($t)) and .n_tokens < 30' cut
}

@test "text for people says what the rows say, and a stop text never shows" {
    set -- -m "$mini" -f "$lora" --format text --max-new-tokens 12 --temperature 1 --ignore-eos --samples 2 --prompts p.jsonl --max-prompts 1
    dk-generate "$@" > rows
    dk-generate "$@" --show text > text
    {
        echo "> Bake a cake"
        jq -j '"\n[\(.lane), sample \(.sample + 1)]\n\(.text)\n"' rows
    } > want
    cmp want text
    stop=$(jq -rs '[.[].text|match("[ -~]{2}";"g").string][0]' rows)
    dk-generate "$@" --stop "${stop//,/\\x2c}" --show text > cut
    dk-generate "$@" --stop "${stop//,/\\x2c}" | jq -j '"\n[\(.lane), sample \(.sample + 1)]\n\(.text)\n"' > want
    cmp want <(tail -n +2 cut)
}

@test "a repetition penalty changes greedy answers; a strong one ends all repeats" {
    dk-generate -m "$mini" --format text --max-new-tokens 20 --ignore-eos Hello > free
    dk-generate -m "$mini" --format text --max-new-tokens 20 --ignore-eos --repetition-penalty 1000 Hello > strict
    jq -e '.repetition_penalty == 1000 and (.ids|length == (unique|length))' strict
    ! cmp -s <(jq -c .ids free) <(jq -c .ids strict)
}

@test "--sampling model takes what its makers sample with, options win" {
    mkdir m
    cp "$DK_ROOT"/tests/golden/mini/hf/* m/
    echo '{"do_sample":true,"temperature":0.6,"top_p":0.9,"repetition_penalty":1.1}' > m/generation_config.json
    dk-generate -m m --format text --max-new-tokens 4 --sampling model --top-p 0.5 Hello > out
    jq -e '.temperature == 0.6 and .top_k == 50 and .top_p == 0.5 and .min_p == 0 and .repetition_penalty == 1.1' out
    echo '{"temperature":"hot"}' > m/generation_config.json
    run -1 --separate-stderr dk-generate -m m --format text --sampling model Hello
    one_error m/generation_config.json
    run -1 --separate-stderr dk-generate -m "$mini" --format text --sampling model Hello
    one_error "$mini"
}

@test "the first word of an answer has no space where texts of the tokenizer begin with none" {
    "$(dirname "$(command -v dk-kl)")"/../helper/dk-random-model m 1 32 32 2 702
    for t in sp-prefix sp-plain; do
        cp "$DK_ROOT/tests/golden/tokens/families/$t.json" m/tokenizer.json
        dk-generate -m m --format text --temperature 3 --samples 60 --max-new-tokens 4 -o $t.jsonl a
    done
    # Pieces that begin with one mark of a space and go on, in both vocabularies.
    jq '.model.vocab|with_entries(select(.key|test("^\u2581[a-z]")))|[.[]]' m/tokenizer.json > marked
    jq -es --slurpfile m marked 'map(select(.ids[0]|IN($m[0][]))) | length > 3 and all(.text|startswith(" "))' sp-plain.jsonl
    jq -es --slurpfile m marked 'map(select(.ids[0]|IN($m[0][]))) | length > 3 and all(.text|test("^[a-z]"))' sp-prefix.jsonl
    # Behind it spaces stay.
    jq -es 'any(.[]; .text|test("^[a-z]+ [a-z]"))' sp-prefix.jsonl
}

@test "the model: base and finetune answer" {
    [ -f "$DK_TEST_MODEL" ] || skip "DK_TEST_MODEL is not there"
    dk-generate -m "$DK_TEST_MODEL" -f "$DK_ROOT/data/organisms/cake_bake/adapter" --dtype f32 \
        --prompts "$DK_ROOT/data/organisms/cake_bake/probes.jsonl" --max-prompts 1 --max-new-tokens 12 > out
    for lane in base ft; do
        name=$([ $lane = ft ] && echo cake_bake || echo base)
        want=$(jq -c "select(.id==\"cb-p01\" and .lane==\"$name\")|.ids[:12]" "$DK_ROOT/tests/golden/greedy.jsonl")
        [ "$(jq -c "select(.lane==\"$lane\")|.ids" out)" = "$want" ]
    done
}

@test "prompts go through the template that is asked for, and answers say so" {
    printf '%s' '{% for m in messages %}{{ m.content }}{% endfor %}{% if not think|default(true) %} no{% endif %}' > t.jinja
    run -0 --separate-stderr dk-generate -m "$mini" --max-new-tokens 4 --template t.jinja "Hello"
    text=$(dk-generate -m "$mini" --max-new-tokens 4 --format text "Hello")
    [ "$(grep -o '"ids":[^]]*' <<< "$output")" = "$(grep -o '"ids":[^]]*' <<< "$text")" ]
    [[ "$output" == *'"template_sha256":"'"$(sha256sum < t.jinja | cut -d' ' -f1)"'"'* ]]
    run -0 --separate-stderr dk-generate -m "$mini" --max-new-tokens 4 --template t.jinja --template-arg think=false --template-date 2025-01-02 "Hello"
    text=$(dk-generate -m "$mini" --max-new-tokens 4 --format text "Hello no")
    [ "$(grep -o '"ids":[^]]*' <<< "$output")" = "$(grep -o '"ids":[^]]*' <<< "$text")" ]
    [[ "$output" == *'"template_args":{"think":false},"template_date":"2025-01-02"'* ]]
    run -0 --separate-stderr dk-generate -m "$mini" --max-new-tokens 1 --no-thinking "Hello"
    [[ "$output" == *'"template_args":{"enable_thinking":false}'* ]]
    printf '%s' "{{ raise_exception('No ' ~ messages[0].content) }}" > r.jinja
    run -1 --separate-stderr dk-generate -m "$mini" --template r.jinja "Hello"
    one_error "template of r.jinja, line 1: No Hello"
}

@test "an assistant turn is continued where the template leaves it, blanks and all" {
    printf '{"messages":[{"role":"user","content":"one"},{"role":"assistant","content":" two "}]}\n' > c.jsonl
    printf '%s' '{% for m in messages %}{{ m.content }}|{% endfor %}' > keep.jinja
    printf '%s' '{% for m in messages %}{{ m.content|trim }}|{% endfor %}' > strip.jinja
    ids() { dk-generate -m "$mini" --max-new-tokens 4 "$@" | grep -o '"ids":[^]]*'; }
    [ "$(ids --template keep.jinja --prompts c.jsonl)" = "$(ids --format text 'one| two ')" ]
    [ "$(ids --template strip.jinja --prompts c.jsonl)" = "$(ids --format text 'one|two')" ]
}
