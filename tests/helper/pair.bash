# Loaded by the tests of the tools that run a pair: the miniature model, its
# adapters and token files.  The numbers beside it come from the model library
# (tests/golden/README.md); what follows from them is computed by awk.
load ../helper/common
MINI=$ROOT/tests/golden/mini
G=$MINI/mini.gguf
PLAIN=$MINI/lora-plain
PATTERN=$MINI/lora-pattern
PATH=$(dirname "$(command -v dk-kl)")/../helper:$PATH
export OMP_WAIT_POLICY=passive

# The three golden sequences as a token file, and six texts with 40 tokens each.
setup_file() {
    cd "$BATS_FILE_TMPDIR" || return 1
    if ! command -v dk-values > /dev/null; then
        echo "dk-values is not built: make helpers" >&2
        return 1
    fi
    stream < "$MINI/ids.jsonl" > ids.stream
    dk-tokenize -m "$G" -n 6 --max-tokens 40 -o texts.tok.h5 "$ROOT/data/text/general-a.jsonl"
    if declare -F setup_file_more > /dev/null; then setup_file_more; fi
}

setup_more() {
    T=$BATS_FILE_TMPDIR/texts.tok.h5
    IDS=$BATS_FILE_TMPDIR/ids.stream
}

# stream < IDS.jsonl: a token stream of the miniature's tokenizer.
stream() {
    local sha vocab=${1:-512} n=0 rows=0 len
    sha=${2-$(dk-tokenize --json-lines -m "$G" -o - -n 1 "$ROOT/data/text/general-a.jsonl" | head -n 1 | jq -r .tokenizer_sha256)}
    jq -nc --arg sha "$sha" --argjson vocab "$vocab" '{dk: "tokens", version: "1.0", corpus_name: "ids",
        format: "text", bos: "none", max_tokens: 0, vocab: $vocab, tokenizer_sha256: $sha}' > head.part
    jq -c '.ids' > ids.part
    : > docs.part
    while read -r ids; do
        len=$(jq length <<< "$ids")
        printf '{"id":%d,"ids":%s}\n' $n "$ids" >> docs.part
        n=$((n + 1)) rows=$((rows + len))
    done < ids.part
    cat head.part docs.part
    printf '{"rows":%d,"docs":%d,"content_id":"%s"}\n' $rows $n "$(content_id $n $rows "$sha")"
    rm -f head.part ids.part docs.part
}

# The content id of that stream, from its definition (dk-formats(5)).
content_id() {
    {
        printf 'encoding-version=1.0\ncorpus.sha256=\n'
        printf '/docs/id u64 %d\n' "$1"
        awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) print i }' | little 8
        printf '/docs/offset u64 %d\n' $(($1 + 1))
        { echo 0; jq -s -c '[foreach .[] as $d (0; . + ($d | length); .)][]' ids.part; } | little 8
        printf '/rows/flags u8 %d\n' "$2"
        head -c "$2" /dev/zero
        printf '/rows/pos u32 %d\n' "$2"
        jq -c 'range(length)' ids.part | little 4
        printf '/rows/token u32 %d\n' "$2"
        jq -c '.[]' ids.part | little 4
    } | sha256sum | sed 's/^/sha256:/; s/ .*//'
}

# Numbers, one a line, as little-endian integers of $1 bytes.
little() {
    local v hex
    while read -r v; do
        printf -v hex '%0*x' $((2 * $1)) "$v"
        while [ -n "$hex" ]; do printf '%b' "\\x${hex: -2}"; hex=${hex%??}; done
    done
}

# failed TOOL TEXT...: one line of error that holds every TEXT.
failed() {
    local tool=$1
    one_error "$tool"
    shift
    for text; do [[ "$stderr" == *"$text"* ]]; done
}

# header_edit FILE OLD NEW: same-length replacement in a safetensors header.
header_edit() {
    local old
    old=$(sed 's|[].*^$[]|\\&|g' <<< "$2")
    [ ${#2} = ${#3} ]
    grep -qaF "$2" "$1"
    LC_ALL=C sed -i "s/$old/$3/" "$1"
}

# adapter NAME: a copy of the plain adapter, to be broken.
adapter() { cp -r "$PLAIN" "$1" && chmod -R u+w "$1"; }

# A library that holds writers back before their file is renamed to its target,
# so that a signal meets them in the middle.
build_slow_writer() {
    cat > slow.c << 'END'
#include <unistd.h>
int fsync(int fd) { (void)fd; for (int i = 0; i < 200; i++) usleep(50000); return 0; }
END
    gcc -shared -fPIC -o slow.so slow.c && rm slow.c
}

# killed SIGNAL COMMAND...: runs it held back, and sends the signal when its
# temporary file is there; its status is left in $status.  (A shell starts what
# runs beside it with SIGINT ignored.)
killed() {
    local sig=$1 i
    shift
    LD_PRELOAD=$BATS_FILE_TMPDIR/slow.so ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 \
        env --default-signal=INT "$@" 3>&- > /dev/null 2>&1 &
    for ((i = 0; i < 200; i++)); do
        compgen -G '*.tmp' > /dev/null && break
        sleep 0.05
    done
    compgen -G '*.tmp' > /dev/null
    kill "-$sig" $!
    status=0
    wait $! || status=$?
}

# near TOLERANCE: the two columns differ by no more, absolute plus relative;
# nothing compared is not a pass.
near() {
    awk -v t="$1" '{ d = $1 - $2; if (d < 0) d = -d; m = $2 < 0 ? -$2 : $2; n++
                     if (NF != 2 || !(d <= t + t * m)) { bad++; print "line " NR ": " $1 " is not " $2 } }
                   END { exit n == 0 || bad > 0 }'
}
