# Every check has a fixture that breaks it and no other check.
bats_require_minimum_version 1.5.0

# A miniature whose loss is sane; dk-fixture makes everything else from it.
setup_file() {
    bin=$(dirname "$(command -v dk-check)")/../helper
    export PATH="$bin:$PATH" MINI=$DK_ROOT/tests/golden/mini BASE=$BATS_FILE_TMPDIR/base OMP_WAIT_POLICY=passive
    if ! command -v dk-fixture > /dev/null; then
        echo "dk-fixture is not built: make helpers" >&2
        return 1
    fi
    cp -r "$MINI/hf" "$BASE"
    sed -i 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' "$BASE/config.json"
    dk-fixture learn "$MINI/hf" "$BASE/model.safetensors"
}

setup() { mkdir "$BATS_TEST_TMPDIR/w" && cd "$BATS_TEST_TMPDIR/w"; }    # bats keeps files above

# adapter OP...: a copy of the plain adapter in ./ft, its weights edited.
adapter() {
    mkdir -p ft
    cp "$MINI/lora-plain/adapter_config.json" ft
    dk-fixture edit "$MINI/lora-plain/adapter_model.safetensors" ft/adapter_model.safetensors "$@"
}

# config SED-SCRIPT: the same with its config edited.
config() {
    adapter scale lora 1
    sed -i "$1" ft/adapter_config.json
    ! cmp -s "$MINI/lora-plain/adapter_config.json" ft/adapter_config.json || return 1
}

# base SED-SCRIPT FILE: a copy of the base in ./base with one file edited.
base() {
    cp -r "$BASE" base
    sed -i "$1" "base/$2"
    ! cmp -s "$BASE/$2" "base/$2" || return 1
}

# tokenizer SED-SCRIPT FILE: the plain adapter with a tokenizer, one file edited.
tokenizer() {
    adapter scale lora 1
    cp "$BASE"/{tokenizer.json,tokenizer_config.json,chat_template.jinja} ft
    sed -i "$1" "ft/$2"
    ! cmp -s "$BASE/$2" "ft/$2" || return 1
}

check() { dk-check -t 1 "$@"; }

# rows STATUS: "CHECK lane" of the rows with that status in $output.
rows() {
    sed -n 's/^{"check":"\([A-Z0-9]*\)","lane":"\([a-z_]*\)","status":"'"$1"'".*/\1 \2/p' <<< "$output"
}

# fails "CHECK lane" TEXT OPTION...: exactly this row fails, in one sentence.
fails() {
    local row=$1 text=$2
    shift 2
    run -3 --separate-stderr check "$@"
    echo "$output" "$stderr"
    [ "$(rows fail)" = "$row" ]
    [ "$(grep -vc '^dk-check: warning: ' <<< "$stderr")" = 1 ]
    [[ "$stderr" == *"dk-check: error: check ${row% *}, lane ${row#* }: "*"$text"* ]]
}

# warns "CHECK lane" TEXT OPTION...: exactly this row warns, none fails.
warns() {
    local row=$1 text=$2
    shift 2
    run -0 --separate-stderr check "$@"
    echo "$output" "$stderr"
    [ "$(rows warn)" = "$row" ]
    [ -z "$(rows fail)" ]
    [[ "$stderr" == *"check ${row% *}, lane ${row#* }: "*"$text"* ]]
}

@test "a sound pair passes everything, in every lane" {
    run -0 --separate-stderr check -m "$BASE" -f "$MINI/lora-plain" -n "pattern=$MINI/lora-pattern"
    [ -z "$stderr" ]
    [ "$(rows skip)" = $'T3 ft\nT3 pattern\nG1 base' ]
    [ "$(rows pass | wc -l)" = 39 ]
    [ "${#lines[@]}" = 42 ]
    [[ "$output" == *'"check":"A4","lane":"pattern"'*'every layer from 1 on'* ]]
    [[ "$output" == *'"check":"A5","lane":"pattern"'*'"detail":"model.layers.1.self_attn.q_proj adds '* ]]
    [[ "$output" == *'"check":"G1","lane":"base","status":"skip"'*'"detail":"recorded, not verified: '* ]]
}

@test "--checks all: those that are dear or rarely wanted too" {
    run -0 --separate-stderr check -m "$BASE" -f "$MINI/lora-plain" --checks all
    [ -z "$stderr" ]
    [ "$(rows skip)" = $'T3 ft\nA8 ft\nG1 base' ]
    [ "$(rows pass | sed 's/ .*//' | uniq | tr '\n' ' ')" = "T1 T2 T3 T4 A1 A2 A3 A4 A5 A6 A7 G2 L1 L2 L3 L4 L5 E1 E2 S1 " ]
}

@test "rows are valid JSON with the promised keys" {
    run -0 --separate-stderr check -m "$BASE" -f "$MINI/lora-plain" --checks G2,S1
    [ "${#lines[@]}" = 4 ]
    for l in "${lines[@]}"; do
        [[ "$l" =~ ^\{\"check\":\"[A-Z0-9]+\",\"lane\":\"[a-z]+\",\"status\":\"(pass|warn|fail|skip)\",\"value\":(null|[-0-9.e]+),\"limit\":(null|[-0-9.e]+),\"detail\":\".*\"\}$ ]]
    done
}

@test "the base alone: model and tokenizer" {
    run -0 --separate-stderr check -m "$BASE"
    [ "$(rows pass)" = "$(printf '%s base\n' T1 T2 T3 T4 G2 L1 L2 L3 L4 L5 E1 E2 S1)" ]
    [ "$(rows skip)" = "G1 base" ]
    [ "${#lines[@]}" = 14 ]
}

@test "bf16 products pass too" {
    run -0 --separate-stderr check -m "$BASE" -f "$MINI/lora-plain" --dtype bf16 --checks all
    [ -z "$stderr" ]
}

# --- A1 ---
@test "A1: a renamed module" {
    adapter rename layers.1.mlp.up_proj layers.1.mlp.op_proj
    fails "A1 ft" "no place for tensor base_model.model.model.layers.1.mlp.op_proj.lora_A.weight (and 1 more); targeted, but without weights: model.layers.1.mlp.up_proj" -m "$BASE" -f ft
}

@test "A1: a target without weights" {
    adapter drop layers.0.self_attn.k_proj
    fails "A1 ft" "without weights: model.layers.0.self_attn.k_proj" -m "$BASE" -f ft
}

@test "A1: weights that the config does not target" {
    config '/"k_proj",/d'
    fails "A1 ft" "not targeted: model.layers.0.self_attn.k_proj (and 1 more)" -m "$BASE" -f ft
}

@test "A1: half a module" {
    adapter drop layers.1.self_attn.q_proj.lora_B
    fails "A1 ft" "model.layers.1.self_attn.q_proj has lora_A but no lora_B" -m "$BASE" -f ft
}

@test "A1: an adapter of a narrower model, with module and both shapes" {
    adapter cols lora_A 48
    fails "A1 ft" "model.layers.0.self_attn.q_proj: lora_A is 4 x 48, expected 4 x 64" -m "$BASE" -f ft
}

@test "A1: an adapter of a deeper model" {
    adapter rename layers.1. layers.7.
    fails "A1 ft" "layers.7." -m "$BASE" -f ft
}

@test "A1: an adapter of a kind that cannot be applied" {
    config 's/"use_dora": false/"use_dora": true/'
    fails "A1 ft" "use_dora" -m "$BASE" -f ft
}

@test "A1: weights that are NaN" {
    adapter scale layers.0.mlp.up_proj.lora_A nan
    fails "A1 ft" "NaN" -m "$BASE" -f ft
}

# --- A2 ---
@test "A2: B all zero" {
    adapter scale lora_B 0
    fails "A2 ft" "untrained initialisation" -m "$BASE" -f ft
}

@test "A2: A all zero" {
    adapter scale lora_A 0
    fails "A2 ft" "untrained initialisation" -m "$BASE" -f ft
}

@test "A2: one module of zeros is a warning" {
    adapter scale layers.1.mlp.down_proj.lora_B 0
    warns "A2 ft" "model.layers.1.mlp.down_proj" -m "$BASE" -f ft
}

@test "A2: a first layer of zeros is a warning, and A4 looks from the second on" {
    adapter scale layers.0. 0
    warns "A2 ft" "(and 6 more)" -m "$BASE" -f ft
    [[ "$output" == *"every layer from 1 on"* ]]
}

# --- A3 ---
@test "A3: alpha is 0" {
    config 's/"lora_alpha": 8/"lora_alpha": 0/'
    fails "A3 ft" "scale is 0" -m "$BASE" -f ft
}

@test "A3: alpha is too large for a scale" {
    config 's/"lora_alpha": 8/"lora_alpha": 1e300/'
    fails "A3 ft" "not finite" -m "$BASE" -f ft
}

@test "A3: another rank in the config" {
    config 's/"r": 4/"r": 2/'
    fails "A3 ft" "has rank 4, adapter_config.json says 2" -m "$BASE" -f ft
}

@test "A3: the base that the adapter names lies here and is another one" {
    adapter scale lora 1
    sed -i "s|\"base_model_name_or_path\": \"mini\"|\"base_model_name_or_path\": \"$MINI/hf\"|" ft/adapter_config.json
    warns "A3 ft" "trained on $MINI/hf" -m "$BASE" -f ft
}

# --- A4 ---
@test "A4: weights too small to change a bit" {
    adapter scale lora 1e-20
    fails "A4 ft" "changes nothing" -m "$BASE" -f ft
}

@test "an effect is not missed with --expect-null" {
    adapter scale lora 1e-20
    run -0 --separate-stderr check --expect-null -m "$BASE" -f ft
    [ -z "$(rows fail)" ]
    adapter scale lora_B 0
    warns "A2 ft" "all zero" --expect-null -m "$BASE" -f ft
    config 's/"lora_alpha": 8/"lora_alpha": 0/'
    warns "A3 ft" "scale is 0" --expect-null -m "$BASE" -f ft
}

# --- A5 ---
@test "A5: whichever map is the first that the adapter changes" {
    local ops=()
    for m in self_attn.{q,k,v,o}_proj mlp.{gate,up,down}_proj; do
        adapter scale lora_B 1 "${ops[@]}"
        run -0 --separate-stderr check -m "$BASE" -f ft --checks A5 --dtype f32
        [[ "$output" == *'"status":"pass"'*"model.layers.0.$m adds "* ]]
        ops+=(scale "layers.0.$m.lora_B" 0)
    done
}

# --- A7 ---
@test "A7: an update that a merge in bf16 would lose" {
    adapter scale lora_B 0.001
    warns "A7 ft" "most of the update would be lost in rounding" -m "$BASE" -f ft --checks all
}

# --- A8 ---
@test "A8: a full finetune that is the base" {
    fails "A8 ft" "all 21 tensors are equal" -m "$BASE" -f "$BASE" --checks A8
}

@test "A8: only norms or embeddings differ, then more" {
    cp -r "$BASE" full
    dk-fixture edit "$BASE/model.safetensors" full/model.safetensors scale layers.1.input_layernorm 2 scale embed_tokens 2
    warns "A8 ft" "only embeddings or norms differ: 19 of 21" -m "$BASE" -f full --checks A8
    dk-fixture edit "$BASE/model.safetensors" full/model.safetensors scale layers.1.mlp.up_proj 2
    run -0 --separate-stderr check -m "$BASE" -f full --checks A8
    [[ "$output" == *'"status":"pass"'*"20 of 21 tensors are equal"* ]]
}

# full OP...: a copy of the base in ./full, its weights edited.
full() {
    [ -d full ] || cp -r "$BASE" full
    dk-fixture edit "$BASE/model.safetensors" full/model.safetensors "$@"
}

@test "a full finetune passes everything that is not about adapters, beside one of another kind" {
    full scale layers.1.mlp.up_proj 1.2
    run -0 --separate-stderr check -m "$BASE" -f full -n "plain=$MINI/lora-plain" --dtype f32
    [ -z "$stderr" ]
    [ "$(rows skip)" = $'T3 plain\nA1 ft\nA2 ft\nA3 ft\nA5 ft\nG1 base' ]
    [ "$(rows pass | grep ' ft$' | sed 's/ .*//' | tr '\n' ' ')" = "T3 A4 A8 G2 L1 L2 L3 L4 E1 E2 S1 " ]
    [ "$(grep -c '"lane":"ft".*"not applicable: ' <<< "$output")" = 4 ]
    [[ "$output" == *'"check":"A4","lane":"ft"'*'every layer from 1 on differs from the base, none before'* ]]
    run -0 --separate-stderr check -m "$BASE" -f full --checks A6,A7
    [ "$(rows skip)" = $'A6 ft\nA7 ft' ]
}

@test "GGUF files and folders as full finetunes of each other" {
    run -0 --separate-stderr check -m "$MINI/mini.gguf" -f "$MINI/hf" -n "q=$MINI/mini.gguf" --checks T3,A8,L3,E1 --allow-identical
    [ "$(rows pass)" = $'T3 base\nT3 ft\nT3 q\nL3 base\nL3 ft\nL3 q\nE1 base\nE1 ft\nE1 q' ]
    [ "$(rows warn)" = $'A8 ft\nA8 q' ]
}

@test "A4: a full finetune, where its tensors say: embedding, last norm, too little" {
    full scale embed_tokens 1.1
    warns "A8 ft" "only embeddings or norms differ: 20 of 21" -m "$BASE" -f full --dtype f32
    [[ "$output" == *'"check":"A4","lane":"ft","status":"pass"'*'every layer from 0 on'* ]]
    full scale model.norm 1.1
    warns "A8 ft" "only embeddings or norms differ: 20 of 21" -m "$BASE" -f full --dtype f32
    [[ "$output" == *'"check":"A4","lane":"ft","status":"pass"'*"the residual stream is the base's, what follows differs"* ]]
    full scale layers.1.mlp.up_proj 1.0001
    fails "A4 ft" "the finetune changes nothing" -m "$BASE" -f full --dtype bf16
    run -0 --separate-stderr check -m "$BASE" -f full --dtype bf16 --expect-null
}

@test "A8: identical weights fail, may be expected, and are otherwise sound" {
    fails "A8 ft" "identical: all 21 tensors are equal to the base's" -m "$BASE" -f "$BASE"
    warns "A8 ft" "identical: all 21" -m "$BASE" -f "$BASE" --allow-identical
    [ "$(rows skip | tail -n 2)" = $'A5 ft\nG1 base' ]
    [[ "$output" == *"\"A4\",\"lane\":\"ft\",\"status\":\"skip\""*"weights are the base's, see A8"* ]]
    warns "A8 ft" "identical: all 21" -m "$BASE" -f "$BASE" --expect-null
}

@test "A8: an untied unembedding is a difference" {
    fails "A8 ft" "identical" -m "$MINI/hf" -f "$MINI/hf" --checks A8
    warns "A8 ft" "20 of 21 tensors are equal" -m "$MINI/hf" -f "$BASE" --checks A8
}

@test "A8: a finetune of other sizes, one that lacks a tensor, one with NaN" {
    full scale layers.1.mlp.up_proj 1.2
    sed -i 's/"rms_norm_eps": [0-9e.-]*/"rms_norm_eps": 0.1/' full/config.json
    fails "A8 ft" "differ in norm epsilon" -m "$BASE" -f full
    cp "$BASE/config.json" full
    full drop layers.1.mlp.up_proj
    run -1 --separate-stderr check -m "$BASE" -f full
    [ "$(wc -l <<< "$stderr")" = 1 ]
    [[ "$stderr" == *"full"*"layers.1.mlp.up_proj"* ]]
    full scale layers.1.mlp.up_proj nan
    fails "A8 ft" "NaN" -m "$BASE" -f full
    mkdir empty
    run -1 --separate-stderr check -m "$BASE" -f empty
    [ "$(wc -l <<< "$stderr")" = 1 ]
}

@test "A8: another type of storage is a warning, the same values in it are identical" {
    full scale layers.1.mlp.up_proj 1.2
    warns "A8 ft" "19 of 21 tensors are equal; stored as F32, the base as BF16: part of the difference is rounding" -m "$MINI/hf" -f full --checks A8
}

@test "G2: a full finetune whose products overflow" {
    full scale layers.1.mlp.up_proj 1e38
    fails "G2 ft" "the output of layer 1 is NaN or infinite" -m "$BASE" -f full
}

# --- G2 ---
@test "G2: a model that has learnt nothing" {
    fails "G2 base" "hardly better than guessing" -m "$MINI/hf" -f "$MINI/lora-plain"
}

@test "G2: weights that are NaN" {
    cp -r "$BASE" base
    dk-fixture edit "$BASE/model.safetensors" base/model.safetensors scale layers.1.mlp.up_proj nan
    fails "G2 base" "model.layers.1.mlp.up_proj" -m base -f "$MINI/lora-plain"
    [[ "$stderr" == *"holds NaN"* ]]
}

@test "G2: weights whose products overflow" {
    cp -r "$BASE" base
    dk-fixture edit "$BASE/model.safetensors" base/model.safetensors scale layers.1.mlp.up_proj 1e38
    fails "G2 base" "the output of layer 1 is NaN or infinite" -m base -f "$MINI/lora-plain"
}

@test "G2: an unembedding that overflows" {
    cp -r "$BASE" base
    dk-fixture edit "$BASE/model.safetensors" base/model.safetensors scale lm_head 1e38
    fails "G2 base" "log-probabilities" -m base -f "$MINI/lora-plain"
}

@test "G2: an adapter whose lane overflows" {
    adapter scale lora 1e15
    fails "G2 ft" "NaN or infinite" -m "$BASE" -f ft
}

# --- T1 ---
two_bos='"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|im_start|>","type_id":0}},{"SpecialToken":{"id":"<|im_start|>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<|im_start|>":{"id":"<|im_start|>","ids":[1],"tokens":["<|im_start|>"]}}}'
one_bos=${two_bos/'{"SpecialToken":{"id":"<|im_start|>","type_id":0}},'/}

@test "T1: a tokenizer that puts two BOS before a text" {
    base "s/\"post_processor\":null/$two_bos/" tokenizer.json
    fails "T1 base" "'<|im_start|>' twice" -m base -f "$MINI/lora-plain"
}

@test "T1: one BOS is counted, and only one stands before a chat" {
    base "s/\"post_processor\":null/$one_bos/" tokenizer.json
    run -0 --separate-stderr check -m base --checks T1
    [[ "$output" == *"1 BOS before a text, 1 before a chat"* ]]
}

@test "T1: a promised BOS that is not there, one that was not promised" {
    base 's/^{/{"add_bos_token": true,/' tokenizer_config.json
    fails "T1 base" "begin with 0 BOS, but the tokenizer's configuration promises 1" -m base -f "$MINI/lora-plain"
    rm -r base
    base "s/\"post_processor\":null/$one_bos/" tokenizer.json
    sed -i 's/^{/{"add_bos_token": false,/' base/tokenizer_config.json
    fails "T1 base" "begin with 1 BOS" -m base --checks T1
}

@test "T1: a template that writes BOS before one that begins with it" {
    base '1s/^/{{ bos_token }}/' chat_template.jinja
    fails "T1 base" "chats begin with 2 BOS" -m base -f "$MINI/lora-plain"
    echo "{{- bos_token -}}{%- for m in messages %}{{ '<|im_start|>' }}{{ m['content'] }}{% endfor %}" > base/chat_template.jinja
    fails "T1 base" "chats begin with 2 BOS" -m base --checks T1
}

@test "T1: templates that write one BOS are let through" {
    cp -r "$BASE" base
    for t in "{{ bos_token }}{% for m in messages %}[INST]{% endfor %}" \
             "{% if x %}{{ bos_token }}{% else %}{{ bos_token }}{% endif %}" \
             "{{ bos_token + 'text' }}{{ bos_token }}" "{{ bos_token" "{% for" "" "{{"; do
        printf %s "$t" > base/chat_template.jinja
        run -0 --separate-stderr check -m base --checks T1
    done
}

# --- T2 ---
@test "T2: a template that cannot be read, refuses the chat, or says another thing of prompts is a warning" {
    base '1s/^/{% include "x" %}/' chat_template.jinja
    warns "T2 base" "chat_template.jinja, line 1: the tag 'include' is not supported" -m base -f "$MINI/lora-plain"
    rm -r base
    base "1s/^/{{ raise_exception('Not today') }}/" chat_template.jinja
    warns "T2 base" "chat_template.jinja, line 1: Not today" -m base --checks T2
    rm -r base
    base "s/assistant/model/" chat_template.jinja
    warns "T2 base" "the prompt for an answer and the chat with the answer differ from byte" -m base --checks T2
}

@test "T2: the digest is that of the rendered chat" {
    want=$(printf '<|im_start|>%s<|im_end|>\n' $'system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face' \
        $'user\nWhat is the capital of France?' $'assistant\nParis.' \
        $'user\nAnd how far is it from there to Rome?' $'assistant\nAbout 1100 kilometres.' | sha256sum)
    run -0 --separate-stderr check -m "$BASE" --checks T2
    [[ "$output" == *"sha256 ${want%% *}"* ]]
}

# --- T3 ---
@test "T3: the same tokenizer beside the adapter passes, against a GGUF too" {
    tokenizer '$a\\' tokenizer.json || cp "$BASE/tokenizer.json" ft
    run -0 --separate-stderr check -m "$BASE" -f ft --checks T3
    [ "$(rows pass)" = $'T3 base\nT3 ft' ]
    run -0 --separate-stderr check -m "$MINI/mini.gguf" -f ft --checks T3
    [ "$(rows pass)" = $'T3 base\nT3 ft' ]
}

@test "T3: a changed entry of the vocabulary" {
    tokenizer 's/"!":4,/"!!!":4,/' tokenizer.json
    fails "T3 ft" "1 ids differ, first 4, '!' in the base and '!!!' in the finetune" -m "$BASE" -f ft
}

@test "T3: a merge less" {
    tokenizer 's/,\["ic","h"\]\]/]/' tokenizer.json
    fails "T3 ft" "merges: 252 in the base, 251 in the finetune" -m "$BASE" -f ft
}

@test "T3: swapped special ids" {
    tokenizer 's/"bos_token": "<|im_start|>"/"bos_token": "<|im_end|>"/; s/"eos_token": "<|im_end|>"/"eos_token": "<|im_start|>"/' tokenizer_config.json
    fails "T3 ft" "BOS: id 1 in the base, 2 in the finetune; EOS: id 2 in the base, 1 in the finetune" -m "$BASE" -f ft
}

@test "T3: another pre-tokenizer" {
    tokenizer 's/{"type":"Digits","individual_digits":true},//' tokenizer.json
    fails "T3 ft" "pre-tokenizer: " -m "$BASE" -f ft
}

@test "T3: ids beyond the embedding rows, of the finetune and of the base" {
    more='s/"added_tokens":\[/&{"id":512,"content":"<|new|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},/'
    tokenizer "$more" tokenizer.json
    fails "T3 ft" "513 ids, but the model has 512 embedding rows" -m "$BASE" -f ft
    base "$more" tokenizer.json
    fails "T3 base" "513 ids, but the model has 512 embedding rows" -m base -f "$MINI/lora-plain"
}

@test "T3: another template or PAD is a warning" {
    tokenizer 's/SmolLM/Other/' chat_template.jinja
    warns "T3 ft" "chat templates differ" -m "$BASE" -f ft
    tokenizer 's/"pad_token": "<|im_end|>"/"pad_token": "<|endoftext|>"/' tokenizer_config.json
    warns "T3 ft" "PAD" -m "$BASE" -f ft
}

# --- T4 ---
@test "T4: a vocabulary without one of the bytes" {
    base 's/"Ñ":145/"ÑÑ":145/' tokenizer.json
    fails "T4 base" "gives another text, from byte" -m base -f "$MINI/lora-plain"
}

# --- the tool ---
@test "several failures: a line each, and the table is written" {
    adapter scale lora_B 0
    run -3 --separate-stderr check -m "$MINI/hf" -f ft -o out.jsonl
    [ -z "$output" ]
    [ "$(wc -l <<< "$stderr")" = 2 ]
    [[ "$stderr" == *"check A2, lane ft"*"check G2, lane base"* ]]
    [ "$(grep -c '"status":"fail"' out.jsonl)" = 2 ]
    [ "$(ls)" = $'ft\nout.jsonl' ]
}

@test "every lane is checked for itself" {
    adapter scale lora_B 0
    fails "A2 zero" "untrained" -m "$BASE" -f "$MINI/lora-plain" -n zero=ft
}

@test "the same run gives the same bytes" {
    check -m "$BASE" -f "$MINI/lora-plain" -o a
    dk-check -t 2 -m "$BASE" -f "$MINI/lora-plain" -o b
    cmp a b
}

@test "misuse" {
    run -2 --separate-stderr dk-check
    [[ "$stderr" == *"--model"* ]]
    run -2 --separate-stderr dk-check -m "$BASE" --checks A1,Z9
    [[ "$stderr" == *"there is no check 'Z9': they are "* ]]
    run -2 --separate-stderr dk-check -m "$BASE" -n ft
    run -2 --separate-stderr dk-check -m "$BASE" -f "$MINI/lora-plain" -n "ft=$MINI/lora-plain"
}

@test "files that cannot be read are errors, not findings, and leave nothing behind" {
    run -1 --separate-stderr check -m missing -f "$MINI/lora-plain" -o out
    [ "$(wc -l <<< "$stderr")" = 1 ]
    run -1 --separate-stderr check -m "$BASE" -f missing -o out
    [ "$(wc -l <<< "$stderr")" = 1 ]
    adapter scale lora 1
    head -c 3000 ft/adapter_model.safetensors > x && mv x ft/adapter_model.safetensors
    run -1 --separate-stderr check -m "$BASE" -f ft -o out
    echo '{' > ft/adapter_config.json
    run -1 --separate-stderr check -m "$BASE" -f ft -o out
    run -1 --separate-stderr check -m "$BASE" --checks T1 -o /dev/null/out
    [ "$(ls)" = ft ]
}

@test "the shipped pair: every check of every lane passes" {
    organisms=$DK_ROOT/data/organisms
    [ -e "${DK_TEST_MODEL:-/nowhere}" ] || skip "DK_TEST_MODEL names no model"
    [ -e "$organisms/cake_bake/adapter" ] || skip "the adapters are not here"
    [[ "$(dk-check --version)" != *fsanitize* ]] || skip "too slow under the sanitizers"
    run -0 --separate-stderr dk-check -m "$DK_TEST_MODEL" -f "$organisms/cake_bake/adapter" \
        -n "null_neutral=$organisms/null_neutral/adapter" -n "null_self=$organisms/null_self/adapter"
    [ -z "$stderr" ]
    [ -z "$(rows warn)$(rows fail)" ]
    [ "$(rows pass | wc -l)" = 53 ]
    [[ "$output" == *'"check":"G1","lane":"base","status":"pass"'* ]]
}

@test "an adapter of another model on the real one: one sentence, at once" {
    [ -e "${DK_TEST_MODEL:-/nowhere}" ] || skip "DK_TEST_MODEL names no model"
    fails "A1 ft" "lora_A is 4 x 64, expected 4 x 576" -m "$DK_TEST_MODEL" -f "$MINI/lora-plain" --checks A1,A2,A3
}
