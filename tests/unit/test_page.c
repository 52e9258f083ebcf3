/* The HTML writer: what a text can do to a page, which is nothing. */
#include <string.h>

#include "method/pagehtml.h"
#include "method/pageplot.h"
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
    BECOMES("without breaking the line", "a\nb", DK_HTML_LINES | DK_HTML_ATTR, "a\xe2\x8f\x8e" "b");
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

static size_t times(const char *s, const char *what)
{
    size_t n = 0;

    for (const char *p = s; (p = strstr(p, what)); p++)
        n++;
    return n;
}

/* Points at (x, y) with names; how many names found room. */
static size_t labels(dk_buf *b, const double (*at)[2], const char *const *name, size_t n)
{
    dk_html h = { .out = b };
    dk_plot p = { .h = &h, .title = "t", .x_name = "x", .y_name = "y", .x1 = 100, .y1 = 100 };
    size_t placed = 0;

    dk_plot_begin(&p);
    for (size_t i = 0; i < n; i++)
        dk_plot_point(&p, "ft", at[i][0], at[i][1], name[i]);
    for (size_t i = 0; i < n; i++)
        placed += dk_plot_label(&p, at[i][0], at[i][1], name[i]);
    dk_plot_end(&p);
    return placed;
}

static void names_of_points(void)
{
    static const double far[][2] = { { 10, 10 }, { 10, 50 }, { 95, 90 } };
    static const double near[][2] = { { 10, 10 }, { 10, 10.5 }, { 90, 90 }, { 80, 90 }, { 100, 90 } };
    static const char *const name[] = { "one", "two", "three", "four", "five" };
    dk_buf b = {0};

    tap(labels(&b, far, name, 3) == 3 && times(b.s, "class=\"label\"") == 2 && times(b.s, "end label") == 1,
        "names stand beside their points, at the edge on the left");
    dk_buf_clear(&b);
    tap(labels(&b, near, name, 5) == 4 && times(b.s, ">three</text>") == 0,
        "a name that would cover a point or a name on either side is left out");
    dk_buf_free(&b);
}

static void axes(void)
{
    dk_buf b = {0};
    dk_html h = { .out = &b };
    dk_plot p = { .h = &h, .title = "t", .x_name = "x", .y_name = "y", .x1 = 3, .y0 = 20, .y1 = 30000, .log_y = 1,
                  .whole_x = 1 };

    dk_plot_begin(&p);
    dk_plot_end(&p);
    tap(p.y0 == 10 && p.y1 == 100000, "a logarithmic axis has whole decades");
    tap(times(b.s, ">100k<") == 1 && times(b.s, ">10<") == 1 && times(b.s, ">1000<") == 1, "each with its tick");
    tap(times(b.s, "class=\"mid\"") == 4 && times(b.s, ">0.5<") == 0, "whole numbers only, where x counts");
    dk_buf_free(&b);
}

static void pictures(void)
{
    static const dk_plot_key key[] = { { "ft", "<a>" }, { "n1", "b" } };
    dk_pictures all = {0};
    dk_buf b = {0};
    dk_html h = { .out = &b };
    dk_plot p = { .h = &h, .title = "a < b", .x_name = "x", .y_name = "y", .x1 = 1, .y1 = 1, .pictures = &all,
                  .name = "it", .key = key, .n_keys = 2 };
    const double x[] = { 0, 1 }, y[] = { 0, 1 };

    dk_html_open(&h, "figure");
    dk_plot_begin(&p);
    dk_plot_line(&p, "ft", x, y, 2);
    dk_plot_end(&p);
    dk_html_close(&h);
    tap(all.n == 1 && strcmp(all.of[0].name, "it") == 0, "a plot is a picture too");
    tap(strncmp(all.of[0].svg, "<svg xmlns=", 11) == 0 && times(all.of[0].svg, "<svg") == 1 &&
        strcmp(strstr(all.of[0].svg, "</svg>"), "</svg>\n") == 0, "and nothing else of the page is");
    tap(times(all.of[0].svg, "class=\"line ft\"") == 1 && times(all.of[0].svg, "<style>") == 1, "with what is drawn");
    tap(times(all.of[0].svg, "a &lt; b") == 2 && times(all.of[0].svg, "&lt;a&gt;") == 1, "title and legend are escaped");
    dk_pictures_free(&all);
    dk_buf_free(&b);
}

int main(void)
{
    escaping();
    elements();
    names_of_points();
    axes();
    pictures();
    return tap_end();
}
