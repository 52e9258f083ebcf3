#include "io/hubdata.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/outfile.h"
#include "io/hubrepo.h"
#include "io/hubsplit.h"
#include "io/instream.h"
#include "io/mapfile.h"
#include "io/parquet.h"

enum { MAX_FILES = 1000000, MAX_CARD = 16 << 20 };

typedef struct data {
    dk_hubrepo repo;
    const dk_hub_data *which;
    const dk_hub_options *o;
} data;

/* ---- what is there already --------------------------------------------- */

/* The name under which the choice of files is noted. */
static char *pick_name(const data *d)
{
    dk_buf name = {0};

    dk_buf_addc(&name, 'p');
    dk_http_escape(&name, d->repo.inside, false);
    dk_buf_addc(&name, ',');
    dk_http_escape(&name, d->which->subset ? d->which->subset : "", false);
    dk_buf_addc(&name, ',');
    dk_http_escape(&name, d->which->split, false);
    dk_buf_addf(&name, ",%llu", (unsigned long long)d->which->rows);
    return name.s;
}

static char *pick_path(const data *d)
{
    char *name = pick_name(d), *path = dk_hubcache_picks(d->repo.side.cache, d->repo.side.commit, name);

    dk_free(name);
    return path;
}

/* The files that were chosen once and are all here. */
static bool in_cache(data *d, dk_hublist *out)
{
    dk_mapfile *m = NULL;
    char *path;
    bool all = false;

    if (!dk_hubcache_commit(d->repo.side.cache, d->repo.side.revision, d->repo.side.commit))
        return false;
    path = pick_path(d);
    if (dk_mapfile_open(&m, path, NULL) == 0) {
        const char *p = (const char *)m->p, *const end = p + m->n;

        all = p < end && end[-1] == '\n';
        while (all && p < end) {
            const char *nl = memchr(p, '\n', (size_t)(end - p));
            char *file = dk_xstrndup(p, (size_t)(nl - p));

            all = dk_hub_path_ok(file) && dk_hubcache_has(d->repo.side.cache, d->repo.side.commit, file);
            dk_hublist_add(out, file);
            dk_free(file);
            p = nl + 1;
        }
    }
    if (!all)
        dk_hublist_free(out);
    dk_mapfile_close(&m);
    dk_free(path);
    return all;
}

static int note(const data *d, const dk_hublist *files, dk_err *err)
{
    char *path = pick_path(d);
    dk_buf text = {0};
    int rc;

    for (size_t i = 0; i < files->n; i++)
        dk_buf_addf(&text, "%s\n", files->v[i]);
    rc = dk_outfile_write(path, text.s, text.n, err);
    dk_buf_free(&text);
    dk_free(path);
    return rc;
}

static int matching(const data *d, dk_hublist *out, const dk_hublist *files, dk_err *err)
{
    for (size_t k = 0; k < d->o->n_include; k++) {
        const size_t before = out->n;

        for (size_t i = 0; i < files->n; i++)
            if (fnmatch(d->o->include[k], files->v[i], 0) == 0 && dk_hub_is_rows(files->v[i]) && !dk_hublist_has(out, files->v[i]))
                dk_hublist_add(out, files->v[i]);
        if (out->n == before)
            return dk_fail(err, DK_EDATA, "%s has no JSON lines, text or parquet that matches '%s'", d->repo.side.repo,
                           d->o->include[k]);
    }
    return 0;
}

static int without_hub(data *d, dk_hublist *out, dk_err *err)
{
    const dk_hubside *s = &d->repo.side;
    dk_hublist all = {0};
    int rc = 0;

    if (d->o->n_include && dk_hubcache_commit(s->cache, s->revision, d->repo.side.commit)) {
        dk_hubcache_list(s->cache, s->commit, &all);
        rc = matching(d, out, &all, err);
        dk_hublist_free(&all);
        return rc;
    }
    if (in_cache(d, out))
        return 0;
    return dk_fail(err, DK_EIO, "%s@%s%s%s, split %s, is not, or not whole, in %s, and --offline (HF_HUB_OFFLINE) forbids to "
                   "fetch it", s->repo, s->revision, d->which->subset ? ", subset " : "", d->which->subset ? d->which->subset : "",
                   d->which->split, dk_hubcache_root(s->cache));
}

/* ---- the hub's listing ------------------------------------------------- */

static int ask_commit(data *d, dk_err *err)
{
    dk_json *root = NULL;
    dk_buf url = {0};
    int rc;

    dk_buf_addf(&url, "%s/api/datasets/%s/revision/", d->repo.side.endpoint, d->repo.side.repo);
    dk_http_escape(&url, d->repo.side.revision, false);
    dk_buf_adds(&url, "?expand%5B%5D=sha");
    rc = dk_hubrepo_ask(&d->repo, url.s, &root, err);
    if (rc == 0)
        rc = dk_hubrepo_commit(&d->repo, root, err);
    dk_json_free(&root);
    dk_buf_free(&url);
    return rc;
}

static int add_page(data *d, const dk_json *root, dk_hublist *files, dk_err *err)
{
    int rc = 0;

    if (dk_json_type(root) != DK_JSON_ARRAY)
        return dk_fail(err, DK_EFORMAT, "the hub's listing of %s is no list", d->repo.side.repo);
    for (size_t i = 0; rc == 0 && i < dk_json_len(root); i++) {
        const dk_json *e = dk_json_at(root, i);

        if (strcmp(dk_json_str(dk_json_get(e, "type"), ""), "file") == 0)
            rc = dk_hubrepo_add(&d->repo, files, dk_json_get(e, "path"), err);
    }
    return rc;
}

/* A listing goes on where the header Link says: of that only the question is
 * taken, so that no hub leads elsewhere. */
static bool next_page(const data *d, dk_buf *query)
{
    char link[4096], *next, *from, *end;

    dk_buf_clear(query);
    if (!dk_http_header(&d->repo.side.answer, "link", link, sizeof link) || !(next = strstr(link, "rel=\"next\"")))
        return false;
    *next = 0;
    from = strrchr(link, '<');
    from = from ? strchr(from, '?') : NULL;
    end = from ? strchr(from, '>') : NULL;
    if (!end || end - from < 2)
        return false;
    *end = 0;
    if (from[strspn(from, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~?&=%+")])
        return false;
    dk_buf_adds(query, from);
    if (!strstr(from, "recursive="))
        dk_buf_adds(query, "&recursive=true");
    return true;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int list_files(data *d, dk_hublist *files, dk_err *err)
{
    dk_buf query = {0}, url = {0};
    bool more = true;
    size_t seen = 0;
    int rc = 0;

    dk_buf_adds(&query, "?recursive=true&expand=false");
    while (rc == 0 && more) {
        dk_json *root = NULL;

        dk_buf_clear(&url);
        dk_buf_addf(&url, "%s/api/datasets/%s/tree/%s%s", d->repo.side.endpoint, d->repo.side.repo, d->repo.side.commit, query.s);
        rc = dk_hubrepo_ask(&d->repo, url.s, &root, err);
        if (rc == 0)
            rc = add_page(d, root, files, err);
        more = rc == 0 && next_page(d, &query);
        if (more && dk_json_len(root) == 0)
            rc = dk_fail(err, DK_EDATA, "the hub's listing of %s does not end", d->repo.side.repo);
        if (rc == 0 && (seen += dk_json_len(root)) > MAX_FILES)
            rc = dk_fail(err, DK_EDATA, "%s has more than %d files and folders", d->repo.side.repo, MAX_FILES);
        dk_json_free(&root);
    }
    if (files->n)
        qsort(files->v, files->n, sizeof *files->v, by_name);
    dk_buf_free(&query);
    dk_buf_free(&url);
    return rc;
}

/* ---- rows -------------------------------------------------------------- */

static int count_lines(const char *path, uint64_t enough, uint64_t *rows, dk_err *err)
{
    dk_instream *in = NULL;
    dk_buf piece = {0};
    bool open = false;          /* a line without its end */
    size_t got = 1;
    int rc = dk_instream_open(&in, path, err);

    while (rc == 0 && got && (enough == 0 || *rows < enough)) {
        dk_buf_clear(&piece);
        if ((rc = dk_instream_read(in, &piece, 1 << 16, &got, err)) == 0 && got) {
            for (const char *p = piece.s; (p = memchr(p, '\n', (size_t)(piece.s + piece.n - p))); p++)
                ++*rows;
            open = piece.s[piece.n - 1] != '\n';
        }
    }
    *rows += rc == 0 && got == 0 && open;
    dk_buf_free(&piece);
    dk_instream_close(&in);
    return rc;
}

static bool is_named(const char *path, const char *end)
{
    size_t n = strlen(path);
    const size_t k = strlen(end);

    n -= n > 3 && strcmp(path + n - 3, ".gz") == 0 ? 3 : n > 4 && strcmp(path + n - 4, ".zst") == 0 ? 4 : 0;
    return n > k && strncmp(path + n - k, end, k) == 0;
}

int dk_hub_count_rows(const char *path, uint64_t enough, uint64_t *rows, dk_err *err)
{
    dk_parquet *f = NULL;
    int rc;

    *rows = 0;
    if (is_named(path, ".txt"))
        *rows = 1;
    else if (!is_named(path, ".parquet"))
        return count_lines(path, enough, rows, err);
    else if ((rc = dk_parquet_open(&f, path, err)) < 0)
        return rc;
    else
        *rows = dk_parquet_rows(f);
    dk_parquet_close(&f);
    return 0;
}

/* ---- fetching ---------------------------------------------------------- */

static int pick(data *d, dk_hublist *out, const dk_hublist *files, dk_err *err)
{
    const dk_hubsplit w = { d->repo.side.repo, d->repo.inside, d->which->subset, d->which->split };
    dk_mapfile *card = NULL;
    char *path;
    int rc = 0;

    if (d->o->n_include)
        return matching(d, out, files, err);
    if (dk_hublist_has(files, "README.md")) {
        if ((rc = dk_hubside_fetch(&d->repo.side, "README.md", err)) < 0)
            return rc;
        path = dk_hubcache_snapshot(d->repo.side.cache, d->repo.side.commit, "README.md");
        rc = dk_mapfile_open(&card, path, err);
        dk_free(path);
    }
    if (rc == 0 && card && card->n > MAX_CARD)
        rc = dk_fail(err, DK_EDATA, "%s: its card has more than 16 MiB", d->repo.side.repo);
    if (rc == 0)
        rc = dk_hubsplit_pick(out, files, card ? (const char *)card->p : NULL, card ? card->n : 0, &w, err);
    dk_mapfile_close(&card);
    return rc;
}

/* The files in their order, until there are rows enough; the others are dropped
 * from the list. */
static int fetch_files(data *d, dk_hublist *files, dk_err *err)
{
    uint64_t rows = 0, more = 0;
    size_t n = 0;
    int rc = 0;

    while (rc == 0 && n < files->n && (d->which->rows == 0 || rows < d->which->rows)) {
        rc = dk_hubside_fetch(&d->repo.side, files->v[n], err);
        if (rc == 0 && d->which->rows && n + 1 < files->n) {
            char *path = dk_hubcache_snapshot(d->repo.side.cache, d->repo.side.commit, files->v[n]);

            rc = dk_hub_count_rows(path, d->which->rows - rows, &more, err);
            rows += more;
            dk_free(path);
        }
        n++;
    }
    while (files->n > n)
        dk_free(files->v[--files->n]);
    return rc;
}

static int from_hub(data *d, dk_hublist *out, dk_err *err)
{
    dk_hublist files = {0};
    int rc = dk_hubrepo_connect(&d->repo, &d->o->limits, err);

    if (rc == 0)
        rc = ask_commit(d, err);
    if (rc == 0)
        rc = list_files(d, &files, err);
    if (rc == 0)
        rc = pick(d, out, &files, err);
    if (rc == 0)
        rc = fetch_files(d, out, err);
    if (rc == 0 && d->o->n_include == 0)
        rc = note(d, out, err);
    if (rc == 0)
        rc = dk_hubrepo_keep(&d->repo, err);
    dk_hublist_free(&files);
    return rc;
}

int dk_hub_fetch_data(dk_hublist *paths, const char *id, const dk_hub_data *which, const dk_hub_options *o, dk_err *err)
{
    data d = { .which = which, .o = o };
    dk_hublist files = {0};
    int rc = dk_hubrepo_open(&d.repo, id, true, o->offline, err);

    *paths = (dk_hublist){0};
    if (rc == 0 && d.repo.offline)
        rc = without_hub(&d, &files, err);
    else if (rc == 0 && (o->update || o->n_include || !in_cache(&d, &files)))
        rc = from_hub(&d, &files, err);
    for (size_t i = 0; rc == 0 && i < files.n; i++) {
        char *path = dk_hubcache_snapshot(d.repo.side.cache, d.repo.side.commit, files.v[i]);

        dk_hublist_add(paths, path);
        dk_free(path);
    }
    dk_hublist_free(&files);
    dk_hubrepo_close(&d.repo);
    return rc;
}
