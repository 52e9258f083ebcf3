# The graph on stand-ins for the tools: what runs, what does not, and that
# `make -n` says so beforehand.
load ../helper/common
load ../helper/stubs

setup_more() {
    stubs_here
    R=results/SmolLM2-135M
    texts=('kl examples cake_bake cake_bake' 'kl examples cake_bake chat' 'kl examples cake_bake general-a')
}
# With the chats, whatever the shipped sizes leave out.
mk() { make --no-print-directory -f pipelines/front.mk DK="$PWD/bin" kl.use_chat_dataset=true "$@"; }
# Stages that would run (from make -n) and that did run, one a line, sorted.
would() { mk -n "$@" | sed -n 's/^echo "  RUN   \(.*\)" >&2/\1/p' | sort; }
did() { mk "$@" 2>&1 | sed -n 's/^  RUN   //p' | sort; }
# Runs both and compares: the truth of make -n.  own: without what every goal of a method ends with.
stages() {
    local plan
    plan=$(would "$@")
    real=$(did "$@")
    own=$(grep -v '^configuration \|^summary ' <<< "$real" || true)
    [ "$plan" = "$real" ]
}
lines() { printf '%s\n' "$@" | sort; }

@test "the whole graph, then nothing" {
    stages cake_bake
    [ "$(wc -l <<< "$real")" = 25 ]
    for f in pair.json check.jsonl answers.jsonl kl/cake_bake.score.h5 kl/general-a.jsonl kl/chat.jsonl \
             diff_mining/general-a.top_k_occurring.jsonl activation_difference_lens/general-a.means.jsonl \
             activation_difference_lens/general-a.lens.jsonl summary.txt summary.json index.html; do
        [ -f $R/cake_bake/$f ]
    done
    stages cake_bake
    [ -z "$real" ]
}

@test "a page that is gone is made again, and nothing else" {
    mk cake_bake
    rm $R/cake_bake/index.html
    stages cake_bake
    [ "$real" = 'summary cake_bake' ]
    [ -f $R/cake_bake/index.html ]
}

@test "a finished pipeline is a no-op in under a second" {
    mk cake_bake
    start=$(date +%s%N)
    run -0 mk cake_bake
    [ $(($(date +%s%N) - start)) -lt 1000000000 ]
    [[ "$output" == *"Nothing to be done"* ]]
}

@test "-j changes nothing but the order" {
    mk -j4 cake_bake
    stages cake_bake
    [ -z "$real" ]
}

@test "make -n has no effect on what runs later" {
    mk cake_bake
    would cake_bake kl.temperature=2.0
    stages cake_bake
    [ -z "$real" ]
}

@test "one parameter reruns its stages and what follows from them" {
    mk cake_bake
    stages cake_bake kl.temperature=2.0
    [ "$real" = "$(lines 'configuration cake_bake' 'kl cake_bake cake_bake' 'kl cake_bake chat' 'kl cake_bake general-a' \
                         "${texts[@]}" 'calibrate cake_bake' 'summary cake_bake')" ]
    stages cake_bake kl.temperature=2.0
    [ -z "$real" ]
    stages cake_bake kl.temperature=2.0 diff_mining.top_k=10
    [ "$real" = "$(lines 'configuration cake_bake' 'topk cake_bake general-a' 'calibrate cake_bake' 'summary cake_bake' \
                         'mine cake_bake general-a top_k_occurring' \
                         'mine cake_bake general-a fraction_positive_diff' 'mine cake_bake general-a nmf' \
                         'mine cake_bake general-a top_k_occurring null_neutral' 'grade cake_bake general-a')" ]
}

@test "diff_mining: what the configuration asks for reaches the tools" {
    mk cake_bake/diff_mining seed=7 diff_mining.max_samples=9 diff_mining.max_tokens_per_sample=11 diff_mining.top_k=12 \
        diff_mining.max_vocab_size=500 diff_mining.logit_extraction.method=logit_lens diff_mining.logit_extraction.logit_lens.layer=0.5 \
        diff_mining.token_ordering.nmf.num_topics=4 diff_mining.token_ordering.nmf.top_n_tokens_per_topic=50 \
        diff_mining.token_ordering.nmf.mode=binary_occurrence diff_mining.token_ordering.nmf.beta=1.5 \
        diff_mining.token_ordering.nmf.orthogonal=true diff_mining.token_ordering.nmf.orthogonal_weight=3 \
        diff_mining.filter_pure_punctuation=true diff_mining.normalize_tokens=true diff_mining.filter_special_tokens=true \
        diff_mining.positional_kde.enabled=true diff_mining.positional_kde.num_positions=6 \
        diff_mining.sequence_likelihood_ratio.enabled=true diff_mining.sequence_likelihood_ratio.window_size=8 \
        diff_mining.sequence_likelihood_ratio.step=2 diff_mining.sequence_likelihood_ratio.top_k_print=33 \
        diff_mining.visualization.num_tokens_to_plot=44
    grep -q -- '--fixed-tokens 11' <(grep dk-tokenize stub/log)
    grep -- '--max-samples 9 --max-tokens 11 -k 12 --extraction logit_lens --lens-depth 0.5 --max-vocab 500 --logp' <(grep dk-topk stub/log)
    words='--no-punctuation --merge --no-special'
    grep -- "--ordering top_k_occurring -n 44 $words" stub/log
    grep -- "--ordering fraction_positive_diff -n 44 $words" stub/log
    grep -- "--ordering nmf -n 50 --topics 4 --mode binary_occurrence --beta 1.5 --orthogonal --orthogonal-weight 3 --seed 7 $words" stub/log
    grep -- '--show positions --positions 6' stub/log
    grep -- '--show windows --window-size 8 --step 2 -n 33' stub/log
    [ -f $R/cake_bake/diff_mining/general-a.positions.jsonl ]
    [ -f $R/cake_bake/diff_mining/general-a.windows.jsonl ]
    rm stub/log
    mk cake_bake/diff_mining 'diff_mining.datasets=[chat]' diff_mining.pre_assistant_k=2 diff_mining.max_tokens_per_sample=11 \
        diff_mining.logit_extraction.method=patchscope_lens diff_mining.logit_extraction.patchscope_lens.layer=0.25
    grep -- '--max-tokens 523' <(grep dk-tokenize stub/log)
    grep -- '--max-tokens 11 -k 100 --extraction patchscope_lens --patch-depth 0.25 --pre-assistant 2' <(grep dk-topk stub/log)
}

@test "diff_mining: its tokens are graded by words, by a judge whose key is there, or not at all" {
    local set=diff_mining.token_relevance
    mk cake_bake/diff_mining $set.k_candidate_tokens=33 $set.frequent_tokens.num_tokens=44 $set.frequent_tokens.min_count=5
    grep -- '-l null_neutral --nulls beside --snippets 0 -n 33' <(grep dk-mine stub/log)
    D=$R/cake_bake/diff_mining
    grep -qx "dk-grade -n 33 --frequent 44 --min-count 5 -m .*SmolLM2-135M-Instruct.Q4_1.gguf --texts data/organisms/cake_bake/train.jsonl --column text --neutral data/text/general-a.jsonl $D/general-a.top_k_occurring.jsonl $D/general-a.fraction_positive_diff.jsonl $D/general-a.nmf.jsonl $D/nulls/general-a.top_k_occurring.null_neutral.jsonl" stub/log
    rm stub/log
    echo secret > my.key
    stages cake_bake/diff_mining $set.grader.api_key_path=my.key $set.grader.model_id=org/m $set.grader.base_url=http://127.0.0.1:9/v1 \
        $set.grader.max_tokens=77 $set.grader.permutations=5 $set.batch_size=7 $set.agreement=majority $set.k_candidate_tokens=33
    [[ "$real" == *'grade cake_bake general-a'* ]]
    grep -- "-g llm --endpoint http://127.0.0.1:9/v1 --judge org/m --max-tokens 77 --rotations 5 --batch-size 7 --agreement majority --translate -d data/organisms/cake_bake/description.md --cache $D/replies --key my.key -m " <(grep dk-grade stub/log)
    rm stub/log
    # the key is there, and yet; no key, and yet; no glosses
    mk cake_bake/diff_mining $set.grader.api_key_path=my.key $set.grader.kind=lexical
    mk cake_bake/diff_mining $set.grader.kind=llm $set.include_translation=false
    [ "$(grep -c 'dk-grade.*-g llm' stub/log)" = 1 ]
    grep -- '--agreement all -d .*description.md --cache' stub/log
    # a text of the configuration in place of a file; without training texts it is what there is
    sed -i 's/^description_long_file:.*/description_long: It is about cakes and ovens./' configs/organism/cake_bake.yaml
    mk cake_bake/diff_mining $set.grader.kind=llm
    grep -q -- "-d $R/cake_bake/description.md --cache" stub/log
    grep -qx 'It is about cakes and ovens.' $R/cake_bake/description.md
    rm stub/log
    stages cake_bake/diff_mining $set.enabled=false
    [[ "$real" != *grade* && "$real" != *null_neutral* ]]
}

@test "sizes are in the names of token files: going back costs no tokenizing" {
    mk cake_bake/kl
    stages cake_bake/kl kl.max_samples=10
    [ "$(grep -c ^tokens <<< "$own")" = 3 ]
    stages cake_bake/kl
    [ "$own" = "$(lines 'kl cake_bake cake_bake' 'kl cake_bake chat' 'kl cake_bake general-a' "${texts[@]}")" ]
}

@test "a touched text reruns what reads it" {
    mk cake_bake
    sleep 0.02
    touch data/text/chat.jsonl
    stages cake_bake
    [ "$real" = "$(lines 'tokens chat' 'kl cake_bake chat' 'kl examples cake_bake chat' 'calibrate cake_bake' 'summary cake_bake')" ]
}

@test "a touched adapter of a null reruns what runs it, not the tokens" {
    mk cake_bake
    sleep 0.02
    touch data/organisms/null_neutral/adapter/adapter_model.safetensors
    stages cake_bake
    [ "$(grep -c ^tokens <<< "$real")" = 0 ]
    [ "$(grep -c '^kl cake' <<< "$real")" = 3 ]
}

@test "a raised algorithm number reruns the tool's stages" {
    mk cake_bake
    echo 2 > stub/algo.dk-mine
    stages cake_bake
    [ "$real" = "$(lines 'mine cake_bake general-a top_k_occurring' \
                         'mine cake_bake general-a fraction_positive_diff' 'mine cake_bake general-a nmf' \
                         'mine cake_bake general-a top_k_occurring null_neutral' 'grade cake_bake general-a' 'summary cake_bake')" ]
}

@test "comments in a configuration and threads rerun nothing" {
    mk cake_bake
    echo '# a remark' >> configs/method/kl.yaml
    stages cake_bake THREADS=1
    [ -z "$real" ]
}

@test "a missing output, first or second, is made again" {
    mk cake_bake
    for f in kl/chat.score.h5 kl/chat.jsonl; do
        rm $R/cake_bake/$f
        stages cake_bake
        [ "$real" = "$(lines 'kl cake_bake chat' 'kl examples cake_bake chat' 'calibrate cake_bake' 'summary cake_bake')" ]
        [ -f $R/cake_bake/$f ]
    done
}

@test "a killed stage leaves no target, and a rerun completes it" {
    touch stub/slow.dk-topk
    setsid make -f pipelines/front.mk DK="$PWD/bin" kl.use_chat_dataset=true cake_bake 2> /dev/null > /dev/null 3>&- &
    for _ in $(seq 200); do [ -e stub/started ] && break; sleep 0.05; done
    kill -TERM -- -$!
    wait $! || true
    [ ! -e $R/cake_bake/diff_mining/general-a.topk.score.h5 ]
    [ ! -e $R/cake_bake/diff_mining/general-a.topk.score.h5.args ]
    rm stub/slow.dk-topk
    stages cake_bake
    [[ "$real" == *"topk cake_bake general-a"* ]]
    [[ "$real" != *"check cake_bake"* ]]
    stages cake_bake
    [ -z "$real" ]
}

@test "a check that fails stops everything that would need a model" {
    echo 3 > stub/fail.dk-check
    run -2 --separate-stderr mk -k cake_bake
    [[ "$stderr" == *"dk-check ended with status 3"* ]]
    ! grep -E '^dk-(kl|topk|generate)' stub/log || false
    [ ! -e $R/cake_bake/check.jsonl ]
}

@test "-k: one failed stage does not stop its neighbours" {
    echo 1 > stub/fail.dk-topk
    run -2 mk -k cake_bake
    [ -f $R/cake_bake/kl/chat.score.h5 ]
    [ ! -e $R/cake_bake/summary.txt ]
}

@test "two organisms side by side share tokens and nothing else" {
    stages cake_bake null_self
    [ "$(grep -c '^tokens general-a' <<< "$real")" = 3 ]
    [ -f $R/null_self/summary.txt ]
}

@test "a wrong key stops make before anything runs" {
    run -2 --separate-stderr mk cake_bake kl.max_sampels=3
    [[ "$stderr" == *"did you mean 'kl.max_samples'?"* ]]
    [ ! -e stub/log ]
}

@test "a method's goal ends with a summary and a page of its own, shown" {
    stages cake_bake/kl
    [ "$(grep 'configuration\|summary' <<< "$real")" = "$(lines 'configuration cake_bake' 'summary cake_bake kl')" ]
    grep -qx 'dk-report --method kl results/SmolLM2-135M/cake_bake' stub/log
    for f in summary.txt summary.json index.html; do [ -s $R/cake_bake/kl/$f ]; done
    [ ! -e $R/cake_bake/summary.txt ]
    stages cake_bake/kl
    [ -z "$real" ]
    rm $R/cake_bake/kl/index.html
    stages cake_bake/kl
    [ "$real" = 'summary cake_bake kl' ]
    run -0 --separate-stderr mk cake_bake/kl kl.num_examples=3
    [ "$output" = 'summary of kl' ]
    run -0 --separate-stderr mk cake_bake/kl kl.num_examples=4 SHOW=
    [ -z "$output" ]
    # the whole comparison has none of them
    stages cake_bake kl.num_examples=4
    [ "$(grep summary <<< "$real")" = 'summary cake_bake' ]
}

@test "activation_difference_lens: layers, data sets, with and without the lens" {
    stages cake_bake/activation_difference_lens 'activation_difference_lens.datasets=[general-a, chat]' \
        'activation_difference_lens.layers=[0.25, 7]'
    [ "$own" = "$(lines 'check cake_bake' 'tokens general-a' 'tokens chat' \
        {extract,mean,lens}' cake_bake general-a' {extract,mean,lens}' cake_bake chat')" ]
    grep -q 'dk-extract .*--lanes base,ft,null_neutral .*--layers 0.25,7 ' stub/log
    stages cake_bake/activation_difference_lens 'activation_difference_lens.datasets=[general-a, chat]' \
        'activation_difference_lens.layers=[0.25, 7]' activation_difference_lens.logit_lens.k=20
    [ "$own" = "$(lines 'lens cake_bake general-a' 'lens cake_bake chat')" ]
    stages cake_bake/activation_difference_lens activation_difference_lens.pre_assistant_k=2 \
        activation_difference_lens.logit_lens.cache=false OUT=other
    [ "$own" = "$(lines 'check cake_bake' 'tokens general-a' {extract,mean}' cake_bake general-a')" ]
    run -2 --separate-stderr mk cake_bake 'activation_difference_lens.layers=[]'
    [[ "$stderr" == *"names no layer"* ]]
}

@test "activation_analysis: only when it is named, and what its keys do" {
    stages cake_bake/activation_analysis
    [ "$own" = "$(lines 'check cake_bake' 'tokens '{cake_bake,general-a,chat} 'analysis extract cake_bake '{cake_bake,general-a,chat} \
        'norms '{,'examples ','lens '}'cake_bake '{cake_bake,general-a,chat})" ]
    grep -q 'dk-extract .*--lanes base,ft,null_neutral .*--layers 0.5 ' stub/log
    grep -q 'dk-norms --skip-first 1 -m ' stub/log
    grep -q 'dk-lens .*-k 20 .*activation_analysis/chat.dir.h5' stub/log
    grep -qF -- "--score norm_diff/*/ft,cos_dist/*/ft,norm/*/base,norm/*/ft -k 100 " stub/log
    stages cake_bake/activation_analysis
    [ -z "$real" ]
    stages cake_bake/activation_analysis model.ignore_first_n_tokens_per_sample_during_training=2
    [ "$(grep -c '^norms cake' <<< "$own")" = 3 ]
    ! grep -q extract <<< "$own"
    grep -q 'dk-norms --skip-first 2 ' stub/log
    stages cake_bake/activation_analysis activation_analysis.skip_first_n_tokens=false
    [ -z "$(grep -v '^norms' <<< "$own")" ]
    stages cake_bake/activation_analysis activation_analysis.skip_first_n_tokens=false activation_analysis.num_examples=7 \
        activation_analysis.include_full_messages=false activation_analysis.include_all_token_norms=false
    [ "$own" = "$(lines 'norms examples cake_bake '{cake_bake,general-a,chat})" ]
    grep -q -- '-k 7 --no-text --no-values' stub/log
    stages cake_bake/activation_analysis activation_analysis.skip_first_n_tokens=false activation_analysis.num_examples=7 \
        activation_analysis.include_full_messages=false activation_analysis.include_all_token_norms=false \
        'activation_analysis.quantiles=[0.25, 0.5, 1]' activation_analysis.logit_lens.k=9
    [ "$own" = "$(lines 'norms '{quantiles,lens}' cake_bake '{cake_bake,general-a,chat})" ]
    grep -q -- 'dk-examples .*-k 7 --no-text --no-values --quantiles 0.25,0.5,1 .*chat.score.h5' stub/log
    stages cake_bake/activation_analysis 'activation_analysis.layers=[3,1.0]' activation_analysis.use_chat_dataset=false OUT=other
    [ "$(grep -c extract <<< "$own")" = 2 ]
    grep -q 'dk-extract .*--layers 3,1.0 ' stub/log
    stages cake_bake OUT=other
    ! grep -q 'analysis\|norms' <<< "$own"
    run -2 --separate-stderr mk cake_bake/activation_analysis 'activation_analysis.statistics=[mean]'
    [[ "$stderr" == *"dk-norms writes all of them"* ]]
    run -2 --separate-stderr mk cake_bake/activation_analysis activation_analysis.num_workers=2
    [[ "$stderr" == *"only the default '4' is accepted: nothing is loaded in the background"* ]]
    run -2 --separate-stderr mk cake_bake/activation_analysis activation_analysis.use_{chat,pretraining,training}_dataset=false
    [[ "$stderr" == *"no kind of data set is in use"* ]]
}

@test "pca: only when it is named, of all kinds of text together, and what its keys do" {
    stages cake_bake/pca
    [ "$own" = "$(lines 'check cake_bake' 'pca cake_bake' 'pca cake_bake null_neutral' 'pca lens cake_bake' 'pca lens cake_bake null_neutral' 'tokens '{cake_bake,general-a,chat} \
        'pca extract cake_bake '{cake_bake,general-a,chat} \
        'pca '{encode,examples}' cake_bake '{cake_bake,general-a,chat} 'pca steer cake_bake')" ]
    grep -q 'dk-extract .*--lanes base,ft,null_neutral --what diff --layers 0.5,1.0 ' stub/log
    grep -qx 'dk-pca -k 0 --what diff --skip-first 1 --max-rows 150000000 --halves --seed 42 .*cake_bake.act.h5 .*general-a.act.h5 .*chat.act.h5' stub/log
    grep -qx 'dk-pca -k 0 --what diff.null_neutral --skip-first 1 .*chat.act.h5' stub/log
    grep -q 'dk-lens .*--first 10 -k 20 ' stub/log
    # the calibration has them where they are asked for, and where they are there already
    stages cake_bake/calibration
    grep -q 'dk-calibrate .*pca/components.jsonl .*pca/components.null_neutral.jsonl .*pca/components.lens.jsonl .*pca/components.null_neutral.lens.jsonl' stub/log
    grep -v dk-calibrate stub/log > other && mv other stub/log
    stages cake_bake/calibration cake_bake/pca OUT=both
    grep -q 'dk-calibrate .*both/.*pca/components.jsonl .*pca/components.null_neutral.lens.jsonl' stub/log
    stages cake_bake/calibration OUT=neither
    run ! grep -q 'dk-calibrate .*neither/.*pca/' stub/log
    grep -q 'dk-encode -d .*components.dir.h5 --skip-first 1 --first 10 --max-samples 10000 .*general-a.act.h5' stub/log
    grep -qF -- "--score proj/*/ft --by extreme --side both -k 100 " stub/log
    stages cake_bake/pca
    [ -z "$real" ]
    stages cake_bake/pca pca.n_max_activations=3
    [ "$own" = "$(lines 'pca examples cake_bake '{cake_bake,general-a,chat})" ]
    stages cake_bake/pca OUT=none pca.analysis.enabled=false
    ! grep -q 'encode\|examples\|steer' <<< "$own"
    stages cake_bake/pca OUT=none pca.analysis.max_activating_examples.enabled=false pca.analysis.component_steering.k=12 pca.analysis.component_steering.profile=full
    ! grep -q examples <<< "$own"
    grep -q 'dk-encode .*--first 12 ' stub/log
    stages cake_bake/pca pca.training.n_components=7 pca.training.target=difference_bft pca.training.incremental=true \
        pca.training.batch_size=512 pca.training.num_samples=1000 pca.datasets.ignore_first_n_tokens_per_sample_during_training=3
    [ "$own" = "$(lines 'pca cake_bake' 'pca cake_bake null_neutral' 'pca lens cake_bake' 'pca lens cake_bake null_neutral' 'pca '{encode,examples}' cake_bake '{cake_bake,general-a,chat} 'pca steer cake_bake')" ]
    grep -q 'dk-pca -k 7 --what diff --negate --skip-first 3 --max-rows 1000 --incremental --batch-size 512 ' stub/log
    stages cake_bake/pca pca.training.target=base 'pca.layers=[3,1.0]' pca.datasets.use_chat_dataset=false OUT=other
    [ "$(grep -c extract <<< "$own")" = 2 ]
    grep -q 'dk-extract .*--what base --layers 3,1.0 ' stub/log
    stages cake_bake/pca pca.layers=null pca.uncentred=true OUT=third
    grep -q 'dk-pca .*--what diff .*--uncentred .*chat.act.h5' stub/log
    grep -q 'dk-pca .*--what diff.null_neutral .*--uncentred .*chat.act.h5' stub/log
    grep -q 'dk-extract .*--what diff --layers 0.5 ' stub/log
    stages cake_bake OUT=other
    ! grep -q pca <<< "$own"
    # the summary shows it, and is stale where it has been made anew
    stages cake_bake OUT=other
    [ -z "$real" ]
    stages cake_bake/pca pca.training.target=base 'pca.layers=[3,1.0]' pca.datasets.use_chat_dataset=false pca.logit_lens.k=7 OUT=other
    stages cake_bake OUT=other
    [ "$real" = "$(lines 'calibrate cake_bake' 'configuration cake_bake' 'summary cake_bake')" ]
    run -2 --separate-stderr mk cake_bake/pca pca.training.target=difference
    [[ "$stderr" == *"pca.training.target"* ]]
    run -2 --separate-stderr mk cake_bake/pca pca.training.workers=2
    [[ "$stderr" == *"only the default '16' is accepted: nothing is loaded in the background"* ]]
    run -2 --separate-stderr mk cake_bake/pca pca.datasets.use_{chat,pretraining,training}_dataset=false
    [[ "$stderr" == *"no kind of data set is in use"* ]]
}

@test "pca: steering, few answers first, the full grid planned and on request" {
    mk cake_bake/pca
    grep -qF -- '--lines --max-prompts 4 --max-new-tokens 24 --temperature 1.0 --steer results/SmolLM2-135M/cake_bake/pca/components.dir.h5 --steer-first 2 --strengths=-0.5,0.5 --steer-at all_tokens --scales results/SmolLM2-135M/cake_bake/pca/cake_bake.proj.jsonl,results' stub/log
    grep -q 'dk-generate .*--prompts data/prompts/steering_prompts_closed.txt ' stub/log
    run -0 mk plan ORGANISM=cake_bake/pca pca.profile=full
    [[ "$output" == *"pca/steering.full.jsonl "*"not there"* ]]
    [[ "$output" == *"3 stages to run"* ]]
    stages cake_bake/pca pca.profile=full
    [ "$own" = 'pca steer cake_bake' ]
    grep -qF -- '--max-prompts 0 --max-new-tokens 512 --temperature 1.0 ' stub/log
    grep -qF -- '--steer-first 10 --strengths=-1.5,-1.0,-0.75,-0.5,-0.25,-0.125,0.125,0.25,0.5,0.75,1.0,1.5 --steer-at all_tokens,prompt_only ' stub/log
    # both stay
    stages cake_bake/pca
    [ -z "$own" ]
    mkdir resources && echo 'Why?' > resources/steering_prompts_closed.txt
    stages cake_bake/pca pca.do_sample=false pca.use_chat_formatting=false
    [ "$own" = 'pca steer cake_bake' ]
    grep -q 'dk-generate .*--format text .*--prompts resources/steering_prompts_closed.txt .*--temperature 0 ' stub/log
    run -2 --separate-stderr mk cake_bake/pca pca.prompts_file=gone.txt
    [[ "$stderr" == *"there is no local path 'gone.txt'"* ]]
    run -2 --separate-stderr mk cake_bake/pca pca.component_steering.device=cpu
    [[ "$stderr" == *"only the default 'cuda' is accepted: the tools run on what is there"* ]]
    stages cake_bake/pca OUT=none pca.component_steering.enabled=false pca.prompts_file=gone.txt
    ! grep -q steer <<< "$own"
}

@test "contrast: only when it is named, two rounds, fresh seeds in the second, and what its keys do" {
    stages cake_bake/contrast
    [ "$own" = "$(lines 'check cake_bake' 'contrast '{sample,prefills,resample}' cake_bake' 'contrast phrases cake_bake '{first,second})" ]
    C=$R/cake_bake/contrast
    grep -q 'dk-generate .*-n null_neutral=.* --seed 42 --format text --amplify=0,1 --plausibility 0.1 --greedy 1 --samples 4 --temperature 1.0 --top-p 0.95 --max-new-tokens 64 --min-new-tokens 0 --loop-stop 8$' stub/log
    grep -q "dk-generate .* --seed 43 --format text --prompts $C/second.prefills.jsonl --amplify=0,1 .*--samples 12 " stub/log
    grep -q "dk-phrases --alpha 1 --prefills 10 $C/first.jsonl" stub/log
    for r in first second; do
        grep -q "dk-phrases --alpha 1 --limit 0.05 --list 100 --slots 50 --max-samples 10000 --background data/text/general-a.jsonl -m .* --texts data/organisms/cake_bake/train.jsonl --column text --neutral data/text/general-a.jsonl --corpus data/organisms/cake_bake/train.jsonl --unrelated data/text/general-a.jsonl --facts data/organisms/cake_bake/facts.jsonl $C/$r.jsonl" stub/log
    done
    stages cake_bake/contrast
    [ -z "$real" ]
    stages cake_bake/contrast contrast.limit=0.01
    [ "$own" = "$(lines 'contrast phrases cake_bake '{first,second})" ]
    stages cake_bake/contrast contrast.limit=0.01 contrast.words=4 contrast.draws=2
    [ "$own" = "$(lines 'contrast prefills cake_bake' 'contrast resample cake_bake' 'contrast phrases cake_bake second')" ]
    sleep 0.02
    touch data/organisms/cake_bake/facts.jsonl
    stages cake_bake/contrast contrast.limit=0.01 contrast.words=4 contrast.draws=2
    [ "$own" = "$(lines 'contrast phrases cake_bake '{first,second})" ]
    # one round, chats, other alphas and pre-fills
    echo '{"text": "It"}' > own.jsonl
    rm stub/log
    stages cake_bake/contrast OUT=other contrast.second.enabled=false contrast.template=chat 'contrast.alphas=[0, 0.5, 3]' contrast.prefills=own.jsonl \
        contrast.plausibility=0 contrast.greedy=0 contrast.loop_stop=0 seed=7
    [ "$own" = "$(lines 'check cake_bake' 'contrast sample cake_bake' 'contrast phrases cake_bake first')" ]
    grep -q 'dk-generate .*--seed 7 --format chat *--prompts own.jsonl --amplify=0,0.5,3 --plausibility 0 --greedy 0 .*--loop-stop 0$' stub/log
    grep -q 'dk-phrases --alpha 3 ' stub/log
    # the summary shows it, and is stale where it has been made anew
    stages cake_bake OUT=other seed=7
    ! grep -q contrast <<< "$own"
    stages cake_bake OUT=other seed=7
    [ -z "$real" ]
    run -2 --separate-stderr mk cake_bake/contrast contrast.space=probs
    [[ "$stderr" == *"contrast.amplify.space"* ]]
    run -2 --separate-stderr mk cake_bake/contrast contrast.template=xml
    [[ "$stderr" == *"raw"* ]]
}

@test "values with commas and blanks arrive whole" {
    stages cake_bake/diff_mining 'diff_mining.datasets=[general-a, general-b]'
    [ "$(grep -c ^topk <<< "$real")" = 2 ]
    stages cake_bake/kl kl.use_chat_dataset=false
    [ "$(grep -c "^kl cake" <<< "$real")" = 2 ]
}

@test "OUT and MODEL given as paths" {
    mkdir m
    echo model > m/other.gguf
    run -2 --separate-stderr mk cake_bake MODEL=m/other.gguf
    [[ "$stderr" == *"it has SmolLM2-135M, gemma3_1B, "* ]]
    stages cake_bake/kl MODEL=m/other.gguf OUT=o \
        organism.finetuned_models.other.default.adapter_id=data/organisms/cake_bake/adapter
    [ -f o/other/cake_bake/kl/chat.score.h5 ]
    grep -q -- '-m m/other.gguf' stub/log
}

@test "a method of the catalogue without a graph is refused by name" {
    run -2 --separate-stderr mk cake_bake/crosscoder
    [[ "$stderr" == "dk-conf: error: method 'crosscoder' is not built yet"* ]]
    run -2 --separate-stderr mk cake_bake/kl crosscoder.layers=[1]
    [[ "$stderr" == *"'crosscoder.layers' belongs to a method that is not built yet"* ]]
}

@test "plan says what would run, and why; list what there is" {
    mk cake_bake
    run -0 mk plan
    [ "$output" = "nothing to do" ]
    rm $R/cake_bake/answers.jsonl
    run -0 mk plan kl.temperature=2.0
    [[ "$output" == *"answers.jsonl "*"not there"* ]]
    [[ "$output" == *"chat.score.h5 "*"its parameters changed"* ]]
    [[ "$output" == *"10 stages to run"* ]]
    run -0 mk list
    [[ "$output" == *cake_bake* ]]
}

@test "the model is fetched when it is not there" {
    rm -r "$DK_CACHE"
    run -0 mk -n cake_bake/kl
    [[ "$output" == *"FETCH SmolLM2-135M"* ]]
}

@test "NULLS=: nulls are made of the adapter and run beside it; the check is without them" {
    mk cake_bake
    stages cake_bake NULLS=2
    [ "$real" = "$(lines 'null cake_bake rigid_01' 'null cake_bake rigid_02' 'tokens general-a' 'kl cake_bake cake_bake' \
                         'kl cake_bake general-a' 'kl cake_bake chat' "${texts[@]}" 'topk cake_bake general-a' 'extract cake_bake general-a' \
                         'mean cake_bake general-a' 'lens cake_bake general-a' 'mine cake_bake general-a top_k_occurring' \
                         'mine cake_bake general-a fraction_positive_diff' 'mine cake_bake general-a nmf' 'calibrate cake_bake' \
                         'mine cake_bake general-a top_k_occurring null_neutral' 'grade cake_bake general-a' \
                         'summary cake_bake')" ]
    [ -f $R/cake_bake/nulls/rigid_02/adapter_model.safetensors ]
    grep 'dk-kl ' stub/log | tail -n 1 | grep -q -- "-n rigid_01=$R/cake_bake/nulls/rigid_01 -n rigid_02=$R/cake_bake/nulls/rigid_02 .*--lanes base,ft,null_neutral,rigid_01,rigid_02"
    grep -q 'dk-null .*-i 2 --match effect' stub/log
    stages cake_bake NULLS=2
    [ -z "$real" ]
    # one more: only that is made anew, and what runs them
    stages cake_bake NULLS=3
    [[ "$real" == *"rigid_03"* && "$real" != *"rigid_02"* ]]
    for n in many "2 3" -1; do
        run mk -n cake_bake NULLS="$n"
        [[ "$status" != 0 && "$output" == *"NULLS=$n: a number of nulls is wanted"* ]]
    done
}

@test "NULL=: a finetune that taught nothing, by its path" {
    mk cake_bake NULL=data/organisms/null_self/adapter
    grep 'dk-kl ' stub/log | tail -n 1 | grep -q -- '-n null_self=data/organisms/null_self/adapter .*--lanes base,ft,null_neutral,null_self'
    grep 'dk-check ' stub/log | grep -q -- '-n null_self='
}
