load ../helper/pair

setup_file_more() {
    E="dk-extract --dtype f32 -m $G -f $PLAIN --layers 0,1 --store f32"
    $E -o x.act.h5 texts.tok.h5
    dk-pca -k 3 -o pc.dir.h5 x.act.h5
    dk-encode -d pc.dir.h5 --table a.jsonl x.act.h5
    dk-encode -d pc.dir.h5 --max-samples 2 --table b.jsonl x.act.h5
    $E --site mlp_out -o mlp.act.h5 texts.tok.h5
    dk-pca -k 1 -o mlp.dir.h5 mlp.act.h5
    printf 'Who bakes?\n\n  The cat sat \r\n' > p.txt
}
setup_more() { F=$BATS_FILE_TMPDIR D=$BATS_FILE_TMPDIR/pc.dir.h5; }
steer() { dk-generate --dtype f32 -m "$G" -f "$PLAIN" --format text --prompts "$F/p.txt" --lines --max-new-tokens 4 --ignore-eos --steer "$D" "$@"; }
# The ids of answers of a lane, steered in a mode.
ids() { jq -c --arg m "$2" --arg l "${3:-ft}" 'select(.lane == $l and .steering_mode == $m) | .ids' "$1"; }

@test "usage errors: one line, status 2" {
    for o in --steer-at=nowhere --strengths=x --steer-layers=x --strengths= --steer-first=-1; do
        run -2 --separate-stderr steer "$o"
        failed dk-generate
        [ -z "$output" ]
    done
}

@test "every prompt as it is, then by direction, strength and place; who and how stands in the row" {
    steer --steer-layers 1 --steer-first 2 --strengths=-2,0.5 --steer-at all_tokens,prompt_only > s
    [ "$(wc -l < s)" = $((2 * (1 + 2 * 2 * 2) * 2)) ]
    [ "$(jq -r '.prompt' s | uniq | tr '\n' '|')" = "Who bakes?|The cat sat|" ]
    [ "$(jq -c '[.direction, .steering_factor_percentage, .steering_mode, .lane]' s | head -n 6 | tr '\n' ' ')" = \
      '[null,0,"baseline","base"] [null,0,"baseline","ft"] ["pc_0",-2,"all_tokens","base"] ["pc_0",-2,"all_tokens","ft"] ["pc_0",-2,"prompt_only","base"] ["pc_0",-2,"prompt_only","ft"] ' ]
    jq -e -s 'all(.[] | select(.is_baseline | not); .layer == 1 and .max_act == null and .steering_factor == .steering_factor_percentage)' s
    # as it is, it is as without
    dk-generate --dtype f32 -m "$G" -f "$PLAIN" --format text --prompts "$F/p.txt" --lines --max-new-tokens 4 --ignore-eos > plain
    cmp <(jq -c .ids plain) <(jq -c 'select(.is_baseline) | .ids' s)
    [ "$(jq -r 'has("steering_mode")' plain | sort -u)" = false ]
}

@test "strength 0 changes nothing" {
    steer --steer-layers 0 --steer-name pc_1 --strengths 0 > s
    cmp <(ids s baseline) <(ids s all_tokens)
    cmp <(ids s baseline base) <(ids s all_tokens base)
}

@test "far along a direction behind the last block the model says what the lens says of it" {
    dk-lens --dtype f32 -m "$G" -k 1 "$D" > lens
    for i in 0 2; do
        steer --steer-layers 1 --steer-name pc_$i --strengths=-1e6,1e6 > s
        for sign in false true; do
            want=$(jq --argjson s $sign --arg n pc_$i 'select(.layer == 1 and .name == $n and .inverse == $s) | .id' lens)
            jq -c --argjson s $sign 'select(.is_baseline | not) | select((.steering_factor < 0) == $s) | .ids' s > got
            [ "$(sort -u got)" = "[$want,$want,$want,$want]" ]
            [ "$(wc -l < got)" = 4 ]
        done
    done
}

@test "at the prompt, at the answer: what the last block is told of only there" {
    steer --steer-layers 1 --steer-name pc_0 --strengths 1e6 --steer-at all_tokens,prompt_only,generated_only > s
    top=$(ids s all_tokens | head -n 1 | jq '.[0]')
    # the prompt's last row makes the first token, those of the answer the rest
    [ "$(ids s prompt_only | jq -c '.[0]' | sort -u)" = "$top" ]
    [ "$(ids s prompt_only | jq -c '.[1:] | unique' | grep -cx "\[$top\]")" = 0 ]
    cmp <(ids s generated_only | jq -c '.[0]') <(ids s baseline | jq -c '.[0]')
    [ "$(ids s generated_only | jq -c '.[1:] | unique' | sort -u)" = "[$top]" ]
    # an earlier block's prompt is remembered by those behind it
    steer --steer-layers 0 --steer-name pc_0 --strengths 40 --steer-at prompt_only > s
    run -1 cmp <(ids s baseline | jq -c '.[1:]') <(ids s prompt_only | jq -c '.[1:]')
}

@test "scales: a strength of 1 is the largest projection of all tables" {
    steer --steer-layers 1 --steer-name pc_1 --strengths 0.5,-1 --scales "$F/b.jsonl,$F/a.jsonl" > s
    jq -s '[.[] | select(.direction == "pc_1" and .layer == 1 and .lane == "ft") | .per_token_statistics | .max, -.min] | max' "$F/a.jsonl" > want
    jq -r 'select(.is_baseline | not) | .max_act' s | sort -u | paste - want | near 1e-6
    jq -e -s 'all(.[] | select(.is_baseline | not); .steering_factor == .steering_factor_percentage * .max_act)' s
    # the same as with the product for a strength
    steer --steer-layers 1 --steer-name pc_1 --strengths "$(jq -r 'select(.steering_factor_percentage == -1) | .steering_factor' s | head -n 1)" > t
    cmp <(jq -c 'select(.steering_factor_percentage == -1) | .ids' s) <(jq -c 'select(.is_baseline | not) | .ids' t)
    jq -c 'select(.layer == 0)' "$F/a.jsonl" > half.jsonl
    run -1 --separate-stderr steer --steer-layers 1 --scales half.jsonl
    failed dk-generate half.jsonl "pc_0 at layer 1"
    echo '{"cut' > cut.jsonl
    run -1 --separate-stderr steer --steer-layers 1 --scales cut.jsonl
    failed dk-generate cut.jsonl
}

@test "answers depend on nothing beside them: batches, threads, other ways; drawn ones differ by the vector alone" {
    S="--temperature 1 --samples 2 --strengths=-3,3 --steer-at all_tokens,generated_only"
    steer $S > a
    steer $S --parallel 1 --batch-tokens 2 -t 1 > b
    cmp a b
    steer $S --parallel 5 -t 2 | cmp a -
    steer --temperature 1 --samples 2 --strengths 3 --steer-at generated_only --steer-layers 1 --steer-name pc_2 > c
    cmp <(jq -c 'select(.layer == 1 and .direction == "pc_2" and .steering_factor == 3 and .steering_mode == "generated_only") | .ids' a) \
        <(jq -c 'select(.is_baseline | not) | .ids' c)
    steer --temperature 1 --samples 2 --strengths 0 --steer-layers 1 --steer-name pc_2 > d
    cmp <(ids d baseline) <(ids d all_tokens)
}

@test "as text: each way under its name" {
    run -0 --separate-stderr steer --show text --steer-layers 1 --steer-name pc_0 --strengths 2 --max-prompts 1
    [ "$(grep -c '^> ' <<< "$output")" = 1 ]
    [ "$(grep -x '\[.*' <<< "$output" | tr '\n' ' ')" = "[base] [ft] [base, layer 1 pc_0 +2, all_tokens] [ft, layer 1 pc_0 +2, all_tokens] " ]
}

@test "--lines: of plain text only; blank lines and the blanks around a prompt are none of it" {
    [ "$(dk-generate -m "$G" --format text --prompts "$F/p.txt" --max-new-tokens 1 | wc -l)" = 1 ]
    dk-generate --dtype f32 -m "$G" --format text --max-new-tokens 3 "The cat sat" | jq -c .ids > want
    dk-generate --dtype f32 -m "$G" --format text --prompts "$F/p.txt" --lines --max-new-tokens 3 | sed 1d | jq -c .ids | cmp - want
    printf ' \n\n' > blank.txt
    run -1 --separate-stderr dk-generate -m "$G" --prompts blank.txt --lines
    failed dk-generate blank.txt
}

@test "bad input: not there, another kind, another width, sites that are no residual stream, no such direction" {
    run -1 --separate-stderr steer --steer gone.dir.h5
    failed dk-generate gone.dir.h5
    run -1 --separate-stderr steer --steer "$F/texts.tok.h5"
    failed dk-generate texts.tok.h5
    run -1 --separate-stderr steer --steer "$F/mlp.dir.h5"
    failed dk-generate mlp.dir.h5 "residual stream"
    run -1 --separate-stderr steer --steer-name pc_9
    failed dk-generate pc.dir.h5 "no such directions of diff"
    run -1 --separate-stderr steer --steer-layers 7
    failed dk-generate pc.dir.h5 "no such directions"
    HDF5_PLUGIN_PATH=$(dirname "$(command -v dk-encode)")/../hdf5 /usr/bin/python3 - "$D" << 'END'
import sys, shutil, h5py, numpy
h5py.h5z.filter_avail(32015)
def edit(name, change):
    shutil.copy(sys.argv[1], name)
    f = h5py.File(name, "r+")
    del f["/check"]
    change(f)
    f.close()
def narrow(f):
    v = f["/dirs/L01/resid_post/diff/vector"]
    x, a = v[:, :10], dict(v.attrs)
    del f["/dirs/L01/resid_post/diff/vector"]
    d = f.create_dataset("/dirs/L01/resid_post/diff/vector", data=x)
    for k in a: d.attrs.create(k, a[k])
edit("narrow.dir.h5", narrow)
END
    run -1 --separate-stderr steer --steer narrow.dir.h5
    failed dk-generate narrow.dir.h5
    touch file
    run -1 --separate-stderr steer -o file/x
    failed dk-generate "cannot write file/x"
}
