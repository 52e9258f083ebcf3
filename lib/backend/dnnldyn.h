/* oneDNN, loaded at first use (base/dynlib.h), for product.c.  Every function of
 * it that is used is in the lists and is redirected below. */
#ifndef DK_BACKEND_DNNLDYN_H
#define DK_BACKEND_DNNLDYN_H

#include <dnnl.h>

#include "base/err.h"

#define DK_DNNL_COMMON(X) \
    X(dnnl_engine_create) X(dnnl_memory_create) X(dnnl_memory_desc_get_size) \
    X(dnnl_memory_destroy) X(dnnl_primitive_attr_create) \
    X(dnnl_primitive_attr_destroy) X(dnnl_primitive_attr_set_scratchpad_mode) \
    X(dnnl_primitive_create) X(dnnl_primitive_desc_destroy) X(dnnl_primitive_desc_query) \
    X(dnnl_primitive_desc_query_md) X(dnnl_primitive_destroy) X(dnnl_primitive_execute) \
    X(dnnl_reorder_primitive_desc_create) X(dnnl_stream_create) X(dnnl_stream_destroy) \
    X(dnnl_stream_wait)
#if DNNL_VERSION_MAJOR >= 3
#define DK_DNNL_VERSION(X) \
    X(dnnl_memory_desc_create_with_strides) X(dnnl_memory_desc_create_with_tag) \
    X(dnnl_matmul_primitive_desc_create) X(dnnl_memory_desc_destroy)
#else
#define DK_DNNL_VERSION(X) \
    X(dnnl_memory_desc_init_by_strides) X(dnnl_memory_desc_init_by_tag) \
    X(dnnl_matmul_desc_init) X(dnnl_primitive_desc_create)
#endif

struct dk_dnnl {
#define X(name) __typeof__(name) *name;
    DK_DNNL_COMMON(X)
    DK_DNNL_VERSION(X)
#undef X
};
extern struct dk_dnnl dk_dnnl;

int dk_dnnl_load(dk_err *err);      /* before any use */

/* dnnldyn.c itself needs the plain names. */
#ifndef DK_DNNLDYN_PLAIN
#define dnnl_engine_create (dk_dnnl.dnnl_engine_create)
#define dnnl_memory_create (dk_dnnl.dnnl_memory_create)
#define dnnl_memory_desc_get_size (dk_dnnl.dnnl_memory_desc_get_size)
#define dnnl_memory_destroy (dk_dnnl.dnnl_memory_destroy)
#define dnnl_primitive_attr_create (dk_dnnl.dnnl_primitive_attr_create)
#define dnnl_primitive_attr_destroy (dk_dnnl.dnnl_primitive_attr_destroy)
#define dnnl_primitive_attr_set_scratchpad_mode (dk_dnnl.dnnl_primitive_attr_set_scratchpad_mode)
#define dnnl_primitive_create (dk_dnnl.dnnl_primitive_create)
#define dnnl_primitive_desc_destroy (dk_dnnl.dnnl_primitive_desc_destroy)
#define dnnl_primitive_desc_query (dk_dnnl.dnnl_primitive_desc_query)
#define dnnl_primitive_desc_query_md (dk_dnnl.dnnl_primitive_desc_query_md)
#define dnnl_primitive_destroy (dk_dnnl.dnnl_primitive_destroy)
#define dnnl_primitive_execute (dk_dnnl.dnnl_primitive_execute)
#define dnnl_reorder_primitive_desc_create (dk_dnnl.dnnl_reorder_primitive_desc_create)
#define dnnl_stream_create (dk_dnnl.dnnl_stream_create)
#define dnnl_stream_destroy (dk_dnnl.dnnl_stream_destroy)
#define dnnl_stream_wait (dk_dnnl.dnnl_stream_wait)
#define dnnl_memory_desc_create_with_strides (dk_dnnl.dnnl_memory_desc_create_with_strides)
#define dnnl_memory_desc_create_with_tag (dk_dnnl.dnnl_memory_desc_create_with_tag)
#define dnnl_matmul_primitive_desc_create (dk_dnnl.dnnl_matmul_primitive_desc_create)
#define dnnl_memory_desc_destroy (dk_dnnl.dnnl_memory_desc_destroy)
#define dnnl_memory_desc_init_by_strides (dk_dnnl.dnnl_memory_desc_init_by_strides)
#define dnnl_memory_desc_init_by_tag (dk_dnnl.dnnl_memory_desc_init_by_tag)
#define dnnl_matmul_desc_init (dk_dnnl.dnnl_matmul_desc_init)
#define dnnl_primitive_desc_create (dk_dnnl.dnnl_primitive_desc_create)
#endif

#endif
