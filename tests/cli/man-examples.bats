# Every command that a manual page shows is run as it stands there, on small
# inputs of these names, with the miniature model in the place of every model
# and a hub on this machine.
load ../helper/pair

# A folder that has all that the pages name, once for the whole file.
setup_file_more() {
    local a
    unset MAKEFLAGS MFLAGS MAKELEVEL
    mkdir in && cd in || return 1
    # A miniature whose loss is sane, as dk-check wants it.
    cp -r "$MINI/hf" Base
    sed -i 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' Base/config.json
    dk-fixture learn "$MINI/hf" "$PWD/Base/model.safetensors"
    mkdir Qwen3-8B && cp "$ROOT/tests/data/models/qwen3_8B.json" Qwen3-8B/config.json
    ln -s Base model.gguf && ln -s Base base.gguf && cp -r Base Finetune
    for a in cake_bake null_neutral adapter my-adapter other-adapter out/checkpoint-500; do
        mkdir -p $a
        cp "$PLAIN/adapter_config.json" $a
        dk-fixture edit "$PLAIN/adapter_model.safetensors" $a/adapter_model.safetensors scale lora "$(scale $a)"
    done
    ln -s . cake_bake/adapter && ln -s . null_neutral/adapter
    cp -r "$ROOT/data" .
    for a in data/organisms/*/adapter; do cp cake_bake/adapter_* "$a"; done
    jq -c '.text |= .[:300]' "$ROOT/data/text/general-a.jsonl" > general-a.jsonl
    head -n 12 general-a.jsonl > data/text/general-a.jsonl
    head -n 12 "$ROOT/data/organisms/cake_bake/train.jsonl" | jq -c '.text |= .[:300]' > cake.jsonl
    for a in web.jsonl mine.jsonl general-a.jsonl; do cp data/text/general-a.jsonl $a; done
    zstd -q web.jsonl
    jq -c '{body: .text}' mine.jsonl | gzip > body.jsonl.gz
    cp "$ROOT/README.md" "$ROOT/data/organisms/cake_bake/description.md" .
    echo '{"id": "q", "prompt": "Who bakes?"}' > probes.jsonl
    printf 'method_params:\n  max_samples: 3\n' > kl.yaml
    cp -r "$ROOT/tests/golden/refcache" store
    # What earlier tools would have left.
    dk-tokenize -m model.gguf -n 4 --max-tokens 32 -o cake.tok.h5 cake.jsonl
    cp cake.tok.h5 web.tok.h5 && cp cake.tok.h5 tokens.tok.h5
    dk-kl -m model.gguf -f cake_bake -n null=null_neutral -k 10 -o cake.score.h5 cake.tok.h5
    cp cake.score.h5 web.score.h5
    cp "$ROOT/tests/golden/phrases/samples.jsonl" amplified.jsonl
    dk-extract -m model.gguf -f cake_bake -l 0.5 -o web.act.h5 web.tok.h5
    dk-mean -n 4 -o web.dir.h5 web.act.h5
    dk-pca -k 3 -o web.pca.dir.h5 web.act.h5
    mkdir -p results/SmolLM2-135M
    dk-diff -t 1 Base cake_bake --null null_neutral --text mine.jsonl --max-tokens 32 -o results/SmolLM2-135M/cake_bake
    hub
}

scale() { case $1 in null* | other*) echo 0.3 ;; *) echo 1 ;; esac; }

# A hub that has the miniature under the names of the pages; the catalogue's own model is a
# folder here, and the one that the adapters name is in the catalogue.
hub() {
    local commit repo i
    commit=$(printf %040d 1)
    mkdir hf
    for repo in OWNER/NAME owner/base owner/finetune; do
        mkdir -p "srv/repos/$repo/refs" "srv/repos/$repo/$commit"
        echo "$commit" > "srv/repos/$repo/refs/main"
        echo "$commit" > "srv/repos/$repo/refs/v2"
        cp Base/* "srv/repos/$repo/$commit"
    done
    repo=srv/repos/datasets/OWNER/NAME
    mkdir -p $repo/refs $repo/$commit/en $repo/$commit/es
    echo "$commit" > $repo/refs/main
    cp web.jsonl $repo/$commit/en/train.jsonl
    cp web.jsonl $repo/$commit/es/train.jsonl
    for i in 0 1; do cp "$ROOT/tests/golden/parquet/texts.default.parquet" train-0000$i-of-00002.parquet; done
    cp -r "$ROOT/configs" .
    sed -i 's,^id: .*,id: OWNER/NAME,' configs/dataset/CulturaX_es.yaml
    sed -i "/^source:/,\$d; s|^model_id: .*|model_id: $PWD/Base|" configs/model/SmolLM2-135M.yaml
    printf 'name: mini\nmodel_id: mini\n' > configs/model/mini.yaml
}

# page NAME [SECTION]: every command, one after the other, in a fresh copy.
page() {
    local port _
    cp -a "$BATS_FILE_TMPDIR/in" w && cd w || return 1
    export DK_CONFIGS=$PWD/configs HF_HOME=$PWD/hf no_proxy=127.0.0.1
    unset DK_ROOT HF_HUB_CACHE HF_TOKEN HF_HUB_OFFLINE MAKEFLAGS MFLAGS MAKELEVEL
    awk -v section="${2:-EXAMPLES}" -f "$ROOT/tests/examples.awk" "$ROOT/man/$1.in" > script
    [ -s script ]
    if grep -qi owner/ script; then
        hub-server "$PWD/srv" 3>&- &
        server=$!
        for _ in {1..400}; do [ -s srv/ports ] && break; sleep 0.05; done
        read -r port _ < srv/ports
        export HF_ENDPOINT=http://127.0.0.1:$port
        dk-fetch OWNER/NAME@v2
    fi
    if grep -q 127.0.0.1:8080 script; then
        unset OPENROUTER_API_KEY
        mkdir judge
        chat-server "$PWD/judge" 3>&- &
        server=$!
        for _ in {1..400}; do [ -s judge/port ] && break; sleep 0.05; done
        sed -i "s/127.0.0.1:8080/127.0.0.1:$(cat judge/port)/" script
    fi
    bash -euxo pipefail script > out.txt 2> err.txt || {
        tail -n 4 err.txt
        return 1
    }
}

teardown() { if [ -n "${server:-}" ]; then kill "$server"; fi; }

@test "dk(1)" { page dk.1; }
@test "dk-calibrate(1)" { page dk-calibrate.1; }
@test "dk-check(1)" { page dk-check.1; }
@test "dk-conf(1)" { page dk-conf.1; }
@test "dk-diff(1)" { page dk-diff.1; }
@test "dk-encode(1)" { page dk-encode.1; }
@test "dk-encode(1), own texts" { page dk-encode.1 "Own texts"; }
@test "dk-examples(1)" { page dk-examples.1; }
@test "dk-extract(1)" { page dk-extract.1; }
@test "dk-fetch(1)" { page dk-fetch.1; }
@test "dk-generate(1)" { page dk-generate.1; }
@test "dk-grade(1)" { page dk-grade.1; }
@test "dk-import(1)" { page dk-import.1; }
@test "dk-info(1)" { page dk-info.1; }
@test "dk-kl(1)" { page dk-kl.1; }
@test "dk-lens(1)" { page dk-lens.1; }
@test "dk-mean(1)" { page dk-mean.1; }
@test "dk-merge(1)" { page dk-merge.1; }
@test "dk-mine(1)" { page dk-mine.1; }
@test "dk-null(1)" { page dk-null.1; }
@test "dk-phrases(1)" { page dk-phrases.1; }
@test "dk-pca(1)" { page dk-pca.1; }
@test "dk-rate(1)" { page dk-rate.1; }
@test "dk-report(1)" { page dk-report.1; }
@test "dk-norms(1)" { page dk-norms.1; }
@test "dk-run(1)" { page dk-run.1; }
@test "dk-tokenize(1)" { page dk-tokenize.1; }
@test "dk-topk(1)" { page dk-topk.1; }
@test "dk-templates(7)" { page dk-templates.7; }
@test "dk(7), by hand" { page dk.7 "By hand"; }
@test "dk(7), pipes" { page dk.7 Pipes; }

@test "every page of a tool has examples, and each is run here" {
    for f in "$ROOT"/man/*.1.in; do
        [ -n "$(awk -f "$ROOT/tests/examples.awk" "$f")" ]
        grep -q "{ page $(basename "$f" .in); }" "$BATS_TEST_FILENAME"
    done
}
