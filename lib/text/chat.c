/* Renderings through the interpreter; where the contents went; flags of tokens. */
#include "text/chat.h"

#include <string.h>

#include "io/tokfile.h"
#include "text/jinja.h"
#include "text/utf8.h"

struct dk_chat {
    dk_jinja *jinja;
    dk_chat_spec spec;
    const dk_chat_rules *rules;     /* or NULL */
};

/* Put behind a content that is to be continued, to find it again. */
static const char tag[] = "CONTINUE_FINAL_MESSAGE_TAG ";

int dk_chat_build(dk_chat **out, const dk_chat_spec *spec, const dk_chat_rules *rules, dk_err *err)
{
    const bool own = rules && rules->template;
    const char *text = own ? rules->template : spec->template;
    const char *of = own ? rules->name : spec->name;
    dk_jinja *jinja = NULL;
    char *name;
    int rc;

    *out = NULL;
    if (!text)
        return dk_fail(err, DK_EDATA, "the model has no chat template: chats cannot be rendered (--template FILE gives one)");
    name = dk_xasprintf("template of %s", of ? of : "the model");
    rc = dk_jinja_parse(&jinja, text, strlen(text), name, err);
    dk_free(name);
    if (rc < 0)
        return rc;
    *out = dk_xcalloc(1, sizeof **out);
    **out = (dk_chat){ jinja, *spec, rules };
    return 0;
}

int dk_chat_open(dk_chat **out, const dk_tokenizer *t, const dk_chat_rules *rules, dk_err *err)
{
    const dk_tokenizer_info *info = dk_tokenizer_about(t);
    const dk_chat_spec spec = {
        info->chat_template, info->template_from, dk_tokenizer_piece(t, info->bos), dk_tokenizer_piece(t, info->eos),
        dk_tokenizer_piece(t, info->pad), dk_tokenizer_piece(t, info->unk)
    };

    return dk_chat_build(out, &spec, rules, err);
}

void dk_chat_close(dk_chat **c)
{
    if (*c) {
        dk_jinja_free(&(*c)->jinja);
        dk_free(*c);
        *c = NULL;
    }
}

bool dk_chat_must_alternate(const dk_err *err)
{
    return strstr(err->msg, "onversation roles must alternate user/assistant/user/assistant/") != NULL;
}

static bool is(dk_span s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.s, word, s.n) == 0;
}

/* --- rendering ------------------------------------------------------------------------- */
static void set_token(dk_jinja_run *run, const char *name, dk_span piece)
{
    if (piece.n)
        dk_jinja_set_text(run, name, piece);
}

static void set_variables(const dk_chat *c, dk_jinja_run *run, bool open)
{
    dk_json_iter it = {0};

    set_token(run, "bos_token", c->spec.bos);
    set_token(run, "eos_token", c->spec.eos);
    set_token(run, "pad_token", c->spec.pad);
    set_token(run, "unk_token", c->spec.unk);
    dk_jinja_set_none(run, "tools");
    dk_jinja_set_none(run, "documents");
    dk_jinja_set_bool(run, "add_generation_prompt", open);
    while (c->rules && dk_json_next(c->rules->args, &it))
        dk_jinja_set_json(run, it.key, it.value);
    if (c->rules && c->rules->dated)
        dk_jinja_now(run, c->rules->now);
}

static dk_content content_of(const dk_jinja_place *m, dk_span role)
{
    return (dk_content){ m->from, m->to, is(role, "assistant"), is(role, "user") };
}

static void take(dk_rendering *r, const dk_jinja_output *o, const dk_turn *turn, bool marked)
{
    dk_buf_add(&r->text, o->text.s, o->text.n);
    r->marked = marked;
    if (o->n_marks > r->cap) {
        r->cap = o->n_marks;
        r->content = dk_xrealloc(r->content, r->cap * sizeof *r->content);
    }
    for (size_t i = 0; i < o->n_marks; i++)
        r->content[r->n++] = content_of(&o->marks[i], turn[o->marks[i].mark - 1].role);
    if (o->n_generations > r->cap_said) {
        r->cap_said = o->n_generations;
        r->said = dk_xrealloc(r->said, r->cap_said * sizeof *r->said);
    }
    for (size_t i = 0; i < o->n_generations; i++)
        r->said[r->n_said++] = (dk_range){ o->generations[i].from, o->generations[i].to };
}

static int render(const dk_chat *c, dk_rendering *r, const dk_turn *turn, size_t n, dk_span last, bool open,
                  dk_err *err)
{
    dk_jinja_run *run = dk_jinja_begin(c->jinja, NULL);
    dk_jinja_output o;
    int rc;

    set_variables(c, run, open);
    for (size_t i = 0; i < n; i++)
        dk_jinja_add_message(run, turn[i].role, i + 1 < n ? turn[i].content : last, (uint32_t)i + 1, turn[i].all);
    if ((rc = dk_jinja_render(run, &o, err)) == 0)
        take(r, &o, turn, dk_jinja_marks_generation(c->jinja));
    dk_jinja_end(&run);
    return rc;
}

static const char *last_tag(const dk_buf *b, size_t n)
{
    for (size_t at = b->n < n ? 0 : b->n - n + 1; at-- > 0;)
        if (memcmp(b->s + at, tag, n) == 0)
            return b->s + at;
    return NULL;
}

static void cut(dk_rendering *r, size_t to)
{
    r->text.n = to;
    r->text.s[to] = 0;
    while (r->n && r->content[r->n - 1].from >= to)
        r->n--;
    if (r->n && r->content[r->n - 1].to > to)
        r->content[r->n - 1].to = to;
    while (r->n_said && r->said[r->n_said - 1].from >= to)
        r->n_said--;
    if (r->n_said && r->said[r->n_said - 1].to > to)
        r->said[r->n_said - 1].to = to;
}

/* The rendering is cut behind the last content.  Where the template strips
 * contents, blanks there are its own: they go. */
static int cut_behind(dk_rendering *r, dk_span content, dk_err *err)
{
    const size_t word = sizeof tag - 2;
    const char *at = last_tag(&r->text, word);
    const size_t from = dk_utf8_lstrip(content.s, 0, content.n), to = dk_utf8_rstrip(content.s, from, content.n);
    size_t end;

    if (!at || (to > from && !memmem(r->text.s, r->text.n, content.s + from, to - from)))
        return dk_fail(err, DK_EDATA, "the chat template changes the last message: it cannot be continued");
    end = (size_t)(at - r->text.s);
    if (at[word] != ' ')
        end = dk_utf8_rstrip(r->text.s, 0, end);
    cut(r, end);
    return 0;
}

int dk_chat_render(const dk_chat *c, dk_rendering *r, const dk_turn *turn, size_t n,
                   dk_chat_end end, dk_err *err)
{
    dk_buf tagged = {0};
    dk_span last;
    int rc;

    dk_buf_clear(&r->text);
    dk_buf_add(&r->text, "", 0);
    r->n = r->n_said = 0;
    if (n == 0)
        return dk_fail(err, DK_EDATA, "a chat without messages");
    last = turn[n - 1].content;
    if (end != DK_CHAT_CONTINUE)
        return render(c, r, turn, n, last, end == DK_CHAT_OPEN, err);
    dk_buf_add(&tagged, last.s, last.n);
    dk_buf_adds(&tagged, tag);
    rc = render(c, r, turn, n, (dk_span){ tagged.s, tagged.n }, false, err);
    if (rc == 0)
        rc = cut_behind(r, last, err);
    dk_buf_free(&tagged);
    return rc;
}

void dk_rendering_free(dk_rendering *r)
{
    dk_buf_free(&r->text);
    dk_free(r->content);
    dk_free(r->said);
    *r = (dk_rendering){0};
}

int dk_chat_encode(dk_tokenizer *t, const dk_rendering *r, unsigned how, dk_ids *out, dk_ids *at,
                   dk_err *err)
{
    const dk_span bos = dk_tokenizer_piece(t, dk_tokenizer_about(t)->bos);
    const bool begun = bos.n > 0 && r->text.n >= bos.n && memcmp(r->text.s, bos.s, bos.n) == 0;
    dk_range *plain = NULL;
    int rc;

    if (how & DK_ENCODE_NO_SPECIAL) {
        plain = dk_xcalloc(r->n, sizeof *plain);
        for (size_t i = 0; i < r->n; i++)
            plain[i] = (dk_range){ r->content[i].from, r->content[i].to };
    }
    how = begun ? 0 : how & DK_ENCODE_WRAP;
    rc = dk_tokenizer_encode_guarded(t, r->text.s, r->text.n, how, plain, plain ? r->n : 0, out,
                                     at, err);
    dk_free(plain);
    return rc;
}

/* --- flags ----------------------------------------------------------------------------- */
void dk_token_flags(const dk_tokenizer *t, const dk_rendering *r, const uint32_t *id,
                    const uint32_t *at, size_t n, uint8_t *flags)
{
    const uint32_t bos = dk_tokenizer_about(t)->bos;
    size_t k = 0, g = 0;

    for (size_t i = 0; i < n; i++) {
        const size_t end = !r ? 0 : i + 1 < n ? at[i + 1] : r->text.n;
        unsigned f = dk_tokenizer_is_special(t, id[i]) ? DK_TOK_SPECIAL : 0;

        if (i == 0 && id[0] == bos)
            f |= DK_TOK_BOS;
        while (r && k < r->n && r->content[k].to <= at[i])
            k++;
        while (r && g < r->n_said && r->said[g].to <= at[i])
            g++;
        if (r && (k == r->n || at[i] < r->content[k].from))
            f |= DK_TOK_TEMPLATE;
        else if (r && !r->marked && r->content[k].assistant)
            f |= DK_TOK_ASSISTANT;
        else if (r && r->content[k].user)
            f |= DK_TOK_USER;
        if (r && r->marked && g < r->n_said && end > r->said[g].from)
            f |= DK_TOK_ASSISTANT;
        flags[i] = (uint8_t)f;
    }
}
