# Reads `make -n --trace`: one line for each stage that would run, with make's
# reason (4.3: FILE:LINE: update target 'X' due to: Y; or: target 'X' does not exist).
/: (update target '|target ')/ {
    split($0, part, "'")
    target = part[2]
    why = $0
    sub(/^.* due to: /, "", why)
    if ((getline line < target) < 0)
        why = "not there"
    close(target)
    if (why ~ /(^| )parameters( |$)/)
        why = "its parameters changed"
    else if (why ~ /(^| )outputs( |$)/)
        why = "an output is not there"
    else if (why != "not there") {
        n = split(why, file, " ")
        why = "after"
        for (i = 1; i <= n; i++) {
            sub(/^.*\//, "", file[i])
            why = why " " file[i]
        }
    }
}
/dk-run --stage|dk-fetch --configs/ && target != "" {
    printf "%-58s %s\n", target, why
    target = ""
    n_stages++
}
END { print n_stages ? n_stages (n_stages > 1 ? " stages" : " stage") " to run" : "nothing to do" }
