/* Plots. */
#include "method/pageplot.h"

#include <math.h>
#include <stdio.h>

enum { W = 460, H = 270, LEFT = 46, RIGHT = 12, TOP = 12, BOTTOM = 42 };

static double px(const dk_plot *p, double x)
{
    const double share = p->log_x ? log10(x / p->x0) / log10(p->x1 / p->x0) : (x - p->x0) / (p->x1 - p->x0);

    return LEFT + fmin(fmax(share, 0), 1) * (W - LEFT - RIGHT);
}

static double py(const dk_plot *p, double y)
{
    return H - BOTTOM - fmin(fmax((y - p->y0) / (p->y1 - p->y0), 0), 1) * (H - TOP - BOTTOM);
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

void dk_plot_begin(dk_plot *p)
{
    dk_html *h = p->h;
    double step;

    if (!(p->y1 > p->y0))
        p->y1 = p->y0 + 1;
    if (!(p->x1 > p->x0))
        p->x1 = p->log_x ? p->x0 * 10 : p->x0 + 1;
    step = step_of(p->y1 - p->y0, 4);
    p->y0 = floor(p->y0 / step + 1e-9) * step;
    p->y1 = ceil(p->y1 / step - 1e-9) * step;
    dk_html_open_class(h, "svg", "plot");
    dk_html_attrf(h, "viewBox", "0 0 %d %d", W, H);
    dk_html_attr(h, "role", "img");
    dk_html_attr(h, "aria-label", p->title);
    for (int i = 0; p->y0 + i * step <= p->y1 + step / 2; i++) {
        const double y = p->y0 + i * step;
        char s[32];

        segment(h, "grid", LEFT, py(p, y), W - RIGHT, py(p, y));
        snprintf(s, sizeof s, "%.4g", fabs(y) < step / 2 ? 0.0 : y);
        text_at(h, "end", LEFT - 6, py(p, y) + 4, s);
    }
    segment(h, "axis", LEFT, H - BOTTOM, W - RIGHT, H - BOTTOM);
    if (p->log_x) {
        for (double x = p->x0; x <= p->x1 * 1.01; x *= 10)
            x_tick(p, x);
    } else {
        step = step_of(p->x1 - p->x0, 6);
        for (int i = (int)ceil(p->x0 / step - 1e-9); i * step <= p->x1 + step * 1e-6; i++)
            x_tick(p, i * step);
    }
    text_at(h, "mid name", LEFT + (W - LEFT - RIGHT) / 2.0, H - 6, p->x_name);
    dk_html_open_class(h, "text", "mid name");
    dk_html_attrf(h, "transform", "translate(11 %.1f) rotate(-90)", TOP + (H - TOP - BOTTOM) / 2.0);
    dk_html_text(h, p->y_name);
    dk_html_close(h);
}

void dk_plot_end(dk_plot *p) { dk_html_close(p->h); }

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

void dk_plot_point(dk_plot *p, const char *class, double x, double y, const char *title, const char *label)
{
    const double at = px(p, x);

    dk_html_open(p->h, "circle");
    dk_html_attrf(p->h, "class", "point %s", class);
    dk_html_attrf(p->h, "cx", "%.1f", at);
    dk_html_attrf(p->h, "cy", "%.1f", py(p, y));
    dk_html_attr(p->h, "r", "4");
    dk_html_put(p->h, "title", NULL, title);
    dk_html_close(p->h);
    if (label)
        text_at(p->h, at > W - 110 ? "end label" : "label", at + (at > W - 110 ? -7 : 7), py(p, y) + 4, label);
}

void dk_plot_mark(dk_plot *p, const char *class, double x, const char *title)
{
    dk_html_open(p->h, "path");
    dk_html_attrf(p->h, "class", "mark %s", class);
    dk_html_attrf(p->h, "d", "M%.1f %dL%.1f %d", px(p, x), TOP, px(p, x), H - BOTTOM);
    dk_html_put(p->h, "title", NULL, title);
    dk_html_close(p->h);
}
