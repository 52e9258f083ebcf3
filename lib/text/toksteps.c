/* Steps of a tokenizer.json: each is checked against those that are known. */
#include "text/toksteps.h"

#include <string.h>

#include "text/utf8.h"

static dk_span text_of(const dk_json *v)
{
    return (dk_span){ dk_json_str(v, NULL), dk_json_len(v) };
}

static const char *type_of(const dk_json *v) { return dk_json_str(dk_json_get(v, "type"), ""); }

static bool is_type(const dk_json *v, const char *type) { return strcmp(type_of(v), type) == 0; }

static bool is_null(const dk_json *v) { return !v || dk_json_is_null(v); }

int dk_toksteps_refuse(const char *what, const dk_json *v, dk_err *err)
{
    const char *type = type_of(v);

    return dk_fail(err, DK_EFORMAT, "unsupported %s '%.100s'", what, *type ? type : "without a type");
}

static int too_many(const char *what, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "more than %d %ss", DK_MAX_STEPS, what);
}

/* Calls one for v or, if it is a Sequence, for each of its members. */
typedef int step_fn(dk_tokenizer_spec *spec, const dk_json *v, dk_err *err);

static int each(dk_tokenizer_spec *spec, const dk_json *v, const char *members, int depth,
                step_fn *one, dk_err *err)
{
    const dk_json *list = dk_json_get(v, members);
    int rc = 0;

    if (!is_type(v, "Sequence"))
        return one(spec, v, err);
    if (dk_json_type(list) != DK_JSON_ARRAY || depth > 8)
        return dk_fail(err, DK_EFORMAT, "a 'Sequence' without '%s', or one deep within others",
                       members);
    for (size_t i = 0; rc == 0 && i < dk_json_len(list); i++)
        rc = each(spec, dk_json_at(list, i), members, depth + 1, one, err);
    return rc;
}

/* {"String": ...} or {"Regex": ...}; older files have the string alone. */
static int pattern(dk_span *out, bool *regex, const dk_json *v, const char *what, dk_err *err)
{
    const dk_json *string = dk_json_type(v) == DK_JSON_STR ? v : dk_json_get(v, "String");

    *regex = !string;
    *out = text_of(string ? string : dk_json_get(v, "Regex"));
    return out->s && out->n ? 0 : dk_fail(err, DK_EFORMAT, "%s without a pattern", what);
}

/* --- normalizers --------------------------------------------------------- */

static int normalizer(dk_tokenizer_spec *spec, const dk_json *v, dk_err *err)
{
    static const struct { const char *type; dk_normalizer_kind kind; } known[] = {
        { "NFC", DK_NORMALIZE_NFC }, { "NFD", DK_NORMALIZE_NFD }, { "NFKC", DK_NORMALIZE_NFKC },
        { "NFKD", DK_NORMALIZE_NFKD }, { "Lowercase", DK_NORMALIZE_LOWER }, { "Strip", DK_NORMALIZE_STRIP },
        { "Prepend", DK_NORMALIZE_PREPEND },
        { "Replace", DK_NORMALIZE_REPLACE }
    };
    dk_norm_step *step = &spec->norm[spec->n_norm];
    size_t k = 0;

    while (k < sizeof known / sizeof *known && !is_type(v, known[k].type))
        k++;
    if (k == sizeof known / sizeof *known)
        return dk_toksteps_refuse("normalizer", v, err);
    if (spec->n_norm == DK_MAX_STEPS)
        return too_many("normalizer", err);
    *step = (dk_norm_step){ .kind = known[k].kind };
    spec->n_norm++;
    step->left = dk_json_bool(dk_json_get(v, "strip_left"), true);
    step->right = dk_json_bool(dk_json_get(v, "strip_right"), true);
    if (step->kind != DK_NORMALIZE_PREPEND && step->kind != DK_NORMALIZE_REPLACE)
        return 0;
    step->to = text_of(dk_json_get(v, step->kind == DK_NORMALIZE_PREPEND ? "prepend" : "content"));
    if (!step->to.s)
        return dk_fail(err, DK_EFORMAT, "normalizer '%s' without a text", type_of(v));
    return step->kind == DK_NORMALIZE_PREPEND ? 0
        : pattern(&step->from, &step->regex, dk_json_get(v, "pattern"), "normalizer 'Replace'", err);
}

/* --- pre-tokenizers ------------------------------------------------------ */

static dk_cut_step *add_cut(dk_tokenizer_spec *spec, dk_cut_kind kind)
{
    dk_cut_step *step = &spec->cut[spec->n_cut++];

    *step = (dk_cut_step){ .kind = kind };
    return step;
}

static int split(dk_cut_step *step, const dk_json *v, dk_err *err)
{
    static const char *const names[] = {
        [DK_CUT_ISOLATED] = "Isolated", [DK_CUT_REMOVED] = "Removed",
        [DK_CUT_WITH_PREVIOUS] = "MergedWithPrevious", [DK_CUT_WITH_NEXT] = "MergedWithNext",
        [DK_CUT_CONTIGUOUS] = "Contiguous"
    };
    const char *behavior = dk_json_str(dk_json_get(v, "behavior"), "");
    size_t k = 0;
    bool regex = false;

    while (k < sizeof names / sizeof *names && strcmp(names[k], behavior) != 0)
        k++;
    if (k == sizeof names / sizeof *names)
        return dk_fail(err, DK_EFORMAT, "unsupported behavior '%.50s' of pre-tokenizer 'Split'",
                       behavior);
    step->behavior = (dk_cut_behavior)k;
    step->invert = dk_json_bool(dk_json_get(v, "invert"), false);
    if (pattern(&step->text, &regex, dk_json_get(v, "pattern"), "pre-tokenizer 'Split'", err) < 0)
        return DK_EFORMAT;
    step->kind = regex ? DK_CUT_REGEX : DK_CUT_TEXT;
    return 0;
}

/* One character. */
static int replacement(dk_span *out, const dk_json *v, dk_err *err)
{
    size_t end = 0;

    *out = dk_json_get(v, "replacement") ? text_of(dk_json_get(v, "replacement"))
                                         : (dk_span){ "\xE2\x96\x81", 3 };
    if (out->s && out->n)
        dk_utf8_next(out->s, out->n, &end);
    return end && end == out->n ? 0
        : dk_fail(err, DK_EFORMAT, "the replacement of 'Metaspace' is not one character");
}

static int scheme(dk_scheme *out, const dk_json *v, dk_err *err)
{
    const char *name = dk_json_str(dk_json_get(v, "prepend_scheme"), "always");
    const bool prefix = dk_json_bool(dk_json_get(v, "add_prefix_space"), true);

    *out = strcmp(name, "first") == 0 ? DK_SCHEME_FIRST
        : strcmp(name, "never") == 0 || !prefix ? DK_SCHEME_NEVER : DK_SCHEME_ALWAYS;
    if (*out == DK_SCHEME_ALWAYS && strcmp(name, "always") != 0)
        return dk_fail(err, DK_EFORMAT, "unsupported prepend_scheme '%.50s' of 'Metaspace'", name);
    if (!prefix && *out != DK_SCHEME_NEVER)
        return dk_fail(err, DK_EFORMAT, "add_prefix_space and prepend_scheme of 'Metaspace' disagree");
    return 0;
}

static int pre_tokenizer(dk_tokenizer_spec *spec, const dk_json *v, dk_err *err)
{
    dk_cut_step *step;

    if (spec->byte_level)
        return dk_fail(err, DK_EFORMAT, "unsupported: pre-tokenizer '%.100s' after 'ByteLevel'",
                       type_of(v));
    if (spec->n_cut + 2 > DK_MAX_STEPS)
        return too_many("pre-tokenizer", err);
    if (is_type(v, "ByteLevel")) {
        spec->byte_level = true;
        if (dk_json_bool(dk_json_get(v, "add_prefix_space"), true))
            add_cut(spec, DK_CUT_PREFIX);
        if (dk_json_bool(dk_json_get(v, "use_regex"), true))
            add_cut(spec, DK_CUT_SCAN)->scan = DK_PRETOK_GPT2;
        return 0;
    }
    if (is_type(v, "Split"))
        return split(add_cut(spec, DK_CUT_TEXT), v, err);
    if (is_type(v, "Digits")) {
        add_cut(spec, DK_CUT_DIGITS)->behavior =
            dk_json_bool(dk_json_get(v, "individual_digits"), false) ? DK_CUT_ISOLATED
                                                                     : DK_CUT_CONTIGUOUS;
        return 0;
    }
    if (is_type(v, "WhitespaceSplit")) {
        add_cut(spec, DK_CUT_SPACES)->behavior = DK_CUT_REMOVED;
        return 0;
    }
    if (!is_type(v, "Metaspace"))
        return dk_toksteps_refuse("pre-tokenizer", v, err);
    step = add_cut(spec, DK_CUT_METASPACE);
    step->split = dk_json_bool(dk_json_get(v, "split"), true);
    return replacement(&step->text, v, err) < 0 ? DK_EFORMAT : scheme(&step->scheme, v, err);
}

/* --- what is known to be faster ------------------------------------------ */

static void drop(dk_tokenizer_spec *spec, size_t at, size_t n)
{
    memmove(spec->cut + at, spec->cut + at + n, (spec->n_cut - at - n) * sizeof *spec->cut);
    spec->n_cut -= n;
}

static bool isolates(const dk_cut_step *c, dk_cut_kind kind)
{
    return c->kind == kind && c->behavior == DK_CUT_ISOLATED && !c->invert;
}

static bool is_text(dk_span t, const char *what)
{
    return t.n == strlen(what) && memcmp(t.s, what, t.n) == 0;
}

/* Steps that are together what one scanner does, and a cut at spaces where none
 * is left. */
static void recognise(dk_tokenizer_spec *spec)
{
    const dk_norm_step *last = spec->n_norm ? &spec->norm[spec->n_norm - 1] : NULL;

    if (last && last->kind == DK_NORMALIZE_REPLACE && !last->regex && is_text(last->from, " ") &&
        !memchr(last->to.s, ' ', last->to.n) && spec->n_cut && spec->cut[0].kind == DK_CUT_TEXT &&
        is_text(spec->cut[0].text, " ") && !spec->cut[0].invert)
        drop(spec, 0, 1);
    for (size_t at = 0; at < spec->n_cut; at++)
        for (size_t n = 3; n > 0; n--) {
            const char *regex[3];
            dk_pretok kind;
            size_t k = 0;

            for (; k < n && at + k < spec->n_cut && isolates(&spec->cut[at + k], DK_CUT_REGEX); k++)
                regex[k] = spec->cut[at + k].text.s;
            if (k == n && dk_pretok_from_regex(&kind, regex, n)) {
                spec->cut[at] = (dk_cut_step){ .kind = DK_CUT_SCAN, .scan = kind };
                drop(spec, at + 1, n - 1);
                break;
            }
        }
    for (size_t at = 0; at + 1 < spec->n_cut; at++)
        if (isolates(&spec->cut[at], DK_CUT_DIGITS) && spec->cut[at + 1].kind == DK_CUT_SCAN &&
            spec->cut[at + 1].scan == DK_PRETOK_GPT2) {
            spec->cut[at] = (dk_cut_step){ .kind = DK_CUT_SCAN, .scan = DK_PRETOK_SMOLLM };
            drop(spec, at + 1, 1);
        }
}

/* --- post-processors ----------------------------------------------------- */

/* {"SpecialToken": {"id": NAME}}: NAME's one id from the special_tokens map. */
static int template_token(uint32_t *out, const dk_json *special, const dk_json *item, dk_err *err)
{
    const char *name = dk_json_str(dk_json_get(dk_json_get(item, "SpecialToken"), "id"), "");
    const dk_json *ids = dk_json_get(dk_json_get(special, name), "ids");
    const int64_t id = dk_json_int(dk_json_at(ids, 0), -1);

    if (*out != DK_NO_ID && id == *out)
        return dk_fail(err, DK_EFORMAT, "post-processor 'TemplateProcessing' puts '%.100s' twice at one "
                       "end of a text", name);
    if (dk_json_len(ids) != 1 || id < 0 || id >= UINT32_MAX || *out != DK_NO_ID)
        return dk_fail(err, DK_EFORMAT, "unsupported: post-processor 'TemplateProcessing' with more "
                       "than one token before or after the text");
    *out = (uint32_t)id;
    return 0;
}

static int post_processor(dk_tokenizer_spec *spec, const dk_json *v, dk_err *err)
{
    const dk_json *list = dk_json_get(v, "single");
    size_t texts = 0;
    int rc = 0;

    if (is_type(v, "ByteLevel"))        /* offsets only */
        return 0;
    if (!is_type(v, "TemplateProcessing"))
        return dk_toksteps_refuse("post-processor", v, err);
    for (size_t i = 0; rc == 0 && i < dk_json_len(list); i++) {
        const dk_json *item = dk_json_at(list, i);

        if (dk_json_get(item, "Sequence"))
            texts++;
        else
            rc = template_token(texts ? &spec->suffix : &spec->prefix,
                                dk_json_get(v, "special_tokens"), item, err);
    }
    if (rc == 0 && texts != 1)
        rc = dk_fail(err, DK_EFORMAT, "post-processor 'TemplateProcessing' has the text %zu times",
                     texts);
    return rc;
}

/* --- decoders ------------------------------------------------------------ */

static int strip(dk_back_step *step, const dk_json *v, dk_err *err)
{
    const int64_t start = dk_json_int(dk_json_get(v, "start"), 0);
    const int64_t stop = dk_json_int(dk_json_get(v, "stop"), 0);
    size_t end = 0;

    step->from = text_of(dk_json_get(v, "content"));
    if (step->from.s && step->from.n)
        dk_utf8_next(step->from.s, step->from.n, &end);
    if (!end || end != step->from.n || start < 0 || stop < 0)
        return dk_fail(err, DK_EFORMAT, "decoder 'Strip' wants one character and two numbers");
    step->start = (size_t)start;
    step->stop = (size_t)stop;
    return 0;
}

static int decoder(dk_tokenizer_spec *spec, const dk_json *v, dk_err *err)
{
    static const struct { const char *type; dk_back_kind kind; } known[] = {
        { "ByteLevel", DK_BACK_BYTE_LEVEL }, { "ByteFallback", DK_BACK_FALLBACK },
        { "Fuse", DK_BACK_FUSE }, { "Replace", DK_BACK_REPLACE }, { "Strip", DK_BACK_STRIP },
        { "Metaspace", DK_BACK_METASPACE }
    };
    dk_back_step *step = &spec->back[spec->n_back];
    dk_scheme when = DK_SCHEME_ALWAYS;
    size_t k = 0;

    while (k < sizeof known / sizeof *known && !is_type(v, known[k].type))
        k++;
    if (k == sizeof known / sizeof *known)
        return dk_toksteps_refuse("decoder", v, err);
    if (spec->n_back == DK_MAX_STEPS)
        return too_many("decoder", err);
    *step = (dk_back_step){ .kind = known[k].kind };
    spec->n_back++;
    if (step->kind == DK_BACK_STRIP)
        return strip(step, v, err);
    if (step->kind == DK_BACK_METASPACE) {
        if (scheme(&when, v, err) < 0)
            return DK_EFORMAT;
        step->never = when == DK_SCHEME_NEVER;
        return replacement(&step->from, v, err);
    }
    if (step->kind != DK_BACK_REPLACE)
        return 0;
    step->to = text_of(dk_json_get(v, "content"));
    if (!step->to.s)
        return dk_fail(err, DK_EFORMAT, "decoder 'Replace' without a content");
    return pattern(&step->from, &step->regex, dk_json_get(v, "pattern"), "decoder 'Replace'", err);
}

int dk_toksteps_read(dk_tokenizer_spec *spec, const dk_json *root, dk_err *err)
{
    const struct { const char *key, *members; step_fn *one; } parts[] = {
        { "normalizer", "normalizers", normalizer }, { "pre_tokenizer", "pretokenizers", pre_tokenizer },
        { "post_processor", "processors", post_processor }, { "decoder", "decoders", decoder }
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof *parts; i++) {
        const dk_json *v = dk_json_get(root, parts[i].key);

        if (!is_null(v))
            rc = each(spec, v, parts[i].members, 0, parts[i].one, err);
    }
    if (rc == 0)
        recognise(spec);
    return rc;
}
