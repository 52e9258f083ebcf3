# Models that only a hub has, in `dk diff` and in the catalogue's graph: fetched
# once, then found without a network.
load ../helper/mini
load ../helper/hub

setup_more() {
    local m
    pair_here
    A=$(printf %040d 1) B=$(printf %040d 2)
    for m in base full; do
        repo acme/$m main "$A"
        cp -rL $m/. "srv/repos/acme/$m/$A"
    done
    repo acme/organisms main "$A"
    repo acme/organisms v2 "$B"
    mkdir -p srv/repos/acme/organisms/{"$A","$B"}/mine
    cp mine/adapter/* "srv/repos/acme/organisms/$A/mine"
    cp other/adapter/* "srv/repos/acme/organisms/$B/mine"
    hub_start || return 1
    # One model key and one organism, in a catalogue of their own.
    cp -r "$ROOT/configs" .
    ln -s "$ROOT/data" data
    sed -e 's/^name: .*/name: tiny/; s,^model_id: .*,model_id: acme/base,; /^source:/,$d' configs/model/SmolLM2-135M.yaml > configs/model/tiny.yaml
}
teardown() { hub_stop; }

compare() { dk-diff -t 1 --text t.jsonl --methods kl "$@"; }
kl() { jq -r 'select(.lane == "ft").value' "$1"; }

@test "diff: base and finetune by their ids, with full weights; then without the hub" {
    run -0 --separate-stderr compare acme/base acme/full -o r
    [ "${lines[0]}" = "full on base, products in auto" ]
    compare base full -o local
    [ "$(kl r/kl/t.jsonl)" = "$(kl local/kl/t.jsonl)" ]
    rm srv/log
    [ -z "$(did compare acme/base acme/full -o r)" ]
    [ ! -e srv/log ]
    hub_stop
    [ -z "$(did compare acme/base acme/full -o r)" ]
    [ "$(did compare acme/base acme/full -o r --max-tokens 3)" = "calibrate t kl t summary full tokens t " ]
    HF_HUB_OFFLINE=1 compare acme/base acme/full -o again
}

@test "diff: an adapter in a folder of a repository, at a revision, results named after it" {
    compare acme/base acme/organisms/mine
    compare base mine/adapter -o local
    [ "$(kl results/diff/base/mine/kl/t.jsonl)" = "$(kl local/kl/t.jsonl)" ]
    run -0 compare acme/base acme/organisms/mine@v2 --null acme/organisms/mine -o v2
    compare base other/adapter -o local2
    [ "$(kl v2/kl/t.jsonl)" = "$(kl local2/kl/t.jsonl)" ]
    [ "$(jq -r .lane v2/kl/t.jsonl | tr '\n' ' ')" = "ft mine " ]
}

@test "diff: ids that the hub does not have, and a plan that fetches nothing" {
    run -2 --separate-stderr compare acme/base acme/nobody -o r
    [[ "$stderr" == *acme/nobody* ]]
    [ ! -e r/kl ]
    rm -rf hf srv/log
    run -2 --separate-stderr compare acme/base acme/full -o p --plan
    [ ! -e srv/log ]
    [ ! -e p ]
    compare acme/base acme/full -o p
    run -0 compare acme/base acme/full -o p --plan
    [ "$output" = "nothing to do" ]
}

catalogue() {
    make --no-print-directory -f "$ROOT/pipelines/front.mk" DK="$bin" CONFIGS="$PWD/configs" OUT="$PWD/r" MODEL=tiny SHOW= \
        THREADS=1 dtype=f32 kl.max_samples=4 kl.max_tokens_per_sample=16 diff_mining.max_samples=4 \
        diff_mining.max_tokens_per_sample=16 diff_mining.top_k=5 activation_difference_lens.max_samples=4 \
        activation_difference_lens.n=8 activation_difference_lens.logit_lens.k=5 answers.max_samples=1 \
        answers.max_new_tokens=4 'organism.nulls=[null_self]' "$@"
}

@test "catalogue: a model key with only a hub id, a full finetune there, a null from there" {
    sed -i 's,^  SmolLM2-135M:,  tiny: {default: {adapter_id: acme/organisms/mine}}\n&,' configs/organism/null_self.yaml
    grep -q acme configs/organism/null_self.yaml
    full=organism.finetuned_models.tiny.default.model_id=acme/full
    run -2 --separate-stderr catalogue -n cake_bake "$full"
    [[ "$stderr" == *"acme/base@main is not, or not whole, in "* ]]
    [ ! -e srv/log ]
    run -0 --separate-stderr catalogue cake_bake "$full"
    for f in kl/general-a.jsonl diff_mining/general-a.top_k_occurring.jsonl activation_difference_lens/general-a.lens.jsonl \
             answers.jsonl summary.json index.html; do
        [ -s r/tiny/cake_bake/$f ]
    done
    [ "$(jq -r 'select(.check == "A8" and .lane == "ft").status' r/tiny/cake_bake/check.jsonl)" = pass ]
    [ "$(jq -r .lane r/tiny/cake_bake/kl/general-a.jsonl | sort | tr '\n' ' ')" = "ft null_self " ]
    [[ "$(jq -r '."model.path"' r/tiny/cake_bake/pair.json)" == "$HF_HOME/hub/models--acme--base/snapshots/$A" ]]
    hub_stop
    [ -z "$(did catalogue cake_bake "$full")" ]
    [ -z "$(catalogue -n cake_bake "$full" | grep RUN)" ]
    run -0 dk-fetch --configs configs tiny
    [ "$output" = "$HF_HOME/hub/models--acme--base/snapshots/$A" ]
}

@test "catalogue: full finetunes that are here, in a variant; identical ones fail the check" {
    run -0 --separate-stderr catalogue cake_bake/kl VARIANT=whole 'organism.nulls=[]' \
        organism.finetuned_models.tiny.whole.model_id=full
    [ -s r/tiny/cake_bake.whole/kl/general-a.jsonl ]
    run -2 --separate-stderr catalogue cake_bake/kl VARIANT=same 'organism.nulls=[]' \
        organism.finetuned_models.tiny.same.model_id=acme/base
    [[ "$stderr" == *"check A8, lane ft: identical: all 21 tensors"* ]]
    run -2 --separate-stderr catalogue cake_bake/kl VARIANT=gone organism.finetuned_models.tiny.gone.model_id=./gone
    [[ "$stderr" == *"there is no local path './gone'"* ]]
}

@test "catalogue: a data set of the hub is fetched first, its files are one set, and offline it is named" {
    local set=srv/repos/datasets/acme/texts/$A one="configs/dataset/web.yaml"
    repo datasets/acme/texts main "$A"
    mkdir -p "$set/de"
    for i in 0 1; do
        grep -n . "$ROOT/data/text/general-a.jsonl" | awk -F: -v i=$i 'NR % 2 == i' | cut -d: -f2- | head -n 20 > "$set/de/train-0000$i-of-00002.jsonl"
    done
    printf -- '---\nconfigs: [{config_name: de, data_files: [{split: train, path: de/train-*}]}]\n---\n' > "$set/README.md"
    printf 'name: web\nid: acme/texts\nsubset: de\nsplits: [train]\nis_chat: false\ntext_column: text\n' > $one
    sets=(cake_bake/kl 'datasets.pretraining=[web]' kl.use_training_dataset=false
          organism.finetuned_models.tiny.default.model_id=acme/full 'organism.nulls=[]' kl.max_samples=30)
    for m in base full; do dk-fetch acme/$m; done
    run -2 --separate-stderr catalogue -n "${sets[@]}"
    [[ "$stderr" == *"acme/texts@main, subset de, split train, is not, or not whole, in "* ]]
    run -0 --separate-stderr catalogue "${sets[@]}"
    [ "$(jq -r 'select(.lane == "ft").dataset_id' r/tiny/cake_bake/kl/web.jsonl)" = web ]
    [ "$(dk-info --json r/tiny/tokens/web.n30.t16.tok.h5 | jq .docs)" = 30 ]
    cat "$set"/de/*.jsonl | head -n 30 | dk-tokenize -m base --max-tokens 16 --name web -o want.tok.h5 -
    [ "$(dk-info --json want.tok.h5 | jq -r .content_id)" = "$(dk-info --json r/tiny/tokens/web.n30.t16.tok.h5 | jq -r .content_id)" ]
    # Not streamed: all of it, and samples of one length in the seed's order.
    echo 'streaming: false' >> $one
    mine=(cake_bake/diff_mining 'diff_mining.datasets=[web]' organism.finetuned_models.tiny.default.model_id=acme/full 'organism.nulls=[]')
    run -0 --separate-stderr catalogue "${mine[@]}"
    dk-tokenize -m base --fixed-tokens 16 -n 4 --name web --shuffle -o want.tok.h5 "$set"/de/*.jsonl
    [ "$(dk-info --json want.tok.h5 | jq -r .content_id)" = "$(dk-info --json r/tiny/tokens/web.n4.f16.s42.tok.h5 | jq -r .content_id)" ]
    sed -i '$d' $one
    hub_stop
    # the parameters are others again, and no result is stale
    [ "$(did catalogue "${sets[@]}")" = "configuration cake_bake summary cake_bake kl " ]
    [ -z "$(catalogue -n "${sets[@]}" | grep RUN)" ]
}
