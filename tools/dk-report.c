/* dk-report: what a run found, on one screen and as a page. */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/outfile.h"
#include "cli/tool.h"
#include "method/page.h"

struct params { int64_t width; bool no_file; const char *method, *html, *plots, *model; };

static const dk_opt opts[] = {
    DK_INT(struct params, 0, "width", width, "80", 40, 1000, "columns of the text"),
    DK_CHOICE(struct params, 0, "method", method, "all",
              "all|kl|diff_mining|activation_difference_lens|activation_analysis|pca|contrast",
              "only what one method left, its files in RESULTS/METHOD"),
    DK_FLAG(struct params, 0, "no-file", no_file, "write neither RESULTS/summary.json nor the page"),
    { DK_OPT_PATH, 0, "html", offsetof(struct params, html), NULL, 0, 0, NULL,
      "write the page to FILE, not RESULTS/index.html; - for stdout, without the text", DK_NOSTAMP, NULL },
    { DK_OPT_PATH, 0, "plots", offsetof(struct params, plots), NULL, 0, 0, NULL,
      "also write the page's plots to folder DIR, each as an SVG file of its own", DK_NOSTAMP, NULL },
    DK_PATH(struct params, 'm', "model", model, NULL,
            "the model whose tokenizer made the ids, if not that of RESULTS/pair.json"),
    DK_END
};

static int write_json(const dk_summary *s, const char *dir, dk_err *err)
{
    char *path = dk_xasprintf("%s/summary.json", dir);
    dk_buf b = {0};
    int rc;

    dk_summary_json(s, &b);
    rc = dk_outfile_write(path, b.s, b.n, err);
    dk_buf_free(&b);
    dk_free(path);
    return rc;
}

static int write_pictures(const dk_pictures *pictures, const char *dir, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < pictures->n; i++) {
        char *path = dk_xasprintf("%s/%s.svg", dir, pictures->of[i].name);

        rc = dk_outfile_write(path, pictures->of[i].svg, strlen(pictures->of[i].svg), err);
        dk_free(path);
    }
    return rc;
}

/* All files, or none where one of the first two cannot be made. */
static int write_files(const dk_summary *s, const char *dir, const struct params *p, const char *to, dk_err *err)
{
    dk_pictures pictures = {0};
    dk_buf page = {0};
    int rc = dk_page_html(s, p->model, &page, p->plots ? &pictures : NULL, err);

    if (rc == 0)
        rc = write_json(s, dir, err);
    if (rc == 0)
        rc = dk_outfile_write(to, page.s, page.n, err);
    if (rc == 0)
        rc = write_pictures(&pictures, p->plots, err);
    dk_pictures_free(&pictures);
    dk_buf_free(&page);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const char *method = strcmp(p->method, "all") == 0 ? NULL : p->method;
    char *dir = method ? dk_xasprintf("%s/%s", args[0], method) : dk_xstrdup(args[0]);
    char *to = p->html ? dk_xstrdup(p->html) : dk_xasprintf("%s/index.html", dir);
    dk_summary *s = NULL;
    dk_buf text = {0};
    int rc = dk_summary_load(&s, args[0], method, err);

    (void)ctx;
    (void)n;
    if (rc == 0 && !p->no_file) {
        rc = write_files(s, dir, p, to, err);
        s->page = to;
    }
    if (rc == 0 && (p->no_file || strcmp(to, "-") != 0)) {
        dk_summary_text(s, (size_t)p->width, &text);
        fputs(text.s, stdout);
    }
    dk_buf_free(&text);
    dk_summary_free(&s);
    dk_free(dir);
    dk_free(to);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-report", .purpose = "tell on one screen, and on a page, what was compared and found",
    .algo = 1, .usage = "[options] RESULTS", .opts = opts, .params_size = sizeof(struct params),
    .min_args = 1, .max_args = 1, .run = run,
};
