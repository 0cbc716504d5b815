/* firewall_nft.h: `nft -j list ruleset` (libnftables-json(5)) read for one packet. No I/O here. */
#ifndef SERVICE_FIREWALL_NFT_H
#define SERVICE_FIREWALL_NFT_H

#include "applets/service/firewall_rules.h"
#include "core/json.h"

/* Adds its chains, but for those of tables that the rule set has already: iptables-save has told
 * of these. 0, or -1: it is no list of rules. */
int firewall_nft_read(struct ruleset *s, const struct json *list, const struct firewall_packet *p);

/* Whether iptables' own tables are among them, whose rules nft shows only in part. */
bool firewall_nft_has_iptables(const struct json *list, bool v6);

/* firewall_nft_match.c: for the above. */
struct nft_scope {
    struct ruleset *rules;
    const struct firewall_packet *packet;
    const struct json_value *list; /* all objects: named sets are among them */
    const char *family, *table;    /* whose rule it is */
};

/* {op, left, right} */
enum rule_match nft_match(const struct nft_scope *in, const struct json_value *match);
/* Each entry of {key, data} as a rule, if `so_far` it came that far. */
void nft_verdict_map(const struct nft_scope *in, struct rule_chain *c, enum rule_match so_far,
                     const struct json_value *map);
/* A statement {name: value} as a verdict; false: it is none. *target is borrowed. */
bool nft_verdict(const char *name, const struct json_value *value, enum rule_verdict *verdict,
                 const char **target);

#endif
