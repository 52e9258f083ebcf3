/* A server of chat completions on 127.0.0.1 that judges tokens by a list, or does
 * what it is told, for tests.
 *
 *   chat-server DIR     serves until killed; its port is in DIR/port
 *
 * Good answers call a candidate RELEVANT if it is a line of DIR/relevant.  DIR/script
 * has a line a request, in their order; when it is used up answers are good:
 *   good
 *   labels A=R B=I      labels of tokens by name; those not named have none
 *   says FILE           the model says what is in FILE
 *   raw FILE            the server's answer is FILE as it is
 *   status N [SECONDS]  that status, with Retry-After
 *   cut                 the connection breaks in the middle
 *   stall SECONDS       before a good answer
 * DIR/log has a line a request: method, path, credentials, the tokens in order;
 * DIR/request.N (from 1) is its body. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/json.h"

static const char *root;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static int count;

typedef struct MHD_Connection conn;
typedef struct MHD_Response response;

static void slurp(dk_buf *out, const char *name)
{
    char *path = dk_xasprintf("%s/%s", root, name), piece[4096];
    FILE *f = fopen(path, "r");
    size_t n;

    while (f && (n = fread(piece, 1, sizeof piece, f)) > 0)
        dk_buf_add(out, piece, n);
    if (f)
        fclose(f);
    dk_buf_addc(out, 0);
    out->n--;
    dk_free(path);
}

/* Takes the first line of the script. */
static char *next_line(void)
{
    char *path = dk_xasprintf("%s/script", root), *line;
    dk_buf all = {0};
    size_t n;
    FILE *f;

    slurp(&all, "script");
    n = strcspn(all.s, "\n");
    line = n ? dk_xstrndup(all.s, n) : dk_xstrdup("good");
    if (all.n && (f = fopen(path, "w"))) {
        fputs(all.s + n + (all.s[n] == '\n'), f);
        fclose(f);
    }
    dk_buf_free(&all);
    dk_free(path);
    return line;
}

/* ---- a good answer ----------------------------------------------------- */

static bool is_line(const char *text, const char *word, size_t n)
{
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
        if (strcspn(p, "\n") == n && strncmp(p, word, n) == 0)
            return true;
    return false;
}

/* R, I or 0 for a token in "labels A=R B=I". */
static char told(const char *line, const char *token, size_t n)
{
    for (const char *p = strchr(line, ' '); p; p = strchr(p + 1, ' '))
        if (strncmp(p + 1, token, n) == 0 && p[1 + n] == '=')
            return p[2 + n];
    return 0;
}

static void answer(dk_buf *out, const char *user, const char *line)
{
    const char *p = strstr(user, "[CANDIDATE TOKENS]\n");
    const bool gloss = strstr(user, "TRANSLATION[i]");
    dk_buf list = {0};

    slurp(&list, "relevant");
    dk_buf_adds(out, "Let me see.\n");
    for (int i = 1; p && (p = strchr(p, '\n')) && p[1] >= '0' && p[1] <= '9'; i++) {
        const char *token = strchr(++p, '.') + 2;
        const size_t n = strcspn(token, "\n");
        const char is = strncmp(line, "labels", 6) == 0 ? told(line, token, n) : is_line(list.s, token, n) ? 'R' : 'I';

        if (gloss)
            dk_buf_addf(out, "TRANSLATION[%d]: gloss of %.*s\n", i, (int)n, token);
        if (is)
            dk_buf_addf(out, "ANSWER[%d]: %s\n", i, is == 'R' ? "RELEVANT" : is == 'I' ? "IRRELEVANT" : "PERHAPS");
    }
    dk_buf_free(&list);
}

static void completion(dk_buf *out, const char *text, size_t n)
{
    dk_jw j = { .out = out };

    dk_buf_adds(out, "{\"id\":\"x\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\","
                     "\"message\":{\"role\":\"assistant\",\"content\":");
    dk_jw_strn(&j, text, n);
    dk_buf_adds(out, "}}],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":7}}");
}

/* ---- a request --------------------------------------------------------- */

static void note(conn *c, const char *method, const char *url, const char *user, const dk_buf *body)
{
    const char *auth = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    char *path = dk_xasprintf("%s/log", root), *copy = dk_xasprintf("%s/request.%d", root, ++count);
    FILE *f = fopen(path, "a"), *g = fopen(copy, "w");

    if (f) {
        const char *p = strstr(user, "[CANDIDATE TOKENS]\n");

        fprintf(f, "%s %s auth=%s", method, url, auth ? auth : "");
        while (p && (p = strchr(p, '\n')) && p[1] >= '0' && p[1] <= '9') {
            p++;
            fprintf(f, " %.*s", (int)strcspn(strchr(p, '.') + 2, "\n"), strchr(p, '.') + 2);
        }
        fputc('\n', f);
        fclose(f);
    }
    if (g) {
        fwrite(body->s, 1, body->n, g);
        fclose(g);
    }
    dk_free(path);
    dk_free(copy);
}

static ssize_t half(void *arg, uint64_t pos, char *buf, size_t max)
{
    (void)arg;
    if (pos > 0 || max < 2)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    memcpy(buf, "{\"", 2);
    return 2;
}

static enum MHD_Result finish(conn *c, unsigned status, const dk_buf *body, const char *retry)
{
    response *r = MHD_create_response_from_buffer(body->n, body->s ? body->s : (char *)(size_t)"", MHD_RESPMEM_MUST_COPY);
    enum MHD_Result rc;

    if (*retry)
        MHD_add_response_header(r, "Retry-After", retry);
    rc = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result serve(conn *c, const char *system, const char *user, char *line)
{
    char word[16] = "", arg[256] = "", more[32] = "";
    enum MHD_Result rc;
    dk_buf text = {0}, out = {0};
    unsigned status = 200;

    sscanf(line, "%15s %255s %31s", word, arg, more);
    if (strcmp(word, "cut") == 0) {
        response *r = MHD_create_response_from_callback(1000, 64, half, NULL, NULL);

        rc = MHD_queue_response(c, 200, r);
        MHD_destroy_response(r);
        return rc;
    }
    if (strcmp(word, "stall") == 0)
        sleep((unsigned)strtoul(arg, NULL, 10));
    if (strcmp(word, "status") == 0) {
        status = (unsigned)strtoul(arg, NULL, 10);
        dk_buf_adds(&out, "{\"error\":{\"message\":\"told\\nto fail\"}}");
    } else if (!strstr(system, "You judge tokens")) {
        status = 400;
        dk_buf_adds(&out, "{\"error\":{\"message\":\"who are you\"}}");
    } else if (strcmp(word, "raw") == 0)
        slurp(&out, arg);
    else {
        if (strcmp(word, "says") == 0)
            slurp(&text, arg);
        else
            answer(&text, user, line);
        completion(&out, text.s ? text.s : "", text.n);
    }
    rc = finish(c, status, &out, more);
    dk_buf_free(&text);
    dk_buf_free(&out);
    return rc;
}

static enum MHD_Result on_request(void *arg, conn *c, const char *url, const char *method, const char *version, const char *body,
                                  size_t *n, void **state)
{
    dk_buf *got = *state;
    const dk_json *messages;
    dk_json *root_value = NULL;
    const char *system, *user;
    enum MHD_Result rc;
    char *line;

    (void)arg, (void)version;
    if (!got) {
        *state = dk_xcalloc(1, sizeof *got);
        return MHD_YES;
    }
    if (*n) {
        dk_buf_add(got, body, *n);
        *n = 0;
        return MHD_YES;
    }
    dk_buf_addc(got, 0);
    got->n--;
    dk_json_parse(&root_value, got->s, got->n, "request", NULL);
    messages = dk_json_get(root_value, "messages");
    system = dk_json_str(dk_json_get(dk_json_at(dk_json_get(dk_json_at(messages, 0), "content"), 0), "text"), "");
    user = dk_json_str(dk_json_get(dk_json_at(messages, 1), "content"), "");
    pthread_mutex_lock(&one);
    note(c, method, url, user, got);
    line = next_line();
    pthread_mutex_unlock(&one);
    rc = serve(c, system, user, line);
    dk_json_free(&root_value);
    dk_free(line);
    dk_buf_free(got);
    dk_free(got);
    *state = NULL;
    return rc;
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const union MHD_DaemonInfo *info;
    struct MHD_Daemon *d;
    char *port, *temp;
    FILE *f;

    if (argc != 2) {
        fprintf(stderr, "usage: chat-server DIR\n");
        return 2;
    }
    root = argv[1];
    d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL, on_request, NULL,
                         MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_END);
    if (!d || !(info = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT))) {
        fprintf(stderr, "chat-server: cannot listen on 127.0.0.1\n");
        return 1;
    }
    port = dk_xasprintf("%s/port", root);
    temp = dk_xasprintf("%s/port.tmp", root);
    if (!(f = fopen(temp, "w")) || fprintf(f, "%d\n", info->port) < 0 || fclose(f) != 0 || rename(temp, port) != 0) {
        fprintf(stderr, "chat-server: cannot write %s\n", port);
        return 1;
    }
    alarm(600);                         /* nothing is left behind, come what may */
    for (;;)
        pause();
}
