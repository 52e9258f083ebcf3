# Which folder may include which: an arrow that points up is an error, and each
# third-party header has its one home.
BEGIN {
    may["base"] = "base"
    may["num"] = "base num"
    may["backend"] = "base num backend"
    may["io"] = "base num io"
    may["text"] = "base num io text"
    may["model"] = "base num backend io text model"
    may["method"] = "base num backend io text model method"
    may["judge"] = "base num backend io text model judge"
    may["cli"] = "base num io cli"
    may["tools"] = "base num backend io text model method judge cli"
    home["hdf5.h"] = home["zstd.h"] = home["yaml.h"] = home["zip.h"] = home["jansson.h"] = "io"
    home["curl/curl.h"] = home["zlib.h"] = "io"
    home["oneapi/dnnl/dnnl.h"] = home["dnnl.h"] = home["cblas.h"] = home["cuda_runtime.h"] = home["cuda_runtime_api.h"] = home["cublasLt.h"] = "backend num"
    home["pcre2.h"] = "base text"
    home["utf8proc.h"] = "text"
    home["openssl/evp.h"] = home["openssl/sha.h"] = "base"
    home["omp.h"] = "base num backend"
}
FNR == 1 {
    n = split(FILENAME, part, "/")
    layer = part[1] == "lib" ? part[2] : "tools"
    name = part[n]
    sub(/\.[ch]$/, "", name)
    if (!(layer in may))
        bad("lib/" layer " is in no layer (tests/layers.awk)")
}
function bad(what) { print FILENAME ":" FNR ": " what; n_bad++ }
# Files of one method begin with its name (kl, kltable).  lane and the two measures, kl and
# topk, and score* are what other methods build on; check* tries them out; export*
# writes what they hold; page* shows what the summary loads.
function kin(a, b) {
    sub(/\.h$/, "", b)
    return a ~ /^(score|check|export)/ || (a ~ /^generate/ && b ~ /^generate/) || (a ~ /^mine/ && b ~ /^mine/) || b ~ /^score/ ||
           index(a, b) == 1 || index(b, a) == 1 ||
           (b ~ /^(kl|topk|wrap|lane)$/ && a !~ /^(kl|topk)/) || (a ~ /^page/ && b ~ /^(page|summary)/)
}
function has(list, word) { return index(" " list " ", " " word " ") > 0 }
/^#include "/ {
    split($2, q, "\"")
    split(q[2], to, "/")
    if (!(to[1] in may))
        bad("includes " q[2] ": write the folder too")
    else if (!has(may[layer], to[1]))
        bad(layer " must not include " q[2])
    else if (layer == "method" && to[1] == "method" && !kin(name, to[2]))
        bad("a method must not include another: " q[2])
}
/^#include </ {
    split($2, q, /[<>]/)
    if (q[2] in home && !has(home[q[2]], layer))
        bad("<" q[2] "> has its home in lib/" home[q[2]])
}
END { exit n_bad > 0 }
