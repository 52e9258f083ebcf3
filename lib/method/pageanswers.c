/* Answers side by side, and what was checked. */
#include <math.h>
#include <string.h>

#include "method/pageparts.h"

static int same_prompt(const dk_json *a, const dk_json *b)
{
    return dk_row_is(a, "prompt", dk_row_str(b, "prompt")) &&
           dk_row_is(a, "id", dk_row_str(b, "id"));
}

static void answer(const dk_page *p, const dk_json *r)
{
    const char *lane = dk_row_str(r, "lane");
    const dk_json *text = dk_json_get(r, "text");
    dk_html *h = p->h;

    dk_html_open_class(h, "div", "answer");
    dk_html_open_class(h, "p", "who");
    dk_html_open(h, "span");
    dk_html_attrf(h, "class", "key %s", strcmp(lane, "base") == 0 ? "base" : dk_page_hue(p, lane));
    dk_html_close(h);
    dk_html_text(h, dk_summary_lane(p->s, lane));
    if (dk_json_int(dk_json_get(r, "sample"), 0) > 0)
        dk_html_textf(h, ", sample %lld", (long long)dk_json_int(dk_json_get(r, "sample"), 0));
    dk_html_close(h);
    dk_html_open_class(h, "p", "said");
    dk_html_attr(h, "dir", "auto");
    dk_html_textn(h, dk_json_str(text, ""), dk_json_type(text) == DK_JSON_STR ? dk_json_len(text) : 0);
    if (dk_row_is(r, "finish", "length"))
        dk_html_put(h, "span", "cut", " ... (cut at the length asked for)");
    dk_html_close(h);
    dk_html_close(h);
}

void dk_page_answers(const dk_page *p)
{
    const dk_jsonl *a = &p->s->answers;
    dk_html *h = p->h;

    if (a->n == 0)
        return;
    dk_html_open(h, "section");
    dk_html_attr(h, "id", "answers");
    dk_html_put(h, "h2", NULL, "What they answer");
    dk_html_open_class(h, "p", "note");
    dk_html_textf(h, "temperature %g, seed %lld, at most %lld new tokens",
                  fmax(dk_row_num(a->row[0], "temperature"), 0),
                  (long long)dk_json_int(dk_json_get(a->row[0], "seed"), 0),
                  (long long)dk_json_int(dk_json_get(a->row[0], "max_new_tokens"), 0));
    dk_html_close(h);
    for (size_t i = 0; i < a->n;) {
        size_t end = i + 1;

        while (end < a->n && same_prompt(a->row[i], a->row[end]))
            end++;
        dk_html_open_class(h, "h3", "asked");
        dk_html_attr(h, "dir", "auto");
        dk_html_text(h, dk_row_str(a->row[i], "prompt"));
        dk_html_close(h);
        dk_html_open_class(h, "div", "pair");
        for (; i < end; i++)
            answer(p, a->row[i]);
        dk_html_close(h);
    }
    dk_html_close(h);
}

void dk_page_checks(const dk_page *p)
{
    static const char *const order[] = { "fail", "warn", "pass", "skip" };
    const dk_jsonl *c = &p->s->check;
    dk_html *h = p->h;
    size_t count[4];

    if (c->n == 0)
        return;
    dk_summary_checks(p->s, count);
    dk_html_open(h, "section");
    dk_html_attr(h, "id", "checks");
    dk_html_put(h, "h2", NULL, "What was checked");
    dk_html_putf(h, "p", "lead", "%zu passed, %zu warning%s, %zu failed, %zu skipped.", count[0], count[1],
                 count[1] == 1 ? "" : "s", count[2], count[3]);
    dk_html_open(h, "details");
    if (count[1] || count[2])
        dk_html_attr(h, "open", "open");
    dk_html_put(h, "summary", NULL, "Every check");
    dk_html_open_class(h, "div", "scroll");
    dk_html_open_class(h, "table", "fold");
    dk_html_open(h, "tbody");
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < c->n; i++) {
            const dk_json *r = c->row[i];

            if (!dk_row_is(r, "status", order[k]))
                continue;
            dk_html_open(h, "tr");
            dk_html_put(h, "td", order[k], order[k]);
            dk_html_put(h, "td", NULL, dk_row_str(r, "check"));
            dk_html_put(h, "td", NULL, dk_row_str(r, "lane"));
            dk_html_put(h, "td", "detail", dk_row_str(r, "detail"));
            dk_html_close(h);
        }
    dk_html_close(h);
    dk_html_close(h);
    dk_html_close(h);
    dk_html_close(h);
    dk_html_close(h);
}
