# What dk-info checks and exports, and what other readers of HDF5 make of dk's
# files: h5dump and h5py, with the zstd plugin of this build.
load ../helper/pair

PLUGIN=$(dirname "$(command -v dk-kl)")/../hdf5
py() { HDF5_PLUGIN_PATH=$PLUGIN /usr/bin/python3 -c "import h5py, json, numpy as np, sys
h5py.h5z.filter_avail(32015)       # loads the plugin; writing would not
$1" "${@:2}"; }

setup_file_more() {
    dk-extract -m "$G" -f "$PLAIN" -n null="$PATTERN" -l 0,1 -o x.act.h5 texts.tok.h5
    dk-mean -n 7 -o x.dir.h5 x.act.h5
    dk-kl -m "$G" -f "$PLAIN" -n null="$PATTERN" -k 5 -o x.score.h5 --table x.jsonl texts.tok.h5
}

setup_more() {
    F=$BATS_FILE_TMPDIR
    T=$F/texts.tok.h5
    IDS=$F/ids.stream
}

@test "every kind passes the deep check" {
    for f in x.act.h5 x.dir.h5 x.score.h5 texts.tok.h5; do
        run -0 dk-info --check --deep "$F/$f"
        [[ "$output" == "$F/$f: ok, sha256:"* ]]
    done
}

@test "h5dump shows the values, and the attributes without the plugin" {
    HDF5_PLUGIN_PATH=$PLUGIN h5dump -y -w 1 -d /rows/token -o tokens.txt "$T" > /dev/null
    dk-values "$T" /rows/token > want
    diff <(tr -d ' ,' < tokens.txt | grep .) want
    run -0 h5dump -A "$F/x.act.h5"
    [[ "$output" == *'"dk-activations"'* ]]
    HDF5_PLUGIN_PATH=$PWD run h5dump -d /rows/token "$T"        # and not by chance
    [[ "$output" == *"unable to print data"* ]]
}

@test "h5py reads tokens, scores, directions and bf16 activations" {
    py '
f = h5py.File(sys.argv[1])
print(*f["rows/token"][:], sep="\n")' "$T" | diff - <(dk-values "$T" /rows/token)
    py '
f = h5py.File(sys.argv[1])
print(*("%.9g" % v for v in f["scores/kl/ft"][:]), sep="\n")' "$F/x.score.h5" | paste - <(dk-values "$F/x.score.h5" /scores/kl/ft) | near 1e-7
    py '
f = h5py.File(sys.argv[1])
print(*("%.9g" % v for v in f["dirs/L01/resid_post/diff/vector"][:].ravel()), sep="\n")
assert f["dirs/L01/resid_post/diff/name"][0] == b"mean_pos_0"' "$F/x.dir.h5" |
        paste - <(dk-values "$F/x.dir.h5" /dirs/L01/resid_post/diff/vector | tr -s ' \t' '\n') | near 1e-7
    # as it comes, and by the five lines of dk-formats(5)
    py '
f = h5py.File(sys.argv[1])
d = f["acts/L01/resid_post/diff"]
raw = np.empty(d.shape, "<u2")
d.id.read(h5py.h5s.ALL, h5py.h5s.ALL, raw, d.id.get_type())
fast = (raw.astype("<u4") << 16).view("<f4")
assert np.array_equal(fast, d[:]) and np.abs(fast).max() > 0
print(*("%.9g" % v for v in fast.ravel()), sep="\n")' "$F/x.act.h5" |
        paste - <(dk-values "$F/x.act.h5" /acts/L01/resid_post/diff | tr -s ' \t' '\n') | near 1e-7
}

# A bit of the file at $1, at the chunk of dataset $2.
flip() {
    py '
with h5py.File(sys.argv[1]) as f:
    c = f[sys.argv[2]].id.get_chunk_info(0)
with open(sys.argv[1], "r+b") as f:
    f.seek(c.byte_offset + c.size // 2)
    b = f.read(1)[0] ^ 8
    f.seek(-1, 1)
    f.write(bytes([b]))' "$1" "$2"
}

@test "damage is named by file, dataset and chunk, with status 3" {
    for d in acts/L00/resid_post/base acts/L01/resid_post/diff rows/token docs/offset; do
        cp "$F/x.act.h5" b.act.h5
        flip b.act.h5 $d
        run -3 --separate-stderr dk-info --check --deep b.act.h5
        failed dk-info "b.act.h5: chunk 0 of /$d "
        [ -z "$output" ]
    done
    cp "$F/x.act.h5" b.act.h5
    LC_ALL=C sed -i 's/"name":"mini.gguf"/"name":"tiny.gguf"/' b.act.h5
    run -3 --separate-stderr dk-info --check b.act.h5
    failed dk-info "b.act.h5: chunk 0 of /provenance/inputs is damaged"
}

@test "a file whose hashes were taken along with the values fails by its content id" {
    cp "$F/x.score.h5" b.score.h5
    py '
with h5py.File(sys.argv[1], "r+") as f:
    f["docs/id"][5] = 99
    del f["check"]' b.score.h5
    run -3 --separate-stderr dk-info --check b.score.h5
    failed dk-info "b.score.h5: the values have content id"
}

@test "deep: numbers that cannot be" {
    edit() { cp "$F/$1" "b.$1" && py "
with h5py.File(sys.argv[1], 'r+') as f:
    $2
    del f['check']" "b.$1"; }
    edit x.score.h5 "f['scores/kl/null'][7] = -1"
    run -3 --separate-stderr dk-info --check --deep b.x.score.h5
    failed dk-info "/scores/kl/null is -1 in row 7"
    edit x.score.h5 "f['scores/topk/ft/top/index'][3, 1] = 512"
    run -3 --separate-stderr dk-info --check --deep b.x.score.h5
    failed dk-info "the token 512 in row 3"
    edit x.act.h5 "f['acts/L00/resid_post/diff'].attrs.modify('norm_rms', 1.0)"
    run -3 --separate-stderr dk-info --check --deep b.x.act.h5
    failed dk-info "L00/resid_post/diff: the rows have the norm"
    edit x.dir.h5 "f['dirs/L01/resid_post/base/norm'][2] = 1.0"
    run -3 --separate-stderr dk-info --check --deep b.x.dir.h5
    failed dk-info "L01/resid_post/base: the vector mean_pos_2 has the length"
    dk-extract -m "$G" -f "$PLAIN" -l 0 -o z.act.h5 "$T"
    py '
with h5py.File("z.act.h5", "r+") as f:
    d = f["acts/L00/resid_post/diff"]
    d.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros(d.shape, "<u2"), d.id.get_type())
    d.attrs.modify("norm_rms", 0.0)
    del f["check"]'
    run -3 --separate-stderr dk-info --check --deep z.act.h5
    failed dk-info "L00/resid_post: the finetune does not differ"
}

@test "export: tokens" {
    dk-info --export out "$T"
    [ "$(ls out | tr '\n' ' ')" = "sequence_ranges.npy tokens.npy " ]
    py '
f = h5py.File(sys.argv[1])
t, r = np.load("out/tokens.npy"), np.load("out/sequence_ranges.npy")
assert t.dtype == r.dtype == np.int64
assert np.array_equal(t, f["rows/token"][:]) and np.array_equal(r, f["docs/offset"][:])' "$T"
    dk-info --export stream - < "$IDS"
    cmp <(jq -c '.ids[]' "$MINI/ids.jsonl") <(py 'print(*np.load("stream/tokens.npy"), sep="\n")')
}

@test "export: activations of every lane, with running sums" {
    dk-info --export out "$F/x.act.h5"
    [ "$(ls out | tr '\n' ' ')" = "base diff diff.null ft null " ]
    py '
f = h5py.File(sys.argv[1])
g = f["acts/L01/resid_post"]
want = {"base": g["base"][:], "diff": g["diff"][:], "ft": g["base"][:] + g["diff"][:], "null": g["base"][:] + g["diff.null"][:]}
for lane, x in want.items():
    d = f"out/{lane}/layer_1_out/"
    got = np.load(d + "shard_0.npy")
    assert got.dtype == np.float32 and np.array_equal(got, x), lane
    x = x.astype("f8")
    assert np.allclose(np.load(d + "mean.npy"), x.mean(0), rtol=1e-12, atol=1e-12)
    assert np.allclose(np.load(d + "std.npy"), x.std(0, ddof=1), rtol=1e-10)
    assert np.allclose(np.load(d + "M2.npy"), ((x - x.mean(0)) ** 2).sum(0), rtol=1e-10)
    assert np.load(d + "count.npy") == len(x)
    c = json.load(open(d + "config.json"))
    assert (c["total_size"], c["d_model"], c["shard_count"], c["io"]) == (240, 64, 1, "out")
    assert len(np.load(f"out/{lane}/tokens.npy")) == 240' "$F/x.act.h5"
}

@test "export: directions" {
    dk-info --export out "$F/x.dir.h5"
    py '
f = h5py.File(sys.argv[1])
for prefix, what in ("", "diff"), ("base_", "base"), ("ft_", "ft"):
    for i, p in enumerate(["pos_0", "pos_1", "pos_2", "pos_3", "pos_4", "pos_5", "pos_6", "all"]):
        got = np.load(f"out/layer_1/general-a/{prefix}mean_{p}.npy")
        assert np.array_equal(got, f[f"dirs/L01/resid_post/{what}/vector"][i]), (what, p)
m = json.load(open("out/layer_1/general-a/mean_pos_2.meta"))
assert m == {"count": 6, "activation_dim": 64, "position": 2, "token_id": None}
n = json.load(open("out/model_norms_general-a.json"))
assert n["skip_tokens"] == 5 and n["ft_model_norms"]["1"] == f["dirs/L01/resid_post/ft"].attrs["act_norm"]' "$F/x.dir.h5"
}

@test "export: scores" {
    dk-info --export out -m "$G" "$F/x.score.h5"
    py '
f = h5py.File(sys.argv[1])
rows = {r["lane"]: r for r in map(json.loads, open(sys.argv[2]))}
for tail, lane in ("", "ft"), ("_null", "null"):
    k = json.load(open(f"out/kl/general-a{tail}.json"))
    for key in "dataset_id", "per_token_statistics", "mean_per_sample_statistics", "total_tokens_processed":
        assert k[key] == rows[lane][key], (lane, key)
    assert k["metadata"]["base_model"] == "mini.gguf"
    assert np.array_equal(np.load(f"out/kl/general-a{tail}_per_token.npy"), f["scores/kl/" + lane][:])
    s = json.load(open(f"out/general-a{tail}_global_token_stats.json"))
    assert (s["num_samples"], s["total_positions_analyzed"], s["num_unique_tokens"]) == (6, 240, 512)
    g = s["global_token_stats"]
    assert [x["sum_logit_diff"] for x in g] == list(f[f"vocab/{lane}/sum_logit_diff"][:])
    assert [x["count_positive"] for x in g] == list(f[f"vocab/{lane}/count_positive"][:])
    assert g[0]["token"] == "<|endoftext|>" and g[-1]["token_id"] == 511
    for end in "top", "bottom":
        i = np.load(f"out/saved_tensors/logit_diffs/general-a{tail}_{end}_index.npy")
        assert np.array_equal(i, f[f"scores/topk/{lane}/{end}/index"][:])
lp = np.load("out/saved_tensors/log_probs/general-a_base_log_probs.npy")
assert np.array_equal(lp, f["scores/logp/base"][:], equal_nan=True)' "$F/x.score.h5" "$F/x.jsonl"
    dk-info --export plain "$F/x.score.h5"
    [ "$(jq '.global_token_stats[7].token' plain/general-a_global_token_stats.json)" = null ]
}

@test "export fails without leaving anything" {
    mkdir full && touch full/x
    run -2 --separate-stderr dk-info --export full "$T"
    failed dk-info "full is not empty"
    run -1 --separate-stderr dk-info --export out gone.h5
    head -c 9000 "$F/x.act.h5" > cut.act.h5
    run -1 --separate-stderr dk-info --export out cut.act.h5
    failed dk-info cut.act.h5
    cp "$F/x.act.h5" b.act.h5
    py '
with h5py.File("b.act.h5", "r+") as f:
    d = f["acts/L01/resid_post/diff"]
    d.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.full(d.shape, 0x7f80, "<u2"), d.id.get_type())'
    run -1 --separate-stderr dk-info --export out b.act.h5       # after some files are there
    failed dk-info "b.act.h5"
    run -1 --separate-stderr dk-info --export out -m "$PLAIN" "$F/x.score.h5"
    run -2 dk-info --export out "$T" "$T"
    [ -z "$(ls -d out* 2> /dev/null)" ]
}
