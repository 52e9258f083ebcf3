/* Files of weights, seen through one list of tensors. */
#include "io/weightinfo.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/gguf.h"
#include "io/json.h"
#include "io/safetensors.h"

enum { MAX_TYPES = 40 };

/* Borrowed from the file; dims in row-major order. */
typedef struct tensor {
    const char *name, *type;
    unsigned rank;
    size_t dim[DK_ST_MAX_DIMS], bytes;
} tensor;

typedef struct weights {
    const char *path, *kind, *arch;
    size_t n, bytes;
    double values;
    tensor *t;
    size_t n_types;
    struct { const char *name; size_t n; } type[MAX_TYPES];
} weights;

bool dk_weights_is(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint8_t head[9] = {0};
    uint64_t n = 0;
    struct stat st;
    bool yes = false;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pread(fd, head, 9, 0) == 9) {
        for (int i = 7; i >= 0; i--)
            n = n << 8 | head[i];
        yes = memcmp(head, "GGUF", 4) == 0 ||
              (head[8] == '{' && n >= 2 && n <= (uint64_t)st.st_size - 8);
    }
    close(fd);
    return yes;
}

/* --- both formats ------------------------------------------------------------ */
static void count(weights *w, const tensor *t)
{
    double values = 1;
    size_t i = 0;

    for (unsigned k = 0; k < t->rank; k++)
        values *= (double)t->dim[k];
    w->values += values;
    w->bytes += t->bytes;
    while (i < w->n_types && strcmp(w->type[i].name, t->type) != 0)
        i++;
    if (i == MAX_TYPES)
        return;
    if (i == w->n_types) {
        w->type[i].name = t->type;
        w->type[i].n = 0;
        w->n_types++;
    }
    w->type[i].n++;
}

static void of_safetensors(weights *w, const dk_safetensors *s)
{
    for (size_t i = 0; i < w->n; i++) {
        const dk_st_tensor *x = dk_safetensors_at(s, i);
        tensor *t = &w->t[i];

        *t = (tensor){ .name = x->name, .type = x->dtype, .rank = x->n_dims, .bytes = x->bytes };
        memcpy(t->dim, x->dims, sizeof t->dim);
        count(w, t);
    }
}

static void of_gguf(weights *w, const dk_gguf *g)
{
    w->arch = dk_gguf_str_of(g, "general.architecture", NULL);
    for (size_t i = 0; i < w->n; i++) {
        const dk_gguf_tensor *x = dk_gguf_tensor_at(g, i);
        tensor *t = &w->t[i];

        *t = (tensor){ .name = x->name, .type = x->format->name, .rank = x->n_dims, .bytes = x->bytes };
        for (unsigned k = 0; k < x->n_dims; k++)
            t->dim[k] = x->dims[x->n_dims - 1 - k];
        count(w, t);
    }
}

/* --- forms --------------------------------------------------------------------- */
static void put_text(dk_buf *out, const weights *w)
{
    dk_buf_addclean(out, w->path);
    dk_buf_addf(out, ": %s, %zu tensors, %.0f values, %zu bytes\n", w->kind, w->n, w->values, w->bytes);
    if (w->arch) {
        dk_buf_adds(out, "  architecture  ");
        dk_buf_addclean(out, w->arch);
        dk_buf_addc(out, '\n');
    }
    for (size_t i = 0; i < w->n_types; i++)
        dk_buf_addf(out, "  %-13s %zu tensors\n", w->type[i].name, w->type[i].n);
    for (size_t i = 0; i < w->n; i++) {
        dk_buf_adds(out, "  ");
        dk_buf_addclean(out, w->t[i].name);
        dk_buf_addf(out, " %s[", w->t[i].type);
        for (unsigned k = 0; k < w->t[i].rank; k++)
            dk_buf_addf(out, "%s%zu", k ? " x " : "", w->t[i].dim[k]);
        dk_buf_adds(out, "]\n");
    }
}

static void put_json(dk_buf *out, const weights *w)
{
    dk_jw j = { .out = out };

    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "file"); dk_jw_str(&j, w->path);
    dk_jw_key(&j, "kind"); dk_jw_str(&j, w->kind);
    dk_jw_key(&j, "architecture"); dk_jw_str(&j, w->arch);
    dk_jw_key(&j, "values"); dk_jw_num(&j, w->values);
    dk_jw_key(&j, "bytes"); dk_jw_u64(&j, w->bytes);
    dk_jw_key(&j, "objects");
    dk_jw_arr_begin(&j);
    for (size_t i = 0; i < w->n; i++) {
        dk_jw_obj_begin(&j);
        dk_jw_key(&j, "path"); dk_jw_str(&j, w->t[i].name);
        dk_jw_key(&j, "kind"); dk_jw_str(&j, "tensor");
        dk_jw_key(&j, "type"); dk_jw_str(&j, w->t[i].type);
        dk_jw_key(&j, "shape");
        dk_jw_arr_begin(&j);
        for (unsigned k = 0; k < w->t[i].rank; k++)
            dk_jw_u64(&j, w->t[i].dim[k]);
        dk_jw_arr_end(&j);
        dk_jw_obj_end(&j);
    }
    dk_jw_arr_end(&j);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

int dk_weights_info(dk_buf *out, const char *path, dk_info_form form, dk_err *err)
{
    weights w = { .path = path };
    const bool gguf = dk_gguf_is(path);
    dk_safetensors *s = NULL;
    dk_gguf *g = NULL;
    int rc = gguf ? dk_gguf_open(&g, path, err) : dk_safetensors_open(&s, path, err);

    if (rc < 0)
        return rc;
    w.kind = gguf ? "GGUF" : "safetensors";
    w.n = gguf ? dk_gguf_n_tensors(g) : dk_safetensors_n(s);
    w.t = dk_xcalloc(w.n + 1, sizeof *w.t);
    if (gguf)
        of_gguf(&w, g);
    else
        of_safetensors(&w, s);
    if (form == DK_INFO_JSON)
        put_json(out, &w);
    else if (form == DK_INFO_TEXT)
        put_text(out, &w);
    else {
        dk_buf_addclean(out, path);
        dk_buf_addf(out, form == DK_INFO_LINEAGE ? "  %s\n" : ": ok, %s\n", w.kind);
    }
    dk_free(w.t);
    dk_safetensors_close(&s);
    dk_gguf_close(&g);
    return 0;
}
