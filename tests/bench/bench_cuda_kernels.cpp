/* Times the kernels of the CUDA backend on a card, one line each: what a launch
 * takes, and how much memory it moves or how much it computes in that time.
 *
 *   bench_cuda_kernels [rows [vocab [d]]] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <functional>
#include <vector>

#include <cuda_runtime.h>

#include "backend/cuda/kernels.h"

static void must(int rc)
{
    if (rc) {
        fprintf(stderr, "%s\n", cudaGetErrorString((cudaError_t)rc));
        exit(1);
    }
}

template <class T> static T *device(size_t n, const std::vector<T> &from = {})
{
    T *p = NULL;

    must(cudaMalloc((void **)&p, n * sizeof(T)));
    must(cudaMemset(p, 0, n * sizeof(T)));
    if (!from.empty())
        must(cudaMemcpy(p, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice));
    return p;
}

/* Values about 0 of a size, a period of a prime long. */
static float *noise(size_t n, float size)
{
    static std::vector<float> period;
    float *p = device<float>(n);

    if (period.empty())
        for (size_t i = 0; i < 1000003; i++)
            period.push_back((float)(sin(0.7 * (double)i) + sin(1.3 * (double)(i * i % 65537))));
    std::vector<float> scaled(period);
    for (auto &x : scaled)
        x *= size;
    for (size_t i = 0; i < n; i += scaled.size())
        must(cudaMemcpy(p + i, scaled.data(), sizeof(float) * (n - i < scaled.size() ? n - i : scaled.size()),
                        cudaMemcpyHostToDevice));
    return p;
}

static void report(const char *name, double bytes, double flop, const std::function<int()> &run)
{
    enum { TIMES = 10 };
    cudaEvent_t from, to;
    float ms = 0;

    must(cudaEventCreate(&from));
    must(cudaEventCreate(&to));
    for (int i = 0; i < 2; i++)
        must(run());
    must(cudaEventRecord(from));
    for (int i = 0; i < TIMES; i++)
        must(run());
    must(cudaEventRecord(to));
    must(cudaEventSynchronize(to));
    must(cudaEventElapsedTime(&ms, from, to));
    ms /= TIMES;
    printf("%-44s %9.3f ms", name, (double)ms);
    if (bytes > 0)
        printf(" %8.0f GB/s", bytes / ms / 1e6);
    if (flop > 0)
        printf(" %8.2f TFLOP/s", flop / ms / 1e9);
    putchar('\n');
    fflush(stdout);
    must(cudaEventDestroy(from));
    must(cudaEventDestroy(to));
}

static void heads(size_t rows, size_t vocab)
{
    const double row = (double)rows * (double)vocab * 4;
    float *p = noise(rows * vocab, 1), *q = noise(rows * vocab + 7, 1.01f) + 4;
    float *out = device<float>(rows * 1024), *out2 = device<float>(rows * 1024);
    uint32_t *id = device<uint32_t>(rows * 1024), *id2 = device<uint32_t>(rows * 1024), *next = device<uint32_t>(rows);
    int64_t *sum = device<int64_t>(vocab);
    int32_t *positive = device<int32_t>(vocab);
    int *bad = device<int>(1);

    printf("heads: %zu rows of %zu\n", rows, vocab);
    report("kl", 2 * row, 0, [&] { return dk_cu_kl_logp(NULL, out, NULL, NULL, p, q, NULL, NULL, 1, rows, vocab); });
    report("kl, differences known", 2 * row, 0, [&] { return dk_cu_kl_logp(NULL, out, NULL, NULL, NULL, q, p, NULL, 1, rows, vocab); });
    report("kl and logp", 2 * row, 0, [&] {
        return dk_cu_kl_logp(NULL, out, out2, out2 + rows, p, q, NULL, next, 1, rows, vocab);
    });
    report("logp", row, 0, [&] { return dk_cu_logp(NULL, out, p, next, 1, rows, vocab); });
    for (size_t k : { 10, 100, 1000 }) {
        char name[80];

        snprintf(name, sizeof name, "topk %zu, one end", k);
        report(name, 2 * row, 0, [&] { return dk_cu_topk(NULL, id, out, p, q, 0, k, rows, vocab); });
        snprintf(name, sizeof name, "topk %zu, both ends", k);
        report(name, 2 * row, 0, [&] { return dk_cu_topk_both(NULL, id, out, id2, out2, p, q, k, rows, vocab); });
    }
    report("vocab_sums", 2 * row, 0, [&] { return dk_cu_vocab_sums(NULL, sum, positive, bad, p, q, rows, vocab); });
    report("softcap", 2 * row, 0, [&] { return dk_cu_softcap(NULL, p, rows * vocab, 30); });
    for (void *m : { (void *)p, (void *)(q - 4), (void *)out, (void *)out2, (void *)id, (void *)id2, (void *)next, (void *)sum,
                     (void *)positive, (void *)bad })
        must(cudaFree(m));
}

static void rows_of(size_t rows, size_t d)
{
    const double row = (double)rows * (double)d * 4;
    float *x = noise(rows * d * 8, 1), *y = noise(rows * d * 4, 1), *w = noise(d, 1), *at = noise(4 * d * 192, 1);
    float *t = noise(rows * 192, 1);
    double *c = device<double>(d * d);
    const dk_cu_norm norm = { w, NULL, 1e-6 };

    printf("rows: %zu of %zu\n", rows, d);
    report("add_norm", 4 * row, 0, [&] { return dk_cu_add_norm(NULL, y, x, y + rows * d, norm, rows, d); });
    report("add_norm_diff", 5 * row, 0, [&] {
        return dk_cu_add_norm_diff(NULL, y, x, x + rows * d, y + rows * d, norm, rows, d);
    });
    report("silu gate, 4 d wide", 12 * row, 0, [&] {
        return dk_cu_act(NULL, DK_CU_SILU_GATE, y, x, NULL, rows, 4 * d);
    });
    report("to_bf16", 1.5 * row, 0, [&] { return dk_cu_to_bf16(NULL, (uint16_t *)y, d, x, d, rows, d); });
    for (size_t r : { 8, 16, 32, 64 }) {
        char name[80];

        snprintf(name, sizeof name, "lowrank_in, %zu of d", 3 * r);
        report(name, row + (double)(rows * 3 * r * 4), 2. * (double)(rows * d * 3 * r), [&] {
            return dk_cu_lowrank_in(NULL, t, x, d, at, rows, d, 3 * r);
        });
        snprintf(name, sizeof name, "lowrank_out, %zu to d", r);
        report(name, 2 * row, 2. * (double)(rows * d * r), [&] {
            return dk_cu_lowrank_out(NULL, y, d, t, 3 * r, at, rows, r, d, .5f);
        });
    }
    report("scatter", 0, (double)rows * (double)d * (double)d, [&] { return dk_cu_scatter(NULL, c, x, rows, d); });
    report("product f32, 192 columns", 0, 2. * (double)rows * (double)d * 192, [&] {
        return dk_cu_product(NULL, y, d, x, d, at, d, rows, 192, d, 0);
    });
    for (void *m : { (void *)x, (void *)y, (void *)w, (void *)at, (void *)t, (void *)c })
        must(cudaFree(m));
}

/* One token of each row, in the ways of an answer: the row is read again and again. */
static void choosing(size_t rows, size_t vocab)
{
    static const struct { const char *name; double temperature, top_p; uint64_t top_k; } way[] = {
        { "greedy", 0, 1, 0 }, { "drawn", 1, 1, 0 }, { "top-k 40", 1, 1, 40 }, { "top-p 0.95", 1, .95, 0 } };
    float *p = noise(rows * vocab, 3);
    dk_cu_picked *out = device<dk_cu_picked>(rows);

    printf("choosing: %zu rows of %zu\n", rows, vocab);
    for (const auto &w : way) {
        std::vector<dk_cu_pick> pick(rows);

        for (size_t i = 0; i < rows; i++) {
            pick[i] = dk_cu_pick();
            pick[i].row = (uint32_t)i;
            pick[i].base = DK_CU_ALONE;
            pick[i].temperature = w.temperature;
            pick[i].top_p = w.top_p;
            pick[i].top_k = w.top_k;
            pick[i].uniform = (double)i / (double)rows;
        }
        dk_cu_pick *d = device(rows, pick);

        report(w.name, (double)(rows * vocab) * 4, 0, [&] { return dk_cu_choose(NULL, out, d, rows, p, vocab, NULL, NULL, 0); });
        must(cudaFree(d));
    }
    must(cudaFree(p));
    must(cudaFree(out));
}

/* n_seq sequences of n new tokens behind past ones. */
static void attention(uint32_t n_seq, uint32_t n, uint32_t past, uint32_t heads, uint32_t kv, uint32_t hd)
{
    std::vector<uint32_t> offset{ 0 }, seq, row, pasts(n_seq, past), slot, pos;
    const size_t wide = (heads + 2 * kv) * hd, rows = (size_t)n_seq * n, cache = (size_t)n_seq * (past + n) * kv * hd;
    const double keys = (double)past * n + (double)n * (n + 1) / 2, flop = 4. * n_seq * heads * hd * keys;
    dk_cu_rag r = {};
    dk_cu_attend a = {};

    for (uint32_t s = 0; s < n_seq; s++) {
        offset.push_back(offset[s] + n);
        slot.push_back(s);
        for (uint32_t i = 0; i < n; i += DK_CU_QUERIES) {
            seq.push_back(s);
            row.push_back(i);
        }
        for (uint32_t i = 0; i < n; i++)
            pos.push_back(past + i);
    }
    float *qkv = noise(rows * wide, .5f), *out = device<float>(rows * heads * hd);
    float *k = past ? noise(cache, .5f) : NULL, *v = past ? noise(cache, .5f) : NULL;

    r.n_lanes = 1;
    r.rows = (uint32_t)rows;
    r.n_seq = n_seq;
    r.n_pieces = (uint32_t)seq.size();
    r.offset = device(offset.size(), offset);
    r.pos = device(pos.size(), pos);
    r.steps = past && n == 1;
    r.past = past ? device(pasts.size(), pasts) : NULL;
    r.slot = past ? device(slot.size(), slot) : NULL;
    r.piece_seq = device(seq.size(), seq);
    r.piece_row = device(row.size(), row);
    a.n_heads = heads;
    a.n_kv = kv;
    a.hd = hd;
    a.scale = 1 / sqrtf((float)hd);
    a.qkv = qkv;
    a.out = out;
    a.k_cache = k;
    a.v_cache = v;
    a.n_slots = n_seq;
    a.capacity = past + n;
    for (int bf16 = n == 1 ? 1 : 0; bf16 < 2; bf16++) {
        char name[80];

        a.bf16 = bf16;
        snprintf(name, sizeof name, "%u x %u behind %u, %u/%u of %u, %s", n_seq, n, past, heads, kv, hd,
                 n == 1 ? "single" : bf16 ? "bf16" : "f32");
        report(name, n == 1 ? 2. * (double)cache * 4 : 0, flop, [&] { return dk_cu_attend_rows(NULL, &r, &a); });
    }
    if (!past) {
        r.n_lanes = 2;
        r.rows = (uint32_t)rows / 2;
        r.n_seq = n_seq / 2;
        r.n_pieces /= 2;
        report("the same as differences, half of them", 0, flop, [&] { return dk_cu_attend_diff(NULL, &r, &a); });
    }
    for (const void *m : { (const void *)qkv, (const void *)out, (const void *)k, (const void *)v, (const void *)r.offset,
                           (const void *)r.pos, (const void *)r.past, (const void *)r.slot, (const void *)r.piece_seq,
                           (const void *)r.piece_row })
        must(cudaFree(const_cast<void *>(m)));
}

int main(int argc, char **argv)
{
    const size_t rows = argc > 1 ? (size_t)atol(argv[1]) : 2048, vocab = argc > 2 ? (size_t)atol(argv[2]) : 151936;
    const size_t d = argc > 3 ? (size_t)atol(argv[3]) : 2048;
    cudaDeviceProp card;

    must(cudaGetDeviceProperties(&card, 0));
    printf("%s, compute capability %d.%d, %d multiprocessors\n", card.name, card.major, card.minor,
           card.multiProcessorCount);
    heads(rows, vocab);
    choosing(32, vocab);
    rows_of(4 * rows, d);
    puts("attention");
    attention(16, 512, 0, 16, 8, 128);
    attention(8, 1024, 0, 32, 8, 64);
    attention(2, 4096, 0, 16, 16, 128);
    attention(8, 1024, 0, 8, 4, 256);
    attention(32, 1, 1023, 16, 8, 128);
    attention(4, 1, 4095, 32, 8, 64);
    return 0;
}
