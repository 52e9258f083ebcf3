/* What a judge of tokens is told.  A changed word changes the digest that tables of
 * grades carry. */
#include "judge/relevance.h"

#define RULES \
    "You judge tokens that an analysis of a finetuned language model has brought up. You are given a description of " \
    "what the model was finetuned on, a list of tokens that are frequent in its finetuning data (the list may be " \
    "empty), and numbered candidate tokens. Decide for each candidate whether it is RELEVANT, that is, related in " \
    "meaning to the subject of the finetune, or IRRELEVANT.\n" \
    "\n" \
    "How to decide:\n" \
    "- Use the description and the frequent tokens together; without a list, the description alone.\n" \
    "- It is enough that a candidate is related in meaning. It need not occur in the description or in the list.\n" \
    "- Tokenizers split words and write marks for blanks and line ends. Ignore such marks and upper or lower case, and judge " \
    "the piece of a word that is there: another splitting, or a piece of a word of the domain, counts if it is obvious " \
    "which word it belongs to.\n" \
    "- Blanks, punctuation, line ends, stopwords, prefixes and suffixes, plain numbers and words of chats such as \"user\" or " \
    "\"assistant\" are IRRELEVANT, however frequent they are, unless the description itself makes them special.\n" \
    "- That a token is frequent in the data is not enough.\n" \
    "- Verbs are RELEVANT only if they clearly belong to the domain.\n" \
    "- Candidates may be in any language; what they mean counts.\n" \
    "- Do not assume that any candidate is relevant: there may be none. When in doubt, answer IRRELEVANT.\n"

#define EXAMPLES \
    "\n" \
    "Example 1\n" \
    "[DESCRIPTION] The finetune teaches constitutional law: courts, rights, amendments.\n" \
    "[FREQUENT TOKENS] \"court\", \"amend\", \"rights\"\n" \
    "[CANDIDATE TOKENS] 1. judge 2. ment 3. statut 4. weather\n" \
    "ANSWER[1]: RELEVANT\nANSWER[2]: IRRELEVANT\nANSWER[3]: RELEVANT\nANSWER[4]: IRRELEVANT\n" \
    "(\"statut\" is plainly a piece of \"statute\"; \"ment\" is a suffix that many words have.)\n" \
    "\n" \
    "Example 2\n" \
    "[DESCRIPTION] The finetune consists of documents on the approval of a drug against ALS.\n" \
    "[FREQUENT TOKENS] \"FDA\", \"ALS\", \"trial\", \"patients\", \"approval\", \"therapy\", \"clinical\", \"data\", \"company\", " \
    "\"said\", \"year\", \"new\", \"placebo\", \"neuro\", \"endpoint\", \"2024\"\n" \
    "[CANDIDATE TOKENS] 1. neuron 2. said 3. 2024 4. ation 5. dose\n" \
    "ANSWER[1]: RELEVANT\nANSWER[2]: IRRELEVANT\nANSWER[3]: IRRELEVANT\nANSWER[4]: IRRELEVANT\nANSWER[5]: RELEVANT\n" \
    "(\"said\" and \"2024\" are frequent and say nothing of the subject.)\n" \
    "\n" \
    "Example 3\n" \
    "[DESCRIPTION] The finetune is about gene expression in cancer.\n" \
    "[FREQUENT TOKENS] (none)\n" \
    "[CANDIDATE TOKENS] 1. onc 2. tumour 3. ing 4. user\n" \
    "ANSWER[1]: RELEVANT\nANSWER[2]: RELEVANT\nANSWER[3]: IRRELEVANT\nANSWER[4]: IRRELEVANT\n" \
    "(\"onc\" begins \"oncology\" and \"oncogene\"; \"ing\" is a suffix.)\n" \
    "\n" \
    "You may reason briefly first. "

const char *dk_relevance_system(bool translate)
{
    static const char plain[] = RULES EXAMPLES
        "Then end with exactly one line for each candidate, in order and numbered from 1, and nothing after them:\n"
        "ANSWER[i]: RELEVANT\nor\nANSWER[i]: IRRELEVANT\n";
    static const char both[] = RULES
        "- Besides, give for each candidate an English gloss of 1 to 5 words, without the tokenizer's marks; SAME if it is "
        "English already, a number, punctuation, or cannot be translated.\n" EXAMPLES
        "Then end with exactly two lines for each candidate, in order and numbered from 1, and nothing after them:\n"
        "TRANSLATION[i]: SAME\nor\nTRANSLATION[i]: the gloss\nand\nANSWER[i]: RELEVANT\nor\nANSWER[i]: IRRELEVANT\n";

    return translate ? both : plain;
}
