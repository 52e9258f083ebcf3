/* The HTML writer. */
#include "method/pagehtml.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "text/utf8.h"

/* --- escaping ---------------------------------------------------------------- */
/* Letters that reorder or hide what stands around them. */
static int unseen(int32_t c)
{
    return c == 0x61C || c == 0x180E || c == 0x200B || c == 0x200E || c == 0x200F || c == 0x2060 ||
           c == 0xFEFF || (c >= 0x202A && c <= 0x202E) || (c >= 0x2061 && c <= 0x206F) ||
           (c >= 0x80 && c < 0xA0) || (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c < 0xE1000);
}

static void letter(dk_buf *out, int32_t c, unsigned how)
{
    if (c < 0 || (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c < 0xFDF0))
        dk_utf8_add(out, 0xFFFD);
    else if (c == '&')
        dk_buf_adds(out, "&amp;");
    else if (c == '<')
        dk_buf_adds(out, "&lt;");
    else if (c == '>')
        dk_buf_adds(out, "&gt;");
    else if (c == '"')
        dk_buf_adds(out, "&quot;");
    else if (c == '\'')
        dk_buf_adds(out, "&#39;");
    else if (c == '\n' && (how & DK_HTML_LINES))
        dk_buf_adds(out, how & DK_HTML_ATTR ? "\xe2\x8f\x8e" : "\xe2\x8f\x8e\n");
    else if (c == '\n')
        dk_buf_adds(out, how & DK_HTML_ATTR ? "&#10;" : "\n");
    else if (c < ' ')
        dk_utf8_add(out, 0x2400 + c);
    else if (c == 0x7F)
        dk_utf8_add(out, 0x2421);
    else if (c == 0x2028 || c == 0x2029)
        dk_buf_addf(out, "[U+%04X]", (unsigned)c);
    else if (unseen(c))
        dk_buf_addf(out, "[U+%04X]", (unsigned)c);
    else
        dk_utf8_add(out, c);
}

void dk_html_escape(dk_buf *out, const char *s, size_t n, unsigned how)
{
    size_t at = 0;

    while (at < n)
        letter(out, dk_utf8_next(s, n, &at), how);
}

/* --- elements ------------------------------------------------------------------ */
static int name_ok(const char *s)
{
    return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")] == 0;
}

/* Elements without content and end tag; those after which a line break would be
 * a blank. */
static const char *const empty[] = { "meta", "br", "hr", "input", "col", "link", "img", NULL };
static const char *const in_line[] = { "i", "b", "s", "u", "a", "span", "mark", "code", "em", "label", NULL };

static int one_of(const char *const *list, const char *name)
{
    while (*list && strcmp(*list, name) != 0)
        list++;
    return *list != NULL;
}

static int is_void(const char *name) { return one_of(empty, name); }

static void end_tag(dk_html *h)
{
    if (h->in_tag)
        dk_buf_addc(h->out, '>');
    h->in_tag = 0;
}

void dk_html_open(dk_html *h, const char *name)
{
    DK_ASSERT(name_ok(name) && h->depth < DK_HTML_DEPTH);
    DK_ASSERT(h->depth == 0 || !is_void(h->open[h->depth - 1]));
    end_tag(h);
    dk_buf_addf(h->out, "<%s", name);
    h->open[h->depth++] = name;
    h->in_tag = 1;
}

void dk_html_close(dk_html *h)
{
    const char *name;

    DK_ASSERT(h->depth > 0);
    name = h->open[--h->depth];
    if (is_void(name)) {
        DK_ASSERT(h->in_tag);
        dk_buf_adds(h->out, "/>");
        h->in_tag = 0;
        return;
    }
    end_tag(h);
    dk_buf_addf(h->out, "</%s>", name);
    if (!one_of(in_line, name))
        dk_buf_addc(h->out, '\n');
}

void dk_html_attr(dk_html *h, const char *name, const char *value)
{
    DK_ASSERT(h->in_tag && name_ok(name));
    dk_buf_addf(h->out, " %s=\"", name);
    dk_html_escape(h->out, value, strlen(value), DK_HTML_ATTR);
    dk_buf_addc(h->out, '"');
}

void dk_html_textn(dk_html *h, const char *s, size_t n)
{
    end_tag(h);
    dk_html_escape(h->out, s, n, 0);
}

void dk_html_lines(dk_html *h, const char *s, size_t n)
{
    end_tag(h);
    dk_html_escape(h->out, s, n, DK_HTML_LINES);
}

void dk_html_line(dk_html *h, const char *s, size_t n)
{
    end_tag(h);
    dk_html_escape(h->out, s, n, DK_HTML_LINES | DK_HTML_ATTR);
}

void dk_html_text(dk_html *h, const char *s) { dk_html_textn(h, s, strlen(s)); }

static char *format(const char *fmt, va_list ap)
{
    char *s = NULL;
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    DK_ASSERT(n >= 0);
    s = dk_xmalloc((size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s;
}

void dk_html_attrf(dk_html *h, const char *name, const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = format(fmt, ap);
    va_end(ap);
    dk_html_attr(h, name, s);
    dk_free(s);
}

void dk_html_textf(dk_html *h, const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = format(fmt, ap);
    va_end(ap);
    dk_html_text(h, s);
    dk_free(s);
}

void dk_html_open_class(dk_html *h, const char *name, const char *class)
{
    dk_html_open(h, name);
    if (class)
        dk_html_attr(h, "class", class);
}

void dk_html_table(dk_html *h, const char *class)
{
    dk_html_open_class(h, "div", "scroll");
    dk_html_open_class(h, "table", class);
    dk_html_open(h, "thead");
    dk_html_open(h, "tr");
}

void dk_html_table_body(dk_html *h)
{
    dk_html_close(h);
    dk_html_close(h);
    dk_html_open(h, "tbody");
}

void dk_html_table_end(dk_html *h)
{
    dk_html_close(h);
    dk_html_close(h);
    dk_html_close(h);
}

void dk_html_put(dk_html *h, const char *name, const char *class, const char *s)
{
    dk_html_open_class(h, name, class);
    dk_html_text(h, s);
    dk_html_close(h);
}

void dk_html_putf(dk_html *h, const char *name, const char *class, const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = format(fmt, ap);
    va_end(ap);
    dk_html_put(h, name, class, s);
    dk_free(s);
}

void dk_html_raw(dk_html *h, const char *literal)
{
    end_tag(h);
    dk_buf_adds(h->out, literal);
}
