/* Wrapping. */
#include "method/wrap.h"

#include <stdbool.h>
#include <string.h>

static bool starts_char(char c) { return ((unsigned char)c & 0xC0) != 0x80; }

static size_t columns(const char *s, size_t n)
{
    size_t c = 0;

    for (size_t i = 0; i < n; i++)
        c += starts_char(s[i]);
    return c;
}

/* The text with every control character (C1 ones too) and run of blanks as one
 * blank; hard ones stay if that is wanted. */
static char *plain(const char *s, bool hard)
{
    dk_buf b = {0};

    for (; *s; s++) {
        const bool c1 = (unsigned char)s[0] == 0xC2 && ((unsigned char)s[1] & 0xE0) == 0x80 && s[1];
        const bool blank = ((unsigned char)*s <= 0x20 && !(hard && *s == DK_HARD_BLANK)) || *s == 0x7F || c1;

        if (!blank)
            dk_buf_addc(&b, *s);
        else if (b.n == 0 || b.s[b.n - 1] != ' ')
            dk_buf_addc(&b, ' ');
        s += c1;
    }
    dk_buf_addc(&b, 0);
    return b.s;
}

void dk_wrap(dk_buf *out, const char *text, const char *indent, size_t width, size_t max_lines)
{
    char *clean = plain(text, true);
    const char *s = clean + strspn(clean, " ");
    const size_t pad = columns(indent, strlen(indent));
    const size_t room = width > pad + 8 ? width - pad : 8;

    for (size_t line = 1; *s || line == 1; line++) {
        const bool last = max_lines && line == max_lines;
        const size_t limit = last && columns(s, strlen(s)) > room ? room - 4 : room;
        size_t n = 0, used = 0, blank = 0;

        while (s[n] && (used < limit || !starts_char(s[n]))) {
            used += starts_char(s[n]);
            n++;
            if (s[n] == ' ' || s[n] == 0)
                blank = n;
        }
        n = blank ? blank : n;
        dk_buf_adds(out, line == 1 ? indent : "");
        for (size_t i = 0; line > 1 && i < pad; i++)
            dk_buf_addc(out, ' ');
        for (size_t i = 0; i < n; i++)
            dk_buf_addc(out, s[i] == DK_HARD_BLANK ? ' ' : s[i]);
        s += n + (s[n] == ' ');
        dk_buf_adds(out, last && *s ? " ...\n" : "\n");
        if (last)
            break;
    }
    dk_free(clean);
}

/* The last (or first) n columns of s. */
static const char *end_of(const char *s, size_t n)
{
    const char *p = s + strlen(s);

    for (size_t c = 0; p > s && c < n; c += starts_char(*p))
        p--;
    while (p > s && !starts_char(*p))
        p--;
    return p;
}

static size_t start_of(const char *s, size_t n)
{
    size_t i = 0, c = 0;

    while (s[i] && (c < n || !starts_char(s[i])))
        c += starts_char(s[i++]);
    return i;
}

void dk_snippet_line(dk_buf *out, const char *before, const char *token, const char *next,
                     const char *after, size_t width)
{
    char *b = plain(before, false), *t = plain(token, false), *x = plain(next, false), *a = plain(after, false);
    const size_t fixed = 4 + 18 + columns(t, strlen(t)) + columns(x, strlen(x));
    const size_t room = width > fixed + 20 ? width - fixed : 20;
    const char *from = end_of(b, room / 2), *to = a + strspn(a, " ");
    const size_t n = start_of(to, room - room / 2);

    dk_buf_addf(out, "    %s%s |%s%s >>%s%s | ", from > b ? "..." : "", from, *t == ' ' ? "" : " ", t,
                *x == ' ' ? "" : " ", x);
    dk_buf_add(out, to, n);
    dk_buf_adds(out, to[n] ? "...\n" : "\n");
    dk_free(b);
    dk_free(t);
    dk_free(x);
    dk_free(a);
}
