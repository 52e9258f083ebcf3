/* Plots as SVG: two axes, and lines, bands, areas, points in their units. */
#ifndef DK_METHOD_PAGEPLOT_H
#define DK_METHOD_PAGEPLOT_H

#include <stdbool.h>

#include "method/pagehtml.h"

/* What the colours of a picture stand for. */
typedef struct dk_plot_key { const char *class, *name; } dk_plot_key;

/* Plots as files of their own: NAME.svg with its title, legend and style. */
typedef struct dk_pictures {
    struct { char *name, *svg; } *of;
    size_t n;
} dk_pictures;

typedef struct dk_plot {
    dk_html *h;
    const char *title;          /* what it shows, for those who do not see it */
    const char *x_name, *y_name;
    double x0, x1, y0, y1;      /* ranges; begin widens y to whole ticks */
    int whole_x;                /* no ticks between whole numbers */
    int log_x, log_y;           /* decades; x0 and x1 are powers of ten, y0 and y1 above 0 */
    dk_pictures *pictures;      /* where it goes too, under this name; NULL: nowhere */
    const char *name;
    const dk_plot_key *key;
    size_t n_keys;
    size_t start;               /* of it in the page: set by begin */
    struct { float x0, y0, x1, y1; } taken[128];    /* by points and names */
    size_t n_taken;
} dk_plot;

void dk_pictures_free(dk_pictures *p);
/* Another drawing: name and svg are taken over. */
void dk_pictures_add(dk_pictures *p, char *name, char *svg);

/* Opens a file's <svg>, which the caller closes; the drawing begins at 0, top. */
void dk_svg_begin(dk_html *h, const char *title, double width, double height, double top);

void dk_plot_begin(dk_plot *p);
void dk_plot_end(dk_plot *p);
/* class: the hue.  NaN breaks a line. */
void dk_plot_line(dk_plot *p, const char *class, const double *x, const double *y, size_t n);
/* A filled band between two lines. */
void dk_plot_band(dk_plot *p, const char *class, const double *x, const double *lo, const double *hi, size_t n);
/* Steps over n bins with n + 1 edges, filled down to 0. */
void dk_plot_steps(dk_plot *p, const char *class, const double *edge, const double *y, size_t n);
/* An upright at x from the axis to the top, of a median dotted. */
void dk_plot_mark(dk_plot *p, const char *class, double x, bool median);
/* A point that tells its title. */
void dk_plot_point(dk_plot *p, const char *class, double x, double y, const char *title);
/* The name of a point, beside it, unless it would cover a point or a name: after
 * all points; whether there was room. */
bool dk_plot_label(dk_plot *p, double x, double y, const char *s);
/* A number above a point. */
void dk_plot_value(dk_plot *p, double x, double y, const char *s);

#endif
