/* What a user asks of chat templates: options to rules. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "io/mapfile.h"
#include "text/chat.h"

enum { LARGEST = 16 << 20 };

static int read_template(dk_chat_rules *r, const char *file, dk_err *err)
{
    dk_mapfile *m = NULL;
    int rc = dk_mapfile_open(&m, file, err);

    if (rc < 0)
        return rc;
    if (m->n > LARGEST || (m->n && memchr(m->p, 0, m->n)))
        rc = dk_fail(err, DK_EFORMAT, "%s is no chat template: %s", file,
                     m->n > LARGEST ? "it is larger than 16 MiB" : "there is a zero byte in it");
    else {
        r->template = dk_xstrndup((const char *)m->p, m->n);
        r->name = dk_xstrdup(file);
        dk_sha256_mem(r->template, strlen(r->template), r->sha256);
    }
    dk_mapfile_close(&m);
    return rc;
}

/* The value as JSON, where it is some. */
static void put_value(dk_jw *w, const char *value)
{
    dk_json *v = NULL;

    if (dk_json_parse(&v, value, strlen(value), "", NULL) == 0)
        dk_jw_value(w, v);
    else
        dk_jw_str(w, value);
    dk_json_free(&v);
}

static int read_args(dk_chat_rules *r, const char *const *args, size_t n, bool no_thinking, dk_err *err)
{
    dk_buf text = {0};
    dk_jw w = { .out = &text };
    dk_err why = {0};
    int rc = 0;

    dk_jw_obj_begin(&w);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const char *eq = strchr(args[i], '=');
        char *name = eq ? dk_xstrndup(args[i], (size_t)(eq - args[i])) : NULL;

        if (!eq || eq == args[i]) {
            rc = dk_fail(err, DK_EUSAGE, "--template-arg: '%s' is not NAME=VALUE", args[i]);
        } else {
            dk_jw_key(&w, name);
            put_value(&w, eq + 1);
        }
        dk_free(name);
    }
    if (no_thinking) {
        dk_jw_key(&w, "enable_thinking");
        dk_jw_bool(&w, false);
    }
    dk_jw_obj_end(&w);
    if (rc == 0 && (n || no_thinking) && dk_json_parse(&r->args, text.s, text.n, "", &why) < 0)
        rc = dk_fail(err, DK_EUSAGE, "--template-arg: a name is given twice, or enable_thinking with --no-thinking");
    dk_buf_free(&text);
    return rc;
}

static int read_date(dk_chat_rules *r, const char *date, dk_err *err)
{
    struct tm tm = {0}, again;
    int y, m, d, end = 0;

    r->dated = true;
    if (strcmp(date, "today") == 0) {
        r->now = time(NULL);
        return 0;
    }
    if (strlen(date) == 10 && sscanf(date, "%4d-%2d-%2d%n", &y, &m, &d, &end) == 3 && end == 10) {
        tm = (struct tm){ .tm_year = y - 1900, .tm_mon = m - 1, .tm_mday = d };
        again = tm;
        r->now = timegm(&again);
        if (again.tm_year == tm.tm_year && again.tm_mon == tm.tm_mon && again.tm_mday == tm.tm_mday)
            return 0;
    }
    return dk_fail(err, DK_EUSAGE, "--template-date: '%s' is neither a date (YYYY-MM-DD) nor 'today'", date);
}

int dk_chat_rules_make(dk_chat_rules *r, const char *file, const char *const *args, size_t n,
                       bool no_thinking, const char *date, dk_err *err)
{
    int rc = 0;

    *r = (dk_chat_rules){0};
    if (file)
        rc = read_template(r, file, err);
    if (rc == 0)
        rc = read_args(r, args, n, no_thinking, err);
    if (rc == 0 && date)
        rc = read_date(r, date, err);
    if (rc < 0)
        dk_chat_rules_free(r);
    return rc;
}

void dk_chat_rules_free(dk_chat_rules *r)
{
    dk_free(r->template);
    dk_free(r->name);
    dk_json_free(&r->args);
    *r = (dk_chat_rules){0};
}
