/* Help texts. */
#include "cli/help.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *metavar(const dk_opt *o)
{
    switch (o->kind) {
    case DK_OPT_INT: return "N";
    case DK_OPT_REAL: return "X";
    case DK_OPT_PATH: return "FILE";
    case DK_OPT_CHOICE: return o->choices;
    case DK_OPT_LIST: return "LIST";
    case DK_OPT_STR: return "TEXT";
    default: return "";
    }
}

static void one(const dk_opt *o)
{
    char left[160], letter[8] = "    ";

    if (o->kind == DK_OPT_GROUP) {
        printf("\n%s:\n", o->name);
        return;
    }
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "  %s--%s %s", letter, o->name, metavar(o));
    printf("%-32s%s%s", left, strlen(left) > 31 ? "\n                                " : "", o->help);
    if (o->def && o->kind != DK_OPT_FLAG)
        printf(" [%s]", o->def);
    putchar('\n');
}

static void text(const dk_tool *tool)
{
    printf("usage: %s %s\n%s\n", tool->name, tool->usage, tool->purpose);
    if (tool->opts->kind != DK_OPT_GROUP && tool->opts->kind != DK_OPT_END)
        printf("\noptions:\n");
    for (const dk_opt *o = tool->opts; o->kind != DK_OPT_END; o++)
        one(o);
    for (const dk_opt *o = dk_opts_common(); o->kind != DK_OPT_END; o++)
        one(o);
    printf("  -q, -v, -vv                   say less, more, most\n"
           "  -h, --help    -V, --version   --stamp: print every value that shapes the result\n"
           "\nSee also: man %s\n", tool->name);
}

/* In man(7), a hyphen that is typed is \- and a line must not begin with a dot. */
static void roff(const char *s)
{
    for (; *s; s++)
        if (*s == '-')
            fputs("\\-", stdout);
        else if (*s == '\\')
            fputs("\\e", stdout);
        else
            putchar(*s);
}

static void man_one(const dk_opt *o)
{
    if (o->kind == DK_OPT_GROUP) {
        fputs(".SS ", stdout);
        roff(o->name);
        putchar('\n');
        return;
    }
    printf(".TP\n");
    if (o->letter)
        printf("\\fB\\-%c\\fR, ", o->letter);
    printf("\\fB\\-\\-");
    roff(o->name);
    printf("\\fR");
    if (o->kind != DK_OPT_FLAG) {
        printf(" \\fI");
        roff(metavar(o));
        printf("\\fR");
    }
    putchar('\n');
    roff(o->help);
    if (o->def && o->kind != DK_OPT_FLAG) {
        printf(" (default: ");
        roff(o->def);
        putchar(')');
    }
    printf(".\n");
    if (o->key) {
        printf("Configuration key: ");
        roff(o->key);
        printf(".\n");
    }
}

static void man(const dk_tool *tool)
{
    for (const dk_opt *o = tool->opts; o->kind != DK_OPT_END; o++)
        man_one(o);
    for (const dk_opt *o = dk_opts_common(); o->kind != DK_OPT_END; o++)
        man_one(o);
    printf(".TP\n\\fB\\-q\\fR, \\fB\\-v\\fR, \\fB\\-vv\\fR\nSay less, more, most.\n"
           ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nPrint a summary and exit.\n"
           ".TP\n\\fB\\-V\\fR, \\fB\\-\\-version\\fR\nPrint the version and how it was built.\n"
           ".TP\n\\fB\\-\\-stamp\\fR\nPrint every value that shapes the result, and exit.\n");
}

static void bash(const dk_tool *tool)
{
    printf("complete -o default -W '");
    for (const dk_opt *o = tool->opts; o->kind != DK_OPT_END; o++)
        if (o->kind != DK_OPT_GROUP)
            printf("--%s ", o->name);
    for (const dk_opt *o = dk_opts_common(); o->kind != DK_OPT_END; o++)
        if (o->kind != DK_OPT_GROUP)
            printf("--%s ", o->name);
    printf("--quiet --verbose --help --version --stamp' %s\n", tool->name);
}

void dk_help_print(const dk_tool *tool, enum dk_help_form form)
{
    if (form == DK_HELP_MAN)
        man(tool);
    else if (form == DK_HELP_BASH)
        bash(tool);
    else if (form == DK_HELP_PURPOSE)
        puts(tool->purpose);
    else if (form == DK_HELP_VERSION)
        printf("%s %s (algo %d)\nbuilt with %s, %s\n", tool->name, DK_VERSION, tool->algo,
               "gcc " __VERSION__, DK_BUILD_FLAGS);
    else
        text(tool);
}
