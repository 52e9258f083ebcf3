# Loaded by every bats file: one private folder a test, and where things are.
bats_require_minimum_version 1.5.0
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
# tests/run.sh says which build is tested; by hand it is the usual one.
command -v dk-conf > /dev/null || PATH=$ROOT/build/bin:$PATH

setup() {
    mkdir "$BATS_TEST_TMPDIR/w" && cd "$BATS_TEST_TMPDIR/w" || return 1   # bats keeps files above
    export XDG_CONFIG_HOME=$PWD/config DK_CACHE=$PWD/cache
    unset DK_CONFIGS
    if declare -F setup_more > /dev/null; then setup_more; fi
}

# One line, the tool's name first: what every failure looks like.
one_error() {
    [ "$(wc -l <<< "$stderr")" = 1 ]
    [[ "$stderr" == "$1: error: "* ]]
}
