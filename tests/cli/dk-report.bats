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

# lens LAYER POSITION RANK ID TOKEN VALUE NULL [QUERY]: a token of the difference.
lens() {
    mkdir -p $R/activation_difference_lens
    printf '{"rank":%d,"id":%d,"token":"%s","piece":"p","value":%s,"layer":%d,"site":"resid_post","what":"diff","name":"x","position":%s,"inverse":false,"null":{"null_a":{"value":%s,"rank":9},"null_b":{"value":0,"rank":99}}%s}\n' \
        "$3" "$4" "$5" "$6" "$1" "$2" "$7" "${8+,\"query\":\"$8\"}" >> $R/activation_difference_lens/own.lens.jsonl
}
# mean LAYER WHAT POSITION NORM MEAN-NORM
mean() {
    mkdir -p $R/activation_difference_lens
    printf '{"layer":%d,"site":"resid_post","what":"%s","name":"x","position":%s,"count":20,"norm":%s,"mean_norm":%s,"act_norm":7}\n' \
        "$@" >> $R/activation_difference_lens/own.means.jsonl
}
lenses() {
    lens 3 0 1 7 ' the' 0.5 0.25
    lens 3 0 2 8 ' oven' 0.25 0.0123
    lens 3 1 1 9 ' cake' 0.125 0.02
    lens 3 1 2 8 ' oven' 0.375 0.0001
    lens 3 1 400 10 ' milk' 0.00001 0 ' milk'
    lens 3 0 30 10 ' milk' 0.001 0.002 ' milk'
    lens 3 null 1 11 ' all' 0.9 0
    mean 3 base 0 90 100; mean 3 base 1 40 50
    mean 3 diff 0 8 10; mean 3 diff 1 12 20
    mean 3 diff.null_a 0 5 6; mean 3 diff.null_a 1 30 60
    mean 3 diff null 1 2
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

@test "what both raise is told of behind many findings too" {
    rm $R/diff_mining/own.top_k_occurring.jsonl
    for i in {1..35}; do token "$i" "$i" " t$i" 50 0 a b c "$i"; done
    token 36 99 ' last' 40 39 a b c 36
    run -0 dk-report $R
    [[ "$output" == *"
raised by both (not a finding):
  last 40%/39
"* ]]
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

# Position 1: 0.125 + 0.375; position 0: 0.25, for a null speaks for " the" too.
@test "the lens: the most telling positions, beside the nulls" {
    lenses
    run -0 dk-report $R
    [[ "$output" == *"
what its mean difference speaks for, and the null's does not
(by position: probability / the null's)
  own, layer 3: 8-24% as long as the base's rows, the null's 5-60%
    1   cake 12%/2, oven 38%/0.01
    0   oven 25%/1.2
    asked for: milk rank 30 at 0 (null 9)

"* ]]
    jq -c '.activation_difference_lens[0] | [.set, .layer, .site, (.lens | map([.position, .finding_mass]))]' $R/summary.json > got
    [ "$(cat got)" = '["own",3,"resid_post",[[1,0.5],[0,0.25],[null,0.9]]]' ]
    [ "$(jq -c '.activation_difference_lens[0].lens[1].tokens[0] | [.id, .token, .rank, .value, .null, .null_rank, .finding]' $R/summary.json)" = '[7," the",1,0.5,0.25,9,false]' ]
    [ "$(jq -c '.activation_difference_lens[0].lens[0].asked | map([.id, .rank, .null_rank])' $R/summary.json)" = '[[10,400,9]]' ]
    [ "$(jq -c '.activation_difference_lens[0].norms | map([.what, .position, .norm, .mean_norm, .percent_of_base])' $R/summary.json)" = \
        '[["diff",0,8,10,8],["diff",1,12,20,24],["diff.null_a",0,5,6,5],["diff.null_a",1,30,60,60],["diff",null,1,2,null]]' ]
}

@test "the lens: of several layers the one position of each" {
    lenses
    lens 5 2 1 7 ' butter' 0.5 0
    lens 5 1 1 7 ' sugar' 0.25 0
    run -0 dk-report $R
    [[ "$output" == *"
    1   cake 12%/2, oven 38%/0.01
    asked for: milk rank 30 at 0 (null 9)
  own, layer 5
    2   butter 50%/0
"* ]]
    for l in 6 7; do lens $l 0 1 7 ' x' 0.5 0.4; done
    run -0 dk-report $R
    [[ "$output" == *"
(by position: probability / the null's)
  own, layer 5
    2   butter 50%/0
  own, layer 6
    nothing
  own, layer 7
    nothing
  (and 1 more layer on the page)
"* ]]
}

@test "the lens: without a null" {
    lenses
    sed -i 's/"null":{[^}]*},"null_b":{[^}]*}}/"null":{}/' $R/activation_difference_lens/own.lens.jsonl
    sed -i '/null_a/d' $R/activation_difference_lens/own.means.jsonl
    run -0 dk-report $R
    [[ "$output" == *"
what its mean difference speaks for
(by position: probability)
  own, layer 3: 8-24% as long as the base's rows
    0   the 50%, oven 25%
    1   cake 12%, oven 38%
    asked for: milk rank 30 at 0

"* ]]
}

# Statistics beside nulls, as dk-calibrate leaves them.
calibration() {
    cat > $R/calibration.jsonl <<- 'END'
	{"method":"kl","statistic":"mean","dataset_id":"own","lane":"ft","kind":"size","value":0.5,"lo":0.4,"hi":0.6,"docs":9,"null":{"kind":"null_a,rigid","m":6,"median":0.125,"q95":0.25,"values":{"null_a":0.125}},"p_null":0.143,"visible":0.125,"verdict":"above null"}
	{"method":"kl","statistic":"mean","dataset_id":"general","lane":"ft","kind":"size","value":0.3,"null":{"kind":"null_a","m":1,"median":0.2,"q95":0.2,"values":{"null_a":0.2}},"ratio":1.5,"verdict":"within null"}
	{"method":"kl","statistic":"q95","dataset_id":"own","lane":"ft","kind":"size","value":2,"verdict":"not calibrated"}
	{"method":"activation_difference_lens","statistic":"lexicon","dataset_id":"own","layer":3,"site":"resid_post","position":1,"lane":"ft","kind":"content","value":2,"of":20,"p_lexicon":0.01,"tokens":[],"null":{"m":1,"values":{"null_a":3},"p_lexicon":{"null_a":0.001}},"verdict":"within null"}
	{"method":"activation_difference_lens","statistic":"lexicon","dataset_id":"own","layer":3,"site":"resid_post","position":2,"lane":"ft","kind":"content","value":5,"of":20,"p_lexicon":1e-5,"tokens":[],"verdict":"not calibrated"}
	{"method":"diff_mining","statistic":"tokens","dataset_id":"own","lane":"ft","kind":"content","value":7,"of":100,"by":"q_bh","limit":0.05}
	{"method":"diff_mining","statistic":"lexicon_beyond_null","dataset_id":"own","lane":"ft","kind":"content","value":14,"of":20,"p_lexicon":2.8e-18,"tokens":[" frost"],"null":{"m":2,"values":{"null_a":0,"null_b":1},"p_lexicon":{"null_a":1,"null_b":0.5}},"verdict":"above null"}
	{"method":"diff_mining","statistic":"rate","dataset_id":"own","lane":"ft","rank":1,"id":7,"value":40,"q_bh":0.01}
	END
}

@test "beside the nulls: lists by their lexicon, sizes with p or ratio, verdicts" {
    calibration
    dk-report $R > out
    tr -s ' \n' ' ' < out > line
    for said in 'beside 6 nulls (null_a,rigid)' \
                "raised on own: 14 of 20 tokens in the texts' lexicon, p 3e-18, nulls <= 1: above null" \
                "lens of own, layer 3, position 2: 5 of 20 tokens in the texts' lexicon, p 1e-05: not calibrated" \
                "mean KL: own 0.5, nulls' median 0.125, 95% 0.25, p 0.14, above null; general 0.3, nulls' median 0.2, 95% 0.2, ratio 1.50, within null" \
                '(and 2 more statistics on the page)'; do
        grep -qF "$said" line
    done
    [ "$(jq -c '.calibration | map(.value)' $R/summary.json)" = '[0.5,0.3,2,2,5,14]' ]
    grep -q 'id="nulls"' $R/index.html
    for said in '14 of 20' '0.125 / 0.25' 'p 0.14' 'p 2.8e-18' 'ratio 1.5' 'null_a 0, null_b 1'; do grep -qF "$said" $R/index.html; done
    # the first box: over what, beside what, and what would have been seen
    tr '\n' ' ' < $R/index.html | sed 's/<div class="card">/\n&/g' | grep -m 1 '^<div class="card"' > card
    for said in '9 documents, 6 nulls' 'null_a,rigid. The smallest effect that would have been seen: kl mean on own 0.12 above' 'too narrow'; do grep -qF "$said" card; done
    grep -qF '0.4 to 0.6 (few)' $R/index.html
    grep -qF '95% interval over 9 documents, too narrow for so few' line
    sed -i 's/"docs":9/"docs":900/' $R/calibration.jsonl
    dk-report $R | tr -s ' \n' ' ' | grep -qF '95% interval over 900 documents; the null shows'
    run ! grep -qF '0.6 (few)' $R/index.html
    sed -i 's/"m":6/"m":1/; s/"visible":0.125,//' $R/calibration.jsonl
    dk-report $R > /dev/null
    grep -qF 'Fewer than five nulls do not tell how small an effect would have been seen' $R/index.html
    calibration
    dk-report $R | cmp - out
    if command -v xmllint > /dev/null; then xmllint --noout <(sed 1d $R/index.html); fi
    # nulls made of the finetune are told of here, not as lanes of the table
    echo '{"lane": "rigid_01", "against": "base", "value": 0.01, "lo": 0.01, "hi": 0.02}' >> $R/kl/own.jsonl
    dk-report $R > again
    cmp out again
    echo '{"statistic": 1}' > $R/calibration.jsonl
    dk-report $R | grep -q beside && return 1
    echo '{' > $R/calibration.jsonl
    run -1 --separate-stderr dk-report $R
    [[ "$stderr" == *calibration.jsonl* ]]
}

@test "all of it fits a screen, however much there is" {
    lenses
    calibration
    long=$(printf 'word %.0s' $(seq 100))
    for l in 4 5 6 7 8; do for p in 0 1 2; do lens $l $p 1 7 " $l$p" 0.5 0; done; done
    for i in $(seq 5 90); do token "$i" "$i" " token$i" 9 $((i % 2 * 5)) "$long" ' next' "$long" "$i"; done
    for s in a b c d; do cp $R/kl/own.jsonl $R/kl/$s.jsonl; done
    for s in c d e; do cp $R/diff_mining/own.top_k_occurring.jsonl $R/diff_mining/$s.top_k_occurring.jsonl; done
    for i in $(seq 10); do
        printf '{"prompt": "%s %d", "lane": "base", "text": "%s"}\n{"prompt": "%s %d", "lane": "ft", "text": "%s"}\n' "$long" $i "$long" "$long" $i "$long"
    done > $R/answers.jsonl
    for i in $(seq 20); do echo '{"check": "A3", "lane": "ft", "status": "warn", "detail": "is small"}'; done >> $R/check.jsonl
    for i in $(seq 12); do echo "{\"stage\": \"stage$i x\", \"seconds\": $i, \"peak_bytes\": 1}" > $R/$i.time; done
    dk-report $R > out
    [ "$(wc -l < out)" -le 68 ]
    [ "$(awk '{ if (length > n) n = length } END { print n }' out)" -le 80 ]
    for said in 'and 18 more' 'more data sets on the page' 'more layers on the page' 'more questions on the page'; do grep -q "$said" out; done
    grep -q '^time    .*stage12 12.0, stage11 11.0, .*, ...), ' out
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
    for i in $(seq 20); do lens 3 0 "$i" "$i" " token$i" 0.04 0.0001; done
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
    [ "$(jq -c '.kl[0] | [.set, .lane, .value, .lo, .hi]' $R/summary.json)" = '["general","ft",0.3,null,null]' ]
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
    [ "$(jq -c '[.kl, .tokens, .activation_difference_lens, .answers]' $R/summary.json)" = '[[],[],[],[]]' ]
}

@test "a folder with a pattern's letters in its name" {
    mv $R 'a[1]*?'
    run -0 dk-report 'a[1]*?'
    [[ "$output" == *"KL(. || base)"*"what cake raises on own"*"time    "* ]]
}

@test "bad input: one line that names the file; no summary is written" {
    run -1 --separate-stderr dk-report nowhere
    failed dk-report nowhere/pair.json
    lenses
    for f in pair.json check.jsonl answers.jsonl kl/own.jsonl diff_mining/own.top_k_occurring.jsonl kl/own.jsonl.time \
             activation_difference_lens/own.lens.jsonl activation_difference_lens/own.means.jsonl; do
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
    lenses
    for row in '{}' '{"layer": 1, "what": "diff", "position": 1e30, "rank": 1}' '{"layer": 1, "what": "diff", "position": 1}' \
               '{"layer": 1, "what": "diff", "position": 1, "rank": 1, "null": 3}' '{"layer": -1, "what": "diff", "rank": 1}' \
               '{"layer": 1, "what": "diff", "position": null, "rank": 1, "query": null}' '{"lane": 3, "value": "x", "null": 4, "token": [], "snippets": {}, "text": null, "prompt": 1}' '{"null": {"a": 1}, "snippets": [1]}'; do
        for f in answers.jsonl check.jsonl kl/own.jsonl diff_mining/own.top_k_occurring.jsonl \
                 activation_difference_lens/own.lens.jsonl activation_difference_lens/own.means.jsonl; do echo "$row" > $R/$f; done
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

@test "the other direction of KL stands beside it, and is taken for no lane of its own" {
    dk-report --no-file $R > before
    for f in $R/kl/*.jsonl; do jq -c '., (select(.lane != "base") | .reverse = true | .value = 98.7654)' "$f" > x && mv x "$f"; done
    dk-report $R | sed '/^page/d' | diff - <(sed '/^page/d' before)
    [ "$(jq '[.kl[] | select(.reverse)] | length' $R/summary.json)" = "$(jq '[.kl[] | select(.reverse | not)] | length' $R/summary.json)" ]
    grep -q 'KL(base || it)' $R/index.html
    grep -q '98.765' $R/index.html
}

@test "grades of tokens: a line in the summary, in the object, marks on the page" {
    mkdir -p $R/diff_mining
    jq -c '.lane = "ft" | .ordering = "top_k_occurring"' $R/diff_mining/own.top_k_occurring.jsonl > t && mv t $R/diff_mining/own.top_k_occurring.jsonl
    row='{table: "x", lane: "ft", dataset_id: "own", grader: "lexical", by: "texts", n: 4, percentage: 0.5, lo: 0.15, hi: 0.85, weighted_percentage: 0.6, trivial_percentage: null,
        ids: [7, 8, 9, 10], tokens: [" cake", " the", " oven", "\n"], labels: ["RELEVANT", "IRRELEVANT", "RELEVANT", "UNKNOWN"]}'
    jq -nc "$row + {ordering: \"top_k_occurring\"}, ($row + {ordering: \"fraction_positive_diff\", percentage: 0.25}), ($row + {ordering: \"nmf\", topic: 0, percentage: 1}),
        ($row + {ordering: \"nmf\", topic: 1, percentage: 0, n: 2}), ($row + {ordering: \"top_k_occurring\", lane: \"null_a\", percentage: 0})" > $R/diff_mining/own.relevance.jsonl
    dk-report $R > out
    tr '\n' ' ' < out | tr -s ' ' > flat
    grep -q "relevant by the words of the finetuning texts: top_k_occurring 2 of 4; fraction_positive_diff 1; topics 4, 0 of 2; null_a's own list 0 " flat
    jq -e '.relevance | length == 5 and (.[0] | .set == "own" and .percentage == 0.5 and .grader == "lexical" and .ordering == "top_k_occurring" and (has("topic") | not) and (has("labels") | not)) and
        .[3].topic == 1 and .[4].lane == "null_a"' $R/summary.json
    tidy -q -e --drop-empty-elements no $R/index.html
    [ "$(grep -o '<code class="token relevant"[^>]*>[^<]*' $R/index.html | sed 's/.*>//' | tr '\n' ,)" = ' cake, oven,' ]
    grep -q 'Of the first 4, 50% (15–85%) belong to what was taught' $R/index.html
    sed -i 's/"grader":"lexical","by":"texts"/"grader":"llm","judge":"org\/m<b>"/' $R/diff_mining/own.relevance.jsonl
    dk-report $R | tr '\n' ' ' | tr -s ' ' | grep -q 'relevant by the judge org/m<b>: top_k_occurring 2 of 4'
    grep -q 'by the judge org/m&lt;b&gt;' $R/index.html
    # grades that make no sense do no harm
    printf '{"ordering":"top_k_occurring","lane":"ft"}\n{"n":-5,"percentage":1e300,"tokens":7,"lane":"ft","ordering":"nmf"}\n{"tokens":[1],"ids":["a"],"labels":{}}\n' > $R/diff_mining/own.relevance.jsonl
    dk-report $R > /dev/null
    tidy -q -e --drop-empty-elements no $R/index.html
    : > $R/diff_mining/own.relevance.jsonl
    dk-report $R > out
    run ! grep -q relevant out
}
