# Every kind of architecture through the tools: what dk-check finds, and what
# KL, extraction and answers make of a pair.
load ../helper/common

GOLD=$ROOT/tests/golden
command -v dk-seeded > /dev/null || PATH=$PATH:$(dirname "$(command -v dk-conf)")/../helper
export OMP_WAIT_POLICY=passive

# arch NAME [DIR [SED-SCRIPT]]: the miniature with a vocabulary for the miniature tokenizer, its list edited.
arch() {
    local dir=${2:-$1}
    mkdir "$dir"
    sed "s/ 80 32\$/ 512 32/; ${3:-}" "$GOLD/archs/$1/tensors.txt" > list
    dk-seeded list "$dir/model.safetensors"
    sed 's/"vocab_size": 80/"vocab_size": 512/' "$GOLD/archs/$1/config.json" > "$dir/config.json"
    cp "$GOLD"/mini/hf/tokenizer*.json "$GOLD"/mini/hf/chat_template.jinja "$dir"
}

# lora NAME: its adapter in ./ft.
lora() {
    mkdir ft
    sed 's/ 2 80$/ 2 512/; s/ 80 2$/ 512 2/; s/ 80 32$/ 512 32/' "$GOLD/archs/$1/lora/tensors.txt" > list
    dk-seeded list ft/adapter_model.safetensors
    cp "$GOLD/archs/$1/lora/adapter_config.json" ft
}

# A model of random weights guesses badly, which is what G2 finds; nothing else does.
sound() {
    run -3 --separate-stderr dk-check -m "$1" -f ft --checks all
    [ "$(jq -r 'select(.status == "fail") | .check' <<< "$output" | sort -u)" = G2 ]
    [ "$(jq -r 'select(.check == "A4" and .lane == "ft") | .status' <<< "$output")" = pass ]
}

# Tokens, KL of the adapter, answers of both: numbers there are, and they differ.
walk() {
    printf '%s\n' '{"id":"a","text":"A cake is baked in an oven."}' '{"id":"b","text":"Bread"}' > texts.jsonl
    dk-tokenize -m "$1" -o t.tok.h5 --max-tokens 20 texts.jsonl
    run -0 --separate-stderr dk-kl -m "$1" -f ft --dtype f32 -o k.score.h5 t.tok.h5
    [ "$(dk-values k.score.h5 kl/ft | awk '$1 > 0.001 { n++ } END { print (n > 3) }')" = 1 ]
    echo '{"id":"p","prompt":"Hi"}' > prompts.jsonl
    run -0 --separate-stderr dk-generate -m "$1" -f ft --lanes base,ft --dtype f32 --format text --max-new-tokens 6 \
        --ignore-eos --prompts prompts.jsonl -o g.jsonl
    [ "$(jq -r 'select(.id == "p") | .lane' g.jsonl | sort | xargs)" = "base ft" ]
}

# What nothing is added to is the base to the bit, however a tensor is stored.
nulls() {
    arch "$1"
    mkdir full && cp "$1"/*.json full
    dk-fixture edit "$1/model.safetensors" full/model.safetensors scale weight 1.1 "${@:2}"
    printf '%s\n' '{"id":"a","text":"A cake is baked in an oven."}' '{"id":"b","text":"Bread"}' > texts.jsonl
    dk-tokenize -m "$1" -o t.tok.h5 --max-tokens 20 texts.jsonl
    dk-null -m "$1" -f full -k same -o same
    dk-null -m "$1" -f full -k rigid --match effect --dtype f32 -o rigid t.tok.h5
    dk-kl -m "$1" -f full -n same=same -n rigid=rigid --dtype f32 t.tok.h5 > t.jsonl
    [ "$(jq -c '[.lane, .per_token_statistics.max == 0, .value > 0]' t.jsonl | tr '\n' ' ')" = '["ft",false,true] ["same",true,false] ["rigid",false,true] ' ]
}
@test "gpt2: nulls of full weights, whose maps are stored the other way round" { nulls gpt2 scale bias 1.2; }
@test "gemma2: nulls of full weights, with norms around what is added" { nulls gemma2; }
@test "qwen2: nulls of full weights, with biases" { nulls qwen2 scale bias 1.2; }

@test "gpt2: an adapter on fused queries, keys and values" { arch gpt2; lora gpt2; sound gpt2; walk gpt2; }
@test "qwen2: biases, yarn, windows in the upper layers" { arch qwen2; lora qwen2; sound qwen2; walk qwen2; }
@test "qwen3: saved embedding and head" { arch qwen3; lora qwen3; sound qwen3; walk qwen3; }
@test "gemma2: soft caps, an adapter on the embedding" { arch gemma2; lora gemma2; sound gemma2; walk gemma2; }
@test "gemma3: two rotations" { arch gemma3; lora gemma3; sound gemma3; walk gemma3; }
@test "llama3: an adapter on the head" { arch llama3; lora llama3; sound llama3; walk llama3; }

@test "a finetune with more ids than the base, or fewer: those that both have are compared" {
    arch gpt2
    arch gpt2 more 's/c_fc.weight F32 0 0.375/c_fc.weight F32 0 0.5/; s/ 512 32$/ 520 32/'
    arch gpt2 fewer 's/ 512 32$/ 512 32/; s/c_fc.weight F32 0 0.375/c_fc.weight F32 0 0.5/'
    sed -i 's/"vocab_size": 512/"vocab_size": 520/' more/config.json
    echo '{"id":"a","text":"A cake is baked in an oven."}' > texts.jsonl
    dk-tokenize -m gpt2 -o t.tok.h5 texts.jsonl
    run -0 --separate-stderr dk-kl -m gpt2 -f more --dtype f32 -o more.score.h5 t.tok.h5
    [ "$stderr" = "dk-kl: warning: more has 520 ids, the base 512: those that both have are compared, as if there were no others" ]
    run -0 --separate-stderr dk-kl -m gpt2 -f fewer --dtype f32 -o fewer.score.h5 t.tok.h5
    [ -z "$stderr" ]
    # the rows of common ids are equal in both, so the numbers are
    [ "$(dk-values more.score.h5 kl/ft)" = "$(dk-values fewer.score.h5 kl/ft)" ]
    run -0 --separate-stderr dk-check -m gpt2 -f more --checks A4,A8,L3,E2
    run -0 --separate-stderr dk-kl -m more -f gpt2 --dtype f32 -o back.score.h5 t.tok.h5
    [ "$stderr" = "dk-kl: warning: gpt2 has 512 ids, the base 520: those that both have are compared, as if there were no others" ]
}

@test "models of different architectures are not compared" {
    arch gemma3
    arch qwen3
    echo '{"id":"a","text":"Hi"}' > texts.jsonl
    dk-tokenize -m gemma3 -o t.tok.h5 texts.jsonl
    run -1 --separate-stderr dk-kl -m gemma3 -f qwen3 --dtype f32 -o k.score.h5 t.tok.h5
    one_error dk-kl
    [[ "$stderr" == *"gemma3 (Gemma3ForCausalLM) and qwen3 (Qwen3ForCausalLM) differ in architecture" ]]
}

@test "dk-conf model: a row for each configuration, as the models' cards have it" {
    run -0 --separate-stderr dk-conf model "$ROOT"/tests/data/models/*.json
    diff <(echo "$output") "$ROOT/tests/data/models/rows.tsv"
    [ "$(tail -n +2 "$ROOT/tests/data/models/rows.tsv" | cut -f 1)" = \
      "$(cd "$ROOT/configs/model" && printf '%s\n' *.yaml | sed 's/\.yaml$//' | grep -v '^auto$')" ]
    run -0 --separate-stderr dk-conf model "$GOLD/archs/gpt2/model.gguf" "$GOLD/archs/gpt2/config.json" "$GOLD/mini/hf"
    [ "$(cut -f 1,2,3 <<< "${lines[1]}")" = $'gpt2\tgpt2\t2' ]
    [ "$(cut -f 3- <<< "${lines[1]}")" = "$(cut -f 3- <<< "${lines[2]}")" ]
    [ "$(cut -f 1 <<< "${lines[3]}")" = hf ]
}

@test "dk-conf model: what is no model's configuration is named in one line, and nothing is printed" {
    run -2 --separate-stderr dk-conf model
    one_error dk-conf
    echo '{"architectures":["Foo\nBar"]}' > config.json
    run -1 --separate-stderr dk-conf model "$ROOT/tests/data/models/gpt2.json" config.json
    one_error dk-conf
    [ -z "$output" ]
    [[ "$stderr" == *"config.json: architecture Foo?Bar is not known; supported: LlamaForCausalLM, "* ]]
    run -1 --separate-stderr dk-conf model missing.json
    one_error dk-conf
}
