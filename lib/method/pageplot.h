/* Plots as SVG: two axes, and lines, bands, areas, points in their units. */
#ifndef DK_METHOD_PAGEPLOT_H
#define DK_METHOD_PAGEPLOT_H

#include "method/pagehtml.h"

typedef struct dk_plot {
    dk_html *h;
    const char *title;          /* what it shows, for those who do not see it */
    const char *x_name, *y_name;
    double x0, x1, y0, y1;      /* ranges; begin widens y1 to a whole tick */
    int log_x;                  /* decades; x0 and x1 are powers of ten */
} dk_plot;

void dk_plot_begin(dk_plot *p);
void dk_plot_end(dk_plot *p);
/* class: the hue.  NaN breaks a line. */
void dk_plot_line(dk_plot *p, const char *class, const double *x, const double *y, size_t n);
/* A filled band between two lines. */
void dk_plot_band(dk_plot *p, const char *class, const double *x, const double *lo, const double *hi, size_t n);
/* Steps over n bins with n + 1 edges, filled down to 0. */
void dk_plot_steps(dk_plot *p, const char *class, const double *edge, const double *y, size_t n);
/* A point that tells its title; label NULL: none beside it. */
void dk_plot_point(dk_plot *p, const char *class, double x, double y, const char *title, const char *label);
/* A vertical line with a name. */
void dk_plot_mark(dk_plot *p, const char *class, double x, const char *title);

#endif
