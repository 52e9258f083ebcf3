load ../helper/pair

# Streams through pipes: the same results as through files, and what is refused.
setup_file_more() {
    tokenize -o t.tok.h5
    tokenize -o - > t.strm
    extract -o a.act.h5 t.tok.h5
    extract -o - t.tok.h5 > a.strm
    dk-mean -n 3 -o m.dir.h5 a.act.h5
    dk-mean -n 3 -o - a.act.h5 > m.strm
}
setup_more() { F=$BATS_FILE_TMPDIR; }
tokenize() { dk-tokenize -m "$G" -n 6 --max-tokens 40 "$@" "$ROOT/data/text/general-a.jsonl"; }
extract() { dk-extract --dtype f32 -m "$G" -f "$PLAIN" -n null="$PATTERN" --layers 0,1 --site resid_post,attn_out "$@"; }

@test "through pipes the same bytes as through files, at every stage" {
    tokenize -o - | extract -o - - | dk-mean -n 3 -o m.dir.h5 --table m.jsonl -
    cmp m.dir.h5 "$F/m.dir.h5"
    dk-mean -n 3 "$F/a.act.h5" | cmp - m.jsonl
    extract -o a.act.h5 - < "$F/t.strm"
    cmp a.act.h5 "$F/a.act.h5"
    tokenize -o - | extract -o - | dk-mean -n 3 -o - - | dk-lens -m "$G" -k 5 - > lens
    dk-lens -m "$G" -k 5 "$F/m.dir.h5" | cmp - lens
    tokenize --json-lines -o - | extract -o - - | cmp - "$F/a.strm"
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -o a.score.h5 - < "$F/t.strm"
    dk-kl --dtype f32 -m "$G" -f "$PLAIN" -o b.score.h5 "$F/t.tok.h5"
    cmp a.score.h5 b.score.h5
    dk-topk --dtype f32 -m "$G" -f "$PLAIN" -k 10 -o - "$F/t.tok.h5" | dk-mine -m "$G" - > mine
    dk-topk --dtype f32 -m "$G" -f "$PLAIN" -k 10 -o c.score.h5 "$F/t.tok.h5"
    dk-mine -m "$G" c.score.h5 | cmp - mine
}

@test "a stream is the same for any number of threads and any batch" {
    for o in "-t 2" "--batch-tokens 7" "-t 2 --batch-tokens 100"; do
        extract $o -o - "$F/t.tok.h5" | cmp - "$F/a.strm"
    done
}

@test "a file may be redirected, and zstd reads what follows the magic" {
    dk-mean -n 3 -o m.dir.h5 - < "$F/a.act.h5"
    cmp m.dir.h5 "$F/m.dir.h5"
    extract -o - - < "$F/t.tok.h5" | cmp - "$F/a.strm"
    [ "$(head -c 8 "$F/a.strm")" = DKSTRM01 ]
    tail -c +9 "$F/t.strm" | zstd -dqc | head -c 20 > head
    [ "$(cat head)" = '{"groups":[{"path":"' ]
    run -1 --separate-stderr bash -c 'cat "$1" | dk-mean -' - "$F/a.act.h5"
    failed dk-mean "pipe"
}

@test "dk-info reads streams of any kind" {
    for k in t:tok a:act m:dir; do
        run -0 dk-info --check - < "$F/${k%:*}.strm"
        [ "$output" = "standard input: ok, $(dk-info --json "$F/${k%:*}.${k#*:}.h5" | jq -r .content_id)" ]
        [ "$(dk-info --json - < "$F/${k%:*}.strm" | jq -r .stage_key)" = "$(dk-info --json "$F/${k%:*}.${k#*:}.h5" | jq -r .stage_key)" ]
    done
    [ "$(dk-info --lineage - < "$F/m.strm" | tail -n +2)" = "$(dk-info --lineage "$F/m.dir.h5" | tail -n +2)" ]
}

# refused STREAM TEXT: by every reader of its kind, in one line, with nothing left behind.
refused() {
    case $1 in
    a*) run -1 --separate-stderr dk-mean -n 3 -o out - < "$1"; failed dk-mean "standard input" "$2" ;;
    m*) run -1 --separate-stderr dk-lens -m "$G" -o out - < "$1"; failed dk-lens "standard input" "$2" ;;
    t*) run -1 --separate-stderr extract -o out - < "$1"; failed dk-extract "standard input" "$2"
        run -1 --separate-stderr dk-kl -m "$G" -f "$PLAIN" -o out - < "$1"; failed dk-kl "standard input" "$2" ;;
    esac
    [ -z "$output" ]
    [ ! -e out ]
    [ -z "$(compgen -G '*.tmp')" ]
}

@test "refused: a stream that was cut" {
    for k in t a m; do
        n=$(stat -c %s "$F/$k.strm")
        for at in 5 8 100 $((n / 2)) $((n - 20)) $((n - 1)); do
            head -c $at "$F/$k.strm" > $k.cut
            refused $k.cut "the stream was cut"
        done
        : > $k.empty
        refused $k.empty "is empty"
    done
}

@test "refused: a stream that was damaged, changed or goes on" {
    for k in t a m; do
        n=$(stat -c %s "$F/$k.strm")
        for at in $((n / 2)) $((n - 9)); do
            cp "$F/$k.strm" $k.bad
            byte=$(od -An -tu1 -j $at -N 1 $k.bad)
            printf "\\x$(printf %x $((byte ^ 255)))" | dd of=$k.bad bs=1 seek=$at conv=notrunc status=none
            refused $k.bad "the stream is damaged"
        done
        cat "$F/$k.strm" "$F/$k.strm" > $k.twice
        refused $k.twice "after its end"
    done
}

@test "refused: a newer version, another kind, no stream at all" {
    for k in t a m; do
        sed '1s/^DKSTRM01/DKSTRM02/' "$F/$k.strm" > $k.new
        refused $k.new "version '02'"
        echo DKSTRONG > $k.odd
        refused $k.odd "no dk stream"
        echo text > $k.txt
        refused $k.txt "no dk stream"
    done
    cp "$F/t.strm" a.kind
    refused a.kind "holds dk-tokens, expected dk-activations"
    cp "$F/m.strm" t.kind
    refused t.kind "holds dk-directions, expected dk-tokens"
    cp "$F/a.strm" m.kind
    refused m.kind "holds dk-activations, expected dk-directions"
    tokenize --json-lines -o - > a.lines
    refused a.lines "JSON lines, expected dk-activations"
}

@test "a tool that fails in the middle of a pipe fails those behind it" {
    run -1 --separate-stderr bash -c 'set -o pipefail; dk-extract --dtype f32 -m "$1" -f "$2" --layers 0 -o - /nonexistent | dk-mean -o out -' - "$G" "$PLAIN"
    [ "${#stderr_lines[@]}" = 2 ]
    [[ "$stderr" == *"/nonexistent"* && "$stderr" == *"standard input is empty"* ]]
    [ ! -e out ]
}

# on_terminal COMMAND...: with a terminal as standard output; its words in $output.
on_terminal() { script -qec "$(printf '%q ' "$@")" /dev/null < /dev/null; }

@test "no stream goes to a terminal: status 2 and a hint" {
    run -2 on_terminal dk-tokenize -m "$G" -o - "$ROOT/data/text/general-a.jsonl"
    [[ "$output" == *"does not go to a terminal"*"--json-lines"* && "$output" != *DKSTRM* ]]
    run -2 on_terminal dk-extract -m "$G" -f "$PLAIN" -o - "$F/t.tok.h5"
    [[ "$output" == *"does not go to a terminal"* && "$output" != *DKSTRM* ]]
    run -2 on_terminal dk-mean -o - "$F/a.act.h5"
    [[ "$output" == *"does not go to a terminal"* && "$output" != *DKSTRM* ]]
    run -2 on_terminal dk-kl -m "$G" -f "$PLAIN" -o - "$F/t.tok.h5"
    [[ "$output" == *"does not go to a terminal"* && "$output" != *DKSTRM* ]]
    run -0 on_terminal dk-tokenize -m "$G" --json-lines -n 1 -o - "$ROOT/data/text/general-a.jsonl"
    [[ "$output" == '{"dk":"tokens"'* ]]
    run -2 --separate-stderr tokenize --json-lines -o x.tok.h5
    failed dk-tokenize "--json-lines"
}
