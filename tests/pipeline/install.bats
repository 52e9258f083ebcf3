# An installed copy works without the checkout, and goes without a trace.
load ../helper/common

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
