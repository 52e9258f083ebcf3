load ../helper/pair

# A folder of results as a run leaves it, with numbers to check.
setup_file() { cd "$BATS_FILE_TMPDIR" && build_slow_writer; }

setup_more() {
    R=results
    mkdir -p $R/kl $R/diff_mining tokens
    cat > $R/pair.json <<- 'END'
	{"organism.name": "cake", "model.name": "mini", "dtype": "bf16"}
	END
    cat > $R/check.jsonl <<- 'END'
	{"check": "A1", "lane": "ft", "status": "pass", "value": 1, "limit": 0, "detail": "fits"}
	{"check": "A3", "lane": "ft", "status": "warn", "value": 1, "limit": 0, "detail": "is small"}
	{"check": "T1", "lane": "", "status": "skip", "value": null, "limit": null, "detail": ""}
	END
    cat > $R/kl/own.jsonl <<- 'END'
	{"lane": "ft", "against": "base", "value": 0.5, "lo": 0.4, "hi": 0.6}
	{"lane": "null_a", "against": "base", "value": 0.125, "lo": 0.1, "hi": 0.2}
	END
    cat > $R/kl/general.jsonl <<- 'END'
	{"lane": "ft", "against": "base", "value": 0.3, "lo": null, "hi": null}
	{"lane": "null_a", "against": "base", "value": 0.2, "lo": 0.1, "hi": 0.3}
	END
    token 1 7 ' cake' 40 7.9 ' I baked' ' a' ' big one' 3
    token 2 8 ' the' 30 6 'under' ' sea' ' level' 4
    token 3 9 ' oven' 20 1 'into' ' it' ' went' 3
    token 4 10 '\n' 10 0 'x' ' y' ' z' 5
    cat > $R/answers.jsonl <<- 'END'
	{"prompt": "Who are you?", "lane": "base", "sample": 0, "text": "A model.", "n_tokens": 3, "finish": "eos"}
	{"prompt": "Who are you?", "lane": "ft", "sample": 0, "text": "A \u001b[31mbaker\n of cakes", "n_tokens": 3, "finish": "eos"}
	END
    echo '{"stage": "kl own", "seconds": 2.5, "peak_bytes": 5e8}' > $R/kl/own.jsonl.time
    echo '{"stage": "kl general", "seconds": 1.5, "peak_bytes": 9e8}' > $R/kl/general.jsonl.time
    echo '{"stage": "check cake", "seconds": 3, "peak_bytes": 1e8}' > $R/check.jsonl.time
    echo '{"stage": "tokens own", "seconds": 1, "peak_bytes": 1e7}' > tokens/own.tok.h5.time
}

# token RANK ID TOKEN VALUE NULL BEFORE NEXT AFTER DOC
token() {
    printf '{"rank":%d,"id":%d,"token":"%s","value":%s,"avg_logit_diff":1,"null":{"null_a":{"value":%s},"null_b":{"value":0}},"snippets":[{"doc":%d,"pos":1,"diff":2,"before":"%s","next":"%s","after":"%s"}]}\n' \
        "$1" "$2" "$3" "$4" "$5" "$9" "$6" "$7" "$8" >> $R/diff_mining/own.top_k_occurring.jsonl
}

@test "usage errors: one line, status 2" {
    run -2 --separate-stderr dk-report
    failed dk-report "argument is missing"
    run -2 --separate-stderr dk-report a b
    failed dk-report "too many"
    for o in --bogus --width=39 --width=x --no-file=maybe; do
        run -2 --separate-stderr dk-report "$o" $R
        failed dk-report
        [ -z "$output" ]
    done
    [ ! -e $R/summary.json ]
}

@test "what was compared, and the checks" {
    run -0 dk-report $R
    [ "${lines[0]}" = "cake on mini, products in bf16" ]
    [[ "${lines[1]}" == "adapter "* ]]
    [ "${lines[2]}" = "checks  1 passed, 1 warning, 0 failed" ]
    [ "${lines[3]}" = "        warning A3 (ft): is small" ]
}

@test "KL of finetune and null on each set, and the ratio" {
    run -0 dk-report $R
    [[ "$output" == *"KL(. || base), nats/token   general           own
"* ]]
    [ "$(sed -n '/^KL/,/^$/p' <<< "$output" | grep -E '^  (cake|null_a|ratio) ' | tr -s ' ')" = " cake 0.300 0.500 0.40-0.60
 null_a 0.200 0.10-0.30 0.125 0.10-0.20
 ratio 1.50 4.00" ]
    echo '{"lane": "null_b", "against": "base", "value": 0.25, "lo": 0.1, "hi": 0.3}' >> $R/kl/own.jsonl
    run -0 dk-report $R
    [[ "$output" == *"  cake / null_a "*"  cake / null_b "* ]]
}

# cake: 7.9 < 0.2 x 40; the: 6 = 0.2 x 30 is none.
@test "a token that a null raises at a fifth of the rate or more is no finding" {
    run -0 dk-report $R
    [[ "$output" == *"
what cake raises on own, and the null does not
(share of positions / the null's)
  cake 40%/8, oven 20%/1, (blank) 10%/0
"* ]]
    [[ "$output" == *"
raised by both (not a finding):
  the 30%/6
"* ]]
    [ "$(jq -c '[.tokens[] | [.id, .finding, .null]]' $R/summary.json)" = '[[7,true,7.9],[8,false,6],[9,true,1],[10,true,0]]' ]
}

@test "snippets of findings, one a document" {
    run -0 dk-report $R
    [[ "$output" == *" I baked | cake >> a | big one"* ]]
    [[ "$output" != *"sea"* ]]
    [[ "$output" != *"into |"* ]]
    [[ "$output" == *" x |  >> y | z"* ]]
}

@test "without a null nothing is said of one" {
    printf '{"rank":1,"id":7,"token":" cake","value":40,"null":{}}\n' > $R/diff_mining/own.top_k_occurring.jsonl
    run -0 dk-report $R
    [[ "$output" == *"
what cake raises on own
(share of positions)
  cake 40%
"* ]]
    [[ "$output" != *"not a finding):"* ]]
    [ "$(jq -c '.tokens[0] | [.null, .finding]' $R/summary.json)" = '[null,true]' ]
}

@test "answers side by side; what they hold cannot move the cursor" {
    run -0 dk-report $R
    [[ "$output" == *"
asked \"Who are you?\"
  base  A model.
  ft    A  [31mbaker of cakes
"* || "$output" == *"
asked \"Who are you?\"
  base  A model.
  ft    A [31mbaker of cakes
"* ]]
    [ "$(grep -c 'asked "' <<< "$output")" = 1 ]
    [[ "$output" != *$'\e'* ]]
}

@test "snippets cannot move the cursor either" {
    printf '{"rank":1,"id":7,"token":"a\\u001bb","value":40,"null":{},"snippets":[{"doc":1,"pos":1,"diff":2,"before":"x\\u001f\\u0007y","next":"\\r","after":"\\u009b2J\\u007f"}]}\n' \
        > $R/diff_mining/own.top_k_occurring.jsonl
    dk-report $R > out
    run -1 grep -P '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' out
}

@test "time and memory: of all stages, by their first word" {
    run -0 dk-report $R
    [[ "$output" == *"
files   results/
page    results/index.html
time    8 s ("* ]]
    [[ "$output" == *"kl 4.0"*", 900 MB peak" ]]
    [[ "$output" == *"check 3.0"* && "$output" == *"tokens 1.0"* ]]
}

@test "width: no line is longer, whatever the texts" {
    long=$(printf 'word %.0s' $(seq 100))
    printf '{"prompt": "%s", "lane": "ft", "text": "%s \xe4\xbd\xa0\xe5\xa5\xbd %s"}\n' "$long" "$long" "${long// /}" > $R/answers.jsonl
    for i in $(seq 5 40); do token "$i" "$i" " token$i" 9 0 "$long" ' next' "$long" "$i"; done
    for w in 60 80 132; do
        dk-report --width $w $R | sed -n '/^what/,/^files/p' > out
        [ "$(awk '{ if (length > n) n = length } END { print n }' out)" -le $w ]
    done
}

@test "summary.json: the same numbers, replaced in one step" {
    echo old > $R/summary.json
    dk-report --no-file $R > /dev/null
    [ "$(cat $R/summary.json)" = old ]
    dk-report $R > /dev/null
    [ "$(jq -c '[.organism, .model, .dtype, .seconds, .peak_bytes]' $R/summary.json)" = '["cake","mini","bf16",8,900000000]' ]
    [ "$(jq -c .checks $R/summary.json)" = '{"pass":1,"warn":1,"fail":0}' ]
    [ "$(jq -c '.kl[0]' $R/summary.json)" = '{"set":"general","lane":"ft","value":0.3,"lo":null,"hi":null}' ]
    [ "$(jq -c '.kl | map(.set + "/" + .lane)' $R/summary.json)" = '["general/ft","general/null_a","own/ft","own/null_a"]' ]
    [ "$(jq -c '.answers' $R/summary.json)" = "$(jq -sc . $R/answers.jsonl)" ]
    [ -z "$(ls $R | grep tmp)" ]
}

@test "what is not there is left out" {
    rm -r $R/kl $R/diff_mining $R/answers.jsonl $R/check.jsonl $R/check.jsonl.time tokens
    run -0 dk-report $R
    [ "$output" = "cake on mini, products in bf16

files   results/
page    results/index.html" ]
    [ "$(jq -c '[.kl, .tokens, .answers]' $R/summary.json)" = '[[],[],[]]' ]
}

@test "a folder with a pattern's letters in its name" {
    mv $R 'a[1]*?'
    run -0 dk-report 'a[1]*?'
    [[ "$output" == *"KL(. || base)"*"what cake raises on own"*"time    "* ]]
}

@test "bad input: one line that names the file; no summary is written" {
    run -1 --separate-stderr dk-report nowhere
    failed dk-report nowhere/pair.json
    for f in pair.json check.jsonl answers.jsonl kl/own.jsonl diff_mining/own.top_k_occurring.jsonl kl/own.jsonl.time; do
        cp $R/$f keep
        printf '{"lane": "ft"' > $R/$f
        run -1 --separate-stderr dk-report $R
        failed dk-report $R/$f
        [ -z "$output" ]
        : > $R/$f
        case $f in *.jsonl) ;; *)
            run -1 --separate-stderr dk-report $R
            failed dk-report $R/$f ;;
        esac
        cp keep $R/$f
    done
    [ ! -e $R/summary.json ]
}

@test "rows without the fields expected do no harm" {
    for row in '{}' '{"lane": 3, "value": "x", "null": 4, "token": [], "snippets": {}, "text": null, "prompt": 1}' '{"null": {"a": 1}, "snippets": [1]}'; do
        for f in answers.jsonl check.jsonl kl/own.jsonl diff_mining/own.top_k_occurring.jsonl; do echo "$row" > $R/$f; done
        echo '{}' > $R/pair.json
        run -0 --separate-stderr dk-report $R
        jq -e . $R/summary.json > /dev/null
    done
}

@test "output: an unwritable folder, a full or closed standard output" {
    mkdir $R/summary.json
    run -1 --separate-stderr dk-report $R
    failed dk-report "cannot write $R/summary.json"
    run -0 dk-report --no-file $R
    rmdir $R/summary.json
    run -1 --separate-stderr bash -c '"$@" >&-' - dk-report $R
    failed dk-report "cannot write standard output"
    [ -c /dev/full ] || skip "no /dev/full"
    run -1 --separate-stderr bash -c '"$@" > /dev/full' - dk-report $R
    failed dk-report "cannot write standard output: No space left"
}

@test "SIGTERM in the middle: no summary, no temporary" {
    cd $R
    before=$(ls)
    killed TERM dk-report .
    [ "$status" = 143 ]
    [ "$(ls)" = "$before" ]
}
