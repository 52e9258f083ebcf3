load ../helper/common

@test "notes parameters, time and memory beside the result" {
    run -0 dk-run --stage "kl x" --record "a=1 'b'" out.txt bash -c 'echo hello > out.txt'
    [ "$(cat out.txt.args)" = "a=1 'b'" ]
    [ "$(jq -r .stage out.txt.time)" = "kl x" ]
    [ "$(jq '.peak_bytes > 500000 and .seconds >= 0' out.txt.time)" = true ]
}

@test "a command's options are not taken for its own" {
    run -0 dk-run --stage s out.txt bash -c 'echo "$0 $1" > out.txt' --stage -o
    [ "$(cat out.txt)" = "--stage -o" ]
}

@test "--stdout keeps the old file when the command fails" {
    echo old > out.txt
    run -1 --separate-stderr dk-run --stage s --stdout out.txt --record new out.txt bash -c 'echo new; exit 5'
    [ "$(cat out.txt)" = old ]
    [ "$(ls)" = out.txt ]
    run -0 dk-run --stage s --stdout out.txt out.txt echo new
    [ "$(cat out.txt)" = new ]
}

@test "the command's status comes through: 1, 2, 3" {
    for s in 1 2 3; do
        run -$s --separate-stderr dk-run --stage "st $s" --record r out.txt bash -c "exit $s"
        one_error dk-run
        [[ "$stderr" == *"'st $s' failed: bash ended with status $s"* ]]
        [ -z "$(ls)" ]
    done
}

@test "a command that is not there, one that writes nothing" {
    run -1 --separate-stderr dk-run --stage s out.txt no-such-command
    run -1 --separate-stderr dk-run --stage s out.txt true
    one_error dk-run
    [[ "$stderr" == *"wrote no out.txt" ]]
}

@test "a signal reaches the command" {
    dk-run --stage s --record r out.txt bash -c 'trap "echo caught > sig; exit 1" TERM; echo > up; while :; do sleep 0.05; done' 3>&- &
    for _ in $(seq 100); do [ -e up ] && break; sleep 0.05; done
    kill -TERM $!
    status=0
    wait $! || status=$?
    [ $status = 1 ]
    [ "$(cat sig)" = caught ]
    [ ! -e out.txt.args ]
}

@test "killed outright, it takes the command with it" {
    dk-run --stage s --record r out.txt bash -c 'echo $$ > pid; exec sleep 60' 3>&- 2> /dev/null &
    for _ in $(seq 100); do [ -s pid ] && break; sleep 0.05; done
    kill -KILL $!
    wait $! || true
    for _ in $(seq 100); do kill -0 "$(cat pid)" 2> /dev/null || break; sleep 0.05; done
    run -1 kill -0 "$(cat pid)"
}

@test "--spread: a shard on each card, joined; one that fails stops the others and leaves nothing" {
    mkdir bin
    cat > bin/tool <<'END'
#!/bin/bash
# --shard=I/N -o FILE
echo "$DK_DEVICES $1" >> log
[ "$1" != "$FAIL" ] || exit 1
[ -z "$FAIL" ] || { trap 'echo stopped >> log; exit 1' TERM; for _ in $(seq 400); do sleep 0.05; done; }
echo "part $1" > "$3"
END
    cat > bin/dk-merge <<'END'
#!/bin/bash
cat "${@:3}" > "$2"
END
    chmod +x bin/*
    DK_DEVICES=3,1 run -0 dk-run --stage s --record r --spread web.act.h5 "$PWD/bin/tool" -o web.act.h5
    [ "$(sort log)" = $'1 --shard=1/2\n3 --shard=0/2' ]
    [ "$(cat web.act.h5)" = $'part --shard=0/2\npart --shard=1/2' ]
    [ "$(ls)" = $'bin\nlog\nweb.act.h5\nweb.act.h5.args\nweb.act.h5.time' ]
    rm web* log
    FAIL=--shard=1/2 DK_DEVICES=3,1 run -1 --separate-stderr dk-run --stage s --spread web.act.h5 "$PWD/bin/tool" -o web.act.h5
    one_error dk-run
    [ "$(grep -c stopped log)" = 1 ]
    [ "$(ls)" = $'bin\nlog' ]
    # with one card, and without any: as it is
    for list in 2 ""; do
        DK_DEVICES=$list run -0 dk-run --stage s --spread one.txt bash -c 'echo "$DK_DEVICES" > one.txt'
        [ "$(cat one.txt)" = "$list" ]
    done
    DK_DEVICES=0,x run -2 --separate-stderr dk-run --stage s --spread one.txt true
    one_error dk-run
    # a stage that is not spread has one of the cards
    DK_DEVICES=4,5 run -0 dk-run --stage s one.txt bash -c 'echo "$DK_DEVICES" > one.txt'
    grep -qx '[45]' one.txt
}
