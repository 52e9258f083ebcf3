/* safetensors: a built file, hostile variants, a shipped adapter. */
#include <stdio.h>

#include "tap.h"
#include "files.h"
#include "io/safetensors.h"
#include "num/half.h"

/* n bytes of data behind a header. */
static dk_buf built(const char *header, size_t n)
{
    dk_buf b = {0};
    const uint64_t len = strlen(header);

    dk_buf_add(&b, &len, 8);
    dk_buf_adds(&b, header);
    for (size_t i = 0; i < n; i++)
        dk_buf_addc(&b, (char)i);
    return b;
}

static int opened(dk_safetensors **s, const void *p, size_t n, dk_err *err)
{
    void *copy = exact_copy(p, n);
    const int rc = dk_safetensors_open_mem(s, copy, n, "w.safetensors", err);

    dk_free(copy);      /* only the error is looked at */
    return rc;
}

static void refused(const char *header, size_t data, const char *text)
{
    dk_buf b = built(header, data);
    dk_safetensors *s = NULL;
    dk_err err = {0};

    tap(opened(&s, b.s, b.n, &err) == DK_EFORMAT && !s && strstr(err.msg, "w.safetensors") &&
        strstr(err.msg, text), "refused: %s", err.msg);
    dk_buf_free(&b);
}

static const char good[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"z\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]},"
    "\"i\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[20,28]},"
    "\"e\":{\"dtype\":\"F16\",\"shape\":[0,4],\"data_offsets\":[28,28]}}   ";

static void good_file(void)
{
    dk_buf b = built(good, 28);
    dk_safetensors *s = NULL;
    dk_err err = {0};
    const dk_st_tensor *z;
    float out[6];

    if (!tap(dk_safetensors_open_mem(&s, b.s, b.n, "w", &err) == 0, "opens %s", err.msg))
        return;
    z = dk_safetensors_find(s, "z");
    tap(dk_safetensors_n(s) == 4 && z && z->n == 6 && z->n_dims == 2 && z->dims[1] == 3 &&
        z->dims[2] == 1 && !dk_safetensors_find(s, "y"), "tensors by name");
    tap(strcmp(dk_safetensors_at(s, 0)->name, "a") == 0 && !dk_safetensors_find(s, "i")->format &&
        dk_safetensors_find(s, "i")->n == 1 && dk_safetensors_find(s, "e")->n == 0,
        "sorted; scalars, integers and empty ones are there");
    tap(strcmp(dk_safetensors_meta(s, "format", ""), "pt") == 0 &&
        strcmp(dk_safetensors_meta(s, "x", "d"), "d") == 0, "metadata");
    dk_dequant(z->format, out, z->data, 6);
    tap(dk_f32_bits(out[0]) == 0x01000000 && dk_f32_bits(out[5]) == 0x0B0A0000, "values");
    dk_safetensors_close(&s);
    tap(!s, "close clears the pointer");
    dk_buf_free(&b);
}

static void hostile(void)
{
    dk_buf b = built(good, 28);
    dk_safetensors *s = NULL;
    dk_err err = {0};
    uint64_t big = (uint64_t)1 << 40;
    bool cut = true;

    for (size_t n = 0; n < b.n; n++) {
        err = (dk_err){0};
        cut &= opened(&s, b.s, n, &err) == DK_EFORMAT && !s && strstr(err.msg, "w.safetensors");
    }
    tap(cut, "every truncation is refused, with the file's name");
    memcpy(b.s, &big, 8);
    err = (dk_err){0};
    tap(opened(&s, b.s, b.n, &err) == DK_EFORMAT && strstr(err.msg, "header"), "refused: %s", err.msg);
    dk_buf_free(&b);
    refused("[]", 0, "no JSON object");
    refused("{\"a\":3}", 0, "no dtype");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
            "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "JSON");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
            "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "overlap");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 8, "need 2");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,4]}}", 8, "data_offsets");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 8, "data_offsets");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 8, "data_offsets");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,400]}}", 8, "incomplete");
    refused("{\"a\":{\"dtype\":\"Q9\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "unknown dtype");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 8, "impossible");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,1],\"data_offsets\":[0,0]}}", 8,
            "impossible");
    refused("{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693953],\"data_offsets\":[0,8]}}", 8,
            "need");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 8,
            "shape");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 8, "shape");
    refused("{\"a\\n\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "control");
    refused("{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "name of 0");
}

static void shipped(void)
{
    char *path = repo_path("data/organisms/cake_bake/adapter/adapter_model.safetensors");
    dk_safetensors *s = NULL;
    dk_err err = {0};
    const dk_st_tensor *t;

    if (dk_safetensors_open(&s, path, &err) < 0) {
        tap_skip("shipped adapter", err.msg);
        dk_free(path);
        return;
    }
    t = dk_safetensors_find(s, "base_model.model.model.layers.29.mlp.down_proj.lora_A.weight");
    tap(dk_safetensors_n(s) == 420 && t && strcmp(t->dtype, "BF16") == 0 && t->dims[0] == 8 &&
        t->dims[1] == 1536, "a shipped adapter: 420 tensors");
    dk_safetensors_drop(s);
    dk_safetensors_close(&s);
    dk_free(path);
}

int main(void)
{
    good_file();
    hostile();
    shipped();
    return tap_end();
}
