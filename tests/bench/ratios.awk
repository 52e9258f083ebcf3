# Lines NAME SHAPE RATE [PERCENT]: ours with the ratio to each peer's that did the same.
BEGIN { FS = "\t" }
$1 == "roof" { roof[$2] = $3; print "roof: oneDNN, " $2 ", 512 rows, packed: " $3 " GFLOP/s, " $4; next }
$1 == "kernel" { print "kernel: " $2 ", " $3 " threads"; next }
$1 == "memory" { print "memory: " $3 " MB at most"; next }
$1 ~ /^(torch|llama)-/ {
    peer = $1
    sub(/-(one-logits|one-blocks|pair-blocks|pair-kl-top|decode|logits|blocks)$/, "", peer)
    what = substr($1, length(peer) + 2)
    if (what == "logits" || what == "blocks")
        what = "one-" what
    len = $2
    sub(/^[0-9]*x/, "", len)
    if (!(peer in seen)) { seen[peer]; order[++peers] = peer }
    rate[peer, what, len] = $3
    next
}
{ name[++n] = $1; shape[n] = $2; got[n] = $3; share[n] = $4 }
END {
    for (i = 1; i <= n; i++) {
        len = shape[i]
        sub(/^[0-9]*x/, "", len)
        like = name[i]
        sub(/-diff/, "", like)
        line = sprintf("%-18s %-8s %7.1f tokens/s", name[i], shape[i], got[i])
        if (share[i] != "")
            line = line sprintf(", %d%% of its products alone", share[i])
        for (p = 1; p <= peers; p++)
            if ((order[p], like, len) in rate)
                line = line sprintf("; %s %.1f: %.2f times", order[p], rate[order[p], like, len], got[i] / rate[order[p], like, len])
        print line
    }
}
