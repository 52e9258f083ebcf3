/* Help texts. */
#include "cli/help.h"

#include <ctype.h>
#include <stdbool.h>
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

/* Whether the tool has the option by itself, in place of the common one. */
static bool own(const dk_tool *tool, const dk_opt *common)
{
    for (const dk_opt *o = tool->opts; common->kind != DK_OPT_GROUP && o->kind != DK_OPT_END; o++)
        if (o->kind != DK_OPT_GROUP && strcmp(o->name, common->name) == 0)
            return true;
    return false;
}

/* f of every option, the tool's and then the common ones. */
static void each(const dk_tool *tool, void (*f)(const dk_opt *))
{
    for (const dk_opt *o = tool->opts; o->kind != DK_OPT_END; o++)
        f(o);
    for (const dk_opt *o = dk_opts_common(); o->kind != DK_OPT_END; o++)
        if (!own(tool, o))
            f(o);
}

static void text(const dk_tool *tool)
{
    printf("usage: %s %s\n%s\n", tool->name, tool->usage, tool->purpose);
    if (tool->opts->kind != DK_OPT_GROUP && tool->opts->kind != DK_OPT_END)
        printf("\noptions:\n");
    each(tool, one);
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
    each(tool, man_one);
    printf(".TP\n\\fB\\-q\\fR, \\fB\\-v\\fR, \\fB\\-vv\\fR\nSay less, more, most.\n"
           ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nPrint a summary and exit.\n"
           ".TP\n\\fB\\-V\\fR, \\fB\\-\\-version\\fR\nPrint the version and how it was built.\n"
           ".TP\n\\fB\\-\\-stamp\\fR\nPrint every value that shapes the result, and exit.\n");
}

/* --- completion ------------------------------------------------------------- */
static void word(const dk_opt *o)
{
    if (o->kind == DK_OPT_GROUP)
        return;
    printf("--%s ", o->name);
    if (o->letter)
        printf("-%c ", o->letter);
}

/* After an option with a list of choices, one of these. */
static void choices(const dk_opt *o)
{
    if (o->kind != DK_OPT_CHOICE)
        return;
    printf("    --%s", o->name);
    if (o->letter)
        printf("|-%c", o->letter);
    printf(") COMPREPLY=($(compgen -W '");
    for (const char *s = o->choices; *s; s++)
        putchar(*s == '|' ? ' ' : *s);
    printf("' -- \"$cur\")); return ;;\n");
}

/* Verbs come first; what follows one is completed as its own tool says. */
static void verbs(void)
{
    printf("    if [ \"$COMP_CWORD\" = 1 ] && [[ $cur != -* ]]; then\n"
           "        COMPREPLY=($(compgen -W \"list help $(dk list | awk '{ print $1 }')\" -- \"$cur\"))\n"
           "        return\n"
           "    elif [ \"$COMP_CWORD\" -gt 1 ] && [[ ${COMP_WORDS[1]} = help ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$(dk list | awk '{ print $1 }')\" -- \"$cur\"))\n"
           "        return\n"
           "    elif [ \"$COMP_CWORD\" -gt 1 ] && [[ ${COMP_WORDS[1]} =~ ^[a-z-]+$ ]]; then\n"
           "        eval \"$(dk \"${COMP_WORDS[1]}\" --help=bash 2> /dev/null)\"\n"
           "        verb=_dk_${COMP_WORDS[1]//-/_}\n"
           "        declare -F \"$verb\" > /dev/null && \"$verb\"\n"
           "        return\n"
           "    fi\n");
}

/* Where the function leaves nothing, the shell completes file names. */
static void bash(const dk_tool *tool)
{
    char *name = dk_xstrdup(tool->name);

    for (char *s = name; *s; s++)
        if (*s == '-')
            *s = '_';
    printf("_%s() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb\n"
           "    COMPREPLY=()\n", name);
    if (strcmp(tool->name, "dk") == 0)
        verbs();
    printf("    case $prev in\n");
    each(tool, choices);
    printf("    esac\n"
           "    [[ $cur == -* ]] || return\n"
           "    COMPREPLY=($(compgen -W '");
    each(tool, word);
    printf("--quiet -q --verbose -v -vv --help -h --version -V --stamp' -- \"$cur\"))\n"
           "}\n"
           "complete -o default -F _%s %s\n", name, tool->name);
    dk_free(name);
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
