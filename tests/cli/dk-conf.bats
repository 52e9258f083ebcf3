load ../helper/common

conf() { dk-conf --configs "$ROOT/configs" --site "" "$@"; }
# A copy of the configurations that a test may spoil.
own() { cp -r "$ROOT/configs" "$ROOT/data" .; }

@test "every shipped configuration is valid" {
    run -0 conf check
    [[ "$output" == *" configurations are valid" ]]
}

@test "list names what there is" {
    run -0 conf list organisms
    for n in cake_bake kansas_abortion None null_neutral; do grep -qx "$n" <<< "$output"; done
    run -0 conf list models
    [[ "$output" == *SmolLM2-135M* ]]
    run -2 --separate-stderr conf list cakes
    one_error dk-conf
}

@test "a value shows where it comes from: default, organism, command line" {
    run -0 conf get kl.method_params.temperature
    [ "$output" = 1.0 ]
    run -0 conf show kl.max_samples=1000
    grep -q '^kl.method_params.max_samples: 1000 *# command line' <<< "$output"
    grep -q '^kl.method_params.max_tokens_per_sample: 64 *# organism, .*cake_bake.yaml:' <<< "$output"
    grep -q '^kl.method_params.temperature: 1.0 *# default, .*kl.yaml:' <<< "$output"
}

@test "the site file stands between model and command line" {
    printf 'kl: {max_samples: 9}\nseed: 7\n' > site.yaml
    run -0 dk-conf --configs "$ROOT/configs" --site site.yaml show seed=8
    grep -q '^kl.method_params.max_samples: 9 *# site file, site.yaml:1' <<< "$output"
    grep -q '^seed: 8 *# command line' <<< "$output"
}

@test "the user's own site file is found" {
    mkdir -p config/dk
    echo 'seed: 11' > config/dk/site.yaml
    run -0 dk-conf --configs "$ROOT/configs" get seed
    [ "$output" = 11 ]
}

@test "the short key and the full key mean the same" {
    run -0 conf get kl.method_params.max_samples kl.method_params.max_samples=5
    [ "$output" = 5 ]
    run -0 conf get kl.method_params.max_samples diffing.method.kl.max_samples=6
    [ "$output" = 6 ]
}

@test "a short key that fits twice is refused by naming both" {
    run -2 --separate-stderr conf show diff_mining.layer=0.5
    one_error dk-conf
    [[ "$stderr" == *logit_lens.layer*patchscope_lens.layer* ]]
}

@test "an unknown key is an error with a suggestion" {
    run -2 --separate-stderr conf show kl.max_sampels=3
    one_error dk-conf
    [[ "$stderr" == *"did you mean 'kl.max_samples'?" ]]
    [ -z "$output" ]
}

@test "an unknown key inside a file names file and line" {
    own
    echo 'colour: red' >> configs/organism/cake_bake.yaml
    run -2 --separate-stderr dk-conf --configs configs --site "" show
    one_error dk-conf
    [[ "$stderr" == *"cake_bake.yaml:"*"organism.colour"* ]]
}

@test "types and ranges are checked" {
    for bad in kl.max_samples=0 kl.max_samples=abc kl.max_samples=1.5 kl.temperature=-1 \
               kl.use_chat_dataset=1 seed=-1 seed=null kl.temperature= 'kl.max_samples=[1]' dtype=f64; do
        run -2 --separate-stderr conf show "$bad"
        one_error dk-conf
    done
}

@test "numbers are typed as YAML 1.2 does: 1e-1 is a real, 50_000 an integer" {
    run -0 conf show kl.temperature=1e-1 kl.max_samples=50_000
    run -0 conf show kl.temperature=2
    run -0 conf show kl.use_chat_dataset=TRUE
    run -2 --separate-stderr conf show kl.use_chat_dataset=yes
    run -2 --separate-stderr conf show 'kl.max_samples="5"'
}

@test "a key without meaning here is accepted at its default and refused otherwise" {
    run -0 conf show kl.batch_size=4 kl.overwrite=false
    run -2 --separate-stderr conf show kl.batch_size=8
    one_error dk-conf
    [[ "$stderr" == *"only the default '4' is accepted"* ]]
}

@test "what is not built yet is refused by name" {
    run -2 --separate-stderr conf show activation_difference_lens.steering.threshold.steps=11
    [[ "$stderr" == *"only the default '12' is accepted: steering is not built yet"* ]]
}

@test "every key of the methods has a schema, and every schema key a value" {
    run -0 conf json
    [ "$(jq '[keys[] | select(startswith("kl."))] | length' <<< "$output")" = 13 ]
    [ "$(jq '[keys[] | select(startswith("diff_mining."))] | length' <<< "$output")" -ge 74 ]
    [ "$(jq '[keys[] | select(startswith("activation_difference_lens."))] | length' <<< "$output")" = 85 ]
}

@test "json is JSON with typed values" {
    run -0 conf json kl.max_samples=50_000
    [ "$(jq -c '[."kl.method_params.max_samples", ."kl.overwrite", ."diff_mining.datasets",
                 ."diff_mining.max_vocab_size"]' <<< "$output")" = '[50000,false,["general-a"],null]' ]
}

@test "auto takes the organism's first model; a wrong one says what there is" {
    run -0 conf get model.name model=auto
    [ "$output" = SmolLM2-135M ]
    run -2 --separate-stderr conf show organism_variant=full
    [[ "$stderr" == *"it has SmolLM2-135M.default" ]]
    run -2 --separate-stderr conf show organism=cake_bak
    [[ "$stderr" == *"did you mean 'cake_bake'?" ]]
}

@test "make prints the graph's variables, with dollars and hashes escaped" {
    own
    sed -i 's/^description: .*/description: "costs $5 # or so"/' configs/organism/cake_bake.yaml
    run -0 --separate-stderr dk-conf --configs configs --site "" make -p C kl.use_chat_dataset=true
    grep -qF 'C.organism.description := costs $$5 \# or so' <<< "$output"
    grep -qx 'C.kl.sets := cake_bake general-a chat' <<< "$output"
    grep -qx 'C.nulls := null_neutral' <<< "$output"
    grep -qx 'C.finetune := data/organisms/cake_bake/adapter' <<< "$output"
}

@test "make gives what only a hub has as its id, and lists it" {
    own
    export HF_HOME=$PWD/hf
    sed -e 's/^name: .*/name: tiny/; s,^model_id: .*,model_id: acme/base,; /^source:/,$d' configs/model/SmolLM2-135M.yaml > configs/model/tiny.yaml
    tiny=(model=tiny 'organism.nulls=[]' organism.finetuned_models.tiny.default.model_id=acme/sets/whole@v2)
    run -0 --separate-stderr dk-conf --configs configs --site "" make -p C "${tiny[@]}"
    grep -qx 'C.model.path := acme/base' <<< "$output"
    grep -qx 'C.finetune := acme/sets/whole@v2' <<< "$output"
    grep -qx 'C.hubs := model.path finetune' <<< "$output"
    grep -qx 'C.model.fetch := ' <<< "$output"
    run -0 dk-conf --configs configs --site "" json "${tiny[@]}"
    [ "$(jq 'has("model.path")' <<< "$output")" = false ]
    mkdir -p acme/base acme/sets/whole@v2
    run -0 --separate-stderr dk-conf --configs configs --site "" make -p C "${tiny[@]}"
    grep -qx 'C.model.path := acme/base' <<< "$output"
    grep -qx 'C.hubs := ' <<< "$output"
}

@test "make names a path that is not there" {
    own
    rm -r data/organisms/cake_bake/adapter
    run -2 --separate-stderr dk-conf --configs configs --site "" make
    one_error dk-conf
    [[ "$stderr" == *"no local path 'data/organisms/cake_bake/adapter'" ]]
}

@test "broken YAML is one line with the place" {
    printf 'a: [1, {b: 2' > bad.yaml
    printf 'x: &a 1\ny: *a\n' > alias.yaml
    printf 'seed: 1\nseed: 2\n' > twice.yaml
    head -c 100000 /dev/zero | tr '\0' '[' > deep.yaml
    head -c 300 /dev/urandom > noise.yaml
    for f in bad alias twice deep noise; do
        run -2 --separate-stderr dk-conf --configs "$ROOT/configs" --site $f.yaml show
        one_error dk-conf
        [[ "$stderr" == *"$f.yaml:"* ]]
    done
    run -1 --separate-stderr dk-conf --configs "$ROOT/configs" --site missing.yaml show
    one_error dk-conf
}

@test "words that are no KEY=VALUE and verbs that are none" {
    run -2 --separate-stderr conf show kl
    one_error dk-conf
    run -2 --separate-stderr conf show +kl.x=1
    one_error dk-conf
    run -2 --separate-stderr conf shwo
    [[ "$stderr" == *"did you mean 'show'?" ]]
    run -2 --separate-stderr conf
    one_error dk-conf
}
