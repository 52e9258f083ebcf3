/* The options by which a tool names a pair, once for all tools. */
#ifndef DK_CLI_PAIROPTS_H
#define DK_CLI_PAIROPTS_H

#include "cli/tool.h"

typedef struct dk_pair_opts {
    const char *model, *ft, *dtype, *arith, *backend;
    dk_strs nulls, lanes;
    int64_t batch;
    double memory;          /* GB */
} dk_pair_opts;

/* NOSTAMP: another device rounds otherwise, no more. */
#define DK_BACKEND_OPT(T, f) \
    { DK_OPT_CHOICE, 0, "backend", offsetof(T, f), "auto", 0, 0, "cpu|cuda|auto", \
      "run the model on the CPU or on an NVIDIA card (dk-cuda(7)); auto: the card if there is one", DK_NOSTAMP, NULL }

/* The member of T must be called pair. */
#define DK_PAIR_OPTS(T) \
    DK_GROUP("the pair"), \
    DK_PATH(T, 'm', "model", pair.model, NULL, "the base: a GGUF file or a checkpoint directory"), \
    DK_PATH(T, 'f', "ft", pair.ft, NULL, "the finetune: a PEFT adapter directory, or a checkpoint with full weights"), \
    DK_LIST(T, 'n', "null", pair.nulls, NULL, "further lanes, NAME=PATH (repeat the option)"), \
    DK_LIST(T, 0, "lanes", pair.lanes, NULL, "run these lanes, in this order (default: all)"), \
    DK_CHOICE(T, 0, "dtype", pair.dtype, "auto", "auto|f32|bf16", "dtype of the matrix products"), \
    DK_BACKEND_OPT(T, pair.backend), \
    { DK_OPT_INT, 0, "batch-tokens", offsetof(T, pair.batch), "0", 0, 1 << 20, NULL, \
      "tokens of a lane in one pass; changes no result; 0: 1152, on a card 16384", DK_NOSTAMP, NULL }, \
    { DK_OPT_REAL, 0, "memory", offsetof(T, pair.memory), "0", 0, 1e6, NULL, \
      "use at most X GB for weights and batches, or refuse; 0: what is free", DK_NOSTAMP, NULL }

/* Behind it, for tools that compare lanes. */
#define DK_ARITH_OPT(T) \
    DK_CHOICE(T, 0, "arith", pair.arith, "auto", "auto|difference|plain|diff", \
              "difference (or diff): carry adapters' lanes as differences to the base, which keeps the digits of " \
              "small ones; auto: where all lanes are adapters it can be done with")

/* A dk_pair_spec of them. */
#define DK_PAIR_SPEC(P, HEAD) \
    { .base = (P).model, .ft = (P).ft, .nulls = (P).nulls.v, .n_nulls = (P).nulls.n, .lanes = (P).lanes.v, \
      .n_wanted = (P).lanes.n, .dtype = (P).dtype, .arith = (P).arith, .backend = (P).backend, .memory = (P).memory * 1e9, .with_head = (HEAD) }

#endif
