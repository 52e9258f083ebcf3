/* Text in columns, on cases that can be counted by eye. */
#include <string.h>

#include "method/wrap.h"
#include "tap.h"

static void wraps(const char *name, const char *text, const char *indent, size_t width, size_t lines, const char *want)
{
    dk_buf b = {0};

    dk_wrap(&b, text, indent, width, lines);
    if (!tap(b.s && strcmp(b.s, want) == 0, "%s", name))
        tap_note("got \"%s\"", b.s ? b.s : "");
    dk_buf_free(&b);
}

static size_t columns_of_longest(const char *s)
{
    size_t best = 0, n = 0;

    for (; *s; s++) {
        n = *s == '\n' ? 0 : n + (((unsigned char)*s & 0xC0) != 0x80);
        best = n > best ? n : best;
    }
    return best;
}

static void words(void)
{
    wraps("a short text is one line", "one two", "", 20, 0, "one two\n");
    wraps("lines break at blanks", "one two three four five", "", 10, 0, "one two\nthree four\nfive\n");
    wraps("the first line has the indent, the others as many blanks", "one two three four", "  ft  ", 16, 0,
          "  ft  one two\n      three four\n");
    wraps("a word that just fits", "12345678 12345678", "", 8, 0, "12345678\n12345678\n");
    wraps("a word that does not fit is cut", "1234567890123", "", 8, 0, "12345678\n90123\n");
    wraps("nothing is a line all the same", "", "> ", 20, 0, "> \n");
    wraps("leading blanks go, runs are one", "  a \n\n  b", "", 20, 0, "a b\n");
}

static void limits(void)
{
    wraps("cut at the last line, with dots", "one two three four five six", "", 12, 2, "one two\nthree ...\n");
    wraps("what fits is not cut", "one two three four", "", 12, 2, "one two\nthree four\n");
    wraps("one line", "one two three", "", 9, 1, "one ...\n");
    wraps("a long word at the last line", "12345678901234567890", "", 12, 1, "12345678 ...\n");
}

static void controls(void)
{
    wraps("control characters and breaks are blanks", "a\tb\r\nc\033[31md\ae\177f", "", 40, 0, "a b c [31md e f\n");
    wraps("C1 controls too, other letters of that lead byte not", "a\xc2\x9b" "b \xc2\xa9", "", 40, 0, "a b \xc2\xa9\n");
    wraps("a lead byte at the end", "a\xc2", "", 40, 0, "a\xc2\n");
    wraps("a hard blank is a blank that does not break", "aaa 12\x1f" "3%, b", "", 8, 0, "aaa\n12 3%, b\n");
}

static void utf8(void)
{
    wraps("a letter of several bytes is one column", "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f 1234", "", 9, 0,
          "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f 1234\n");
    wraps("letters are not cut through", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
          "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xe4\xbd\xa0", "", 8, 0,
          "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80"
          "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\n\xe4\xbd\xa0\n");
}

static void everything_fits(void)
{
    static const char text[] = "The \xe4\xbd\xa0\xe5\xa5\xbd oven\x1f""12% was at 450\xc2\xb0""F for twentyfiveminutesandthensome, a\tb.";

    for (size_t width = 8; width < 60; width++)
        for (size_t lines = 0; lines < 4; lines++) {
            dk_buf b = {0};

            dk_wrap(&b, text, "", width, lines);
            if (columns_of_longest(b.s) > width)
                tap(false, "width %zu, %zu lines: %zu columns", width, lines, columns_of_longest(b.s));
            dk_buf_free(&b);
        }
    tap(true, "no line is wider than asked for");
}

static void snippet(void)
{
    dk_buf b = {0};

    dk_snippet_line(&b, "before it", " cake", " a", " after", 80);
    tap(strcmp(b.s, "    before it | cake >> a | after\n") == 0, "a place in a text");
    dk_buf_clear(&b);
    dk_snippet_line(&b, "x\x1f\r", "\033c", "\n", "\xc2\x9by\x7f", 80);
    tap(strpbrk(b.s, "\x1f\r\033\x7f\xc2") == NULL && strcspn(b.s, "\n") == strlen(b.s) - 1, "controls are blanks in it");
    for (size_t width = 60; width < 120; width++) {
        char text[400];

        dk_buf_clear(&b);
        memset(text, 0, sizeof text);
        for (size_t i = 0; i + 3 < 396; i += 3)
            memcpy(text + i, "\xe4\xbd\xa0", 3);
        dk_snippet_line(&b, text, " cake", " a", text, width);
        if (columns_of_longest(b.s) > width)
            tap(false, "width %zu: %zu columns", width, columns_of_longest(b.s));
        if (strchr(b.s, '|') == NULL || ((unsigned char)strchr(b.s, '|')[-1] != ' '))
            tap(false, "width %zu: cut through a letter", width);
    }
    tap(true, "long texts are cut on both sides, between letters");
    dk_buf_free(&b);
}

int main(void)
{
    words();
    limits();
    controls();
    utf8();
    everything_fits();
    snippet();
    return tap_end();
}
