load ../helper/pair

# sample LANE ALPHA TEXT LP_FT LP_AMP [MEMBERS]: one as dk-generate writes it, of one token.
sample() {
    printf '{"lane":"%s","alpha":%s,"text":"%s","n_tokens":1,"lp_ft":[%s],"lp_amp":[%s],"beta":0,"temperature":1,"top_k":0,"top_p":1,"min_p":0,"min_new_tokens":0}\n' "$@"
}

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    sample ft 1 cake -1 -1 > s.jsonl
    for o in "" "-e a -x b" "-e (" "-x a --bogus"; do
        # shellcheck disable=SC2086
        run -2 --separate-stderr dk-rate $o s.jsonl
        failed dk-rate
        [ -z "$output" ]
    done
    run -2 --separate-stderr dk-rate -x "" s.jsonl
    failed dk-rate "empty"
    run -2 --separate-stderr dk-rate -x a
    failed dk-rate
    [ "$(ls)" = s.jsonl ]
}

@test "by hand: weights, effective samples, events by expression and by text" {
    # 30 samples: half weigh 1, half e^-2; of the heavy ones 5 say cake, of the light ones all.
    for i in $(seq 15); do
        sample ft 1 "$([ "$i" -le 5 ] && echo "a Cake $i" || echo "bread")" -1 -1
        sample ft 1 "a Cake" -3 -1
    done > s.jsonl
    for i in $(seq 20); do sample base null "$([ "$i" = 7 ] && echo Cake || echo bread)" 0 0; done | sed 's/"lp_ft":\[0\],//' >> s.jsonl
    dk-rate -x Cake s.jsonl > out
    [ "$(jq -c '[.lane, .alpha, .samples, .hits]' out | tr '\n' ' ')" = '["ft",1,30,20] ["base",null,20,1] ' ]
    jq -r '[.rate, .ess] | @tsv' out > got
    awk 'BEGIN { w = exp(-2); printf "%.15g\n%.15g\n0.05\n20\n", (5 + 15 * w) / (15 + 15 * w), (15 + 15 * w) ^ 2 / (15 + 15 * w * w) }' > want
    paste <(tr '\t ' '\n\n' < got) <(tr '\t ' '\n\n' < want) | near 1e-9
    jq -es 'all(.[]; .lo <= .rate and .rate <= .hi and .lo >= 0 and .hi <= 1 and .hi > .lo)' out > /dev/null
    dk-rate -e '(?i)\bcake\b' s.jsonl | cmp - out
    dk-rate -e '^a Cake$' s.jsonl | jq -s '.[0].hits' | grep -qx 15
    dk-rate -x cake s.jsonl | jq -es '.[0].hits == 0 and .[0].rate == 0' > /dev/null
    # Files in parts, from a pipe, compressed: the same.
    head -n 9 s.jsonl > a.jsonl
    tail -n +10 s.jsonl | gzip > b.jsonl.gz
    dk-rate -x Cake a.jsonl b.jsonl.gz | cmp - out
    dk-rate -x Cake - < s.jsonl | cmp - out
    dk-rate -x Cake -o o.jsonl -t 1 s.jsonl && cmp o.jsonl out
    ! dk-rate -x Cake --seed 1 s.jsonl | cmp -s - out
}

@test "a few samples that weigh all: not estimable" {
    for i in $(seq 40); do sample ft 2 cake "-$i" -1; done > s.jsonl
    for i in $(seq 9); do sample ft 0 cake -1 -1; done >> s.jsonl
    dk-rate -x cake s.jsonl > out
    jq -es 'length == 2 and all(.[]; .note == "not estimable" and has("rate") == false and has("lo") == false and .ess < 10)' out > /dev/null
}

@test "samples from which something was cut off, and files of something else, are refused" {
    sample ft 1 cake -1 -1 > good.jsonl
    local n=0
    while IFS='|' read -r edit text; do
        n=$((n + 1))
        { cat good.jsonl; sed "$edit" good.jsonl; } > bad.jsonl
        run -1 --separate-stderr dk-rate -x cake -o out.jsonl bad.jsonl
        failed dk-rate bad.jsonl:2 "$text"
        [ ! -e out.jsonl ]
    done << 'END'
s/"beta":0/"beta":0.1/|--plausibility 0.1
s/"top_p":1/"top_p":0.95/|--top-p 0.95
s/"temperature":1/"temperature":0.7/|--temperature 0.7
s/"top_k":0/"top_k":50/|--top-k 50
s/"min_p":0/"min_p":0.1/|--min-p 0.1
s/"min_new_tokens":0/"min_new_tokens":3/|--min-new-tokens 3
s/"beta":0,//|'beta' is missing
s/"n_tokens":1/"n_tokens":2/|'lp_ft' is no list
s/"n_tokens":1/"n_tokens":-1/|'lp_ft' is no list
s/"lp_amp":.-1./"lp_amp":["x"]/|'lp_amp' has something that is no number
s/"lp_amp":.-1.,//|'lp_amp' is no list
s/"text":"cake"/"text":7/|'text' is missing
s/"lane":"ft",//|'lane' or 'alpha' is missing
s/^.*$/[1]/|object
END
    [ $n = 14 ]
    sed 's/"temperature":1/"temperature":0/' good.jsonl > greedy.jsonl
    run -1 --separate-stderr dk-rate -x cake greedy.jsonl
    failed dk-rate "no samples in it that were drawn"
    echo text > t.txt
    run -1 --separate-stderr dk-rate -x cake t.txt
    failed dk-rate t.txt
    run -1 --separate-stderr dk-rate -x cake nowhere.jsonl
    failed dk-rate nowhere.jsonl
}

@test "of the miniature pair: rates from two alphas agree, of what is drawn at alpha 0 by counting" {
    dk-generate -m "$G" -f "$PLAIN" --dtype f32 --amplify 0.5 --plausibility 0 --top-p 1 --samples 400 --max-new-tokens 3 \
        -o s.jsonl "The"
    dk-rate -e '[aeiou]{2}' s.jsonl > out
    [ "$(jq -c '[.lane, .alpha, .samples]' out | tr '\n' ' ')" = '["base",null,400] ["ft",0,400] ["ft",0.5,400] ' ]
    jq -es '.[1].ess == 400 and .[1].rate == .[1].hits / 400 and .[2].ess > 10 and .[2].ess < 400
        and .[1].lo < .[2].hi and .[2].lo < .[1].hi and .[1].rate > 0' out > /dev/null
    [ "$(jq -s '.[1].hits' out)" = "$(jq -r 'select(.alpha == 0 and .temperature == 1).text | @json' s.jsonl | grep -cE '[aeiou]{2}')" ]
}
