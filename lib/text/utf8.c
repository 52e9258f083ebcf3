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

bool dk_utf8_in_form(const char *s, size_t n, dk_utf8_form form)
{
    /* Below U+0300 nothing composes, below U+00C0 nothing decomposes canonically. */
    const uint8_t first = form == DK_NFC ? 0xCC : form == DK_NFD ? 0xC3 : 0x80;
    size_t at = 0;

    for (uint64_t w; n - at >= 8; at += 8) {
        memcpy(&w, s + at, 8);
        if (w & 0x8080808080808080u)
            break;
    }
    while (at < n && (uint8_t)s[at] < first)
        at++;
    return at == n;
}

/* Characters whose decompositions came after the tables of the makers' library,
 * Unicode 12: there they stay. */
static bool stays(int32_t cp, dk_utf8_form form)
{
    static const dk_utf8_range late[] = {
        { 0x32FF, 0x32FF }, { 0xA7F2, 0xA7F4 }, { 0xAB69, 0xAB69 }, { 0x10781, 0x107BA },
        { 0x1E030, 0x1E06D }, { 0x1F16C, 0x1F16C }, { 0x1FBF0, 0x1FBF9 }
    };
    bool is = cp == 0x11938 && (form == DK_NFD || form == DK_NFKD);

    for (size_t i = 0; i < sizeof late / sizeof *late && !is; i++)
        is = (form == DK_NFKC || form == DK_NFKD) && cp >= late[i].lo && cp <= late[i].hi;
    return is;
}

/* s has no character that stays. */
static void add_form(dk_buf *out, const char *s, size_t n, utf8proc_option_t how)
{
    utf8proc_uint8_t *made = NULL;
    const utf8proc_ssize_t len =
        n ? utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &made, how) : 0;

    /* The one error that valid text can meet is want of memory. */
    DK_ASSERT(len >= 0);
    dk_buf_add(out, made, (size_t)len);
    dk_free(made);
}

bool dk_utf8_to_form(dk_buf *out, const char *s, size_t n, dk_utf8_form form)
{
    const utf8proc_option_t how = UTF8PROC_STABLE
        | (form == DK_NFC || form == DK_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE)
        | (form == DK_NFKC || form == DK_NFKD ? UTF8PROC_COMPAT : 0);
    const size_t before = out->n;
    size_t done = 0;

    if (dk_utf8_in_form(s, n, form))
        return false;
    for (size_t at = 0, next = 0; form != DK_NFC && at < n; at = next)
        if (stays(dk_utf8_next(s, n, &next), form)) {
            add_form(out, s + done, at - done, how);
            dk_buf_add(out, s + at, next - at);
            done = next;
        }
    add_form(out, s + done, n - done, how);
    if (out->n - before != n || memcmp(out->s + before, s, n) != 0)
        return true;
    out->n = before;
    return false;
}

bool dk_utf8_starts(int32_t cp)
{
    /* What composes is a mark, but for the vowels and final consonants of Hangul
     * and the vowels of Kirat Rai. */
    const bool jamo = (cp >= 0x1160 && cp <= 0x11FF) || (cp >= 0xD7B0 && cp <= 0xD7FF);

    return cp >= 0 && !jamo && !(cp >= 0x16D63 && cp <= 0x16D6A) &&
           !(dk_utf8_kind(cp) & DK_KIND_MARK);
}

void dk_utf8_lower(dk_buf *out, int32_t cp)
{
    static const struct { int32_t lo, hi, to; } newer[] = {
        { 0x1C89, 0x1C89, 0x1C8A }, { 0xA7CB, 0xA7CB, 0x264 }, { 0xA7CC, 0xA7CC, 0xA7CD },
        { 0xA7CE, 0xA7CE, 0xA7CF }, { 0xA7D2, 0xA7D2, 0xA7D3 }, { 0xA7D4, 0xA7D4, 0xA7D5 },
        { 0xA7DA, 0xA7DA, 0xA7DB }, { 0xA7DC, 0xA7DC, 0x19B }, { 0x10D50, 0x10D65, 0x10D70 },
        { 0x16EA0, 0x16EB8, 0x16EBB }
    };

    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        if (cp >= newer[i].lo && cp <= newer[i].hi) {
            dk_utf8_add(out, newer[i].to + cp - newer[i].lo);
            return;
        }
    if (cp == 0x130)
        dk_buf_adds(out, "i\xCC\x87");
    else
        dk_utf8_add(out, utf8proc_tolower(cp));
}

size_t dk_utf8_spaces_after(const char *s, size_t n)
{
    size_t at = 0, next = 0;

    while (next < n && dk_utf8_class(dk_utf8_next(s, n, &next)) == DK_CLASS_SPACE)
        at = next;
    return at;
}

size_t dk_utf8_spaces_before(const char *s, size_t n)
{
    size_t end = n;

    while (end > 0) {
        size_t at = end, next;

        while (at > 0 && ((uint8_t)s[--at] & 0xC0) == 0x80)
            ;
        next = at;
        if (dk_utf8_class(dk_utf8_next(s, n, &next)) != DK_CLASS_SPACE)
            break;
        end = at;
    }
    return n - end;
}

/* Characters that came with Unicode 15.1 and 16.  The libraries that trained
 * the models' tokenizers know them, and a token id must not depend on the age
 * of this machine's utf8proc. */
static const dk_utf8_range new_letters[] = {
    { 0x1C89, 0x1C8A }, { 0xA7CB, 0xA7CD }, { 0xA7DA, 0xA7DC }, { 0x105C0, 0x105F3 },
    { 0x10D4A, 0x10D65 }, { 0x10D6F, 0x10D85 }, { 0x10EC2, 0x10EC4 }, { 0x11380, 0x11389 },
    { 0x1138B, 0x1138B }, { 0x1138E, 0x1138E }, { 0x11390, 0x113B5 }, { 0x113B7, 0x113B7 },
    { 0x113D1, 0x113D1 }, { 0x113D3, 0x113D3 }, { 0x11BC0, 0x11BE0 }, { 0x13460, 0x143FA },
    { 0x16100, 0x1611D }, { 0x16D40, 0x16D6C }, { 0x18CFF, 0x18CFF }, { 0x1E5D0, 0x1E5ED },
    { 0x1E5F0, 0x1E5F0 }, { 0x2EBF0, 0x2EE5D }
}, new_upper[] = {
    { 0x1C89, 0x1C89 }, { 0xA7CB, 0xA7CC }, { 0xA7DA, 0xA7DA }, { 0xA7DC, 0xA7DC },
    { 0x10D50, 0x10D65 }
}, new_lower[] = {
    { 0x1C8A, 0x1C8A }, { 0xA7CD, 0xA7CD }, { 0xA7DB, 0xA7DB }, { 0x10D70, 0x10D85 }
}, new_numbers[] = {
    { 0x10D40, 0x10D49 }, { 0x116D0, 0x116E3 }, { 0x11BF0, 0x11BF9 }, { 0x11DE0, 0x11DE9 },
    { 0x16130, 0x16139 }, { 0x16D70, 0x16D79 }, { 0x16FF4, 0x16FF6 }, { 0x1CCF0, 0x1CCF9 },
    { 0x1E5F1, 0x1E5FA }
}, new_marks[] = {
    { 0x897, 0x897 }, { 0x10D69, 0x10D6D }, { 0x10EFC, 0x10EFC }, { 0x113B8, 0x113C0 },
    { 0x113C2, 0x113C2 }, { 0x113C5, 0x113C5 }, { 0x113C7, 0x113CA }, { 0x113CC, 0x113D0 },
    { 0x113D2, 0x113D2 }, { 0x113E1, 0x113E2 }, { 0x11F5A, 0x11F5A }, { 0x1611E, 0x1612F },
    { 0x1E5EE, 0x1E5EF }
}, new_signs[] = {
    { 0x1B4E, 0x1B4F }, { 0x1B7F, 0x1B7F }, { 0x2427, 0x2429 }, { 0x2FFC, 0x2FFF },
    { 0x31E4, 0x31E5 }, { 0x31EF, 0x31EF }, { 0x10D6E, 0x10D6E }, { 0x10D8E, 0x10D8F },
    { 0x113D4, 0x113D5 }, { 0x113D7, 0x113D8 }, { 0x11BE1, 0x11BE1 }, { 0x16D6D, 0x16D6F },
    { 0x1CC00, 0x1CCEF }, { 0x1CD00, 0x1CEB3 }, { 0x1E5FF, 0x1E5FF }, { 0x1F8B2, 0x1F8BB },
    { 0x1F8C0, 0x1F8C1 }, { 0x1FA89, 0x1FA89 }, { 0x1FA8F, 0x1FA8F }, { 0x1FABE, 0x1FABE },
    { 0x1FAC6, 0x1FAC6 }, { 0x1FADC, 0x1FADC }, { 0x1FADF, 0x1FADF }, { 0x1FAE9, 0x1FAE9 },
    { 0x1FBCB, 0x1FBEF }
};

#define LISTED(r, cp) listed(r, sizeof(r) / sizeof *(r), cp)
static bool listed(const dk_utf8_range *r, size_t n, int32_t cp)
{
    for (size_t i = 0; i < n; i++)
        if (cp >= r[i].lo && cp <= r[i].hi)
            return true;
    return false;
}

const dk_utf8_range *dk_utf8_newer(unsigned class, size_t *n)
{
    const bool letter = class == DK_CLASS_LETTER;

    *n = letter ? sizeof new_letters / sizeof *new_letters : sizeof new_numbers / sizeof *new_numbers;
    return letter ? new_letters : new_numbers;
}

/* White_Space, which is not what utf8proc's categories say: the controls are
 * in, U+200B is out. */
static bool is_space(int32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == 0x20 || cp == 0x85 || cp == 0xA0 || cp == 0x1680
        || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F
        || cp == 0x205F || cp == 0x3000;
}

static uint8_t find_kind(int32_t cp)
{
    const utf8proc_category_t k = utf8proc_category(cp);

    if (is_space(cp))
        return DK_CLASS_SPACE;
    if (k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LT || LISTED(new_upper, cp))
        return DK_CLASS_LETTER | DK_KIND_UPPER;
    if (k == UTF8PROC_CATEGORY_LL || LISTED(new_lower, cp))
        return DK_CLASS_LETTER | DK_KIND_LOWER;
    if (k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_LO || LISTED(new_letters, cp))
        return DK_CLASS_LETTER;
    if ((k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO) || LISTED(new_numbers, cp))
        return DK_CLASS_NUMBER;
    if ((k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME) || LISTED(new_marks, cp))
        return DK_KIND_MARK;
    if ((k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_SO) || LISTED(new_signs, cp))
        return DK_KIND_SIGN;
    return 0;
}

static uint8_t *blocks[0x110000 >> 8];

/* Two threads may fill the same block; the first to publish it wins. */
static const uint8_t *fill_block(uint32_t b)
{
    uint8_t *fresh = dk_xmalloc(256), *old = NULL;

    for (int i = 0; i < 256; i++)
        fresh[i] = find_kind((int32_t)(b << 8) + i);
    if (__atomic_compare_exchange_n(&blocks[b], &old, fresh, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return fresh;
    dk_free(fresh);
    return old;
}

unsigned dk_utf8_kind(int32_t cp)
{
    const uint32_t b = (uint32_t)cp >> 8;
    const uint8_t *block;

    if (cp < 0 || cp > 0x10FFFF)
        return 0;
    block = __atomic_load_n(&blocks[b], __ATOMIC_ACQUIRE);
    return (block ? block : fill_block(b))[cp & 0xFF];
}

unsigned dk_utf8_class(int32_t cp)
{
    return dk_utf8_kind(cp) & (DK_CLASS_LETTER | DK_CLASS_NUMBER | DK_CLASS_SPACE);
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
