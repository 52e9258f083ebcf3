# Two runs in one folder, and runs that lose their terminal: nothing is damaged,
# and the next run goes on.
load ../helper/mini

setup_more() {
    pair_here
    # The tools, of which dk-kl waits for a word before it begins.
    mkdir tools
    ln -s "$bin"/dk-* tools
    rm tools/dk-kl
    cat > tools/dk-kl <<END
#!/bin/bash
case " \$* " in *" --stamp "*) exec "$bin/dk-kl" "\$@" ;; esac
[ -e free ] || { touch started; until [ -e go ]; do sleep 0.02; done; }
exec "$bin/dk-kl" "\$@"
END
    chmod +x tools/dk-kl
}
compare() {
    exec make --no-print-directory -f "$ROOT/pipelines/front.mk" DK="$PWD/tools" THREADS=1 BASE=base \
        FT=mine/adapter TEXT=t.jsonl OUT=r METHODS=kl diff
}
# waits FILE|TEXT FILE: until a file is there, or holds a text.
waits() {
    local i
    for ((i = 0; i < 1000; i++)); do
        if [ $# = 1 ]; then [ -e "$1" ] && return; else grep -qF "$1" "$2" 2> /dev/null && return; fi
        sleep 0.05
    done
    return 1
}
whole() { touch free; (compare) > /dev/null 2>&1; cp -r r whole; rm -r r free; }
same() { diff <(digests whole) <(digests r); }
nothing_half() { [ -z "$(find r -name '*.tmp')" ] && [ ! -e r/kl/t.score.h5 ] && [ ! -e r/kl/t.score.h5.args ]; }
# A group of its own, as a terminal's.
begin() {
    export -f compare
    export ROOT
    setsid bash -c compare > out1 2> err1 3>&- &
    first=$!
}
# What still waits goes on, and ends.
teardown() { cd "$BATS_TEST_TMPDIR/w" && touch go free; }

@test "the second run says who works there, waits, and finds everything done" {
    whole
    (compare) > out1 2> err1 3>&- &
    first=$!
    waits started
    (compare) > out2 2> err2 3>&- &
    second=$!
    waits "dk: r is in use by process $(cat r/.lock); waiting until it has ended" err2
    [ "$(wc -l < err2)" = 1 ]
    kill -0 "$(cat r/.lock)"
    touch go
    wait $first
    wait $second
    [ "$(grep -c 'RUN   kl' err1)" = 1 ]
    [ "$(grep -c RUN err2)" = 0 ]
    cmp out1 out2
    same
}

@test "questions and other folders do not wait" {
    (compare) > out1 2> err1 3>&- &
    first=$!
    waits started
    run -0 dk-diff -t 1 base mine/adapter --text t.jsonl -o r --methods kl --plan
    [[ "$output" == *"r/kl/t.score.h5"* ]]
    run -0 dk-diff -t 1 base mine/adapter --text t.jsonl -o other --methods kl
    touch go
    wait $first
}

@test "organisms in one folder wait for each other too" {
    organism() {
        make --no-print-directory -C "$ROOT" -f pipelines/front.mk DK="$PWD/tools" OUT="$PWD/r" MODEL="$PWD/base" SHOW= THREADS=1 \
            dtype=f32 'organism.nulls=[]' organism.finetuned_models.base.default.adapter_id="$PWD/mine/adapter" \
            kl.max_samples=2 kl.max_tokens_per_sample=8 "$1/kl"
    }
    sed -i "s,-e free,-e $PWD/free,; s,touch started,touch $PWD/started,; s,-e go,-e $PWD/go," tools/dk-kl
    organism cake_bake 2> err1 3>&- &
    waits started
    organism null_self 2> err2 3>&- &
    waits "$PWD/r is in use by process" err2
    touch go
    wait
    [ -s r/base/null_self/kl/general-a.jsonl ]
}

@test "a make that is killed outright leaves the folder to its last stage, then to the next run" {
    whole
    (compare) > out1 2> err1 3>&- &
    first=$!
    waits started
    kill -KILL $first "$(cat r/.lock)"
    wait $first || true
    (compare) > out2 2> err2 3>&- &
    second=$!
    waits "is in use by process" err2
    touch go
    wait $second
    same
}

@test "SIGTERM to the command alone ends all of it" {
    whole
    (compare) > out1 2> err1 3>&- &
    first=$!
    waits started
    kill -TERM $first
    wait $first || true
    for _ in {1..200}; do flock -n r/.lock true && break; sleep 0.05; done
    flock -n r/.lock true
    nothing_half
    touch go
    (compare) > /dev/null 2>&1
    same
}

@test "a terminal that hangs up in the middle of a stage" {
    whole
    begin
    waits started
    kill -HUP -- -$first
    wait $first || true
    nothing_half
    touch go
    (compare) > out2 2> err2
    [ "$(sed -n 's/^  RUN   //p' err2)" = $'kl t\ncalibrate t\nsummary mine' ]
    same
}

@test "a terminal that hangs up while a file is written" {
    cat > slow.c <<'END'
#include <unistd.h>
int fsync(int fd) { (void)fd; for (int i = 0; i < 200; i++) usleep(50000); return 0; }
END
    gcc -shared -fPIC -o slow.so slow.c
    whole
    touch free
    (compare) > /dev/null 2>&1
    rm r/kl/t.score.h5
    LD_PRELOAD=$PWD/slow.so ASAN_OPTIONS=verify_asan_link_order=0 begin
    for _ in {1..400}; do compgen -G 'r/kl/*.tmp' > /dev/null && break; sleep 0.05; done
    compgen -G 'r/kl/*.tmp' > /dev/null
    kill -HUP -- -$first
    wait $first || true
    [ -z "$(find r -name '*.tmp')" ]
    [ ! -e r/kl/t.score.h5 ]
    (compare) > /dev/null 2>&1
    same
}

@test "a reader of the summary that has seen enough is no failure" {
    touch free
    mkfifo pipe
    true < pipe &
    { sleep 0.1; (compare) 2> err1; echo $? > status; } > pipe
    [ "$(cat status)" = 0 ]
    [ "$(grep -vc '^  RUN' err1)" = 0 ]
    [ -s r/summary.txt ]
}

@test "messages that nobody reads any more: the next run goes on" {
    whole
    touch free
    (compare 2>&1) | head -n 2 > /dev/null || true
    for _ in {1..200}; do flock -n r/.lock true && break; sleep 0.05; done
    [ -z "$(find r -name '*.tmp')" ]
    (compare) > /dev/null 2>&1
    same
}
