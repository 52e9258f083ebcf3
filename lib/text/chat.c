/* ChatML by comparison with the template's whole text. */
#include "text/chat.h"

#include <string.h>

#include "base/hash.h"
#include "io/tokfile.h"

struct dk_chat {
    char *system;           /* inserted where the first message is no system message; or NULL */
};

/* The template of SmolLM2 and, without the middle part, of plain ChatML. */
static const char loop_begin[] = "{% for message in messages %}";
static const char default_begin[] =
    "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n";
static const char default_end[] = "<|im_end|>\n' }}{% endif %}";
static const char loop_end[] =
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/* Inside Jinja's quotes a newline is written as one or as \n. */
static char *unescape(const char *s)
{
    char *out = dk_xmalloc(strlen(s) + 1), *p = out;

    while (*s) {
        const bool escaped = s[0] == '\\' && s[1] == 'n';

        *p++ = escaped ? '\n' : *s;
        s += escaped ? 2 : 1;
    }
    *p = 0;
    return out;
}

static bool skip(const char **s, const char *what)
{
    const size_t n = strlen(what);

    if (strncmp(*s, what, n) != 0)
        return false;
    *s += n;
    return true;
}

/* Whether s is a known template; *system: its default system text. */
static bool recognise(const char *s, char **system)
{
    *system = NULL;
    if (!skip(&s, loop_begin))
        return false;
    if (skip(&s, default_begin)) {
        const char *end = strstr(s, default_end);

        if (!end)
            return false;
        *system = dk_xstrndup(s, (size_t)(end - s));
        s = end + strlen(default_end);
    }
    if (strcmp(s, loop_end) == 0 && (!*system || !strpbrk(*system, "'\\{}")))
        return true;
    dk_free(*system);
    *system = NULL;
    return false;
}

int dk_chat_open(dk_chat **out, const char *chat_template, dk_err *err)
{
    char *plain, *system, hex[65];
    bool known;

    *out = NULL;
    if (!chat_template)
        return dk_fail(err, DK_EDATA, "the model has no chat template: chats cannot be rendered");
    plain = unescape(chat_template);
    known = recognise(plain, &system);
    dk_free(plain);
    if (!known) {
        dk_sha256_mem(chat_template, strlen(chat_template), hex);
        return dk_fail(err, DK_EDATA, "unknown chat template (sha256 %.12s...): only that of the "
                       "ChatML family of SmolLM2 can be rendered", hex);
    }
    *out = dk_xcalloc(1, sizeof **out);
    (*out)->system = system;
    return 0;
}

void dk_chat_close(dk_chat **c)
{
    if (*c) {
        dk_free((*c)->system);
        dk_free(*c);
        *c = NULL;
    }
}

static bool is(dk_span s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.s, word, s.n) == 0;
}

static void add_content(dk_rendering *r, dk_span text, bool assistant)
{
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 8;
        r->content = dk_xrealloc(r->content, r->cap * sizeof *r->content);
    }
    r->content[r->n++] = (dk_content){ r->text.n, r->text.n + text.n, assistant };
    dk_buf_add(&r->text, text.s, text.n);
}

int dk_chat_render(const dk_chat *c, dk_rendering *r, const dk_turn *turn, size_t n,
                   bool generation, dk_err *err)
{
    dk_buf_clear(&r->text);
    r->n = 0;
    if (n == 0)
        return dk_fail(err, DK_EDATA, "a chat without messages");
    if (c->system && !is(turn[0].role, "system"))
        dk_buf_addf(&r->text, "<|im_start|>system\n%s<|im_end|>\n", c->system);
    for (size_t i = 0; i < n; i++) {
        dk_buf_adds(&r->text, "<|im_start|>");
        dk_buf_add(&r->text, turn[i].role.s, turn[i].role.n);
        dk_buf_addc(&r->text, '\n');
        add_content(r, turn[i].content, is(turn[i].role, "assistant"));
        dk_buf_adds(&r->text, "<|im_end|>\n");
    }
    if (generation)
        dk_buf_adds(&r->text, "<|im_start|>assistant\n");
    return 0;
}

void dk_rendering_free(dk_rendering *r)
{
    dk_buf_free(&r->text);
    dk_free(r->content);
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

void dk_token_flags(const dk_tokenizer *t, const dk_rendering *r, const uint32_t *id,
                    const uint32_t *at, size_t n, uint8_t *flags)
{
    const uint32_t bos = dk_tokenizer_about(t)->bos;
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned f = dk_tokenizer_is_special(t, id[i]) ? DK_TOK_SPECIAL : 0;

        if (i == 0 && id[0] == bos)
            f |= DK_TOK_BOS;
        while (r && k < r->n && r->content[k].to <= at[i])
            k++;
        if (r && (k == r->n || at[i] < r->content[k].from))
            f |= DK_TOK_TEMPLATE;
        else if (r && r->content[k].assistant)
            f |= DK_TOK_ASSISTANT;
        flags[i] = (uint8_t)f;
    }
}
