# The catalogue from its fact tables: one YAML file for each organism, model,
# data set, method and amplification preset, and the methods' schemas.
#   awk -v dir=configs -f catalogue.awk models.tsv datasets.tsv methods.tsv \
#       descriptions.md organisms.tsv finetunes.tsv
# A file that does not begin with the mark is kept by hand and left alone; in
# cake_bake only the part between the marks is made here.
BEGIN { FS = "\t"; mark = "# Made by configs/tools/remake." }

# Text as YAML would give it back; single words stay bare.
function quote(s,    t) {
    if (s == "" || s == "\"\"")
        return "\"\""
    if (s !~ /^[-?:,&*!|>%@`"'#\[\]{}<]/ && s !~ /(: |:$| #|^ | $|[\\"|])/ && s !~ /^(true|false|null|~|[-+.0-9].*)$/)
        return s
    t = s
    gsub(/\\/, "\\\\", t)
    gsub(/"/, "\\\"", t)
    return "\"" t "\""
}
# A default of methods.tsv: lists are JSON, which is YAML.
function value(s) { return s ~ /^(\[.*\]|[{][}]|true|false|null|-?[0-9][0-9.e-]*)$/ ? s : quote(s) }
function put(indent, key, s) {
    if (s != "-")
        print indent key ": " (s ~ /^(null|true|false|[0-9]+)$/ ? s : quote(s)) > out
}
function list(s) { gsub(/,/, ", ", s); return "[" s "]" }
function made_here(path,    line, got) {
    path = dir "/" path
    got = (getline line < path) > 0
    close(path)
    return !got || line == mark ? path : "/dev/null"
}
function begin(path) { out = made_here(path); print mark > out }

FNR == 1 {
    table = FILENAME
    sub(/.*\//, "", table)
    if (table ~ /tsv$/) {
        for (i = 1; i <= NF; i++)
            head[i] = $i
        next
    }
}

table == "models.tsv" {
    has_model[$1] = 1
    model[++n_models] = $1
    begin("model/" $1 ".yaml")
    for (i = 1; i <= NF; i++)
        put("", head[i], $i)
    close(out)
}

table == "datasets.tsv" {
    begin("dataset/" $1 ".yaml")
    print "name: " $1 > out
    put("", "group", $2)
    put("", "variant", $3)
    put("", "id", $4)
    put("", "subset", $5)
    print "splits: " list($6) > out
    put("", "is_chat", $7)
    put("", "text_column", $8)
    put("", "messages_column", $9)
    put("", "streaming", $10)
    put("", "description", $11)
    close(out)
}

# Dotted keys as nested maps; the rules of a method go into its schema.
function nested(key, v,    n, part, i, same) {
    n = split(key, part, ".")
    for (same = 1; same < n && same <= n_last && part[same] == last[same]; same++);
    for (i = same; i < n; i++)
        printf "%*s%s:\n", 2 * (i - 1), "", part[i] > out
    printf "%*s%s: %s\n", 2 * (n - 1), "", part[n], v > out
    n_last = n - 1
    for (i = 1; i < n; i++)
        last[i] = part[i]
}
table == "methods.tsv" {
    if ($1 != method) {
        if (method)
            close(out)
        method = $1
        n_last = 0
        begin((method ~ /\// ? "" : "method/") method ".yaml")
        schema = method ~ /\// ? "" : made_here("schema/" method ".yaml")
        if (schema)
            print mark > schema
    }
    nested($2, value($3))
    if (schema)
        print $2 ": " $4 > schema
}

table == "descriptions.md" {
    if (/^### /) {
        section = substr($0, 5)
        blank = 0
    } else if (section != "" && /^$/)
        blank++
    else if (section != "") {
        for (; blank > 0; blank--)
            if (section in text)
                text[section] = text[section] "\n"
        text[section] = text[section] $0 "\n"
    }
}
# The text of a section indented, with what it refers to in its place.
function describe(name,    n, line, i) {
    n = split(text[name], line, "\n")
    for (i = 1; i < n; i++)
        if (line[i] ~ /^@[a-z0-9_]+$/)
            describe(substr(line[i], 2))
        else
            print (line[i] == "" ? "" : "  " line[i]) > out
}
function first_sentence(name,    s) {
    s = text[name]
    sub(/\n.*/, "", s)
    if (index(s, ". "))
        s = substr(s, 1, index(s, ". "))
    sub(/\.? Traits:$/, ".", s)
    return s
}

table == "organisms.tsv" {
    organism[++n_organisms] = $1
    row[$1] = $0
}

table == "finetunes.tsv" {
    id = $5 ($6 == "-" ? "" : "/" $6)
    if (($1, $2) in seen == 0) {
        seen[$1, $2] = 1
        tunes[$1] = tunes[$1] "  " $2 ":\n"
        if (!($2 in has_model))
            lacking[$1] = lacking[$1] (lacking[$1] ? ", " : "") $2
    }
    tunes[$1] = tunes[$1] "    " $3 ": {" $4 "_id: " id "}\n"
}

function one_organism(name,    f, n, pair, i, kv) {
    split(row[name], f, "\t")
    begin("organism/" name ".yaml")
    print "name: " name "\ntype: " f[2] > out
    print "description: " quote(first_sentence(name)) > out
    print "description_long: |" > out
    describe(name)
    if (f[3] != "-") {
        print "dataset:" > out
        put("  ", "id", f[3])
        put("  ", "subset", f[4])
        print "  splits: " list(f[5]) > out
        put("  ", "is_chat", f[6])
        put("  ", "text_column", f[7])
        put("  ", "messages_column", f[8])
    }
    put("", "agent_interaction_system_prompt", f[9])
    if (f[10] != "-") {
        print "metadata:" > out
        n = split(f[10], pair, ";")
        for (i = 1; i <= n; i++) {
            kv = index(pair[i], "=")
            put("  ", substr(pair[i], 1, kv - 1), substr(pair[i], kv + 1))
        }
    }
    if (name in lacking)
        print "without_model_file: [" lacking[name] "]" > out
    print "finetuned_models:" > out
    if (name == "None")
        for (i = 1; i <= n_models; i++)
            print "  " model[i] ":\n    default: {model_id: none}" > out
    else
        printf "%s", tunes[name] > out
    close(out)
}

# Everything of the file that stands, but for what lies between the two marks.
function refresh(name,    path, line, n, i, skip, keep) {
    path = dir "/organism/" name ".yaml"
    while ((getline line < path) > 0)
        keep[++n] = line
    close(path)
    out = path
    for (i = 1; i <= n; i++) {
        if (keep[i] == "  # end")
            skip = 0
        if (!skip)
            print keep[i] > out
        if (keep[i] == "  " mark) {
            printf "%s", tunes[name] > out
            skip = 1
        }
    }
    close(out)
}

END {
    for (o = 1; o <= n_organisms; o++)
        if (organism[o] == "cake_bake")
            refresh(organism[o])
        else
            one_organism(organism[o])
}
