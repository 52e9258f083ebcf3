/* The encodings of parquet's pages, value by value: nothing is unfolded, so
 * that a run of a billion values costs no memory. */
#ifndef DK_IO_PARQUETVALUE_H
#define DK_IO_PARQUETVALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "io/parquetmeta.h"

/* Small numbers of fixed width, as runs of one or packed bits. */
typedef struct dk_pq_runs {
    const uint8_t *p, *end;
    int width;
    bool packed;
    uint64_t left, at;          /* in this run */
    uint32_t value;
} dk_pq_runs;

void dk_pq_runs_begin(dk_pq_runs *r, const uint8_t *p, size_t n, int width);
bool dk_pq_runs_next(dk_pq_runs *r, uint32_t *v);       /* false: there are no more, or they are damaged */

/* DELTA_BINARY_PACKED. */
typedef struct dk_pq_delta {
    const uint8_t *p, *end, *widths;
    uint64_t left;              /* values to come */
    uint64_t minis, per_mini, mini, at;
    int width;
    bool first;
    uint64_t value, least;      /* two's complement, wrapping */
} dk_pq_delta;

bool dk_pq_delta_begin(dk_pq_delta *d, const uint8_t *p, size_t n);
bool dk_pq_delta_next(dk_pq_delta *d, int64_t *v);
const uint8_t *dk_pq_delta_end(const dk_pq_delta *d);   /* where they end, from their beginning on; NULL: damaged */

typedef struct dk_pq_value {
    int64_t i;                  /* of BOOL, INT32, INT64 */
    double d;                   /* of FLOAT, DOUBLE */
    const char *s;              /* of BYTES: borrowed until the next value */
    size_t n;
} dk_pq_value;

/* The values of a dictionary page. */
typedef struct dk_pq_dictionary {
    dk_block block;
    uint32_t *at;               /* of BYTES: where each begins, and the end */
    size_t n, cap;
    bool has;
} dk_pq_dictionary;

/* The page is d->block.p[n].  NULL, or what is wrong. */
const char *dk_pq_dictionary_begin(dk_pq_dictionary *d, const dk_pq_node *leaf, size_t n, int64_t values);
void dk_pq_dictionary_free(dk_pq_dictionary *d);

typedef struct dk_pq_values {
    const dk_pq_node *leaf;
    int64_t encoding;
    const uint8_t *p, *end;
    unsigned bit;
    dk_pq_runs runs;
    dk_pq_delta prefix, length;
    const dk_pq_dictionary *dictionary;
    dk_buf text;                /* of DELTA_BYTE_ARRAY: the last one */
} dk_pq_values;

const char *dk_pq_values_begin(dk_pq_values *v, const dk_pq_node *leaf, int64_t encoding, const uint8_t *p, size_t n,
                               const dk_pq_dictionary *dictionary);
const char *dk_pq_values_next(dk_pq_values *v, dk_pq_value *out);
void dk_pq_values_free(dk_pq_values *v);

#endif
