/* Prompts as ids. */
#include "text/prompts.h"

#include <string.h>

#include "io/json.h"
#include "io/textfile.h"
#include "text/utf8.h"

static dk_prompt_row *new_row(dk_prompts *p)
{
    p->row = dk_xrealloc(p->row, (p->n + 1) * sizeof *p->row);
    p->row[p->n] = (dk_prompt_row){0};
    return &p->row[p->n++];
}

void dk_prompts_free(dk_prompts *p)
{
    for (size_t i = 0; i < p->n; i++) {
        dk_buf_free(&p->row[i].text);
        dk_buf_free(&p->row[i].fields);
        dk_free(p->row[i].ids.id);
    }
    dk_free(p->row);
    *p = (dk_prompts){0};
}

static bool full(const dk_prompts *p, const dk_prompt_rules *r) { return r->max && p->n >= r->max; }

static unsigned how(const dk_prompt_rules *r) { return r->no_special ? DK_ENCODE_NO_SPECIAL : 0; }

static bool is(dk_span s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.s, word, s.n) == 0;
}

/* The last turn is left open if it is the assistant's. */
static int encode_turns(dk_ids *ids, dk_tokenizer *t, const dk_prompt_rules *rules, const dk_turn *turn,
                        size_t n, dk_err *err)
{
    const bool open = n > 0 && is(turn[n - 1].role, "assistant");
    dk_rendering r = {0};
    dk_chat *chat = NULL;
    int rc = dk_chat_open(&chat, t, rules->how, err);

    if (rc == 0)
        rc = dk_chat_render(chat, &r, turn, n, open ? DK_CHAT_CONTINUE : DK_CHAT_OPEN, err);
    if (rc == 0)
        rc = dk_chat_encode(t, &r, how(rules), ids, NULL, err);
    dk_rendering_free(&r);
    dk_chat_close(&chat);
    return rc;
}

/* turn has room for one more in front: [1 .. n] are the chat's. */
static int encode_chat(dk_prompt_row *row, dk_tokenizer *t, const dk_prompt_rules *rules, dk_turn *turn,
                       size_t n, dk_err *err)
{
    const bool system = rules->system && n > 0 && !is(turn[1].role, "system");

    for (size_t i = n; row->text.n == 0 && i > 0; i--)
        if (is(turn[i].role, "user"))
            dk_buf_add(&row->text, turn[i].content.s, turn[i].content.n);
    if (!system)
        return encode_turns(&row->ids, t, rules, turn + 1, n, err);
    turn[0] = (dk_turn){ { "system", 6 }, { rules->system, strlen(rules->system) }, NULL };
    return encode_turns(&row->ids, t, rules, turn, n + 1, err);
}

static int encode_text(dk_prompt_row *row, dk_tokenizer *t, const dk_prompt_rules *rules, dk_err *err)
{
    const uint32_t bos = dk_tokenizer_about(t)->prefix;
    dk_ids plain = {0};
    int rc = dk_tokenizer_encode(t, row->text.s, row->text.n, how(rules), &plain, NULL, err);

    if (rc == 0 && bos != DK_NO_ID && (plain.n == 0 || plain.id[0] != bos))
        dk_ids_add(&row->ids, bos);
    for (size_t i = 0; rc == 0 && i < plain.n; i++)
        dk_ids_add(&row->ids, plain.id[i]);
    dk_free(plain.id);
    return rc;
}

int dk_prompts_add_text(dk_prompts *p, dk_tokenizer *t, const dk_prompt_rules *rules, const char *s,
                        size_t n, dk_err *err)
{
    dk_turn turn[2];
    dk_prompt_row *row;

    if (full(p, rules))
        return 0;
    row = new_row(p);
    dk_utf8_clean(&row->text, s, n);
    dk_buf_add(&row->text, "", 0);
    turn[1] = (dk_turn){ { "user", 4 }, { row->text.s, row->text.n }, NULL };
    return rules->chat ? encode_chat(row, t, rules, turn, 1, err) : encode_text(row, t, rules, err);
}

/* --- rows of a file ----------------------------------------------------------- */
static int row_chat(dk_prompts *p, dk_tokenizer *t, const dk_prompt_rules *rules, const dk_json *list,
                    dk_err *err)
{
    const size_t n = dk_json_len(list);
    dk_turn *turn;
    int rc = 0;

    if (dk_json_type(list) != DK_JSON_ARRAY || n == 0)
        return dk_fail(err, DK_EDATA, "'messages' is no list of messages");
    if (!rules->chat)
        return dk_fail(err, DK_EDATA, "a chat is no text to continue: use the chat format");
    turn = dk_xcalloc(n + 1, sizeof *turn);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const dk_json *m = dk_json_at(list, i), *role = dk_json_get(m, "role"), *content = dk_json_get(m, "content");

        turn[i + 1] = (dk_turn){ { dk_json_str(role, NULL), dk_json_len(role) },
                                 { dk_json_str(content, NULL), dk_json_len(content) }, m };
        if (!turn[i + 1].role.s || !turn[i + 1].content.s)
            rc = dk_fail(err, DK_EDATA, "message %zu has no text in 'role' and 'content'", i + 1);
    }
    if (rc == 0)
        rc = encode_chat(new_row(p), t, rules, turn, n, err);
    dk_free(turn);
    return rc;
}

/* What a row holds beside its prompt, as the members of an object. */
static void carry(dk_prompt_row *row, const dk_json *from, const char *const *taken)
{
    dk_json_iter it = {0};
    dk_buf all = {0};
    dk_jw w = { .out = &all };

    dk_jw_obj_begin(&w);
    while (dk_json_next(from, &it)) {
        bool own = false;

        for (size_t i = 0; taken && taken[i]; i++)
            own = own || strcmp(it.key, taken[i]) == 0;
        if (own)
            continue;
        row->has_id = row->has_id || strcmp(it.key, "id") == 0;
        dk_jw_key(&w, it.key);
        dk_jw_value(&w, it.value);
    }
    dk_jw_obj_end(&w);
    dk_buf_add(&row->fields, all.s + 1, all.n - 2);
    dk_buf_free(&all);
}

static int add_row(dk_prompts *p, dk_tokenizer *t, const dk_prompt_rules *rules, const dk_json *row, dk_err *err)
{
    const dk_json *prompt = dk_json_get(row, "prompt"), *list = dk_json_get(row, "messages");
    int rc;

    if (!prompt && !list)
        prompt = dk_json_get(row, "text");
    if (prompt && dk_json_type(prompt) != DK_JSON_STR)
        rc = dk_fail(err, DK_EDATA, "the prompt is no text");
    else if (prompt)
        rc = dk_prompts_add_text(p, t, rules, dk_json_str(prompt, ""), dk_json_len(prompt), err);
    else if (list)
        rc = row_chat(p, t, rules, list, err);
    else
        rc = dk_fail(err, DK_EDATA, "the row has none of 'prompt', 'messages' and 'text'");
    if (rc == 0)
        carry(&p->row[p->n - 1], row, rules->taken);
    return rc;
}

/* Every line that is not blank. */
static int add_lines(dk_prompts *p, dk_tokenizer *t, const dk_prompt_rules *rules, const char *s, size_t n, dk_err *err)
{
    static const char blank[] = " \t\r\v\f";
    int rc = 0;

    for (const char *end = s + n, *next; rc == 0 && s < end && !full(p, rules); s = next) {
        const char *stop = memchr(s, '\n', (size_t)(end - s));

        next = stop ? stop + 1 : end;
        stop = stop ? stop : end;
        while (s < stop && strchr(blank, *s) && *s)
            s++;
        while (stop > s && strchr(blank, stop[-1]) && stop[-1])
            stop--;
        if (stop > s)
            rc = dk_prompts_add_text(p, t, rules, s, (size_t)(stop - s), err);
    }
    return rc;
}

int dk_prompts_add_file(dk_prompts *p, dk_tokenizer *t, const dk_prompt_rules *rules, const char *path,
                        dk_err *err)
{
    const size_t before = p->n;
    dk_textfile *f = NULL;
    dk_doc doc;
    int rc = dk_textfile_open(&f, path, DK_DOC_ROW, NULL, err);

    while (rc == 0 && !full(p, rules) && (rc = dk_textfile_next(f, &doc, err)) == 1) {
        rc = doc.kind == DK_DOC_ROW ? add_row(p, t, rules, doc.row, err)
           : rules->lines           ? add_lines(p, t, rules, doc.text.s, doc.text.n, err)
                                    : dk_prompts_add_text(p, t, rules, doc.text.s, doc.text.n, err);
        if (rc < 0)
            dk_err_prefix(err, doc.line ? "%s:%zu" : "%s", dk_textfile_name(f), doc.line);
    }
    if (rc == 0 && p->n == before && !full(p, rules))
        rc = dk_fail(err, DK_EDATA, "%s: there are no prompts in it", dk_textfile_name(f));
    dk_textfile_close(&f);
    return rc;
}
