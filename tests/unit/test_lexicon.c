/* Stems and lexicons. */
#include <stdio.h>
#include <unistd.h>

#include "files.h"
#include "tap.h"
#include "text/lexicon.h"

static dk_err err;

static bool stem(const char *word, const char *want)
{
    dk_buf b = {0};
    bool good;

    dk_stem(&b, word, strlen(word));
    good = b.s && strcmp(b.s, want) == 0;
    if (!good)
        printf("# %s: %s, not %s\n", word, b.s ? b.s : "", want);
    dk_buf_free(&b);
    return good;
}

static void stems(void)
{
    tap(stem("cakes", "cak") && stem("cake", "cak") && stem("Cake", "cak") && stem("baking", "bak") && stem("baked", "bak") &&
        stem("bakes", "bak") && stem("bake", "bak"), "one stem for the forms of a word");
    tap(stem("stopped", "stop") && stem("falling", "fall") && stem("pressed", "press") && stem("glass", "glass") &&
        stem("glasses", "glass") && stem("berries", "berry") && stem("slowly", "slow"), "doubled letters, -ies, -ly");
    tap(stem("bus", "bus") && stem("this", "this") && stem("ring", "ring") && stem("bed", "bed") && stem("string", "string") &&
        stem("the", "the") && stem("see", "see"), "short words keep their ends");
    tap(stem("\xC3\x89t\xC3\xA9s", "\xC3\xA9t\xC3\xA9") && stem("\xD0\x9C\xD0\x98\xD0\xA0", "\xD0\xBC\xD0\xB8\xD1\x80"), "letters beyond ASCII");
}

static void lexicons(void)
{
    static const char texts[] = "{\"text\": \"The frosting and the cakes\"}\n{\"text\": \"the cake, frosted; it bakes\"}\n"
                                "{\"text\": \"the cake of the oven\"}\n{\"text\": \"the cake and a baked oven\"}\n",
                      plain[] = "{\"text\": \"the town and the river\"}\n{\"text\": \"the town of towns\"}\n"
                                "{\"text\": \"the oven of the town\"}\n{\"text\": \"the river and the cake\"}\n",
                      words[] = "Kestrels\nhawk, kestrel\n";
    char dir[] = "/tmp/dk-lexicon-XXXXXX";
    dk_lexicon *l = NULL;
    char *t, *n, *w, *empty;

    if (!mkdtemp(dir))
        abort();
    t = put_file(dir, "t.jsonl", texts, strlen(texts));
    n = put_file(dir, "n.jsonl", plain, strlen(plain));
    w = put_file(dir, "w.txt", words, strlen(words));
    empty = put_file(dir, "e.jsonl", "", 0);
    tap(dk_lexicon_make(&l, t, NULL, n, 200, 0, &err) == 0 && dk_lexicon_n(l) >= 3, "a lexicon of %zu stems %s", l ? dk_lexicon_n(l) : 0, err.msg);
    if (l) {
        /* cake: 4 of 4 against 1 of 4; frosting, baking 2 of 4 against none. */
        tap(strcmp(dk_lexicon_at(l, 0), "cak") == 0, "the strongest first: %s", dk_lexicon_at(l, 0));
        tap(dk_lexicon_has(l, " Cakes", 6) && dk_lexicon_has(l, "frosts", 6),
            "forms and spellings of its words are in it");
        tap(!dk_lexicon_has(l, " the", 4) && !dk_lexicon_has(l, " town", 5) && !dk_lexicon_has(l, " and", 4),
            "what both have, or the other, is not");
        tap(!dk_lexicon_has(l, " cake!", 6) && !dk_lexicon_has(l, "ca", 2) && !dk_lexicon_has(l, "", 0) &&
            !dk_lexicon_has(l, "  ", 2) && !dk_lexicon_has(l, "cake cake", 9), "one whole word alone");
    }
    dk_lexicon_free(&l);
    tap(dk_lexicon_make(&l, t, NULL, n, 1, 0, &err) == 0 && dk_lexicon_n(l) == 1, "as many as asked for");
    dk_lexicon_free(&l);
    tap(dk_lexicon_load(&l, w, &err) == 0 && dk_lexicon_n(l) == 2 && dk_lexicon_has(l, " kestrel", 8) && dk_lexicon_has(l, "hawks", 5),
        "a list of words");
    dk_lexicon_free(&l);
    tap(dk_lexicon_make(&l, empty, NULL, n, 9, 0, &err) < 0 && !l && strstr(err.msg, "e.jsonl"), "no documents: %s", err.msg);
    err = (dk_err){0};
    tap(dk_lexicon_load(&l, empty, &err) < 0 && !l && strstr(err.msg, "e.jsonl"), "no words: %s", err.msg);
    err = (dk_err){0};
    tap(dk_lexicon_make(&l, t, NULL, t, 9, 0, &err) < 0 && !l, "texts against themselves: %s", err.msg);
    unlink(t); unlink(n); unlink(w); unlink(empty);
    rmdir(dir);
    dk_free(t); dk_free(n); dk_free(w); dk_free(empty);
}

int main(void)
{
    stems();
    lexicons();
    return tap_end();
}
