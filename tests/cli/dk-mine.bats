load ../helper/pair

setup_file_more() {
    build_slow_writer
    dk-topk --dtype f32 -k 10 -m "$G" -f "$PLAIN" -n n1="$PATTERN" -n n2="$PLAIN" -o s.score.h5 texts.tok.h5
}

setup_more() {
    T=$BATS_FILE_TMPDIR/texts.tok.h5
    S=$BATS_FILE_TMPDIR/s.score.h5
}

mine() { dk-mine -m "$G" "$@"; }

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-mine "$S"
    failed dk-mine "name the model"
    run -2 --separate-stderr mine
    failed dk-mine "argument is missing"
    run -2 --separate-stderr mine "$S" "$S"
    failed dk-mine "too many"
    for o in --bogus -n0 --ordering=nmf --snippets=-1 --context=x; do
        run -2 --separate-stderr mine "$o" -o x.jsonl "$S"
        failed dk-mine
    done
    [ -z "$(ls)" ]
}

@test "top_k_occurring: ranked by how often a token is in a list, then by id" {
    mine -n 512 --snippets 0 "$S" > x.jsonl
    paste -d ' ' <(seq 0 511) <(dk-values "$S" vocab/ft/topk_pos_counts) <(dk-values "$S" vocab/ft/topk_neg_counts) \
        <(dk-values "$S" vocab/ft/sum_logit_diff) | sort -k2,2nr -k1,1n > want
    jq -r '"\(.id) \(.count_positive) \(.count_negative)"' x.jsonl | cmp - <(cut -d' ' -f1-3 want)
    paste <(jq .value x.jsonl) <(awk '{ print $2 / 240 * 100 }' want) | near 1e-5
    paste <(jq .avg_logit_diff x.jsonl) <(awk '{ printf "%.9g\n", $4 / 240 }' want) | near 1e-5
    [ "$(jq -c '[.ordering, .lane, .dataset_id, .positions]' x.jsonl | sort -u)" = '["top_k_occurring","ft","general-a",240]' ]
    [ "$(jq .rank x.jsonl)" = "$(seq 512)" ]
}

@test "rates: their intervals and sign-flip test over documents" {
    mine -n 40 --snippets 0 "$S" > x.jsonl
    for end in top bottom; do
        dk-values "$S" topk/ft/$end/index > $end
    done
    id=$(jq -s '.[3].id' x.jsonl)
    # six documents of 40 rows
    awk -v id="$id" '{ for (i = 1; i <= NF; i++) if ($i == id) c[int((NR - 1) / 40)]++ }
        END { for (d = 0; d < 6; d++) { x += c[d]; xx += c[d] ^ 2; xn += 40 * c[d] } n = 240; nn = 6 * 1600; r = x / n
              se = sqrt(6 / 5 * (xx - 2 * r * xn + r * r * nn)) / n; lo = r - 1.959963985 * se; hi = r + 1.959963985 * se
              printf "%.9g\n%.9g\n", 100 * (lo > 0 ? lo : 0), 100 * (hi < 1 ? hi : 1) }' top > want
    jq -s '.[3] | .lo, .hi' x.jsonl | paste - want | near 1e-6
    jq -es 'all(.lo <= .value + 1e-4 and .value <= .hi + 1e-4 and .p_any >= .01 and .p_any <= 1)' x.jsonl
    mine -t 1 -n 40 --snippets 0 "$S" | cmp - x.jsonl
    mine -n 5 --snippets 0 --ordering fraction_positive_diff "$S" | jq -es 'all(has("p_any") | not)'
}

@test "fraction_positive_diff: ranked by how often a token rises" {
    mine -n 512 --snippets 0 --ordering fraction_positive_diff "$S" > x.jsonl
    paste -d ' ' <(seq 0 511) <(dk-values "$S" vocab/ft/count_positive) | sort -k2,2nr -k1,1n > want
    jq -r '"\(.id) \(.count_positive)"' x.jsonl | cmp - want
    paste <(jq .value x.jsonl) <(awk '{ print $2 / 240 }' want) | near 1e-5
    [ "$(jq '.count_positive + .count_negative' x.jsonl | sort -u)" = 240 ]
    [ "$(jq -r .ordering x.jsonl | sort -u)" = fraction_positive_diff ]
}

@test "nulls stand beside each token; any lane can be the one" {
    mine -n 20 --snippets 0 "$S" > ft.jsonl
    mine -n 512 --snippets 0 -l n1 "$S" > n1.jsonl
    mine -n 20 --snippets 0 -l n2 "$S" > n2.jsonl
    [ "$(jq -c '.null | keys' ft.jsonl | sort -u)" = '["n1","n2"]' ]
    [ "$(jq -c '.null | keys' n1.jsonl | sort -u)" = '["ft","n2"]' ]
    # n2 has the finetune's weights.
    [ "$(jq -c '[.value, .avg_logit_diff] == [.null.n2.value, .null.n2.avg_logit_diff]' ft.jsonl | sort -u)" = true ]
    [ "$(jq -c '[.id, .value]' n2.jsonl)" = "$(jq -c '[.id, .value]' ft.jsonl)" ]
    jq -c '[.id, .null.n1.value, .null.n1.avg_logit_diff]' ft.jsonl | sort > a
    jq -c '[.id, .value, .avg_logit_diff]' n1.jsonl | sort > b
    [ -z "$(comm -23 a b)" ]
}

@test "tokens: text and spelling" {
    mine -n 512 --snippets 0 "$S" > x.jsonl
    [ "$(jq -c 'select(.id == 265) | [.token, .piece]' x.jsonl)" = '[" the","Ġthe"]' ]
    [ "$(jq -c 'select(.id == 2) | [.token, .piece]' x.jsonl)" = '["<|im_end|>","<|im_end|>"]' ]
}

@test "snippets: where the token rises most, one a document, the text around it" {
    mine -n 12 --snippets 3 --context 4 "$S" > x.jsonl
    [ "$(jq '.snippets | length' x.jsonl | sort -n | tail -n 1)" = 3 ]
    [ "$(jq '.snippets | length == (map(.doc) | unique | length)' x.jsonl | sort -u)" = true ]
    [ "$(jq '[.snippets[].diff] | . == (sort | reverse)' x.jsonl | sort -u)" = true ]
    # Against the lists themselves: best place in each document, its last row left out.
    id=$(head -n 1 x.jsonl | jq .id)
    paste -d ' ' <(dk-values "$S" topk/ft/top/index | tr ' ' '\n') <(dk-values "$S" topk/ft/top/value | tr ' ' '\n') |
        awk -v id="$id" '{ r = int((NR - 1) / 10); d = int(r / 40) }
            $1 == id && r % 40 < 39 && $2 > best[d] { best[d] = $2; at[d] = r % 40 }
            END { for (d in best) print d, at[d], best[d] }' | sort -k3,3gr | head -n 3 > want
    head -n 1 x.jsonl | jq -r '.snippets[] | "\(.doc) \(.pos)"' | cmp - <(cut -d' ' -f1,2 want)
    # The text is that of the tokens: 4 before and at the place, the next, 4 after.
    read -r doc pos _ < want
    line=$(dk-tokenize --json-lines -m "$G" -n 6 --max-tokens 40 -o - "$ROOT/data/text/general-a.jsonl" | sed -n "$((doc + 2))p")
    text=$(sed -n "$((doc + 1))p" "$ROOT/data/text/general-a.jsonl" | jq -r .text)
    part=$(head -n 1 x.jsonl | jq -r '.snippets[0] | .before + .next + .after')
    [[ "$text" == *"$part"* ]]
    [ "$(jq '.ids | length' <<< "$line")" = 40 ]
    mine -n 3 --snippets 1 --context 0 "$S" > y.jsonl
    [ "$(jq -r '.snippets[] | .before + "/" + .after' y.jsonl | sort -u)" = / ]
    [ "$(mine -n 3 --snippets 0 "$S" | jq 'has("snippets")' | sort -u)" = false ]
}

@test "stdout, -o and -o - give the same bytes, for any number of threads" {
    mine "$S" > a.jsonl
    mine -t 2 -o b.jsonl "$S"
    mine -o - "$S" > c.jsonl
    cmp a.jsonl b.jsonl
    cmp a.jsonl c.jsonl
    [ "$(wc -l < a.jsonl)" = 100 ]
    dk-mine -m "$MINI/hf" "$S" | cmp - a.jsonl
    [ "$(mine -n 100000 "$S" | wc -l)" = 512 ]
}

@test "the lists that dk-kl -k leaves give the same table" {
    dk-kl --dtype f32 -k 10 -m "$G" -f "$PLAIN" -n n1="$PATTERN" -n n2="$PLAIN" -o k.score.h5 "$T"
    mine "$S" > a.jsonl
    mine k.score.h5 | cmp - a.jsonl
}

@test "a reader that stops early is no error line" {
    run -0 --separate-stderr bash -c 'dk-mine -m "$1" "$2" | head -n 1' - "$G" "$S"
    [ "${#lines[@]}" = 1 ]
    [ -z "$stderr" ]
}

@test "--stamp and -c: the reference's key" {
    run -0 mine --stamp
    [ "$(tail -n +2 <<< "$output" | cut -d= -f1 | tr '\n' ' ')" = "model ordering lane num-tokens snippets context seed " ]
    printf 'visualization:\n  num_tokens_to_plot: 5\n' > a.yaml
    [ "$(mine -c a.yaml "$S" | wc -l)" = 5 ]
    printf 'visualization:\n  colour: 5\n' > a.yaml
    run -2 --separate-stderr mine -c a.yaml "$S"
    failed dk-mine a.yaml:2 colour
}

@test "bad input: cut, empty, other kinds, other tokenizers, lanes that are not there" {
    head -c 9000 "$S" > cut.score.h5
    : > empty.score.h5
    cp "$T" tokens.score.h5
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -o nolists.score.h5 "$T"
    for f in cut empty tokens nolists gone; do
        run -1 --separate-stderr mine -o x.jsonl $f.score.h5
        failed dk-mine $f.score.h5
        [ -z "$output" ]
    done
    run -1 --separate-stderr mine -l nobody -o x.jsonl "$S"
    failed dk-mine "$S" "'nobody'"
    run -1 --separate-stderr dk-mine -m gone.gguf -o x.jsonl "$S"
    failed dk-mine gone.gguf
    head -c 2000 "$G" > cut.gguf
    run -1 --separate-stderr dk-mine -m cut.gguf -o x.jsonl "$S"
    failed dk-mine cut.gguf
    cp -r "$MINI/hf" hf
    sed -i 's/\["ic","h"\]/["i","ch"]/' hf/tokenizer.json
    run -1 --separate-stderr dk-mine -m hf -o x.jsonl "$S"
    failed dk-mine "another tokenizer" hf
    [ ! -e x.jsonl ]
}

@test "output: unwritable, full, closed, an old one kept" {
    echo old > x.jsonl
    run -1 --separate-stderr mine -o x.jsonl/y "$S"
    failed dk-mine "cannot write x.jsonl/y"
    run -1 --separate-stderr bash -c 'ulimit -f 2; exec "$@" 2>&1 | cat >&2; exit ${PIPESTATUS[0]}' - dk-mine -m "$G" -o x.jsonl "$S"
    failed dk-mine "cannot write x.jsonl: File too large"
    [ "$(cat x.jsonl)" = old ]
    [ "$(ls)" = x.jsonl ]
    run -1 --separate-stderr bash -c '"$@" >&-' - dk-mine -m "$G" "$S"
    failed dk-mine "cannot write standard output"
    [ -c /dev/full ] || skip "no /dev/full"
    run -1 --separate-stderr bash -c '"$@" > /dev/full' - dk-mine -m "$G" "$S"
    failed dk-mine "cannot write standard output: No space left"
}

@test "SIGINT, SIGTERM, SIGKILL in the middle" {
    for s in INT TERM; do
        killed $s dk-mine -m "$G" -o x.jsonl "$S"
        [ "$status" = $((128 + $(kill -l $s))) ]
        [ -z "$(ls)" ]
    done
    killed KILL dk-mine -m "$G" -o x.jsonl "$S"
    [ ! -e x.jsonl ]
}
