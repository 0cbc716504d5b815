#include "applets/service/firewall_rules.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define DEPTH_MAX 32  /* of jumps; the kernel has 16 */
#define EDGES_MAX 256 /* past these a range is not told apart any more */
#define GROW(n)   ((n) ? 2 * (n) : 8)

/* ---- building ---- */

void ruleset_fini(struct ruleset *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct rule_chain *c = &s->chains[i];
        for (size_t k = 0; k < c->n; k++)
            free(c->rules[k].target);
        free(c->rules);
        free(c->table);
        free(c->name);
    }
    free(s->chains);
    free(s->edges);
    *s = (struct ruleset){0};
}

static bool is_named(const struct rule_chain *c, const char *family, const char *table,
                     const char *name)
{
    return !strcmp(c->name, name) && !strcmp(c->table, table) && !strcmp(c->family, family);
}

/* The last one first: rules come chain by chain. */
static struct rule_chain *find(struct ruleset *s, const char *family, const char *table,
                               const char *name)
{
    if (s->n && is_named(&s->chains[s->found], family, table, name))
        return &s->chains[s->found];
    for (size_t i = 0; i < s->n; i++)
        if (is_named(&s->chains[i], family, table, name)) {
            s->found = i;
            return &s->chains[i];
        }
    return NULL;
}

struct rule_chain *ruleset_chain(struct ruleset *s, const char *family, const char *table,
                                 const char *name)
{
    struct rule_chain *c = find(s, family, table, name);
    if (c)
        return c;
    if (s->n == s->cap) {
        s->cap = GROW(s->cap);
        s->chains = xrealloc(s->chains, s->cap * sizeof *s->chains);
    }
    s->found = s->n++;
    c = &s->chains[s->found];
    *c = (struct rule_chain){
        .family = family, .table = xstrdup(table), .name = xstrdup(name), .policy = RULE_ACCEPT};
    return c;
}

bool ruleset_has_table(const struct ruleset *s, const char *family, const char *table)
{
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->chains[i].table, table) && !strcmp(s->chains[i].family, family))
            return true;
    return false;
}

void ruleset_add(struct rule_chain *c, enum rule_match match, enum rule_verdict verdict,
                 const char *target)
{
    if (match == RULE_MATCHES_NOT || verdict == RULE_NEXT)
        return;
    if (c->n == c->cap) {
        c->cap = GROW(c->cap);
        c->rules = xrealloc(c->rules, c->cap * sizeof *c->rules);
    }
    c->rules[c->n++] = (struct rule){match, verdict, target ? xstrdup(target) : NULL};
}

static void note_edge(struct ruleset *s, int64_t port)
{
    if (port <= s->first || port > s->last || s->edge_count == EDGES_MAX)
        return;
    for (size_t i = 0; i < s->edge_count; i++)
        if (s->edges[i] == port)
            return;
    if (s->edge_count == s->edge_cap) {
        s->edge_cap = GROW(s->edge_cap);
        s->edges = xrealloc(s->edges, s->edge_cap * sizeof *s->edges);
    }
    s->edges[s->edge_count++] = (uint16_t)port;
}

enum rule_match ruleset_port(struct ruleset *s, const struct firewall_packet *p, int64_t low,
                             int64_t high)
{
    note_edge(s, low);
    if (high < UINT16_MAX)
        note_edge(s, high + 1);
    return rule_if(p->port >= low && p->port <= high);
}

/* ---- following ---- */

#define FATE_ALL (FATE_ACCEPT | FATE_DROP | FATE_RETURN)

static unsigned chain_fates(struct ruleset *s, struct rule_chain *c, int depth);

static unsigned target_fates(struct ruleset *s, const struct rule_chain *from, const char *target,
                             int depth)
{
    struct rule_chain *c = find(s, from->family, from->table, target);
    return c && depth < DEPTH_MAX ? chain_fates(s, c, depth + 1) : FATE_ALL;
}

/* Where the packet goes, when the rule matches; *on: to the next rule, too. */
static unsigned rule_fates(struct ruleset *s, const struct rule_chain *c, const struct rule *r,
                           int depth, bool *on)
{
    unsigned fates;
    *on = r->match != RULE_MATCHES;
    switch (r->verdict) {
    case RULE_NEXT: *on = true; return 0;
    case RULE_ACCEPT: return FATE_ACCEPT;
    case RULE_DROP: return FATE_DROP;
    case RULE_RETURN: return FATE_RETURN;
    case RULE_GOTO: return target_fates(s, c, r->target, depth);
    case RULE_JUMP:
        fates = target_fates(s, c, r->target, depth);
        *on |= (fates & FATE_RETURN) != 0;
        return fates & ~(unsigned)FATE_RETURN;
    case RULE_ANY: break;
    }
    *on = true;
    return FATE_ALL;
}

static unsigned chain_fates(struct ruleset *s, struct rule_chain *c, int depth)
{
    unsigned fates = 0;
    bool on = true;
    if (c->fates)
        return c->fates;
    if (c->entered)
        return FATE_ALL; /* a circle, which the kernel does not have */
    c->entered = true;
    for (size_t i = 0; on && i < c->n; i++)
        fates |= rule_fates(s, c, &c->rules[i], depth, &on);
    c->entered = false;
    c->fates = fates | (on ? (unsigned)FATE_RETURN : 0);
    return c->fates;
}

static unsigned base_fates(struct ruleset *s, struct rule_chain *c)
{
    unsigned fates = chain_fates(s, c, 0);
    if (!(fates & FATE_RETURN))
        return fates;
    fates &= ~(unsigned)FATE_RETURN;
    return fates | (c->policy == RULE_ACCEPT ? FATE_ACCEPT
                    : c->policy == RULE_DROP ? FATE_DROP
                                             : FATE_ACCEPT | FATE_DROP);
}

/* A packet gets in when every base chain lets it pass. */
unsigned ruleset_fate(struct ruleset *s, const struct rule_chain **closer)
{
    const struct rule_chain *doubtful = NULL;
    unsigned all = FATE_ACCEPT;
    *closer = NULL;
    for (size_t i = 0; i < s->n; i++) {
        struct rule_chain *c = &s->chains[i];
        unsigned fates = c->hooked ? base_fates(s, c) : FATE_ACCEPT;
        if (fates == FATE_DROP) {
            *closer = c;
            return FATE_DROP;
        }
        if (fates & FATE_DROP && !doubtful)
            doubtful = c;
        all |= fates;
    }
    *closer = doubtful;
    return all;
}

/* ---- the packet ---- */

enum rule_match packet_iface(const struct firewall_packet *p, const char *pattern, char wild)
{
    size_t len = strlen(pattern);
    if (!len)
        return RULE_MAY_MATCH;
    bool prefix = pattern[len - 1] == wild;
    if (!p->iface[0]) /* it is not known, but that it is not this one is */
        return strcmp(pattern, "lo") == 0 ? RULE_MATCHES_NOT : RULE_MAY_MATCH;
    return rule_if(prefix ? !strncmp(pattern, p->iface, len - 1) : !strcmp(pattern, p->iface));
}

static int family_of(const struct firewall_packet *p)
{
    return p->v6 ? AF_INET6 : AF_INET;
}

static size_t size_of(const struct firewall_packet *p)
{
    return p->v6 ? 16 : 4;
}

/* "24" or "255.255.255.0" as a mask; false: neither. */
static bool read_mask(const struct firewall_packet *p, const char *text, uint8_t mask[static 16])
{
    char *end;
    unsigned long bits = strtoul(text, &end, 10);
    if (inet_pton(family_of(p), text, mask) == 1)
        return true;
    if (end == text || *end || bits > 8 * size_of(p))
        return false;
    for (size_t i = 0; i < size_of(p); i++, bits -= bits < 8 ? bits : 8)
        mask[i] = (uint8_t)(bits >= 8 ? 0xffu : 0xff00u >> bits);
    return true;
}

enum rule_match packet_from(const struct firewall_packet *p, const char *text)
{
    uint8_t address[16], mask[16];
    char host[INET6_ADDRSTRLEN];
    size_t len = strcspn(text, "/");
    memset(mask, 0xff, sizeof mask);
    if (len >= sizeof host)
        return RULE_MAY_MATCH;
    memcpy(host, text, len);
    host[len] = '\0';
    if (inet_pton(family_of(p), host, address) != 1 ||
        (text[len] && !read_mask(p, text + len + 1, mask)))
        return RULE_MAY_MATCH;
    bool same = true, all = true;
    for (size_t i = 0; i < size_of(p); i++) {
        same &= ((p->from[i] ^ address[i]) & mask[i]) == 0;
        all &= mask[i] == 0;
    }
    return all ? RULE_MATCHES : p->from_known ? rule_if(same) : RULE_MAY_MATCH;
}

enum rule_match packet_from_range(const struct firewall_packet *p, const char *low,
                                  const char *high)
{
    uint8_t first[16], last[16];
    if (!p->from_known || inet_pton(family_of(p), low, first) != 1 ||
        inet_pton(family_of(p), high, last) != 1)
        return RULE_MAY_MATCH;
    return rule_if(memcmp(p->from, first, size_of(p)) >= 0 &&
                   memcmp(p->from, last, size_of(p)) <= 0);
}
