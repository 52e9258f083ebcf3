/* The inside of a run of checks: shared by check*.c, by nobody else. */
#ifndef DK_METHOD_CHECKRUN_H
#define DK_METHOD_CHECKRUN_H

#include "method/check.h"
#include "text/tokenizer.h"

/* The tensors of a finetune with weights of its own, against the base's. */
typedef struct dk_check_tally {
    size_t n, equal, lacking;       /* n 0: not counted yet */
    size_t maps;            /* matrices of blocks that differ */
    int first;              /* layer of the first that differs; -1: the embedding; -2: none */
    char types[128];        /* how the two are stored, where that differs */
} dk_check_tally;

/* What is known of a lane's finetune before any pass. */
typedef struct dk_check_lane {
    char *refused;          /* why it cannot be used, or NULL */
    bool full;              /* the finetune is a weight set of its own, not an adapter */
    dk_check_tally tally;   /* then, after dk_check_compare */
    bool usable;            /* may run in a lane */
    bool empty;             /* no module with both A and B not zero */
    bool no_scale;          /* no module has a scale other than 0 */
    bool ends;              /* the adapter changes embedding or unembedding */
    int first;              /* layer of the first module that has an effect; -1: none */
    const dk_adapter_module *module;    /* that module, or NULL */
} dk_check_lane;

/* What the probe pass measures in a lane. */
typedef struct dk_check_probe {
    double *diff;           /* [layer + 1] largest |lane - base| of the residual stream; 0: embedding */
    double nll, kl;         /* means */
    size_t n_nll, n_kl;
    int bad_layer;          /* first one whose output is not finite, -1 the embedding, */
    size_t bad_text, bad_pos;
    bool bad, bad_head;     /* bad_head: a log-probability that is not finite */
} dk_check_probe;

/* What the passes of checkengine.c find in a lane: how many values are not as
 * they should be, the first layer of them, the largest relative gap. */
typedef struct dk_check_engine {
    struct { size_t n; int layer; } in;                         /* L1 */
    struct { double gap; int layer; } sum;                      /* L2 */
    size_t head;                                                /* L3 */
    struct { size_t n, at, pos; int layer; bool changed; } edit;    /* L4; n: rows of layers */
    struct { size_t n; const char *how; } batch;                /* E1 */
    double cache;                                               /* E2 */
    double size, want, floor;           /* A5: mean norms; relative rounding of what was measured */
} dk_check_engine;

typedef struct dk_check {
    const dk_check_spec *spec;
    dk_model_config config;
    dk_pair pair;                       /* model NULL if no check needs weights */
    dk_check_lane lane[DK_MAX_LANES];
    dk_tokenizer *tokenizer;            /* NULL: none, or refused */
    char *tokenizer_refused;            /* why; NULL with tokenizer NULL: there is none */
    size_t offset[DK_PROBE_TEXTS + 1];
    uint32_t *ids;                      /* [offset[DK_PROBE_TEXTS]] */
    bool real_text;                     /* ids are the probe texts, not a stand-in */
    dk_check_probe probe[DK_MAX_LANES];
    bool probed;
    dk_check_engine engine[DK_MAX_LANES];
    bool tried;                         /* engine holds numbers */
    char *weights_refused;              /* the base holds NaN: no passes */
} dk_check;

/* Top-1 ids of a model on fixed tokens, and their log-probabilities. */
enum { DK_GOLD_TOKENS = 32 };
typedef struct dk_check_gold {
    const char *sha256;                 /* of the weights */
    size_t n_layers, d_model, vocab;    /* others are not hashed */
    size_t n;
    uint32_t id[DK_GOLD_TOKENS], top[DK_GOLD_TOKENS];
    float logp[DK_GOLD_TOKENS];
} dk_check_gold;

/* What is stored of these weights: NULL with rc 0 for nothing. */
int dk_check_gold_of(const dk_check_gold **out, dk_checkpoint *weights, dk_err *err);

/* Sets status and detail. */
void dk_check_say(dk_check_row *row, dk_check_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* One check of one lane (0: the base).  value and limit are NaN at entry. */
typedef int dk_check_fn(dk_check *c, size_t lane, dk_check_row *row, dk_err *err);
dk_check_fn dk_check_a1, dk_check_a2, dk_check_a3, dk_check_a4, dk_check_a5, dk_check_a6, dk_check_a7,
            dk_check_a8, dk_check_e1, dk_check_e2, dk_check_g1, dk_check_g2, dk_check_l1, dk_check_l2,
            dk_check_l3, dk_check_l4, dk_check_l5, dk_check_s1, dk_check_t1, dk_check_t2, dk_check_t3,
            dk_check_t4;

/* Opens the finetune of a lane and looks at it. */
int dk_check_inspect(dk_check *c, size_t lane, dk_err *err);
int dk_check_inspect_full(dk_check *c, size_t lane, dk_err *err);
/* Loads the weights of a full finetune; the base's are there. */
int dk_check_load_full(dk_check *c, size_t lane, const dk_model_how *how, dk_err *err);
/* Counts its tensors, once. */
int dk_check_compare(dk_check *c, size_t lane, dk_err *err);
/* A4 of such a lane, which can be run. */
dk_check_fn dk_check_a4_full;
/* Says of a full finetune that a check is about adapters; false: it is one. */
bool dk_check_no_adapter(const dk_check *c, size_t lane, dk_check_row *row);
/* Opens the base's tokenizer and encodes the probe texts. */
int dk_check_encode(dk_check *c, dk_err *err);
/* The probe texts through all usable lanes; once. */
int dk_check_pass(dk_check *c, dk_err *err);
/* A few tokens through all fit lanes, in several ways; after dk_check_pass. */
int dk_check_try_engine(dk_check *c, dk_err *err);

/* Why a lane cannot be run, or NULL. */
const char *dk_check_unfit(const dk_check *c, size_t lane);
/* The same, and why its adapter can have no effect. */
const char *dk_check_powerless(const dk_check *c, size_t lane);
/* Logits of every row of a batch, in one lane. */
int dk_check_logits(float **out, const dk_model *m, const dk_lane *lane, const dk_batch *b, dk_err *err);
/* How many values differ in any bit. */
size_t dk_check_differing(const float *x, const float *y, size_t n);

#endif
