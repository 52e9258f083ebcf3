/* dk-values FILE.score.h5 NAME: the values of a score or of a vocabulary's sums
 * ("vocab/ft/..."), a row a line, so that tests can compare them with numbers
 * that dk did not make.  A NAME with a slash first is any dataset of any file. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/scorefile.h"
#include "num/half.h"

static int put(dk_scores *s, const dk_score_info *i, dk_err *err)
{
    const size_t k = i->k ? i->k : 1, n = i->rows * k;
    void *v = dk_xcalloc(n ? n : 1, 8);
    int rc;

    switch (i->kind) {
    case DK_SCORE_DENSE: rc = dk_scores_read(s, i->name, 0, i->rows, v, err); break;
    case DK_SCORE_INDEX: rc = dk_scores_read_index(s, i->name, 0, i->rows, v, err); break;
    case DK_SCORE_VOCAB_I64: rc = dk_scores_read_vocab_i64(s, i->name, v, i->rows, err); break;
    case DK_SCORE_VOCAB_F64: rc = dk_scores_read_vocab_f64(s, i->name, v, i->rows, err); break;
    default: rc = dk_fail(err, DK_EUSAGE, "%s is sparse", i->name);
    }
    for (size_t at = 0; rc == 0 && at < n; at++) {
        if (i->kind == DK_SCORE_DENSE)
            printf("%.9g", (double)((float *)v)[at]);
        else if (i->kind == DK_SCORE_INDEX)
            printf("%u", ((unsigned *)v)[at]);
        else if (i->kind == DK_SCORE_VOCAB_I64)
            printf("%lld", ((long long *)v)[at]);
        else
            printf("%.17g", ((double *)v)[at]);
        putchar((at + 1) % k ? ' ' : '\n');
    }
    dk_free(v);
    return rc;
}

static void print(const void *v, size_t i, dk_h5_type t)
{
    switch (t) {
    case DK_H5_BF16: printf("%.9g", (double)dk_bf16_f32(((const uint16_t *)v)[i])); break;
    case DK_H5_F16: printf("%.9g", (double)dk_f16_f32(((const uint16_t *)v)[i])); break;
    case DK_H5_F32: printf("%.9g", (double)((const float *)v)[i]); break;
    case DK_H5_F64: printf("%.17g", ((const double *)v)[i]); break;
    case DK_H5_U8: printf("%u", ((const uint8_t *)v)[i]); break;
    case DK_H5_I32: printf("%d", ((const int32_t *)v)[i]); break;
    case DK_H5_U32: printf("%u", ((const uint32_t *)v)[i]); break;
    case DK_H5_U64: printf("%llu", ((const unsigned long long *)v)[i]); break;
    default: printf("?");
    }
}

static int put_raw(const char *file, const char *path, dk_err *err)
{
    dk_h5 *f = NULL;
    void *v = NULL;
    const dk_h5_object *o = NULL;
    int rc = dk_h5_open(&f, file, NULL, err);

    if (rc == 0 && !(o = dk_h5_find(f, path)))
        rc = dk_fail(err, DK_EUSAGE, "%s has no %s", file, path);
    if (rc == 0)
        rc = dk_h5_read_all(f, path, o->data.type, &v, NULL, err);
    for (size_t r = 0, k = rc == 0 && o->data.rank > 1 ? o->data.dim[1] : 1; rc == 0 && r < o->data.dim[0]; r++)
        for (size_t j = 0; j < k; j++) {
            print(v, r * k + j, o->data.type);
            putchar(j + 1 < k ? ' ' : '\n');
        }
    dk_free(v);
    dk_h5_close(&f);
    return rc;
}

int main(int argc, char **argv)
{
    const dk_score_info *i = NULL;
    dk_scores *s = NULL;
    dk_err err = {0};
    bool vocab;
    int rc;

    if (argc != 3)
        return 2;
    if (argv[2][0] == '/') {
        if (put_raw(argv[1], argv[2], &err) == 0)
            return 0;
        fprintf(stderr, "dk-values: %s\n", err.msg);
        return 1;
    }
    vocab = strncmp(argv[2], "vocab/", 6) == 0;
    rc = dk_scores_open(&s, argv[1], &err);
    if (rc == 0)
        i = dk_scores_find(s, argv[2] + (vocab ? 6 : 0), vocab);
    if (rc == 0)
        rc = i ? put(s, i, &err) : dk_fail(&err, DK_EUSAGE, "%s has no %s", argv[1], argv[2]);
    dk_scores_close(&s);
    if (rc < 0)
        fprintf(stderr, "dk-values: %s\n", err.msg);
    return rc < 0;
}
