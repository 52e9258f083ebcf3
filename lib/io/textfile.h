/* Documents from files: JSON lines with a text or a chat in each, parquet, whose
 * rows become such lines (parquet.h), or a plain text that is one document.  All
 * may be compressed (instream.h).
 *
 * A name that ends in .txt is plain text, in .jsonl, .json or .ndjson JSON lines,
 * before .gz or .zst; a .json file may also be one array of rows.  Any other file,
 * and standard input, is parquet if it begins with "PAR1", JSON lines if its first
 * character that is not blank is '{'. */
#ifndef DK_IO_TEXTFILE_H
#define DK_IO_TEXTFILE_H

#include <stddef.h>

#include "base/err.h"
#include "io/json.h"

typedef struct dk_textfile dk_textfile;

/* ROW: any object, of which the reader makes what it likes. */
typedef enum dk_doc_kind { DK_DOC_AUTO, DK_DOC_TEXT, DK_DOC_CHAT, DK_DOC_ROW } dk_doc_kind;

/* Valid UTF-8, not zero-terminated, may hold zero bytes. */
typedef struct dk_text {
    const char *s;
    size_t n;
} dk_text;

typedef struct dk_message {
    dk_text role, content;
    const dk_json *all;         /* the object itself, which may hold more */
} dk_message;

/* Borrowed until the next call. */
typedef struct dk_doc {
    dk_doc_kind kind;           /* TEXT, CHAT; of JSON lines ROW if that was asked for */
    size_t line;                /* 1-based, of a table the row; 0 for a plain text */
    dk_text text;
    size_t n_messages;
    const dk_message *message;
    const dk_json *row;         /* NULL for a plain text */
} dk_doc;

/* kind AUTO: a row with the column (default "text") is a text, one with
 * "messages" a chat.  column: NULL, or the name of the column with the text;
 * with kind CHAT, that with the messages. */
int dk_textfile_open(dk_textfile **out, const char *path, dk_doc_kind kind, const char *column,
                     dk_err *err);
void dk_textfile_close(dk_textfile **f);

/* 1: *doc is filled; 0: end; < 0: error, which names file and line.  Empty
 * lines are passed over. */
int dk_textfile_next(dk_textfile *f, dk_doc *doc, dk_err *err);

/* The same in two steps, for those who look at few of the rows: the next row as it
 * stands there, and what such a row comes to.  raw is borrowed until the next call
 * of either; the line of a row is that after dk_textfile_raw. */
int dk_textfile_raw(dk_textfile *f, dk_text *raw, dk_err *err);
size_t dk_textfile_line(const dk_textfile *f);
int dk_textfile_parse(dk_textfile *f, dk_text raw, size_t line, dk_doc *doc, dk_err *err);
/* The rows to come, by reading to the end where nothing else tells. */
int dk_textfile_count(dk_textfile *f, uint64_t *rows, dk_err *err);
/* Gives back all but what dk_textfile_parse needs: nothing more is read. */
void dk_textfile_end(dk_textfile *f);

/* Invalid UTF-8 sequences replaced so far, and the name for messages. */
size_t dk_textfile_replaced(const dk_textfile *f);
const char *dk_textfile_name(const dk_textfile *f);

#endif
