# Loaded by the tests of the page.

# wellformed FILE: valid HTML in the eyes of a parser; tags balance, attributes are
# quoted and known, nothing else than five entities.
wellformed() {
    tidy -q -e --drop-empty-elements no "$1" 2>&1 || return 1
    LC_ALL=C awk 'BEGIN { RS = "<" }
        function bad(what) { print what ": <" substr($0, 1, 200); n_bad++ }
        NR == 1 { next }
        {
            i = index($0, ">")
            if (i == 0) { bad("no end of tag"); next }
            tag = substr($0, 1, i - 1); rest = substr($0, i + 1)
            if (rest ~ />/) bad("> in a text")
            all = tag rest
            gsub(/&(amp|lt|gt|quot|#39|#10);/, "", all)
            if (all ~ /&/) bad("entity")
            if (tag == "!DOCTYPE html") next
            if (tag ~ /^\//) {
                if (stack[depth--] != substr(tag, 2)) bad("not what is open, " stack[depth + 1])
                next
            }
            name = tag; sub(/[ \/].*/, "", name)
            attrs = substr(tag, length(name) + 1)
            while (match(attrs, /^ [a-zA-Z-]+="[^"]*"/)) {
                a = substr(attrs, 2, index(attrs, "=") - 2)
                if (a ~ /^on/ || a == "style" || a == "src") bad("attribute " a)
                attrs = substr(attrs, RLENGTH + 1)
            }
            if (attrs == "/") next
            if (attrs != "") bad("attributes")
            if (name !~ /^(html|head|title|style|body|main|header|nav|a|section|h[1-4]|p|div|span|table|thead|tbody|tr|th|td|svg|path|circle|text|figure|figcaption|details|summary|code|mark|s|i|b|label|u|ul|li|dl|dt|dd)$/)
                bad("element")
            stack[++depth] = name
        }
        END { if (depth) { print "not closed: " stack[depth]; n_bad++ } exit n_bad > 0 }' "$1"
}

# plain: the text of HTML on standard input.
plain() { sed -e 's/<[^>]*>//g' -e 's/&lt;/</g' -e 's/&gt;/>/g' -e 's/&quot;/"/g' -e "s/&#39;/'/g" -e 's/&amp;/\&/g'; }
