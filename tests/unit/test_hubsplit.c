/* Patterns of cards, and which names are of rows; the cards themselves are tried
 * in tests/cli/dk-fetch-data.bats. */
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "io/hubsplit.h"
#include "tap.h"

static void globs(void)
{
    static const struct { const char *pattern, *path; bool is; } t[] = {
        { "data/train-*", "data/train-00000-of-00003.parquet", true }, { "data/train-*", "data/x/train-0", false },
        { "data/train-*", "data/train-a/b", false }, { "*.jsonl", "a.jsonl", true }, { "*.jsonl", "b/a.jsonl", false },
        { "**", "a/b/c", true }, { "**/c", "a/b/c", true }, { "**/c", "c", true }, { "**/c", "a/bc", false },
        { "a/**/c", "a/c", true }, { "a/**/c", "a/x/y/c", true }, { "a/**", "a/x/y", true }, { "a/**", "b/x", false },
        { "?.txt", "a.txt", true }, { "?.txt", "/.txt", false }, { "?.txt", ".txt", false }, { "[a-c]x", "bx", true },
        { "[!a-c]x", "bx", false }, { "[!a-c]x", "dx", true }, { "[^/]x", "/x", false }, { "[]]x", "]x", true },
        { "[ax", "[ax", true }, { "[ax", "ax", false }, { "", "", true }, { "", "a", false }, { "a", "", false },
        { "en/c4-train.*.json.gz", "en/c4-train.00001-of-01024.json.gz", true }, { "*", "", true },
    };

    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        if (!tap(dk_hub_glob(t[i].pattern, t[i].path) == t[i].is, "'%s' and '%s'", t[i].pattern, t[i].path))
            tap_note("it should be %s", t[i].is ? "a match" : "none");
}

/* Stars that could match in more ways than anybody can wait for. */
static void endless(void)
{
    dk_buf pattern = {0}, path = {0};

    for (int i = 0; i < 60; i++) {
        dk_buf_adds(&pattern, i % 2 ? "*a" : "**/*");
        dk_buf_adds(&path, i % 7 ? "aaaa" : "/");
    }
    dk_buf_adds(&pattern, "b");
    tap(!dk_hub_glob(pattern.s, path.s), "a pattern of many stars ends");
    dk_buf_free(&pattern);
    dk_buf_free(&path);
}

static void rows(void)
{
    static const char *const yes[] = { "a.parquet", "b/a.JSONL", "a.json.gz", "a.ndjson.zst", "train.txt", "x/.y/a.txt" };
    static const char *const no[] = { "a.csv", "dataset_infos.json", "x/config.json", ".a.json", "__a.json", "a.parquet.bz2", ".gz",
                                      "json", ".json", "a.py", "README.md" };

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        tap(dk_hub_is_rows(yes[i]), "%s has rows", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        tap(!dk_hub_is_rows(no[i]), "%s has none", no[i]);
}

/* Cards that are cut, or say things that cannot be: an answer or one line. */
static void cards(void)
{
    static const char card[] = "---\nconfigs:\n- config_name: a\n  default: true\n  data_files:\n  - split: train\n    path: [a/*, \"**\"]\n"
                               "- {config_name: b, data_dir: b}\n- [1, 2]\n- x\n---\n";
    static char name[][16] = { "README.md", "a/t.jsonl", "b/train.txt", "c.csv" };
    char *v[4] = { name[0], name[1], name[2], name[3] };
    const dk_hublist files = { 4, v };
    const char *const subset[] = { NULL, "a", "b", "default" };
    bool good = true;

    for (size_t n = 0; n < sizeof card; n++)
        for (size_t k = 0; k < 4; k++) {
            const dk_hubsplit w = { "o/n", "", subset[k], "train" };
            char *cut = dk_xmalloc(n + 1);
            dk_hublist out = {0};
            dk_err err = {0};
            int rc;

            memcpy(cut, card, n);
            rc = dk_hubsplit_pick(&out, &files, cut, n, &w, &err);
            good = good && (rc == 0 ? out.n > 0 : err.msg[0] && !strchr(err.msg, '\n'));
            dk_hublist_free(&out);
            dk_free(cut);
        }
    tap(good, "a card cut anywhere gives files or one line");
}

int main(void)
{
    globs();
    endless();
    rows();
    cards();
    return tap_end();
}
