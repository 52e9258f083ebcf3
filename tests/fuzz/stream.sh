#!/bin/bash
# Makes the seeds of fuzz_stream in tests/fuzz/stream: small streams of the tools,
# and the insides of the frames of two, written by hand.
set -eu
cd "$(dirname "$0")/../.."
mini=tests/golden/mini/mini.gguf lora=tests/golden/mini/lora-plain to=tests/fuzz/stream
mkdir -p $to
dk-tokenize -m $mini -n 2 --max-tokens 4 -o - data/text/general-a.jsonl > $to/tokens
dk-extract --dtype f32 -m $mini -f $lora --layers 0 -o - - < $to/tokens > $to/acts
dk-mean -n 1 -o - - < $to/acts > $to/dirs

# piece TEXT: its length and itself
piece() { local n; n=$(printf "$1" | wc -c); printf "\\x$(printf %02x $((n % 256)))\\x$(printf %02x $((n / 256)))"; printf "$1"; }
# rows SET FIRST ROWS TEXT: the head of a frame of rows and they
rows() { local n; n=$(printf "$4" | wc -c); piece "\\x$(printf %02x "$1")\\0\\x$(printf %02x "$2")\\0\\0\\0\\0\\0\\x$(printf %02x "$3")\\0\\0\\0\\x$(printf %02x "$n")\\0\\0\\0$4"; }
root='["encoding-version","str","1.0"],["rows","u64",2],["docs","u64",1]'
corpus='["name","str","a"],["sha256","str",""],["split","str",""],["format","str","text"],["bos","str","none"],["max_tokens","u32",0],["tokenizer_sha256","str",""],["template_sha256","str",""],["vocab","u32",9]'
columns='{"path":"/docs/id","type":"u64","shape":[1]},{"path":"/docs/offset","type":"u64","shape":[2]},{"path":"/rows/token","type":"u32","shape":[2]},{"path":"/rows/pos","type":"u32","shape":[2]},{"path":"/rows/flags","type":"u8","shape":[2]}'
columns_rows() {
    rows 0 0 1 '\0\0\0\0\0\0\0\0'
    rows 1 0 2 '\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0'
    rows 2 0 2 '\1\0\0\0\2\0\0\0'
    rows 3 0 2 '\0\0\0\0\1\0\0\0'
    rows 4 0 2 '\0\0'
}
end() { rows 255 0 0 "$1" | sed 's/\xff\x00/\xff\xff/'; }
{
    piece "{\"groups\":[{\"path\":\"/\",\"attributes\":[[\"encoding-type\",\"str\",\"dk-tokens\"],$root]},{\"path\":\"/corpus\",\"attributes\":[$corpus]}],\"datasets\":[$columns]}"
    columns_rows
    end '{"rows":{},"content_id":"sha256:0"}'
} > $to/pieces-tokens
{
    piece "{\"groups\":[{\"path\":\"/\",\"attributes\":[[\"encoding-type\",\"str\",\"dk-activations\"],$root]},{\"path\":\"/corpus\",\"attributes\":[$corpus]}],\"datasets\":[$columns,{\"path\":\"/acts/L00/resid_post/base\",\"type\":\"bf16\",\"shape\":[2,1],\"attributes\":[[\"layer\",\"i32\",0],[\"scale\",\"f32\",1.5]]}]}"
    columns_rows
    rows 5 0 1 ab
    rows 5 1 1 cd
} > $to/pieces-acts
ls -l $to
