# Rows that are no JSON lines: parquet, arrays.
load ../helper/common

setup_more() {
    M=$ROOT/tests/golden/mini/hf P=$ROOT/tests/golden/parquet
}

# Ids and texts: all but what names the file.
tokens() { dk-tokenize --json-lines -m "$M" -o - "$@" | sed '1s/.*\("corpus_sha256":"[^"]*"\).*/\1/'; }
refused() {
    run -1 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 "$@"
    one_error dk-tokenize
    [ ! -e x.tok.h5 ]
}

@test "parquet gives what JSON lines give, with every codec, encoding and page version" {
    tokens "$P/texts.jsonl" > want
    [ "$(grep -c '^{"id"' want)" = 271 ]
    for f in "$P"/texts.*.parquet; do
        tokens "$f" > got
        cmp want got
    done
    tokens --column label --format text "$P/texts.jsonl" > want
    tokens --column label --format text "$P/texts.delta2.parquet" | cmp want -
}

@test "chats in lists of structs" {
    tokens "$P/dialogs.jsonl" > want
    [ "$(grep -c '^{"id"' want)" = 20 ]
    for f in "$P"/dialogs.*.parquet; do
        tokens "$f" | cmp want -
        tokens --format chat --column messages "$f" | cmp want -
    done
    run -1 --separate-stderr dk-tokenize --json-lines -m "$M" -o - "$P/chats.default.parquet"
    [[ "$stderr" == "dk-tokenize: error: "*"chats.default.parquet:1: 'messages' is no list of messages" ]]
}

@test "parquet on standard input, compressed as a whole, and by another name" {
    tokens "$P/texts.jsonl" > want
    tokens - < "$P/texts.zstd.parquet" | cmp want -
    gzip -c "$P/texts.none.parquet" > t.parquet.gz
    tokens t.parquet.gz | cmp want -
    cp "$P/texts.default.parquet" data
    tokens data | cmp want -
    cat "$P/texts.jsonl" "$P/texts.jsonl" > twice.jsonl
    [ "$(tokens twice.jsonl | head -n 1)" = "$(tokens data "$P/texts.zstd.parquet" | head -n 1)" ]
    run -0 dk-tokenize --json-lines -m "$M" -o - "$P/texts.zstd.parquet"
    [[ "${lines[0]}" == *'"corpus_name":"texts.zstd"'* ]]
}

@test "a column that is not there, or not of texts" {
    refused --column body "$P/texts.default.parquet"
    [[ "$stderr" == *"texts.default.parquet:1: no column 'body'; there are: text, id, "* ]]
    refused --column id "$P/texts.default.parquet"
    [[ "$stderr" == *"texts.default.parquet:1: column 'id' holds no text" ]]
    refused --column day "$P/others.default.parquet"
    [[ "$stderr" == *"column 'day' holds values of type DATE, which are not read" ]]
    refused "$P/refused.brotli.parquet"
    [[ "$stderr" == *"refused.brotli.parquet, row 1: column 'text': it is packed with Brotli, which is not read" ]]
    refused "$P/empty.default.parquet"
    [[ "$stderr" == *"empty.default.parquet: the data set is empty" ]]
}

@test "files that are cut, changed, encrypted or something else" {
    head -c 5000 "$P/texts.zstd.parquet" > cut.parquet
    refused cut.parquet
    [[ "$stderr" == *"cut.parquet is a parquet file without its end: it was cut" ]]
    { head -c 2000 "$P/texts.zstd.parquet"; tail -c 4000 "$P/texts.zstd.parquet"; } > middle.parquet
    refused middle.parquet
    [[ "$stderr" == *"middle.parquet: "* ]]
    cp "$P/texts.zstd.parquet" flip.parquet
    printf '\x55' | dd of=flip.parquet bs=1 seek=700 conv=notrunc status=none
    refused flip.parquet
    [[ "$stderr" == *"flip.parquet, row "*": column 'text': a page is damaged: its checksum does not match" ]]
    { printf PARE; tail -c +5 "$P/texts.none.parquet"; } > secret.parquet
    refused secret.parquet
    [[ "$stderr" == *"secret.parquet is an encrypted parquet file, which is not read" ]]
    cp "$P/texts.jsonl" lines.parquet
    refused lines.parquet
    [[ "$stderr" == *"lines.parquet is no parquet file" ]]
    : > empty.parquet
    refused empty.parquet
    refused gone.parquet
}

@test "a .json file that is one array" {
    { echo '['; sed '$!s/$/,/' "$P/texts.jsonl"; echo ']'; } > texts.json
    tokens "$P/texts.jsonl" > want
    tokens texts.json | cmp want -
    zstd -q texts.json
    tokens texts.json.zst | cmp want -
    printf '[{"text": "a"}, 5]' > five.json
    refused five.json
    [[ "$stderr" == *"five.json:2: the line is no JSON object" ]]
    printf '[{"text": "a"}, ' > open.json
    refused open.json
    [[ "$stderr" == *"open.json:1: "* ]]
    printf '[]' > none.json
    refused none.json
}

ten() { for i in {0..9}; do echo "{\"text\": \"$i\"}"; done; }
# The texts in their order: each row is one digit.
order() { dk-tokenize --json-lines -m "$M" -o - "$@" | sed -n 's/^{"id":[0-9]*,"ids":\[\([0-9]*\)\].*/\1/p' | tr '\n' ' '; }

@test "--shuffle: the rows in the seed's order, over all files" {
    ten > all.jsonl
    head -n 4 all.jsonl > a.jsonl
    tail -n +5 all.jsonl | gzip > b.jsonl.gz
    # What numpy.random.default_rng(42).permutation(10) gives.
    for i in 5 6 0 7 3 2 4 9 1 8; do echo "{\"text\": \"$i\"}"; done > want.jsonl
    want=$(order want.jsonl)
    [ "$(wc -w <<< "$want")" = 10 ]
    [ "$(order all.jsonl)" != "$want" ]
    [ "$(order --shuffle all.jsonl)" = "$want" ]
    [ "$(order --shuffle a.jsonl b.jsonl.gz)" = "$want" ]
    [ "$(order --shuffle -n 3 a.jsonl b.jsonl.gz)" = "$(cut -d' ' -f1-3 <<< "$want") " ]
    [ "$(order --shuffle --seed 7 all.jsonl)" != "$want" ]
    dk-tokenize -m "$M" -o s.tok.h5 --shuffle all.jsonl
    dk-info --check s.tok.h5
}

@test "--shuffle: several passes find what one does, from tables too" {
    # Of 6000 rows few are long enough: the first picks do not suffice.
    for i in {0..5999}; do
        if [ $((i % 40)) = 0 ]; then echo "{\"text\": \"$i is long enough to be kept as one of the few\"}"; else echo '{"text": "a"}'; fi
    done > many.jsonl
    dk-tokenize --json-lines -m "$M" -o - --fixed-tokens 8 --shuffle many.jsonl | grep '^{"id"' > all
    dk-tokenize --json-lines -m "$M" -o - --fixed-tokens 8 --shuffle -n 90 many.jsonl | grep '^{"id"' > few
    [ "$(wc -l < all)" = 150 ]
    [ "$(wc -l < few)" = 90 ]
    head -n 90 all | cmp few -
    tokens --shuffle "$P/texts.jsonl" > want
    [ "$(grep -c '^{"id"' want)" = 271 ]
    tokens --shuffle "$P/texts.delta2.parquet" | cmp want -
}

@test "--shuffle: errors name the line; standard input is refused" {
    ten > all.jsonl
    echo '{"text": 5}' >> all.jsonl
    refused --shuffle all.jsonl
    [[ "$stderr" == *"all.jsonl:11: column 'text' holds no text" ]]
    run -2 --separate-stderr dk-tokenize -m "$M" -o x.tok.h5 --shuffle < all.jsonl
    [[ "$stderr" == *"standard input cannot be shuffled"* ]]
    : > none.jsonl
    refused --shuffle none.jsonl
    [[ "$stderr" == *"none.jsonl: the data set is empty" ]]
    printf '{"text": "a \xff b"}\n' > bad.jsonl
    run -0 --separate-stderr dk-tokenize --json-lines -m "$M" -o - --shuffle bad.jsonl
    [[ "$stderr" == *"1 invalid UTF-8 sequence was replaced"* ]]
}

@test "--name is what the data set is called" {
    ten > all.jsonl
    run -0 dk-tokenize --json-lines -m "$M" -o - --name web all.jsonl
    [[ "${lines[0]}" == *'"corpus_name":"web"'* ]]
}
