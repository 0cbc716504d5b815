/* One line a rule: what it compares, "-j" or "-g" and a target, the target's own options. Options
 * that are not known here may match. */
#include "applets/service/firewall_iptables.h"

#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "core/mem.h"

#define WORD_MAX  1024 /* bytes, more than any that means something here */
#define TABLE_MAX 32

struct reading {
    struct ruleset *rules;
    const struct firewall_packet *packet;
    char table[TABLE_MAX];
    bool inside; /* between *TABLE and COMMIT */
};

static bool is(const char *text, const char *word)
{
    return strcmp(text, word) == 0;
}

static bool is_one_of(const char *text, const char *const *words)
{
    while (*words && !is(text, *words))
        words++;
    return *words != NULL;
}

/* ---- words ---- */

struct word {
    char text[WORD_MAX];
    bool option; /* begins with '-', and was not quoted */
};

/* The next word of the line; false at its end. Too long a word is "", which nothing is. */
static bool next_word(const char **at, struct word *w)
{
    const char *p = *at + strspn(*at, " \t\r");
    bool quoted = *p == '"';
    size_t len = 0;
    if (!*p || *p == '\n')
        return false;
    for (p += quoted; *p && *p != '\n' && (quoted ? *p != '"' : *p != ' '); p++) {
        if (quoted && *p == '\\' && p[1] && p[1] != '\n')
            p++;
        if (len < WORD_MAX - 1)
            w->text[len++] = *p;
    }
    w->text[len < WORD_MAX - 1 ? len : 0] = '\0';
    w->option = !quoted && w->text[0] == '-';
    *at = p + (quoted && *p == '"');
    return true;
}

/* Up to the comma; *list moves behind it. False: there is no more. */
static bool next_item(char **list, char **item)
{
    *item = *list;
    if (!*list)
        return false;
    size_t len = strcspn(*list, ",");
    *list = (*list)[len] ? *list + len + 1 : NULL;
    (*item)[len] = '\0';
    return true;
}

/* ---- what is compared ---- */

static enum rule_match match_ports(const struct reading *g, char *list)
{
    enum rule_match best = RULE_MATCHES_NOT;
    char *item, *end;
    while (next_item(&list, &item)) {
        long low = strtol(item, &end, 10), high = low;
        if (end == item && *end != ':')
            return RULE_MAY_MATCH; /* a name */
        if (*end == ':' && *++end)
            high = strtol(end, &end, 10);
        else if (end > item && end[-1] == ':')
            high = UINT16_MAX;
        if (*end)
            return RULE_MAY_MATCH;
        best = MAX(best, ruleset_port(g->rules, g->packet, low, high));
    }
    return best;
}

static enum rule_match match_sources(const struct reading *g, char *list)
{
    enum rule_match best = RULE_MATCHES_NOT;
    char *item;
    while (next_item(&list, &item))
        best = MAX(best, packet_from(g->packet, item));
    return best;
}

static enum rule_match match_source_range(const struct reading *g, char *text)
{
    char *dash = strchr(text, '-');
    if (!dash)
        return RULE_MAY_MATCH;
    *dash = '\0';
    return packet_from_range(g->packet, text, dash + 1);
}

/* RULE_MATCHES if a word of the list is among `yes`; not, if all are among `no`. */
static enum rule_match match_words(char *list, const char *const *yes, const char *const *no)
{
    enum rule_match best = RULE_MATCHES_NOT;
    char *item;
    while (next_item(&list, &item))
        best = MAX(best, is_one_of(item, yes)  ? RULE_MATCHES
                         : is_one_of(item, no) ? RULE_MATCHES_NOT
                                               : RULE_MAY_MATCH);
    return best;
}

static enum rule_match match_protocol(const char *name)
{
    static const char *const yes[] = {"udp", "17", "all", "0", NULL};
    return rule_if(is_one_of(name, yes));
}

/* What a new packet's connection is, and what kind of address it is for or comes from. */
static enum rule_match match_kind(const char *option, char *list)
{
    static const char *const new_yes[] = {"NEW", NULL};
    static const char *const new_no[] = {"ESTABLISHED", "RELATED", "INVALID", "UNTRACKED",
                                         "DNAT",        "SNAT",    NULL};
    static const char *const local[] = {"LOCAL", NULL}, *const none[] = {NULL};
    static const char *const others[] = {"UNICAST",   "BROADCAST",   "MULTICAST", "ANYCAST",
                                         "BLACKHOLE", "UNREACHABLE", "PROHIBIT",  NULL};
    static const char *const alone[] = {"unicast", NULL};
    static const char *const many[] = {"broadcast", "multicast", NULL};
    if (is(option, "--ctstate") || is(option, "--state"))
        return match_words(list, new_yes, new_no);
    if (is(option, "--dst-type"))
        return match_words(list, local, others);
    if (is(option, "--src-type"))
        return match_words(list, none, local);
    return is(option, "--pkt-type") ? match_words(list, alone, many) : RULE_MAY_MATCH;
}

/* `value` is "" where the option has none, and may be changed. */
static enum rule_match match_option(const struct reading *g, const char *option, char *value)
{
    static const char *const ports[] = {"--dport", "--dports", "--destination-port",
                                        "--destination-ports", NULL};
    static const char *const words[] = {"-m", "--match", "--comment", NULL};
    if (is_one_of(option, words))
        return RULE_MATCHES; /* it says nothing by itself */
    if (is(option, "-p") || is(option, "--protocol"))
        return match_protocol(value);
    if (is_one_of(option, ports))
        return match_ports(g, value);
    if (is(option, "-i") || is(option, "--in-interface"))
        return packet_iface(g->packet, value, '+');
    if (is(option, "-s") || is(option, "--source"))
        return match_sources(g, value);
    if (is(option, "--src-range"))
        return match_source_range(g, value);
    if (is(option, "-f") || is(option, "--icmp-type") || is(option, "--icmpv6-type"))
        return RULE_MATCHES_NOT;
    return match_kind(option, value);
}

/* ---- rules ---- */

static enum rule_verdict verdict_of(const char *target)
{
    static const struct {
        const char *target;
        enum rule_verdict verdict;
    } rows[] = {{"ACCEPT", RULE_ACCEPT},
                {"DROP", RULE_DROP},
                {"REJECT", RULE_DROP},
                {"RETURN", RULE_RETURN}};
    static const char *const notes[] = {"LOG",    "ULOG",     "NFLOG",       "TRACE",   "MARK",
                                        "TOS",    "CONNMARK", "DSCP",        "TTL",     "HL",
                                        "TCPMSS", "SET",      "CONNSECMARK", "SECMARK", "TEE",
                                        "AUDIT",  "CLASSIFY", "CHECKSUM",    NULL};
    static const char *const others[] = {"DNAT",  "REDIRECT", "NETMAP",   "TPROXY",
                                         "QUEUE", "NFQUEUE",  "SYNPROXY", "CLUSTERIP",
                                         "CT",    "NOTRACK",  NULL};
    for (size_t i = 0; i < countof(rows); i++)
        if (is(target, rows[i].target))
            return rows[i].verdict;
    if (is_one_of(target, notes))
        return RULE_NEXT;
    return is_one_of(target, others) ? RULE_ANY : RULE_JUMP;
}

static void add(struct rule_chain *c, enum rule_match match, const char *option, const char *target)
{
    enum rule_verdict verdict = verdict_of(target);
    if (is(option, "-g") && verdict == RULE_JUMP)
        verdict = RULE_GOTO;
    ruleset_add(c, match, verdict, verdict == RULE_JUMP || verdict == RULE_GOTO ? target : NULL);
}

/* "[!] OPTION [VALUE…]…": of several values only the first may be one that is known here, and
 * those who have several are not. */
static void read_rule(const struct reading *g, struct rule_chain *c, const char *line)
{
    enum rule_match so_far = RULE_MATCHES;
    struct word option, value;
    bool negated = false;
    while (next_word(&line, &option)) {
        if (!option.option) {
            negated = is(option.text, "!");
            continue;
        }
        const char *before = line;
        value.text[0] = '\0';
        if (!next_word(&line, &value) || value.option || is(value.text, "!")) {
            value.text[0] = '\0';
            line = before;
        }
        if (is(option.text, "-j") || is(option.text, "-g")) {
            add(c, so_far, option.text, value.text);
            return;
        }
        enum rule_match m = match_option(g, option.text, value.text);
        so_far = MIN(so_far, negated ? rule_not(m) : m);
        negated = false;
    }
}

/* ---- the text ---- */

static void begin_table(struct reading *g, const char *line)
{
    size_t len = strcspn(line, " \r\n");
    len = len < TABLE_MAX - 1 ? len : TABLE_MAX - 1;
    memcpy(g->table, line, len);
    g->table[len] = '\0';
    g->inside = true;
}

static struct rule_chain *chain_of(const struct reading *g, const char *name)
{
    return ruleset_chain(g->rules, g->packet->v6 ? "ip6" : "ip", g->table, name);
}

/* ":NAME POLICY [packets:bytes]"; those that were made have "-" for a policy. */
static void begin_chain(const struct reading *g, const char *line)
{
    struct word name, policy;
    if (!next_word(&line, &name) || !next_word(&line, &policy))
        return;
    struct rule_chain *c = chain_of(g, name.text);
    c->hooked = !is(policy.text, "-") && (is(name.text, "INPUT") || is(name.text, "PREROUTING"));
    c->policy = is(policy.text, "ACCEPT") ? RULE_ACCEPT
                : is(policy.text, "DROP") ? RULE_DROP
                                          : RULE_ANY;
}

static int read_line(struct reading *g, const char *line)
{
    struct word command, name;
    if (*line == '#' || *line == '\n' || *line == '\r')
        return 0;
    if (*line == '*') {
        begin_table(g, line + 1);
        return 0;
    }
    if (!g->inside)
        return -1;
    if (*line == ':') {
        begin_chain(g, line + 1);
        return 0;
    }
    if (!next_word(&line, &command))
        return 0;
    if (is(command.text, "COMMIT")) {
        g->inside = false;
        return 0;
    }
    if (!is(command.text, "-A") || !next_word(&line, &name))
        return -1;
    read_rule(g, chain_of(g, name.text), line);
    return 0;
}

int firewall_iptables_read(struct ruleset *s, const char *text, const struct firewall_packet *p)
{
    struct reading g = {.rules = s, .packet = p};
    for (const char *end; *text; text = *end ? end + 1 : end) {
        end = text + strcspn(text, "\n");
        if (read_line(&g, text) < 0)
            return -1;
    }
    return g.inside ? -1 : 0;
}
