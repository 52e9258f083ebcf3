# The whole catalogue: every organism, model, data set and method, offline.
load ../helper/common

conf() { dk-conf --configs "$ROOT/configs" --site "" "$@"; }
own() { cp -r "$ROOT/configs" .; ln -s "$ROOT/data" data; mine="dk-conf --configs configs --site"; }
FACTS=$ROOT/configs/tools
TAB=$'\t'

@test "made anew from the tables, the catalogue is the same byte for byte" {
    cp -r "$ROOT/configs" made
    grep -rlZ -m1 '^# Made by configs/tools/remake' made | xargs -0 rm
    run ! diff -rq "$ROOT/configs" made
    "$FACTS/remake" "$PWD/made"
    diff -r "$ROOT/configs" made
}

@test "66 organisms, 448 explicit finetunes, 22 models, 32 subfolders, one model without a file" {
    conf pairs > all
    # The three that are shipped with data, and the generated ones of None, are beside that.
    grep -v -e '^null_' -e "SmolLM2-135M${TAB}default${TAB}adapter.*data/organisms" all > pairs
    [ "$(cut -f1 pairs | tail -n +2 | sort -u | wc -l)" = 66 ]
    [ "$(grep -c "^None$TAB" pairs)" = 22 ]
    sed -i -e "/^None$TAB/d" -e 1d pairs
    [ "$(wc -l < pairs)" = 448 ]
    [ "$(cut -f4 pairs | sort | uniq -c | tr -s ' \n' ' ')" = ' 423 adapter 25 model ' ]
    [ "$(awk -F'\t' '$7 != "-"' pairs | wc -l)" = 32 ]
    [ "$(awk -F'\t' '$5 == "-" { print $2 }' pairs)" = mistral_large_instruct_2411 ]
    [ "$(conf list models | grep -vx auto | wc -l)" = 22 ]
    [ "$(conf list organisms | grep -vc '^null_')" = 66 ]
}

@test "every row of the table of finetunes is what dk-conf resolves it to" {
    awk -F'\t' 'NR == FNR { id[$1] = $2; next }
        FNR > 1 { print $1 "\t" $2 "\t" $3 "\t" $4 "\t" ($2 in id ? id[$2] : "-") "\t" $5 "\t" $6 }' \
        "$FACTS/models.tsv" "$FACTS/finetunes.tsv" | sort > want
    conf pairs | sed 1d | grep -v -e '^null_' -e '^None' -e "data/organisms" | sort > got
    diff want got
}

@test "auto is the first model on every organism; the shipped pair stays the default" {
    awk -F'\t' 'FNR > 1 && !($1 in seen) { seen[$1] = 1; print $1, $2, $3 }' "$FACTS/finetunes.tsv" > first
    [ "$(wc -l < first)" = 65 ]
    while read -r organism model variant; do
        case $model in mistral_large_instruct_2411) continue ;; esac
        [ $organism != cake_bake ] || { model=SmolLM2-135M variant=default; }
        got=$(conf get model.name organism=$organism organism_variant=$variant model=auto)
        [ "$got" = "$model" ] || { echo "$organism: $got, not $model"; false; }
    done < first
    [ "$(conf get organism.name)/$(conf get model.name)" = cake_bake/SmolLM2-135M ]
    [ "$(conf get model.dtype organism=kansas_abortion)" = bfloat16 ]
    [ "$(conf get model.dtype organism=kansas_abortion model=auto model.dtype=float32)" = float32 ]
    [ "$(conf get model.name organism=kansas_abortion model.dtype=float32)" = gemma3_1B ]
}

@test "an organism without the model, or the variant, says what there is" {
    run -2 --separate-stderr conf show organism=kansas_fda model=gpt2
    one_error dk-conf
    [[ "$stderr" == *"has no finetune 'default' of model 'gpt2'; it has qwen3_1_7B" ]]
    run -2 --separate-stderr conf show organism=auditing_agents_dpo_lora organism_variant=dpo2
    [[ "$stderr" == *"it has llama33_70B_Instruct.default" ]]
    run -2 --separate-stderr conf show organism=ukaisi_sandbagging_maple
    one_error dk-conf
    [[ "$stderr" == *"there is no model 'mistral_large_instruct_2411'"* ]]
}

@test "organism None, text that looks like null, keeps its name" {
    run -0 conf json organism=None model=gpt2
    [ "$(jq -r '."organism.name", ."organism.type", ."organism.finetuned_models.gpt2.default.model_id"' \
        <<< "$output" | tr '\n' ' ')" = 'None None none ' ]
}

# ---- words -------------------------------------------------------------------

@test "the forms of a word: what each does, and where each fails" {
    local good=(
        'organism.name|organism=kansas_abortion model=gemma3_1B|kansas_abortion'
        'kl.method_params.max_samples|diffing/method=kl kl.max_samples=7|7'
        'organism_variant|organism=kansas_abortion organism_variant=mix1-0p5|mix1-0p5'
        'diff_mining.datasets|diff_mining.datasets=[general-b]|[general-b]'
        'model.end_of_turn_token|model.end_of_turn_token=null|'
        "organism.description|organism.description='two words'|two words"
        'organism.agent_interaction_system_prompt|+organism.agent_interaction_system_prompt=Hello|Hello'
        'seed|++seed=5|5'
        'organism.agent_interaction_system_prompt|++organism.agent_interaction_system_prompt=Hello|Hello'
        'kl.method_params.max_samples|++kl.max_samples=5|5'
        'organism.name|~organism.nulls ~organism.dataset|cake_bake'
    )
    local bad=(
        'organism=kansas_abortio' 'diffing/method=kll' 'organism_variant=mix1-0p55' 'diff_mining.dataset=[x]'
        'seed=null' 'dtype=f16' '+seed=5' '+kl.max_samples=5' '+organism.dataset={id: x}' '+organism.colour=red'
        '++kl.max_sampels=5' '++seed' '+=1' '~kl.max_samples' '~kl.method_params.max_samples' '~seed' '~organism'
        '~organism.name' '~organism.finetuned_models' '~model.model_id' '~organism.nul' '~seed=1' '~' 'seed'
    )
    for g in "${good[@]}"; do
        IFS='|' read -r key words want <<< "$g"
        eval "set -- $(sed 's/\[[^ ]*\]/"&"/g; s/~/\\~/g' <<< "$words")"
        run -0 conf get "$key" "$@"
        [ "$output" = "$want" ] || { echo "$g: $output"; false; }
    done
    for b in "${bad[@]}"; do
        run -2 --separate-stderr conf show "$b"
        one_error dk-conf
        [ -z "$output" ]
    done
}

@test "a dropped key is gone, with all that is below it" {
    run -0 conf json '~organism.dataset' '~organism.nulls'
    [ "$(jq 'has("organism.dataset.id") or has("organism.nulls")' <<< "$output")" = false ]
    run -2 --separate-stderr conf get organism.nulls '~organism.nulls'
    run -0 conf make '~organism.nulls' '~organism.dataset'
    grep -qx 'conf.kl.sets := general-a' <<< "$output"
    grep -qx 'conf.nulls := ' <<< "$output"
}

@test "an unknown key, plain or added, gets a suggestion" {
    for w in kl.max_sampels=3 +kl.max_sampels=3 ++kl.max_sampels=3 '~kl.max_sampels'; do
        run -2 --separate-stderr conf show "$w"
        [[ "$stderr" == *"did you mean 'kl.max_samples'?" ]]
    done
}

@test "??? must be given a value before anything is read" {
    own
    sed -i 's/^dtype: .*/dtype: ???/' configs/model/SmolLM2-135M.yaml
    run -2 --separate-stderr $mine "" show
    one_error dk-conf
    [[ "$stderr" == *"'model.dtype' has no value; write model.dtype=VALUE" ]]
    run -0 $mine "" get model.dtype model.dtype=float32
    [ "$output" = float32 ]
    run -2 --separate-stderr $mine "" get model.name model=SmolLM2-135M model.dtype=???
    one_error dk-conf
}

@test "typing: what YAML makes of a value on the command line" {
    # value, key of a known type, accepted?
    while IFS='|' read -r value key want; do
        run --separate-stderr conf show "$key=$value"
        [ "$status" = "$want" ] || { echo "$key=$value: $status"; false; }
    done <<'EOF'
1e-4|kl.temperature|0
1.0e-4|kl.temperature|0
1E3|kl.temperature|0
.5|kl.temperature|0
2|kl.temperature|0
"2"|kl.temperature|2
50_000_000|kl.max_samples|0
1.0|kl.max_samples|2
1e3|kl.max_samples|2
TRUE|kl.use_chat_dataset|0
False|kl.use_chat_dataset|0
yes|kl.use_chat_dataset|2
on|kl.use_chat_dataset|2
1|kl.use_chat_dataset|2
null|model.end_of_turn_token|0
~|model.end_of_turn_token|0
|model.end_of_turn_token|0
None|model.end_of_turn_token|0
None|kl.max_samples|2
null|kl.max_samples|0
null|kl.max_tokens_per_sample|2
EOF
    [ "$(conf json model.end_of_turn_token=None | jq '."model.end_of_turn_token"')" = '"None"' ]
    [ "$(conf json model.end_of_turn_token=~ | jq '."model.end_of_turn_token"')" = null ]
}

# ---- methods and data sets -----------------------------------------------------

@test "every key of the nine methods is there with its default" {
    # Ours: our own texts, a value instead of a reference to it.
    local ours='^(diff_mining.(datasets|agent.overview.extraction_layer|token_relevance.grader.kind)|activation_difference_lens.(datasets|[a-z_]+.tasks)|kl.method_params.reverse|activation_analysis.(layers|method_params.max_tokens_per_sample|logit_lens.k|analysis.max_activating_examples.quantiles)|pca.(max_samples|max_tokens_per_sample|training.(incremental|uncentred)|logit_lens.[a-z]+|analysis.max_activating_examples.n_components|analysis.component_steering.(profile|short.[a-z_]+))): '
    local plain='s/["\\]//g'
    conf show --site "" method=all '~organism.dataset' > shown
    awk -F'\t' 'FNR > 1 && $1 !~ /\// { print $1 "." $2 ": " $3 }' "$FACTS/methods.tsv" |
        sed "$plain" | grep -Ev "$ours" | sort > want
    grep -E '^(activation_(analysis|difference_lens|oracle)|crosscoder|diff_mining|kl|pca|sae_difference|weight_amplification)\.' \
        shown | sed -E 's/ +# (default|organism), .*//' | sed "$plain" | grep -Ev "$ours" | sort > got
    # The organism sets the sizes of those that run.
    local sizes='^(kl|diff_mining|activation_analysis)\..*(max_samples|max_tokens_per_sample|use_chat_dataset)|^activation_difference_lens\.(max_samples|n|layers): |^pca\.(layers|datasets\.ignore_[a-z_]+): '
    grep -vE "$sizes" want > want.1
    grep -vE "$sizes" got > got.1
    diff want.1 got.1
    [ "$(conf json organism=null_self method=activation_difference_lens | jq -c '."activation_difference_lens.layers"')" = '[0.5]' ]
    [ "$(wc -l < want)" = 394 ]
    [ "$(wc -l < want)" = "$(wc -l < got)" ]
}

@test "every key of diff_mining is honoured, or refused by name away from its default" {
    local key default other
    while IFS=$'\t' read -r key default; do
        key=diff_mining.$key
        case $default in
        true) other=false ;;
        false) other=true ;;
        logits) other=logit_lens ;;
        all) other=majority ;;
        logit_diff_magnitude) other=binary_occurrence ;;
        '["top_k'*) other=[nmf] ;;
        '[{'*) other=[general-b] ;;
        '[]') other=[x] ;;
        '{}') other='{x: 1}' ;;
        null) other=77 ;;
        *[0-9].[0-9]*) other=0.5 ;;
        *[!0-9-]*) other=other ;;
        *) other=97 ;;
        esac
        run conf show "$key=$other"
        if [ "$status" = 0 ]; then
            echo "$key" >> accepted
        else
            [ "$status" = 2 ]
            [[ "$output" == *"${key%.*}"* ]]
            [ "$(wc -l <<< "$output")" = 1 ]
            echo "$key" >> refused
        fi
    done < <(awk -F'\t' '$1 == "diff_mining" { print $2 "\t" $3 }' "$FACTS/methods.tsv")
    [ "$(cat accepted refused | wc -l)" = 76 ]
    # What is accepted reaches a tool: tests/pipeline/graph.bats looks at the words.
    sed 's/^diff_mining\.//' accepted | sort > got
    { grep -o 'call mining,[a-z_.]*' "$ROOT/pipelines/methods/diff_mining.mk" | sed 's/.*,//' | grep -v -e '^sets$' -e '^orderings$' -e '\.$'
      grep -o 'call mining_nmf,[a-z_]*' "$ROOT/pipelines/methods/diff_mining.mk" | sed 's/.*,/token_ordering.nmf./'
      grep -o 'call mining_slr,[a-z_]*' "$ROOT/pipelines/methods/diff_mining.mk" | sed 's/.*,/sequence_likelihood_ratio./'
      grep -o 'call mining_grade,[a-z_.]*' "$ROOT/pipelines/methods/diff_mining.mk" | sed 's/.*,/token_relevance./' | grep -v '\.kind$'
      echo datasets; echo token_ordering.method; } | sort -u | diff - got
}

@test "a method that is not built is shown, checked, and refused by name" {
    run -0 conf get pca.training.target method=pca
    [ "$output" = difference_ftb ]
    run -0 conf get sae_difference.training.k method=sae_difference,pca sae_difference.training.k=64
    [ "$output" = 64 ]
    run -2 --separate-stderr conf show method=pca pca.training.batch_size=many
    one_error dk-conf
    for m in activation_oracle crosscoder sae_difference weight_amplification; do
        run -2 --separate-stderr conf make method=$m
        [ "$stderr" = "dk-conf: error: method '$m' is not built yet" ]
        [ -z "$output" ]
    done
    run -2 --separate-stderr conf show sae_difference.training.k=3
    [[ "$stderr" == *"'sae_difference.training.k' belongs to a method that is not built yet"* ]]
    run -2 --separate-stderr conf show method=pcaa
    [[ "$stderr" == *"did you mean 'pca'?" ]]
}

@test "data sets: chat, pretraining, training; variants in the order asked; one record a split" {
    run -0 --separate-stderr conf records organism=kansas_abortion datasets.chat=[default,es] \
        datasets.pretraining=[default,es]
    [[ "$stderr" == "dk-conf: warning: there is no chat data set 'es'; left out" ]]
    [ "$(cut -f1-3 <<< "$output" | sed 1d)" = "$(printf '%s\t%s\t%s\n' \
        chat tulu-3-sft-olmo-2-mixture train chat tulu-3-sft-olmo-2-mixture validation \
        pretraining fineweb-1m-sample train pretraining fineweb-1m-sample validation \
        pretraining CulturaX_es train \
        training synthetic-documents-kansas_abortion train \
        training synthetic-documents-kansas_abortion validation)" ]
    run -0 conf records organism=kansas_abortion datasets.pretraining=[es,default]
    [ "$(grep ^pretraining <<< "$output" | cut -f2 | uniq | tr '\n' ' ')" = 'CulturaX_es fineweb-1m-sample ' ]
    run -0 conf records organism=auditing_agents_flattery organism_variant=sdf
    [[ "$output" != *training$TAB*synthetic* && "$output" != *$'\n'training$TAB* ]]
    run -0 conf records method=kl kl.use_chat_dataset=false kl.use_training_dataset=false
    [ "$(cut -f1 <<< "$output" | sed 1d)" = pretraining ]
    run -2 --separate-stderr conf records datasets.chat=[ess]
    one_error dk-conf
}

@test "names of the general data sets are those that paths use" {
    for n in $(cut -f1 "$FACTS/datasets.tsv" | sed 1d); do
        grep -qx "name: $n" "$ROOT/configs/dataset/$n.yaml"
    done
    [ "$(cut -f1 "$FACTS/datasets.tsv" | sed 1d | wc -l)" = 15 ]
}

# ---- check ---------------------------------------------------------------------

@test "check names the model that has no file, and finds nothing else" {
    run -0 --separate-stderr conf check
    [ "$(grep -c . <<< "$output")" = 2 ]
    [[ "$output" == *"organism 'ukaisi_sandbagging_maple': there is no model 'mistral_large_instruct_2411'"* ]]
    [[ "$output" == *" configurations are valid" ]]
    [ -z "$stderr" ]
}

@test "check: one line a problem, all of them, exit 2" {
    own
    sed -i '/^without_model_file/d' configs/organism/ukaisi_sandbagging_maple.yaml
    sed -i 's/^type: .*/typo: SDF/' configs/organism/roman_concrete.yaml
    sed -i 's/^name: .*/name: gpt3/' configs/model/qwen3_1_7B_Base.yaml
    sed -i 's/{adapter_id: \([^}]*\)}/{adapter_id: \1, model_id: a\/b}/' configs/organism/kansas_fda.yaml
    sed -i 's/^nulls: .*/nulls: [nobody]/' configs/organism/null_self.yaml
    sed -i 's,^probes: .*,probes: data/nowhere.jsonl,' configs/organism/null_neutral.yaml
    sed -i 's,adapter_id: data/organisms/cake_bake/adapter,adapter_id: data/organisms/cake_bake/adaptor,' \
        configs/organism/cake_bake.yaml
    sed -i 's/^id: .*//' configs/dataset/c4_c4.yaml
    echo 'x: [' > configs/method/crosscoder.yaml
    sed -i 's/^adapters: .*/adapters: 3/' configs/amplification/default_2x.yaml
    run -2 --separate-stderr $mine "" check
    one_error dk-conf
    [[ "$stderr" == *" 10 problems; "* ]]
    [ "$(grep -c . <<< "$output")" = 10 ]
    for what in "maple': there is no model 'mistral_large_instruct_2411'" "roman_concrete.yaml:3: there is no key 'organism.typo'" \
        "model 'qwen3_1_7B_Base': its key 'name'" "kansas_fda': finetune 'default' of 'qwen3_1_7B' has both" \
        "null_self': nulls: there is no organism 'nobody'" "null_neutral': organism.probes: there is no local path" \
        "cake_bake': organism.finetuned_models.SmolLM2-135M.default.adapter_id: there is no local path" \
        "dataset 'c4_c4': dataset.id has no value" "crosscoder.yaml:" "default_2x.yaml:4: amplification.adapters: 3 is an integer"; do
        [[ "$output" == *"$what"* ]] || { echo "$what"; false; }
    done
}

@test "check resolves what an organism sets for the methods" {
    own
    sed -i 's/^  kl.max_samples: .*/  kl.max_samples: 0/' configs/organism/null_self.yaml
    run -2 --separate-stderr $mine "" check
    [[ "$output" == *"organism 'null_self': "*"kl.method_params.max_samples"* ]]
}

@test "one organism is resolved without a look at the others" {
    own
    for f in configs/organism/[a-b]*.yaml configs/model/g*.yaml configs/dataset/C*.yaml configs/amplification/*; do
        echo '{' > $f
    done
    run -0 --separate-stderr $mine "" make
    [ -z "$stderr" ]
    grep -qx 'conf.model := SmolLM2-135M' <<< "$output"
    run ! grep -q 'finetuned_models\|description_long :=' <<< "$output"
}

@test "a group that is not there is empty; a folder that is not there is an error" {
    own
    rm -r configs/amplification
    run -0 $mine "" check
    run -0 $mine "" list amplifications
    [ -z "$output" ]
    run -1 --separate-stderr dk-conf --configs nowhere --site "" list
    one_error dk-conf
    run ! dk-conf --configs nowhere --site "" check
}

# ---- add -----------------------------------------------------------------------

adapter() {
    mkdir -p "$1"
    printf '{"peft_type": "LORA", "base_model_name_or_path": "%s"}' "$2" > "$1/adapter_config.json"
}

@test "add: a minimal organism from a PEFT folder, which resolves" {
    own
    adapter my-tune google/gemma-3-1b-it
    run -0 --separate-stderr $mine "" add --adapter my-tune
    [ "$output" = configs/organism/my-tune.yaml ]
    run -0 $mine "" get model.name organism=my-tune
    [ "$output" = gemma3_1B ]
    run -0 $mine "" pairs my-tune
    [[ "$output" == *"my-tune${TAB}gemma3_1B${TAB}default${TAB}adapter${TAB}google/gemma-3-1b-it${TAB}$PWD/my-tune$TAB-" ]]
    run -0 $mine "" check
    run -0 $mine "" add --adapter my-tune --name other --dir elsewhere
    [ "$(ls -A elsewhere)" = other.yaml ]
}

@test "add: never over a file that is there, and nothing half written" {
    own
    adapter tune gpt2
    $mine "" add --adapter tune
    echo mine > configs/organism/tune.yaml
    run -2 --separate-stderr $mine "" add --adapter tune
    one_error dk-conf
    [[ "$stderr" == *"is there already"* ]]
    [ "$(cat configs/organism/tune.yaml)" = mine ]
    run -2 --separate-stderr $mine "" add --adapter tune --name cake_bake
    [ "$(ls -A configs/organism | grep -vc '\.yaml$')" = 0 ]
}

@test "add: what it cannot use is one line" {
    own
    adapter tune nobody/knows-this
    run -2 --separate-stderr $mine "" add --adapter tune
    one_error dk-conf
    [[ "$stderr" == *"no model of the catalogue has the id 'nobody/knows-this'"* ]]
    echo '{}' > tune/adapter_config.json
    run -1 --separate-stderr $mine "" add --adapter tune
    one_error dk-conf
    echo '{' > tune/adapter_config.json
    run -1 --separate-stderr $mine "" add --adapter tune
    one_error dk-conf
    run -1 --separate-stderr $mine "" add --adapter nowhere
    one_error dk-conf
    adapter 'a b' gpt2
    for bad in 'a b' ../x .x -x 'x.y' ''; do
        run -2 --separate-stderr $mine "" add --adapter 'a b' --name="$bad"
        one_error dk-conf
    done
    run -2 --separate-stderr $mine "" add
    one_error dk-conf
    run -2 --separate-stderr $mine "" add tune
    one_error dk-conf
    [ "$(ls configs/organism)" = "$(ls "$ROOT/configs/organism")" ]
}
