# The commands of a manual page, as a shell script: what stands between .EX and
# .EE, or .nf and .fi, in the sections and subsections that `section` names
# (EXAMPLES unless told).
BEGIN { if (section == "") section = "EXAMPLES" }
/^\.S[HS] / {
    title = $0
    sub(/^\.S[HS] /, "", title)
    gsub(/"/, "", title)
    inside = title == section
    next
}
inside && /^\.(EX|nf)/ { block = 1; next }
/^\.(EE|fi)/ { block = 0; next }
inside && block {
    gsub(/\\-/, "-")
    gsub(/\\\(aq/, "'")
    gsub(/\\\(dq/, "\"")
    gsub(/\\e/, "\\")
    gsub(/\\&/, "")
    print
}
