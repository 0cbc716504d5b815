/* What a rule of nftables compares, held against the packet. Anything that is not known here may
 * match. */
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "applets/service/firewall_nft.h"
#include "core/mem.h"

#define NESTED_MAX 8 /* sets in sets */
#define PROTO_UDP  17

/* What stands on the left side. */
enum subject {
    SUBJECT_UNKNOWN,
    SUBJECT_NEVER, /* part of no such packet: the rule does not match, whatever the operator */
    SUBJECT_PROTOCOL,
    SUBJECT_PORT,
    SUBJECT_IFACE,
    SUBJECT_SOURCE,
    SUBJECT_STATE,
    SUBJECT_FAMILY,
    SUBJECT_NOT_TRANSLATED,
    SUBJECT_CAST,
    SUBJECT_TO_LOCAL,
    SUBJECT_FROM_LOCAL,
    SUBJECT_ROUTE_BACK,
};

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

static bool is_one_of(const char *text, const char *const *words)
{
    while (*words && !is(text, *words))
        words++;
    return *words != NULL;
}

/* ---- the left side ---- */

static enum subject meta_subject(const char *key)
{
    static const struct {
        const char *key;
        enum subject subject;
    } rows[] = {
        {"l4proto", SUBJECT_PROTOCOL}, {"iifname", SUBJECT_IFACE},   {"iif", SUBJECT_IFACE},
        {"nfproto", SUBJECT_FAMILY},   {"protocol", SUBJECT_FAMILY}, {"pkttype", SUBJECT_CAST},
    };
    for (size_t i = 0; i < countof(rows); i++)
        if (is(key, rows[i].key))
            return rows[i].subject;
    return SUBJECT_UNKNOWN;
}

static enum subject payload_subject(const struct nft_scope *in, const struct json_value *v)
{
    static const char *const others[] = {"tcp",  "sctp", "dccp", "icmp", "icmpv6",
                                         "igmp", "esp",  "ah",   "comp", NULL};
    const char *protocol = json_get_str(v, "protocol"), *field = json_get_str(v, "field");
    if (is(protocol, "udp") || is(protocol, "th"))
        return is(field, "dport") ? SUBJECT_PORT : SUBJECT_UNKNOWN;
    if (is_one_of(protocol, others))
        return SUBJECT_NEVER;
    if (!is(protocol, "ip") && !is(protocol, "ip6"))
        return SUBJECT_UNKNOWN;
    if (is(protocol, "ip6") != in->packet->v6)
        return SUBJECT_NEVER;
    if (is(field, "saddr"))
        return SUBJECT_SOURCE;
    return is(field, "protocol") || is(field, "nexthdr") ? SUBJECT_PROTOCOL : SUBJECT_UNKNOWN;
}

/* "type" of the address it is for or comes from; or whether there is a way back to where it comes
 * from. */
static enum subject fib_subject(const struct json_value *v)
{
    const struct json_value *flags = json_get(v, "flags");
    const char *result = json_get_str(v, "result"), *first = json_str(flags);
    bool from = is(first, "saddr"), to = is(first, "daddr");
    for (struct json_iter it = json_iter(flags); json_next(&it);) {
        from |= is(json_str(it.value), "saddr");
        to |= is(json_str(it.value), "daddr");
    }
    if (from == to)
        return SUBJECT_UNKNOWN;
    if (is(result, "type"))
        return to ? SUBJECT_TO_LOCAL : SUBJECT_FROM_LOCAL;
    return from && is(result, "oif") ? SUBJECT_ROUTE_BACK : SUBJECT_UNKNOWN;
}

static enum subject subject_of(const struct nft_scope *in, const struct json_value *left)
{
    struct json_iter it = json_iter(left);
    if (!json_is_object(left) || !json_next(&it))
        return SUBJECT_UNKNOWN;
    if (is(it.key, "meta"))
        return meta_subject(json_get_str(it.value, "key"));
    if (is(it.key, "payload"))
        return payload_subject(in, it.value);
    if (is(it.key, "fib"))
        return fib_subject(it.value);
    if (is(it.key, "ct"))
        return is(json_get_str(it.value, "key"), "state")    ? SUBJECT_STATE
               : is(json_get_str(it.value, "key"), "status") ? SUBJECT_NOT_TRANSLATED
                                                             : SUBJECT_UNKNOWN;
    return SUBJECT_UNKNOWN;
}

/* ---- the right side ---- */

static enum rule_match match_word(const struct nft_scope *in, enum subject what, const char *word)
{
    static const char *const alone[] = {"host", "unicast", NULL};
    static const char *const casts[] = {"broadcast", "multicast", "other", NULL};
    static const char *const states[] = {"established", "related", "invalid", "untracked", NULL};
    static const char *const statuses[] = {"dnat",    "snat",      "seen-reply",
                                           "assured", "confirmed", NULL};
    static const char *const types[] = {"unicast",   "broadcast",   "multicast", "anycast",
                                        "blackhole", "unreachable", "prohibit",  NULL};
    switch (what) {
    case SUBJECT_PROTOCOL: return rule_if(is(word, "udp"));
    case SUBJECT_IFACE: return packet_iface(in->packet, word, '*');
    case SUBJECT_SOURCE: return packet_from(in->packet, word);
    case SUBJECT_FAMILY:
        return rule_if(in->packet->v6 ? is(word, "ipv6") || is(word, "ip6")
                                      : is(word, "ipv4") || is(word, "ip"));
    case SUBJECT_STATE:
        return is(word, "new")           ? RULE_MATCHES
               : is_one_of(word, states) ? RULE_MATCHES_NOT
                                         : RULE_MAY_MATCH;
    case SUBJECT_NOT_TRANSLATED:
        return is_one_of(word, statuses) ? RULE_MATCHES_NOT : RULE_MAY_MATCH;
    case SUBJECT_CAST:
        return is_one_of(word, alone)   ? RULE_MATCHES
               : is_one_of(word, casts) ? RULE_MATCHES_NOT
                                        : RULE_MAY_MATCH;
    case SUBJECT_TO_LOCAL:
        return is(word, "local")        ? RULE_MATCHES
               : is_one_of(word, types) ? RULE_MATCHES_NOT
                                        : RULE_MAY_MATCH;
    case SUBJECT_FROM_LOCAL: return is(word, "local") ? RULE_MATCHES_NOT : RULE_MAY_MATCH;
    default: return RULE_MAY_MATCH;
    }
}

static enum rule_match match_scalar(const struct nft_scope *in, enum subject what,
                                    const struct json_value *v)
{
    int64_t n;
    if (json_str(v))
        return match_word(in, what, json_str(v));
    if (json_int(v, &n) != 1)
        return RULE_MAY_MATCH;
    if (what == SUBJECT_PORT)
        return ruleset_port(in->rules, in->packet, n, n);
    return what == SUBJECT_PROTOCOL ? rule_if(n == PROTO_UDP) : RULE_MAY_MATCH;
}

static enum rule_match match_range(const struct nft_scope *in, enum subject what,
                                   const struct json_value *v)
{
    const struct json_value *end[2] = {NULL, NULL};
    int64_t low, high;
    size_t n = 0;
    for (struct json_iter it = json_iter(v); n < 2 && json_next(&it);)
        end[n++] = it.value;
    if (what == SUBJECT_PORT && json_int(end[0], &low) == 1 && json_int(end[1], &high) == 1)
        return ruleset_port(in->rules, in->packet, low, high);
    if (what == SUBJECT_SOURCE && json_str(end[0]) && json_str(end[1]))
        return packet_from_range(in->packet, json_str(end[0]), json_str(end[1]));
    return RULE_MAY_MATCH;
}

static enum rule_match match_prefix(const struct nft_scope *in, enum subject what,
                                    const struct json_value *v)
{
    const char *address = json_get_str(v, "addr");
    int64_t len;
    if (what != SUBJECT_SOURCE || !address || json_get_int(v, "len", &len) != 1)
        return RULE_MAY_MATCH;
    cleanup_free char *text = xasprintf("%s/%lld", address, (long long)len);
    return packet_from(in->packet, text);
}

/* The elements of the table's set or map of that name; NULL: there is none. */
static const struct json_value *named(const struct nft_scope *in, const char *kind,
                                      const char *name)
{
    for (struct json_iter it = json_iter(in->list); json_next(&it);) {
        const struct json_value *set = json_get(it.value, kind);
        if (set && is(json_get_str(set, "name"), name) &&
            is(json_get_str(set, "table"), in->table) &&
            is(json_get_str(set, "family"), in->family))
            return set;
    }
    return NULL;
}

static enum rule_match match_value(const struct nft_scope *in, enum subject what,
                                   const struct json_value *v, int nested);

static enum rule_match match_any(const struct nft_scope *in, enum subject what,
                                 const struct json_value *elements, int nested)
{
    enum rule_match best = RULE_MATCHES_NOT;
    for (struct json_iter it = json_iter(elements); json_next(&it);)
        best = MAX(best, match_value(in, what, it.value, nested + 1));
    return best;
}

static enum rule_match match_named(const struct nft_scope *in, enum subject what, const char *name,
                                   int nested)
{
    const struct json_value *set = named(in, "set", name);
    return set ? match_any(in, what, json_get(set, "elem"), nested) : RULE_MAY_MATCH;
}

static enum rule_match match_value(const struct nft_scope *in, enum subject what,
                                   const struct json_value *v, int nested)
{
    const char *word = json_str(v);
    if (nested > NESTED_MAX)
        return RULE_MAY_MATCH;
    if (word && word[0] == '@')
        return match_named(in, what, word + 1, nested);
    if (json_is_array(v))
        return match_any(in, what, v, nested);
    struct json_iter it = json_iter(v);
    if (!json_is_object(v) || !json_next(&it))
        return match_scalar(in, what, v);
    if (is(it.key, "set"))
        return json_is_array(it.value) ? match_any(in, what, it.value, nested)
                                       : match_value(in, what, it.value, nested + 1);
    if (is(it.key, "|") && what == SUBJECT_STATE)
        return match_any(in, what, it.value, nested);
    if (is(it.key, "elem"))
        return match_value(in, what, json_get(it.value, "val"), nested + 1);
    if (is(it.key, "range"))
        return match_range(in, what, it.value);
    return is(it.key, "prefix") ? match_prefix(in, what, it.value) : RULE_MAY_MATCH;
}

/* ---- the operator ---- */

static enum rule_match match_order(const struct nft_scope *in, const char *op,
                                   const struct json_value *right)
{
    int64_t n;
    if (json_int(right, &n) != 1)
        return RULE_MAY_MATCH;
    if (is(op, "<"))
        return ruleset_port(in->rules, in->packet, 0, n - 1);
    if (is(op, "<="))
        return ruleset_port(in->rules, in->packet, 0, n);
    if (is(op, ">"))
        return ruleset_port(in->rules, in->packet, n + 1, UINT16_MAX);
    return is(op, ">=") ? ruleset_port(in->rules, in->packet, n, UINT16_MAX) : RULE_MAY_MATCH;
}

enum rule_match nft_match(const struct nft_scope *in, const struct json_value *match)
{
    const struct json_value *right = json_get(match, "right");
    const char *op = json_get_str(match, "op");
    enum subject what = subject_of(in, json_get(match, "left"));
    bool exists;
    if (what == SUBJECT_NEVER)
        return RULE_MATCHES_NOT;
    if (what == SUBJECT_UNKNOWN || !right || !op)
        return RULE_MAY_MATCH;
    if (what == SUBJECT_ROUTE_BACK)
        return is(op, "==") && json_get_bool(match, "right", &exists) == 1 ? rule_if(exists)
                                                                           : RULE_MAY_MATCH;
    if (is(op, "==") || is(op, "in"))
        return match_value(in, what, right, 0);
    if (is(op, "!="))
        return rule_not(match_value(in, what, right, 0));
    return what == SUBJECT_PORT ? match_order(in, op, right) : RULE_MAY_MATCH;
}

/* ---- verdicts ---- */

bool nft_verdict(const char *name, const struct json_value *value, enum rule_verdict *verdict,
                 const char **target)
{
    static const struct {
        const char *name;
        enum rule_verdict verdict;
    } rows[] = {{"accept", RULE_ACCEPT}, {"drop", RULE_DROP}, {"reject", RULE_DROP},
                {"return", RULE_RETURN}, {"jump", RULE_JUMP}, {"goto", RULE_GOTO},
                {"continue", RULE_NEXT}};
    for (size_t i = 0; i < countof(rows); i++) {
        if (!is(name, rows[i].name))
            continue;
        *verdict = rows[i].verdict;
        *target = json_get_str(value, "target");
        if (!*target && (*verdict == RULE_JUMP || *verdict == RULE_GOTO))
            *verdict = RULE_ANY;
        return true;
    }
    return false;
}

static void add_entry(struct rule_chain *c, enum rule_match match,
                      const struct json_value *statement)
{
    struct json_iter it = json_iter(statement);
    enum rule_verdict verdict;
    const char *target = NULL;
    if (!json_is_object(statement) || !json_next(&it) ||
        !nft_verdict(it.key, it.value, &verdict, &target))
        verdict = RULE_ANY;
    ruleset_add(c, match, verdict, target);
}

/* The element "*" is for what no other element matches. */
static enum rule_match match_key(const struct nft_scope *in, enum subject what,
                                 const struct json_value *key, enum rule_match *others)
{
    const struct json_value *elem = json_get(key, "elem");
    if (is(json_str(elem ? json_get(elem, "val") : key), "*"))
        return RULE_MAY_MATCH;
    enum rule_match m = what == SUBJECT_UNKNOWN ? RULE_MAY_MATCH : match_value(in, what, key, 0);
    *others = MAX(*others, m);
    return m;
}

void nft_verdict_map(const struct nft_scope *in, struct rule_chain *c, enum rule_match so_far,
                     const struct json_value *map)
{
    const struct json_value *data = json_get(map, "data");
    enum subject what = subject_of(in, json_get(map, "key"));
    enum rule_match others = RULE_MATCHES_NOT;
    const char *name = json_str(data);
    if (what == SUBJECT_NEVER)
        return;
    if (name) {
        const struct json_value *set = named(in, "map", name + (*name == '@'));
        data = set ? json_get(set, "elem") : NULL;
    } else {
        data = json_get(data, "set");
    }
    if (!data || !json_is_array(data)) {
        ruleset_add(c, so_far, RULE_ANY, NULL);
        return;
    }
    for (struct json_iter it = json_iter(data); json_next(&it);) {
        struct json_iter pair = json_iter(it.value);
        const struct json_value *key = json_next(&pair) ? pair.value : NULL;
        const struct json_value *verdict = json_next(&pair) ? pair.value : NULL;
        add_entry(c, MIN(so_far, match_key(in, what, key, &others)), verdict);
    }
}
