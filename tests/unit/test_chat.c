/* Whole chat templates against renderings of the transformers library, masks
 * of tokens, and what a user may ask for. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "files.h"
#include "base/hash.h"
#include "io/json.h"
#include "io/tokfile.h"
#include "text/chat.h"
#include "text/tokenizer.h"

#define TEXT(s) { s, sizeof s - 1 }
#define TURN(r, c) { TEXT(r), TEXT(c), NULL }
enum { MOST_TURNS = 32 };

static dk_json *chats;

static size_t turns_of(size_t chat, dk_turn *turn)
{
    const dk_json *list = dk_json_at(chats, chat);
    const size_t n = dk_json_len(list);

    for (size_t i = 0; i < n && i < MOST_TURNS; i++) {
        const dk_json *m = dk_json_at(list, i), *role = dk_json_get(m, "role"), *content = dk_json_get(m, "content");

        turn[i] = (dk_turn){ { dk_json_str(role, ""), dk_json_len(role) },
                             { dk_json_str(content, ""), dk_json_len(content) }, m };
    }
    return n;
}

static char *file_text(const char *path)
{
    dk_mapfile *m = NULL;
    char *s = NULL;

    if (dk_mapfile_open(&m, path, NULL) == 0)
        s = dk_xstrndup((const char *)m->p, m->n);
    dk_mapfile_close(&m);
    return s;
}

/* Renders a chat of the goldens; args may be NULL. */
static int render(dk_rendering *r, const char *template, size_t chat, const char *end, const dk_json *args, dk_err *err)
{
    const dk_chat_spec spec = { .template = template, .name = "T", .bos = TEXT("<s>"), .eos = TEXT("</s>") };
    const dk_chat_rules rules = { .args = (dk_json *)args };
    const dk_chat_end how = strcmp(end, "open") == 0 ? DK_CHAT_OPEN : strcmp(end, "continue") == 0 ? DK_CHAT_CONTINUE
                                                                                              : DK_CHAT_CLOSED;
    dk_turn turn[MOST_TURNS];
    const size_t n = turns_of(chat, turn);
    dk_chat *c = NULL;
    int rc = dk_chat_build(&c, &spec, &rules, err);

    if (rc == 0)
        rc = dk_chat_render(c, r, turn, n, how, err);
    dk_chat_close(&c);
    return rc;
}

/* What the template says, without "template of T, line N: ". */
static const char *words(const dk_err *err)
{
    const char *s = strstr(err->msg, ": ");

    return s ? s + 2 : err->msg;
}

/* --- the templates of tests/data -------------------------------------------------- */
struct counts { char *name, *template; size_t n, bad, errors, bad_errors, said, bad_said, places, bad_places; };

static bool same_said(const dk_rendering *r, const dk_json *said)
{
    if (r->n_said != dk_json_len(said))
        return false;
    for (size_t i = 0; i < r->n_said; i++)
        if ((int64_t)r->said[i].from != dk_json_int(dk_json_at(dk_json_at(said, i), 0), -1) ||
            (int64_t)r->said[i].to != dk_json_int(dk_json_at(dk_json_at(said, i), 1), -1))
            return false;
    return true;
}

/* Each piece that is said to be content is part of one. */
static bool contents_hold(const dk_rendering *r, size_t chat)
{
    dk_turn turn[MOST_TURNS];
    const size_t n = turns_of(chat, turn);
    size_t before = 0;

    for (size_t i = 0; i < r->n; i++) {
        const dk_content c = r->content[i];
        bool found = false;

        for (size_t k = 0; k < n; k++)
            found = found || (memmem(turn[k].content.s, turn[k].content.n, r->text.s + c.from, c.to - c.from) &&
                              c.assistant == (turn[k].role.n == 9));
        if (!found || c.from < before || c.to <= c.from || c.to > r->text.n)
            return false;
        before = c.to;
    }
    return true;
}

static void check_row(struct counts *c, const dk_json *row)
{
    const char *name = dk_json_str(dk_json_get(row, "template"), "");
    const dk_json *out = dk_json_get(row, "out"), *sha = dk_json_get(row, "sha"), *error = dk_json_get(row, "error");
    const size_t chat = (size_t)dk_json_int(dk_json_get(row, "chat"), 0);
    const char *end = dk_json_str(dk_json_get(row, "end"), "");
    dk_rendering r = {0};
    dk_err err = {0};
    char hex[65] = "";
    int rc;

    if (!c->name || strcmp(c->name, name) != 0) {
        char *below = dk_xasprintf("tests/data/templates/%s.jinja", name), *path = repo_path(below);

        dk_free(c->name);
        dk_free(c->template);
        c->name = dk_xstrdup(name);
        c->template = file_text(path);
        dk_free(below);
        dk_free(path);
    }
    rc = render(&r, c->template, chat, end, dk_json_get(row, "args"), &err);
    if (rc == 0)
        dk_sha256_mem(r.text.s, r.text.n, hex);
    c->n++;
    if (out || sha) {
        if (rc < 0 || (out ? r.text.n != dk_json_len(out) || memcmp(r.text.s, dk_json_str(out, ""), r.text.n) != 0
                           : memcmp(hex, dk_json_str(sha, ""), 16) != 0)) {
            if (c->bad++ < 10)
                tap_note("%s, chat %zu, %s: %s\n#   got  %s\n#   want %s", name, chat, end, err.msg,
                         r.text.s, dk_json_str(out, ""));
        } else {
            c->bad_said += strcmp(end, "continue") != 0 && !same_said(&r, dk_json_get(row, "said"));
            c->said += r.n_said;
            c->bad_places += !contents_hold(&r, chat);
            c->places += r.n;
        }
    } else {
        c->errors++;
        if (rc == 0 || (dk_json_str(error, NULL) && strcmp(words(&err), dk_json_str(error, "")) != 0))
            if (c->bad_errors++ < 10)
                tap_note("%s, chat %zu, %s: %s instead of %s", name, chat, end, err.msg, dk_json_str(error, "an error"));
    }
    dk_rendering_free(&r);
}

typedef void row_fn(void *arg, const dk_json *row);

static void each_row(const char *file, row_fn *fn, void *arg)
{
    dk_mapfile *m = repo_map(file);
    size_t n = 0;

    for (size_t at = 0; m && at < m->n; n++) {
        const uint8_t *nl = memchr(m->p + at, '\n', m->n - at);
        const size_t end = nl ? (size_t)(nl - m->p) : m->n;
        dk_json *row = NULL;

        if (dk_json_parse(&row, (const char *)m->p + at, end - at, file, NULL) < 0)
            break;
        fn(arg, row);
        dk_json_free(&row);
        at = end + 1;
    }
    tap(n > 0, "%s is read, %zu rows", file, n);
    dk_mapfile_close(&m);
}

static void template_row(void *arg, const dk_json *row) { check_row(arg, row); }

static void test_templates(void)
{
    struct counts c = {0};

    each_row("tests/golden/chat/templates.jsonl", template_row, &c);
    tap(c.n > 1500 && c.bad == 0, "%zu renderings of whole templates (%zu wrong)", c.n, c.bad);
    tap(c.errors > 100 && c.bad_errors == 0, "%zu refusals, in the template's words (%zu not)", c.errors, c.bad_errors);
    tap(c.said > 20 && c.bad_said == 0, "%zu generation blocks stand where they should (%zu not)", c.said, c.bad_said);
    tap(c.places > 3000 && c.bad_places == 0, "%zu contents are found again (%zu not)", c.places, c.bad_places);
    dk_free(c.name);
    dk_free(c.template);
}

/* --- templates that are not ours to keep -------------------------------------------- */
struct elsewhere { const char *folder; size_t found, n, bad; };

static void elsewhere_row(void *arg, const dk_json *row)
{
    static const char *const ends[] = { "closed", "closed", "closed", "open", "open", "open", "continue" };
    static const char *const args[] = { "{}", "{\"enable_thinking\":false}",
                                        "{\"enable_thinking\":true,\"date_string\":\"1 May 2025\"}" };
    struct elsewhere *e = arg;
    char *path = dk_xasprintf("%s/%s.jinja", e->folder, dk_json_str(dk_json_get(row, "template"), ""));
    char *template = file_text(path), hex[65] = "";
    const char *want = dk_json_str(dk_json_get(row, "rows"), "");

    if (template)
        dk_sha256_mem(template, strlen(template), hex);
    for (size_t chat = 0; template && chat < dk_json_len(chats); chat++)
        for (size_t k = 0; k < 7; k++) {
            dk_rendering r = {0};
            dk_json *with = NULL;
            dk_err err = {0};
            const size_t n = strcspn(want, " ");
            char got[65] = "error";

            dk_json_parse(&with, args[k % 3 * (k < 6)], strlen(args[k % 3 * (k < 6)]), "", NULL);
            if (render(&r, template, chat, ends[k], with, &err) == 0) {
                dk_sha256_mem(r.text.s, r.text.n, got);
            } else if (n == 8) {
                char *said = dk_xasprintf("error: %s", words(&err));

                dk_sha256_mem(said, strlen(said), got);
                dk_free(said);
            }
            e->n++;
            if (strncmp(got, want, n) != 0 && e->bad++ < 20)
                tap_note("%s, chat %zu, case %zu: %s%s", path, chat, k, err.msg, r.text.s ? r.text.s : "");
            want += n + (want[n] == ' ');
            dk_rendering_free(&r);
            dk_json_free(&with);
        }
    e->found += template != NULL && strcmp(hex, dk_json_str(dk_json_get(row, "sha"), "")) == 0;
    dk_free(template);
    dk_free(path);
}

static void test_elsewhere(void)
{
    struct elsewhere e = { .folder = getenv("DK_TEMPLATES") };

    if (!e.folder) {
        tap_skip("templates of other makers", "DK_TEMPLATES names no folder with them");
        return;
    }
    each_row("tests/golden/chat/elsewhere.jsonl", elsewhere_row, &e);
    tap(e.found > 0 && e.bad == 0, "%zu of %zu renderings of %zu other templates are wrong", e.bad, e.n, e.found);
}

/* --- masks ----------------------------------------------------------------------------- */
struct masks { dk_tokenizer *tok; dk_chat *chat; size_t n, tokens, bad; };

static void mask_row(void *arg, const dk_json *row)
{
    struct masks *m = arg;
    const dk_json *ids = dk_json_get(row, "ids");
    const char *mask = dk_json_str(dk_json_get(row, "mask"), "");
    dk_turn turn[MOST_TURNS];
    const size_t n = turns_of((size_t)dk_json_int(dk_json_get(row, "chat"), 0), turn);
    dk_rendering r = {0};
    dk_ids id = {0}, at = {0};
    uint8_t flags[4096] = {0};
    bool same = dk_chat_render(m->chat, &r, turn, n, DK_CHAT_CLOSED, NULL) == 0 &&
                dk_tokenizer_encode(m->tok, r.text.s, r.text.n, 0, &id, &at, NULL) == 0 && id.n == dk_json_len(ids) &&
                id.n < sizeof flags;

    if (same)
        dk_token_flags(m->tok, &r, id.id, at.id, id.n, flags);
    for (size_t i = 0; same && i < id.n; i++)
        same = id.id[i] == dk_json_int(dk_json_at(ids, i), -1) && ((flags[i] & DK_TOK_ASSISTANT) != 0) == (mask[i] == '1');
    m->bad += !same;
    m->n++;
    m->tokens += id.n;
    dk_rendering_free(&r);
    dk_free(id.id);
    dk_free(at.id);
}

static void test_masks(void)
{
    char *mini = repo_path("tests/golden/mini/hf"), *file = repo_path("tests/data/templates/generation.jinja");
    struct masks m = {0};
    dk_chat_rules rules;
    dk_err err = {0};

    if (tap(dk_tokenizer_open(&m.tok, mini, &err) == 0 && dk_chat_rules_make(&rules, file, NULL, 0, false, NULL, &err) == 0 &&
            dk_chat_open(&m.chat, m.tok, &rules, &err) == 0, "a template with generation blocks %s", err.msg)) {
        each_row("tests/golden/chat/masks.jsonl", mask_row, &m);
        tap(m.n > 15 && m.bad == 0, "masks of %zu chats, %zu tokens (%zu wrong)", m.n, m.tokens, m.bad);
        dk_chat_close(&m.chat);
        dk_chat_rules_free(&rules);
    }
    dk_tokenizer_close(&m.tok);
    dk_free(mini);
    dk_free(file);
}

/* --- the model's own, and what users ask for ------------------------------------------------ */
static bool renders(const char *template, const dk_chat_rules *rules, dk_chat_end end, const char *want, dk_err *err)
{
    static const dk_turn turn[] = { TURN("user", "Hi"), TURN("assistant", "Yo ") };
    const dk_chat_spec spec = { .template = template, .name = "model.gguf" };
    dk_rendering r = {0};
    dk_chat *c = NULL;
    bool same;

    *err = (dk_err){0};
    same = dk_chat_build(&c, &spec, rules, err) == 0 && dk_chat_render(c, &r, turn, 2, end, err) == 0 &&
           strcmp(r.text.s, want) == 0;
    if (!same && !err->code)
        tap_note("got %s", r.text.s);
    dk_chat_close(&c);
    dk_rendering_free(&r);
    return same;
}

static void test_rules(void)
{
    static const char all[] = "{{ enable_thinking }} {{ n + 1 }} {{ name }} {{ l|join }} {{ tools }} {{ bos_token is defined }}";
    static const char date[] = "{{ strftime_now('%d %b %Y, %A %B %-') }}";
    static const char *const args[] = { "n=4", "name=a b", "l=[1]" }, *const twice[] = { "n=1", "n=2" }, *const none[] = { "n" };
    static const struct { const char *date, *want; } dates[] = {
        { NULL, "26 Jul 2024 Friday" }, { "2000-02-29", "29 Feb 2000 Tuesday" }, { "1969-12-31", "31 Dec 1969 Wednesday" },
        { "2026-01-01", "01 Jan 2026 Thursday" }, { "1900-03-01", "01 Mar 1900 Thursday" }
    };
    dk_chat_rules rules;
    dk_err err = {0};

    tap(dk_chat_rules_make(&rules, NULL, args, 3, true, NULL, &err) == 0 &&
        renders(all, &rules, DK_CHAT_CLOSED, "False 5 a b 1 None False", &err), "variables for the template %s", err.msg);
    dk_chat_rules_free(&rules);
    tap(dk_chat_rules_make(&rules, NULL, twice, 2, false, NULL, &err) == DK_EUSAGE && strstr(err.msg, "twice"), "a name given twice");
    err = (dk_err){0};
    tap(dk_chat_rules_make(&rules, NULL, none, 1, false, NULL, &err) == DK_EUSAGE && strstr(err.msg, "NAME=VALUE"), "no value");
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        err = (dk_err){0};
        tap(dk_chat_rules_make(&rules, NULL, NULL, 0, false, dates[i].date, &err) == 0 &&
            renders("{{ strftime_now('%d %b %Y %A') }}", &rules, DK_CHAT_CLOSED, dates[i].want, &err), "the date %s: %s %s",
            dates[i].date ? dates[i].date : "by default", dates[i].want, err.msg);
        dk_chat_rules_free(&rules);
    }
    tap(!renders(date, NULL, DK_CHAT_CLOSED, "", &err) && strstr(err.msg, "%- is not supported"), "an unknown date format is named");
    for (const char *const *bad = (const char *const[]){ "2025-02-29", "2025-1-1", "tomorrow", "2025-01-01x", "", NULL }; *bad; bad++) {
        err = (dk_err){0};
        tap(dk_chat_rules_make(&rules, NULL, NULL, 0, false, *bad, &err) == DK_EUSAGE, "no date: '%s'", *bad);
    }
    err = (dk_err){0};
    tap(dk_chat_rules_make(&rules, "/nowhere/t.jinja", NULL, 0, false, NULL, &err) == DK_EIO && strstr(err.msg, "/nowhere/t.jinja"),
        "a template that is not there");
}

static void test_ends(void)
{
    static const char plain[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
    static const char stripped[] = "{% for m in messages %}<{{ m.role }}> {{ m.content|trim }}</>{% endfor %}";
    dk_err err = {0};
    dk_rendering r = {0};
    dk_chat *c = NULL;
    const dk_chat_spec spec = { .template = plain, .name = "x" };

    tap(renders(plain, NULL, DK_CHAT_CLOSED, "<user>Hi</><assistant>Yo </>", &err), "closed");
    tap(renders(plain, NULL, DK_CHAT_OPEN, "<user>Hi</><assistant>Yo </><assistant>", &err), "open for an answer");
    tap(renders(plain, NULL, DK_CHAT_CONTINUE, "<user>Hi</><assistant>Yo ", &err), "to be continued");
    tap(renders(stripped, NULL, DK_CHAT_CONTINUE, "<user> Hi</><assistant> Yo", &err), "to be continued where blanks are stripped");
    tap(!renders("{{ messages[0].content }}", NULL, DK_CHAT_CONTINUE, "", &err) && strstr(err.msg, "cannot be continued"),
        "a template that drops the last message");
    tap(!renders("a\n{{ raise_exception('No ' + messages[0].content) }}", NULL, DK_CHAT_CLOSED, "", &err) &&
        strcmp(err.msg, "template of model.gguf, line 2: No Hi") == 0, "the template's words are passed on: %s", err.msg);
    tap(!renders("{% include 'x' %}", NULL, DK_CHAT_CLOSED, "", &err) &&
        strcmp(err.msg, "template of model.gguf, line 1: the tag 'include' is not supported") == 0, "what is not supported is named");
    tap(!renders(NULL, NULL, DK_CHAT_CLOSED, "", &err) && strstr(err.msg, "no chat template"), "no template");
    tap(dk_chat_build(&c, &spec, NULL, NULL) == 0 && dk_chat_render(c, &r, NULL, 0, DK_CHAT_CLOSED, NULL) == DK_EDATA, "no messages");
    dk_chat_close(&c);
    dk_rendering_free(&r);
}

int main(void)
{
    char *path = repo_path("tests/golden/chat/chats.json");

    setenv("TZ", "Pacific/Kiritimati", 1);          /* dates are UTC */
    tzset();
    if (tap(dk_json_load(&chats, path, NULL) == 0 && dk_json_len(chats) > 15, "the chats are there")) {
        test_templates();
        test_elsewhere();
        test_masks();
        test_rules();
        test_ends();
    }
    dk_json_free(&chats);
    dk_free(path);
    return tap_end();
}
