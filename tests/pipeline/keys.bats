# Every parameter that the reference toolkit has for the methods of statistics:
# another value changes what would run, or is refused with its name and a reason.
load ../helper/common
load ../helper/stubs

setup_more() { stubs_here; }
conf() { dk-conf --configs configs "$@"; }
plan() { make --no-print-directory -n -f pipelines/front.mk DK="$PWD/bin" "cake_bake/$1" "${@:2}" 2>&1; }

# another KEY VALUE: a value that the key may have and does not have now.
another() {
    case $1 in
    *.layers) echo '[1]' ;;
    *.training.target) echo base ;;
    *.prompts_file) echo configs/config.yaml ;;
    *.statistics) echo '[mean]' ;;
    *.steering_factors_percentages) echo '[3.0]' ;;
    *.steering_modes) echo '[generated_only]' ;;
    *.component_steering.profile) echo short ;;
    *)
        case $2 in
        true) echo false ;;
        false) echo true ;;
        null) echo 7 ;;
        *[!0-9.]* | '') echo other ;;
        *.*) echo 0.625 ;;
        *) echo $(($2 + 1)) ;;
        esac ;;
    esac
}

# walk METHOD SETTING...: all keys of the table
walk() {
    local method=$1 key value other base rest="" n=0
    shift
    conf json organism=cake_bake method="$method" "$@" > now.json
    conf show organism=cake_bake method="$method" "$@" > shown
    base=$(plan "$method" "$@")
    [ -n "$base" ]
    while IFS=$'\t' read -r _ key _ _; do
        key=$method.$key
        value=$(jq -r --arg k "$key" '.[$k] | if type == "array" then tojson else tostring end' now.json)
        other=$(another "$key" "$value")
        n=$((n + 1))
        # what is there may always be said again
        conf get "$key" method="$method" "$@" "$key=$value" > /dev/null
        if grep -q "^${key//./\\.}: .*, fixed" shown; then
            run -2 --separate-stderr conf get "$key" organism=cake_bake method="$method" "$@" "$key=$other"
            [[ "$stderr" == *"$key"* && "$stderr" == *"only the default"*"is accepted: "* ]]
        else
            run -0 plan "$method" "$@" "$key=$other"
            [ "$output" != "$base" ] || rest="$rest $key=$other"
        fi
    done < <(awk -F'\t' -v m="$method" 'FNR > 1 && $1 == m && !seen[$2]++' "$ROOT/configs/tools/methods.tsv")
    echo "$n keys of $method; without effect:$rest"
    [ "$n" -ge 12 ]
    [ -z "$rest" ]
}

@test "kl: every key of the reference toolkit has an effect or is refused" { walk kl; }

@test "activation_analysis: every key of the reference toolkit has an effect or is refused" {
    walk activation_analysis model.ignore_first_n_tokens_per_sample_during_training=2
}

@test "pca: every key of the reference toolkit has an effect or is refused" {
    walk pca pca.training.incremental=true pca.analysis.component_steering.profile=full model.has_enable_thinking=true
}

@test "all texts where the toolkit says null; KL in the other direction on request" {
    plan kl kl.max_samples=null > p
    grep -q 'dk-tokenize .*--max-samples 0 ' p
    grep -q 'dk-kl .*--max-samples 0 ' p
    ! grep -q 'dk-kl .*--reverse' p
    plan kl kl.reverse=true | grep -q 'dk-kl .*--reverse '
    plan activation_analysis activation_analysis.max_samples=null | grep -q 'dk-tokenize .*--max-samples 0 '
}
