/* firewall_rules.h: what becomes of one packet in a netfilter rule set. No I/O here.
 *
 * A reader (firewall_nft.h, firewall_iptables.h) holds each rule against the packet that is asked
 * about: it matches, it does not, or that cannot be told. What is left to do is to follow the
 * verdicts, and where a rule may or may not match both ways are followed. So what is not
 * understood makes the answer wider, never wrong. */
#ifndef SERVICE_FIREWALL_RULES_H
#define SERVICE_FIREWALL_RULES_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first packet of a flow of UDP, to an address of this machine's own. */
struct firewall_packet {
    bool v6;
    uint16_t port;        /* it is for */
    char iface[IFNAMSIZ]; /* it comes in by; "": not known */
    uint8_t from[16];     /* address; the first four where it is not v6 */
    bool from_known;
};

/* In this order: two of them in one rule are as good as the lesser. */
enum rule_match { RULE_MATCHES_NOT, RULE_MAY_MATCH, RULE_MATCHES };

static inline enum rule_match rule_not(enum rule_match m)
{
    return (enum rule_match)(RULE_MATCHES - m);
}

static inline enum rule_match rule_if(bool yes)
{
    return yes ? RULE_MATCHES : RULE_MATCHES_NOT;
}

enum rule_verdict {
    RULE_NEXT, /* none: the next rule */
    RULE_ACCEPT,
    RULE_DROP,
    RULE_RETURN,
    RULE_JUMP,
    RULE_GOTO,
    RULE_ANY /* not understood */
};

struct rule {
    enum rule_match match;
    enum rule_verdict verdict;
    char *target; /* of a jump or goto; NULL else */
};

/* Bits: all that may become of the packet. */
enum { FATE_ACCEPT = 1, FATE_DROP = 2, FATE_RETURN = 4 };

struct rule_chain {
    const char *family; /* "inet", "ip", "ip6", …: a static text */
    char *table, *name;
    bool hooked; /* packets that come in begin here */
    enum rule_verdict policy;
    struct rule *rules;
    size_t n, cap;
    unsigned fates; /* of a packet that enters it; 0: not known yet */
    bool entered;   /* being found out */
};

struct ruleset {
    struct rule_chain *chains;
    size_t n, cap;
    size_t found; /* the chain that was looked for last */
    /* What the packet's port was compared with, in [first, last]: where another verdict may begin. */
    uint16_t first, last;
    uint16_t *edges;
    size_t edge_count, edge_cap;
};

void ruleset_fini(struct ruleset *s);
/* A chain that is there, else a new one. The names are copied. */
struct rule_chain *ruleset_chain(struct ruleset *s, const char *family, const char *table,
                                 const char *name);
bool ruleset_has_table(const struct ruleset *s, const char *family, const char *table);
/* `target` is copied; NULL for verdicts without. */
void ruleset_add(struct rule_chain *c, enum rule_match match, enum rule_verdict verdict,
                 const char *target);
/* The port against one from low to high, which is noted as an edge. */
enum rule_match ruleset_port(struct ruleset *s, const struct firewall_packet *p, int64_t low,
                             int64_t high);

/* FATE_ACCEPT or FATE_DROP or both. *closer is the first base chain that surely drops it, else the
 * first that may, else NULL. A rule set without chains lets everything in. */
unsigned ruleset_fate(struct ruleset *s, const struct rule_chain **closer);

/* For readers: an interface's name against a pattern, which ends with `wild` where it stands for
 * all that begin like it. */
enum rule_match packet_iface(const struct firewall_packet *p, const char *pattern, char wild);
/* Its source against "address", or "address/prefix" or "address/mask". */
enum rule_match packet_from(const struct firewall_packet *p, const char *text);
enum rule_match packet_from_range(const struct firewall_packet *p, const char *low,
                                  const char *high);

#endif
