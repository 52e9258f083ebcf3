bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    cp "$DK_ROOT"/tests/data/h5/*.h5 .
    head='{"dk":"tokens","version":"1.0","format":"text","bos":"none","max_tokens":0,"vocab":9}'
    doc='{"id":0,"ids":[1,2,3],"flags":[0,0,4]}'
    id=$(stream_id)
    tail='{"rows":3,"docs":1,"content_id":"'$id'"}'
}

# The content id of the stream above, from its definition.
stream_id() {
    {
        printf 'encoding-version=1.0\ncorpus.sha256=\n'
        printf '/docs/id u64 1\n\0\0\0\0\0\0\0\0'
        printf '/docs/offset u64 2\n\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0'
        printf '/rows/flags u8 3\n\0\0\4'
        printf '/rows/pos u32 3\n\0\0\0\0\1\0\0\0\2\0\0\0'
        printf '/rows/token u32 3\n\1\0\0\0\2\0\0\0\3\0\0\0'
    } | sha256sum | sed 's/^/sha256:/; s/ .*//'
}

@test "no file is a usage error on stderr, and nothing reaches stdout" {
    run -2 --separate-stderr dk-info
    [ -z "$output" ]
    [[ "$stderr" == "dk-info: error: "* ]]
}

@test "one form at a time, and what belongs to one stays with it" {
    run -2 dk-info --json --check sample-1.0.tok.h5
    run -2 dk-info --json --export x sample-1.0.tok.h5
    run -2 dk-info --deep sample-1.0.tok.h5
    run -2 dk-info --model m.gguf sample-1.0.tok.h5
    [ ! -e x ]
}

@test "a token file is described" {
    run -0 dk-info sample-1.0.tok.h5
    [[ "${lines[0]}" == "sample-1.0.tok.h5: dk-tokens 1.0, 305 rows, 3 docs" ]]
    [[ "$output" == *"/rows/token u32[305]"* ]]
    [[ "$output" == *"/corpus "*"vocab=999"* ]]
}

@test "version 1.0 keeps its content id" {
    run -0 dk-info --check sample-1.0.tok.h5
    [ "$output" = "sample-1.0.tok.h5: ok, $("$DK_ROOT"/tests/data/h5/content_id.py)" ]
}

@test "JSON is one object a file" {
    run -0 dk-info --json sample-1.0.tok.h5 sample-1.0.tok.h5
    [ "${#lines[@]}" = 2 ]
    [[ "${lines[1]}" == '{"file":"sample-1.0.tok.h5","kind":"dk-tokens","version":"1.0","rows":305,'* ]]
    [[ "${lines[1]}" == *'"path":"/rows/token","kind":"dataset","type":"u32","shape":[305]'* ]]
}

@test "the lineage is a tree" {
    run -0 dk-info --lineage sample-1.0.tok.h5
    [[ "${lines[0]}" == "sample-1.0.tok.h5  dk-test 0.1.0 algo 1  sha256:"* ]]
    [ "${lines[1]}" = "  a.jsonl  text  sha256:00" ]
}

# refused FILE TEXT [STATUS]: one line on stderr that names the file and says TEXT.
refused() {
    run -"${3:-3}" --separate-stderr dk-info --check "$1"
    [ -z "$output" ]
    [ "${#stderr_lines[@]}" = 1 ]
    [[ "$stderr" == "dk-info: error: "*"$1"*"$2"* ]]
}

@test "refused: a truncated file" {
    head -c 9000 sample-1.0.tok.h5 > cut.tok.h5
    refused cut.tok.h5 truncated
}

@test "refused: an extra link" { refused soft-link.tok.h5 "link to elsewhere"; }
@test "refused: external storage" { refused external-storage.tok.h5 "another file"; }
@test "refused: an unknown filter" { refused unknown-filter.tok.h5 "unknown filter 32099"; }
@test "refused: a wrong content id" { refused wrong-id.tok.h5 "content id"; }
@test "refused: an unknown required feature" { refused unknown-feature.tok.h5 "ft_delta"; }
@test "refused: a newer major version" { refused newer-major.tok.h5 "newer dk"; }
@test "refused: an unknown kind, by name" { refused unknown-kind.h5 "dk-cakes"; }
@test "refused: a file that is no HDF5" { echo text > t.h5; refused t.h5 "no HDF5 file"; }
@test "refused: a file that is not there" { refused gone.h5 "No such file" 1; }
@test "refused: a folder" { mkdir d.h5; refused d.h5 "regular file" 1; }

@test "a token stream is read from standard input" {
    printf '%s\n' "$head" "$doc" "$tail" > good
    run -0 dk-info - < good
    [ "${lines[0]}" = "-: dk-tokens stream, 3 rows, 1 docs" ]
    run -0 dk-info --check - < good
    [ "$output" = "-: ok, $id" ]
}

@test "refused: a stream without trailer" {
    printf '%s\n' "$head" "$doc" > cut
    run -1 dk-info - < cut
    [[ "$output" == *"the stream was cut"* ]]
}

@test "refused: a stream cut in its trailer" {
    printf '%s\n%s\n%s' "$head" "$doc" "$tail" > cut
    run -1 dk-info - < cut
    [[ "$output" == *"the stream was cut"* ]]
}

@test "refused: a stream that lost a document" {
    printf '%s\n' "$head" "$tail" > cut
    run -1 dk-info - < cut
    [[ "$output" == *"the stream was cut"* ]]
}

@test "refused: a stream with another token than the content id says" {
    printf '%s\n' "$head" "${doc/3]/4]}" "$tail" > other
    run -1 dk-info - < other
    [[ "$output" == *"content id"* ]]
}

@test "a full standard output is an error" {
    [ -e /dev/full ] || skip "no /dev/full"
    run -1 bash -c 'dk-info --json sample-1.0.tok.h5 > /dev/full'
    [[ "$output" == *"cannot write standard output"* ]]
}

@test "the first bad file ends the run, after the good ones" {
    run -1 --separate-stderr dk-info --check sample-1.0.tok.h5 gone.h5
    [ "${#lines[@]}" = 1 ]
    [[ "$stderr" == *"gone.h5"* ]]
}

@test "without the HDF5 library: one line that names it and its package; help works" {
    local so
    so=$(grep -aom1 'libhdf5[a-z_]*\.so\.[0-9]*' "$(command -v dk-info)")
    mkdir lib
    : > "lib/$so"
    LD_LIBRARY_PATH=$PWD/lib run -1 --separate-stderr dk-info sample-1.0.tok.h5
    [ "${#stderr_lines[@]}" = 1 ]
    [[ "$stderr" == "dk-info: error: "*libhdf5-dev*"$so"* ]]
    LD_LIBRARY_PATH=$PWD/lib run -0 dk-info --help
}

@test "files of weights: tensors, types, sizes; 2 GB are not read for it" {
    run -0 dk-info "$DK_ROOT/tests/golden/mini/mini.gguf"
    [[ "${lines[0]}" == *"mini.gguf: GGUF, 20 tensors, 94528 values, 116480 bytes" ]]
    [[ "$output" == *"architecture  llama"* ]]
    run -0 dk-info "$DK_ROOT/tests/golden/mini/hf/model.safetensors"
    [[ "${lines[0]}" == *"model.safetensors: safetensors, 20 tensors, 94528 values, 189056 bytes" ]]
    [[ "$output" == *"model.embed_tokens.weight BF16[512 x 64]"* ]]
    [ "$(dk-info --json "$DK_ROOT/tests/golden/mini/hf/model.safetensors" | jq -c '[.kind, .bytes, (.objects | length), .objects[0].shape]')" \
        = '["safetensors",189056,20,[512,64]]' ]
    "$DK_ROOT/tests/helper/sparse-checkpoint" big.safetensors 256
    [ "$(stat -c %b big.safetensors)" -lt 200 ]
    run -0 dk-info big.safetensors
    [[ "${lines[0]}" == "big.safetensors: safetensors, 256 tensors, 1073741824 values, 2147483648 bytes" ]]
    truncate -s -1 big.safetensors
    refused big.safetensors "incomplete"
}
