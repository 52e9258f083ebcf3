# An installed copy works without the checkout, and goes without a trace.
load ../helper/mini

mk() { make --no-print-directory -C "$ROOT" DESTDIR="$PWD/inst" prefix=/usr "$@"; }

@test "install, run the pipelines from there, uninstall" {
    unset MAKEFLAGS MFLAGS MAKELEVEL DK_ROOT
    mk install
    [ -x inst/usr/bin/dk ]
    [ -f inst/usr/share/man/man1/dk-conf.1 ]
    [ -f inst/usr/share/bash-completion/completions/dk-conf ]
    [ -f inst/usr/lib/dk/hdf5/libdkzstd.so ]
    run -0 inst/usr/bin/dk conf get organism.name
    [ "$output" = cake_bake ]
    if [ -x inst/usr/bin/dk-report ]; then
        run -0 make -n -f inst/usr/share/dk/pipelines/front.mk cake_bake/kl kl.use_chat_dataset=true
        [[ "$output" == *"inst/usr/bin/dk-kl -m "* ]]
        [[ "$output" == *"$PWD/inst/usr/share/dk/data/text/chat.jsonl"* ]]
    fi
    mk uninstall
    [ -z "$(find inst -type f)" ]
}

@test "dk diff from an installed copy, from any folder: paths, standard input, the shipped texts" {
    pair_here
    unset DK_ROOT
    make --no-print-directory -C "$ROOT" prefix="$PWD/inst" install > /dev/null
    mkdir elsewhere
    cd elsewhere
    run -0 --separate-stderr env PATH=/usr/bin:/bin "$OLDPWD/inst/bin/dk" diff -t 1 ../base ../full --max-samples 2 --max-tokens 8 -o r
    [ "${lines[0]}" = "full on base, products in auto" ]
    for f in kl/general-a.jsonl diff_mining/general-a.top_k_occurring.jsonl activation_difference_lens/general-a.lens.jsonl \
             summary.json index.html; do
        [ -s r/$f ]
    done
    PATH=/usr/bin:/bin ../inst/bin/dk diff -t 1 ../base ../mine/adapter --text - --methods kl < ../t.jsonl
    [ -s results/diff/base/mine/kl/stdin.jsonl ]
    [ -z "$(did env PATH=/usr/bin:/bin ../inst/bin/dk-diff -t 1 ../base ../full --max-samples 2 --max-tokens 8 -o r)" ]
    [ "$(ls)" = $'r\nresults' ]
    [ -z "$(find ../inst -newer r/summary.json)" ]
}
