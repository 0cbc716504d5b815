#include "applets/service/firewall_nft.h"

#include <string.h>
#include <sys/param.h>

#include "core/mem.h"

static bool is(const char *text, const char *word)
{
    return text && word && strcmp(text, word) == 0;
}

/* As a static text, if packets like this one meet its chains; else NULL. */
static const char *family_of(const char *name, const struct firewall_packet *p)
{
    static const char *const families[] = {"inet", "netdev", "ip", "ip6"};
    for (size_t i = 0; i < countof(families); i++)
        if (is(name, families[i]))
            return is(name, p->v6 ? "ip" : "ip6") ? NULL : families[i];
    return NULL;
}

/* ---- chains ---- */

/* As nft tells since 1.1: the chains of such a table are not hooked. */
static bool is_dormant(const struct json_value *list, const struct json_value *chain)
{
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        const struct json_value *table = json_get(it.value, "table");
        const struct json_value *flags = json_get(table, "flags");
        if (!flags || !is(json_get_str(table, "name"), json_get_str(chain, "table")) ||
            !is(json_get_str(table, "family"), json_get_str(chain, "family")))
            continue;
        for (struct json_iter flag = json_iter(flags); json_next(&flag);)
            if (is(json_str(flag.value), "dormant"))
                return true;
        return is(json_str(flags), "dormant");
    }
    return false;
}

static bool is_hooked(const struct json_value *chain, const struct firewall_packet *p)
{
    const char *hook = json_get_str(chain, "hook"), *device = json_get_str(chain, "dev");
    if (is(hook, "input") || is(hook, "prerouting"))
        return true;
    return is(hook, "ingress") && (!device || packet_iface(p, device, '*') != RULE_MATCHES_NOT);
}

static enum rule_verdict policy_of(const struct json_value *chain)
{
    const char *policy = json_get_str(chain, "policy");
    if (!policy || is(policy, "accept"))
        return RULE_ACCEPT;
    return is(policy, "drop") ? RULE_DROP : RULE_ANY;
}

/* ---- rules ---- */

/* What only writes something down, or has a meaning only for what goes out. */
static bool is_harmless(const char *name)
{
    static const char *const names[] = {
        "counter",    "log",     "comment", "last",           "flow", "ct helper",
        "ct timeout", "secmark", "dup",     "ct expectation", "snat", "masquerade"};
    for (size_t i = 0; i < countof(names); i++)
        if (is(name, names[i]))
            return true;
    return false;
}

/* What lets the rest of its rule happen only sometimes. */
static bool is_sometimes(const char *name)
{
    static const char *const names[] = {"limit", "quota", "ct count", "connlimit",
                                        "meter", "set",   "map"};
    for (size_t i = 0; i < countof(names); i++)
        if (is(name, names[i]))
            return true;
    return false;
}

/* A mark does no harm: what looks at it later may match. Another port does. */
static bool is_mark(const char *name, const struct json_value *v)
{
    const struct json_value *what = json_get(v, "key");
    return is(name, "mangle") && (json_get(what, "meta") || json_get(what, "ct"));
}

/* False: the rule has ended. */
static bool read_statement(const struct nft_scope *in, struct rule_chain *c,
                           enum rule_match *so_far, const struct json_iter *s)
{
    enum rule_verdict verdict;
    const char *target;
    if (is(s->key, "match")) {
        *so_far = MIN(*so_far, nft_match(in, s->value));
    } else if (is(s->key, "vmap")) {
        nft_verdict_map(in, c, *so_far, s->value);
    } else if (nft_verdict(s->key, s->value, &verdict, &target)) {
        ruleset_add(c, *so_far, verdict, target);
        return false;
    } else if (is_sometimes(s->key) ||
               (is(s->key, "xt") && is(json_get_str(s->value, "type"), "match"))) {
        *so_far = MIN(*so_far, RULE_MAY_MATCH);
    } else if (!is_harmless(s->key) && !is_mark(s->key, s->value)) {
        ruleset_add(c, *so_far, RULE_ANY, NULL);
    }
    return true;
}

static void read_rule(const struct nft_scope *in, struct rule_chain *c,
                      const struct json_value *rule)
{
    enum rule_match so_far = RULE_MATCHES;
    for (struct json_iter it = json_iter(json_get(rule, "expr")); json_next(&it);) {
        struct json_iter statement = json_iter(it.value);
        if (!json_is_object(it.value) || !json_next(&statement))
            ruleset_add(c, so_far, RULE_ANY, NULL); /* "notrack" in some versions */
        else if (!read_statement(in, c, &so_far, &statement))
            return;
    }
}

/* ---- the list ---- */

/* The chain that an object is, or is in; NULL: none that matters. `known`: the tables that were
 * there before. */
static struct rule_chain *chain_of(struct ruleset *s, const struct json_value *v, const char *name,
                                   const struct nft_scope *in)
{
    const char *family = family_of(json_get_str(v, "family"), in->packet);
    const char *table = json_get_str(v, "table");
    const char *chain = json_get_str(v, name);
    return family && table && chain ? ruleset_chain(s, family, table, chain) : NULL;
}

static void read_object(struct nft_scope *in, const struct json_value *object, size_t known)
{
    const struct json_value *chain = json_get(object, "chain"), *rule = json_get(object, "rule");
    struct ruleset *s = in->rules;
    struct rule_chain *c = chain_of(s, chain ? chain : rule, chain ? "name" : "chain", in);
    struct ruleset before = *s;
    before.n = known;
    if (!c || ruleset_has_table(&before, c->family, c->table))
        return;
    if (chain) {
        c->hooked = is_hooked(chain, in->packet) && !is_dormant(in->list, chain);
        c->policy = policy_of(chain);
        return;
    }
    in->family = c->family;
    in->table = c->table;
    read_rule(in, c, rule);
}

int firewall_nft_read(struct ruleset *s, const struct json *list, const struct firewall_packet *p)
{
    struct nft_scope in = {.rules = s, .packet = p, .list = json_get(json_root(list), "nftables")};
    size_t known = s->n;
    if (!json_is_array(in.list))
        return -1;
    for (struct json_iter it = json_iter(in.list); json_next(&it);)
        read_object(&in, it.value, known);
    return 0;
}

bool firewall_nft_has_iptables(const struct json *list, bool v6)
{
    const struct json_value *objects = json_get(json_root(list), "nftables");
    for (struct json_iter it = json_iter(objects); json_next(&it);) {
        const struct json_value *rule = json_get(it.value, "rule");
        if (!is(json_get_str(rule, "family"), v6 ? "ip6" : "ip"))
            continue;
        for (struct json_iter expr = json_iter(json_get(rule, "expr")); json_next(&expr);)
            if (json_is_object(expr.value) && json_get(expr.value, "xt"))
                return true;
    }
    return false;
}
