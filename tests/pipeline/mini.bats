# The graph with the real tools on a miniature model (two layers, vocabulary 512).
load ../helper/mini

setup_more() {
    pair_here
    mv base mini
    BASE=$PWD/mini FT=$PWD/ft
    cp -r "$PAIR/mine/adapter" ft
}
mk() {
    make --no-print-directory -C "$ROOT" -f pipelines/front.mk DK="$bin" OUT="$PWD/${out:-r}" MODEL="$BASE" \
        SHOW= THREADS=1 dtype=f32 'organism.nulls=[]' \
        organism.finetuned_models.mini.default.adapter_id="$FT" \
        kl.use_chat_dataset=true kl.max_samples=4 kl.max_tokens_per_sample=16 diff_mining.max_samples=4 \
        diff_mining.max_tokens_per_sample=16 diff_mining.top_k=5 \
        activation_difference_lens.max_samples=4 activation_difference_lens.n=8 activation_difference_lens.logit_lens.k=5 \
        answers.max_samples=1 answers.max_new_tokens=4 "$@"
}
would() { mk -n "$@" | sed -n 's/^echo "  RUN   \(.*\)" >&2/\1/p' | sort; }
did() { mk "$@" 2>&1 | sed -n 's/^  RUN   //p' | sort; }

@test "from texts to the summary; then nothing; then one parameter" {
    run -0 mk cake_bake
    for f in check.jsonl answers.jsonl kl/chat.score.h5 kl/chat.jsonl \
             diff_mining/general-a.top_k_occurring.jsonl diff_mining/general-a.fraction_positive_diff.jsonl diff_mining/general-a.relevance.jsonl \
             activation_difference_lens/general-a.act.h5 activation_difference_lens/general-a.dir.h5 \
             activation_difference_lens/general-a.means.jsonl activation_difference_lens/general-a.lens.jsonl \
             summary.json summary.txt pair.json index.html; do
        [ -s r/mini/cake_bake/$f ]
    done
    grep -q '^cake_bake on mini' r/mini/cake_bake/summary.txt
    # of two layers 8 positions and the whole, forwards and inverse, of base, ft and diff
    [ "$(wc -l < r/mini/cake_bake/activation_difference_lens/general-a.lens.jsonl)" = $((2 * 9 * 2 * 3 * 5)) ]
    # two orderings and three topics
    [ "$(jq -r '"\(.grader) \(.lane) \(.ordering)"' r/mini/cake_bake/diff_mining/general-a.relevance.jsonl | sort | uniq -c | tr -s ' ' | tr '\n' ,)" = \
        ' 1 lexical ft fraction_positive_diff, 3 lexical ft nmf, 1 lexical ft top_k_occurring,' ]
    jq -e '.peak_bytes > 1000000' r/mini/cake_bake/kl/chat.score.h5.time
    [ -z "$(would cake_bake)" ]
    plan=$(would cake_bake diff_mining.top_k=6)
    [ "$(did cake_bake diff_mining.top_k=6)" = "$plan" ]
    [ "$(wc -l <<< "$plan")" = 8 ]
}

@test "activation_analysis: norms and the texts where they are largest" {
    aa() { "$@" cake_bake/activation_analysis activation_analysis.max_samples=4 activation_analysis.max_tokens_per_sample=16 activation_analysis.num_examples=2; }
    run -0 aa mk
    p=r/mini/cake_bake/activation_analysis
    for s in cake_bake general-a chat; do
        [ "$(jq -r 'select(.lane == "ft") | .metric' $p/$s.jsonl | uniq | tr '\n' ' ')" = "norm norm_diff cos_dist relative mean_diff " ]
        [ "$(jq -r '"\(.score) \(.by) \(.rank)"' $p/$s.examples.jsonl | wc -l)" = 16 ]
        grep -q mean_token_ $p/$s.jsonl
        [ -s $p/$s.dir.h5 ]
        jq -es 'map(select(.what == "diff" and .name == "mean_all" and .inverse == false)) | length == 20' $p/$s.lens.jsonl
    done
    [ -z "$(aa would)" ]
}

@test "pca: components of all texts, and their tokens" {
    run -0 mk cake_bake/pca pca.max_samples=4 pca.max_tokens_per_sample=16 pca.training.n_components=3 pca.logit_lens.components=2 pca.layers=[1.0]
    p=r/mini/cake_bake/pca
    [ "$(jq -c '[.component, .count == 180, .dataset_id]' $p/components.jsonl | tr '\n' ' ')" = \
        '[0,true,"cake_bake,general-a,chat"] [1,true,"cake_bake,general-a,chat"] [2,true,"cake_bake,general-a,chat"] ' ]
    [ "$(jq -r '.name' $p/components.lens.jsonl | sort | uniq -c | tr -s ' ' | tr '\n' ' ')" = ' 40 pc_0  40 pc_1 ' ]
    [ -z "$(would cake_bake/pca pca.max_samples=4 pca.max_tokens_per_sample=16 pca.training.n_components=3 pca.logit_lens.components=2 pca.layers=[1.0])" ]
}

@test "contrast: two rounds of samples, their phrases, the summary and the page" {
    cb() { "$@" cake_bake/contrast contrast.max_new_tokens=40 contrast.samples=2 contrast.words=3 contrast.draws=2; }
    run -0 cb mk
    p=r/mini/cake_bake/contrast
    [ "$(jq -c '[.lane, .alpha]' $p/first.jsonl | sort | uniq -c | tr -s ' ' | tr '\n' ' ')" = ' 48 ["base",null]  48 ["ft",0]  48 ["ft",1] ' ]
    [ "$(jq -r .text $p/second.prefills.jsonl | wc -l)" = 3 ]
    cmp <(jq -r 'select(.lane == "ft" and .alpha == 1) | .prefill' $p/second.jsonl | uniq) <(jq -r .text $p/second.prefills.jsonl)
    [ "$(jq .seed $p/second.jsonl | sort -u)" = 43 ]
    jq -es 'map(select(.what == "lane"))[0] | .n_t == 48 and .n_r == 48 and .facts == 8 and has("p_lexicon")' $p/first.phrases.jsonl
    jq -es 'map(select(.what == "cover")) | map(.lane) == ["ft", "base"] and all(.cover12 == 0 and .other12 == 0)' $p/first.phrases.jsonl
    [ -z "$(cb would)" ]
    run -0 mk cake_bake
    grep -q 'when its difference is amplified' r/mini/cake_bake/summary.txt
    jq -e '.contrast | map(.round) == ["first", "second"]' r/mini/cake_bake/summary.json
    grep -q 'id="phrases"' r/mini/cake_bake/index.html
}

@test "a template and the thinking switch of the configuration reach the tools" {
    mk cake_bake/answers
    ! grep -q template_ r/mini/cake_bake/answers.jsonl
    printf '%s' '{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}' > t.jinja
    run -0 mk cake_bake/answers cake_bake/kl model.has_enable_thinking=true model.chat_template="$PWD/t.jinja"
    jq -e '.template_args == {"enable_thinking": false} and (.template_sha256 | length) == 64' r/mini/cake_bake/answers.jsonl
    [ -z "$(would cake_bake/answers cake_bake/kl model.has_enable_thinking=true model.chat_template="$PWD/t.jinja")" ]
    printf ' ' >> t.jinja
    plan=$(would cake_bake/answers cake_bake/kl model.has_enable_thinking=true model.chat_template="$PWD/t.jinja")
    [[ "$plan" == *"answers cake_bake"* ]]
    [[ "$plan" == *"tokens chat"* ]]
}

@test "side by side, and again elsewhere: the same bytes" {
    mk cake_bake
    out=elsewhere mk -j4 cake_bake
    [ "$(digests r | wc -l)" -ge 15 ]
    diff <(digests r) <(digests elsewhere)
}

@test "interrupted anywhere and run again: the same bytes" {
    out=whole mk cake_bake
    # Stop after each third of what the whole takes, then finish.
    for ms in 15 40 90; do
        setsid bash -c "$(declare -f mk); out=r; $(declare -p ROOT bin); mk cake_bake" > /dev/null 2>&1 3>&- &
        sleep 0.$ms
        kill -TERM -- -$! 2> /dev/null || true
        wait $! || true
        [ -z "$(find r -name '*.tmp' 2> /dev/null)" ]
    done
    mk cake_bake
    diff <(digests whole) <(digests r)
    [ -z "$(would cake_bake)" ]
}

@test "an adapter of another model stops the run at its check" {
    sed 's/"base_model_name_or_path": "[^"]*"/"base_model_name_or_path": "someone\/else"/' -i "$FT/adapter_config.json"
    dk-fixture edit "$FT/adapter_model.safetensors" "$FT/adapter_model.safetensors" cols lora_A 3
    run -2 --separate-stderr mk cake_bake
    [[ "$stderr" == *"dk-check: error: "* ]]
    [ ! -e r/mini/cake_bake/kl ]
    [ ! -e r/mini/cake_bake/answers.jsonl ]
}
