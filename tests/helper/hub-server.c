/* A model hub on 127.0.0.1 that can be told to misbehave, for tests.
 *
 *   hub-server DIR      serves DIR/repos/OWNER/NAME/COMMIT/FILES until killed, and
 *                       data sets from DIR/repos/datasets/OWNER/NAME/...
 *
 * Two ports, which it writes to DIR/ports: the hub, and the store ("cdn") that
 * the hub sends its clients to for *.safetensors, *.gguf and *.parquet.  The commit of a
 * revision stands in DIR/repos/OWNER/NAME/refs/REVISION.  DIR/log has one line
 * a request: which port, method, path, credentials, range.
 *
 * DIR/fault/NAME holds "COUNT [VALUE]": the next COUNT requests that it
 * concerns go wrong.
 *   hub, cdn            VALUE is the status that the port answers with
 *   retry-after         seconds that go with 429 and 503
 *   code                X-Error-Code: GatedRepo, RevisionNotFound, ...
 *   size, etag, commit  what the hub says wrongly of a file
 *   small               the same ETag, but only of files in no store
 *   cut                 the store breaks the connection after VALUE bytes
 *   short, long         the store has VALUE bytes less, or more, than the hub says
 *   corrupt             the store sends one byte wrongly
 *   slow                the store sends VALUE bytes every 50 ms
 *   stall               the store says nothing for VALUE seconds
 *   norange             the store knows no ranges
 *   badrange            the store sends another range than was asked for
 *   loop                the hub sends its client in circles
 *   away                the hub sends its client to VALUE instead of the store
 *   page                a page of a data set's listing has VALUE entries
 *   endless             a listing's last page says that it goes on */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

static const char *root;
static int port[2];                     /* hub, cdn */
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

typedef struct MHD_Connection conn;
typedef struct MHD_Response response;

/* ---- faults ------------------------------------------------------------ */

/* Is this fault on?  Counts it down; value: its text, "" when it is off. */
static bool fault(const char *name, char value[64])
{
    char *path = dk_xasprintf("%s/fault/%s", root, name);
    int count = 0;
    FILE *f;

    value[0] = 0;
    pthread_mutex_lock(&one);
    if ((f = fopen(path, "r"))) {
        if (fscanf(f, "%d %63s", &count, value) < 1)
            count = 0;
        fclose(f);
    }
    if (count > 0 && (f = fopen(path, "w"))) {
        fprintf(f, "%d %s\n", count - 1, value);
        fclose(f);
    }
    pthread_mutex_unlock(&one);
    dk_free(path);
    if (count <= 0)
        value[0] = 0;
    return count > 0;
}

static long fault_number(const char *name)
{
    char value[64];

    return fault(name, value) ? strtol(value, NULL, 10) : -1;
}

/* ---- answers ----------------------------------------------------------- */

static enum MHD_Result finish(conn *c, unsigned status, response *r)
{
    const enum MHD_Result rc = MHD_queue_response(c, status, r);

    MHD_destroy_response(r);
    return rc;
}

static response *text(const char *s)
{
    return MHD_create_response_from_buffer(strlen(s), (void *)(size_t)s, MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result failure(conn *c, unsigned status, const char *code)
{
    response *r = text("<html>an error page\nof two lines</html>\n");
    char value[64];

    if (fault("code", value))
        code = value;
    if (*code)
        MHD_add_response_header(r, "X-Error-Code", code);
    if ((status == 429 || status == 503) && fault("retry-after", value))
        MHD_add_response_header(r, "Retry-After", value);
    return finish(c, status, r);
}

static enum MHD_Result redirect(conn *c, response *r, const char *to)
{
    MHD_add_response_header(r, "Location", to);
    return finish(c, 302, r);
}

/* ---- a file, well or badly --------------------------------------------- */

typedef struct sending {
    int fd;
    uint64_t from, cut, corrupt;
    long slow;
} sending;

static ssize_t send_some(void *arg, uint64_t pos, char *buf, size_t max)
{
    sending *s = arg;
    ssize_t n;

    if (s->slow > 0) {
        usleep(50000);
        max = max < (size_t)s->slow ? max : (size_t)s->slow;
    }
    if (pos >= s->cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    max = max < s->cut - pos ? max : s->cut - pos;
    pos += s->from;
    n = pread(s->fd, buf, max, (off_t)pos);
    if (n == 0) {                       /* "long": beyond the end of the file */
        memset(buf, 'x', max);
        n = (ssize_t)max;
    }
    for (ssize_t i = 0; i < n; i++)
        if (pos + (uint64_t)i == s->corrupt)
            buf[i] ^= 1;
    return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void end_sending(void *arg)
{
    close(((sending *)arg)->fd);
    dk_free(arg);
}

/* The first byte that is asked for; what the server has is named by etag. */
static uint64_t range_start(conn *c, const char *etag)
{
    const char *range = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Range");
    const char *when = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-Range");

    if (!range || strncmp(range, "bytes=", 6) != 0 || (when && strcmp(when, etag) != 0))
        return 0;
    return strtoull(range + 6, NULL, 10);
}

static enum MHD_Result send_file(conn *c, const char *path, const char *etag, bool store)
{
    sending *s = dk_xcalloc(1, sizeof *s);
    struct stat st;
    uint64_t size, asked;
    char value[64], text_range[96];
    response *r;
    long n;

    *s = (sending){ .fd = open(path, O_RDONLY | O_CLOEXEC), .cut = UINT64_MAX, .corrupt = UINT64_MAX };
    if (s->fd < 0 || fstat(s->fd, &st) != 0) {
        dk_free(s);
        return failure(c, 404, "EntryNotFound");
    }
    size = (uint64_t)st.st_size;
    asked = s->from = range_start(c, etag);
    if (store) {
        size -= (n = fault_number("short")) > 0 ? (uint64_t)n : 0;
        size += (n = fault_number("long")) > 0 ? (uint64_t)n : 0;
        s->cut = (n = fault_number("cut")) >= 0 ? (uint64_t)n : UINT64_MAX;
        s->corrupt = fault("corrupt", value) ? size / 2 : UINT64_MAX;
        s->slow = fault_number("slow");
        s->from = fault("norange", value) ? 0 : s->from;
        sleep((n = fault_number("stall")) > 0 ? (unsigned)n : 0);
    }
    if (s->from >= size && s->from > 0) {
        end_sending(s);
        return failure(c, 416, "");
    }
    snprintf(text_range, sizeof text_range, "bytes %llu-%llu/%llu",
             (unsigned long long)(s->from + (asked && fault("badrange", value))),
             (unsigned long long)size - 1, (unsigned long long)size);
    asked = s->from;
    r = MHD_create_response_from_callback(size - s->from, 1 << 16, send_some, s, end_sending);
    MHD_add_response_header(r, "ETag", etag);
    if (asked)
        MHD_add_response_header(r, "Content-Range", text_range);
    return finish(c, asked ? 206 : 200, r);
}

/* ---- the hub ----------------------------------------------------------- */

static bool in_store(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot && (strcmp(dot, ".safetensors") == 0 || strcmp(dot, ".gguf") == 0 || strcmp(dot, ".bin") == 0 ||
                   strcmp(dot, ".parquet") == 0);
}

static void list_folder(dk_buf *out, const char *dir, const char *prefix)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    struct stat st;

    while (d && (e = readdir(d))) {
        char *path = dk_xasprintf("%s/%s", dir, e->d_name);
        char *name = dk_xasprintf("%s%s", prefix, e->d_name);

        if (e->d_name[0] != '.' && stat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode)) {
                char *deeper = dk_xasprintf("%s/", name);

                list_folder(out, path, deeper);
                dk_free(deeper);
            } else
                dk_buf_addf(out, "%s{\"rfilename\":\"%s\"}", out->s[out->n - 1] == '[' ? "" : ",", name);
        }
        dk_free(path);
        dk_free(name);
    }
    if (d)
        closedir(d);
}

/* DIR/listing, where it exists, stands for the listing. */
static enum MHD_Result send_listing(conn *c, const char *repo, const char *commit)
{
    char *dir = dk_xasprintf("%s/repos/%s/%s", root, repo, commit);
    char *lie = dk_xasprintf("%s/listing", root);
    dk_buf out = {0};
    enum MHD_Result rc;

    if (access(lie, R_OK) == 0)
        rc = send_file(c, lie, "\"x\"", false);
    else {
        dk_buf_addf(&out, "{\"id\":\"%s\",\"sha\":\"%s\",\"siblings\":[", repo, commit);
        list_folder(&out, dir, "");
        dk_buf_adds(&out, "]}");
        rc = finish(c, 200, text(out.s));
    }
    dk_buf_free(&out);
    dk_free(dir);
    dk_free(lie);
    return rc;
}

/* All below a folder, files and folders, as the entries of a tree; n counts them. */
static void list_tree(dk_buf *out, const char *dir, const char *prefix, long *n, long from, long to)
{
    struct dirent **e = NULL;
    const int found = scandir(dir, &e, NULL, alphasort);
    struct stat st;

    for (int i = 0; i < found; i++) {
        char *path = dk_xasprintf("%s/%s", dir, e[i]->d_name), *name = dk_xasprintf("%s%s", prefix, e[i]->d_name);

        if (e[i]->d_name[0] != '.' && stat(path, &st) == 0) {
            if (*n >= from && *n < to)
                dk_buf_addf(out, "%s{\"type\":\"%s\",\"oid\":\"0\",\"size\":%lld,\"path\":\"%s\"}", *n > from ? "," : "",
                            S_ISDIR(st.st_mode) ? "directory" : "file", (long long)st.st_size, name);
            (*n)++;
            if (S_ISDIR(st.st_mode)) {
                char *deeper = dk_xasprintf("%s/", name);

                list_tree(out, path, deeper, n, from, to);
                dk_free(deeper);
            }
        }
        dk_free(path);
        dk_free(name);
        free(e[i]);
    }
    free(e);
}

/* DIR/listing, where it exists, stands for the tree too. */
static enum MHD_Result send_tree(conn *c, const char *repo, const char *commit)
{
    const char *cursor = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "cursor");
    char *dir = dk_xasprintf("%s/repos/%s/%s", root, repo, commit), *lie = dk_xasprintf("%s/listing", root), value[64];
    const long from = cursor ? strtol(cursor, NULL, 10) : 0, size = fault_number("page"), to = from + (size > 0 ? size : 1000);
    const bool endless = fault("endless", value);
    enum MHD_Result rc;
    dk_buf out = {0};
    long n = 0;

    if (access(dir, F_OK) != 0)
        rc = failure(c, 404, "RevisionNotFound");
    else if (access(lie, R_OK) == 0)
        rc = send_file(c, lie, "\"x\"", false);
    else {
        response *r;

        dk_buf_addc(&out, '[');
        list_tree(&out, dir, "", &n, from, to);
        dk_buf_addc(&out, ']');
        r = text(out.s);
        if (n > to || endless) {
            char *link = dk_xasprintf("<http://elsewhere.invalid/api/%s/tree/%s?recursive=true&cursor=%ld>; rel=\"next\"", repo,
                                      commit, to);

            MHD_add_response_header(r, "Link", link);
            dk_free(link);
        }
        rc = finish(c, 200, r);
    }
    dk_buf_free(&out);
    dk_free(dir);
    dk_free(lie);
    return rc;
}

static enum MHD_Result send_commit(conn *c, const char *commit)
{
    char *s = dk_xasprintf("{\"id\":\"x\",\"sha\":\"%s\"}", commit);
    const enum MHD_Result rc = finish(c, 200, text(s));

    dk_free(s);
    return rc;
}

/* OWNER/NAME/revision/REVISION, OWNER/NAME/tree/COMMIT behind /api/models/ or
 * /api/datasets/; head: what stands before OWNER in the folder. */
static enum MHD_Result on_api(conn *c, const char *url, const char *head)
{
    const char *rev = strstr(url, "/revision/"), *tree = strstr(url, "/tree/");
    char *repo, *path, commit[64] = "";
    enum MHD_Result rc;
    FILE *f;

    if (tree) {
        repo = dk_xasprintf("%s%.*s", head, (int)(tree - url), url);
        rc = send_tree(c, repo, tree + strlen("/tree/"));
        dk_free(repo);
        return rc;
    }
    if (!rev)
        return failure(c, 404, "");
    repo = dk_xasprintf("%s%.*s", head, (int)(rev - url), url);
    rev += strlen("/revision/");
    path = dk_xasprintf("%s/repos/%s", root, repo);
    if (strcmp(repo, "old/name") == 0)
        rc = redirect(c, text(""), "/api/models/acme/tiny/revision/main");
    else if (access(path, F_OK) != 0)
        rc = failure(c, 401, "RepoNotFound");
    else {
        char *ref = dk_xasprintf("%s/refs/%s", path, rev), *folder = dk_xasprintf("%s/%s", path, rev);

        if ((f = fopen(ref, "r"))) {
            if (fscanf(f, "%63s", commit) != 1)
                commit[0] = 0;
            fclose(f);
        } else if (strlen(rev) == 40 && access(folder, F_OK) == 0)
            memcpy(commit, rev, 41);
        rc = !commit[0] ? failure(c, 404, "RevisionNotFound")
                        : *head ? send_commit(c, commit) : send_listing(c, repo, commit);
        dk_free(ref);
        dk_free(folder);
    }
    dk_free(repo);
    dk_free(path);
    return rc;
}

/* What the hub says of a file, rightly or not. */
static void describe(response *r, const char *path, const char *commit, bool store, char etag[72])
{
    char value[64], hex[65] = "", number[32];
    struct stat st;

    pthread_mutex_lock(&one);           /* the library's sums are not for two threads */
    if (store)
        dk_sha256_file(path, hex, NULL);
    else
        dk_gitblob_file(path, hex, NULL);
    pthread_mutex_unlock(&one);
    if (fault(store ? "etag" : "small", value))
        memcpy(hex, value, strlen(value) < 64 ? strlen(value) : 64);
    snprintf(etag, 72, "\"%s\"", hex);
    stat(path, &st);
    snprintf(number, sizeof number, "%lld", (long long)st.st_size);
    MHD_add_response_header(r, store ? "X-Linked-Etag" : "ETag", etag);
    if (fault("size", value) || store)
        MHD_add_response_header(r, "X-Linked-Size", *value ? value : number);
    MHD_add_response_header(r, "X-Repo-Commit", fault("commit", value) ? value : commit);
}

/* /OWNER/NAME/resolve/COMMIT/FILE */
static enum MHD_Result on_resolve(conn *c, const char *method, const char *url)
{
    const char *mid = strstr(url, "/resolve/"), *file = mid ? strchr(mid + 9, '/') : NULL;
    char *path, *commit, *to, etag[72], value[64];
    enum MHD_Result rc;
    struct stat st;
    response *r;
    bool store;

    if (!file)
        return failure(c, 404, "");
    commit = dk_xstrndup(mid + 9, (size_t)(file - mid - 9));
    path = dk_xasprintf("%s/repos/%.*s/%s%s", root, (int)(mid - url - 1), url + 1, commit, file);
    to = dk_xasprintf("http://127.0.0.1:%d%s?signature=secret", port[1], url);
    store = in_store(path);
    if (stat(path, &st) != 0)
        rc = failure(c, 404, "EntryNotFound");
    else if (fault("loop", value))
        rc = redirect(c, text(""), url);
    else if (strcmp(method, "GET") == 0 && fault("away", value))
        rc = redirect(c, text(""), value);
    else if (store) {
        r = text("Found. Redirecting");
        describe(r, path, commit, true, etag);
        rc = redirect(c, r, to);
    } else if (strcmp(method, "HEAD") == 0) {
        r = MHD_create_response_from_fd((size_t)st.st_size, open(path, O_RDONLY | O_CLOEXEC));
        describe(r, path, commit, false, etag);
        rc = finish(c, 200, r);
    } else
        rc = send_file(c, path, "\"small\"", false);
    dk_free(path);
    dk_free(commit);
    dk_free(to);
    return rc;
}

/* The store keeps the same paths. */
static enum MHD_Result on_store(conn *c, const char *url)
{
    const char *mid = strstr(url, "/resolve/");
    char *path = dk_xasprintf("%s/repos/%.*s/%s", root, mid ? (int)(mid - url - 1) : 0, url + 1,
                              mid ? mid + strlen("/resolve/") : "");
    char *stamp = dk_xasprintf("%s/store-etag", root), etag[64] = "\"store\"";
    FILE *f = fopen(stamp, "r");
    enum MHD_Result rc;

    if (f) {
        if (fscanf(f, "%63s", etag) != 1)
            etag[0] = 0;
        fclose(f);
    }
    rc = send_file(c, path, etag, true);
    dk_free(path);
    dk_free(stamp);
    return rc;
}

static void note(conn *c, int which, const char *method, const char *url)
{
    const char *auth = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    const char *range = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Range");
    const char *when = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-Range");
    char *path = dk_xasprintf("%s/log", root);
    FILE *f = fopen(path, "a");

    if (f) {
        fprintf(f, "%s %s %s auth=%s range=%s if-range=%s\n", which ? "cdn" : "hub", method, url,
                auth ? auth : "", range ? range : "", when ? when : "");
        fclose(f);
    }
    dk_free(path);
}

static enum MHD_Result on_request(void *arg, conn *c, const char *url, const char *method,
                                  const char *version, const char *body, size_t *n, void **state)
{
    static const char models[] = "/api/models/", sets[] = "/api/datasets/";
    const int which = (int)(size_t)arg;
    long status;

    (void)version, (void)body, (void)n, (void)state;
    note(c, which, method, url);
    if ((status = fault_number(which ? "cdn" : "hub")) > 0)
        return failure(c, (unsigned)status, "");
    if (which)
        return on_store(c, url);
    if (strncmp(url, models, sizeof models - 1) == 0)
        return on_api(c, url + sizeof models - 1, "");
    if (strncmp(url, sets, sizeof sets - 1) == 0)
        return on_api(c, url + sizeof sets - 1, "datasets/");
    return on_resolve(c, method, url);
}

static int start(int which)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION,
                                            0, NULL, NULL, on_request, (void *)(size_t)which,
                                            MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = d ? MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT) : NULL;

    if (!info) {
        fprintf(stderr, "hub-server: cannot listen on 127.0.0.1\n");
        exit(1);
    }
    return info->port;
}

int main(int argc, char **argv)
{
    char *ports, *temp;
    FILE *f;

    if (argc != 2) {
        fprintf(stderr, "usage: hub-server DIR\n");
        return 2;
    }
    root = argv[1];
    port[1] = start(1);
    port[0] = start(0);
    ports = dk_xasprintf("%s/ports", root);
    temp = dk_xasprintf("%s/ports.tmp", root);
    if (!(f = fopen(temp, "w")) || fprintf(f, "%d %d\n", port[0], port[1]) < 0 || fclose(f) != 0 ||
        rename(temp, ports) != 0) {
        fprintf(stderr, "hub-server: cannot write %s\n", ports);
        return 1;
    }
    alarm(600);                         /* nothing is left behind, come what may */
    for (;;)
        pause();
}
