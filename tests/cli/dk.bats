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

# completed TOOL WORD...: what a shell offers for the last word.
completed() {
    bash -uc '
        eval "$("$1" --help=bash)"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "_${1//-/_}"
        printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}

@test "every option of every --help and of every page is completed" {
    for t in "$(dirname "$(command -v dk)")"/dk "$(dirname "$(command -v dk)")"/dk-*; do
        t=${t##*/}
        completed "$t" -- > words       # every long one
        completed "$t" - >> words
        # the left column of --help
        "$t" --help | grep -oE '^  +(-[a-zA-Z], +)?(--)?[a-z-]+( |$)|-[hqvV], --[a-z]+|--stamp' |
            grep -oE -- '-(-[a-z][a-z-]*|[a-zA-Z]\b)' | sort -u > options
        [ "$(wc -l < options)" -gt 4 ]
        while read -r o; do
            grep -qxFe "$o" words || { echo "$t does not complete $o"; return 1; }
        done < options
        # and the page documents each word that is offered
        "$t" --help=man | sed 's/\\-/-/g' > page
        grep -e -- words | while read -r o; do
            case $o in --quiet | --verbose) continue ;; esac
            grep -qFe "fB$o\\fR" page || { echo "$t: $o is not in the page"; exit 1; }
        done
    done
}

@test "completion: choices, verbs, options of verbs, file names" {
    [ "$(completed dk-kl --dtype b)" = bf16 ]
    [ "$(completed dk-kl --dtype '' | tr '\n' ' ')" = "auto f32 bf16 " ]
    [ -z "$(completed dk-kl cake)" ]        # left to the shell
    [ "$(completed dk con)" = conf ]
    [ "$(completed dk li)" = list ]
    [ "$(completed dk help top)" = topk ]
    [ "$(completed dk topk --top)" = --top-k ]
    [ "$(completed dk topk --dtype bf)" = bf16 ]
    [ -z "$(completed dk '$(touch x)' --a)" ]
    [ ! -e x ]
}

@test "every option stands once in a tool's help, and is completed once" {
    for tool in $(dk list | awk '{ print $1 }'); do
        [ -z "$(dk "$tool" --help | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--.*' | sort | uniq -d)" ]
        [ -z "$(dk "$tool" --help=bash | sed -n "s/.*compgen -W '\(--.*\)' -- .*/\1/p" | tail -n 1 | tr ' ' '\n' | sort | uniq -d)" ]
    done
}
