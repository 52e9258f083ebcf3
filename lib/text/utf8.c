/* UTF-8 decoding, and character classes in blocks of 256 code points that are
 * filled from utf8proc when a text first touches them: start-up costs nothing
 * and a lookup is two loads. */
#include "text/utf8.h"

#include <string.h>
#include <utf8proc.h>

/* Bytes of the sequence a lead byte opens, 0 if it opens none. */
static int lead_len(uint8_t c)
{
    return c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
}

/* Whether c may follow lead byte b directly: rules out overlong forms,
 * surrogates and what lies above U+10FFFF. */
static bool second_ok(uint8_t b, uint8_t c)
{
    const uint8_t lo = b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80;
    const uint8_t hi = b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF;

    return c >= lo && c <= hi;
}

int32_t dk_utf8_next(const char *s, size_t n, size_t *at)
{
    const uint8_t *p = (const uint8_t *)s + *at;
    const size_t left = n - *at;
    const int len = lead_len(p[0]);
    int32_t cp;
    int i = 1;

    if (len == 1) {
        *at += 1;
        return p[0];
    }
    cp = len ? p[0] & (0x7F >> len) : 0;
    for (; i < len && (size_t)i < left; i++) {
        if (i == 1 ? !second_ok(p[0], p[1]) : (p[i] & 0xC0) != 0x80)
            break;
        cp = cp << 6 | (p[i] & 0x3F);
    }
    *at += (size_t)i;
    return i == len ? cp : -1;
}

size_t dk_utf8_valid(const char *s, size_t n)
{
    size_t at = 0;

    while (at < n) {
        size_t before = at;
        uint64_t w;

        if (n - at >= 8) {
            memcpy(&w, s + at, 8);
            if ((w & 0x8080808080808080u) == 0) {
                at += 8;
                continue;
            }
        }
        if (dk_utf8_next(s, n, &at) < 0)
            return before;
    }
    return n;
}

size_t dk_utf8_clean(dk_buf *out, const char *s, size_t n)
{
    size_t at = 0, bad = 0;

    while (at < n) {
        const size_t ok = dk_utf8_valid(s + at, n - at);

        dk_buf_add(out, s + at, ok);
        at += ok;
        if (at < n) {
            dk_utf8_next(s, n, &at);
            dk_buf_adds(out, "\xEF\xBF\xBD");
            bad++;
        }
    }
    return bad;
}

void dk_utf8_add(dk_buf *out, int32_t cp)
{
    utf8proc_uint8_t b[4];
    const utf8proc_ssize_t n = utf8proc_encode_char(cp, b);

    DK_ASSERT(n > 0);
    dk_buf_add(out, b, (size_t)n);
}

size_t dk_utf8_count(const char *s, size_t n)
{
    size_t c = 0;

    for (size_t i = 0; i < n; i++)
        c += ((uint8_t)s[i] & 0xC0) != 0x80;
    return c;
}

size_t dk_utf8_prefix(const char *s, size_t n, size_t n_chars)
{
    size_t at = 0;

    while (at < n && n_chars-- > 0)
        dk_utf8_next(s, n, &at);
    return at;
}

bool dk_utf8_nfc(dk_buf *out, const char *s, size_t n)
{
    utf8proc_uint8_t *form = NULL;
    utf8proc_ssize_t len;
    size_t at = 0;
    bool changed;

    while (at < n && (uint8_t)s[at] < 0xCC)     /* below U+0300 nothing composes */
        at++;
    if (at == n)
        return false;
    len = utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &form,
                       UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    /* The one error that valid text can meet is want of memory. */
    DK_ASSERT(len >= 0);
    changed = (size_t)len != n || memcmp(form, s, n) != 0;
    if (changed)
        dk_buf_add(out, form, (size_t)len);
    dk_free(form);
    return changed;
}

/* Letters and numbers that came with Unicode 15.1 to 17.  The libraries that
 * trained the models' tokenizers know them, and a token id must not depend on
 * the age of this machine's utf8proc. */
static const struct range { int32_t lo, hi; } new_letters[] = {
    { 0x1C89, 0x1C8A }, { 0xA7CB, 0xA7CD }, { 0xA7DA, 0xA7DC }, { 0x105C0, 0x105F3 },
    { 0x10D4A, 0x10D65 }, { 0x10D6F, 0x10D85 }, { 0x10EC2, 0x10EC4 }, { 0x11380, 0x11389 },
    { 0x1138B, 0x1138B }, { 0x1138E, 0x1138E }, { 0x11390, 0x113B5 }, { 0x113B7, 0x113B7 },
    { 0x113D1, 0x113D1 }, { 0x113D3, 0x113D3 }, { 0x11BC0, 0x11BE0 }, { 0x13460, 0x143FA },
    { 0x16100, 0x1611D }, { 0x16D40, 0x16D6C }, { 0x18CFF, 0x18CFF }, { 0x1E5D0, 0x1E5ED },
    { 0x1E5F0, 0x1E5F0 }, { 0x2EBF0, 0x2EE5D }
}, new_numbers[] = {
    { 0x10D40, 0x10D49 }, { 0x116D0, 0x116E3 }, { 0x11BF0, 0x11BF9 }, { 0x11DE0, 0x11DE9 },
    { 0x16130, 0x16139 }, { 0x16D70, 0x16D79 }, { 0x16FF4, 0x16FF6 }, { 0x1CCF0, 0x1CCF9 },
    { 0x1E5F1, 0x1E5FA }
};

static bool listed(const struct range *r, size_t n, int32_t cp)
{
    for (size_t i = 0; i < n; i++)
        if (cp >= r[i].lo && cp <= r[i].hi)
            return true;
    return false;
}

/* White_Space, which is not what utf8proc's categories say: the controls are
 * in, U+200B is out. */
static bool is_space(int32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == 0x20 || cp == 0x85 || cp == 0xA0 || cp == 0x1680
        || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F
        || cp == 0x205F || cp == 0x3000;
}

static uint8_t find_class(int32_t cp)
{
    const utf8proc_category_t k = utf8proc_category(cp);

    if (is_space(cp))
        return DK_CLASS_SPACE;
    if ((k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO)
        || listed(new_letters, sizeof new_letters / sizeof *new_letters, cp))
        return DK_CLASS_LETTER;
    if ((k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO)
        || listed(new_numbers, sizeof new_numbers / sizeof *new_numbers, cp))
        return DK_CLASS_NUMBER;
    return 0;
}

static uint8_t *blocks[0x110000 >> 8];

/* Two threads may fill the same block; the first to publish it wins. */
static const uint8_t *fill_block(uint32_t b)
{
    uint8_t *fresh = dk_xmalloc(256), *old = NULL;

    for (int i = 0; i < 256; i++)
        fresh[i] = find_class((int32_t)(b << 8) + i);
    if (__atomic_compare_exchange_n(&blocks[b], &old, fresh, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return fresh;
    dk_free(fresh);
    return old;
}

unsigned dk_utf8_class(int32_t cp)
{
    const uint32_t b = (uint32_t)cp >> 8;
    const uint8_t *block;

    if (cp < 0 || cp > 0x10FFFF)
        return 0;
    block = __atomic_load_n(&blocks[b], __ATOMIC_ACQUIRE);
    return (block ? block : fill_block(b))[cp & 0xFF];
}

bool dk_utf8_is_word(int32_t cp)
{
    const utf8proc_category_t k = cp < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(cp);

    return (dk_utf8_class(cp) & DK_CLASS_LETTER) || cp == 0x200C || cp == 0x200D
        || (k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_NL)
        || k == UTF8PROC_CATEGORY_PC;
}

int dk_utf8_case(int32_t cp, dk_case how, int32_t out[3])
{
    static const char *const ligatures[] = { "ff", "fi", "fl", "ffi", "ffl", "st", "st" };
    const char *parts = cp == 0xDF ? "ss" : cp >= 0xFB00 && cp <= 0xFB06 ? ligatures[cp - 0xFB00] : NULL;
    int n = 0;

    if (how == DK_CASE_LOWER && cp == 0x130) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    if (how == DK_CASE_LOWER || !parts) {
        out[0] = how == DK_CASE_LOWER ? utf8proc_tolower(cp) : how == DK_CASE_UPPER ? utf8proc_toupper(cp)
                                                                                  : utf8proc_totitle(cp);
        return 1;
    }
    for (; parts[n]; n++)
        out[n] = n == 0 || how == DK_CASE_UPPER ? parts[n] - 'a' + 'A' : parts[n];
    return n;
}

bool dk_utf8_is_upper(int32_t cp)
{
    const utf8proc_category_t k = utf8proc_category(cp);

    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LT;
}

bool dk_utf8_is_lower(int32_t cp) { return utf8proc_category(cp) == UTF8PROC_CATEGORY_LL; }
bool dk_utf8_is_decimal(int32_t cp) { return utf8proc_category(cp) == UTF8PROC_CATEGORY_ND; }

bool dk_utf8_printable(int32_t cp)
{
    const utf8proc_category_t k = utf8proc_category(cp);

    return cp == ' ' || (k != UTF8PROC_CATEGORY_CN && k < UTF8PROC_CATEGORY_ZS);
}

bool dk_utf8_blank(int32_t cp)
{
    return (cp >= 0x1C && cp <= 0x1F) || is_space(cp);
}

size_t dk_utf8_lstrip(const char *s, size_t from, size_t to)
{
    while (from < to) {
        size_t next = from;

        if (!dk_utf8_blank(dk_utf8_next(s, to, &next)))
            break;
        from = next;
    }
    return from;
}

size_t dk_utf8_rstrip(const char *s, size_t from, size_t to)
{
    while (to > from) {
        size_t at = to - 1, next;

        while (at > from && ((uint8_t)s[at] & 0xC0) == 0x80)
            at--;
        next = at;
        if (!dk_utf8_blank(dk_utf8_next(s, to, &next)))
            break;
        to = at;
    }
    return to;
}
