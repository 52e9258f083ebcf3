/* Provenance: models, files with their digests, what made them of what. */
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "io/h5meta.h"
#include "method/pageparts.h"

static void models(const dk_page *p, const dk_page_scores *s)
{
    dk_html *h = p->h;

    dk_html_put(h, "h3", NULL, "Models");
    dk_html_open_class(h, "div", "scroll");
    dk_html_open_class(h, "table", "fold");
    dk_html_open(h, "tbody");
    for (size_t i = 0; i < dk_scores_n_models(s->file); i++) {
        const char *name;
        const dk_model_info *m = dk_scores_model(s->file, i, &name);

        dk_html_open(h, "tr");
        dk_html_put(h, "td", NULL, dk_summary_lane(p->s, name));
        dk_html_putf(h, "td", NULL, "%s, %s", m->arch ? m->arch : "", m->kind ? m->kind : "");
        dk_html_open_class(h, "td", "detail");
        dk_html_textf(h, "%u layers, width %u, vocabulary %u, products in %s", m->n_layers, m->d_model, m->vocab,
                      m->dtype ? m->dtype : "");
        if (m->adapter_sha256 && *m->adapter_sha256)
            dk_html_textf(h, "; adapter of rank %u, scale %g", m->adapter_rank, m->adapter_scale);
        dk_html_close(h);
        dk_html_put(h, "td", "hash", m->adapter_sha256 && *m->adapter_sha256 ? m->adapter_sha256
                    : m->weights_sha256 ? m->weights_sha256 : "");
        dk_html_close(h);
    }
    dk_html_close(h);
    dk_html_close(h);
    dk_html_close(h);
}

/* Those that the results consist of; not this page, and no notes. */
static int is_result(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && (strcmp(dot, ".h5") == 0 || strcmp(dot, ".jsonl") == 0);
}

static int file_row(const dk_page *p, const char *path, size_t skip, dk_err *err)
{
    dk_html *h = p->h;
    struct stat st;
    char hex[65];
    int rc = dk_sha256_file(path, hex, err);

    if (rc < 0 || stat(path, &st) != 0)
        return rc;
    dk_html_open(h, "tr");
    dk_html_put(h, "td", NULL, path + skip);
    dk_html_putf(h, "td", "num", "%lld", (long long)st.st_size);
    dk_html_put(h, "td", "hash", hex);
    dk_html_close(h);
    return 0;
}

static void value_text(dk_buf *b, const dk_json *v)
{
    dk_jw w = { .out = b };

    if (dk_json_type(v) == DK_JSON_STR)
        dk_buf_adds(b, dk_json_str(v, ""));
    else
        dk_jw_value(&w, v);
}

/* The inputs of a file, each with its own below it. */
static void tree(dk_html *h, const dk_json *inputs, int depth)
{
    if (dk_json_len(inputs) == 0 || depth > 6)
        return;
    dk_html_open(h, "ul");
    for (size_t i = 0; i < dk_json_len(inputs); i++) {
        const dk_json *in = dk_json_at(inputs, i);
        const char *sha = dk_row_str(in, "sha256");

        dk_html_open(h, "li");
        dk_html_textf(h, "%s ", dk_row_str(in, "role"));
        if (*dk_row_str(in, "name"))    /* dk files have their content id only */
            dk_html_put(h, "b", NULL, dk_row_str(in, "name"));
        if (dk_row_num(in, "bytes") > 0)
            dk_html_textf(h, ", %.0f bytes", dk_row_num(in, "bytes"));
        if (*dk_row_str(in, "writer"))
            dk_html_textf(h, ", by %s", dk_row_str(in, "writer"));
        dk_html_put(h, "span", "hash", *sha ? sha : dk_row_str(in, "content_id"));
        tree(h, dk_json_get(in, "inputs"), depth + 1);
        dk_html_close(h);
    }
    dk_html_close(h);
}

/* What stands under /provenance of a file. */
static int provenance(dk_json **command, dk_json **inputs, dk_h5 *f, const char *path, dk_err *err)
{
    char *text = NULL;
    int rc = dk_h5_read_text(f, "/provenance/command", &text, err);

    if (rc == 0 && text && *text)
        rc = dk_json_parse(command, text, strlen(text), path, err);
    dk_free(text);
    text = NULL;
    if (rc == 0)
        rc = dk_h5_read_text(f, "/provenance/inputs", &text, err);
    if (rc == 0 && text && *text)
        rc = dk_json_parse(inputs, text, strlen(text), path, err);
    dk_free(text);
    return rc;
}

static void put_value(dk_html *h, const char *key, const dk_json *value)
{
    dk_buf b = {0};

    dk_buf_adds(&b, "");
    value_text(&b, value);
    dk_html_put(h, "dt", NULL, key);
    dk_html_put(h, "dd", NULL, b.s);
    dk_buf_free(&b);
}

static void parameters(dk_html *h, const dk_h5_root *root, const dk_json *command)
{
    dk_json_iter it = {0};

    dk_html_open(h, "dl");
    dk_html_put(h, "dt", NULL, "content id");
    dk_html_put(h, "dd", "hash", root->content_id ? root->content_id : "");
    dk_html_put(h, "dt", NULL, "stage key");
    dk_html_put(h, "dd", "hash", root->stage_key ? root->stage_key : "");
    while (dk_json_next(dk_json_get(command, "parameters"), &it))
        put_value(h, it.key, it.value);
    dk_html_close(h);
}

/* One that cannot be read is no part of what the page shows, or the page would
 * not have come so far: it says so and goes on. */
static void made_of(const dk_page *p, const char *path, const char *name)
{
    dk_json *command = NULL, *inputs = NULL;
    dk_html *h = p->h;
    dk_h5 *f = NULL;
    dk_err err = {0};
    int rc = dk_h5_open(&f, path, NULL, &err);

    if (rc == 0)
        rc = provenance(&command, &inputs, f, path, &err);
    if (rc == 0) {
        const dk_h5_root *root = dk_h5_root_of(f);

        dk_html_open(h, "details");
        dk_html_putf(h, "summary", NULL, "%s: made by %s", name, root->writer ? root->writer : "?");
        parameters(h, root, command);
        tree(h, inputs, 0);
        dk_html_close(h);
    } else
        dk_html_putf(h, "p", "note", "%s: what made it cannot be read.", name);
    dk_json_free(&command);
    dk_json_free(&inputs);
    dk_h5_close(&f);
}

/* The results, by folder and name. */
struct list { char **path; size_t n; };

static void find_results(struct list *l, const dk_summary *s)
{
    char *below = dk_xasprintf("%s/*", s->method ? s->method : "*");
    const char *const where[] = { "*", below };

    *l = (struct list){0};
    for (size_t w = s->method ? 1 : 0; w < 2; w++) {
        char *pattern = dk_summary_pattern(s->results, where[w]);
        glob_t g = {0};

        if (glob(pattern, 0, NULL, &g) == 0)
            for (size_t i = 0; i < g.gl_pathc; i++)
                if (is_result(g.gl_pathv[i])) {
                    l->path = dk_xrealloc(l->path, (l->n + 1) * sizeof *l->path);
                    l->path[l->n++] = dk_xstrdup(g.gl_pathv[i]);
                }
        globfree(&g);
        dk_free(pattern);
    }
    dk_free(below);
}

static int files(const dk_page *p, dk_err *err)
{
    const size_t skip = strlen(p->s->results) + 1;
    dk_html *h = p->h;
    struct list l;
    int rc = 0;

    find_results(&l, p->s);
    dk_html_put(h, "h3", NULL, "Files");
    dk_html_table(h, "fold");
    dk_html_put(h, "th", NULL, "name");
    dk_html_put(h, "th", "num", "bytes");
    dk_html_put(h, "th", NULL, "SHA-256");
    dk_html_table_body(h);
    for (size_t i = 0; rc == 0 && i < l.n; i++)
        rc = file_row(p, l.path[i], skip, err);
    dk_html_table_end(h);
    for (size_t i = 0; i < l.n; i++) {
        if (rc == 0 && strcmp(strrchr(l.path[i], '.'), ".h5") == 0)
            made_of(p, l.path[i], l.path[i] + skip);
        dk_free(l.path[i]);
    }
    dk_free(l.path);
    return rc;
}

static void configuration(const dk_page *p)
{
    dk_html *h = p->h;
    dk_json_iter it = {0};

    dk_html_open(h, "details");
    dk_html_put(h, "summary", NULL, "Configuration, resolved");
    dk_html_open(h, "dl");
    while (dk_json_next(p->s->pair, &it))
        if (strcmp(it.key, "model.path") != 0)
            put_value(h, it.key, it.value);
    dk_html_close(h);
    dk_html_close(h);
}

int dk_page_files(const dk_page *p, dk_err *err)
{
    dk_html *h = p->h;
    int rc = 0, told = 0;

    dk_html_open(h, "section");
    dk_html_attr(h, "id", "files");
    dk_html_put(h, "h2", NULL, "What it was made of");
    for (size_t k = 0; rc == 0 && k < p->s->n_kl; k++) {
        dk_page_scores s;

        rc = dk_page_scores_open(&s, p, p->s->kl[k].name, err);
        if (rc == 0 && s.file && !told++)
            models(p, &s);
        dk_page_scores_close(&s);
    }
    if (rc == 0)
        rc = files(p, err);
    configuration(p);
    dk_html_close(h);
    return rc;
}
