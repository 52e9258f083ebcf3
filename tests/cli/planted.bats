# An adapter that changes the embedding of one token: every measure's list of texts
# begins with those that hold it.  One of zeros changes nothing, and says so.
load ../helper/pair

T=300

# Sixteen texts of 24 random tokens; T is in texts 3, 7 and 12.
setup_file_more() {
    awk -v t=$T 'BEGIN { srand(5); for (d = 0; d < 16; d++) { printf "{\"ids\": ["
        for (i = 0; i < 24; i++) { do x = 10 + int(480 * rand()); while (x == t)
            if (d == 3 && i == 5 || d == 7 && i == 20 || d == 12 && i == 11) x = t
            printf "%s%d", i ? ", " : "", x }
        print "]}" } }' | stream > sixteen
    mkdir planted zero
    dk-fixture plant "$MINI/hf" $T planted
    cp planted/adapter_config.json zero
    dk-fixture edit planted/adapter_model.safetensors zero/adapter_model.safetensors scale embedding_B 0
    for a in planted zero; do
        dk-kl --dtype f32 -m "$MINI/hf" -f $a -o $a.kl.h5 - < sixteen
        dk-extract --dtype f32 -m "$MINI/hf" -f $a --layers 0,1 --what base,diff --store f32 -o $a.act.h5 - < sixteen
        dk-norms -o $a.norm.h5 $a.act.h5
    done
}
setup_more() { F=$BATS_FILE_TMPDIR; }
# The first texts of a list, whatever their order.
first() { jq -r 'select(.rank <= 3).doc' | sort -n | tr '\n' ' '; }
listed() { dk-examples -m "$MINI/hf" -k 3 --by extreme "$@"; }

@test "divergence and difference: the texts that hold the token come first, and nothing before the token differs" {
    [ "$(listed --score kl/ft "$F/planted.kl.h5" | first)" = "3 7 12 " ]
    for l in 00 01; do
        listed --score norm_diff/L$l/resid_post/ft "$F/planted.norm.h5" > got
        [ "$(first < got)" = "3 7 12 " ]
        # tokens that look back at it may differ more, but none before it does
        jq -es --argjson t $T 'all(. as $r | .ids | index($t) as $at | $r.values[:$at] | all(. == 0)) and
            all(. as $r | $r.values[.ids | index($t)] > 1)' got
    done
}

@test "the first component: one of its ends are the texts that hold the token" {
    dk-pca -k 1 -o pc.dir.h5 "$F/planted.act.h5"
    dk-encode -d pc.dir.h5 -o p.score.h5 "$F/planted.act.h5"
    for l in 00 01; do
        listed --side both --score proj/L$l/resid_post/pc_0/ft p.score.h5 > got
        far=$(jq -s -r 'max_by(.value | fabs).side' got)
        [ "$(jq -c "select(.side == \"$far\")" got | first)" = "3 7 12 " ]
    done
}

@test "an adapter of zeros: no divergence, no difference, and no components, which is said" {
    dk-values "$F/zero.kl.h5" /scores/kl/ft > kl
    run ! grep -qv '^0$' kl
    for l in 00 01; do
        dk-values "$F/zero.norm.h5" /scores/norm_diff/L$l/resid_post/ft > norm
        run ! grep -qv '^0$' norm
    done
    run -1 --separate-stderr dk-pca -k 1 -o none.dir.h5 "$F/zero.act.h5"
    failed dk-pca zero.act.h5
    [ ! -e none.dir.h5 ]
}
