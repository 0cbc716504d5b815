#include "applets/service/firewall_judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/service/firewall_iptables.h"
#include "applets/service/firewall_nft.h"
#include "core/mem.h"

#define SPANS_MAX 16 /* parts of the range that are asked about one by one */

/* Who is in charge of the rules, and so whose command opens a port. */
enum keeper { KEEPER_NONE, KEEPER_UFW, KEEPER_FIREWALLD, KEEPER_NFT, KEEPER_IPTABLES };

static const char *const keeper_names[] = {"", "ufw", "firewalld", "nftables", "iptables"};

/* What the rules do to one family. */
struct side {
    bool used, judged;
    enum firewall_verdict verdict;
    bool part;                   /* closed, but not for all of the range */
    bool legacy;                 /* `chain` is iptables' of the old kind */
    enum keeper keeper;          /* of `chain` */
    struct firewall_chain chain; /* the one that drops, or may; name "": none */
};

struct judging {
    const struct firewall_facts *facts;
    const struct firewall_ask *ask;
    struct json *nft;
    struct side sides[FIREWALL_FAMILIES];
};

/* ---- who is in charge ---- */

static bool has_chain(const struct ruleset *s, const char *family, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->chains[i].family, family) && !strcmp(s->chains[i].name, name))
            return true;
    return false;
}

/* iptables writes what it has built in in capitals. */
static bool is_of_iptables(const struct rule_chain *c)
{
    return (!strcmp(c->family, "ip") || !strcmp(c->family, "ip6")) &&
           (!strcmp(c->name, "INPUT") || !strcmp(c->name, "PREROUTING"));
}

static enum keeper keeper_of(const struct ruleset *s, const struct rule_chain *c)
{
    if (!strcmp(c->table, "firewalld"))
        return KEEPER_FIREWALLD;
    if (!is_of_iptables(c))
        return KEEPER_NFT;
    if (has_chain(s, c->family, "ufw-before-input") || has_chain(s, c->family, "ufw6-before-input"))
        return KEEPER_UFW;
    return has_chain(s, c->family, "INPUT_ZONES") ? KEEPER_FIREWALLD : KEEPER_IPTABLES;
}

static void name_chain(struct side *side, const struct ruleset *s, const struct rule_chain *c,
                       bool legacy)
{
    struct firewall_chain *to = &side->chain;
    snprintf(to->family, sizeof to->family, "%s", c->family);
    snprintf(to->table, sizeof to->table, "%s", c->table);
    snprintf(to->name, sizeof to->name, "%s", c->name);
    side->keeper = keeper_of(s, c);
    side->legacy = legacy;
}

/* ---- rules ---- */

#define FATE_BOTH (FATE_ACCEPT | FATE_DROP)

/* A chain that surely drops is a better answer than one that may. */
static unsigned fates_of(struct ruleset *s, struct side *side, unsigned others, bool legacy)
{
    const struct rule_chain *closer;
    unsigned fates = ruleset_fate(s, &closer);
    if (others == FATE_DROP)
        return others;
    if (closer && (fates == FATE_DROP || !side->chain.name[0]))
        name_chain(side, s, closer, legacy);
    return fates == FATE_DROP ? FATE_DROP : fates | others;
}

/* Both kinds of tables are met, one after the other. Of those who could not be read all is
 * possible. */
static unsigned judge_port(const struct judging *j, enum firewall_family family, uint16_t port,
                           struct ruleset rules[static 2], struct side *side)
{
    const struct firewall_facts *facts = j->facts;
    struct firewall_packet p = facts->packet[family];
    bool whole = j->nft != NULL;
    p.port = port;
    if (facts->save[family])
        whole &= firewall_iptables_read(&rules[0], facts->save[family], &p) == 0;
    if (j->nft)
        whole &= firewall_nft_read(&rules[0], j->nft, &p) == 0;
    if (facts->legacy[family])
        whole &= firewall_iptables_read(&rules[1], facts->legacy[family], &p) == 0;
    else
        whole &= !facts->legacy_used[family];
    unsigned fates = fates_of(&rules[0], side, whole ? FATE_ACCEPT : FATE_BOTH, false);
    return fates_of(&rules[1], side, fates, true);
}

/* One port of each part of the range that the rules know; the first is what finds the parts. */
static void judge_side(const struct judging *j, enum firewall_family family, struct side *side)
{
    uint16_t ports[SPANS_MAX] = {j->ask->first};
    size_t n = 1, dropped = 0;
    unsigned all = 0;
    for (size_t i = 0; i < n; i++) {
        struct ruleset rules[2] = {{.first = j->ask->first, .last = j->ask->last},
                                   {.first = j->ask->first, .last = j->ask->last}};
        unsigned fates = judge_port(j, family, ports[i], rules, side);
        size_t parts = 1 + rules[0].edge_count + rules[1].edge_count;
        for (size_t k = 0; !i && k + 1 < parts && n < SPANS_MAX; k++)
            ports[n++] = k < rules[0].edge_count ? rules[0].edges[k]
                                                 : rules[1].edges[k - rules[0].edge_count];
        all |= parts > SPANS_MAX ? fates | FATE_BOTH : fates;
        dropped += fates == FATE_DROP;
        ruleset_fini(&rules[0]);
        ruleset_fini(&rules[1]);
    }
    side->judged = j->nft || j->facts->save[family] || j->facts->legacy[family];
    side->part = dropped && dropped < n;
    side->verdict = dropped              ? FIREWALL_CLOSED
                    : all == FATE_ACCEPT ? FIREWALL_OPEN
                                         : FIREWALL_UNKNOWN;
}

bool firewall_needs_save(const char *nft, enum firewall_family family)
{
    struct json *list = nft ? json_parse(nft, strlen(nft)) : NULL;
    bool needs = !list || firewall_nft_has_iptables(list, family == FIREWALL_V6);
    json_free(list);
    return needs;
}

/* ---- commands ---- */

/* "40000-50000", or one port; `dash` is the separator. */
static char *range_text(uint16_t first, uint16_t last, char dash)
{
    return first == last ? xasprintf("%u", first) : xasprintf("%u%c%u", first, dash, last);
}

/* What a shell and nft take as it is: names come from the rules. */
static bool is_plain(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return *name && *name != '-' && name[strspn(name, plain)] == '\0';
}

static char *nft_command(const struct firewall_chain *c, const char *range)
{
    if (!is_plain(c->family) || !is_plain(c->table) || !is_plain(c->name))
        return NULL;
    return xasprintf("sudo nft insert rule %s %s %s udp dport %s accept", c->family, c->table,
                     c->name, range);
}

/* `program` is "iptables" or "ip6tables", or that of the old kind. */
static char *iptables_command(const struct firewall_chain *c, const char *range,
                              const char *program)
{
    bool filter = !*c->table || !strcmp(c->table, "filter");
    if (!filter && !is_plain(c->table))
        return NULL;
    return xasprintf("sudo %s %s%s%s-I %s -p udp --dport %s -j ACCEPT", program,
                     filter ? "" : "-t ", filter ? "" : c->table, filter ? "" : " ",
                     *c->name ? c->name : "INPUT", range);
}

static char *command_of(enum keeper keeper, const struct firewall_chain *c,
                        const struct firewall_ask *ask, const char *program)
{
    cleanup_free char *dash = range_text(ask->open_first, ask->open_last, '-');
    cleanup_free char *colon = range_text(ask->open_first, ask->open_last, ':');
    switch (keeper) {
    case KEEPER_UFW: return xasprintf("sudo ufw allow %s/udp", colon);
    case KEEPER_FIREWALLD:
        return xasprintf("sudo firewall-cmd --permanent --add-port=%s/udp && "
                         "sudo firewall-cmd --reload",
                         dash);
    case KEEPER_NFT: return nft_command(c, dash);
    case KEEPER_IPTABLES: return iptables_command(c, colon, program);
    case KEEPER_NONE: break;
    }
    return NULL;
}

static const char *const programs[FIREWALL_FAMILIES][2] = {{"iptables", "iptables-legacy"},
                                                           {"ip6tables", "ip6tables-legacy"}};

/* Both, where they differ and both are there. */
static char *join(char *first, char *second)
{
    cleanup_free char *a = first, *b = second;
    if (!a || !b || !strcmp(a, b))
        return a ? steal_str(&a) : steal_str(&b);
    return xasprintf("%s && %s", a, b);
}

static char *side_command(const struct judging *j, enum firewall_family family)
{
    const struct side *side = &j->sides[family];
    if (!side->used || side->verdict == FIREWALL_OPEN || !side->chain.name[0])
        return NULL;
    bool exact = side->legacy && j->facts->legacy_named;
    return command_of(side->keeper, &side->chain, j->ask, programs[family][exact]);
}

/* ---- words ---- */

static char *place_text(const struct side *side)
{
    const struct firewall_chain *c = &side->chain;
    if (side->keeper == KEEPER_NFT)
        return xasprintf(" in chain %s %s %s", c->family, c->table, c->name);
    if (side->keeper == KEEPER_IPTABLES && strcmp(c->table, "filter") != 0)
        return xasprintf(" in chain %s of table %s", c->name, c->table);
    return side->keeper == KEEPER_IPTABLES ? xasprintf(" in chain %s", c->name) : xstrdup("");
}

static char *rules_text(const struct judging *j, const struct side *side, const char *over)
{
    bool part = j->sides[FIREWALL_V4].part || j->sides[FIREWALL_V6].part;
    cleanup_free char *range = range_text(j->ask->first, j->ask->last, '-');
    cleanup_free char *place = place_text(side);
    if (side->verdict == FIREWALL_OPEN)
        return xasprintf("its own rules let UDP %s in%s", range, over);
    if (side->verdict == FIREWALL_CLOSED)
        return xasprintf("%s blocks %sUDP %s%s%s", keeper_names[side->keeper],
                         part ? "part of " : "", range, over, place);
    if (!side->chain.name[0])
        return xasprintf("not all of its rules could be read, and those let UDP %s in%s", range,
                         over);
    return xasprintf("%s may block UDP %s%s%s: it depends on more than can be told",
                     keeper_names[side->keeper], range, over, place);
}

/* The way of the peer counts first; the other one if it is closed. */
static void by_rules(struct firewall_judgement *out, const struct judging *j)
{
    const struct side *sides = j->sides;
    bool from6 = sides[FIREWALL_V6].used && j->facts->packet[FIREWALL_V6].from_known;
    const struct side *first = &sides[from6 ? FIREWALL_V6 : FIREWALL_V4];
    const struct side *second = &sides[from6 ? FIREWALL_V4 : FIREWALL_V6];
    bool both = second->used && second->judged;
    bool alike = both && first->verdict == second->verdict;
    if (both && second->verdict == FIREWALL_CLOSED && first->verdict != FIREWALL_CLOSED)
        first = second;
    const char *over = !both || alike                 ? ""
                       : first == &sides[FIREWALL_V6] ? " over IPv6"
                                                      : " over IPv4";
    out->verdict = first->verdict;
    out->seen = rules_text(j, first, first->verdict == FIREWALL_OPEN ? "" : over);
    out->remedy = join(side_command(j, FIREWALL_V4), side_command(j, FIREWALL_V6));
}

/* ---- without rules ---- */

static enum keeper keeper_seen(const struct firewall_facts *facts)
{
    return facts->ufw         ? KEEPER_UFW
           : facts->firewalld ? KEEPER_FIREWALLD
           : facts->nftables  ? KEEPER_NFT
           : facts->iptables  ? KEEPER_IPTABLES
                              : KEEPER_NONE;
}

static char *conf_text(const struct firewall_facts *facts)
{
    const struct firewall_chain *c = &facts->conf;
    if (!facts->conf_closes)
        return xstrdup("nftables is on; what it blocks only root may see");
    return xasprintf("nftables is on, and chain %s %s %s in /etc/nftables.conf drops packets; "
                     "which, only root may see",
                     c->family, c->table, c->name);
}

static void by_signs(struct firewall_judgement *out, const struct judging *j)
{
    static const struct firewall_chain usual = {"inet", "filter", "input"}, none;
    const struct firewall_facts *facts = j->facts;
    enum keeper keeper = keeper_seen(facts);
    out->verdict = FIREWALL_UNKNOWN;
    if (keeper == KEEPER_NONE)
        out->seen =
            xstrdup("no firewall is known to be on (ufw, firewalld, nftables, iptables), but only "
                    "root may see the rules");
    else if (keeper == KEEPER_NFT)
        out->seen = conf_text(facts);
    else
        out->seen = xasprintf("%s is on; what it blocks only root may see", keeper_names[keeper]);
    const struct firewall_chain *c = keeper != KEEPER_NFT ? &none
                                     : facts->conf_closes ? &facts->conf
                                                          : &usual;
    out->remedy = command_of(keeper, c, j->ask, programs[FIREWALL_V4][0]);
    if (keeper == KEEPER_IPTABLES && facts->used[FIREWALL_V6])
        out->remedy = join(out->remedy, command_of(keeper, c, j->ask, programs[FIREWALL_V6][0]));
}

/* ---- the whole ---- */

void firewall_judge(struct firewall_judgement *out, const struct firewall_facts *facts,
                    const struct firewall_ask *ask)
{
    struct judging j = {.facts = facts, .ask = ask};
    bool judged = false;
    j.nft = facts->nft ? json_parse(facts->nft, strlen(facts->nft)) : NULL;
    *out = (struct firewall_judgement){0};
    for (int i = 0; i < FIREWALL_FAMILIES; i++) {
        j.sides[i].used = facts->used[i];
        if (facts->used[i])
            judge_side(&j, (enum firewall_family)i, &j.sides[i]);
        judged |= j.sides[i].judged;
    }
    if (judged)
        by_rules(out, &j);
    else
        by_signs(out, &j);
    json_free(j.nft);
}

void firewall_judgement_fini(struct firewall_judgement *j)
{
    free(j->seen);
    free(j->remedy);
    *j = (struct firewall_judgement){0};
}

static bool is_agents_port(uint16_t port)
{
    return port >= FIREWALL_FIRST_PORT && port <= FIREWALL_LAST_PORT;
}

struct firewall_ask firewall_ask_of(uint16_t port, const char *peer)
{
    bool ours = is_agents_port(port);
    return (struct firewall_ask){.first = port,
                                 .last = port,
                                 .open_first = ours ? FIREWALL_FIRST_PORT : port,
                                 .open_last = ours ? FIREWALL_LAST_PORT : port,
                                 .peer = peer};
}

const char *firewall_verdict_name(enum firewall_verdict v)
{
    static const char *const names[] = {"open", "closed", "unknown"};
    return names[v];
}

char *firewall_hint_text(const struct firewall_view *view, uint16_t port)
{
    struct firewall_ask ask = firewall_ask_of(port, NULL);
    cleanup_free char *range = range_text(ask.open_first, ask.open_last, '-');
    if (view->verdict == FIREWALL_CLOSED && view->remedy)
        return xasprintf("%s\nto open it: %s", view->seen, view->remedy);
    if (view->verdict == FIREWALL_OPEN || !view->remedy)
        return xasprintf(
            "%s; a firewall between may not\nopen UDP %s to it where that is kept: the "
            "provider's security group, a router",
            view->seen, range);
    return xasprintf(
        "%s\nto open it: %s; else open UDP %s at its provider (security group, router)", view->seen,
        view->remedy, range);
}
