/* Topics, densities by position and likelier windows: what diff mining finds
 * beside its rankings. */
#include "method/pagetopics.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum { TOKENS = 30, POSITIONS = 5, GRID = 1000, WINDOWS = 20, LEVELS = 9 };

static size_t set_name(const dk_set *set)
{
    const char *dot = strrchr(set->name, '.');

    return dot ? (size_t)(dot - set->name) : strlen(set->name);
}

static void heading(const dk_page *p, const dk_set *set, const char *what)
{
    dk_html_putf(p->h, "h3", NULL, "%.*s, %s", (int)set_name(set), set->name, what);
}

/* --- topics -------------------------------------------------------------------------- */
static int64_t whole(const dk_json *row, const char *key) { return dk_json_int(dk_json_get(row, key), -1); }

static void token(const dk_page *p, const dk_json *row, double most)
{
    const double v = dk_row_num(row, "value"), level = most > 0 && v > 0 ? LEVELS * v / most : 0;
    const bool finding = dk_row_finding(row);
    dk_buf tip = {0};

    dk_buf_addf(&tip, "rank %lld, weight %.3g, %.1f%% of positions", (long long)whole(row, "rank"), v, dk_row_num(row, "rate"));
    if (dk_row_null(row) >= 0)
        dk_buf_addf(&tip, "\nnull %.1f%%%s", dk_row_null(row), finding ? "" : ": no finding");
    dk_html_open(p->h, "i");
    dk_html_attrf(p->h, "class", "f%d%s", level < LEVELS ? (int)level : LEVELS, finding ? "" : " x");
    dk_html_attr(p->h, "tabindex", "0");
    dk_html_attr(p->h, "data-t", tip.s);
    dk_html_line(p->h, dk_row_str(row, "token"), strlen(dk_row_str(row, "token")));
    dk_html_close(p->h);
    dk_html_text(p->h, " ");
    dk_buf_free(&tip);
}

static void topic(const dk_page *p, const dk_set *set, const dk_json *t)
{
    const int64_t number = whole(t, "topic");
    double most = 0;
    size_t n = 0;

    for (size_t i = 0; i < set->rows.n; i++)
        if (whole(set->rows.row[i], "rank") > 0 && whole(set->rows.row[i], "topic") == number)
            most = fmax(most, dk_row_num(set->rows.row[i], "value"));
    dk_html_open(p->h, "tr");
    dk_html_putf(p->h, "td", "num", "%lld", (long long)number);
    dk_html_putf(p->h, "td", "num", "%.1f%%", 100 * dk_row_num(t, "prevalence"));
    dk_html_putf(p->h, "td", "num", "%.1f%%", 100 * dk_row_num(t, "coherence"));
    dk_html_open_class(p->h, "td", "chips");
    for (size_t i = 0; i < set->rows.n && n < TOKENS; i++)
        if (whole(set->rows.row[i], "rank") > 0 && whole(set->rows.row[i], "topic") == number) {
            token(p, set->rows.row[i], most);
            n++;
        }
    if (n == 0)
        dk_html_text(p->h, "empty");
    dk_html_close(p->h);
    dk_html_close(p->h);
}

void dk_page_topics(const dk_page *p, const dk_set *set)
{
    static const char *const head[] = { "topic", "positions", "together", "tokens by weight" };
    const dk_json *first = set->rows.n ? set->rows.row[0] : NULL;

    heading(p, set, "topics");
    if (!first) {
        dk_html_put(p->h, "p", "note", "No topics.");
        return;
    }
    dk_html_putf(p->h, "p", "note", "Tokens that are raised at the same positions (%s, beta %g; %.1f%% explained). Positions: where the "
                 "topic weighs most. Together: how often two of its first 20 tokens are raised at one position. Pale tokens are "
                 "raised by a null too and stand behind the others.", dk_row_str(first, "mode"), dk_row_num(first, "beta"),
                 100 * dk_row_num(first, "explained"));
    dk_html_table(p->h, "topics");
    for (size_t i = 0; i < 4; i++)
        dk_html_put(p->h, "th", i < 3 ? "num" : NULL, head[i]);
    dk_html_table_body(p->h);
    for (size_t i = 0; i < set->rows.n; i++)
        if (whole(set->rows.row[i], "rank") == 0)
            topic(p, set, set->rows.row[i]);
    dk_html_table_end(p->h);
}

/* --- by position ------------------------------------------------------------------------ */
static size_t curve(const dk_json *row, double *x, double *y)
{
    const dk_json *at = dk_json_get(row, "x"), *density = dk_json_get(row, "density");
    size_t n = dk_json_len(at) < dk_json_len(density) ? dk_json_len(at) : dk_json_len(density);

    n = n < GRID ? n : GRID;
    for (size_t i = 0; i < n; i++) {
        x[i] = dk_json_num(dk_json_at(at, i), NAN);
        y[i] = dk_json_num(dk_json_at(density, i), NAN);
    }
    return n;
}

void dk_page_positions(const dk_page *p, const dk_set *set)
{
    static const char *const hue[] = { "ft", "n1", "n2", "n3", "n4" };
    const size_t n = set->rows.n < POSITIONS ? set->rows.n : POSITIONS;
    char *name = dk_xasprintf("positions.%.*s", (int)set_name(set), set->name), *label[POSITIONS] = {0};
    double *x = dk_xcalloc(GRID, sizeof *x), *y = dk_xcalloc(GRID, sizeof *y);
    dk_plot_key key[POSITIONS];
    dk_plot plot = { .h = p->h, .title = "The most raised differences, by position", .x_name = "logit difference",
                     .y_name = "density", .pictures = p->pictures, .name = name, .key = key, .n_keys = n,
                     .x0 = INFINITY, .x1 = -INFINITY, .y0 = 0, .y1 = 0 };

    heading(p, set, "by position");
    for (size_t i = 0; i < n; i++) {
        const dk_json *row = set->rows.row[i];
        const size_t k = curve(row, x, y);

        label[i] = dk_xasprintf("position %lld, %lld values", (long long)whole(row, "position"), (long long)whole(row, "n"));
        key[i] = (dk_plot_key){ hue[i], label[i] };
        for (size_t g = 0; g < k; g++) {
            plot.x0 = fmin(plot.x0, floor(x[g]));
            plot.x1 = fmax(plot.x1, ceil(x[g]));
            plot.y1 = fmax(plot.y1, y[g]);
        }
    }
    if (plot.x1 > plot.x0 && plot.y1 > 0) {
        dk_html_open_class(p->h, "p", "legend");
        for (size_t i = 0; i < n; i++) {
            dk_html_open(p->h, "span");
            dk_html_attrf(p->h, "class", "key %s", hue[i]);
            dk_html_close(p->h);
            dk_html_textf(p->h, "%s ", label[i]);
        }
        dk_html_close(p->h);
        dk_html_open(p->h, "figure");
        dk_plot_begin(&plot);
        for (size_t i = 0; i < n; i++)
            dk_plot_line(&plot, hue[i], x, y, curve(set->rows.row[i], x, y));
        dk_plot_end(&plot);
        dk_html_put(p->h, "figcaption", NULL, "Densities of the differences in the top lists at the first positions of texts.");
        dk_html_close(p->h);
    } else
        dk_html_put(p->h, "p", "note", "Nothing to draw.");
    for (size_t i = 0; i < n; i++)
        dk_free(label[i]);
    dk_free(name);
    dk_free(x);
    dk_free(y);
}

/* --- windows --------------------------------------------------------------------------------- */
void dk_page_windows(const dk_page *p, const dk_set *set)
{
    heading(p, set, "likelier texts");
    dk_html_put(p->h, "p", "note", "Windows of text that the finetune holds most more likely than the base, by how many nats.");
    dk_html_open_class(p->h, "div", "scroll");
    dk_html_open_class(p->h, "table", "peaks");
    dk_html_open(p->h, "tbody");
    for (size_t i = 0; i < set->rows.n && i < WINDOWS; i++) {
        const dk_json *row = set->rows.row[i];

        dk_html_open(p->h, "tr");
        dk_html_putf(p->h, "td", "num", "%+.2f", dk_row_num(row, "value"));
        dk_html_open_class(p->h, "td", "places");
        dk_html_open_class(p->h, "p", "snippet");
        dk_html_attr(p->h, "dir", "auto");
        dk_html_attrf(p->h, "title", "text %lld, from position %lld", (long long)whole(row, "doc"), (long long)whole(row, "start"));
        dk_html_lines(p->h, dk_row_str(row, "text"), strlen(dk_row_str(row, "text")));
        dk_html_close(p->h);
        dk_html_close(p->h);
        dk_html_close(p->h);
    }
    dk_html_close(p->h);
    dk_html_close(p->h);
    dk_html_close(p->h);
}
