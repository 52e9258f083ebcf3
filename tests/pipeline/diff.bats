# Any pair by its paths, with the real tools on a miniature model.
load ../helper/mini

setup_more() { pair_here; }
compare() { dk-diff -t 1 base mine/adapter --text t.jsonl -o r "$@"; }
front() { make --no-print-directory -f "$ROOT/pipelines/front.mk" DK="$bin" THREADS=1 "$@"; }

@test "two paths, a null and a text: the summary; then nothing; then one option" {
    run -0 --separate-stderr compare --null other/adapter
    [ "${lines[0]}" = "mine on base, products in auto" ]
    [[ "${lines[1]}" == "adapter 14 modules, rank 4, "* ]]
    [[ "$output" == *"  other "* ]]
    [[ "$output" == *"what mine raises on t, and the null does not"* ]]
    for f in check.jsonl pair.json summary.txt summary.json index.html tokens/t.tok.h5 kl/t.score.h5 kl/t.jsonl \
             diff_mining/t.top_k_occurring.jsonl activation_difference_lens/t.act.h5 \
             activation_difference_lens/t.dir.h5 activation_difference_lens/t.means.jsonl \
             activation_difference_lens/t.lens.jsonl; do
        [ -s r/$f ]
    done
    for m in kl/t diff_mining/t.top_k_occurring activation_difference_lens/t.means activation_difference_lens/t.lens; do
        jq -es 'length > 0' r/$m.jsonl
    done
    [ "$(jq -r .lane r/kl/t.jsonl | tr '\n' ' ')" = "ft other " ]
    # 5 positions and the whole of two layers, of base, ft, diff and the null
    [ "$(jq -s 'map(select(.what == "diff")) | length' r/activation_difference_lens/t.means.jsonl)" = 12 ]
    [ "$(compare --null other/adapter 2> /dev/null)" = "$(cat r/summary.txt)" ]
    [ -z "$(did compare --null other/adapter)" ]
    [ "$(did compare --null other/adapter -k 7)" = "calibrate t kl t lens t mine t summary mine " ]
    [ "$(did compare --null other/adapter -k 7 --positions 3)" = "calibrate t lens t mean t summary mine " ]
    [ "$(did compare --null other/adapter -k 7 --positions 3 --layers 0,1)" = "calibrate t extract t lens t mean t summary mine " ]
    echo '{"text": "and a third one that is here"}' >> t.jsonl
    [ "$(did compare --null other/adapter -k 7 --positions 3 --layers 0,1)" = \
      "calibrate t extract t kl t lens t mean t mine t summary mine tokens t " ]
}

@test "nulls of the finetune, made and run beside it: of an adapter, of full weights" {
    run -0 compare --methods kl --nulls 2
    [ "$(jq -r .lane r/kl/t.jsonl | tr '\n' ' ')" = "ft rigid_01 rigid_02 " ]
    [ "$(jq -c 'select(.statistic == "mean") | .null.values | keys' r/calibration.jsonl)" = '["rigid_01","rigid_02"]' ]
    jq -es 'map(select(.statistic == "mean")) | length == 1 and .[0].verdict != "not calibrated"' r/calibration.jsonl
    [ -z "$(did compare --methods kl --nulls 2)" ]
    [ "$(did compare --methods kl)" = "calibrate t kl t summary mine " ]
    jq -es 'map(select(.verdict != "not calibrated")) | length == 0' r/calibration.jsonl
    run -0 dk-diff -t 1 base full --text t.jsonl -o f --methods kl --nulls 1
    [ -s f/nulls/rigid_01/model.safetensors ]
    [ "$(jq -r .lane f/kl/t.jsonl | tr '\n' ' ')" = "ft rigid_01 " ]
    jq -es 'map(select(.lane == "rigid_01" and .value > 0)) | length == 1' f/kl/t.jsonl
    [ -z "$(did dk-diff -t 1 base full --text t.jsonl -o f --methods kl --nulls 1)" ]
}

@test "one method, answers on request, a plan" {
    printf '{"id": "q", "prompt": "hello"}\n' > p.jsonl
    run -0 --separate-stderr compare --methods kl --prompts p.jsonl --plan
    [[ "$output" == *"r/kl/t.score.h5"* && "$output" != *topk* && "$output" != *extract* ]]
    [ ! -e r ]
    run -0 --separate-stderr compare --methods kl --prompts p.jsonl
    [[ "$output" == *'asked "hello"'* ]]
    [ ! -e r/diff_mining ]
    [ ! -e r/activation_difference_lens ]
}

@test "both measures come from one pass, and are what each gives alone" {
    compare
    [ ! -e r/diff_mining/t.topk.score.h5 ]
    dk-diff -t 1 base mine/adapter --text t.jsonl -o k --methods kl
    dk-diff -t 1 base mine/adapter --text t.jsonl -o d --methods diff_mining
    [ -e d/diff_mining/t.topk.score.h5 ]
    cmp r/kl/t.jsonl k/kl/t.jsonl
    cmp r/diff_mining/t.top_k_occurring.jsonl d/diff_mining/t.top_k_occurring.jsonl
}

@test "make diff is the same" {
    run -0 front BASE=base FT=mine/adapter TEXT=t.jsonl OUT=m diff
    compare
    cmp m/kl/t.jsonl r/kl/t.jsonl
    cmp m/diff_mining/t.top_k_occurring.jsonl r/diff_mining/t.top_k_occurring.jsonl
    cmp m/activation_difference_lens/t.lens.jsonl r/activation_difference_lens/t.lens.jsonl
}

@test "make's variables do not come from the environment" {
    TEXT=nowhere METHODS=none NULL=nobody PROMPTS=nothing OUT=elsewhere LAYERS=9 compare --methods kl
    [ -s r/kl/t.jsonl ]
    [ ! -e elsewhere ]
}

# --- full weights ---
@test "full weights: all methods, and a full null beside an adapter" {
    run -0 --separate-stderr dk-diff -t 1 base full --text t.jsonl -o f
    [ "${lines[0]}" = "full on base, products in auto" ]
    [ "${lines[1]}" = "full weights: 20 of 21 tensors are equal" ]
    [ "$(jq .identical f/summary.json)" = false ]
    [ "$(jq -c 'select(.check == "A8") | [.lane, .status]' f/check.jsonl)" = '["ft","pass"]' ]
    jq -e 'select(.lane == "ft") | .value > 0' f/kl/t.jsonl
    [ -s f/activation_difference_lens/t.lens.jsonl ]
    [ -z "$(did dk-diff -t 1 base full --text t.jsonl -o f)" ]
    run -0 dk-diff -t 1 base mine/adapter --null full --text t.jsonl -o n --methods kl
    [ "$(jq -r .lane n/kl/t.jsonl | tr '\n' ' ')" = "ft full " ]
    [ "$(jq -r 'select(.lane == "full" and .status == "fail")' n/check.jsonl)" = "" ]
}

@test "full weights of other sizes stop at the check, with one sentence of it" {
    cp -rL full odd
    sed -i 's/"rms_norm_eps": [0-9e.-]*/"rms_norm_eps": 0.1/' odd/config.json
    run -2 --separate-stderr dk-diff -t 1 base odd --text t.jsonl -o f
    [ "$(grep -c '^dk-check: error: ' <<< "$stderr")" = 1 ]
    [[ "$stderr" == *"differ in norm epsilon"* ]]
    [ ! -e f/kl ]
}

@test "the base as its own finetune is identical: said, and nothing else is run" {
    run -0 --separate-stderr dk-diff -t 1 base ./base --text t.jsonl -o f
    [[ "$stderr" == *"lane ft: identical: all 21 tensors are equal"* ]]
    [ "${lines[1]}" = "identical: all 21 tensors are equal to the base's" ]
    grep -q "Identical: all 21 tensors are equal to the base's" <(sed 's/&#39;/'"'"'/g' f/index.html)
    [ "$(jq .identical f/summary.json)" = true ]
    [ -s f/index.html ]
    [ ! -e f/kl ]
    [ "$(cd f && ls -d */ 2> /dev/null)" = "" ]
    [ -z "$(did dk-diff -t 1 base ./base --text t.jsonl -o f)" ]
    run -0 dk-diff -t 1 base ./base --text t.jsonl -o f --plan
    [ "$output" = "nothing to do" ]
}

@test "a finetune that becomes its base takes its results with it, and they come back" {
    cp -rL full ft
    dk-diff -t 1 base ft --text t.jsonl -o f --methods kl
    sleep 0.02
    cp base/model.safetensors ft
    run -0 dk-diff -t 1 base ft --text t.jsonl -o f --methods kl
    [[ "$output" == *identical* && "$output" != *nats/token* ]]
    [ ! -e f/kl/t.jsonl ]
    sleep 0.02
    cp full/model.safetensors ft
    run -0 dk-diff -t 1 base ft --text t.jsonl -o f --methods kl
    [[ "$output" == *nats/token* && "$output" != *identical* ]]
}

@test "another type of storage is a warning in the summary" {
    run -0 --separate-stderr dk-diff -t 1 base "$ROOT/tests/golden/mini/hf" --text t.jsonl -o f --methods kl
    [[ "$output" == *"warning A8 (ft): "*"stored as BF16, the base as F32: part of the difference is rounding"* ]]
}

# --- texts ---
@test "texts shorter than the positions, chats that are cut before an answer" {
    printf '{"text": "hi"}\n' > s.jsonl
    printf '{"messages": [{"role": "user", "content": "%s"}, {"role": "assistant", "content": "far"}]}\n' \
        "$(printf 'the cat sat on the mat %.0s' {1..20})" > c.jsonl
    run -0 --separate-stderr dk-diff -t 1 base mine/adapter --text s.jsonl -o r
    [[ "$stderr" == *"dk-mean: warning: "*"no document has 5 positions: the first 2 are taken"* ]]
    [ "$(jq -s 'map(select(.what == "diff" and .layer == 0).position)' -c r/activation_difference_lens/s.means.jsonl)" = "[0,1,null]" ]
    run -0 --separate-stderr dk-diff -t 1 base mine/adapter --text c.jsonl -o r
    [[ "$stderr" == *"no chat reaches an answer: positions count from its start"* ]]
    [ "$(jq -s 'map(select(.what == "diff" and .layer == 0).position)' -c r/activation_difference_lens/c.means.jsonl)" = "[0,1,2,3,4,null]" ]
}

@test "standard input is kept under the name of its content" {
    stdin() { dk-diff -t 1 base mine/adapter --text - -o r --methods kl; }
    stdin < t.jsonl
    [ "$(jq -r .lane r/kl/stdin.jsonl)" = ft ]
    kept=$(echo r/text/*)
    cmp t.jsonl "$kept"
    [[ "$kept" == r/text/stdin-$(sha256sum < t.jsonl | cut -c 1-16) ]]
    [ -z "$(did stdin < t.jsonl)" ]
    compare --methods kl
    [ "$(jq -c '[.value, .lo, .hi]' r/kl/t.jsonl)" = "$(jq -c '[.value, .lo, .hi]' r/kl/stdin.jsonl)" ]
    echo '{"text": "and a third one that is here"}' >> t.jsonl
    [ "$(did stdin < t.jsonl)" = "calibrate stdin kl stdin summary mine tokens stdin " ]
    head -n 2 t.jsonl > two
    [ "$(did stdin < two)" = "calibrate stdin kl stdin summary mine tokens stdin " ]
    run -0 front BASE=base FT=mine/adapter TEXT=- OUT=m METHODS=kl diff < two
    cmp m/kl/stdin.jsonl r/kl/stdin.jsonl
    run -2 --separate-stderr dk-diff base mine/adapter --text - -o p --plan < two
    [[ "$stderr" == *"a plan needs a file"* ]]
    [ ! -e p ]
}

@test "chats, a column of one's own, plain text, compressed, all from a file and a pipe" {
    printf '{"messages": [{"role": "user", "content": "hello there"}, {"role": "assistant", "content": "the moon is far away"}]}\n' > c.jsonl
    printf '{"body": "the cat sat on the mat and looked at the moon"}\n' > b.jsonl
    printf 'the cat sat on the mat and looked at the moon' > p.txt
    gzip -k b.jsonl
    zstd -q p.txt
    one() { dk-diff -t 1 base mine/adapter -o r --methods kl "$@" > /dev/null 2> err; }
    one --text c.jsonl --max-tokens 200
    one --text b.jsonl --column body
    one --text b.jsonl.gz --column body -o gz
    one --text p.txt
    one --text p.txt.zst -o zst
    for s in c b p; do jq -e '.value > 0' r/kl/$s.jsonl; done
    cmp gz/kl/b.jsonl r/kl/b.jsonl
    cmp zst/kl/p.jsonl r/kl/p.jsonl
    for f in b.jsonl.gz b.jsonl; do
        one --text - --column body -o s < $f
        [ "$(jq .value s/kl/stdin.jsonl)" = "$(jq .value r/kl/b.jsonl)" ]
    done
    for f in p.txt.zst p.txt; do
        one --text - -o s < $f
        [ "$(jq .value s/kl/stdin.jsonl)" = "$(jq .value r/kl/p.jsonl)" ]
    done
    run -2 dk-diff -t 1 base mine/adapter -o r --methods kl --text b.jsonl
    [[ "$output" == *"no column 'text'; there are: body"* ]]
}

@test "misuse says what is missing" {
    run -2 dk-diff base
    run -2 dk-diff "a b" mine
    run -2 dk-diff 'a$(b)' mine
    run -2 --separate-stderr compare --methods nmf
    [[ "$stderr" == *"there is no method nmf"* ]]
    [ ! -e r ]
    run -2 --separate-stderr dk-diff nowhere mine/adapter -o r
    [[ "$stderr" == *nowhere* ]]
    run -2 front FT=x diff
    [[ "$output" == *"BASE is missing"* ]]
    touch file
    run -2 --separate-stderr compare -o file
    [[ "$stderr" == *"dk: error: cannot write file"* ]]
}
