bats_require_minimum_version 1.5.0

# What is wrong with a tokenizer is one line that names the file.
setup() {
    cd "$BATS_TEST_TMPDIR"
    D=$DK_ROOT/tests/data/tokenizers
    printf 'ab a aa' > t.txt
}

refused() {
    run -1 --separate-stderr dk-tokenize -m "$1" -o x.tok.h5 t.txt
    [ "${#stderr_lines[@]}" = 1 ]
    [ "$stderr" = "dk-tokenize: error: $1: $2" ]
    [ ! -e x.tok.h5 ]
}

# The ids of t.txt.
ids() { dk-tokenize -m "$1" -o - t.txt | sed -n 's/^{"id":0,"ids":\[\([0-9,]*\)\].*/\1/p'; }

@test "merges of tokens that are not there" {
    refused "$D/missing-merge.json" "merge 0 ('a' + 'b') names a token that the vocabulary lacks"
}

@test "one id twice, a huge id, an id outside of the vocabulary" {
    refused "$D/same-id.json" "two tokens of the vocabulary have id 0"
    refused "$D/huge-id.json" "a vocabulary of 3 tokens with ids up to 4294967296"
    refused "$D/far-bos.json" "the bos token is 77, outside the vocabulary of 4"
}

@test "what is not supported is named" {
    refused "$D/unigram.json" "unsupported tokenizer model 'Unigram'"
    sed 's/"type":"Digits"/"type":"UnicodeScripts"/' "$D/all-steps.json" > u.json
    refused u.json "unsupported pre-tokenizer 'UnicodeScripts'"
    sed 's/"type":"NFKC"/"type":"Nmt"/' "$D/all-steps.json" > n.json
    refused n.json "unsupported normalizer 'Nmt'"
    sed 's/"type":"Fuse"/"type":"CTC"/' "$D/all-steps.json" > d.json
    refused d.json "unsupported decoder 'CTC'"
    sed 's/"type":"TemplateProcessing"/"type":"BertProcessing"/' "$D/all-steps.json" > p.json
    refused p.json "unsupported post-processor 'BertProcessing'"
}

@test "merges that lead in a circle end" {
    [ "$(ids "$D/cycle.json")" = "4,2,1" ]
}

@test "an expression that backtracks without end is an error, not a wait" {
    { printf 'a%.0s' {1..5000}; printf '!'; } > t.txt
    run -1 --separate-stderr dk-tokenize -m "$D/backtracking.json" -o x.tok.h5 t.txt
    [[ "$stderr" == *"regular expression '(?m)(a+)+\$': "* ]]
}

@test "a configuration with an integer beyond 64 bits" {
    cp "$D/tekken.json" tekken.json
    mkdir m
    cp "$DK_ROOT/tests/golden/mini/hf/tokenizer.json" m
    printf '{"model_max_length": 1000000000000000019884624838656, "bos_token": "<|im_start|>"}\n' > m/tokenizer_config.json
    run -0 dk-tokenize -m m -o - t.txt
    [[ "${lines[0]}" == *'"bos":"none"'* ]]
}

@test "Mistral's tekken.json, by its name and by its folder" {
    mkdir m
    cp "$D/tekken.json" m
    # a is rank 0 and t rank 1 after three special tokens; b has no token.
    printf 'at a' > t.txt
    [ "$(ids m/tekken.json)" = "1,6,5,3" ]
    [ "$(ids m)" = "1,6,5,3" ]
}

@test "what the fuzzer starts from ends without a word" {
    run -0 "$(dirname "$(command -v dk-tokenize)")/../helper/replay-tokfile" "$D"/*.json
    [ "${#lines[@]}" -ge 10 ]
}
