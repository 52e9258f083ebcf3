load ../helper/pair

null() { dk-null -m "$G" -f "$PLAIN" "$@"; }
lanes() { dk-kl --dtype f32 -m "$G" -f "$PLAIN" "$@" "$T"; }

@test "usage errors: one line, status 2, nothing written" {
    for o in "" "-o x -k bogus" "-o x --index=-1" "-o x --match effect" "-o x $T" "-o x --match size $T"; do
        # shellcheck disable=SC2086
        run -2 --separate-stderr null $o
        failed dk-null
    done
    run -2 --separate-stderr dk-null -m "$G" -o x
    failed dk-null "name the finetune"
    run -2 --separate-stderr null -k whitened -o x
    failed dk-null "--kind whitened needs TOKENS"
    adapter mine
    cp mine/adapter_model.safetensors before
    run -2 --separate-stderr dk-null -m "$G" -f mine -o mine/
    failed dk-null "would overwrite"
    cmp mine/adapter_model.safetensors before
    [ ! -e x ]
}

@test "every kind is an adapter that runs as a lane; the config is the original's" {
    for k in same rigid haar negate layers; do
        null -k $k -i 2 -o n/$k
        cmp n/$k/adapter_config.json "$PLAIN/adapter_config.json"
        [ "$(jq -r .dk_null < <(head -c 400 n/$k/adapter_model.safetensors | tail -c +9 | sed 's/.*"__metadata__":\({[^}]*}\).*/\1/'))" = $k ]
        lane+=(-n $k=n/$k)
    done
    lanes "${lane[@]}" -o x.score.h5 --table t.jsonl
    [ "$(jq -r 'select(.value == 0 and .per_token_statistics.max == 0) | .lane' t.jsonl)" = same ]
    [ "$(jq -s 'map(.value) | unique | length' t.jsonl)" = 6 ]
    # the lane that adds nothing is the base, bit for bit
    cmp <(dk-values x.score.h5 logp/same) <(dk-values x.score.h5 logp/base)
    dk-extract --dtype f32 -m "$G" -f n/same --store f32 --what diff --layers 0,1 -o same.act.h5 "$T"
    for l in 0 1; do dk-values same.act.h5 /acts/L0$l/resid_post/diff | tr ' ' '\n' | sort -u; done > values
    [ "$(sort -u values)" = 0 ]
}

@test "seed and index are the draw; threads are not" {
    null -i 3 -o a
    null -i 3 -t 1 -o b/adapter_model.safetensors
    cmp a/adapter_model.safetensors b/adapter_model.safetensors
    null -i 4 -o c
    null -i 3 --seed 7 -o d
    for x in c d; do run -1 cmp a/adapter_model.safetensors $x/adapter_model.safetensors; done
    lanes -n a=a -n c=c -n d=d | jq -r .value | sort -u | wc -l | grep -qx 4
}

@test "matched to the effect: modules add as much, so a null of the null has nothing to gain" {
    null -v -i 1 --match effect --dtype f32 --max-tokens 0 -o m "$T" 2> log
    grep -qE 'modules scaled by 0\.[0-9]+ to [1-9]' log
    null -i 1 -o r
    run -1 cmp m/adapter_model.safetensors r/adapter_model.safetensors
    null -t 1 -i 1 --match effect --dtype f32 --max-tokens 0 -o m2 "$T"
    cmp m/adapter_model.safetensors m2/adapter_model.safetensors
    # a thread more or less in the pass, other tokens: other factors
    null -i 1 --match effect --dtype f32 --max-samples 1 -o m3 "$T"
    run -1 cmp m/adapter_model.safetensors m3/adapter_model.safetensors
}

@test "whitened: of what the base reads; an adapter like the others" {
    null -v -k whitened --dtype f32 --max-tokens 0 -o w "$T"
    null -t 1 -k whitened --dtype f32 --max-tokens 0 -o w2 "$T"
    cmp w/adapter_model.safetensors w2/adapter_model.safetensors
    null -v -k whitened --match effect --dtype f32 --max-tokens 0 -o wm "$T" 2> log
    # what it adds is as much already
    grep -q 'modules scaled by 1 to 1,' log
    null -o r
    lanes -n w=w -n r=r | jq -r .value | sort -u | wc -l | grep -qx 3
}

# A finetune with weights of its own: the miniature, more of some of it.
full() {
    cp -r "$MINI/hf" full && chmod -R u+w full
    dk-fixture edit "$MINI/hf/model.safetensors" full/model.safetensors scale layers.1.mlp 1.2 scale layers.0.self_attn.q 1.1 \
        scale layers.0.self_attn.o 1.1 scale embed_tokens 1.05 scale input_layernorm 1.1
}

@test "full weights: every kind is a checkpoint that runs as a lane, tensor by tensor" {
    full
    for k in same rigid negate layers; do
        dk-null -m "$G" -f full -k $k -i 2 -o n/$k
        lane+=(-n $k=n/$k)
    done
    dk-null -v -m "$G" -f full -i 2 --match effect --dtype f32 --max-tokens 0 -o n/matched "$T" 2> log
    grep -qE 'modules scaled by 0\.[0-9]+ to [1-9]' log
    dk-null -m "$G" -f full -k whitened --dtype f32 --max-tokens 0 -o n/whitened/model.safetensors "$T"
    cmp n/rigid/config.json full/config.json
    cmp n/whitened/tokenizer.json full/tokenizer.json
    [ "$(head -c 400 n/rigid/model.safetensors | tail -c +9 | sed 's/.*"__metadata__":\({[^}]*}\).*/\1/' | jq -r '.dk_null + .dk_null_index')" = rigid2 ]
    dk-kl --dtype f32 -m "$G" -f full "${lane[@]}" -n matched=n/matched -n whitened=n/whitened -o x.score.h5 --table t.jsonl "$T"
    [ "$(jq -r 'select(.value == 0) | .lane' t.jsonl)" = same ]
    [ "$(jq -s 'map(.value) | unique | length' t.jsonl)" = 7 ]
    cmp <(dk-values x.score.h5 logp/same) <(dk-values x.score.h5 logp/base)
    dk-null -t 1 -m "$G" -f full -i 2 --match effect --dtype f32 --max-tokens 0 -o t1 "$T"
    cmp t1/model.safetensors n/matched/model.safetensors
    run -1 --separate-stderr dk-null -m "$G" -f full -k haar -o x
    failed dk-null "--kind haar is made of adapters"
    cp full/model.safetensors before
    run -2 --separate-stderr dk-null -m "$G" -f full -o full
    failed dk-null "would overwrite full"
    run -2 --separate-stderr dk-null -m full -f "$MINI/hf" -o full/
    failed dk-null "would overwrite full"
    cmp before full/model.safetensors
    [ ! -e x ]
}

@test "numeric: the base's own matrices, rounded to bfloat16" {
    dk-fixture edit "$MINI/hf/model.safetensors" fine.safetensors scale layers 1.001 scale norm 1.001
    cp -r "$MINI/hf" fine && chmod -R u+w fine && mv fine.safetensors fine/model.safetensors
    dk-null -m fine -f fine -k numeric -o n
    cmp n/config.json fine/config.json
    dk-kl --dtype f32 -m fine -f n --table f32.jsonl -o x.score.h5 "$T"
    jq -es '.[0].value | . > 0 and . < 1e-3' f32.jsonl
    # a gain stays as it is
    dk-fixture edit n/model.safetensors gains.safetensors drop proj drop embed
    dk-fixture edit fine/model.safetensors own.safetensors drop proj drop embed
    cmp <(tail -c 256 gains.safetensors) <(tail -c 256 own.safetensors)
    # nothing of the finetune is in it
    dk-fixture edit fine/model.safetensors other.safetensors scale layers.1.mlp 1.2
    cp -r fine other && mv other.safetensors other/model.safetensors
    dk-null -m fine -f other -k numeric -o m
    cmp <(tail -c 100000 n/model.safetensors) <(tail -c 100000 m/model.safetensors)
    # what is rounded already is no null, and neither is an adapter's
    run -1 --separate-stderr dk-null -m n -f n -k numeric -o again
    failed dk-null "in bfloat16 already"
    run -1 --separate-stderr null -k numeric -o again
    failed dk-null "is an adapter: --kind numeric"
    [ ! -e again/model.safetensors ] && [ ! -e again/adapter_model.safetensors ] && [ ! -e again/config.json ]
}

@test "full weights with ids that the base lacks; another architecture" {
    full
    dk-fixture edit "$MINI/hf/model.safetensors" less.safetensors rows embed_tokens 500
    cp -r "$MINI/hf" less && chmod -R u+w less && mv less.safetensors less/model.safetensors
    jq '.vocab_size = 500' "$MINI/hf/config.json" > less/config.json
    dk-null -m less -f full -k negate -o n
    dk-fixture edit n/model.safetensors rest.safetensors drop layers drop norm
    # row 511 is the finetune's, row 3 the other side of the base's
    dk-fixture edit full/model.safetensors own.safetensors drop layers drop norm
    cmp <(tail -c 256 rest.safetensors) <(tail -c 256 own.safetensors)
    run -1 cmp -s rest.safetensors own.safetensors
    jq '.intermediate_size = 64' full/config.json > c && mv c full/config.json
    run -1 --separate-stderr dk-null -m "$G" -f full -o x
    failed dk-null full
    [ ! -e x ]
}

@test "what nulls are not made of is refused by name" {
    run -1 --separate-stderr dk-null -m "$G" -f "$G" -o x
    failed dk-null "mini.gguf is a GGUF file"
    run -1 --separate-stderr null -k whitened --max-tokens 3 -o x "$T"
    failed dk-null "18 tokens do not tell"
    adapter broken
    header_edit broken/adapter_model.safetensors '"shape":[4,64]' '"shape":[4,65]' || header_edit broken/adapter_model.safetensors 'lora_A' 'lora_C'
    run -1 --separate-stderr dk-null -m "$G" -f broken -o x
    failed dk-null broken
    # an embedding saved whole
    dk-fixture edit "$PLAIN/adapter_model.safetensors" one.safetensors scale lora 1
    mkdir saved && cp "$PLAIN/adapter_config.json" saved
    jq '.modules_to_save = ["embed_tokens"]' "$PLAIN/adapter_config.json" > saved/adapter_config.json
    dk-fixture edit one.safetensors saved/adapter_model.safetensors scale lora 1
    run -1 --separate-stderr dk-null -m "$G" -f saved -o x
    failed dk-null saved
    run -1 --separate-stderr null --match effect -o x "$PLAIN/adapter_config.json"
    failed dk-null
    [ ! -e x ]
}
