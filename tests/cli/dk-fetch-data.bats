# Data sets of a hub.
load ../helper/common
load ../helper/hub

setup_more() {
    A=$(printf %040d 1) B=$(printf %040d 2)
    P=$ROOT/tests/golden/parquet M=$ROOT/tests/golden/mini/hf
    repo datasets/acme/set main "$A"
    set=srv/repos/datasets/acme/set/$A
    hub_start || return 1
    cache=$HF_HOME/hub/datasets--acme--set
    snapshot=$cache/snapshots/$A
}
teardown() { hub_stop; }

fetch() { dk-fetch --retries 0 --data "$@"; }
# The files, as paths in the repository.
files() { fetch "$@" | sed "s,^$snapshot/,," | tr '\n' ' '; }
fails() {
    run -1 --separate-stderr fetch "$@"
    one_error dk-fetch
    [ -z "$output" ]
}
# lines FILE N: a shard of N rows.
lines() {
    mkdir -p "$(dirname "$set/$1")"
    for ((i = 0; i < $2; i++)); do echo "{\"text\": \"row $i of $1\"}"; done > "$set/$1"
}
# card YAML: the front matter of the card.
card() { printf -- '---\nlicense: mit\n%s\n---\n# A set\nconfigs: no\n' "$1" > "$set/README.md"; }

@test "shards of a split by their names, in order, into the cache's layout" {
    for i in 2 0 1; do lines "data/train-0000$i-of-00003.jsonl" 3; done
    lines data/test-00000-of-00001.jsonl 2
    echo x > "$set/.gitattributes"
    run -0 --separate-stderr fetch acme/set
    [ "$output" = "$(printf "$snapshot/data/train-0000%d-of-00003.jsonl\n" 0 1 2)" ]
    [ -z "$stderr" ]
    [ "$(cat "$cache/refs/main")" = "$A" ]
    cmp "$snapshot/data/train-00001-of-00003.jsonl" "$set/data/train-00001-of-00003.jsonl"
    [ ! -e "$snapshot/data/test-00000-of-00001.jsonl" ]
    [ "$(files --split test acme/set)" = "data/test-00000-of-00001.jsonl " ]
    rm srv/log
    [ "$(files acme/set)" = "data/train-00000-of-00003.jsonl data/train-00001-of-00003.jsonl data/train-00002-of-00003.jsonl " ]
    [ ! -e srv/log ]
}

@test "a card says which files a subset's split lies in" {
    for f in de/a-0 de/a-1 de/b es/a-0 x/y/deep; do lines $f.jsonl 2; done
    card 'configs:
- config_name: de
  data_files:
  - split: train
    path: de/a-*
  - split: validation
    path: [de/b.jsonl]
- config_name: es
  default: true
  data_files: "es/*.jsonl"
- config_name: deep
  data_files: {all: "**/deep.jsonl", some: ["x/[a-z]/d?ep.jsonl", es/*]}'
    [ "$(files --subset de acme/set)" = "de/a-0.jsonl de/a-1.jsonl " ]
    [ "$(files --subset de --split validation acme/set)" = "de/b.jsonl " ]
    [ "$(files acme/set)" = "es/a-0.jsonl " ]
    [ "$(files --subset deep --split all acme/set)" = "x/y/deep.jsonl " ]
    [ "$(files --subset deep --split some acme/set)" = "x/y/deep.jsonl es/a-0.jsonl " ]
    fails --subset fr acme/set
    [[ "$stderr" == *"acme/set has no subset 'fr'; there are: de, es, deep" ]]
    fails --subset de --split test acme/set
    [[ "$stderr" == *"acme/set, subset de has no split 'test'; there are: train, validation" ]]
    card 'configs: [{config_name: de, data_dir: de}, {config_name: es, data_dir: es}]'
    repo datasets/acme/set other "$B"
    cp -r "$set/." "srv/repos/datasets/acme/set/$B"
    fails acme/set@other
    [[ "$stderr" == *"acme/set has several subsets: name one (--subset) of de, es" ]]
    run -0 fetch --subset es acme/set@other
    [ "$output" = "$cache/snapshots/$B/es/a-0.jsonl" ]
}

@test "a card that cannot be read, and names that say less" {
    lines train.jsonl 2
    lines eval/one.jsonl.txt 1
    card 'configs: [{a: *b}'
    run -0 --separate-stderr fetch acme/set
    [[ "$stderr" == "dk-fetch: warning: acme/set: its card cannot be read (README.md:"*"so names of files decide" ]]
    [ "$output" = "$snapshot/train.jsonl" ]
    card 'size: 1'
    [ "$(files --update --split test acme/set)" = "eval/one.jsonl.txt " ]
    rm -r "$set"/* "$HF_HOME"
    lines things.jsonl 2
    lines more.json.gz 2
    echo '{}' > "$set/dataset_infos.json"
    [ "$(files acme/set)" = "more.json.gz things.jsonl " ]
    fails --split validation acme/set
    [[ "$stderr" == *"acme/set has no file of a split 'validation' as JSON lines, text or parquet" ]]
}

@test "what the hub converts: folders of subsets and splits; a folder and a file by name" {
    for s in main socratic; do for p in train test; do lines $s/$p/0000.jsonl 1; done; done
    mkdir srv/repos/datasets/acme/set/refs/refs srv/repos/datasets/acme/set/refs/refs/convert
    echo "$A" > srv/repos/datasets/acme/set/refs/refs/convert/parquet
    [ "$(files --subset socratic --split test acme/set@refs/convert/parquet)" = "socratic/test/0000.jsonl " ]
    [ "$(files acme/set/main)" = "main/train/0000.jsonl " ]
    [ "$(files acme/set/main/test/0000.jsonl)" = "main/test/0000.jsonl " ]
}

@test "only so many files as rows are asked for: parquet, JSON lines, compressed" {
    mkdir -p "$set/data"
    for i in 0 1 2 3; do cp "$P/texts.zstd.parquet" "$set/data/train-0000$i-of-00004.parquet"; done    # 300 rows each
    [ "$(files --rows 300 acme/set)" = "data/train-00000-of-00004.parquet " ]
    [ ! -e "$snapshot/data/train-00001-of-00004.parquet" ]
    [ "$(files --rows 301 acme/set | wc -w)" = 2 ]
    [ "$(asked '^cdn GET')" = 1 ]                        # the same content
    [ "$(files --rows 0 acme/set | wc -w)" = 4 ]
    rm -r "$set/data" "$HF_HOME"
    for i in 0 1 2; do lines train-$i.jsonl 5; done
    gzip "$set/train-0.jsonl"
    printf '{"text": "no end"}' >> "$set/train-1.jsonl"
    [ "$(files --rows 5 acme/set)" = "train-0.jsonl.gz " ]
    [ "$(files --rows 11 acme/set)" = "train-0.jsonl.gz train-1.jsonl " ]
    [ "$(files --rows 12 acme/set | wc -w)" = 3 ]
    [ "$(files acme/set | wc -w)" = 3 ]
}

@test "a listing in pages, by this hub's address alone; one without an end" {
    for i in {10..29}; do lines data/train-000$i-of-00030.jsonl 1; done
    fault page 100 3
    [ "$(files acme/set | wc -w)" = 20 ]
    [ "$(asked "/tree/$A ")" = 7 ]                      # 21 entries: the folder is one
    rm -r "$HF_HOME"
    fault endless 1000
    fault page 1000 3
    fails acme/set
    [[ "$stderr" == *"the hub's listing of acme/set does not end" ]]
}

@test "offline: what is whole is found, what is not is named" {
    lines train-0.jsonl 2
    lines train-1.jsonl 2
    fails --offline acme/set
    [[ "$stderr" == *"acme/set@main, split train, is not, or not whole, in $HF_HOME/hub, and --offline"* ]]
    fetch acme/set
    rm srv/log
    hub_stop
    [ "$(HF_HUB_OFFLINE=1 files acme/set)" = "train-0.jsonl train-1.jsonl " ]
    [ "$(files --offline --include '*-1*' acme/set)" = "train-1.jsonl " ]
    fails --offline --subset de acme/set
    [[ "$stderr" == *"acme/set@main, subset de, split train, is not"* ]]
    rm "$snapshot/train-1.jsonl"
    fails --offline acme/set
}

@test "--update, patterns, digests, a broken transfer" {
    mkdir -p "$set/data"
    cp "$P/texts.none.parquet" "$set/data/train-00000-of-00001.parquet"
    fault corrupt 1
    fails acme/set
    [[ "$stderr" == *"data/train-00000-of-00001.parquet of acme/set has the digest "* ]]
    [ ! -e "$cache/picks" ]
    [ ! -e "$cache/refs/main" ]
    fault cut 1 20000
    fails acme/set
    [ "$(files acme/set)" = "data/train-00000-of-00001.parquet " ]
    grep -q '^cdn .* range=bytes=20000-' srv/log
    repo datasets/acme/set main "$B"
    cp -r "$set/." "srv/repos/datasets/acme/set/$B"
    run -0 fetch acme/set
    [ "$output" = "$snapshot/data/train-00000-of-00001.parquet" ]
    run -0 fetch --update acme/set
    [ "$output" = "$cache/snapshots/$B/data/train-00000-of-00001.parquet" ]
    run -0 fetch --include 'data/*' acme/set
    [ "$output" = "$cache/snapshots/$B/data/train-00000-of-00001.parquet" ]
    fails --include '*.csv' acme/set
    [[ "$stderr" == *"acme/set has no JSON lines, text or parquet that matches '*.csv'" ]]
}

@test "what is not read, not there, or a lie" {
    mkdir -p "$set/data"
    echo a,b > "$set/data/train.csv"
    fails acme/set
    [[ "$stderr" == *"acme/set has no file of split 'train' as JSON lines, text or parquet, but data/train.csv; where the hub has converted it, acme/set@refs/convert/parquet is parquet" ]]
    card 'configs: [{config_name: default, data_files: data/*}]'
    fails acme/set
    [[ "$stderr" == *"data/train.csv, which split 'train' is said to lie in, is neither JSON lines, text nor parquet"* ]]
    fails acme/nothing
    [[ "$stderr" == *"the hub does not show such a data set without a token"* ]]
    fails acme/set@gone
    [[ "$stderr" == *"acme/set has no revision 'gone'" ]]
    echo '[{"type": "file", "path": "../../train.jsonl"}]' > srv/listing
    fails acme/set
    [[ "$stderr" == *"acme/set: the hub lists a file whose path cannot be one in a repository" ]]
    echo '{}' > srv/listing
    fails acme/set
    [[ "$stderr" == *"the hub's listing of acme/set is no list" ]]
}

@test "keys of configs/dataset: the id, subset and first split of each; local ones are paths" {
    cp -r "$ROOT/configs" .
    ln -s "$ROOT/data" data
    mkdir -p es
    lines es/part-0.jsonl 2
    card 'configs: [{config_name: es, data_files: [{split: train, path: es/*}, {split: test, path: gone/*}]}]'
    sed -i 's,^id: .*,id: acme/set,' configs/dataset/CulturaX_es.yaml
    run -0 dk-fetch --configs configs CulturaX_es
    [ "$output" = "$snapshot/es/part-0.jsonl" ]
    run -1 --separate-stderr dk-fetch --configs configs --split test CulturaX_es
    [[ "$stderr" == *"acme/set, subset es has no file of a split 'test' as JSON lines, text or parquet" ]]
    run -0 dk-fetch --configs configs general-a
    [ "$output" = data/text/general-a.jsonl ]
    run -1 --separate-stderr dk-fetch --configs configs secrets.jsonl_custom
    one_error dk-fetch
    run -2 --separate-stderr dk-fetch --configs configs no-such-set
    one_error dk-fetch
}

@test "rows of the shards, tokenized" {
    mkdir -p "$set/data"
    cp "$P/texts.zstd.parquet" "$set/data/train-00000-of-00002.parquet"
    cp "$P/texts.delta2.parquet" "$set/data/train-00001-of-00002.parquet"
    fetch acme/set | xargs -d '\n' dk-tokenize --json-lines -m "$M" -o - | grep '^{"id"' > got
    cat "$P/texts.jsonl" "$P/texts.jsonl" | dk-tokenize --json-lines -m "$M" -o - | grep '^{"id"' > want
    cmp want got
}

@test "every data set of the catalogue is one that can be asked for" {
    local n=0 key id split subset
    export DK_CONFIGS=$ROOT/configs
    while IFS=$'\t' read -r key _ _ id subset split _; do
        case $id in id | resources/*) continue ;; esac
        run -1 --separate-stderr dk-fetch --offline "$key"
        one_error dk-fetch
        [ "$subset" = - ] && subset= || subset=", subset $subset"
        [[ "$stderr" == "dk-fetch: error: $id@main$subset, split ${split%%,*}, is not, or not whole, in $HF_HOME/hub"* ]]
        n=$((n + 1))
    done < "$ROOT/configs/tools/datasets.tsv"
    [ $n = 14 ]
    run -0 dk-conf make organism=cake_bake -p C 'datasets.pretraining=[default,es,fr,de,ja,zh,greatfirewall,multilingual_thinking,c4,gsm8k,stackmathqa,bigcodebench]' \
        'datasets.chat=[default,ultrachat_200k]' kl.use_chat_dataset=true
    [ "$(grep -c '^C.set.*.fetch := --data ' <<< "$output")" = 14 ]
    grep -qx 'C.set.bigcodebench_bigcodebench.fetch := --data --split v0.1.0_hf --rows 0 bigcode/bigcodebench' <<< "$output"
    grep -qx 'C.set.c4_c4.fetch := --data --subset en --split train --rows 200000 allenai/c4' <<< "$output"
    grep -qx 'C.set.ultrachat_200k_ultrachat_200k.fetch := --data --split train_sft --rows 0 HuggingFaceH4/ultrachat_200k' <<< "$output"
    grep -qx 'C.set.ultrachat_200k_ultrachat_200k.column := messages' <<< "$output"
}
