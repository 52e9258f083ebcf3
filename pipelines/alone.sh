#!/bin/bash
# alone.sh FOLDER TEXT COMMAND...: runs COMMAND while no other run works in FOLDER.
#
# What COMMAND starts inherits descriptor 9, and with it the lock: it is free
# again when the last of them has ended, however they end.  Where TEXT is "-",
# standard input is first kept below FOLDER under a name that tells its content,
# and COMMAND gets TEXT=THAT-NAME as its last word.
set -u
dir=$1 text=$2
shift 2

fail() { echo "dk: error: $*" >&2; exit 1; }

{ mkdir -p -- "$dir" && exec 9>> "$dir/.lock"; } 2> /dev/null || fail "cannot write $dir"
flock -n 9
case $? in
0) ;;
1)
    echo "dk: $dir is in use by process $(head -n 1 "$dir/.lock"); waiting until it has ended" >&2
    flock 9 || fail "cannot lock $dir/.lock"
    ;;
*) echo "dk: warning: cannot lock $dir/.lock: see to it that no other run works in $dir" >&2 ;;
esac
echo $$ > "$dir/.lock"

if [ "$text" = - ]; then
    new=$dir/text/stdin.$$.tmp
    trap 'rm -f -- "$new"' EXIT
    mkdir -p -- "$dir/text" && cat > "$new" || fail "cannot keep standard input in $dir/text"
    sum=$(sha256sum < "$new")
    kept=$dir/text/stdin-${sum:0:16}
    # A text that is there keeps its age: nothing that was made from it is stale.
    [ -e "$kept" ] || mv -- "$new" "$kept" || fail "cannot write $kept"
    rm -f -- "$new"
    set -- "$@" "TEXT=$kept"
fi
exec "$@"
