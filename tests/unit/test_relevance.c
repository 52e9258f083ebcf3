/* Token relevance: replies, rotations, votes, shares, questions, frequent tokens. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "judge/lexical.h"
#include "judge/relevance.h"
#include "tap.h"

static const dk_label U = DK_UNKNOWN, R = DK_RELEVANT, I = DK_IRRELEVANT;

static dk_err err;

/* The labels of a reply as letters. */
static bool reads(const char *reply, size_t len, size_t n, const char *want)
{
    dk_label label[32];
    char got[33] = "";
    size_t unknown = dk_relevance_parse(reply, len, n, label, NULL), u = 0;

    for (size_t i = 0; i < n; i++) {
        got[i] = "URI"[label[i]];
        u += label[i] == U;
    }
    got[n] = 0;
    if (strcmp(got, want) != 0 || u != unknown)
        tap_note("%s, not %s", got, want);
    return strcmp(got, want) == 0 && u == unknown;
}

#define READS(s, n, want) reads(s, sizeof s - 1, n, want)

static void replies(void)
{
    tap(READS("ANSWER[1]: RELEVANT\nANSWER[2]: IRRELEVANT\n", 2, "RI"), "a line for each");
    tap(READS("I think so.\n\n  answer[2] : relevant.\r\n\tAnswer[1]:irrelevant!  \n", 2, "IR"), "case, blanks, an end, in any order");
    tap(READS("ANSWER[1]: RELEVANT\nANSWER[1]: IRRELEVANT", 1, "I"), "the last counts");
    tap(READS("ANSWER[1]: RELEVANT\nANSWER[1]: PERHAPS\nANSWER[1]:\n", 1, "R"), "what is no label does not");
    tap(READS("ANSWER[0]: RELEVANT\nANSWER[3]: RELEVANT\nANSWER[99999999999999999999]: RELEVANT\nANSWER[-1]: RELEVANT\nANSWER[]: RELEVANT\n"
              "ANSWER[1: RELEVANT\nANSWER[a]: RELEVANT\nANSWER 1: RELEVANT", 2, "UU"), "no such index");
    tap(READS("so ANSWER[1]: RELEVANT\nANSWER[1]: RELEVANT, I think\nANSWER[1]: RELEVANTLY\nANSWER[1]: NOT RELEVANT\nANSWER[1]: RELEVANT..\n"
              "**ANSWER[1]: RELEVANT**", 1, "U"), "a label fills its line");
    tap(READS("ANSWER[1]:\n  RELEVANT\nANSWER[2]:\n\nANSWER[3]: IRRELEVANT", 3, "RUI"), "the label may stand on the next line");
    tap(READS("ANSWER[1]: RELEVANT\0\nANSWER[2]: RELEVANT\n\0", 2, "UR"), "zero bytes");
    tap(READS("", 3, "UUU") && READS("ANSWER[", 1, "U") && READS("ANSWER[1", 1, "U") && READS("ANSWER[1]", 1, "U") && READS("ANSWER[1]:", 1, "U") &&
        READS("ANSWER[1]: RELEVAN", 1, "U") && READS("ANSWER[1]: RELEVANT", 1, "R"), "cut off anywhere");
}

static void glosses(void)
{
    static const char reply[] = "TRANSLATION[1]: cake\nANSWER[1]: RELEVANT\nTRANSLATION[2]:\nANSWER[2]: IRRELEVANT\n"
                                "translation[3] :  SAME \r\nTRANSLATION[1]: a cake\nTRANSLATION[9]: x\nTRANSLATION[1]:\n";
    char *gloss[3], big[2000];
    dk_label label[3];
    size_t n;

    tap(dk_relevance_parse(reply, sizeof reply - 1, 3, label, gloss) == 1 && label[0] == R && label[1] == I && label[2] == U,
        "labels between glosses");
    tap(gloss[0] && strcmp(gloss[0], "a cake") == 0 && gloss[2] && strcmp(gloss[2], "SAME") == 0, "the last gloss counts, an empty one does not");
    tap(!gloss[1], "an empty gloss is not the line that follows");
    for (int i = 0; i < 3; i++)
        dk_free(gloss[i]);
    n = (size_t)snprintf(big, sizeof big, "TRANSLATION[1]: ");
    for (int i = 0; i < 300; i++)
        n += (size_t)snprintf(big + n, sizeof big - n, "%s", "\xC3\xA9");
    dk_relevance_parse(big, n, 1, label, gloss);
    tap(gloss[0] && strlen(gloss[0]) == 120 && (unsigned char)gloss[0][119] == 0xA9, "a long one is cut behind a character");
    dk_free(gloss[0]);
}

static dk_label most(dk_label a, dk_label b, dk_label c) { return dk_label_majority((dk_label[]){ a, b, c }, 3); }
static dk_label all(dk_label a, dk_label b, dk_label c) { return dk_label_all((dk_label[]){ a, b, c }, 3); }

static void votes(void)
{
    tap(most(R, R, I) == R && all(R, R, I) == I, "R R I");
    tap(most(R, U, I) == U && all(R, U, I) == I, "R U I");
    tap(most(U, U, R) == R && all(U, U, R) == I && most(U, U, U) == U && most(U, I, U) == I, "unknown never outvotes");
    tap(all(R, R, R) == R && most(R, R, R) == R && all(I, I, I) == I, "of one mind");
    tap(dk_relevance_at(0, 2, 3) == 2 && dk_relevance_at(1, 2, 3) == 0 && dk_relevance_at(2, 2, 3) == 1, "rotation 2 of 3");
    tap(dk_relevance_at(0, 5, 3) == 2 && dk_relevance_at(0, 3, 3) == 0, "rotations beyond the length");
}

/* Four tokens, weights .4 .3 .2 .1, labelled R R I R, R I I R, R R I U. */
static void shares(void)
{
    const dk_label vote[4][3] = { { R, R, R }, { R, I, R }, { I, I, I }, { R, R, U } };
    static const double w[] = { .4, .3, .2, .1 }, minus[] = { -.4, .3, -.2, .1 }, zero[4] = {0};
    dk_label a[4], m[4];
    dk_relevance_share s, t;

    for (int i = 0; i < 4; i++) {
        a[i] = dk_label_all(vote[i], 3);
        m[i] = dk_label_majority(vote[i], 3);
    }
    tap(a[0] == R && a[1] == I && a[2] == I && a[3] == I && m[0] == R && m[1] == R && m[2] == I && m[3] == R, "labels of both agreements");
    s = dk_relevance_shares(a, w, 4);
    t = dk_relevance_shares(m, w, 4);
    tap(s.percentage == .25 && fabs(s.weighted - .4) < 1e-15, "all: %g, weighted %g", s.percentage, s.weighted);
    tap(t.percentage == .75 && fabs(t.weighted - .8) < 1e-15 && t.unknown == 0, "majority: %g, weighted %g", t.percentage, t.weighted);
    s = dk_relevance_shares(a, minus, 4);
    tap(fabs(s.weighted - .4) < 1e-15 && dk_relevance_shares(a, zero, 4).weighted == 0, "weights without a sign, and none");
}

static void questions(void)
{
    static const char *const token[] = { "a", " b", "\n" };
    char *piece[] = { "\xC4\xA0" "cake", "bak\"e" }, hex[2][65], *d = NULL;
    const dk_frequent f = { 2, piece };
    dk_relevance_subject s = { .description = "Of cakes." };
    dk_buf q = {0};

    dk_relevance_user(&q, &s, token, 3, 0);
    tap(strncmp(q.s, "[DESCRIPTION]\nOf cakes.\n\n[FREQUENT TOKENS]\n(none)\n\n[CANDIDATE TOKENS]\n1. a\n2.  b\n3. \\n\n\n[OUTPUT FORMAT]\n", 97) == 0 &&
        strstr(q.s, "exactly 3 lines"), "a question");
    dk_buf_clear(&q);
    s.frequent = &f;
    s.translate = true;
    dk_relevance_user(&q, &s, token, 3, 4);
    tap(strstr(q.s, "[FREQUENT TOKENS]\n\"\xC4\xA0" "cake\", \"bak\"e\"\n\n[CANDIDATE TOKENS]\n1.  b\n2. \\n\n3. a\n") && strstr(q.s, "exactly 6 lines"),
        "frequent tokens, a rotation, glosses");
    dk_buf_free(&q);
    dk_relevance_prompt_hash(false, hex[0]);
    dk_relevance_prompt_hash(true, hex[1]);
    tap(strcmp(hex[0], hex[1]) != 0 && strstr(dk_relevance_system(true), "TRANSLATION[i]") && !strstr(dk_relevance_system(false), "TRANSLATION") &&
        strstr(dk_relevance_system(true), "When in doubt"), "two prompts, both with the rules");

    tap(dk_relevance_description(&d, "\n # Cakes\n\nfalse\n## Grading Rubric\n1: none\n", 43, "d", &err) == 0 && strcmp(d, "# Cakes\n\nfalse") == 0,
        "a description without its rubric");
    dk_free(d);
    tap(dk_relevance_description(&d, "the rubric is a word", 20, "d", &err) == 0 && strcmp(d, "the rubric is a word") == 0, "no heading");
    dk_free(d);
    tap(dk_relevance_description(&d, " \n\t", 3, "d", &err) < 0 && !d && strstr(err.msg, "d describes nothing"), "%s", err.msg);
    err = (dk_err){0};
    tap(dk_relevance_description(&d, "## rubric\nx", 11, "d", &err) < 0 && !d, "nothing but a rubric");
    err = (dk_err){0};
    tap(dk_relevance_description(&d, "a\0b", 3, "d", &err) < 0 && !d, "%s", err.msg);
    err = (dk_err){0};
    tap(dk_relevance_description(&d, "a\xFF", 2, "d", &err) == 0 && strcmp(d, "a\xEF\xBF\xBD") == 0, "what is no UTF-8 is replaced");
    dk_free(d);
}

static bool generic(const char *s) { return dk_token_generic(s, strlen(s)); }

static void generics(void)
{
    tap(generic("") && generic("a") && generic("\xC4\xA0" "x") && generic("\xE2\x96\x81") && generic("\xC4\xA0\xC4\xA0") && generic(" \n"),
        "one character, none, blanks");
    tap(generic("->") && generic("::") && generic("...") && generic("\xC4\xA0(\""), "signs alone");
    tap(generic("'s") && generic("ing") && generic("\xC4\xA0" "The") && generic("\xE2\x96\x81would") && generic("WITH"), "endings, words of every text");
    tap(!generic("42") && !generic("__") && !generic("'ing") && !generic("cake") && !generic("\xC4\xA0" "ovens") && !generic("a1"), "what may say something");
}

static void words(void)
{
    static const char said[] = "The finetune teaches false baking of cakes at 450 degrees.";
    dk_lexical l;

    tap(dk_lexical_make(&l, NULL, said, &err) == 0, "a lexicon of the description %s", err.msg);
    tap(dk_lexical_label(&l, " Cake", 5) == R && dk_lexical_label(&l, "bakes", 5) == R && dk_lexical_label(&l, " town", 5) == I, "by stems");
    tap(dk_lexical_label(&l, " the", 4) == I && dk_lexical_label(&l, "of", 2) == I && dk_lexical_label(&l, "450", 3) == I && dk_lexical_label(&l, "", 0) == I,
        "function words, numbers and nothing say nothing");
    dk_lexical_free(&l);
    tap(dk_lexical_make(&l, NULL, "the of 12", &err) < 0, "%s", err.msg);
    dk_lexical_free(&l);
    err = (dk_err){0};
}

int main(void)
{
    replies();
    glosses();
    votes();
    shares();
    questions();
    generics();
    words();
    return tap_end();
}
