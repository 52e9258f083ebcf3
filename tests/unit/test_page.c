/* The HTML writer: what a text can do to a page, which is nothing. */
#include <string.h>

#include "method/pagehtml.h"
#include "tap.h"

static void becomes(const char *name, const char *s, size_t n, unsigned how, const char *want)
{
    dk_buf b = {0};

    dk_buf_adds(&b, "");
    dk_html_escape(&b, s, n, how);
    if (!tap(strcmp(b.s, want) == 0, "%s", name))
        tap_note("got \"%s\"", b.s);
    dk_buf_free(&b);
}
#define BECOMES(name, s, how, want) becomes(name, s, sizeof s - 1, how, want)

static void escaping(void)
{
    BECOMES("tags and entities", "<b>&amp;</b>", 0, "&lt;b&gt;&amp;amp;&lt;/b&gt;");
    BECOMES("quotes, in content and in values", "\"it's\"", 0, "&quot;it&#39;s&quot;");
    BECOMES("the same in a value", "\" onfocus='x", DK_HTML_ATTR, "&quot; onfocus=&#39;x");
    BECOMES("a line break in content stays", "a\nb", 0, "a\nb");
    BECOMES("in a value it is a reference", "a\nb", DK_HTML_ATTR, "a&#10;b");
    BECOMES("and can be shown", "a\nb", DK_HTML_LINES, "a\xe2\x8f\x8e\n" "b");
    BECOMES("control characters by their pictures", "\0\t\r\033[1m\177", 0,
            "\xe2\x90\x80\xe2\x90\x89\xe2\x90\x8d\xe2\x90\x9b[1m\xe2\x90\xa1");
    BECOMES("C1 controls by name", "\xc2\x9b" "2J", 0, "[U+009B]2J");
    BECOMES("bidi overrides by name", "a\xe2\x80\xae" "b\xe2\x81\xa6" "c\xe2\x80\x8f", 0, "a[U+202E]b[U+2066]c[U+200F]");
    BECOMES("separators and marks that are not seen", "\xe2\x80\xa8\xef\xbb\xbf\xe2\x80\x8b", 0, "[U+2028][U+FEFF][U+200B]");
    BECOMES("tag letters", "\xf3\xa0\x81\xa1", 0, "[U+E0061]");
    BECOMES("a joiner, which scripts need, stays", "\xe2\x80\x8d", 0, "\xe2\x80\x8d");
    BECOMES("bytes that are no UTF-8", "\xff" "a\xc3", 0, "\xef\xbf\xbd" "a\xef\xbf\xbd");
    BECOMES("an overlong '<'", "\xc0\xbc", 0, "\xef\xbf\xbd\xef\xbf\xbd");
    BECOMES("what is no character", "\xef\xbf\xbf\xef\xb7\x90", 0, "\xef\xbf\xbd\xef\xbf\xbd");
    BECOMES("other scripts", "\xd7\xa9\xe4\xbd\xa0\xf0\x9f\x8d\xb0", 0, "\xd7\xa9\xe4\xbd\xa0\xf0\x9f\x8d\xb0");
}

static void writes(const char *name, dk_buf *b, const char *want)
{
    if (!tap(b->s && strcmp(b->s, want) == 0, "%s", name))
        tap_note("got \"%s\"", b->s ? b->s : "");
    dk_buf_free(b);
}

static void elements(void)
{
    dk_buf b = {0};
    dk_html h = { .out = &b };

    dk_html_open_class(&h, "i", "a b");
    dk_html_attr(&h, "title", "1 < \"2\"");
    dk_html_attrf(&h, "data-x", "%s%d", "<", 3);
    dk_html_text(&h, "x<y");
    dk_html_close(&h);
    writes("attributes and text", &b, "<i class=\"a b\" title=\"1 &lt; &quot;2&quot;\" data-x=\"&lt;3\">x&lt;y</i>");
    dk_html_open(&h, "meta");
    dk_html_attr(&h, "name", "n");
    dk_html_close(&h);
    writes("an element without content", &b, "<meta name=\"n\"/>");
    dk_html_open(&h, "td");
    dk_html_close(&h);
    writes("an empty element has an end tag all the same", &b, "<td></td>\n");
    dk_html_put(&h, "b", NULL, "&");
    dk_html_putf(&h, "b", "c", "%s", "<script>");
    writes("short forms escape too", &b, "<b>&amp;</b><b class=\"c\">&lt;script&gt;</b>");
    dk_html_open(&h, "div");
    dk_html_open(&h, "i");
    dk_html_textn(&h, "abc", 2);
    dk_html_close(&h);
    dk_html_textf(&h, "%d>", 5);
    dk_html_close(&h);
    writes("nesting", &b, "<div><i>ab</i>5&gt;</div>\n");
}

int main(void)
{
    escaping();
    elements();
    return tap_end();
}
