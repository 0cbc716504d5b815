/* opt.h: command-line options as a table: -x, -xVALUE, -x VALUE, --name, --name=VALUE,
 * --name VALUE; "--" ends them. Options may follow operands. */
#ifndef CORE_OPT_H
#define CORE_OPT_H

#include <stdbool.h>
#include <stdint.h>

enum opt_kind {
    OPT_FLAG,    /* takes no value */
    OPT_VALUE,   /* takes one */
    OPT_OPTIONAL /* takes one only as --name=VALUE */
};

/* A table ends with a zeroed row. `letter` 0: none; `name` NULL: none. */
struct opt {
    char letter;
    const char *name;
    enum opt_kind kind;
    int id; /* > 0, what opt_next() returns */
};

struct opts {
    const struct opt *table;
    char **argv;         /* the rest; argv[0] is the next word */
    const char *value;   /* of the option just returned; NULL: none given */
    const char *cluster; /* letters left in a word like -dv */
    bool ended;          /* "--" was seen: argv is what follows it */
};

#define OPT_END     0    /* nothing left, or "--" was met; the same at every further call */
#define OPT_OPERAND (-1) /* `value` is a word that is no option */
#define OPT_ERROR   (-2) /* one line was logged; exit with status 2 */

struct opts opts_of(const struct opt *table, char **argv); /* argv after the program's name */
/* The id of an option, or one of the three above. A value that is the next word is taken
 * whatever it looks like, as getopt does. */
int opt_next(struct opts *o);

/* Parsers of values. 0, or -1 when it is not that; nothing is logged. */
int opt_port(const char *text, uint16_t *port);      /* 1 to 65535 */
int opt_duration_ms(const char *text, uint64_t *ms); /* 90, 90s, 500ms, 10m, 2h, 1d; <= 365d */
int opt_unsigned(const char *text, uint64_t max, uint64_t *n);

#endif
