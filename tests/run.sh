#!/bin/bash
# tests/run.sh PART...: runs parts of the tests and counts.  Every test program
# speaks TAP; a part that is one command counts as one test.  Failing tests are
# shown as they fail.  The last line is "N passed, N failed"; the exit status
# is 0 only if something passed and nothing failed.
set -u
# A job in the background of a script is started with SIGINT ignored, and would
# hand that down to the tools under test.
if [ -z "${DK_SIGNALS_RESET:-}" ]; then
    exec env --default-signal=INT,QUIT,HUP,TERM,PIPE DK_SIGNALS_RESET=1 "$0" "$@"
fi
unset DK_SIGNALS_RESET
: "${B:=build}" "${MAKE:=make}"
cd "$(dirname "$0")/.." || exit 1
root=$PWD
export PATH="$root/$B/bin:$PATH" DK_ROOT=$root LC_ALL=C.UTF-8
export -n B
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
logs=$B/check
mkdir -p "$logs"
passed=0 failed=0 skipped=0

# The model, where it can be had without a network or with one.
DK_TEST_MODEL=${DK_TEST_MODEL:-$("$B/bin/dk-fetch" SmolLM2-135M)} && export DK_TEST_MODEL

say() { printf '%s\n' "$*"; }

# one NAME COMMAND...: a part that is one test.
one() {
    local name=$1 log=$logs/$1.log
    shift
    if "$@" > "$log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        say "not ok - $name"
        sed 's/^/    /' "$log"
    fi
}

# tap NAME COMMAND...: runs a program that prints TAP and adds up its lines.  A
# program that fails without a failed test, or runs none, is a failed test.
tap() {
    local name=$1 log status ok bad skip
    log=$logs/$(tr -c 'A-Za-z0-9_\n-' _ <<< "$1").tap
    shift
    "$@" > "$log" 2> "$log.err"
    status=$?
    ok=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^not ok ' "$log")
    skip=$(grep -ci '^ok .*# skip' "$log")
    if [ "$bad" = 0 ] && { [ $status != 0 ] || [ "$ok" = 0 ]; }; then
        say "not ok - $name: ended with status $status after $ok tests"
        tail -n 20 "$log.err" | sed 's/^/    /'
        bad=1
    elif [ "$bad" != 0 ]; then
        awk -v name="$name" '/^not ok /  { print "not ok - " name ": " $0; show = 1; next }
                             /^ok |^1\.\./ { show = 0 }
                             show          { print "    " $0 }' "$log"
        tail -n 10 "$log.err" | sed 's/^/    /'
    fi
    passed=$((passed + ok - skip)) failed=$((failed + bad)) skipped=$((skipped + skip))
}

# bats FILES, one at a time, so that one that cannot be read is one failure.
bats_files() {
    local f
    for f in "$@"; do
        if [ -z "${tags:-}" ] && grep -q '^# *bats file_tags=.*slow' "$f"; then continue; fi     # nothing is left
        tap "$f" bats --tap --filter-tags "${tags:-!slow}" "$f"
    done
}

nothing() { failed=$((failed + 1)); say "not ok - $1: there are no tests"; }

# The default model against the reference's numbers: minutes, and no place for sanitizers.
golden_tests="test_forward test_bf16 test_toolkit test_activations test_analysis test_sites"

unit() {
    local t n=0
    one "$1 build" "$MAKE" --no-print-directory unit-tests ${2:+$2} || return
    for t in "$3"/tests/test_*; do
        [ -x "$t" ] && { [ -f "tests/unit/${t##*/}.c" ] || [ -f "tests/cuemu/${t##*/}.cpp" ]; } || continue
        case " $golden_tests " in *" ${t##*/} "*) continue ;; esac
        n=$((n + 1))
        tap "$1 ${t##*/}" "$t"
    done
    [ $n != 0 ] || nothing "$1"
}

part_unit() { unit unit '' "$B"; }

part_golden() {
    local t
    one "golden build" "$MAKE" --no-print-directory unit-tests || return
    for t in $golden_tests; do tap "golden $t" "$B/tests/$t"; done
}

part_bats() {
    local files
    mapfile -t files < <(compgen -G "tests/$1/*.bats")
    if [ ${#files[@]} = 0 ]; then nothing "$1"; else bats_files "${files[@]}"; fi
}

# What reads foreign bytes, once more under the sanitizers: the unit tests, and
# the command lines of the tools that read configurations and files.
#
# The sanitizers' own reading of thread-local blocks is switched off: it takes a
# block that starts 16 bytes into a page for one with the header that glibc had
# until 2.19, and the leak check then dies on the addresses found there.
part_san() {
    local f
    local -x ASAN_OPTIONS=intercept_tls_get_addr=0
    unit san "SAN=1 B=build-san" build-san
    one "san tools" "$MAKE" --no-print-directory all helpers libdk_cuda_emu SAN=1 B=build-san CUDA=
    for f in dk-conf dk-archs dk-fetch dk-fetch-hub dk-fetch-data dk-tokenize-files dk-tokenize-tables dk-info dk-info-hdf5 dk-check \
             dk-generate dk-generate-steer dk-generate-amplify dk-rate dk-kl dk-topk dk-mine dk-extract dk-import dk-merge dk-mean dk-norms dk-encode dk-examples dk-pca \
             dk-null dk-calibrate dk-phrases dk-grade dk-lens streams backend dk-report dk-report-page dk-report-stats dk-report-phrases; do
        [ -f "tests/cli/$f.bats" ] || continue
        PATH="$root/build-san/bin:$PATH" tap "san $f" bats --tap --filter-tags '!slow' "tests/cli/$f.bats"
    done
    # Some of the broken files; all of them take a minute.
    PATH="$root/build-san/bin:$PATH" tap "san badinput" bats --tap --filter-tags 'san,!slow' tests/cli/badinput.bats
}

part_slow() {
    local files t
    one "slow build" "$MAKE" --no-print-directory unit-tests slow-tests
    for t in test_toolkit test_activations test_analysis test_bf16 test_arith test_amplify test_infer test_null test_calibrate slow_forward; do DK_SLOW=1 tap "slow $t" "$B/tests/$t"; done
    mapfile -t files < <(grep -lE '^# *bats (file|test)_tags=.*slow' tests/*/*.bats)
    if [ ${#files[@]} = 0 ]; then nothing slow; else tags=slow bats_files "${files[@]}"; fi
}

for part; do
    t0=$SECONDS p0=$passed f0=$failed
    case $part in
    layers | headers | banned | shell | man) one "$part" "$MAKE" --no-print-directory "check-$part" ;;
    unit | golden | san | slow) "part_$part" ;;
    cli | pipeline) part_bats "$part" ;;
    *) nothing "$part" ;;
    esac
    printf '%-10s %4d passed %4d failed %5d s\n' "$part" $((passed - p0)) $((failed - f0)) $((SECONDS - t0))
done
[ $skipped = 0 ] || say "$skipped skipped"
say "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
