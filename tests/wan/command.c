#include "tests/wan/command.h"

#include <inttypes.h>
#include <math.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 8

const char command_help[] =
    "delay TIME                             one way\n"
    "jitter TIME                            the delay wanders by ± this; order is kept\n"
    "loss SHARE [burst PACKETS [bad SHARE]] by chance; in bad times of that mean length, which "
    "lose 100%\n"
    "                                       or that share\n"
    "reorder SHARE TIME                     that many come that much later\n"
    "duplicate SHARE                        that many come twice\n"
    "rate BITS [queue SIZE|TIME]            a bottleneck; 100ms of queue if not said; rate 0 takes "
    "it away\n"
    "mtu BYTES                              larger packets vanish; mtu 0 carries all\n"
    "block udp|tcp|icmp, unblock …          nothing of that protocol passes\n"
    "cut, join                              nothing passes, what was on its way is lost; and again "
    "it does\n"
    "clear                                  as at the start\n"
    "seed NUMBER                            chance starts anew from here\n"
    "stats                                  counters, as JSON\n";

#define QUEUE_NS 100000000

struct unit {
    const char *name;
    double factor;
};

static const struct unit times[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {0}};
static const struct unit shares[] = {{"%", 0.01}, {0}};
static const struct unit rates[] = {{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {0}};
static const struct unit sizes[] = {{"", 1}, {"k", 1024}, {"m", 1024 * 1024}, {0}};
static const struct unit numbers[] = {{"", 1}, {0}};

#define TIME_MAX   3.6e12 /* an hour */
#define BYTES_MAX  1e9
#define RATE_MAX   1e12
#define NUMBER_MAX 1e9

struct command {
    struct shape shapes[2]; /* copies, to be changed */
    struct shape *shape;    /* that of the way in turn */
    char **words;           /* after the verb; ends with NULL */
    int count;
    char *answer;
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct command *c, const char *format, ...)
{
    int at = snprintf(c->answer, ANSWER_MAX, "error: ");
    va_list args;
    va_start(args, format);
    vsnprintf(c->answer + at, (size_t)(ANSWER_MAX - at), format, args);
    va_end(args);
    return false;
}

/* --- numbers ------------------------------------------------------------------------------ */

/* False when the word is no number of 0 to max in one of these units. */
static bool read_number(const char *word, const struct unit *units, double max, double *out)
{
    char *end;
    if (*word < '0' || *word > '9')
        return false;
    double number = strtod(word, &end);
    bool is_plain_zero = *end == 0 && number <= 0;
    while (!is_plain_zero && units->name && strcmp(end, units->name) != 0)
        units++;
    if (!is_plain_zero && !units->name)
        return false;
    *out = is_plain_zero ? 0 : number * units->factor;
    return isfinite(*out) && *out <= max;
}

static bool take_time(struct command *c, const char *word, int64_t *out)
{
    double ns;
    if (!read_number(word, times, TIME_MAX, &ns))
        return refuse(c, "%s is not a time like 50ms", word);
    *out = (int64_t)(ns + 0.5);
    return true;
}

static bool take_share(struct command *c, const char *word, double *out)
{
    return read_number(word, shares, 1, out) || refuse(c, "%s is not a share like 1%%", word);
}

static bool take_size(struct command *c, const char *word, uint64_t *out)
{
    double bytes;
    if (!read_number(word, sizes, BYTES_MAX, &bytes))
        return refuse(c, "%s is not a size like 64k", word);
    *out = (uint64_t)bytes;
    return true;
}

/* --- verbs -------------------------------------------------------------------------------- */

static bool set_delay(struct command *c)
{
    return take_time(c, c->words[0], &c->shape->delay_ns);
}

static bool set_jitter(struct command *c)
{
    return take_time(c, c->words[0], &c->shape->jitter_ns);
}

static bool set_loss(struct command *c)
{
    struct shape *s = c->shape;
    s->burst = 0;
    s->bad = 1;
    if (!take_share(c, c->words[0], &s->loss))
        return false;
    if (c->count == 1)
        return true;
    if (strcmp(c->words[1], "burst") != 0 || c->count == 2 || c->count == 4)
        return refuse(c, "say: loss SHARE [burst PACKETS [bad SHARE]]");
    if (!read_number(c->words[2], numbers, NUMBER_MAX, &s->burst) || s->burst < 1)
        return refuse(c, "%s is not a number of packets", c->words[2]);
    if (c->count == 5 && strcmp(c->words[3], "bad") != 0)
        return refuse(c, "say: loss SHARE [burst PACKETS [bad SHARE]]");
    if (c->count == 5 && !take_share(c, c->words[4], &s->bad))
        return false;
    /* The chance to enter a bad time must be one. */
    return s->loss <= s->burst * (s->bad - s->loss) ||
           refuse(c, "such bad times cannot lose that much");
}

static bool set_reorder(struct command *c)
{
    if (!take_share(c, c->words[0], &c->shape->reorder))
        return false;
    if (c->count == 2)
        return take_time(c, c->words[1], &c->shape->reorder_ns);
    return c->shape->reorder <= 0 || refuse(c, "say how late: reorder 1%% 5ms");
}

static bool set_duplicate(struct command *c)
{
    return take_share(c, c->words[0], &c->shape->duplicate);
}

static bool set_rate(struct command *c)
{
    struct shape *s = c->shape;
    if (!read_number(c->words[0], rates, RATE_MAX, &s->rate_bps))
        return refuse(c, "%s is not a rate like 100mbit", c->words[0]);
    s->queue_bytes = 0;
    s->queue_ns = QUEUE_NS;
    if (c->count == 1)
        return true;
    if (c->count != 3 || strcmp(c->words[1], "queue") != 0)
        return refuse(c, "say: rate BITS [queue SIZE|TIME]");
    double ns;
    if (read_number(c->words[2], times, TIME_MAX, &ns)) {
        s->queue_ns = (int64_t)ns;
        return true;
    }
    return take_size(c, c->words[2], &s->queue_bytes);
}

static bool set_mtu(struct command *c)
{
    return take_size(c, c->words[0], &c->shape->mtu);
}

static bool set_blocked(struct command *c, bool blocked)
{
    bool *table = c->shape->blocked;
    if (strcmp(c->words[0], "udp") == 0)
        table[IPPROTO_UDP] = blocked;
    else if (strcmp(c->words[0], "tcp") == 0)
        table[IPPROTO_TCP] = blocked;
    else if (strcmp(c->words[0], "icmp") == 0)
        table[IPPROTO_ICMP] = table[IPPROTO_ICMPV6] = blocked;
    else
        return refuse(c, "%s is none of udp, tcp and icmp", c->words[0]);
    return true;
}

static bool block(struct command *c)
{
    return set_blocked(c, true);
}

static bool unblock(struct command *c)
{
    return set_blocked(c, false);
}

static bool cut(struct command *c)
{
    c->shape->cut = true;
    return true;
}

static bool join(struct command *c)
{
    c->shape->cut = false;
    return true;
}

static bool clear(struct command *c)
{
    *c->shape = (struct shape){0};
    return true;
}

static const struct verb {
    const char *name;
    int words_min, words_max;
    bool (*set)(struct command *c);
} verbs[] = {
    {"delay", 1, 1, set_delay},
    {"jitter", 1, 1, set_jitter},
    {"loss", 1, 5, set_loss},
    {"reorder", 1, 2, set_reorder},
    {"duplicate", 1, 1, set_duplicate},
    {"rate", 1, 3, set_rate},
    {"mtu", 1, 1, set_mtu},
    {"block", 1, 1, block},
    {"unblock", 1, 1, unblock},
    {"cut", 0, 0, cut},
    {"join", 0, 0, join},
    {"clear", 0, 0, clear},
};

/* --- the rest ----------------------------------------------------------------------------- */

static int print_stats(const struct direction *d, char *to, size_t room)
{
    const struct counts *n = &d->counts;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"in", n->in},
        {"in_bytes", n->in_bytes},
        {"out", n->out},
        {"out_bytes", n->out_bytes},
        {"lost", n->lost},
        {"dropped", n->dropped},
        {"cut", n->cut},
        {"blocked", n->blocked},
        {"oversize", n->oversize},
        {"overflow", n->overflow},
        {"refused", n->refused},
        {"duplicated", n->duplicated},
        {"reordered", n->reordered},
        {"late", n->late},
        {"late_max_us", (uint64_t)n->late_max_ns / 1000},
        {"queued", d->queued},
        {"flying", d->flying_count},
    };
    size_t at = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && at < room; i++)
        at += (size_t)snprintf(to + at, room - at, "%s\"%s\": %" PRIu64, i ? ", " : "{",
                               rows[i].name, rows[i].value);
    if (at < room)
        at += (size_t)snprintf(to + at, room - at, "}");
    return (int)(at < room ? at : room);
}

static void answer_stats(const struct direction *ways, char *answer)
{
    char up[ANSWER_MAX / 2 - 16], down[ANSWER_MAX / 2 - 16];
    print_stats(&ways[0], up, sizeof up);
    print_stats(&ways[1], down, sizeof down);
    snprintf(answer, ANSWER_MAX, "{\"up\": %s, \"down\": %s}", up, down);
}

static bool set_seed(struct direction *ways, struct command *c)
{
    double seed;
    if (c->count != 1 || !read_number(c->words[0], numbers, NUMBER_MAX, &seed))
        return refuse(c, "say: seed NUMBER");
    direction_seed(&ways[0], (uint64_t)seed);
    direction_seed(&ways[1], (uint64_t)seed + 1);
    return true;
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

/* Both ways are asked before any is changed. */
static bool reshape(struct direction *ways, const char *which, const struct verb *verb,
                    struct command *c, int64_t now)
{
    bool wanted[2] = {strcmp(which, "down") != 0, strcmp(which, "up") != 0};
    if (c->count < verb->words_min || c->count > verb->words_max)
        return refuse(c, "%s takes %s words", verb->name, c->count ? "other" : "more");
    for (int i = 0; i < 2; i++) {
        c->shapes[i] = ways[i].shape;
        c->shape = &c->shapes[i];
        if (wanted[i] && !verb->set(c))
            return false;
    }
    for (int i = 0; i < 2; i++)
        if (wanted[i])
            direction_reshape(&ways[i], &c->shapes[i], now);
    return true;
}

static bool is_direction(const char *word)
{
    return strcmp(word, "up") == 0 || strcmp(word, "down") == 0 || strcmp(word, "both") == 0;
}

static bool run(struct direction *ways, struct command *c, int64_t now)
{
    const char *which = "both";
    if (c->count && is_direction(c->words[0])) {
        which = *c->words++;
        c->count--;
    }
    if (!c->count)
        return refuse(c, "say what to do");
    const char *name = *c->words++;
    c->count--;
    if (strcmp(name, "seed") == 0)
        return set_seed(ways, c);
    const struct verb *verb = find_verb(name);
    return verb ? reshape(ways, which, verb, c, now) : refuse(c, "%s is nothing that I know", name);
}

void command_run(struct direction *ways, char *line, int64_t now, char answer[static ANSWER_MAX])
{
    char *words[WORDS_MAX + 1] = {0}, *rest;
    struct command c = {.words = words, .answer = answer};
    answer[0] = 0;
    for (char *w = strtok_r(line, " \t", &rest); w; w = strtok_r(NULL, " \t", &rest)) {
        if (c.count == WORDS_MAX) {
            refuse(&c, "too many words");
            return;
        }
        words[c.count++] = w;
    }
    if (c.count == 1 && strcmp(words[0], "stats") == 0)
        answer_stats(ways, answer);
    else if (run(ways, &c, now))
        snprintf(answer, ANSWER_MAX, "ok");
}
