/* Lines, rows, documents. */
#include "io/textfile.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/instream.h"
#include "io/json.h"
#include "io/parquet.h"

struct dk_textfile {
    char *name;                 /* for messages */
    dk_instream *in;
    dk_parquet *table;          /* or NULL; then nothing is read from `in` any more */
    dk_doc_kind kind;
    char *column;
    bool decided, plain, ended;
    bool maybe_list;            /* .json: lines, or one array of rows */
    dk_json *list;
    size_t list_at;
    dk_buf buf;                 /* read, not yet handed out */
    size_t at, line, replaced;
    dk_buf table_row;
    dk_buf clean;               /* the line at hand when it had to be mended */
    dk_json *row;
    dk_message *message;
    size_t message_cap;
};

static bool ends_with(const char *s, size_t n, const char *end)
{
    const size_t k = strlen(end);

    return n >= k && memcmp(s + n - k, end, k) == 0;
}

/* What the name says: NULL where it says nothing. */
static const char *ending(const char *path)
{
    static const char *const known[] = { ".txt", ".jsonl", ".json", ".ndjson" };
    size_t n = strlen(path);

    if (ends_with(path, n, ".gz"))
        n -= 3;
    else if (ends_with(path, n, ".zst"))
        n -= 4;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (ends_with(path, n, known[i]))
            return known[i];
    return NULL;
}

/* A file that can be mapped, and is parquet by its name or its first bytes. */
static bool is_table(const char *path)
{
    const int fd = strcmp(path, "-") == 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    char first[4] = "";
    struct stat st;
    bool is = false;

    if (fd >= 0) {
        is = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
             (ends_with(path, strlen(path), ".parquet") || (pread(fd, first, 4, 0) == 4 && memcmp(first, "PAR1", 4) == 0));
        close(fd);
    }
    return is;
}

/* Of a table only the column with the documents is read, where it is known. */
static int choose(dk_textfile *f, dk_err *err)
{
    const char *chat = f->kind == DK_DOC_CHAT && f->column ? f->column : "messages";
    const char *text = f->column ? f->column : "text";
    const char *name = f->kind == DK_DOC_CHAT || (f->kind == DK_DOC_AUTO && !f->column && !dk_parquet_has(f->table, text))
                           ? chat : text;

    f->decided = true;
    return f->kind == DK_DOC_ROW || !dk_parquet_has(f->table, name) ? 0 : dk_parquet_choose(f->table, name, err);
}

int dk_textfile_open(dk_textfile **out, const char *path, dk_doc_kind kind, const char *column,
                     dk_err *err)
{
    const char *const end = ending(path);
    dk_textfile *f = dk_xcalloc(1, sizeof *f);
    int rc;

    *out = f;
    f->name = dk_xstrdup(strcmp(path, "-") == 0 ? "standard input" : path);
    f->kind = kind;
    f->column = column ? dk_xstrdup(column) : NULL;
    f->plain = end && strcmp(end, ".txt") == 0;
    f->maybe_list = end && strcmp(end, ".json") == 0;
    f->decided = end && !f->maybe_list;
    if (end || !is_table(path))
        rc = dk_instream_open(&f->in, path, err);
    else if ((rc = dk_parquet_open(&f->table, path, err)) == 0)
        rc = choose(f, err);
    if (rc < 0)
        dk_textfile_close(out);
    return rc;
}

void dk_textfile_close(dk_textfile **fp)
{
    dk_textfile *f = *fp;

    if (!f)
        return;
    dk_textfile_end(f);
    dk_json_free(&f->row);
    dk_buf_free(&f->clean);
    dk_free(f->message);
    dk_free(f->column);
    dk_free(f->name);
    dk_free(f);
    *fp = NULL;
}

size_t dk_textfile_line(const dk_textfile *f) { return f->line; }
size_t dk_textfile_replaced(const dk_textfile *f) { return f->replaced; }
const char *dk_textfile_name(const dk_textfile *f) { return f->name; }

static int more(dk_textfile *f, dk_err *err)
{
    size_t got = 0;
    int rc;

    if (f->at > 0 && f->at >= f->buf.n / 2) {
        memmove(f->buf.s, f->buf.s + f->at, f->buf.n - f->at);
        f->buf.n -= f->at;
        f->at = 0;
    }
    if ((rc = dk_instream_read(f->in, &f->buf, 1 << 16, &got, err)) < 0)
        return rc;
    f->ended = got == 0;
    return 0;
}

/* s with invalid sequences replaced; borrowed until the next call. */
static dk_text mend(dk_textfile *f, const char *s, size_t n)
{
    dk_buf_clear(&f->clean);
    for (size_t at = 0; at < n;) {
        size_t end = at;
        int k = 1;

        while (end < n && (k = (uint8_t)s[end] < 0x80 ? 1 : dk_utf8_step(s + end, n - end)) > 0)
            end += (size_t)k;
        if (at == 0 && end == n)
            return (dk_text){ s, n };
        dk_buf_add(&f->clean, s + at, end - at);
        if (end < n) {
            dk_buf_adds(&f->clean, "\xEF\xBF\xBD");
            end += (size_t)-k;
            f->replaced++;
        }
        at = end;
    }
    return (dk_text){ f->clean.s ? f->clean.s : "", f->clean.n };
}

/* An array is read whole. */
static int read_list(dk_textfile *f, dk_err *err)
{
    dk_text all;
    int rc = 0;

    while (rc == 0 && !f->ended)
        rc = more(f, err);
    if (rc < 0)
        return rc;
    all = mend(f, f->buf.s + f->at, f->buf.n - f->at);
    return dk_json_parse(&f->list, all.s, all.n, f->name, err);
}

/* A table that cannot be mapped is read into memory, to stay in f->buf. */
static int decide_table(dk_textfile *f, dk_err *err)
{
    int rc = 0;

    while (rc == 0 && !f->ended)
        rc = more(f, err);
    if (rc == 0)
        rc = dk_parquet_open_mem(&f->table, (const uint8_t *)f->buf.s, f->buf.n, f->name, err);
    return rc == 0 ? choose(f, err) : rc;
}

/* Without a name that tells: JSON lines begin with '{', tables with PAR1. */
static int decide(dk_textfile *f, dk_err *err)
{
    int rc = 0;

    while (!f->decided && rc == 0) {
        const size_t blank = f->buf.n ? strspn(f->buf.s, " \t\r\n") : 0;

        if (f->maybe_list && (blank < f->buf.n || f->ended)) {
            f->decided = true;
            if (blank < f->buf.n && f->buf.s[blank] == '[')
                rc = read_list(f, err);
        } else if (f->buf.n >= 4 && memcmp(f->buf.s, "PAR1", 4) == 0)
            rc = decide_table(f, err);
        else if ((blank < f->buf.n && f->buf.n >= 4) || f->ended) {
            f->plain = blank < f->buf.n && f->buf.s[blank] != '{';
            f->decided = true;
        } else
            rc = more(f, err);
    }
    return rc;
}

static int next_line(dk_textfile *f, dk_text *line, dk_err *err)
{
    size_t seen = 0;
    int rc;

    for (;;) {
        const char *from = f->buf.s + f->at;
        const size_t left = f->buf.n - f->at;
        const char *nl = left > seen ? memchr(from + seen, '\n', left - seen) : NULL;

        if (nl || (f->ended && left > 0)) {
            *line = (dk_text){ from, nl ? (size_t)(nl - from) : left };
            f->at += line->n + (nl != NULL);
            f->line++;
            return 1;
        }
        if (f->ended)
            return 0;
        seen = left;
        if ((rc = more(f, err)) < 0)
            return rc;
    }
}

static int whole(dk_textfile *f, dk_text *raw, dk_err *err)
{
    int rc = 0;

    while (rc == 0 && !f->ended)
        rc = more(f, err);
    if (rc < 0 || f->line++ > 0 || f->buf.n == 0)
        return rc;
    *raw = (dk_text){ f->buf.s, f->buf.n };
    return 1;
}

/* The names of a row's columns, for a message. */
static void columns(const dk_json *row, dk_buf *out)
{
    dk_json_iter it = {0};

    while (dk_json_next(row, &it) && out->n < 300)
        dk_buf_addf(out, "%s%.60s", out->n ? ", " : "", it.key);
}

static int no_column(const dk_textfile *f, const char *name, dk_err *err)
{
    dk_buf have = {0};
    int rc;

    columns(f->row, &have);
    rc = dk_fail(err, DK_EDATA, "%s:%zu: no column '%s'; there are: %s", dk_textfile_name(f),
                 f->line, name, have.n ? have.s : "none");
    dk_buf_free(&have);
    return rc;
}

static dk_text text_of(const dk_json *v)
{
    return (dk_text){ dk_json_str(v, NULL), dk_json_len(v) };
}

static int messages(dk_textfile *f, const dk_json *list, const char *name, dk_doc *doc, dk_err *err)
{
    const size_t n = dk_json_len(list);

    if (dk_json_type(list) != DK_JSON_ARRAY || n == 0)
        return dk_fail(err, DK_EDATA, "%s:%zu: '%s' is no list of messages", dk_textfile_name(f),
                       f->line, name);
    if (n > f->message_cap) {
        f->message_cap = n;
        f->message = dk_xrealloc(f->message, n * sizeof *f->message);
    }
    for (size_t i = 0; i < n; i++) {
        const dk_json *m = dk_json_at(list, i);

        f->message[i] = (dk_message){ text_of(dk_json_get(m, "role")),
                                      text_of(dk_json_get(m, "content")), m };
        if (!f->message[i].role.s || !f->message[i].content.s)
            return dk_fail(err, DK_EDATA, "%s:%zu: message %zu has no text in 'role' and 'content'",
                           dk_textfile_name(f), f->line, i);
    }
    *doc = (dk_doc){ .kind = DK_DOC_CHAT, .line = f->line, .n_messages = n, .message = f->message };
    return 1;
}

static int row_doc(dk_textfile *f, dk_doc *doc, dk_err *err)
{
    const char *chat = f->kind == DK_DOC_CHAT && f->column ? f->column : "messages";
    const char *text = f->column ? f->column : "text";
    const dk_json *v = dk_json_get(f->row, text), *list = dk_json_get(f->row, chat);

    if (f->kind == DK_DOC_CHAT || (f->kind == DK_DOC_AUTO && !f->column && !v && list))
        return list ? messages(f, list, chat, doc, err) : no_column(f, chat, err);
    if (!v)
        return no_column(f, text, err);
    if (dk_json_is_null(v)) {       /* a row without a text, as some data sets have */
        *doc = (dk_doc){ .kind = DK_DOC_TEXT, .line = f->line, .text = { "", 0 } };
        return 1;
    }
    if (dk_json_type(v) != DK_JSON_STR)
        return dk_fail(err, DK_EDATA, "%s:%zu: column '%s' holds no text", dk_textfile_name(f),
                       f->line, text);
    *doc = (dk_doc){ .kind = DK_DOC_TEXT, .line = f->line, .text = text_of(v) };
    return 1;
}

static int next_item(dk_textfile *f, dk_text *line)
{
    const dk_json *v = dk_json_at(f->list, f->list_at++);
    dk_jw w = { .out = &f->table_row };

    if (!v)
        return 0;
    dk_jw_value(&w, v);
    *line = (dk_text){ f->table_row.s, f->table_row.n };
    f->line++;
    return 1;
}

/* The next row of what is not lines, as one. */
static int next_row(dk_textfile *f, dk_text *line, dk_err *err)
{
    int rc;

    dk_buf_clear(&f->table_row);
    if (f->list)
        return next_item(f, line);
    if ((rc = dk_parquet_next(f->table, &f->table_row, err)) == 1) {
        *line = (dk_text){ f->table_row.s, f->table_row.n };
        f->line++;
    }
    return rc;
}

static bool is_blank(dk_text t)
{
    for (size_t i = 0; i < t.n; i++)
        if (!strchr(" \t\r", t.s[i]) || !t.s[i])
            return false;
    return true;
}

/* The wrapper's message counts lines within the text it was given: one. */
static int parse_row(dk_textfile *f, dk_text t, dk_err *err)
{
    char *name = dk_xasprintf("%s:%zu", dk_textfile_name(f), f->line);
    dk_err why = {0};
    int rc = dk_json_parse(&f->row, t.s, t.n, "", &why);
    const char *text = why.msg;

    if (rc < 0) {
        text += strspn(text, ":0123456789 ");
        rc = dk_fail(err, DK_EFORMAT, "%s: %s", name, *text ? text : why.msg);
    } else if (dk_json_type(f->row) != DK_JSON_OBJECT)
        rc = dk_fail(err, DK_EFORMAT, "%s: the line is no JSON object", name);
    dk_free(name);
    return rc;
}

int dk_textfile_raw(dk_textfile *f, dk_text *raw, dk_err *err)
{
    int rc = decide(f, err);

    if (rc < 0)
        return rc;
    if (f->plain)
        return whole(f, raw, err);
    do
        rc = f->table || f->list ? next_row(f, raw, err) : next_line(f, raw, err);
    while (rc == 1 && is_blank(*raw));
    return rc;
}

int dk_textfile_parse(dk_textfile *f, dk_text raw, size_t line, dk_doc *doc, dk_err *err)
{
    int rc;

    dk_json_free(&f->row);
    raw = mend(f, raw.s, raw.n);
    if (f->plain && f->kind == DK_DOC_CHAT)
        return dk_fail(err, DK_EDATA, "%s is plain text, not chats", dk_textfile_name(f));
    *doc = (dk_doc){ .kind = DK_DOC_TEXT, .text = raw };
    if (f->plain)
        return 1;
    f->line = line;
    rc = parse_row(f, raw, err);
    if (rc == 0 && f->kind == DK_DOC_ROW)
        *doc = (dk_doc){ .kind = DK_DOC_ROW, .line = f->line };
    if (rc == 0)
        rc = f->kind == DK_DOC_ROW ? 1 : row_doc(f, doc, err);
    doc->row = f->row;
    return rc;
}

int dk_textfile_next(dk_textfile *f, dk_doc *doc, dk_err *err)
{
    dk_text raw = {0};
    const int rc = dk_textfile_raw(f, &raw, err);

    return rc == 1 ? dk_textfile_parse(f, raw, f->line, doc, err) : rc;
}

int dk_textfile_count(dk_textfile *f, uint64_t *rows, dk_err *err)
{
    dk_text raw;
    int rc = f->table ? 0 : 1;

    *rows = f->table ? dk_parquet_rows(f->table) : 0;
    while (rc == 1)
        if ((rc = dk_textfile_raw(f, &raw, err)) == 1)
            ++*rows;
    return rc;
}

void dk_textfile_end(dk_textfile *f)
{
    dk_instream_close(&f->in);
    dk_parquet_close(&f->table);
    dk_json_free(&f->list);
    dk_buf_free(&f->buf);
    dk_buf_free(&f->table_row);
}
