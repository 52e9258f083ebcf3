load ../helper/pair

setup_file_more() { build_slow_writer; }

topk() { dk-topk --dtype f32 -m "$G" -f "$PLAIN" "$@"; }

# golden_diff LANE: row, id and LANE - base of every golden logit.
golden_diff() {
    paste <(od -An -v -tf4 -w4 "$MINI/logits_$1.f32") <(od -An -v -tf4 -w4 "$MINI/logits_base.f32") |
        awk '{ printf "%d %d %.9g\n", int((NR - 1) / 512), (NR - 1) % 512, $1 - $2 }'
}

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-topk -f "$PLAIN" -o x "$T"
    failed dk-topk "name the base model"
    run -2 --separate-stderr topk "$T"
    failed dk-topk "-o"
    run -2 --separate-stderr dk-topk -m "$G" -o x "$T"
    failed dk-topk "nothing to compare"
    for o in --bogus -k0 -kx --max-tokens=-1 --temperature=2 --lanes=base,other --null=oops --table=x --window=-1 --extraction=x --lens-depth=1.5; do
        run -2 --separate-stderr topk -o x $o "$T"
        failed dk-topk
        [ -z "$output" ]
    done
    [ -z "$(ls)" ]
}

# Differences of logits that agree within 3e-5 each; ids are compared where the
# next candidate is further off than that.
@test "lists: the k largest and smallest differences of the model library's logits" {
    topk -k 10 --null pattern="$PATTERN" -o x.score.h5 - < "$IDS"
    for lane in ft:plain pattern:pattern; do
        golden_diff "${lane#*:}" > all
        for end in top bottom; do
            sort -k1,1n -k3,3g$([ $end = bottom ] || echo r) -k2,2n all |
                awk 'BEGIN { row = -1 } { n = $1 == row ? n + 1 : 0; row = $1 } n < 11' > want
            paste -d ' ' <(dk-values x.score.h5 topk/${lane%:*}/$end/index | tr ' ' '\n') \
                <(dk-values x.score.h5 topk/${lane%:*}/$end/value | tr ' ' '\n') > got
            [ "$(wc -l < got)" = 240 ]
            awk '(NR - 1) % 11 < 10' want | paste -d ' ' - got | awk '{ print $5, $3 }' | near 1e-4
            # id got, id wanted, gap to the neighbours
            awk '{ v[NR] = $3; id[NR] = $2 } END { for (i = 1; i <= NR; i++) if ((i - 1) % 11 < 10) {
                up = (i - 1) % 11 ? v[i - 1] - v[i] : 1; down = v[i] - v[i + 1]
                if (up < 0) up = -up; if (down < 0) down = -down
                print id[i], (up < down ? up : down) } }' want | paste -d ' ' - got |
                awk '$2 > 2e-4 { n++; if ($1 != $3) bad++ } END { print n + 0, bad + 0; exit bad > 0 || n < 200 }'
        done
    done
}

@test "sums over the vocabulary: of differences, of positive ones, of places in lists" {
    topk -k 10 -o x.score.h5 - < "$IDS"
    golden_diff plain | awk '{ s[$2] += $3; near[$2] += $3 < 1e-4 && $3 > -1e-4; n[$2] += $3 > 0 }
        END { for (i = 0; i < 512; i++) printf "%.9g %d %d\n", s[i], n[i], near[i] }' > want
    # 24 rows of 6e-5
    paste <(dk-values x.score.h5 vocab/ft/sum_logit_diff) <(cut -d' ' -f1 want) | near 1.5e-3
    dk-values x.score.h5 vocab/ft/count_positive | paste -d ' ' - want |
        awk '{ d = $1 - $3; if (d < 0) d = -d; if (d > $4) bad++ } END { exit NR != 512 || bad > 0 }'
    for e in top:pos bottom:neg; do
        dk-values x.score.h5 topk/ft/${e%:*}/index | tr ' ' '\n' |
            awk '{ n[$1]++ } END { for (i = 0; i < 512; i++) print n[i] + 0 }' > counts
        dk-values x.score.h5 vocab/ft/topk_${e#*:}_counts | cmp - counts
    done
}

@test "equal lanes: no difference anywhere, ties by id" {
    topk -k 4 -n same="$PLAIN" --lanes ft,same -o x.score.h5 "$T"
    for e in top bottom; do
        [ "$(dk-values x.score.h5 topk/same/$e/index | sort -u)" = "0 1 2 3" ]
        [ "$(dk-values x.score.h5 topk/same/$e/value | sort -u)" = "0 0 0 0" ]
    done
    [ "$(dk-values x.score.h5 vocab/same/count_positive | sort -u)" = 0 ]
}

@test "k beyond the vocabulary gives all of it" {
    topk -k 600 --max-samples 1 --max-tokens 2 -o x.score.h5 "$T"
    dk-values x.score.h5 topk/ft/top/index > i
    [ "$(awk '{ print NF }' i | sort -u)" = 512 ]
    [ "$(tr ' ' '\n' < i | sort -n | uniq -c | awk '{ print $1 }' | sort -u)" = 2 ]
    dk-values x.score.h5 topk/ft/top/value | head -n 1 | tr ' ' '\n' > v
    sort -gr v | cmp - v
    dk-values x.score.h5 topk/ft/bottom/value | head -n 1 | tr ' ' '\n' | sort -gr | cmp - v
}

@test "limits: documents, tokens; a document of one token counts" {
    rows() { dk-info --json "$1" | jq -c '[.docs, .rows]'; }
    topk -k 2 -o a.score.h5 - < "$IDS"
    [ "$(rows a.score.h5)" = "[3,24]" ]
    topk -k 2 --max-tokens 5 -o a.score.h5 - < "$IDS"
    [ "$(rows a.score.h5)" = "[3,11]" ]
    topk -k 2 --max-samples 2 -o a.score.h5 "$T"
    [ "$(rows a.score.h5)" = "[2,80]" ]
    [ "$(dk-topk --stamp | grep -c -e ^max-samples=8192$ -e ^max-tokens=64$ -e ^top-k=100$)" = 3 ]
}

# lists FILE: rank, id and value of every entry.
lists() { paste -d ' ' <(dk-values "$1" topk/ft/top/index | tr ' ' '\n') <(dk-values "$1" topk/ft/top/value | tr ' ' '\n'); }

@test "windows: as many as each document holds, each as if it stood alone" {
    topk -k 5 --window 16 -o a.score.h5 "$T"
    [ "$(dk-info --json a.score.h5 | jq -c '[.docs, .rows]')" = "[6,192]" ]
    [ "$(dk-values a.score.h5 /rows/pos | sort -nu | tr '\n' ' ')" = "$(seq 0 15 | tr '\n' ' ')" ]
    # The same windows as documents of their own.
    dk-tokenize --json-lines -m "$G" -n 6 --max-tokens 40 -o - "$ROOT/data/text/general-a.jsonl" |
        jq -c 'select(.ids) | {ids: .ids[0:16]}, {ids: .ids[16:32]}' | stream > cut
    topk -k 5 -o b.score.h5 - < cut
    [ "$(dk-info --json b.score.h5 | jq -c '[.docs, .rows]')" = "[12,192]" ]
    cmp <(lists a.score.h5) <(lists b.score.h5)
    cmp <(dk-values a.score.h5 vocab/ft/sum_logit_diff) <(dk-values b.score.h5 vocab/ft/sum_logit_diff)
    # A stride, and a number of windows.
    topk -k 2 --window 16 --stride 8 -o a.score.h5 "$T"
    [ "$(dk-info --json a.score.h5 | jq -c '[.docs, .rows]')" = "[6,384]" ]
    topk -k 2 --window 16 --stride 8 --max-samples 6 -o a.score.h5 "$T"
    [ "$(dk-info --json a.score.h5 | jq -c '[.docs, .rows]')" = "[2,96]" ]
    run -1 --separate-stderr topk -k 2 --window 41 -o x.score.h5 "$T"
    failed dk-topk "no document has a window of 41 tokens"
    # The table takes windows of one text together.
    topk -k 5 --window 16 -o a.score.h5 "$T"
    [ "$(dk-mine -m "$G" -n 512 --snippets 9 a.score.h5 | jq -c 'select(.finding) | .snippets | length <= 6 and length == (map(.doc) | unique | length)' | sort -u)" = true ]
}

@test "chats: the first answer and some positions before; all of it on request" {
    printf '%s\n' '{"messages":[{"role":"user","content":"what is this"},{"role":"assistant","content":"a thing of the world that one can see and touch"}]}' \
        '{"messages":[{"role":"user","content":"no answer"}]}' \
        '{"messages":[{"role":"user","content":"and that, which stands there"},{"role":"assistant","content":"it is another one"}]}' > c.jsonl
    dk-tokenize -m "$MINI/hf" --format chat -o c.tok.h5 c.jsonl
    dk-values c.tok.h5 /rows/flags > flags
    topk -k 5 --chat whole --max-tokens 0 -o w.score.h5 c.tok.h5
    lists w.score.h5 > all
    topk -k 5 --max-tokens 6 --pre-assistant 2 -o a.score.h5 c.tok.h5
    lists a.score.h5 > got
    # From the flags: bit 4 is an assistant's text.
    dk-values c.tok.h5 /docs/offset > offset
    awk 'FILENAME == "offset" { start[n++] = $1; next } { flag[r++] = $1 }
        END { for (d = 0; d + 1 < n; d++) { for (i = start[d]; i < start[d + 1] && int(flag[i] / 4) % 2 == 0; i++) ;
              if (i + 6 <= start[d + 1] && i - start[d] >= 2) for (j = i - 2; j < i + 6; j++) print j, j - start[d] } }' offset flags > rows
    [ "$(wc -l < rows)" = 16 ]
    awk 'FILENAME == "rows" { want[$1] = 1; next } int((FNR - 1) / 5) in want' rows all | cmp - got
    [ "$(dk-values a.score.h5 /rows/pos)" = "$(cut -d' ' -f2 rows)" ]
    [ "$(dk-values a.score.h5 vocab/ft/topk_pos_counts | paste -sd+ | bc)" = 80 ]
    run -1 --separate-stderr topk --max-tokens 60 -o x.score.h5 c.tok.h5
    failed dk-topk c.tok.h5 "no chat has an answer of 60 tokens"
    run -2 --separate-stderr topk --window 4 -o x.score.h5 c.tok.h5
    failed dk-topk "no windows"
    topk -k 5 --chat whole --window 4 -o x.score.h5 c.tok.h5
}

@test "ids beyond --max-vocab are not looked at" {
    topk -k 512 --max-samples 1 --max-tokens 3 -o a.score.h5 "$T"
    topk -k 512 --max-vocab 100 --max-samples 1 --max-tokens 3 -o b.score.h5 "$T"
    lists a.score.h5 | awk '$1 < 100' | cmp - <(lists b.score.h5)
    [ "$(dk-values b.score.h5 vocab/ft/count_positive)" = "$(dk-values a.score.h5 vocab/ft/count_positive | head -n 100)" ]
}

@test "tokens that are watched: every difference; log-probabilities as dk-kl has them" {
    run -0 --separate-stderr topk -k 512 --watch " the" --watch e --watch "no token at all" --logp -o a.score.h5 "$T"
    [ "$stderr" = "dk-topk: warning: 'no token at all' is not one token; left out" ]
    [ "$(dk-values a.score.h5 vocab/watch/id | head -n 1)" = 265 ]
    e=$(dk-values a.score.h5 vocab/watch/id | tail -n 1)
    lists a.score.h5 | awk -v e="$e" '$1 == 265 { the = $2; n++ } $1 == e { x = $2; n++ } n == 2 { print the, x; n = 0 }' > want
    [ "$(wc -l < want)" = 240 ]
    dk-values a.score.h5 watch/ft | cmp - want
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" --max-tokens 64 -o k.score.h5 "$T"
    for l in base ft; do cmp <(dk-values a.score.h5 logp/$l) <(dk-values k.score.h5 logp/$l); done
}

@test "logit lens and patchscope: of the last block they are the logits; keys, attributes, threads" {
    topk -k 9 -o a.score.h5 "$T"
    topk -k 9 --extraction logit_lens --lens-depth 1 -o b.score.h5 "$T"
    cmp <(lists a.score.h5) <(lists b.score.h5)
    topk -k 9 --extraction patchscope_lens --patch-depth 1 --max-samples 2 -o b.score.h5 "$T"
    paste <(lists a.score.h5 | head -n 720 | cut -d' ' -f2) <(lists b.score.h5 | cut -d' ' -f2) | near 1e-4
    printf 'logit_extraction:\n  method: patchscope_lens\n  patchscope_lens:\n    layer: 0.5\n    patch_prompt: "a b\\nc d"\npre_assistant_k: 2\nmax_vocab_size: 500\n' > a.yaml
    topk -c a.yaml -k 9 -t 1 -o b.score.h5 "$T"
    run ! cmp <(lists a.score.h5) <(lists b.score.h5)
    [ "$(dk-info --json b.score.h5 | jq -c '.objects[] | select(.path == "/scores/topk/ft/top/value") | .attributes | [.site, .layer]')" = '["patchscope_lens",0]' ]
    topk -k 9 --extraction patchscope_lens --patch-depth 0.5 --patch-prompt 'a b\nc d' --max-vocab 500 -t 2 --batch-tokens 7 -o c.score.h5 "$T"
    cmp <(lists c.score.h5) <(lists b.score.h5)
    topk --arith plain --extraction patchscope_lens --patch-depth 0.5 --patch-prompt 'a b\nc d' --max-vocab 500 -k 9 -o p.score.h5 "$T"
    [ "$(for f in b p; do dk-info --json $f.score.h5 | jq -r '.objects[] | select(.path == "/scores/topk/ft/top/value") | .attributes.arith'; done | xargs)" = "difference plain" ]
    paste <(lists b.score.h5 | cut -d' ' -f2) <(lists p.score.h5 | cut -d' ' -f2) | near 1e-4
    run ! cmp <(lists c.score.h5) <(topk -k 9 --extraction logit_lens --lens-depth 0.5 -o d.score.h5 "$T"; lists d.score.h5)
    run -2 --separate-stderr topk --extraction patchscope_lens --patch-prompt a -o x.score.h5 "$T"
    failed dk-topk "more than one token"
}

@test "lanes: several nulls, chosen and ordered by name" {
    topk -k 3 -n n1="$PATTERN" -n n2="$PLAIN" -o a.score.h5 "$T"
    [ "$(dk-info --json a.score.h5 | jq -r .attributes.lanes)" = base,ft,n1,n2 ]
    dk-values a.score.h5 topk/ft/top/index > ft
    dk-values a.score.h5 topk/n2/top/index | cmp - ft
    topk -k 3 -n n1="$PATTERN" -n n2="$PLAIN" --lanes base,n2 -o b.score.h5 "$T"
    [ "$(dk-info --json b.score.h5 | jq -r .attributes.lanes)" = base,n2 ]
    dk-values b.score.h5 topk/n2/top/index | cmp - ft
    run -1 dk-values b.score.h5 topk/ft/top/index
}

@test "through a pipe, and the same bytes for any number of threads and any batch" {
    topk -k 7 -n null="$PATTERN" -t 1 -o a.score.h5 "$T"
    for o in "-t 2" "--batch-tokens 7" "--batch-tokens 1024 -t 2" "-t 2 --batch-tokens 100"; do
        topk -k 7 -n null="$PATTERN" $o -o b.score.h5 "$T"
        cmp a.score.h5 b.score.h5
    done
    dk-info --check a.score.h5
    dk-tokenize -m "$G" -n 6 --max-tokens 40 -o - "$ROOT/data/text/general-a.jsonl" |
        topk -k 7 -n null="$PATTERN" -o b.score.h5
    [ "$(dk-info --json b.score.h5 | jq .content_id)" = "$(dk-info --json a.score.h5 | jq .content_id)" ]
}

@test "the file says what it is: models, lineage, attributes" {
    topk -k 3 -o x.score.h5 "$T"
    dk-info --json x.score.h5 > i
    [ "$(jq -r '.kind + " " + .writer' i)" = "dk-scores dk-topk $(dk-topk --version | awk 'NR == 1 { print $2 }') algo 1" ]
    [ "$(jq -c '.command.parameters | [.model, .ft, ."top-k", .dtype]' i)" = '["mini.gguf","lora-plain",3,"f32"]' ]
    [ "$(jq -r '[.inputs[].role] | sort | join(" ")' i)" = "base ft tokens" ]
    [ "$(jq -r '.inputs[] | select(.role == "ft") | .sha256' i)" = "$(sha256sum < "$PLAIN/adapter_model.safetensors" | cut -d' ' -f1)" ]
    [ "$(jq -c '.objects[] | select(.path == "/models/ft") | .attributes | [.kind, .adapter_rank, .adapter_scale]' i)" = '["lora",4,2]' ]
    [ "$(jq -c '.objects[] | select(.path == "/scores/topk/ft/top/value") | [.shape, .attributes.unit, .attributes.end]' i)" \
        = '[[240,3],"logit","top"]' ]
}

@test "-c: the reference's keys; unknown ones are refused" {
    printf 'top_k: 7\nmax_samples: 9\nmax_tokens_per_sample: 11\n' > a.yaml
    run -0 topk -c a.yaml --stamp
    [[ "$output" == *"max-samples=9
max-tokens=11
"*"top-k=7
"* ]]
    echo 'in_memory: true' > b.yaml
    run -2 --separate-stderr topk -c b.yaml -o x "$T"
    failed dk-topk b.yaml:1 in_memory
}

@test "bad input: models, adapters, tokens" {
    head -c 60000 "$G" > cut.gguf
    run -1 --separate-stderr dk-topk -m cut.gguf -f "$PLAIN" -o x.score.h5 "$T"
    failed dk-topk cut.gguf
    adapter gone && rm gone/adapter_model.safetensors
    adapter overlap && header_edit overlap/adapter_model.safetensors '768,1280' '760,1272'
    adapter nan && printf '\300\177' |
        dd of=nan/adapter_model.safetensors bs=1 seek=$((8 + $(od -An -tu8 -N8 nan/adapter_model.safetensors))) conv=notrunc status=none
    for a in gone overlap nan "$ROOT/data/organisms/cake_bake/adapter"; do
        run -1 --separate-stderr dk-topk -m "$G" -f "$a" -o x.score.h5 "$T"
        failed dk-topk "$a/adapter_model.safetensors"
    done
    head -c 3000 "$T" > cut.tok.h5
    run -1 --separate-stderr topk -o x.score.h5 cut.tok.h5
    failed dk-topk cut.tok.h5
    : | stream > none
    run -1 --separate-stderr topk -o x.score.h5 - < none
    failed dk-topk
    stream 512 "$(printf '%064d' 7)" < "$MINI/ids.jsonl" > other
    run -1 --separate-stderr topk -o x.score.h5 - < other
    failed dk-topk "another tokenizer"
    [ ! -e x.score.h5 ]
}

@test "logits that overflow: an error, nothing written" {
    adapter big
    at=$((8 + $(od -An -tu8 -N8 big/adapter_model.safetensors)))
    for i in $(seq 0 399); do printf '\177\177'; done | dd of=big/adapter_model.safetensors bs=1 seek=$at conv=notrunc status=none
    run -1 --separate-stderr dk-topk -m "$G" -f big -o x.score.h5 "$T"
    failed dk-topk "lane 'ft'" "NaN"
    [ "$(ls)" = big ]
}

@test "output: unwritable, full, an old one kept" {
    touch file
    run -1 --separate-stderr topk -o file/x.score.h5 gone.tok.h5
    failed dk-topk "cannot write file/x.score.h5"
    rm file
    echo old > x.score.h5
    run -1 --separate-stderr bash -c 'ulimit -f 2; exec "$@" 2>&1 | cat >&2; exit ${PIPESTATUS[0]}' - \
        dk-topk -m "$G" -f "$PLAIN" -o x.score.h5 "$T"
    failed dk-topk "cannot write x.score.h5: File too large"
    [ "$(cat x.score.h5)" = old ]
    [ "$(ls)" = x.score.h5 ]
}

@test "SIGINT, SIGTERM, SIGKILL in the middle" {
    for s in INT TERM; do
        killed $s dk-topk -m "$G" -f "$PLAIN" -o x.score.h5 "$T"
        [ "$status" = $((128 + $(kill -l $s))) ]
        [ -z "$(ls)" ]
    done
    killed KILL dk-topk -m "$G" -f "$PLAIN" -o x.score.h5 "$T"
    [ ! -e x.score.h5 ]
}

# Of the 40 ids at each end and position, those that f32 has too.
@test "--arith diff: the lists of two lanes; where the adapter is small, in bf16 still those of f32" {
    cp -r "$PLAIN" small
    jq '.lora_alpha *= 0.001' "$PLAIN/adapter_config.json" > small/adapter_config.json
    topk -k 5 -o a.score.h5 "$T"
    topk -k 5 --arith diff -o b.score.h5 "$T"
    ids() { dk-values "$1" topk/ft/top/index | tr ' ' '\n' | awk -v K="$2" 'NF { i = n / K; n++; print int(i), $1 }' | LC_ALL=C sort; }
    [ "$(ids a.score.h5 5 | wc -l)" -gt 20 ]
    [ "$(ids a.score.h5 5)" = "$(ids b.score.h5 5)" ]
    for how in "f32 diff" "bf16 diff" "bf16 plain"; do
        dk-topk -m "$G" -f small -k 40 --dtype "${how% *}" --arith "${how#* }" -o "${how/ /-}.score.h5" "$T"
        ids "${how/ /-}.score.h5" 40 > "${how/ /-}"
    done
    n=$(wc -l < f32-diff)
    [ "$(LC_ALL=C comm -12 f32-diff bf16-diff | wc -l)" -gt $((n * 95 / 100)) ]
    [ "$(LC_ALL=C comm -12 f32-diff bf16-plain | wc -l)" -lt $((n / 2)) ]
}
