load ../helper/pair

setup_file_more() { build_slow_writer; }

kl() { dk-kl --dtype f32 -m "$G" -f "$PLAIN" "$@"; }

# golden_kl LANE [TEMPERATURE]: KL(LANE || base) of every golden row.
golden_kl() {
    paste <(od -An -v -tf4 -w4 "$MINI/logits_$1.f32") <(od -An -v -tf4 -w4 "$MINI/logits_base.f32") | awk -v T="${2:-1}" '
        { p[n] = $1 / T; q[n++] = $2 / T }
        n == 512 {
            mp = p[0]; mq = q[0]; zp = zq = kl = 0
            for (i = 1; i < n; i++) { if (p[i] > mp) mp = p[i]; if (q[i] > mq) mq = q[i] }
            for (i = 0; i < n; i++) { zp += exp(p[i] - mp); zq += exp(q[i] - mq) }
            lp = mp + log(zp); lq = mq + log(zq)
            for (i = 0; i < n; i++) kl += exp(p[i] - lp) * ((p[i] - lp) - (q[i] - lq))
            printf "%.9g\n", kl
            n = 0
        }'
}

# golden_logp LANE: log-probability of the next golden id, nan where none is.
golden_logp() {
    paste <(od -An -v -tf4 -w4 "$MINI/logits_$1.f32") <(jq '.ids[1:][], -1' "$MINI/ids.jsonl" |
        awk '{ for (i = 0; i < 512; i++) print $1 }') | awk '
        { p[n++] = $1; id = $2 }
        n == 512 {
            m = p[0]; z = 0
            for (i = 1; i < n; i++) if (p[i] > m) m = p[i]
            for (i = 0; i < n; i++) z += exp(p[i] - m)
            if (id < 0) print "nan"; else printf "%.9g\n", p[id] - m - log(z)
            n = 0
        }'
}

@test "usage errors: one line, status 2, nothing on stdout, nothing written" {
    run -2 --separate-stderr dk-kl -f "$PLAIN" "$T"
    failed dk-kl "name the base model"
    run -2 --separate-stderr dk-kl -m "$G" "$T"
    failed dk-kl "nothing to compare"
    for o in --bogus --temperature=0 --temperature=x --max-tokens=-1 --dtype=f64 -k-1 --lanes=base,other \
             --lanes=ft,ft --lanes=base --null=oops --null=base="$PATTERN" --null=a/b="$PATTERN"; do
        run -2 --separate-stderr kl "$o" "$T"
        failed dk-kl
        [ -z "$output" ]
    done
    run -2 --separate-stderr kl "$T" "$T"
    failed dk-kl "too many arguments"
    run -2 --separate-stderr kl -o x --table x "$T"
    failed dk-kl "same name"
    [ -z "$(ls)" ]
}

# The logits agree within 3e-5, and KL to first order in that.  The sequence of
# one token is left out: KL needs documents of two.
@test "KL of every position is that of the model library's logits" {
    run -0 kl --null pattern="$PATTERN" -o x.score.h5 - < "$IDS"
    [ -z "$output" ]
    for lane in ft:plain pattern:pattern; do
        dk-values x.score.h5 "kl/${lane%:*}" > got
        [ "$(wc -l < got)" = 23 ]
        paste got <(golden_kl "${lane#*:}" | tail -n +2) | near 1e-4
    done
}

@test "temperature divides both logits, without a factor" {
    kl --temperature 2 -o x.score.h5 - < "$IDS"
    paste <(dk-values x.score.h5 kl/ft) <(golden_kl plain 2 | tail -n +2) | near 1e-4
}

@test "log-probabilities of the token that follows, none at the last" {
    kl --null pattern="$PATTERN" -o x.score.h5 - < "$IDS"
    for lane in base:base ft:plain pattern:pattern; do
        paste <(dk-values x.score.h5 "logp/${lane%:*}") <(golden_logp "${lane#*:}" | tail -n +2) > both
        [ "$(grep -c '^nan.nan$' both)" = 2 ]
        [ "$(grep -c nan both)" = 2 ]
        grep -v nan both | near 1e-4
    done
}

# Sums in another order: 1e-6.
@test "the table: statistics of what the score file holds" {
    kl -o x.score.h5 --table x.jsonl - < "$IDS"
    [ "$(wc -l < x.jsonl)" = 1 ]
    [ "$(jq -c '[.lane, .against, .unit, .dataset_id, .docs, .total_tokens_processed, .total_sequences_processed]' x.jsonl)" \
        = '["ft","base","nats","ids",2,23,2]' ]
    dk-values x.score.h5 kl/ft > v
    sort -g v | awk '{ x[NR] = $1; s += $1 } END { m = s / NR; for (i in x) q += (x[i] - m) ^ 2
        print m; print sqrt(q / (NR - 1)); print x[int((NR + 1) / 2)]; print x[1]; print x[NR]
        for (p = 1; p < 4; p++) { h = (NR - 1) * p / 4; i = int(h); print x[i + 1] + (h - i) * (x[i + 2] - x[i + 1]) } }' > want
    jq '.per_token_statistics | .mean, .std, .median, .min, .max, .percentile_25, .percentile_50, .percentile_75' x.jsonl > got
    paste got want | near 1e-5
    # Of two documents the median is the lower.
    { head -n 7 v | awk '{ s += $1 } END { print s / NR }'; tail -n 16 v | awk '{ s += $1 } END { print s / NR }'; } |
        sort -g > means
    jq '.mean_per_sample_statistics | .min, .max' x.jsonl | paste - means | near 1e-5
    [ "$(jq '.mean_per_sample_statistics | .median == .min' x.jsonl)" = true ]
    [ "$(jq '.value == .per_token_statistics.mean and .lo <= .value and .value <= .hi' x.jsonl)" = true ]
}

@test "the table by kind of token: ends of texts, special tokens, the template's, the assistant's" {
    dk-tokenize -m "$G" -n 5 --max-tokens 150 -o chat.tok.h5 "$ROOT/data/text/chat.jsonl"
    kl -o x.score.h5 --table x.jsonl chat.tok.h5
    dk-values x.score.h5 /docs/offset > offsets
    paste <(dk-values x.score.h5 /rows/flags) <(dk-values x.score.h5 kl/ft) | awk 'NR == FNR { start[$1] = 1; next }
        function add(g) { s[g] += $2; n[g]++ }
        { i = FNR - 1; if (i in start) add("first"); if (i + 1 in start) add("last")
          add($1 % 4 ? "special" : int($1 / 8) % 2 ? "template" : int($1 / 4) % 2 ? "assistant" : "text") }
        END { for (g in s) printf "%s %d %.9g\n", g, n[g], s[g] / n[g] }' offsets - | sort > want
    [ "$(cut -d' ' -f1 want | paste -sd' ')" = "assistant first last special template text" ]
    jq -r '.groups | to_entries[] | "\(.key) \(.value.tokens)"' x.jsonl | sort | diff <(cut -d' ' -f1,2 want) -
    jq -r '.groups | to_entries[] | "\(.key) \(.value.value)"' x.jsonl | sort | cut -d' ' -f2 | paste - <(cut -d' ' -f3 want) | near 1e-5
    jq -e 'all(.groups[]; .docs == 5 and .lo <= .value and .value <= .hi)' x.jsonl
    # roles part the tokens; of texts there is one kind, of one text no interval
    jq -e '.total_tokens_processed == (.groups | .special.tokens + .template.tokens + .assistant.tokens + .text.tokens)' x.jsonl
    run -0 kl --max-samples 1 "$T"
    [ "$(jq -c '.groups | keys' <<< "$output")" = '["first","last","text"]' ]
    [ "$(jq -c '.groups.text | [.docs, .lo, .hi]' <<< "$output")" = '[1,null,null]' ]
}

@test "one document has no interval and no deviation between documents" {
    run -0 kl --max-samples 1 "$T"
    [ "$(jq -c '[.docs, .lo, .hi, .mean_per_sample_statistics.std]' <<< "$output")" = '[1,null,null,null]' ]
}

@test "the table goes to stdout unless there is a score file, and equal seeds give equal bytes" {
    kl "$T" > a.jsonl
    kl --table b.jsonl "$T" > out
    kl --table - -o x.score.h5 "$T" > c.jsonl
    kl -o x.score.h5 "$T" >> out
    [ ! -s out ]
    cmp a.jsonl b.jsonl
    cmp a.jsonl c.jsonl
    kl --seed 7 "$T" > d.jsonl
    drawn='del(.lo, .hi, .logp_change.lo, .logp_change.hi, .logp_change.p_any, .groups[].lo, .groups[].hi)'
    [ "$(jq -c "$drawn" d.jsonl)" = "$(jq -c "$drawn" a.jsonl)" ]
    [ "$(jq .lo d.jsonl)" != "$(jq .lo a.jsonl)" ]
}

@test "the change of the log-probability: its mean over what has a next token, its test over documents" {
    kl -o x.score.h5 --table t.jsonl "$T"
    paste -d' ' <(dk-values x.score.h5 logp/ft) <(dk-values x.score.h5 logp/base) |
        awk '$1 != "nan" && $1 != "-nan" { s += $1 - $2; n++ } END { printf "%.9g %d\n", s / n, n }' > want
    [ "$(cut -d' ' -f2 want)" = 234 ]
    paste <(jq .logp_change.value t.jsonl) <(cut -d' ' -f1 want) | near 1e-6
    jq -e '.logp_change | .docs == 6 and .lo <= .value and .value <= .hi and .p_any >= .01 and .p_any <= 1' t.jsonl
    dk-kl --dtype f32 -m "$G" -f "$G" "$T" | jq -e '.logp_change | .value == 0 and .lo == 0 and .hi == 0 and .p_any == 1'
}

@test "lanes: several nulls, chosen and ordered by name, the first is compared against" {
    two=(-n n1="$PATTERN" -n n2="$PLAIN")
    run -0 kl "${two[@]}" "$T"
    [ "$(jq -r '.lane + "/" + .against' <<< "$output" | tr '\n' ' ')" = "ft/base n1/base n2/base " ]
    [ "$(jq .value <<< "${lines[2]}")" = "$(jq .value <<< "${lines[0]}")" ]
    all=$output
    [ "$(kl -n n1="$PATTERN",n2="$PLAIN" "$T")" = "$all" ]
    run -0 kl "${two[@]}" --lanes base,n2,ft "$T"
    [ "$(jq -r '.lane + "/" + .against' <<< "$output" | tr '\n' ' ')" = "n2/base ft/base " ]
    [ "${lines[1]}" = "$(head -n 1 <<< "$all")" ]
    run -0 kl "${two[@]}" --lanes n2,ft,base "$T"
    [ "$(jq -r '.lane + "/" + .against' <<< "$output" | tr '\n' ' ')" = "ft/n2 base/n2 " ]
    # The same weights: no divergence at all.
    [ "$(jq .per_token_statistics.max <<< "${lines[0]}")" = 0 ]
    kl "${two[@]}" --lanes base,n1 -o x.score.h5 "$T"
    [ "$(dk-info --json x.score.h5 | jq -r '.attributes.lanes')" = base,n1 ]
    run -0 dk-kl --dtype f32 -m "$G" -n n1="$PATTERN" "$T"
    [ "$(jq -r .lane <<< "$output")" = n1 ]
}

@test "checkpoint folder and GGUF give the same numbers" {
    dk-kl --dtype f32 -m "$MINI/hf" -f "$PLAIN" "$T" > a.jsonl
    kl "$T" > b.jsonl
    cmp a.jsonl b.jsonl
}

@test "bf16 products: near f32, and noted in the file" {
    kl "$T" > a.jsonl
    dk-kl --dtype bf16 -m "$G" -f "$PLAIN" -o x.score.h5 --table b.jsonl "$T"
    paste <(jq .value b.jsonl) <(jq .value a.jsonl) | near 0.02
    [ "$(dk-info --json x.score.h5 | jq -r '.objects[] | select(.path == "/scores/kl/ft") | .attributes.computed_in')" = bf16 ]
}

@test "through a pipe: the same table" {
    dk-tokenize -m "$G" -n 6 --max-tokens 40 -o - "$ROOT/data/text/general-a.jsonl" | kl - > a.jsonl
    dk-tokenize -m "$G" -n 6 --max-tokens 40 -o - "$ROOT/data/text/general-a.jsonl" | kl > b.jsonl
    kl "$T" > c.jsonl
    cmp a.jsonl b.jsonl
    cmp a.jsonl c.jsonl
}

@test "the same bytes for any number of threads and any batch" {
    kl -k 5 -n null="$PATTERN" -t 1 -o a.score.h5 --table a.jsonl "$T"
    for o in "-t 2" "--batch-tokens 7" "--batch-tokens 1024 -t 2" "-t 2 --batch-tokens 100"; do
        kl -k 5 -n null="$PATTERN" $o -o b.score.h5 --table b.jsonl "$T"
        cmp a.score.h5 b.score.h5
        cmp a.jsonl b.jsonl
    done
    dk-info --check a.score.h5
}

@test "-k gives the lists and sums of dk-topk" {
    kl -k 10 -n null="$PATTERN" -o a.score.h5 "$T"
    dk-topk --dtype f32 -k 10 -m "$G" -f "$PLAIN" -n null="$PATTERN" -o b.score.h5 "$T"
    for l in ft null; do
        for name in topk/$l/{top,bottom}/{index,value} vocab/$l/{sum_logit_diff,count_positive,topk_pos_counts,topk_neg_counts}; do
            dk-values a.score.h5 $name > a
            dk-values b.score.h5 $name > b
            [ -s a ]
            cmp a b
        done
    done
}

@test "limits: documents, then tokens, then those of one token go" {
    [ "$(kl --max-samples 2 "$T" | jq -c '[.docs, .total_tokens_processed]')" = '[2,80]' ]
    [ "$(kl --max-tokens 5 "$T" | jq -c '[.docs, .total_tokens_processed]')" = '[6,30]' ]
    [ "$(kl --max-samples 0 --max-tokens 0 "$T" | jq -c '[.docs, .total_tokens_processed]')" = '[6,240]' ]
    [ "$(kl --max-samples 2 - < "$IDS" | jq -c '[.docs, .total_tokens_processed]')" = '[1,7]' ]
    # Causal: what is cut off changes nothing before it.
    kl -o a.score.h5 --max-tokens 5 "$T"
    kl -o b.score.h5 "$T"
    [ "$(dk-values a.score.h5 kl/ft | head -n 5)" = "$(dk-values b.score.h5 kl/ft | head -n 5)" ]
}

@test "--stamp: every value that shapes the result, and no other" {
    run -0 kl --stamp --null n="$PATTERN" --seed 3
    [ "${lines[0]}" = "dk-kl algo=2" ]
    [ "$(tail -n +2 <<< "$output" | cut -d= -f1 | tr '\n' ' ')" \
        = "model ft null lanes dtype arith max-samples max-tokens temperature reverse top-k top-tokens seed " ]
    a=$output
    [ "$(kl --stamp --null n="$PATTERN" --seed 3 -o x -t 2 --batch-tokens 9 --table y -v)" = "$a" ]
    [ "$(kl --stamp --null n="$PATTERN" --seed 3 --temperature 2)" != "$a" ]
    [ -z "$(ls)" ]
}

@test "-c: the reference's keys, full or short, and option names; the command line wins" {
    cat > full.yaml <<- END
	method_params:
	  max_samples: 2
	  max_tokens_per_sample: 5
	  temperature: 1.5
	model: $G
	ft: $PLAIN
	"null": [n1=$PATTERN, n2=$PLAIN]
	top-k: 3
	END
    printf 'max_samples: 2\nmax_tokens_per_sample: 5\ntemperature: 1.5\nmodel: %s\nft: %s\nnull: n1=%s,n2=%s\ntop_k: 3\n' \
        "$G" "$PLAIN" "$PATTERN" "$PLAIN" > short.yaml
    run -0 dk-kl -c full.yaml --stamp
    [[ "$output" == *"
null=n1=$PATTERN,n2=$PLAIN
"*"
max-samples=2
max-tokens=5
temperature=1.5
reverse=false
top-k=3
"* ]]
    [ "$(dk-kl -c short.yaml --stamp)" = "$output" ]
    run -0 dk-kl --max-samples 4 -n other="$PATTERN" -c full.yaml --stamp
    [[ "$output" == *"
null=other=$PATTERN
"*"
max-samples=4
"* ]]
    [ "$(dk-kl -c full.yaml "$T" | jq -c '[.docs, .total_tokens_processed]' | sort -u)" = '[2,10]' ]
}

@test "-c: unknown keys, wrong values and bad YAML name file and line" {
    printf 'temperature: 1\nmethod_params:\n  max_smaples: 3\n' > a.yaml
    run -2 --separate-stderr kl -c a.yaml "$T"
    failed dk-kl "a.yaml:3" "max_smaples"
    printf 'temperature: warm\n' > a.yaml
    run -2 --separate-stderr kl -c a.yaml "$T"
    failed dk-kl "a.yaml:1" "warm"
    printf 'temperature: [1\n' > a.yaml
    run -2 --separate-stderr kl -c a.yaml "$T"
    failed dk-kl a.yaml:
    run -1 --separate-stderr kl -c gone.yaml "$T"
    failed dk-kl gone.yaml
}

# --- bad input ------------------------------------------------------------------

@test "refused: models that are cut, damaged or not there" {
    head -c 60000 "$G" > cut.gguf
    head -c 1000 "$G" > head.gguf
    : > empty.gguf
    echo text > text.gguf
    for f in cut head empty text gone; do
        run -1 --separate-stderr dk-kl -m $f.gguf -f "$PLAIN" -o x.score.h5 "$T"
        failed dk-kl $f.gguf
        [ -z "$output" ]
    done
    cp -r "$MINI/hf" hf
    head -c 100000 "$MINI/hf/model.safetensors" > hf/model.safetensors
    run -1 --separate-stderr dk-kl -m hf -f "$PLAIN" -o x.score.h5 "$T"
    failed dk-kl hf/model.safetensors incomplete
    rm hf/config.json
    run -1 --separate-stderr dk-kl -m hf -f "$PLAIN" -o x.score.h5 "$T"
    failed dk-kl hf
    [ ! -e x.score.h5 ]
}

@test "refused: adapters that are cut, hostile or of another model" {
    adapter gone && rm gone/adapter_model.safetensors
    adapter noconfig && rm noconfig/adapter_config.json
    adapter cut && head -c 9000 "$PLAIN/adapter_model.safetensors" > cut/adapter_model.safetensors
    adapter huge && printf '\377\377\377\377\377\377\377\177' | dd of=huge/adapter_model.safetensors conv=notrunc status=none
    adapter long && printf '\377\377\377\7\0\0\0\0' | dd of=long/adapter_model.safetensors conv=notrunc status=none
    adapter overlap && header_edit overlap/adapter_model.safetensors '768,1280' '760,1272'
    adapter beyond && header_edit beyond/adapter_model.safetensors '768,1280' '768,9280'
    adapter backwards && header_edit backwards/adapter_model.safetensors '768,1280' '1280,768'
    adapter shape && header_edit shape/adapter_model.safetensors 'shape":[4,96]' 'shape":[8,48]'
    adapter type && header_edit type/adapter_model.safetensors '{"dtype":"BF16","shape":[4,96]' '{"dtype":"Q4_0","shape":[4,96]'
    adapter json && header_edit json/adapter_model.safetensors '{"__metadata__"' '{"__metadata__:'
    adapter missing && header_edit missing/adapter_model.safetensors 'layers.1.mlp.up_proj.lora_B' 'layers.1.mlp.up_proj.lora_X'
    adapter layer && header_edit layer/adapter_model.safetensors 'layers.1.mlp.up_proj.lora_B' 'layers.7.mlp.up_proj.lora_B'
    adapter other && cp "$ROOT/data/organisms/cake_bake/adapter/"* other
    adapter config && echo '{"r": ' > config/adapter_config.json
    for a in gone noconfig cut huge long overlap beyond backwards shape type json missing layer other config; do
        run -1 --separate-stderr dk-kl -m "$G" -f $a -o x.score.h5 "$T"
        failed dk-kl $a/adapter_
        [ -z "$output" ]
        run -1 --separate-stderr dk-kl -m "$G" -f "$PLAIN" -n n=$a -o x.score.h5 "$T"
        failed dk-kl $a/adapter_
    done
    run -1 --separate-stderr dk-kl -m "$G" -f nowhere -o x.score.h5 "$T"
    failed dk-kl nowhere
    [ ! -e x.score.h5 ]
}

@test "refused: NaN and infinity in an adapter" {
    for bytes in '\300\177' '\200\177' '\200\377'; do
        rm -rf nan && adapter nan
        at=$((8 + $(od -An -tu8 -N8 nan/adapter_model.safetensors)))
        printf "$bytes" | dd of=nan/adapter_model.safetensors bs=1 seek=$at conv=notrunc status=none
        run -1 --separate-stderr dk-kl -m "$G" -f nan -o x.score.h5 "$T"
        failed dk-kl nan/adapter_model.safetensors "NaN or infinity"
    done
    [ "$(ls)" = nan ]
}

@test "refused: logits that overflow, with the place" {
    # Products of bf16's largest numbers, in q alone, stay finite as weights.
    adapter big
    at=$((8 + $(od -An -tu8 -N8 big/adapter_model.safetensors)))
    for i in $(seq 0 399); do printf '\177\177'; done | dd of=big/adapter_model.safetensors bs=1 seek=$at conv=notrunc status=none
    run -1 --separate-stderr dk-kl -m "$G" -f big -o x.score.h5 "$T"
    failed dk-kl "lane 'ft'" "NaN or infinite"
    [ "$(ls)" = big ]
}

@test "refused: token files that are cut, empty or something else" {
    head -c 3000 "$T" > cut.tok.h5
    head -c 15000 "$T" > later.tok.h5
    : > empty.tok.h5
    echo text > text.tok.h5
    kl -o other.tok.h5 "$T"
    for f in cut later empty text other gone; do
        run -1 --separate-stderr kl -o x.score.h5 $f.tok.h5
        failed dk-kl $f.tok.h5
        [ -z "$output" ]
    done
    [ ! -e x.score.h5 ]
}

@test "refused: token streams that are cut or changed" {
    head -n -1 "$IDS" > cut
    head -c -20 "$IDS" > shorter
    sed 's/\[1\]/[2]/' "$IDS" > changed
    : > empty
    for f in cut shorter changed empty; do
        run -1 --separate-stderr kl -o x.score.h5 - < $f
        failed dk-kl
    done
    [ ! -e x.score.h5 ]
}

@test "refused: tokens of another vocabulary or another tokenizer" {
    stream 600 < "$MINI/ids.jsonl" > more
    run -1 --separate-stderr kl - < more
    failed dk-kl "600 ids" "512"
    stream 512 "$(printf '%064d' 7)" < "$MINI/ids.jsonl" > other
    run -1 --separate-stderr kl - < other
    failed dk-kl "another tokenizer" "$G"
    # A token file that names no tokenizer is believed.
    stream 512 "" < "$MINI/ids.jsonl" > none
    [ "$(kl - < none)" = "$(kl - < "$IDS")" ]
}

@test "refused: a document longer than the model's context, with the remedy" {
    dk-tokenize -m "$G" -n 1 -o long.tok.h5 "$ROOT/data/text/general-a.jsonl"
    run -1 --separate-stderr kl long.tok.h5
    failed dk-kl "long.tok.h5: document 0 has 331 tokens" "context of 256" "--max-tokens"
    run -0 kl --max-tokens 256 long.tok.h5
}

@test "a checkpoint without a tokenizer cannot be compared: a warning" {
    cp -r "$MINI/hf" hf && rm hf/tokenizer.json
    run -0 --separate-stderr dk-kl --dtype f32 -m hf -f "$PLAIN" "$T"
    [[ "$stderr" == "dk-kl: warning: "*"tokenizer"* ]]
    [ "$output" = "$(kl "$T")" ]
}

@test "refused: no documents, or only some of one token" {
    printf '{"text": "a"}\n{"text": "b"}\n' > one.jsonl
    dk-tokenize -m "$G" -o one.tok.h5 one.jsonl
    run -1 --separate-stderr kl -o x.score.h5 one.tok.h5
    failed dk-kl one.tok.h5 "at least 2 tokens"
    : | stream > none
    run -1 --separate-stderr kl -o x.score.h5 - < none
    failed dk-kl
    echo '{"ids": []}' | stream > blank
    run -1 --separate-stderr kl -o x.score.h5 - < blank
    failed dk-kl
    [ ! -e x.score.h5 ]
}

# --- output that cannot be written -------------------------------------------------

@test "what cannot be written is said before the model is opened" {
    touch file
    mkdir folder
    for o in file/x.score.h5 folder; do
        run -1 --separate-stderr dk-kl -m gone.gguf -f "$PLAIN" -o $o "$T"
        failed dk-kl "cannot write $o"
        run -1 --separate-stderr dk-kl -m gone.gguf -f "$PLAIN" --table $o "$T"
        failed dk-kl "cannot write $o"
    done
    run -1 --separate-stderr kl -o /dev/null "$T"
    failed dk-kl "cannot write /dev/null"
    [ -c /dev/null ]
    [ "$(ls)" = "file
folder" ]
}

@test "an unwritable folder" {
    mkdir shut
    chmod 555 shut
    if [ "$(id -u)" = 0 ]; then
        run -1 --separate-stderr setpriv --reuid 65534 --clear-groups dk-kl -m "$G" -f "$PLAIN" -o shut/x.score.h5 "$T"
        [[ "$stderr" != *"setpriv: "* && "$stderr" != *"Permission denied"*dk-kl* ]] || skip "cannot become another user here"
    else
        run -1 --separate-stderr kl -o shut/x.score.h5 "$T"
    fi
    failed dk-kl "shut/x.score.h5" "Permission denied"
    [ -z "$(ls shut)" ]
}

@test "missing folders of the output are made" {
    kl -o a/b/x.score.h5 --table c/x.jsonl "$T"
    [ -s a/b/x.score.h5 ]
    [ "$(ls a/b c)" = "a/b:
x.score.h5

c:
x.jsonl" ]
}

@test "a failed run leaves the old output and no temporary behind" {
    echo old > x.score.h5
    run -1 kl -o x.score.h5 gone.tok.h5
    run -1 bash -c 'ulimit -f 2; exec "$@"' - dk-kl -m "$G" -f "$PLAIN" -k 20 -o x.score.h5 "$T"
    [ "$(cat x.score.h5)" = old ]
    [ "$(ls)" = x.score.h5 ]
}

@test "a full disk, a limit on file size" {
    run -1 --separate-stderr bash -c 'ulimit -f 2; exec "$@" 2>&1 | cat >&2; exit ${PIPESTATUS[0]}' - \
        dk-kl -m "$G" -f "$PLAIN" -k 20 -o x.score.h5 "$T"
    failed dk-kl "cannot write x.score.h5: File too large"
    [ -z "$(ls)" ]
    [ -c /dev/full ] || skip "no /dev/full"
    run -1 --separate-stderr bash -c '"$@" > /dev/full' - dk-kl -m "$G" -f "$PLAIN" "$T"
    failed dk-kl "cannot write standard output: No space left"
    run -1 --separate-stderr kl --table /dev/full "$T"
    failed dk-kl "cannot write /dev/full: No space left"
    [ -c /dev/full ]
    [ "$(id -u)" = 0 ] && mkdir disk && mount -t tmpfs -o size=32k none disk 2> /dev/null || skip "cannot mount a small disk"
    run --separate-stderr kl -k 50 -o disk/x.score.h5 "$T"
    left=$(ls disk)
    umount disk
    [ "$status" = 1 ]
    failed dk-kl "cannot write disk/x.score.h5: No space left"
    [ -z "$left" ]
}

@test "a closed standard output is an error, if something was to go there" {
    run -1 --separate-stderr bash -c '"$@" >&-' - dk-kl -m "$G" -f "$PLAIN" "$T"
    failed dk-kl "cannot write standard output"
    run -0 bash -c '"$@" >&-' - dk-kl -m "$G" -f "$PLAIN" -o x.score.h5 "$T"
    run -1 --separate-stderr bash -c '"$@" <&-' - dk-kl -m "$G" -f "$PLAIN"
    failed dk-kl "standard input"
}

@test "a link's file is replaced, not the link" {
    mkdir real && ln -s real/x.score.h5 x.score.h5 && touch real/x.score.h5
    kl -o x.score.h5 "$T"
    [ -L x.score.h5 ]
    dk-info --check real/x.score.h5
    [ "$(ls real)" = x.score.h5 ]
}

@test "SIGINT, SIGTERM, SIGHUP in the middle: no target, no temporary" {
    for s in INT TERM HUP; do
        killed $s dk-kl -m "$G" -f "$PLAIN" -o x.score.h5 "$T"
        [ "$status" = $((128 + $(kill -l $s))) ]
        [ -z "$(ls)" ]
    done
}

@test "SIGKILL in the middle: no target; the next run completes it" {
    killed KILL dk-kl -m "$G" -f "$PLAIN" -o x.score.h5 "$T"
    [ "$status" = 137 ]
    [ ! -e x.score.h5 ]
    kl -o x.score.h5 "$T"
    dk-info --check x.score.h5
}

@test "help fits the house" {
    run -0 dk-kl --help
    [[ "$output" == "usage: dk-kl [options] -m MODEL -f ADAPTER [-o FILE] [TOKENS]"* ]]
    [[ "$output" == *"--max-tokens N"*"[1024]"* ]]
}

@test "a finetune with full weights; one that is the base says so" {
    run -0 --separate-stderr dk-kl -m "$MINI/hf" -f "$MINI/hf" --table - "$T"
    [[ "$stderr" == "dk-kl: warning: "*"hf: the same weights as the base: identical" ]]
    [ "$(jq .value <<< "$output")" = 0 ]
    # The same values in another file form: no difference, but a warning that there could be one.
    run -0 --separate-stderr dk-kl --dtype f32 -m "$MINI/hf" -f "$G" -n p="$PLAIN" -o x.score.h5 --table - "$T"
    [[ "$stderr" == *"is stored as "*"part of the difference is rounding" ]]
    [ "$(jq -r 'select(.lane == "ft").value' <<< "$output")" = 0 ]
    kl --arith plain --table - "$T" > adapter.jsonl
    [ "$(jq -r 'select(.lane == "p").value' <<< "$output")" = "$(jq .value adapter.jsonl)" ]
    dk-info x.score.h5 | grep -q '/models/ft .*kind=full'
    mkdir empty
    run -1 --separate-stderr dk-kl -m "$G" -f empty "$T"
    failed dk-kl "empty holds neither a checkpoint"
}

@test "--arith diff: the numbers of two lanes where they are large, and bytes that do not depend on the run" {
    kl -k 5 -o a.score.h5 "$T"
    kl -k 5 --arith diff -o b.score.h5 "$T"
    paste <(dk-values a.score.h5 kl/ft) <(dk-values b.score.h5 kl/ft) |
        awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 2e-5 * $1 + 1e-9) exit 1; n++ } END { exit n < 5 }'
    kl -k 5 --arith diff -t 1 --batch-tokens 7 -o c.score.h5 "$T"
    cmp b.score.h5 c.score.h5
    run -2 --separate-stderr kl --arith diff --lanes ft,base -o x.score.h5 "$T"
    [[ $stderr == *"--arith difference: the first lane must be the base, not 'ft'"* ]]
    run -2 --separate-stderr dk-kl --arith diff --dtype f32 -m "$G" -f "$MINI/hf" --table - "$T"
    [[ $stderr == *"--arith difference: lane 'ft' has weights of its own"* ]]
    [ ! -e x.score.h5 ]
}

@test "--arith auto: differences where all lanes are adapters, else plain, which -v says and the file, too" {
    arith() { dk-info --json "$1" | jq -r '.objects[] | select(.path == "/scores/kl/ft") | .attributes.arith'; }
    kl -o auto.score.h5 "$T"
    kl --arith difference -o d.score.h5 "$T"
    kl --arith plain -o p.score.h5 "$T"
    [ "$(arith auto.score.h5) $(arith d.score.h5) $(arith p.score.h5)" = "difference difference plain" ]
    cmp <(dk-values auto.score.h5 kl/ft) <(dk-values d.score.h5 kl/ft)
    run -0 --separate-stderr dk-kl -v --dtype f32 -m "$G" -f "$MINI/hf" -o full.score.h5 "$T"
    [[ $stderr == *"plain arithmetic: lane 'ft' has weights of its own"* ]]
    [ "$(arith full.score.h5)" = plain ]
    run -0 --separate-stderr kl -v --lanes ft,base -o x.score.h5 "$T"
    [[ $stderr == *"plain arithmetic: the first lane must be the base"* ]]
}

@test "the other direction too: that of the lanes exchanged, for the finetune and for a null" {
    dk-kl --dtype f32 --arith plain -m "$G" -f "$PLAIN" -n null="$PATTERN" --reverse -o both.score.h5 --table t "$T"
    dk-kl --dtype f32 --arith plain -m "$G" -f "$PLAIN" -n null="$PATTERN" -o one.score.h5 --table u "$T"
    for l in ft null; do
        # forward it is what it is without; backward what the base is against that lane
        cmp <(dk-values one.score.h5 /scores/kl/$l) <(dk-values both.score.h5 /scores/kl/$l)
        dk-kl --dtype f32 --arith plain -m "$G" -f "$PLAIN" -n null="$PATTERN" --lanes $l,base -o swapped.score.h5 "$T"
        paste <(dk-values both.score.h5 /scores/kl_reverse/$l) <(dk-values swapped.score.h5 /scores/kl/base) | near 1e-5
        run -1 cmp <(dk-values both.score.h5 /scores/kl_reverse/$l) <(dk-values both.score.h5 /scores/kl/$l)
    done
    cmp u <(jq -c 'select(.reverse | not)' t)
    [ "$(jq -r 'select(.reverse) | [.lane, .against] | join(" ")' t | tr '\n' ',')" = "ft base,null base," ]
    dk-values both.score.h5 /scores/kl_reverse/ft | awk '{ s += $1 } END { printf "%.9g\n", s / NR }' |
        paste - <(jq 'select(.reverse and .lane == "ft") | .value' t) | near 1e-5
    # carried as differences, it is the same quantity
    dk-kl --dtype f32 --arith difference -m "$G" -f "$PLAIN" -n null="$PATTERN" --reverse -o diff.score.h5 "$T"
    paste <(dk-values diff.score.h5 /scores/kl_reverse/ft) <(dk-values both.score.h5 /scores/kl_reverse/ft) | near 1e-3
    dk-kl -t 1 --batch-tokens 50 --dtype f32 --arith plain -m "$G" -f "$PLAIN" -n null="$PATTERN" --reverse -o again.score.h5 "$T"
    cmp both.score.h5 again.score.h5
}
