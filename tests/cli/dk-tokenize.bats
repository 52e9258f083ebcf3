bats_require_minimum_version 1.5.0

# The miniature model has a vocabulary of 512, and the real one's special tokens.
setup() {
    cd "$BATS_TEST_TMPDIR"
    M=$DK_ROOT/tests/golden/mini/hf
    A=$DK_ROOT/data/text/general-a.jsonl
    CHAT=$DK_ROOT/data/text/chat.jsonl
    printf '{"text": "one two three"}\n\n{"text": "Hello world, this is the second."}\n' > two.jsonl
}

# What a run writes to standard output, as "id: ids" lines.
docs() {
    dk-tokenize --json-lines -m "$M" -o - "$@" | grep '^{"id"' | sed 's/{"id":\([0-9]*\),"ids":\[\([0-9,]*\)\].*/\1: \2/'
}

flags() {
    dk-tokenize --json-lines -m "$M" -o - "$@" | grep '^{"id"' | sed 's/.*"flags":\[\([0-9,]*\)\].*/\1/'
}

# One field of the header.
field() {
    local name=$1
    shift
    dk-tokenize --json-lines -m "$M" -o - "$@" | head -n 1 | grep -o "\"$name\":[^,}]*" | head -n 1 | cut -d: -f2- | tr -d '"'
}

@test "no model, no output, unknown option: usage errors on stderr only" {
    run -2 --separate-stderr dk-tokenize
    [ -z "$output" ]
    [[ "$stderr" == "dk-tokenize: error: a model is needed"* ]]
    run -2 dk-tokenize -m "$M"
    run -2 dk-tokenize -m "$M" -o x.tok.h5 --bogus
    run -2 dk-tokenize -m "$M" -o x.tok.h5 --format prose two.jsonl
    run -2 dk-tokenize -m "$M" -o x.tok.h5 --max-tokens -1 two.jsonl
    run -2 dk-tokenize -m "$M" -o x.tok.h5 --fixed-tokens 8 --min-tokens 4 two.jsonl
    [ ! -e x.tok.h5 ]
}

@test "JSON lines: empty lines are passed over, numbers count the rows" {
    run -0 docs two.jsonl
    [ "${#lines[@]}" = 2 ]
    [ "${lines[0]}" = "0: 431,423,335,445" ]
    [[ "${lines[1]}" == "1: "* ]]
}

@test "standard input is JSON lines or plain text, told by its first character" {
    [ "$(docs < two.jsonl)" = "$(docs two.jsonl)" ]
    [ "$(docs - < two.jsonl)" = "$(docs two.jsonl)" ]
    [ "$(printf 'one two three' | docs)" = "0: 431,423,335,445" ]
    [ "$(field corpus_name < two.jsonl)" = stdin ]
}

@test "a .txt file is one document" {
    printf 'one two three' > t.txt
    [ "$(docs t.txt)" = "0: 431,423,335,445" ]
    [ "$(field corpus_name t.txt)" = t ]
}

@test "a name that says nothing: the first character tells, as of standard input" {
    printf 'one two three' > notes
    [ "$(docs notes)" = "0: 431,423,335,445" ]
    cp two.jsonl rows
    cp two.jsonl rows.ndjson
    [ "$(docs rows)" = "$(docs two.jsonl)" ]
    [ "$(docs rows.ndjson)" = "$(docs two.jsonl)" ]
    cp notes notes.jsonl
    run -1 dk-tokenize -m "$M" -o - notes.jsonl
    [[ "$output" == *"not valid JSON"* ]]
}

@test "gzip and zstd files, from a name or a pipe, several frames" {
    gzip -k two.jsonl
    zstd -q two.jsonl
    [ "$(docs two.jsonl.gz)" = "$(docs two.jsonl)" ]
    [ "$(docs two.jsonl.zst)" = "$(docs two.jsonl)" ]
    [ "$(docs < two.jsonl.gz)" = "$(docs two.jsonl)" ]
    [ "$(docs < two.jsonl.zst)" = "$(docs two.jsonl)" ]
    cat two.jsonl.gz two.jsonl.gz > twice.jsonl.gz
    cat two.jsonl.zst two.jsonl.zst > twice.jsonl.zst
    [ "$(docs twice.jsonl.gz | wc -l)" = 4 ]
    [ "$(docs twice.jsonl.zst)" = "$(docs twice.jsonl.gz)" ]
    [ "$(field corpus_name two.jsonl.gz)" = two ]
    [ "$(field corpus_sha256 two.jsonl.gz)" = "$(field corpus_sha256 two.jsonl)" ]
}

@test "a cut or damaged compressed file is an error, not a short result" {
    gzip -c "$A" > a.jsonl.gz
    zstd -q -c "$A" > a.jsonl.zst
    for f in a.jsonl.gz a.jsonl.zst; do
        head -c 20000 $f > cut-$f
        run -1 dk-tokenize -m "$M" -o x.tok.h5 cut-$f
        [[ "$output" == *"cut-$f ends in the middle of its compressed data" ]]
        { head -c 10000 $f; printf 'XXXXXXXXXXXXXXXX'; tail -c +10017 $f; } > bad-$f
        run -1 dk-tokenize -m "$M" -o x.tok.h5 bad-$f
        [ ! -e x.tok.h5 ]
    done
}

@test "several files make one data set" {
    cp two.jsonl more.jsonl
    run -0 docs two.jsonl more.jsonl
    [ "${#lines[@]}" = 4 ]
    [[ "${lines[3]}" == "3: "* ]]
    [ "$(field corpus_name two.jsonl more.jsonl)" = two+more ]
}

@test "the column is chosen by name" {
    printf '{"text": "wrong", "body": "one two three"}\n' > c.jsonl
    [ "$(docs --column body c.jsonl)" = "0: 431,423,335,445" ]
    run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 --column nothing c.jsonl
    [ "$stderr" = "dk-tokenize: error: c.jsonl:1: no column 'nothing'; there are: text, body" ]
}

@test "chats: recognised, forced, flagged; the template's digest is recorded" {
    [ "$(field format "$CHAT")" = chat ]
    [ "$(field format "$A")" = text ]
    [ "$(field bos "$CHAT")" = present ]
    [ "$(field bos "$A")" = none ]
    printf '{"text": "x", "messages": [{"role": "user", "content": "Hi"}]}\n' > both.jsonl
    [ "$(field format both.jsonl)" = text ]
    [ "$(field format --format chat both.jsonl)" = chat ]
    # Special 1 and BOS 2, template 8, user 64; Hi is two tokens.
    [[ "$(flags --format chat both.jsonl)" == "11,8,"*",9,8,9,8,8,8,64,64,9,8" ]]
    printf '{"talk": [{"role": "user", "content": "Hi"}]}\n' > talk.jsonl
    [ "$(docs --format chat --column talk talk.jsonl)" = "$(docs --format chat both.jsonl)" ]
    run -1 dk-tokenize -m "$M" -o x.tok.h5 "$A" "$CHAT"
    [[ "$output" == *"chat.jsonl:1: texts and chats do not mix in one data set" ]]
}

@test "limits: documents, tokens, shortest" {
    [ "$(docs -n 3 "$A" | wc -l)" = 3 ]
    [ "$(docs --max-tokens 5 -n 1 "$A" | tr ',' '\n' | wc -l)" = 5 ]
    [ "$(field max_tokens --max-tokens 5 two.jsonl)" = 5 ]
    [ "$(docs --min-tokens 5 two.jsonl)" = "$(docs two.jsonl | tail -n 1)" ]
}

@test "fixed length: blank and short texts go, the others are cut alike" {
    { printf '{"text": " \\n "}\n{"text": "one two"}\n'; cat two.jsonl; } > f.jsonl
    run -0 docs --fixed-tokens 3 f.jsonl
    [ "${#lines[@]}" = 2 ]
    [ "${lines[0]}" = "2: 431,423,335" ]
    [[ "${lines[1]}" =~ ^3:\ [0-9]+,[0-9]+,[0-9]+$ ]]
    # 10 characters a token are looked at: a special token of 13 is cut through.
    printf '{"text": "<|endoftext|>"}\n' > long.jsonl
    [ "$(docs long.jsonl)" = "0: 0" ]
    [ "$(docs --fixed-tokens 1 long.jsonl)" != "0: 0" ]
    run -1 dk-tokenize -m "$M" -o x.tok.h5 --fixed-tokens 99 f.jsonl
    [[ "$output" == *"f.jsonl: none of 4 documents has 99 tokens; ask for fewer" ]]
}

@test "fixed length of chats: the question and exactly N tokens more" {
    all=$(docs -n 1 "$CHAT")
    q=$(flags -n 1 "$CHAT" | tr ',' '\n' | grep -n '^4$' | head -n 1 | cut -d: -f1)
    run -0 docs --fixed-tokens 8 -n 1 "$CHAT"
    [ "$(printf '%s\n' "$output" | tr ',' '\n' | wc -l)" = $((q - 1 + 8)) ]
    [[ "$all" == "$output"* ]]
}

@test "special tokens in documents count, unless told not to" {
    printf '{"text": "a<|im_end|>b"}\n' > s.jsonl
    [ "$(docs s.jsonl)" = "0: 68,2,69" ]
    run -0 docs --no-special s.jsonl
    [[ "$output" != *",2,"* ]]
    [[ "$output" == "0: 68,"* ]]
}

@test "a doubled BOS is refused" {
    printf '{"text": "fine"}\n{"text": "<|im_start|><|im_start|>x"}\n' > d.jsonl
    run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 d.jsonl
    [ "$stderr" = "dk-tokenize: error: d.jsonl:2: the document begins with the BOS token twice" ]
    [ ! -e x.tok.h5 ]
}

@test "invalid UTF-8 is replaced, with one warning that counts" {
    printf '{"text": "a\xff\xfeb"}\n{"text": "\xe2\x82"}\n' > u.jsonl
    run -0 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 u.jsonl
    [ "$stderr" = "dk-tokenize: warning: 3 invalid UTF-8 sequences were replaced by U+FFFD" ]
    [ "$(docs u.jsonl 2> /dev/null | head -n 1)" = "$(printf '{"text": "a\\ufffd\\ufffdb"}\n' | docs)" ]
}

@test "bad input is one line with file and line" {
    printf '{"text": "ok"}\n{"text": "cut' > b.jsonl
    run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 b.jsonl
    [ "${#stderr_lines[@]}" = 1 ]
    [[ "$stderr" == "dk-tokenize: error: b.jsonl:2: not valid JSON"* ]]
    for row in '[1]' '{"text": 3}' '{"messages": []}' '{"messages": [{"role": "user"}]}' '{}'; do
        printf '%s\n' "$row" > b.jsonl
        run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 b.jsonl
        [ "${#stderr_lines[@]}" = 1 ]
        [[ "$stderr" == "dk-tokenize: error: b.jsonl:1: "* ]]
    done
    run -1 dk-tokenize -m "$M" -o x.tok.h5 missing.jsonl
    [[ "$output" == *"cannot read missing.jsonl: No such file or directory" ]]
}

@test "an empty data set and one without a long document are errors" {
    : > e.jsonl
    run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 e.jsonl
    [ "$stderr" = "dk-tokenize: error: e.jsonl: the data set is empty" ]
    run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 --min-tokens 99 two.jsonl
    [ "$stderr" = "dk-tokenize: error: two.jsonl: every one of 2 documents is shorter than 99 tokens" ]
}

@test "a model that is none, and a folder without one" {
    run -1 dk-tokenize -m missing.gguf -o x.tok.h5 two.jsonl
    [[ "$output" == *"cannot read missing.gguf"* ]]
    run -1 dk-tokenize -m two.jsonl -o x.tok.h5 two.jsonl
    [[ "$output" == *"two.jsonl"* ]]
    run -1 dk-tokenize -m . -o x.tok.h5 two.jsonl
    [[ "$output" == *". holds no tokenizer.json and no GGUF file" ]]
}

@test "a failed run leaves the old output and no temporary behind" {
    echo old > x.tok.h5
    run -1 dk-tokenize -m "$M" -o x.tok.h5 missing.jsonl
    [ "$(cat x.tok.h5)" = old ]
    [ "$(ls)" = "two.jsonl
x.tok.h5" ]
}

@test "GGUF and tokenizer.json give the same ids and the same content id" {
    run -0 dk-tokenize --json-lines -m "$DK_ROOT/tests/golden/mini/mini.gguf" -o - "$CHAT"
    a=${lines[-1]}
    run -0 dk-tokenize --json-lines -m "$M" -o - "$CHAT"
    [ "${lines[-1]}" = "$a" ]
}

@test "the same bytes from every run and any number of threads" {
    dk-tokenize -m "$M" -o a.tok.h5 "$A"
    dk-tokenize -m "$M" -o b.tok.h5 -t 3 "$A"
    cmp a.tok.h5 b.tok.h5
    [ "$(head -c 4 a.tok.h5 | tail -c 3)" = HDF ]
}

@test "the real model: as its golden row says" {
    [ -e "$DK_TEST_MODEL" ] || skip "DK_TEST_MODEL is not there"
    M=$DK_TEST_MODEL
    want=$(head -n 1 "$DK_ROOT/tests/golden/tokens/tokens.jsonl" | grep -o '"ids": .*\]' | tr -d ' "ids:[]')
    [ "$(docs -n 1 "$A")" = "0: $want" ]
}

@test "help fits the house: options with their defaults" {
    run -0 dk-tokenize --help
    [[ "$output" == "usage: dk-tokenize [options] -m MODEL -o FILE.tok.h5 [TEXT...]"* ]]
    [[ "$output" == *"--max-tokens N"*"[1024]"* ]]
}

# --- chat templates ---
# A model with this template beside its tokenizer.
templated() {
    mkdir -p tm
    cp "$DK_ROOT"/tests/golden/mini/hf/tokenizer*.json tm
    printf '%s' "$1" > tm/chat_template.jinja
    M=tm
}

@test "a chat is rendered by the template of the model, of a file, or of the processor's JSON" {
    printf '{"messages": [{"role": "user", "content": "Hi"}]}\n' > c.jsonl
    templated "{% for m in messages %}one {{ m.content }} three{% endfor %}"
    printf 'one Hi three' > t.txt
    [ "$(docs c.jsonl)" = "$(docs t.txt)" ]
    printf '%s' '{{ messages[0].content }} Hi' > own.jinja
    printf 'Hi Hi' > t.txt
    [ "$(docs --template own.jinja c.jsonl)" = "$(docs t.txt)" ]
    [ "$(field template_sha256 --template own.jinja c.jsonl)" = "$(sha256sum < own.jinja | cut -d' ' -f1)" ]
    [ "$(field template_sha256 c.jsonl)" = "$(sha256sum < tm/chat_template.jinja | cut -d' ' -f1)" ]
    rm tm/chat_template.jinja
    printf '%s' '{"chat_template": "{{ messages[0].content }} Hi"}' > tm/chat_template.json
    [ "$(docs c.jsonl)" = "$(docs t.txt)" ]
    run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 --template missing.jinja c.jsonl
    [[ "$stderr" == *missing.jinja* ]]
}

@test "a template is told what the options say, and what else a message holds" {
    printf '{"messages": [{"role": "user", "content": "Hi", "name": "two"}]}\n' > c.jsonl
    templated "{{ enable_thinking is defined and not enable_thinking }} {{ x }} {{ messages[0].name }} {{ strftime_now('%d %b %Y') }} {{ bos_token }}"
    printf 'False  two 26 Jul 2024 <|im_start|>' > t.txt
    [ "$(docs c.jsonl)" = "$(docs t.txt)" ]
    printf 'True 7 two 01 Feb 2025 <|im_start|>' > t.txt
    [ "$(docs --no-thinking --template-arg x=7 --template-date 2025-02-01 c.jsonl)" = "$(docs t.txt)" ]
    for bad in "--template-arg x" "--template-date 2025-02-30" "--template-date soon" \
               "--template-arg x=1 --template-arg x=2" "--no-thinking --template-arg enable_thinking=true"; do
        run -2 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 $bad c.jsonl
        [ "$(wc -l <<< "$stderr")" = 1 ]
    done
}

@test "a template's refusal is passed on, with its file and line; chats that do not alternate are passed over" {
    printf '{"messages": [{"role": "user", "content": "Hi"}]}\n{"messages": [{"role": "robot", "content": "Hi"}]}\n' > c.jsonl
    cp "$DK_ROOT/tests/data/templates/devstral.jinja" d.jinja
    run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 --template d.jinja c.jsonl
    [ "$stderr" = "dk-tokenize: error: c.jsonl:2: template of d.jinja, line 10: Only system, user and assistant roles are supported, not robot" ]
    cp "$DK_ROOT/tests/data/templates/gemma2.jinja" g.jinja
    printf '{"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Hi"}]}\n{"messages": [{"role": "user", "content": "one"}]}\n' > u.jsonl
    run -0 --separate-stderr dk-tokenize --json-lines -m "$M" -o - --template g.jinja u.jsonl
    [[ "$stderr" == *"1 chat was passed over: the template wants user and assistant to alternate"* ]]
    [ "$(grep -c '^{"id"' <<< "$output")" = 1 ]
    [[ "$output" == *'{"id":1,'* ]]
    head -n 1 u.jsonl > one.jsonl
    run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 --template g.jinja one.jsonl
    [[ "$stderr" == *"in all of them the roles do not alternate" ]]
    printf '{%% for x in range(100000) %%}{%% for y in range(100000) %%}{%% endfor %%}{%% endfor %%}' > e.jinja
    run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 --template e.jinja c.jsonl
    [[ "$stderr" == *"c.jsonl:1: template of e.jinja, line 1: it "* ]]
    [ ! -e x.tok.h5 ]
}

@test "what a template marks as the assistant's is flagged, its end token with it" {
    printf '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}]}\n' > c.jsonl
    plain=$(flags c.jsonl)
    marked=$(flags --template "$DK_ROOT/tests/data/templates/generation.jinja" c.jsonl)
    # Special 1, assistant 4, template 8: the end token of the answer is 9 without and 13 with marks.
    [[ "$plain" == *",4,4,9,8" ]]
    [[ "$marked" == *",4,4,13,8" ]]
    [ "$(tr ',' '\n' <<< "$marked" | grep -c '^13$')" = 1 ]
}

@test "--roundtrip: texts as the reference toolkit has them; all families, cut early and late" {
    local g=$DK_ROOT/tests/golden/roundtrip t n
    for t in llama2 llama3 gemma gpt2; do
        mkdir $t
        cp "$DK_ROOT/tests/golden/tokens/families/$t.json" $t/tokenizer.json
        echo '{"bos_token": "<s>"}' > $t/tokenizer_config.json
        for n in 6 40; do
            dk-tokenize --json-lines --roundtrip --min-tokens 0 --max-tokens $n -m $t -o - "$g/texts.jsonl" | grep '^{"id"' | jq -c .ids > got
            jq -c . "$g/$t.$n.jsonl" | cmp - got
            [ "$(wc -l < got)" = 155 ]
            # and it is another thing than without
            dk-tokenize --json-lines --min-tokens 0 --max-tokens $n -m $t -o - "$g/texts.jsonl" | grep '^{"id"' | jq -c .ids > plain
            ! cmp -s got plain
        done
    done
    run -0 --separate-stderr dk-tokenize --roundtrip -m llama3 -o x.tok.h5 "$g/texts.jsonl"
    [[ "$stderr" == *"2 texts contain the BOS token already: none was put before them"* ]]
    run -0 --separate-stderr dk-tokenize -m llama3 -o x.tok.h5 "$g/texts.jsonl"
    [[ "$stderr" == *"2 texts contain the BOS token already"* ]]
    grep -v '<s>' "$g/texts.jsonl" > without.jsonl
    run -0 --separate-stderr dk-tokenize -m llama3 -o x.tok.h5 without.jsonl
    [[ "$stderr" != *BOS* ]]
    rm x.tok.h5
    for o in "--fixed-tokens 4" --no-special; do
        run -2 --separate-stderr dk-tokenize --roundtrip $o -m llama3 -o x.tok.h5 "$g/texts.jsonl"
        [[ "$stderr" == "dk-tokenize: error: the round trip"* ]]
    done
    [ ! -e x.tok.h5 ]
}

@test "--replace-tokens: ids in the place of others, everywhere and at once" {
    ids() { dk-tokenize --json-lines -m "$M" -o - "$@" | grep '^{"id"' | jq -c .ids; }
    printf '{"text": "the cake and the oven and the cake"}\n' > t.jsonl
    ids t.jsonl > plain
    a=$(jq '.[0]' plain) b=$(jq '.[-1]' plain)
    [ "$a" != "$b" ]
    # each takes the other's place
    ids --replace-tokens $a=$b,$b=$a t.jsonl > got
    jq -c --argjson a "$a" --argjson b "$b" 'map(if . == $a then $b elif . == $b then $a else . end)' plain | cmp - got
    ! cmp -s plain got
    for o in 5 5= =5 5=x 5=5=5 5=-1 5=4294967295 5=100000 5=6,5=7; do
        run -2 --separate-stderr dk-tokenize --replace-tokens $o -m "$M" -o x.tok.h5 t.jsonl
        [ "${#stderr_lines[@]}" = 1 ]
    done
    [ ! -e x.tok.h5 ]
}
