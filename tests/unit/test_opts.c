/* Option parsing, on a small tool of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/tool.h"
#include "tap.h"

struct params {
    const char *name, *path, *mode, *inert, *out;
    int64_t k, big;
    double x;
    bool flag;
    dk_strs list;
};

#define P struct params
static const dk_opt opts[] = {
    DK_GROUP("a heading"),
    DK_STR(P, 's', "name", name, "anon", "a text"),
    DK_PATH(P, 'p', "path", path, NULL, "a file"),
    DK_CHOICE(P, 0, "mode", mode, "fast", "fast|faster|fastest", "how"),
    DK_INT_KEY(P, 'k', "top-k", k, "5", 1, 100, "method_params.top_k_values", "a number"),
    DK_INT(P, 0, "big", big, "0", -9e15, 9e15, "a large number"),
    DK_REAL(P, 'x', "scale", x, "1.5", 0, 10, "a real number"),
    DK_FLAG(P, 'F', "flag", flag, "yes or no"),
    DK_LIST(P, 'l', "list", list, "a,b", "some words"),
    { DK_OPT_STR, 0, "inert", offsetof(P, inert), "none", 0, 0, NULL, "nothing", DK_INERT, NULL },
    DK_OUT(P, out, NULL, "write to FILE"),
    DK_END
};

static int run(dk_ctx *ctx, const void *p, int n, char **args, dk_err *err)
{
    (void)ctx; (void)p; (void)n; (void)args; (void)err;
    return 0;
}

static dk_tool tool = { .name = "dk-test", .purpose = "test", .algo = 3, .usage = "[options] [WORD...]", .opts = opts,
                        .params_size = sizeof(struct params), .max_args = -1, .run = run };

/* The last parse. */
static struct params p;
static dk_ctx ctx;
static dk_err err;
static char *argv[40];
static int n_words;

static int parse(const char *line)
{
    static char copy[2000];
    int argc = 0, first = 0, rc;

    dk_opts_release(&tool, &p);
    memset(&p, 0, sizeof p);
    ctx = (dk_ctx){0};
    err = (dk_err){0};
    snprintf(copy, sizeof copy, "dk-test %s", line);
    for (char *s = strtok(copy, " "); s; s = strtok(NULL, " "))
        argv[argc++] = s;
    rc = dk_opts_parse(&tool, argc, argv, &ctx, &p, &first, &err);
    n_words = argc - first;
    memmove(argv, argv + first, (size_t)n_words * sizeof *argv);
    return rc;
}

static bool list_is(const char *want)
{
    char got[500] = "";
    size_t at = 0;

    for (size_t i = 0; i < p.list.n && at < sizeof got; i++)
        at += (size_t)snprintf(got + at, sizeof got - at, "%s%s", i ? "|" : "", p.list.v[i]);
    return strcmp(got, want) == 0;
}

static void values(void)
{
    tap(parse("") == 0 && strcmp(p.name, "anon") == 0 && !p.path && p.k == 5 && p.x == 1.5 && !p.flag && list_is("a|b") &&
        ctx.seed == 42 && ctx.threads == 0 && strcmp(p.mode, "fast") == 0 && n_words == 0, "defaults");
    tap(parse("-k7") == 0 && p.k == 7, "-k7");
    tap(parse("-k 7") == 0 && p.k == 7, "-k 7");
    tap(parse("--top-k=7") == 0 && p.k == 7, "--top-k=7");
    tap(parse("--top-k 7") == 0 && p.k == 7, "--top-k 7");
    tap(parse("-k 7 --top-k=8 -k9") == 0 && p.k == 9, "the last one counts");
    tap(parse("--top-k-values 7") == 0 && p.k == 7, "by the last part of the reference's key");
    tap(parse("--big=-3") == 0 && p.big == -3 && parse("--big -3") == 0 && p.big == -3, "negative numbers");
    tap(parse("--big 9000000000000000") == 0 && p.big == 9000000000000000, "large numbers");
    tap(parse("-x 2.5e-1") == 0 && p.x == 0.25, "reals");
    tap(parse("-F") == 0 && p.flag && parse("--flag") == 0 && p.flag && parse("--flag=false") == 0 && !p.flag, "flags");
    tap(parse("-F word") == 0 && p.flag && n_words == 1, "a flag takes no word after it");
    tap(parse("--name=a=b") == 0 && strcmp(p.name, "a=b") == 0, "a value may hold =");
    tap(parse("--name=") == 0 && strcmp(p.name, "") == 0, "a value may be empty");
    tap(parse("--name --flag") == 0 && strcmp(p.name, "--flag") == 0 && !p.flag, "a value may look like an option");
    tap(parse("--mode fastest") == 0 && strcmp(p.mode, "fastest") == 0, "choices");
    tap(parse("-t 3 --seed 9 -v") == 0 && ctx.threads == 3 && ctx.seed == 9 && ctx.verbosity == 1, "common options");
    tap(parse("-vv") == 0 && ctx.verbosity == 2 && parse("-v -v") == 0 && ctx.verbosity == 2 &&
        parse("-q") == 0 && ctx.verbosity == -1, "verbosity");
    tap(parse("--inert none") == 0, "an inert option at its default");
}

static void lists(void)
{
    tap(parse("-l x") == 0 && list_is("x"), "a list given replaces the default");
    tap(parse("-l x -l y") == 0 && list_is("x|y"), "repeated, it grows");
    tap(parse("-l x,y --list=z") == 0 && list_is("x|y|z"), "commas and repeats mix");
    tap(parse("-l ,x,,y,") == 0 && list_is("x|y"), "empty parts are none");
    tap(parse("--list=") == 0 && list_is(""), "an empty list");
}

static void words(void)
{
    tap(parse("one -k7 two --flag three") == 0 && n_words == 3 && strcmp(argv[0], "one") == 0 && strcmp(argv[1], "two") == 0 &&
        strcmp(argv[2], "three") == 0 && p.k == 7 && p.flag, "options and words mix");
    tap(parse("-F -- -k7 --bogus --") == 0 && n_words == 3 && strcmp(argv[0], "-k7") == 0 && strcmp(argv[2], "--") == 0 && p.k == 5,
        "after -- everything is a word");
    tap(parse("-") == 0 && n_words == 1 && strcmp(argv[0], "-") == 0, "- is a word");
    tool.min_args = 1;
    tool.max_args = 2;
    tap(parse("") == DK_EUSAGE && strstr(err.msg, "missing"), "too few words");
    tap(parse("a b c") == DK_EUSAGE && strstr(err.msg, "too many"), "too many words");
    tap(parse("a b") == 0, "just as many");
    tool.min_args = 0;
    tool.max_args = -1;
    tool.runs_others = true;
    tap(parse("-k7 cmd -k9 --bogus") == 0 && p.k == 7 && n_words == 3 && strcmp(argv[1], "-k9") == 0,
        "another program's words are left alone");
    tool.runs_others = false;
}

static void refused(const char *line, const char *part)
{
    const int rc = parse(line);

    tap(rc == DK_EUSAGE && strstr(err.msg, part), "refused: %s (%s)", line, err.msg);
}

static void errors(void)
{
    refused("--bogus", "--bogus");
    refused("-z", "-z");
    refused("--bogus=3", "--bogus");
    refused("-k", "value");
    refused("--top-k", "value");
    refused("-k 0", "top-k");
    refused("-k 101", "top-k");
    refused("-k 7x", "7x");
    refused("-k 7.5", "7.5");
    refused("-k 0x7", "0x7");
    refused("-k99999999999999999999", "top-k");
    refused("--top-k=", "top-k");
    refused("-x 11", "scale");
    refused("-x nan", "nan");
    refused("-x inf", "inf");
    refused("-x 1,5", "1,5");
    refused("--mode fas", "fast|faster|fastest");
    refused("--mode=", "none of");
    refused("--flag=maybe", "maybe");
    refused("--inert other", "no effect");
    refused("-t -1", "threads");
    refused("--backend gpu9", "gpu9");
    refused("--to 7", "--to");              /* no abbreviations: scripts would break when options come */
    tap(parse("-k 0 --bogus") < 0 && strstr(err.msg, "--bogus"), "what is unknown is said first");
}

static int with_file(const char *text, const char *more)
{
    char path[] = "/tmp/dk-opts-XXXXXX", line[200];
    const int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    int rc;

    if (!f)
        return -99;
    fputs(text, f);
    fclose(f);
    snprintf(line, sizeof line, "-c %s %s", path, more);
    rc = parse(line);
    unlink(path);
    return rc;
}

static void yaml(void)
{
    tap(with_file("top_k: 9\nscale: 2\nflag: true\nname: x y\nseed: 8\nthreads: 2\n", "") == 0 && p.k == 9 && p.x == 2 && p.flag &&
        strcmp(p.name, "x y") == 0 && ctx.seed == 8 && ctx.threads == 2, "YAML: names");
    tap(with_file("top-k: 9\n", "") == 0 && p.k == 9, "YAML: with hyphens");
    tap(with_file("top_k_values: 9\n", "") == 0 && p.k == 9, "YAML: the last part of the reference's key");
    tap(with_file("method_params:\n  top_k_values: 9\n", "") == 0 && p.k == 9, "YAML: its full key, nested");
    tap(with_file("method_params.top_k_values: 9\n", "") == 0 && p.k == 9, "YAML: its full key, with a dot");
    tap(with_file("top_k: 9\n", "-k 3") == 0 && p.k == 3, "the command line wins, whatever the order");
    tap(with_file("list: [x, y]\n", "") == 0 && list_is("x|y"), "YAML: a list");
    tap(with_file("list:\n  - x\n  - y\n", "") == 0 && list_is("x|y"), "YAML: a list in lines");
    tap(with_file("list: x,y\n", "-l z") == 0 && list_is("z"), "a list of the command line replaces the file's");
    tap(with_file("", "") == 0 && with_file("# nothing\n", "") == 0 && p.k == 5, "YAML: an empty file");
    tap(with_file("a: 1\n", "") == DK_EUSAGE && strstr(err.msg, ":1") && strstr(err.msg, "'a'"), "YAML: an unknown key: %s", err.msg);
    tap(with_file("name: x\ntop_k: 900\n", "") == DK_EUSAGE && strstr(err.msg, ":2"), "YAML: a value out of range: %s", err.msg);
    tap(with_file("other:\n  top_k_values: 9\n", "") == DK_EUSAGE, "YAML: another group's key is another key");
    tap(with_file("config: x.yaml\n", "") == DK_EUSAGE, "YAML: no file names a file");
    tap(with_file("- 1\n", "") == DK_EUSAGE && with_file("word\n", "") == DK_EUSAGE, "YAML: not a map");
    tap(with_file("list: [[x]]\n", "") == DK_EUSAGE, "YAML: lists in lists");
    tap(with_file("top_k: [1\n", "") < 0, "YAML: damaged");
    tap(with_file("inert: none\n", "") == 0 && with_file("inert: 3\n", "") == DK_EUSAGE, "YAML: inert keys at their default only");
    tap(parse("-c /nowhere/x.yaml") < 0 && strstr(err.msg, "/nowhere/x.yaml"), "YAML: no such file");
}

static void records(void)
{
    dk_buf b = {0};

    parse("-p a/b/c.gguf -k 7 -l x/y,z --name q\"\\");
    dk_params_json(&ctx, &b);
    tap(strcmp(b.s, "{\"name\":\"q\\\"\\\\\",\"path\":\"c.gguf\",\"mode\":\"fast\",\"top-k\":7,\"big\":0,\"scale\":1.5,"
               "\"flag\":false,\"list\":\"y,z\",\"seed\":42}") == 0, "parameters as JSON, files as bare names: %s", b.s);
    dk_buf_clear(&b);
    dk_writer_text(&ctx, &b);
    tap(strcmp(b.s, "dk-test " DK_VERSION " algo 3") == 0, "the writer");
    dk_buf_free(&b);
}

int main(void)
{
    values();
    lists();
    words();
    errors();
    yaml();
    records();
    dk_opts_release(&tool, &p);
    return tap_end();
}
