/* Chat completions over HTTP. */
#include "judge/client.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/outfile.h"
#include "base/parse.h"
#include "io/http.h"
#include "io/json.h"

enum { MAX_REPLY = 1 << 24, MAX_KEY = 4096, MAX_TOLD = 200, MAX_WAIT_S = 120 };

static const char key_name[] = "OPENROUTER_API_KEY";

struct dk_chat {
    dk_chat_plan plan;
    char *url;
    dk_http *http;              /* NULL: offline */
};

/* ---- the key ----------------------------------------------------------- */

/* Without blanks around it; it goes into a header. */
static int clean_key(char **key, const char *s, size_t n, const char *from, dk_err *err)
{
    while (n > 0 && strchr(" \t\r\n", s[n - 1]) && s[n - 1])
        n--;
    while (n > 0 && strchr(" \t\r\n", *s) && *s) {
        s++;
        n--;
    }
    if (n == 0)
        return dk_fail(err, DK_EUSAGE, "%s holds no key", from);
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] > '~')
            return dk_fail(err, DK_EUSAGE, "%s holds no key: it has blanks or unprintable characters inside", from);
    *key = dk_xstrndup(s, n);
    return 0;
}

static int key_of_file(char **key, const char *path, dk_err *err)
{
    char text[MAX_KEY + 1];
    struct stat st;
    size_t n;
    FILE *f;

    if (stat(path, &st) != 0)
        return dk_fail_errno(err, "cannot read the key in %s", path);
    if (!S_ISREG(st.st_mode) || st.st_size > MAX_KEY)
        return dk_fail(err, DK_EUSAGE, "%s holds no key: %s", path, S_ISREG(st.st_mode) ? "it is too long" : "it is no file");
    if (!(f = fopen(path, "r")))
        return dk_fail_errno(err, "cannot read the key in %s", path);
    n = fread(text, 1, MAX_KEY, f);
    fclose(f);
    return clean_key(key, text, n, path, err);
}

static bool is_here(const char *endpoint)
{
    static const char *const here[] = { "localhost", "127.0.0.1", "[::1]" };
    const char *host = strstr(endpoint, "://");

    for (size_t i = 0; host && i < sizeof here / sizeof *here; i++) {
        const size_t n = strlen(here[i]);

        if (strncmp(host + 3, here[i], n) == 0 && (host[3 + n] == 0 || strchr(":/", host[3 + n])))
            return true;
    }
    return false;
}

int dk_chat_key(char **key, const char *file, const char *endpoint, dk_err *err)
{
    const char *env = getenv(key_name);

    *key = NULL;
    if (file)
        return key_of_file(key, file, err);
    if (env)
        return clean_key(key, env, strlen(env), key_name, err);
    return is_here(endpoint) ? 0 : dk_fail(err, DK_EUSAGE, "%s needs a key: --key FILE, or the environment's %s", endpoint, key_name);
}

/* ---- beginning and end ------------------------------------------------- */

int dk_chat_check(const dk_chat_plan *p, dk_err *err)
{
    if (strncmp(p->endpoint, "http://", 7) != 0 && strncmp(p->endpoint, "https://", 8) != 0)
        return dk_fail(err, DK_EUSAGE, "the endpoint '%s' does not begin with http:// or https://", p->endpoint);
    if (!*p->model)
        return dk_fail(err, DK_EUSAGE, "the judge has no name");
    return p->offline && !p->cache ? dk_fail(err, DK_EUSAGE, "without a network replies come from a folder: --cache") : 0;
}

int dk_chat_new(dk_chat **out, const dk_chat_plan *plan, dk_err *err)
{
    const dk_http_limits limits = { .stall_s = plan->timeout_s, .retries = 0, .wait_s = MAX_WAIT_S };
    size_t n = strlen(plan->endpoint);
    dk_http *http = NULL;

    *out = NULL;
    if (!plan->offline && dk_http_new(&http, &limits, err) < 0)
        return DK_EIO;
    while (n > 0 && plan->endpoint[n - 1] == '/')
        n--;
    *out = dk_xcalloc(1, sizeof **out);
    **out = (dk_chat){ .plan = *plan, .http = http, .url = dk_xasprintf("%.*s/chat/completions", (int)n, plan->endpoint) };
    return 0;
}

void dk_chat_free(dk_chat **c)
{
    if (*c) {
        dk_http_free(&(*c)->http);
        dk_free((*c)->url);
        dk_free(*c);
        *c = NULL;
    }
}

void dk_chat_reply_free(dk_chat_reply *r)
{
    dk_buf_free(&r->text);
    *r = (dk_chat_reply){0};
}

/* ---- what is sent, what comes ------------------------------------------ */

static void put_message(dk_jw *j, const char *role, const char *text)
{
    dk_jw_obj_begin(j);
    dk_jw_key(j, "role"); dk_jw_str(j, role);
    dk_jw_key(j, "content");
    if (strcmp(role, "system") == 0) {      /* the same every time: servers may keep it */
        dk_jw_arr_begin(j);
        dk_jw_obj_begin(j);
        dk_jw_key(j, "type"); dk_jw_str(j, "text");
        dk_jw_key(j, "text"); dk_jw_str(j, text);
        dk_jw_key(j, "cache_control");
        dk_jw_obj_begin(j);
        dk_jw_key(j, "type"); dk_jw_str(j, "ephemeral");
        dk_jw_obj_end(j);
        dk_jw_obj_end(j);
        dk_jw_arr_end(j);
    } else
        dk_jw_str(j, text);
    dk_jw_obj_end(j);
}

static void put_request(dk_buf *out, const dk_chat *c, const dk_chat_question *q)
{
    dk_jw j = { .out = out };

    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "model"); dk_jw_str(&j, c->plan.model);
    dk_jw_key(&j, "messages");
    dk_jw_arr_begin(&j);
    put_message(&j, "system", q->system);
    put_message(&j, "user", q->user);
    dk_jw_arr_end(&j);
    dk_jw_key(&j, "max_tokens"); dk_jw_int(&j, c->plan.max_tokens);
    if (q->cold) {
        dk_jw_key(&j, "temperature"); dk_jw_int(&j, 0);
    }
    dk_jw_obj_end(&j);
}

/* The first choice's words. */
static int take_reply(dk_chat_reply *r, const dk_buf *body, const char *name, dk_err *err)
{
    const dk_json *first, *text;
    dk_json *root = NULL;
    int rc = dk_json_parse(&root, body->n ? body->s : "", body->n, name, err);

    if (rc < 0)
        return rc;
    first = dk_json_at(dk_json_get(root, "choices"), 0);
    text = dk_json_get(dk_json_get(first, "message"), "content");
    if (!first)
        rc = dk_fail(err, DK_EFORMAT, "%s: a reply without choices", name);
    else if (dk_json_type(text) != DK_JSON_STR || dk_json_len(text) == 0) {
        dk_buf why = {0};

        dk_buf_addclean(&why, dk_json_str(dk_json_get(first, "finish_reason"), "no reason told"));
        rc = dk_fail(err, DK_EFORMAT, "%s: a reply without words (%.40s)", name, why.s ? why.s : "");
        dk_buf_free(&why);
    } else {
        const dk_json *usage = dk_json_get(root, "usage");

        dk_buf_clear(&r->text);
        dk_buf_add(&r->text, dk_json_str(text, ""), dk_json_len(text));
        r->prompt_tokens = dk_json_int(dk_json_get(usage, "prompt_tokens"), 0);
        r->completion_tokens = dk_json_int(dk_json_get(usage, "completion_tokens"), 0);
    }
    dk_json_free(&root);
    return rc;
}

/* A refusal in the server's words, on one line, never with the key in it. */
static int refusal(const dk_chat *c, int status, const dk_buf *body, dk_err *err)
{
    const char *told = "";
    dk_json *root = NULL;
    dk_buf clean = {0};
    int rc;

    if (dk_json_parse(&root, body->n ? body->s : "", body->n, "", NULL) == 0)
        told = dk_json_str(dk_json_get(dk_json_get(root, "error"), "message"), "");
    dk_buf_addclean(&clean, told);
    if (clean.n && c->plan.key && strstr(clean.s, c->plan.key))
        dk_buf_clear(&clean);
    rc = dk_fail(err, DK_EIO, "%s: the server answers with status %d%s%.*s", c->url, status, clean.n ? ": " : "",
                 clean.n < MAX_TOLD ? (int)clean.n : MAX_TOLD, clean.n ? clean.s : "");
    dk_json_free(&root);
    dk_buf_free(&clean);
    return rc;
}

/* ---- once, and again --------------------------------------------------- */

/* 0: there is a reply; 1: *err says why not, but another try may do; < 0: it will not. */
static int once(dk_chat *c, const dk_buf *request, dk_chat_reply *r, dk_buf *body, double *wait, dk_err *err)
{
    dk_http_answer a = {0};
    char after[32];
    int64_t s = 0;
    int rc;

    dk_buf_clear(body);
    rc = dk_http_post(c->http, c->url, c->plan.key, request->s, request->n, MAX_REPLY, body, &a, err);
    if (rc < 0)
        rc = rc == DK_EIO ? 1 : rc;
    else if (a.status < 200 || a.status > 299) {
        refusal(c, a.status, body, err);
        r->refused = a.status >= 400 && a.status <= 499 && a.status != 408 && a.status != 429;
        rc = r->refused || a.status < 400 ? DK_EIO : 1;
        if (rc == 1 && dk_http_header(&a, "retry-after", after, sizeof after) && dk_parse_int(&s, after, 0, INT32_MAX, "", NULL) == 0) {
            *wait = fmax(*wait, (double)s);
            rc = s > MAX_WAIT_S ? DK_EIO : rc;
        }
    } else
        rc = take_reply(r, body, c->url, err) < 0 ? 1 : 0;
    dk_http_answer_free(&a);
    return rc;
}

static void pause_s(double s)
{
    struct timespec t = { .tv_sec = (time_t)s, .tv_nsec = (long)((s - floor(s)) * 1e9) };

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

static int ask_server(dk_chat *c, const dk_buf *request, dk_chat_reply *r, dk_buf *body, dk_err *err)
{
    for (int64_t tried = 1;; tried++) {
        dk_err why = {0};
        double wait = .5 * (double)tried;
        const int rc = once(c, request, r, body, &wait, &why);

        if (rc == 0)
            return 0;
        if (rc < 0 || tried >= c->plan.tries)
            return dk_fail(err, why.code ? why.code : DK_EIO, "%s", why.msg);
        dk_log(DK_INFO, "%s; trying again in %.1f s", why.msg, wait);
        pause_s(wait);
    }
}

/* FOLDER/HASH.json: of the address, the request and which attempt it is. */
static char *kept_path(const dk_chat *c, const dk_buf *request, int attempt)
{
    dk_sha256 *h = dk_sha256_new();
    char hex[65], *head = dk_xasprintf("%s\n%d\n", c->url, attempt), *path;

    dk_sha256_add(h, head, strlen(head));
    dk_sha256_add(h, request->s, request->n);
    dk_sha256_hex(h, hex);
    dk_sha256_free(&h);
    path = dk_xasprintf("%s/%s.json", c->plan.cache, hex);
    dk_free(head);
    return path;
}

static int read_kept(dk_buf *body, const char *path, dk_err *err)
{
    char piece[8192];
    FILE *f = fopen(path, "r");
    size_t n;
    int rc;

    if (!f)
        return dk_fail_errno(err, "cannot read %s", path);
    while (body->n <= MAX_REPLY && (n = fread(piece, 1, sizeof piece, f)) > 0)
        dk_buf_add(body, piece, n);
    rc = ferror(f) ? dk_fail_errno(err, "cannot read %s", path) : body->n > MAX_REPLY ?
         dk_fail(err, DK_EFORMAT, "%s is too large for a reply", path) : 0;
    fclose(f);
    return rc;
}

/* Outputs are not for two threads at once, nor are sums. */
int dk_chat_ask(dk_chat *c, const dk_chat_question *q, dk_chat_reply *r, dk_err *err)
{
    dk_buf request = {0}, body = {0};
    char *path = NULL;
    int rc = 0;

    r->kept = r->refused = false;
    put_request(&request, c, q);
    if (c->plan.cache) {
        #pragma omp critical(dk_chat_files)
        path = kept_path(c, &request, q->attempt);
        r->kept = access(path, F_OK) == 0;
    }
    if (r->kept) {
        rc = read_kept(&body, path, err);
        rc = rc == 0 ? take_reply(r, &body, path, err) : rc;
    } else if (c->plan.offline)
        rc = dk_fail(err, DK_EIO, "%s does not hold a reply to this question (%s), and there is no network", c->plan.cache,
                     strrchr(path, '/') + 1);
    else {
        rc = ask_server(c, &request, r, &body, err);
        if (rc == 0 && path) {
            #pragma omp critical(dk_chat_files)
            rc = dk_outfile_write(path, body.s, body.n, err);
        }
    }
    dk_free(path);
    dk_buf_free(&request);
    dk_buf_free(&body);
    return rc;
}
