#include "io/hubsplit.h"

#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/yaml.h"

/* ---- names ------------------------------------------------------------- */

static bool ends_with(const char *s, size_t n, const char *end)
{
    const size_t k = strlen(end);

    return n > k && strncasecmp(s + n - k, end, k) == 0;
}

static const char *base_of(const char *path) { return strrchr(path, '/') ? strrchr(path, '/') + 1 : path; }

bool dk_hub_is_rows(const char *path)
{
    static const char *const end[] = { ".parquet", ".jsonl", ".json", ".ndjson", ".txt" };
    static const char *const never[] = { "config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json" };
    size_t n = strlen(path);

    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strcmp(base_of(path), never[i]) == 0)
            return false;
    if (base_of(path)[0] == '.' || strncmp(base_of(path), "__", 2) == 0)
        return false;
    n -= ends_with(path, n, ".gz") ? 3 : ends_with(path, n, ".zst") ? 4 : 0;
    for (size_t i = 0; i < sizeof end / sizeof *end; i++)
        if (ends_with(path, n, end[i]))
            return true;
    return false;
}

/* A table of a kind that is not read. */
static bool is_other_rows(const char *path)
{
    static const char *const end[] = { ".csv", ".tsv", ".arrow", ".tar", ".zip", ".xz", ".bz2", ".lz4", ".avro", ".orc", ".csv.gz", ".tsv.gz" };

    for (size_t i = 0; i < sizeof end / sizeof *end; i++)
        if (ends_with(path, strlen(path), end[i]))
            return true;
    return false;
}

/* One of [...], at p behind the bracket; NULL: it has no end.  *is: c is in it. */
static const char *in_set(const char *p, char c, bool *is)
{
    const bool not = *p == '!' || *p == '^';
    bool found = false;

    p += not;
    for (const char *from = p; *p && (*p != ']' || p == from); p++)
        if (p[1] == '-' && p[2] && p[2] != ']') {
            found = found || (c >= p[0] && c <= p[2]);
            p += 2;
        } else
            found = found || c == *p;
    *is = found != not;
    return *p ? p + 1 : NULL;
}

/* steps: patterns of many stars could take years. */
static bool glob(const char *p, const char *s, int *steps)
{
    bool is;

    for (; *p; s++) {
        if (--*steps < 0)
            return false;
        if (strncmp(p, "**/", 3) == 0) {
            for (const char *at = s; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
                if (glob(p + 3, at, steps))
                    return true;
            return false;
        }
        if (*p == '*') {
            const bool deep = p[1] == '*';

            p += 1 + deep;
            for (;; s++) {
                if (glob(p, s, steps))
                    return true;
                if (!*s || (*s == '/' && !deep))
                    return false;
            }
        }
        if (!*s)
            return false;
        if (*p == '?') {
            if (*s == '/')
                return false;
            p++;
        } else if (*p == '[') {
            const char *behind = in_set(p + 1, *s, &is);

            if (behind ? !is || *s == '/' : *s != '[')
                return false;
            p = behind ? behind : p + 1;
        } else if (*p++ != *s)
            return false;
    }
    return !*s;
}

bool dk_hub_glob(const char *pattern, const char *path)
{
    int steps = 100000;

    return glob(pattern, path, &steps);
}

/* ---- what the card says ------------------------------------------------ */

static const char *text_of(const dk_yaml *y, const char *key)
{
    const dk_yaml *v = y ? dk_yaml_get(y, key) : NULL;

    return v ? v->text : NULL;
}

/* The part of a card between two lines of "---"; NULL: there is none. */
static const char *front(const char *card, size_t n, size_t *len)
{
    const char *p = card, *end;

    if (n > 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) {
        p += 3;
        n -= 3;
    }
    if (n < 4 || memcmp(p, "---", 3) != 0 || (p[3] != '\n' && p[3] != '\r'))
        return NULL;
    end = memmem(p + 3, n - 3, "\n---", 4);
    *len = end ? (size_t)(end - p) - 3 : 0;
    return end ? p + 3 : NULL;
}

static void list_text(dk_buf *out, const char *s)
{
    if (out->n)
        dk_buf_adds(out, ", ");
    dk_buf_addclean(out, s);
}

/* The subset's entry in the card's list.  *found NULL: the card has no list. */
static int find_subset(const dk_yaml **found, const dk_yaml *card, const dk_hubsplit *w, dk_err *err)
{
    const dk_yaml *list = dk_yaml_get(card, "configs");
    dk_buf names = {0};
    int rc = 0;

    *found = NULL;
    if (!list || list->kind != DK_YAML_SEQ || list->n == 0)
        return 0;
    for (size_t i = 0; !*found && i < list->n; i++) {
        const char *name = text_of(&list->item[i], "config_name"), *def = text_of(&list->item[i], "default");

        if (!name)
            name = "default";
        list_text(&names, name);
        if (w->subset ? strcmp(name, w->subset) == 0
                      : list->n == 1 || strcmp(name, "default") == 0 || (def && strcasecmp(def, "true") == 0))
            *found = &list->item[i];
    }
    if (!*found)
        rc = dk_fail(err, DK_EDATA, w->subset ? "%s has no subset '%s'; there are: %.500s"
                     : "%s has several subsets%s: name one (--subset) of %.500s", w->repo, w->subset ? w->subset : "", names.s);
    dk_buf_free(&names);
    return rc;
}

static void match(dk_hublist *out, const dk_hublist *files, const char *dir, const char *pattern)
{
    char *whole = dk_xasprintf("%s%s%s", dir, *dir ? "/" : "", strncmp(pattern, "./", 2) == 0 ? pattern + 2 : pattern);

    for (size_t i = 0; i < files->n; i++)
        if (dk_hub_glob(whole, files->v[i]) && strcmp(base_of(files->v[i]), "README.md") != 0 && base_of(files->v[i])[0] != '.' &&
            !dk_hublist_has(out, files->v[i]))
            dk_hublist_add(out, files->v[i]);
    dk_free(whole);
}

/* A pattern, or a list of them. */
static void match_all(dk_hublist *out, const dk_hublist *files, const char *dir, const dk_yaml *paths)
{
    if (paths && paths->text)
        match(out, files, dir, paths->text);
    for (size_t i = 0; paths && paths->kind == DK_YAML_SEQ && i < paths->n; i++)
        if (paths->item[i].text)
            match(out, files, dir, paths->item[i].text);
}

/* What a subset says of a split: NULL and its splits, or their patterns. */
static const dk_yaml *patterns_of(const dk_yaml *files, const char *split, dk_buf *splits)
{
    const bool train = strcmp(split, "train") == 0;
    const dk_yaml *found = NULL;

    if (files->kind == DK_YAML_MAP) {
        for (size_t i = 0; i < files->n; i++)
            list_text(splits, files->item[i].key);
        return dk_yaml_get(files, split);
    }
    for (size_t i = 0; files->kind == DK_YAML_SEQ && !found && i < files->n; i++) {
        const dk_yaml *e = &files->item[i];
        const char *name = text_of(e, "split");

        if (e->kind != DK_YAML_MAP)         /* plain patterns are the split "train" */
            continue;
        list_text(splits, name ? name : "train");
        if (strcmp(name ? name : "train", split) == 0)
            found = dk_yaml_get(e, "path");
    }
    if (!found && splits->n == 0) {     /* one pattern, or a list of them */
        list_text(splits, "train");
        found = train ? files : NULL;
    }
    return found;
}

/* ---- what names say ---------------------------------------------------- */

/* Does the word stand in s[n] by itself? */
static bool has_word(const char *s, size_t n, const char *word)
{
    const size_t k = strlen(word);

    for (size_t i = 0; i + k <= n; i++)
        if (strncmp(s + i, word, k) == 0 && (i == 0 || strchr("-_. /", s[i - 1])) && (i + k == n || strchr("-_. /", s[i + k])))
            return true;
    return false;
}

/* "train" also goes by "training", and so on. */
static bool names_split(const char *path, const char *split)
{
    static const char *const also[][5] = {
        { "train", "training" }, { "validation", "valid", "dev", "val" }, { "test", "testing", "eval", "evaluation" }
    };
    bool is = has_word(path, strlen(path), split);

    for (size_t i = 0; !is && i < sizeof also / sizeof *also; i++)
        for (size_t k = 1; strcmp(split, also[i][0]) == 0 && k < 5 && also[i][k]; k++)
            is = is || has_word(path, strlen(path), also[i][k]);
    return is;
}

/* "SPLIT-00000-of-00003..." */
static bool is_shard_of(const char *path, const char *split)
{
    const char *name = base_of(path);
    const size_t k = strlen(split);

    return strncmp(name, split, k) == 0 && dk_hub_glob("-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9]*", name + k);
}

/* The path seen from the folder, or NULL when it is not below it. */
static const char *below(const char *path, const char *folder)
{
    const size_t n = strlen(folder);

    if (n == 0)
        return path;
    return strncmp(path, folder, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

/* Files of the folder: those numbered as shards of the split, else those with its
 * name, else, as nothing names any split, all of them for "train". */
static void by_names(dk_hublist *out, const dk_hublist *files, const char *dir, const char *split)
{
    enum { SHARDS, NAMED, ALL };
    bool none = strcmp(split, "train") == 0;

    for (size_t i = 0; none && i < files->n; i++) {
        const char *path = below(files->v[i], dir);

        none = !path || !dk_hub_is_rows(path) ||
               (!names_split(path, "train") && !names_split(path, "validation") && !names_split(path, "test"));
    }
    for (int how = SHARDS; out->n == 0 && how <= (none ? ALL : NAMED); how++)
        for (size_t i = 0; i < files->n; i++) {
            const char *path = below(files->v[i], dir);

            if (path && dk_hub_is_rows(path) &&
                (how == ALL || (how == SHARDS ? is_shard_of(path, split) : names_split(path, split))))
                dk_hublist_add(out, files->v[i]);
        }
}

/* ---- together ---------------------------------------------------------- */

static int nothing(const dk_hublist *files, const dk_hubsplit *w, const dk_buf *splits, dk_err *err)
{
    const char *sub = w->subset ? w->subset : "", *of = w->subset ? "subset " : "";
    const char *other = NULL;

    if (splits->n)
        return dk_fail(err, DK_EDATA, "%s%s%s%s has no split '%s'; there are: %.300s", w->repo, *of ? ", " : "", of, sub,
                       w->split, splits->s);
    for (size_t i = 0; !other && i < files->n; i++)
        if (below(files->v[i], w->inside) && is_other_rows(files->v[i]))
            other = files->v[i];
    if (other)
        return dk_fail(err, DK_EDATA, "%s has no file of split '%s' as JSON lines, text or parquet, but %.200s; where the hub "
                       "has converted it, %s@refs/convert/parquet is parquet", w->repo, w->split, other, w->repo);
    return dk_fail(err, DK_EDATA, "%s%s%s%s has no file of a split '%s' as JSON lines, text or parquet", w->repo,
                   *of ? ", " : "", of, sub, w->split);
}

static int check_picked(const dk_hublist *out, const dk_hubsplit *w, dk_err *err)
{
    for (size_t i = 0; i < out->n; i++)
        if (!dk_hub_is_rows(out->v[i]))
            return dk_fail(err, DK_EDATA, "%s: %.200s, which split '%s' is said to lie in, is neither JSON lines, text nor "
                           "parquet; where the hub has converted it, %s@refs/convert/parquet is parquet", w->repo, out->v[i],
                           w->split, w->repo);
    return 0;
}

static int from_card(dk_hublist *out, bool *said, const dk_hublist *files, const dk_yaml *card, const dk_hubsplit *w,
                     dk_err *err)
{
    const dk_yaml *subset, *data;
    const char *dir;
    dk_buf splits = {0};
    int rc = find_subset(&subset, card, w, err);

    *said = subset != NULL;
    if (rc < 0 || !subset)
        return rc;
    dir = text_of(subset, "data_dir");
    dir = dir ? dir : "";
    data = dk_yaml_get(subset, "data_files");
    if (data && data->kind != DK_YAML_NULL) {
        const dk_yaml *paths = patterns_of(data, w->split, &splits);

        match_all(out, files, dir, paths);
        if (paths)                      /* it has the split, whatever that matches */
            dk_buf_clear(&splits);
    } else
        by_names(out, files, dir, w->split);
    if (out->n == 0)
        rc = nothing(files, w, &splits, err);
    dk_buf_free(&splits);
    return rc;
}

/* Without a card: a folder that is called as the subset, or everything. */
static int without_card(dk_hublist *out, const dk_hublist *files, const dk_hubsplit *w, dk_err *err)
{
    char *dir = w->subset ? dk_xasprintf("%s%s%s", w->inside, *w->inside ? "/" : "", w->subset) : dk_xstrdup(w->inside);
    const dk_buf none = {0};

    by_names(out, files, dir, w->split);
    dk_free(dir);
    return out->n ? 0 : nothing(files, w, &none, err);
}

int dk_hubsplit_pick(dk_hublist *out, const dk_hublist *files, const char *card, size_t n, const dk_hubsplit *w,
                     dk_err *err)
{
    size_t len = 0;
    const char *text = card && !*w->inside ? front(card, n, &len) : NULL;
    dk_yaml *y = NULL;
    dk_err why = {0};
    bool said = false;
    int rc = 0;

    if (*w->inside && dk_hublist_has(files, w->inside)) {
        dk_hublist_add(out, w->inside);
        return check_picked(out, w, err);
    }
    if (text && dk_yaml_parse(&y, text, len, "README.md", &why) < 0)
        dk_log(DK_WARN, "%s: its card cannot be read (%s), so names of files decide", w->repo, why.msg);
    if (y && y->kind == DK_YAML_MAP)
        rc = from_card(out, &said, files, y, w, err);
    if (rc == 0 && !said)
        rc = without_card(out, files, w, err);
    dk_yaml_free(&y);
    return rc == 0 ? check_picked(out, w, err) : rc;
}
