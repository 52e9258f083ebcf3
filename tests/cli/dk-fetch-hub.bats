load ../helper/common
load ../helper/hub

# A hub on this machine with one model, acme/tiny.
setup_more() {
    A=$(printf %040d 1) B=$(printf %040d 2)
    repo acme/tiny main "$A"
    tiny=srv/repos/acme/tiny/$A
    for f in config generation_config tokenizer tokenizer_config; do echo "{\"$f\": 1}" > "$tiny/$f.json"; done
    head -c 3000000 /dev/urandom > "$tiny/model.safetensors"
    echo "not wanted" > "$tiny/README.md"
    hub_start || return 1
    cache=$HF_HOME/hub/models--acme--tiny
    snapshot=$cache/snapshots/$A
}

teardown() { hub_stop; }

fetch() { dk-fetch --retries 0 "$@"; }
sum() { sha256sum "$1" | cut -d' ' -f1; }
whole() { cmp "$snapshot/model.safetensors" "$tiny/model.safetensors"; }
# No blob that a link or a later call would take for whole.
no_weights() { [ ! -e "$snapshot/model.safetensors" ] && [ ! -e "$cache/blobs/$(sum "$tiny/model.safetensors")" ]; }
incomplete() { echo "$cache/blobs/$(sum "$tiny/model.safetensors").incomplete"; }
fails() {
    run -1 --separate-stderr fetch "$@"
    one_error dk-fetch
    [ -z "$output" ]
}

@test "fetches what a model needs into the cache's layout and prints the snapshot" {
    run -0 --separate-stderr fetch acme/tiny
    [ "$output" = "$snapshot" ]
    [ -z "$stderr" ]
    whole
    [ "$(ls "$snapshot" | tr '\n' ' ')" = "config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json " ]
    [ "$(cat "$cache/refs/main")" = "$A" ]
    [ "$(stat -c %s "$cache/refs/main")" = 40 ]
    [ "$(readlink "$snapshot/model.safetensors")" = "../../blobs/$(sum "$tiny/model.safetensors")" ]
    blob=$({ printf 'blob %d\0' "$(stat -c %s "$tiny/config.json")"; cat "$tiny/config.json"; } | sha1sum | cut -d' ' -f1)
    [ "$(readlink "$snapshot/config.json")" = "../../blobs/$blob" ]
    run -0 ls "$cache/blobs"
    [[ "$output" != *incomplete* ]]
}

@test "what the cache has is taken without the network; --update asks" {
    fetch acme/tiny
    rm srv/log
    run -0 fetch acme/tiny "acme/tiny@$A"
    [ ! -e srv/log ]
    repo acme/tiny main "$B"
    cp "$tiny"/* "srv/repos/acme/tiny/$B"
    echo '{"config": 2}' > "srv/repos/acme/tiny/$B/config.json"
    run -0 fetch acme/tiny
    [ "$output" = "$snapshot" ]
    run -0 fetch --update acme/tiny
    [ "$output" = "$cache/snapshots/$B" ]
    [ "$(cat "$cache/refs/main")" = "$B" ]
    [ "$(asked '^cdn')" = 0 ]                           # the weights are the same
    cmp "$cache/snapshots/$B/model.safetensors" "$tiny/model.safetensors"
    grep -q 2 "$cache/snapshots/$B/config.json"
}

@test "a cache that other programs filled is used as it is" {
    mkdir -p "$cache/blobs" "$cache/refs" "$snapshot"
    for f in config.json tokenizer.json tokenizer_config.json model.safetensors; do
        cp "$tiny/$f" "$cache/blobs/$f-blob"
        ln -s "../../blobs/$f-blob" "$snapshot/$f"
    done
    printf %s "$A" > "$cache/refs/main"
    run -0 fetch acme/tiny
    [ "$output" = "$snapshot" ]
    [ ! -e srv/log ]
    rm "$cache/blobs/model.safetensors-blob"            # a link to nothing is no file
    run -0 fetch acme/tiny
    whole
}

@test "weights alone in the cache: the rest is fetched; offline they will do" {
    fetch --include '*.safetensors' --include config.json acme/tiny
    run -0 fetch --offline acme/tiny
    [ ! -e "$snapshot/tokenizer.json" ]
    rm srv/log
    run -0 fetch acme/tiny
    [ -e "$snapshot/tokenizer.json" ]
    [ "$(asked '^cdn')" = 0 ]
}

@test "HF_HUB_CACHE, XDG_CACHE_HOME and HOME say where the cache is" {
    run -0 env HF_HUB_CACHE="$PWD/a" dk-fetch acme/tiny
    [ "$output" = "$PWD/a/models--acme--tiny/snapshots/$A" ]
    run -0 env -u HF_HOME XDG_CACHE_HOME="$PWD/b" dk-fetch acme/tiny
    [ "$output" = "$PWD/b/huggingface/hub/models--acme--tiny/snapshots/$A" ]
    run -0 env -u HF_HOME -u XDG_CACHE_HOME HOME="$PWD/c" dk-fetch acme/tiny
    [ "$output" = "$PWD/c/.cache/huggingface/hub/models--acme--tiny/snapshots/$A" ]
    run -2 --separate-stderr env -u HF_HOME -u XDG_CACHE_HOME -u HOME dk-fetch acme/tiny
    one_error dk-fetch
}

@test "--offline and HF_HUB_OFFLINE=1 use the cache only" {
    fails --offline acme/tiny
    [[ "$stderr" == *"acme/tiny@main is not"*"--offline"* ]]
    run -1 --separate-stderr env HF_HUB_OFFLINE=1 dk-fetch acme/tiny
    one_error dk-fetch
    [ ! -e srv/log ] && [ ! -e "$HF_HOME/hub" ]
    fetch acme/tiny
    rm srv/log
    run -0 env HF_HUB_OFFLINE=1 dk-fetch acme/tiny
    [ "$output" = "$snapshot" ]
    run -0 fetch --offline --include '*.json' acme/tiny
    fails --offline acme/tiny@other
    rm "$snapshot/model.safetensors"
    fails --offline acme/tiny
    [ ! -e srv/log ]
}

@test "revisions: a branch, a commit, a reference with slashes, none" {
    repo acme/tiny v2 "$B"
    mkdir srv/repos/acme/tiny/refs/x
    repo acme/tiny x/1 "$B"
    cp "$tiny"/* "srv/repos/acme/tiny/$B"
    run -0 fetch acme/tiny@v2
    [ "$output" = "$cache/snapshots/$B" ]
    [ "$(cat "$cache/refs/v2")" = "$B" ]
    run -0 fetch "acme/tiny@$A"
    [ "$output" = "$snapshot" ]
    [ ! -e "$cache/refs/$A" ]
    run -0 fetch acme/tiny@x/1
    [ "$(cat "$cache/refs/x/1")" = "$B" ]
    grep -q '/revision/x/1 ' srv/log
    fails acme/tiny@v3
    [[ "$stderr" == *"acme/tiny has no revision 'v3'" ]]
}

@test "shards: what the index names, and nothing else" {
    rm "$tiny/model.safetensors"
    for i in 1 2 3; do head -c 10000 /dev/urandom > "$tiny/model-0000$i.safetensors"; done
    echo '{"weight_map": {"a": "model-00001.safetensors", "b": "model-00002.safetensors", "c": "model-00001.safetensors"}}' \
        > "$tiny/model.safetensors.index.json"
    run -0 fetch acme/tiny
    [ -e "$snapshot/model-00001.safetensors" ] && [ -e "$snapshot/model-00002.safetensors" ]
    [ ! -e "$snapshot/model-00003.safetensors" ]
    rm srv/log "$snapshot/model-00002.safetensors"
    fails --offline acme/tiny
    [[ "$stderr" == *"model-00002.safetensors is missing" ]]
    run -0 fetch acme/tiny
    rm -r "$HF_HOME/hub" "$tiny/model-00002.safetensors"
    fails acme/tiny
    [[ "$stderr" == *"lacks model-00002.safetensors"* ]]
    rm -r "$HF_HOME/hub"
    echo '{"weight_map": {"a": "../../../evil.safetensors"}}' > "$tiny/model.safetensors.index.json"
    fails acme/tiny
    [[ "$stderr" == *"cannot be one of its shards" ]]
}

@test "an adapter in a folder" {
    mkdir -p "$tiny/lora/x"
    echo '{"r": 1}' > "$tiny/lora/x/adapter_config.json"
    head -c 5000 /dev/urandom > "$tiny/lora/x/adapter_model.safetensors"
    run -0 fetch acme/tiny/lora/x
    [ "$output" = "$snapshot/lora/x" ]
    cmp "$output/adapter_model.safetensors" "$tiny/lora/x/adapter_model.safetensors"
    [ "$(readlink "$output/adapter_config.json" | grep -o '\.\./' | wc -l)" = 4 ]
    [ ! -e "$snapshot/config.json" ]
    rm srv/log
    run -0 fetch acme/tiny/lora/x
    [ ! -e srv/log ]
    fails acme/tiny/nothing
    [[ "$stderr" == *"has no folder 'nothing'" ]]
}

@test "one GGUF file" {
    head -c 5000 /dev/urandom > "$tiny/tiny.gguf"
    run -0 fetch acme/tiny/tiny.gguf
    [ "$output" = "$snapshot/tiny.gguf" ]
    cmp "$output" "$tiny/tiny.gguf"
    [ "$(ls "$snapshot")" = tiny.gguf ]
    run -0 fetch --offline acme/tiny/tiny.gguf
    fails acme/tiny/other.gguf
    [[ "$stderr" == *"has no file 'other.gguf'" ]]
    rm "$tiny/model.safetensors"
    fails acme/tiny
    [[ "$stderr" == *"name one of them (acme/tiny/tiny.gguf)" ]]
}

@test "--include fetches what matches, and never pickles" {
    echo x > "$tiny/training_args.bin"
    run -0 fetch --include 'READ*' --include 'tok*.json' acme/tiny
    [ "$output" = "$snapshot" ]
    [ "$(ls "$snapshot" | tr '\n' ' ')" = "README.md tokenizer.json tokenizer_config.json " ]
    run -0 fetch --include '*' acme/tiny
    [ -e "$snapshot/model.safetensors" ] && [ ! -e "$snapshot/training_args.bin" ]
    fails --include '*.bin' acme/tiny
    [[ "$stderr" == *"only pickles match"* ]]
    fails --include 'nothing*' acme/tiny
    [[ "$stderr" == *"no file that matches 'nothing*'" ]]
}

@test "only pickles: refused with a sentence" {
    mv "$tiny/model.safetensors" "$tiny/pytorch_model.bin"
    fails acme/tiny
    [[ "$stderr" == *"only as pickles"* ]]
    [ ! -e "$snapshot" ]
    echo '{}' > "$tiny/adapter_config.json"
    mv "$tiny/pytorch_model.bin" "$tiny/adapter_model.bin"
    fails acme/tiny
    [[ "$stderr" == *"only as pickles"* ]]
}

@test "no model at all" {
    rm "$tiny"/*.safetensors
    fails acme/tiny
    [[ "$stderr" == *"holds no safetensors"* ]]
    echo x > "$tiny/model.safetensors"
    rm "$tiny/config.json"
    fails acme/tiny
    [[ "$stderr" == *"no config.json"* ]]
}

@test "the token goes to the hub alone and is printed nowhere" {
    local secret=hf_SeCrEt
    run -0 env HF_TOKEN=" $secret " dk-fetch -vv acme/tiny
    [[ "$output" != *"$secret"* ]]
    [ "$(asked "^hub.* auth=Bearer $secret range")" = "$(asked ^hub)" ]
    [ "$(asked '^cdn')" = 1 ]
    [ "$(asked '^cdn.* auth= range')" = 1 ]
    run ! grep -rq "$secret" "$HF_HOME"
    rm -r "$HF_HOME/hub" srv/log
    echo "$secret" > "$HF_HOME/token"
    run -0 fetch acme/tiny
    [ "$(asked "^hub.* auth=Bearer $secret range")" = "$(asked ^hub)" ]
    rm -r "$HF_HOME/hub" srv/log
    for status in 401 403 500; do
        fault hub 1 $status
        run -1 env HF_TOKEN=$secret dk-fetch -vv --retries 0 acme/tiny
        [[ "$output" != *"$secret"* ]]
    done
    run -2 --separate-stderr env HF_TOKEN=$'hf_a\nX-Evil: 1' dk-fetch acme/tiny
    one_error dk-fetch
    [[ "$stderr" != *Evil* ]]
}

@test "a repository with a new name: the redirect stays on the hub, with the token" {
    mkdir -p srv/repos/old/name
    cp -r srv/repos/acme/tiny/* srv/repos/old/name
    run -0 env HF_TOKEN=hf_x dk-fetch old/name
    [ "$(asked 'hub GET /api/models/acme/tiny/revision/main auth=Bearer hf_x')" = 1 ]
    fault loop 100
    rm -r "$HF_HOME/hub"
    fails acme/tiny
    [[ "$stderr" == *"leads in circles" ]]
}

@test "a redirect to another protocol is not followed" {
    fetch --include '*.json' acme/tiny
    for to in "file://$PWD/$tiny/model.safetensors" ftp://127.0.0.1/x; do
        fault away 1 "$to"
        fails acme/tiny
        [[ "$stderr" == *"a protocol that is not followed" ]]
        no_weights
    done
}

@test "401, 403 and 404, each in a sentence" {
    fails acme/nobody
    [[ "$stderr" == *"no local path acme/nobody"*"HF_TOKEN"* ]]
    run -1 --separate-stderr env HF_TOKEN=hf_x dk-fetch acme/nobody
    [[ "$stderr" == *"does not show acme/nobody to the account"* ]]
    fault hub 1 401
    fault code 1 GatedRepo
    fails acme/tiny
    [[ "$stderr" == *"acme/tiny is gated: accept its terms"* ]]
    fault hub 1 403
    fault code 1 GatedRepo
    run -1 --separate-stderr env HF_TOKEN=hf_x dk-fetch acme/tiny
    [[ "$stderr" == *"is gated"*"belongs to none"* ]]
    fault hub 1 404
    fails acme/tiny
    [[ "$stderr" == *"neither a local path nor a model on the hub called acme/tiny" ]]
    printf '{"sha": "%s", "siblings": [{"rfilename": "config.json"}, {"rfilename": "gone.safetensors"}]}' "$A" > srv/listing
    fails acme/tiny
    [[ "$stderr" == *"lists gone.safetensors"*"does not have it" ]]
}

@test "429 waits as long as it is told to, and not for ever" {
    fault hub 1 429
    fault retry-after 1 1
    SECONDS=0
    run -0 --separate-stderr dk-fetch acme/tiny
    [ "$SECONDS" -ge 1 ]
    rm -r "$HF_HOME/hub"
    fault hub 5 429
    fault retry-after 1 20000     # newer libcurl reports six hours at most
    SECONDS=0
    fails --retries 4 acme/tiny
    [[ "$stderr" == *"busy (429)"*"20000 s" ]]
    [ "$SECONDS" -lt 30 ]
    fault hub 1 429
    fails acme/tiny
    [[ "$stderr" == *"too many requests"*"HF_TOKEN"* ]]
}

@test "5xx is tried again, a bounded number of times" {
    fault hub 1 503
    run -0 dk-fetch --retries 1 acme/tiny
    rm -r "$HF_HOME/hub" srv/log
    fault hub 9 500
    run -1 --separate-stderr dk-fetch --retries 1 acme/tiny
    one_error dk-fetch
    [[ "$stderr" == *"status 500"* ]]
    [ "$(asked ^hub)" = 2 ]
    rm srv/fault/hub
    fault cdn 1 500
    fails acme/tiny
    no_weights
}

@test "a cut connection goes on where it broke, with If-Range" {
    fault cut 1 1200000
    run -0 dk-fetch --retries 1 acme/tiny
    whole
    grep -q '^cdn.*range=bytes=1200000- if-range="store"$' srv/log
    rm -r "$HF_HOME/hub" srv/log
    fault cut 1 700000
    fails acme/tiny
    [[ "$stderr" == *"after 700000 of 3000000 bytes" ]]
    no_weights
    [ "$(stat -c %s "$(incomplete)")" = 700000 ]
    run -0 fetch acme/tiny
    whole
    grep -q '^cdn.*range=bytes=700000- if-range=$' srv/log
    [ ! -e "$(incomplete)" ]
}

@test "many cuts in a row: every mebibyte earns new tries" {
    head -c 5000000 /dev/urandom > "$tiny/model.safetensors"
    fault cut 3 1300000
    run -0 dk-fetch --retries 1 acme/tiny
    whole
    [ "$(asked ^cdn)" = 4 ]
}

@test "a server without ranges, or with a changed file, sends all of it" {
    fault cut 1 1000000
    fault norange 5
    fails acme/tiny
    run -0 fetch acme/tiny
    whole
    rm -r "$HF_HOME/hub" srv/fault/norange
    echo '"other"' > srv/store-etag
    fault cut 1 1000000
    fault slow 1 100000
    (sleep 0.2; echo '"another"' > srv/store-etag) 3>&- &
    run -0 dk-fetch --retries 1 acme/tiny
    whole
}

@test "a server that sends another range is not believed" {
    fault cut 1 1000000
    fails acme/tiny
    fault badrange 1
    fails acme/tiny
    [[ "$stderr" == *"another part"* ]]
    no_weights
    run -0 fetch acme/tiny
    whole
}

@test "what is left of another file is found out by the digest" {
    fault cut 1 1000000
    fails acme/tiny
    head -c 1000000 /dev/zero > "$(incomplete)"
    run -0 --separate-stderr fetch acme/tiny
    [[ "$stderr" == *"does not fit; fetching all of it" ]]
    whole
    rm -r "$HF_HOME/hub"
    fault cut 1 1000000
    fails acme/tiny
    head -c 4000000 /dev/zero > "$(incomplete)"             # more than there is
    run -0 fetch acme/tiny
    whole
}

@test "a silent server ends in an error after --timeout" {
    fault stall 1 20
    SECONDS=0
    fails --timeout 1 acme/tiny
    [[ "$stderr" == *"too slow"* ]]
    [ "$SECONDS" -lt 15 ]
    no_weights
    run -0 fetch acme/tiny
    whole
}

@test "no server" {
    kill "$server"
    wait "$server" || true
    server=
    fails acme/tiny
    [[ "$stderr" == *"connect"* ]]
    run -1 --separate-stderr env HF_ENDPOINT=http://no-such-host.invalid dk-fetch acme/tiny
    one_error dk-fetch
    run -2 --separate-stderr env HF_ENDPOINT=ftp://x dk-fetch acme/tiny
    one_error dk-fetch
}

@test "wrong digests: the blob is deleted and the message says so" {
    fault corrupt 1
    fails acme/tiny
    [[ "$stderr" == *"it was deleted" ]]
    no_weights
    [ ! -e "$(incomplete)" ]
    fault small 1 "$(printf %040d 7)"
    rm -r "$HF_HOME/hub"
    fails acme/tiny
    [[ "$stderr" == *"it was deleted" ]]
    run -0 fetch acme/tiny
    whole
}

@test "a hub that lies about sizes" {
    fault size 1 9000000000000000000
    fails acme/tiny
    [[ "$stderr" == *"more than such a file can have" ]]
    fault size 1 99999999999999999999999
    fails acme/tiny
    [[ "$stderr" == *"how large"* ]]
    fetch --include '*.json' acme/tiny
    fault size 1 1000000000000
    fails acme/tiny
    [[ "$stderr" == *"GB left" || "$stderr" == *"of 1000000000000 bytes" ]]  # on a disk that has them
    rm -f "$(incomplete)"
    fault size 1 2000000
    fails acme/tiny
    [[ "$stderr" == *"more than the 2000000 bytes"* ]]
    no_weights
    [ ! -e "$(incomplete)" ]
    fault long 1 5000
    fails acme/tiny
    fault short 9 5000
    run -1 --separate-stderr dk-fetch --retries 1 acme/tiny
    one_error dk-fetch
    no_weights
    rm srv/fault/short
    run -0 fetch acme/tiny
    whole
}

@test "a hub that lies about names, commits and digests" {
    for name in ../../evil.safetensors /etc/passwd a//b ./a a/../b ''; do
        printf '{"sha": "%s", "siblings": [{"rfilename": "config.json"}, {"rfilename": "%s"}]}' "$A" "$name" > srv/listing
        fails --include '*' acme/tiny
        [[ "$stderr" == *"path cannot be"* ]]
    done
    for listing in '{"sha": "../x", "siblings": []}' '{"sha": "'"$A"'"}' '[]' 'not json' ''; do
        echo "$listing" > srv/listing
        fails acme/tiny
    done
    rm srv/listing
    for etag in ../../../evil zz; do
        fault small 1 "$etag"
        fails acme/tiny
        [[ "$stderr" == *"no digest"* ]]
    done
    fault commit 1 "$B"
    fails acme/tiny
    [[ "$stderr" == *"another commit"* ]]
    [ ! -e evil ] && [ -z "$(find . -name '*evil*')" ]
    run -0 fetch acme/tiny
}

@test "an interrupted fetch goes on" {
    fault slow 1 8000
    env --default-signal=INT dk-fetch acme/tiny > out 2> err 3>&- &
    pid=$!
    for _ in {1..400}; do [ -s "$(incomplete)" ] && break; sleep 0.05; done
    kill -INT $pid
    wait $pid && status=0 || status=$?
    [ "$status" = 130 ]
    [ ! -s out ]
    no_weights
    [ -s "$(incomplete)" ]
    had=$(stat -c %s "$(incomplete)")
    run -0 fetch acme/tiny
    whole
    grep -q "^cdn.*range=bytes=$had-" srv/log
}

@test "two at once: the weights are fetched once" {
    fault slow 9 150000
    fetch acme/tiny > a 3>&- &
    fetch acme/tiny > b 3>&-
    wait $!
    [ "$(cat a)" = "$snapshot" ] && [ "$(cat b)" = "$snapshot" ]
    whole
    [ "$(asked '^cdn')" = 1 ]
}

@test "a cache that cannot be written, a full disk" {
    touch blocked
    run -1 --separate-stderr env HF_HUB_CACHE=blocked dk-fetch acme/tiny
    one_error dk-fetch
    run -1 --separate-stderr bash -c 'ulimit -f 1000; exec dk-fetch --retries 0 acme/tiny'
    one_error dk-fetch
    no_weights
}

@test "what is no id is a path" {
    for id in ./acme/tiny ../x acme/../x acme/ acme/tiny/ acme/-x acme/tiny@ acme/tiny@../x /acme/tiny; do
        fails "$id"
        [[ "$stderr" == *"cannot read $id: "* ]]
    done
    [ ! -e srv/log ]
    mkdir -p acme/tiny
    run -0 fetch acme/tiny
    [ "$output" = acme/tiny ]
    [ ! -e srv/log ]
}
