/* opt.c: words of a command line taken one by one, by a table. */
#include "core/opt.h"

#include <stddef.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"

#define MAX_DURATION_MS (365ull * 24 * 60 * 60 * 1000)

struct opts opts_of(const struct opt *table, char **argv)
{
    return (struct opts){.table = table, .argv = argv};
}

static const struct opt *find_letter(const struct opt *table, char letter)
{
    for (; table->id; table++)
        if (table->letter && table->letter == letter)
            return table;
    return NULL;
}

static const struct opt *find_name(const struct opt *table, const char *name, size_t len)
{
    for (; table->id; table++)
        if (table->name && strlen(table->name) == len && memcmp(table->name, name, len) == 0)
            return table;
    return NULL;
}

/* The value is the next word, whatever it looks like. */
static bool take_word(struct opts *o)
{
    o->value = *o->argv;
    if (!o->value)
        return false;
    o->argv++;
    return true;
}

static int next_letter(struct opts *o)
{
    char letter = *o->cluster++;
    const char *left = *o->cluster ? o->cluster : NULL;
    const struct opt *opt = find_letter(o->table, letter);
    o->cluster = left;
    if (!opt) {
        log_error("unknown option -%c (try --help)", letter);
        return OPT_ERROR;
    }
    if (opt->kind != OPT_VALUE)
        return opt->id;
    o->value = left;
    o->cluster = NULL;
    if (!left && !take_word(o)) {
        log_error("option -%c needs a value (try --help)", letter);
        return OPT_ERROR;
    }
    return opt->id;
}

static int next_name(struct opts *o, const char *word)
{
    size_t len = strcspn(word, "=");
    const struct opt *opt = find_name(o->table, word, len);
    int shown = len < INT16_MAX ? (int)len : INT16_MAX;
    if (!opt) {
        log_error("unknown option --%.*s (try --help)", shown, word);
        return OPT_ERROR;
    }
    if (word[len] == '=')
        o->value = word + len + 1;
    if (opt->kind == OPT_FLAG && o->value) {
        log_error("option --%s takes no value (try --help)", opt->name);
        return OPT_ERROR;
    }
    if (opt->kind == OPT_VALUE && !o->value && !take_word(o)) {
        log_error("option --%s needs a value (try --help)", opt->name);
        return OPT_ERROR;
    }
    return opt->id;
}

int opt_next(struct opts *o)
{
    o->value = NULL;
    if (o->cluster)
        return next_letter(o);
    const char *word = *o->argv;
    if (o->ended || !word)
        return OPT_END;
    o->argv++;
    if (strcmp(word, "--") == 0) {
        o->ended = true;
        return OPT_END;
    }
    if (word[0] != '-' || !word[1]) {
        o->value = word;
        return OPT_OPERAND;
    }
    if (word[1] == '-')
        return next_name(o, word + 2);
    o->cluster = word + 1;
    return next_letter(o);
}

/* The digits at *text, of which there is at least one; *text is moved behind them. */
static int take_digits(const char **text, uint64_t max, uint64_t *n)
{
    const char *at = *text;
    uint64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (digit > max || value > (max - digit) / 10)
            return -1;
        value = value * 10 + digit;
    }
    if (at == *text)
        return -1;
    *text = at;
    *n = value;
    return 0;
}

int opt_unsigned(const char *text, uint64_t max, uint64_t *n)
{
    uint64_t value;
    if (take_digits(&text, max, &value) < 0 || *text)
        return -1;
    *n = value;
    return 0;
}

int opt_port(const char *text, uint16_t *port)
{
    uint64_t n;
    if (opt_unsigned(text, UINT16_MAX, &n) < 0 || n == 0)
        return -1;
    *port = (uint16_t)n;
    return 0;
}

int opt_duration_ms(const char *text, uint64_t *ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {
        {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    uint64_t n;
    if (take_digits(&text, MAX_DURATION_MS, &n) < 0)
        return -1;
    for (size_t i = 0; i < countof(units); i++) {
        if (strcmp(units[i].name, text) == 0 && n <= MAX_DURATION_MS / units[i].ms) {
            *ms = n * units[i].ms;
            return 0;
        }
    }
    return -1;
}
