load ../helper/common

@test "a verb becomes its tool, options and all" {
    run -0 dk conf --configs "$ROOT/configs" list models
    [[ "$output" == *SmolLM2-135M* ]]
    run -2 --separate-stderr dk conf --nonsense
    one_error dk-conf
}

@test "verbs are found on PATH too" {
    mkdir bin
    printf '#!/bin/sh\necho "mine: $*"\n' > bin/dk-mine-own
    chmod +x bin/dk-mine-own
    PATH="$PWD/bin:$PATH" run -0 dk mine-own -x 1
    [ "$output" = "mine: -x 1" ]
}

@test "list shows every tool with its purpose" {
    run -0 dk list
    [[ "$output" == *"  conf           resolve configurations"* ]]
    for t in "$(dirname "$(command -v dk)")"/dk-*; do
        [[ "$output" == *"  $(basename "$t" | cut -c4-) "* ]]
    done
}

@test "help, help VERB, --help and --version" {
    run -0 --separate-stderr dk help
    [[ "$output" == "usage: dk VERB"* ]]
    [ -z "$stderr" ]
    run -0 dk help conf
    [[ "$output" == "usage: dk-conf "* ]]
    run -0 dk --help
    run -0 dk --version
    [[ "$output" == "dk "[0-9]* ]]
}

@test "an unknown verb is a usage error with a suggestion" {
    run -2 --separate-stderr dk cnof
    one_error dk
    [[ "$stderr" == *"did you mean 'conf'?"* ]]
    run -2 --separate-stderr dk ../bin/true
    run -2 --separate-stderr dk
    one_error dk
}

@test "every tool: help and version on stdout, misuse on stderr with status 2" {
    for t in "$(dirname "$(command -v dk)")"/dk-*; do
        run -0 --separate-stderr "$t" --help
        [[ "$output" == "usage: ${t##*/} "* ]]
        [ -z "$stderr" ]
        run -0 "$t" --version
        run -0 "$t" --stamp
        run -2 --separate-stderr "$t" --no-such-option
        one_error "${t##*/}"
        [ -z "$output" ]
    done
}
