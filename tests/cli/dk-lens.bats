load ../helper/pair

# The second golden sequence alone: at position p the mean of the last layer is
# the residual stream there, and its lens the model's next-token distribution.
setup_file_more() {
    sed -n 2p "$MINI/ids.jsonl" | stream > one.stream
    n=$(sed -n 2p "$MINI/ids.jsonl" | jq '.ids | length')
    dk-extract --dtype f32 -m "$G" -f "$PLAIN" -n null="$PATTERN" --layers 1.0 --store f32 --what base,ft,diff -o one.act.h5 - < one.stream
    dk-mean -o one.dir.h5 one.act.h5
    echo "$n" > one.n
}
setup_more() {
    F=$BATS_FILE_TMPDIR T=$BATS_FILE_TMPDIR/texts.tok.h5
    D=$F/one.dir.h5
    n=$(cat "$F/one.n")
}
lens() { dk-lens --dtype f32 -m "$G" "$@"; }
# golden LANE: position, id, probability of its golden logits.
golden() {
    od -An -v -tf4 -w4 "$MINI/logits_$1.f32" | sed -n "513,$((512 * (n + 1)))p" | awk '{ p[k++] = $1 }
        k == 512 { m = p[0]; z = 0; for (i = 1; i < k; i++) if (p[i] > m) m = p[i]
                   for (i = 0; i < k; i++) z += exp(p[i] - m)
                   for (i = 0; i < k; i++) printf "%d %d %.9g\n", row, i, exp(p[i] - m) / z
                   row++; k = 0 }'
}

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-lens "$D"
    failed dk-lens "name the model"
    run -2 --separate-stderr lens
    failed dk-lens
    for o in --bogus -k-1 -kx --dtype=f16; do
        run -2 --separate-stderr lens "$o" "$D"
        failed dk-lens
        [ -z "$output" ]
    done
    [ -z "$(ls)" ]
}

@test "the lens of the last layer is the model's own next-token distribution" {
    lens -k 512 -o all.jsonl "$D"
    for lane in base:base ft:plain; do
        golden ${lane#*:} > want
        jq -r "select(.what == \"${lane%:*}\" and .position != null and (.inverse | not)) | [.position, .id, .value] | @tsv" all.jsonl |
            sort -k1,1n -k2,2n > got
        [ "$(wc -l < got)" = $((512 * n)) ]
        cut -f1,2 got | tr '\t' ' ' | cmp - <(cut -d' ' -f1,2 want)
        paste <(cut -f3 got) <(cut -d' ' -f3 want) | near 3e-5
    done
}

@test "lists: likeliest first, whole, with their texts" {
    lens -k 512 -o all.jsonl "$D"
    jq -r 'select(.what == "diff" and .position == 2 and .inverse) | [.rank, .value] | @tsv' all.jsonl > v
    cut -f1 v | cmp - <(seq 512)
    cut -f2 v | sort -gr | cmp - <(cut -f2 v)
    [ "$(cut -f2 v | awk '{ s += $1 } END { print (s > 0.999999 && s < 1.000001) }')" = 1 ]
    # entropy and kurtosis of the list, the same in each of its lines
    jq -es 'group_by([.layer, .what, .name, .inverse]) | length > 10 and all((map(.entropy) | unique | length) == 1 and (map(.kurtosis) | unique | length) == 1)' all.jsonl
    for i in true false; do
        jq -s --argjson i $i 'map(select(.what == "diff" and .position == 2 and .inverse == $i)) | (map(.value) | map(-. * log) | add) as $h
            | (map(.value | log)) as $l | ($l | add / length) as $m | ($l | map(. - $m | . * .) | add / length) as $v
            | ($l | map(. - $m | . * . * . * .) | add / length / $v / $v - 3) as $k | "\(.[0].entropy) \($h)", "\(.[0].kurtosis) \($k)"' -r all.jsonl
    done > pairs
    [ "$(wc -l < pairs)" = 4 ]
    near 1e-5 < pairs
    lens -k 5 "$D" | jq -c 'select(.name == "mean_all" and .what == "ft") | [.rank, .inverse]' | tr '\n' ' ' > got
    [ "$(cat got)" = "[1,false] [2,false] [3,false] [4,false] [5,false] [1,true] [2,true] [3,true] [4,true] [5,true] " ]
    # The inverse is the negated logits, so the order is the other way round.
    a=$(jq -r 'select(.what == "ft" and .position == 1 and (.inverse | not) and .rank == 512) | .id' all.jsonl)
    [ "$(jq -r 'select(.what == "ft" and .position == 1 and .inverse and .rank == 1) | .id' all.jsonl)" = "$a" ]
    [ "$(jq -c 'select(.what == "ft" and .position == 1 and .inverse and .rank == 1) | [.layer, .site, .dataset_id, .piece != "", .null]' all.jsonl)" = '[1,"resid_post","ids",true,{}]' ]
}

@test "the first directions of each lane, as in the whole list" {
    lens -k 3 "$D" | jq -c 'select(.position == 0 or .position == 1)' > want
    [ "$(wc -l < want)" -ge 48 ]
    lens -k 3 --first 2 "$D" | cmp - want
    lens -k 3 "$D" > want
    lens -k 3 --first 1000 "$D" | cmp - want
}

@test "query: rank and probability of one's own tokens, as in the whole list" {
    lens -k 512 -o all.jsonl "$D"
    lens -k 0 --query " the" --query "the cat" -o q.jsonl "$D"
    [ "$(jq -r .query q.jsonl | sort -u | tr '\n' '|')" = " the|the cat|" ]
    jq -c '[.what, .name, .inverse, .id, .rank, .value]' q.jsonl | sort -u > got
    jq -c '[.what, .name, .inverse, .id, .rank, .value]' all.jsonl | sort > every
    [ "$(wc -l < got)" -gt 100 ]
    [ -z "$(comm -23 got every)" ]
    dk-lens --dtype f32 -m "$G" -k 1 --query " the" "$D" | jq -c 'select(.what == "base" and .position == 0) | [.rank == 1, .query]' | tail -n 1 > last
    grep -q '," the"\]' last
}

@test "nulls stand beside the difference" {
    lens -k 512 -o all.jsonl "$D"
    jq -c 'select(.what == "diff") | [.name, .inverse, .id, .null.null.value, .null.null.rank]' all.jsonl | sort > beside
    jq -c 'select(.what == "diff.null") | [.name, .inverse, .id, .value, .rank]' all.jsonl | sort > alone
    [ "$(wc -l < alone)" = $((2 * 512 * (n + 1))) ]
    cmp beside alone
    [ "$(lens -k 1 --what base,diff "$D" | jq -r .what | sort -u | tr '\n' ' ')" = "base diff " ]
    run -1 --separate-stderr lens --what other "$D"
    failed dk-lens one.dir.h5 "other"
}

@test "bf16 rounds; threads change nothing" {
    lens -k 20 -t 1 -o a "$D"
    lens -k 20 -t 2 -o b "$D"
    cmp a b
    dk-lens --dtype bf16 -m "$G" -k 20 -o c "$D"
    ! cmp -s a c
    paste <(jq 'select(.rank == 1) | .value' a) <(jq 'select(.rank == 1) | .value' c) | near 5e-2
}

@test "bad input: directions, model, output" {
    head -c 3000 "$D" > cut.dir.h5
    run -1 --separate-stderr lens cut.dir.h5
    failed dk-lens cut.dir.h5
    run -1 --separate-stderr lens "$T"
    failed dk-lens texts.tok.h5
    head -c 60000 "$G" > cut.gguf
    run -1 --separate-stderr dk-lens -m cut.gguf "$D"
    failed dk-lens cut.gguf
    touch file
    run -1 --separate-stderr lens -o file/x "$D"
    failed dk-lens "cannot write file/x"
}
