/* Plots. */
#include "method/pageplot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/pageparts.h"
#include "text/utf8.h"

enum { W = 460, H = 270, LEFT = 46, RIGHT = 20, TOP = 12, BOTTOM = 42 };

static double px(const dk_plot *p, double x)
{
    const double share = p->log_x ? log10(x / p->x0) / log10(p->x1 / p->x0) : (x - p->x0) / (p->x1 - p->x0);

    return LEFT + fmin(fmax(share, 0), 1) * (W - LEFT - RIGHT);
}

static double py(const dk_plot *p, double y)
{
    const double share = p->log_y ? log10(y / p->y0) / log10(p->y1 / p->y0) : (y - p->y0) / (p->y1 - p->y0);

    return H - BOTTOM - fmin(fmax(share, 0), 1) * (H - TOP - BOTTOM);
}

/* About n steps to a range: 1, 2 or 5 times a power of ten. */
static double step_of(double range, int n)
{
    const double raw = range / n, ten = pow(10, floor(log10(raw)));
    const double m = raw / ten;

    return (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10) * ten;
}

static void segment(dk_html *h, const char *class, double x0, double y0, double x1, double y1)
{
    dk_html_open_class(h, "path", class);
    dk_html_attrf(h, "d", "M%.1f %.1fL%.1f %.1f", x0, y0, x1, y1);
    dk_html_close(h);
}

static void text_at(dk_html *h, const char *class, double x, double y, const char *s)
{
    dk_html_open_class(h, "text", class);
    dk_html_attrf(h, "x", "%.1f", x);
    dk_html_attrf(h, "y", "%.1f", y);
    dk_html_text(h, s);
    dk_html_close(h);
}

static void x_tick(dk_plot *p, double x)
{
    char s[32];

    segment(p->h, "tick", px(p, x), H - BOTTOM, px(p, x), H - BOTTOM + 4);
    snprintf(s, sizeof s, "%.6g", x);
    text_at(p->h, "mid", px(p, x), H - BOTTOM + 17, s);
}

static void y_tick(dk_plot *p, double y)
{
    char s[32];

    segment(p->h, "grid", LEFT, py(p, y), W - RIGHT, py(p, y));
    snprintf(s, sizeof s, y >= 10000 ? "%.4gk" : "%.4g", y >= 10000 ? y / 1000 : y);
    text_at(p->h, "end", LEFT - 6, py(p, y) + 4, s);
}

static void y_axis(dk_plot *p)
{
    double step;

    if (p->log_y) {
        p->y0 = pow(10, floor(log10(p->y0) + 1e-9));
        p->y1 = fmax(pow(10, ceil(log10(p->y1) - 1e-9)), p->y0 * 10);
        return;
    }
    if (!(p->y1 > p->y0))
        p->y1 = p->y0 + 1;
    step = step_of(p->y1 - p->y0, 4);
    p->y0 = floor(p->y0 / step + 1e-9) * step;
    p->y1 = ceil(p->y1 / step - 1e-9) * step;
}

static void y_ticks(dk_plot *p)
{
    const double step = p->log_y ? 0 : step_of(p->y1 - p->y0, 4);

    if (p->log_y)
        for (double y = p->y0; y <= p->y1 * 1.01; y *= 10)
            y_tick(p, y);
    else
        for (int i = 0; p->y0 + i * step <= p->y1 + step / 2; i++)
            y_tick(p, fabs(p->y0 + i * step) < step / 2 ? 0.0 : p->y0 + i * step);
}

static void x_ticks(dk_plot *p)
{
    const double step = p->log_x ? 0 : fmax(step_of(p->x1 - p->x0, 6), p->whole_x ? 1 : 0);

    if (p->log_x)
        for (double x = p->x0; x <= p->x1 * 1.01; x *= 10)
            x_tick(p, x);
    else
        for (int i = (int)ceil(p->x0 / step - 1e-9); i * step <= p->x1 + step * 1e-6; i++)
            x_tick(p, i * step);
}

void dk_plot_begin(dk_plot *p)
{
    dk_html *h = p->h;

    y_axis(p);
    if (!(p->x1 > p->x0))
        p->x1 = p->log_x ? p->x0 * 10 : p->x0 + 1;
    dk_html_open(h, "svg");
    p->start = h->out->n - strlen("<svg");
    dk_html_attr(h, "class", "plot");
    dk_html_attrf(h, "viewBox", "0 0 %d %d", W, H);
    dk_html_attr(h, "role", "img");
    dk_html_attr(h, "aria-label", p->title);
    y_ticks(p);
    segment(h, "axis", LEFT, H - BOTTOM, W - RIGHT, H - BOTTOM);
    x_ticks(p);
    text_at(h, "mid name", LEFT + (W - LEFT - RIGHT) / 2.0, H - 6, p->x_name);
    dk_html_open_class(h, "text", "mid name");
    dk_html_attrf(h, "transform", "translate(11 %.1f) rotate(-90)", TOP + (H - TOP - BOTTOM) / 2.0);
    dk_html_text(h, p->y_name);
    dk_html_close(h);
}

/* --- pictures ------------------------------------------------------------------- */
void dk_pictures_add(dk_pictures *p, char *name, char *svg)
{
    p->of = dk_xrealloc(p->of, (p->n + 1) * sizeof *p->of);
    p->of[p->n].name = name;
    p->of[p->n++].svg = svg;
}

void dk_pictures_free(dk_pictures *p)
{
    for (size_t i = 0; i < p->n; i++) {
        dk_free(p->of[i].name);
        dk_free(p->of[i].svg);
    }
    dk_free(p->of);
    *p = (dk_pictures){0};
}

/* The legend stands in a row below the title. */
static void legend(dk_html *h, const dk_plot *p)
{
    double x = LEFT;

    for (size_t i = 0; i < p->n_keys; i++) {
        dk_html_open(h, "circle");
        dk_html_attrf(h, "class", "point %s", p->key[i].class);
        dk_html_attrf(h, "cx", "%.1f", x);
        dk_html_attr(h, "cy", "-12");
        dk_html_attr(h, "r", "4.5");
        dk_html_close(h);
        text_at(h, "", x + 9, -8, p->key[i].name);
        x += 30 + 6.6 * (double)dk_utf8_count(p->key[i].name, strlen(p->key[i].name));
    }
}

/* The drawing as it stands in the page, below its title and legend. */
static void picture(const dk_plot *p)
{
    enum { TITLE = 48 };
    const char *drawn = p->h->out->s + p->start, *inner = strchr(drawn, '>') + 1;
    dk_buf b = {0};
    dk_html h = { .out = &b };

    dk_svg_begin(&h, p->title, W, H + TITLE, -TITLE);
    text_at(&h, "heading", LEFT - 4, -28, p->title);
    legend(&h, p);
    dk_buf_adds(&b, inner);
    dk_pictures_add(p->pictures, dk_xstrdup(p->name), b.s);
}

void dk_svg_begin(dk_html *h, const char *title, double w, double height, double top)
{
    dk_html_open(h, "svg");
    dk_html_attr(h, "xmlns", "http://www.w3.org/2000/svg");
    dk_html_attr(h, "class", "plot");
    dk_html_attrf(h, "width", "%.0f", w);
    dk_html_attrf(h, "height", "%.0f", height);
    dk_html_attrf(h, "viewBox", "0 %.0f %.0f %.0f", top, w, height);
    dk_html_attr(h, "role", "img");
    dk_html_put(h, "title", NULL, title);
    dk_page_style_svg(h);
    dk_html_open_class(h, "path", "paper");
    dk_html_attrf(h, "d", "M0 %.0fh%.0fv%.0fh-%.0fz", top, w, height, w);
    dk_html_close(h);
}

void dk_plot_end(dk_plot *p)
{
    dk_html_close(p->h);
    if (p->pictures && p->name)
        picture(p);
}

/* --- what is drawn ---------------------------------------------------------------- */

static void path(dk_plot *p, const char *what, const char *class, const dk_buf *d)
{
    if (d->n == 0)
        return;
    dk_html_open(p->h, "path");
    dk_html_attrf(p->h, "class", "%s %s", what, class);
    dk_html_attr(p->h, "d", d->s);
    dk_html_close(p->h);
}

void dk_plot_line(dk_plot *p, const char *class, const double *x, const double *y, size_t n)
{
    dk_buf d = {0};
    int down = 0;

    for (size_t i = 0; i < n; i++) {
        if (isfinite(y[i]))
            dk_buf_addf(&d, "%c%.1f %.1f", down ? 'L' : 'M', px(p, x[i]), py(p, y[i]));
        down = isfinite(y[i]);
    }
    path(p, "line", class, &d);
    dk_buf_free(&d);
}

void dk_plot_band(dk_plot *p, const char *class, const double *x, const double *lo, const double *hi, size_t n)
{
    dk_buf d = {0};

    for (size_t i = 0; i < n; i++)
        if (isfinite(hi[i]))
            dk_buf_addf(&d, "%c%.1f %.1f", d.n ? 'L' : 'M', px(p, x[i]), py(p, hi[i]));
    for (size_t i = n; i-- > 0;)
        if (isfinite(lo[i]))
            dk_buf_addf(&d, "%c%.1f %.1f", d.n ? 'L' : 'M', px(p, x[i]), py(p, lo[i]));
    path(p, "band", class, &d);
    dk_buf_free(&d);
}

void dk_plot_steps(dk_plot *p, const char *class, const double *edge, const double *y, size_t n)
{
    dk_buf d = {0};

    for (size_t i = 0; i < n; i++)
        dk_buf_addf(&d, "%c%.1f %.1fL%.1f %.1f", i ? 'L' : 'M', px(p, edge[i]), py(p, y[i]), px(p, edge[i + 1]),
                    py(p, y[i]));
    path(p, "line", class, &d);
    if (n)
        dk_buf_addf(&d, "L%.1f %.1fL%.1f %.1fZ", px(p, edge[n]), py(p, 0), px(p, edge[0]), py(p, 0));
    path(p, "band", class, &d);
    dk_buf_free(&d);
}

void dk_plot_mark(dk_plot *p, const char *class, double x, bool median)
{
    dk_html_open(p->h, "path");
    dk_html_attrf(p->h, "class", "mark %s%s", class, median ? " median" : "");
    dk_html_attrf(p->h, "d", "M%.1f %dL%.1f %d", px(p, x), H - BOTTOM, px(p, x), TOP);
    dk_html_close(p->h);
}

static void take(dk_plot *p, double x0, double y0, double x1, double y1)
{
    if (p->n_taken == sizeof p->taken / sizeof *p->taken)
        return;
    p->taken[p->n_taken].x0 = (float)x0;
    p->taken[p->n_taken].y0 = (float)y0;
    p->taken[p->n_taken].x1 = (float)x1;
    p->taken[p->n_taken++].y1 = (float)y1;
}

static bool is_free(const dk_plot *p, double x0, double y0, double x1, double y1)
{
    for (size_t i = 0; i < p->n_taken; i++)
        if (x0 < p->taken[i].x1 && x1 > p->taken[i].x0 && y0 < p->taken[i].y1 && y1 > p->taken[i].y0)
            return false;
    return x0 >= LEFT && x1 <= W && p->n_taken < sizeof p->taken / sizeof *p->taken;
}

void dk_plot_point(dk_plot *p, const char *class, double x, double y, const char *title)
{
    const double at = px(p, x), level = py(p, y);

    dk_html_open(p->h, "circle");
    dk_html_attrf(p->h, "class", "point %s", class);
    dk_html_attrf(p->h, "cx", "%.1f", at);
    dk_html_attrf(p->h, "cy", "%.1f", level);
    dk_html_attr(p->h, "r", "4");
    dk_html_put(p->h, "title", NULL, title);
    dk_html_close(p->h);
    take(p, at - 4, level - 4, at + 4, level + 4);
}

bool dk_plot_label(dk_plot *p, double x, double y, const char *s)
{
    const double at = px(p, x), level = py(p, y), width = 7 * (double)dk_utf8_count(s, strlen(s));

    for (int left = 0; left < 2; left++) {
        const double x0 = left ? at - 7 - width : at + 5, x1 = x0 + width + 2;

        if (!is_free(p, x0, level - 6, x1, level + 6))
            continue;
        text_at(p->h, left ? "end label" : "label", left ? at - 7 : at + 7, level + 4, s);
        take(p, x0, level - 6, x1, level + 6);
        return true;
    }
    return false;
}

void dk_plot_value(dk_plot *p, double x, double y, const char *s)
{
    const double at = py(p, y);

    text_at(p->h, "mid value", px(p, x), at < TOP + 18 ? at + 17 : at - 8, s);
}
