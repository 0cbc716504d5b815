/* firewall_judge.h: what was found out about a machine's firewall, weighed up. No I/O here. */
#ifndef SERVICE_FIREWALL_JUDGE_H
#define SERVICE_FIREWALL_JUDGE_H

#include "applets/service/firewall.h"
#include "applets/service/firewall_config.h"
#include "applets/service/firewall_rules.h"

enum firewall_family { FIREWALL_V4, FIREWALL_V6, FIREWALL_FAMILIES };

/* Texts are the programs' outputs, NULL where there is none: not installed, not allowed. */
struct firewall_facts {
    const char *nft;                       /* nft -j list ruleset */
    const char *save[FIREWALL_FAMILIES];   /* iptables-nft-save, where nft's is not enough */
    const char *legacy[FIREWALL_FAMILIES]; /* iptables-legacy-save … */
    bool legacy_used[FIREWALL_FAMILIES];   /* … which is needed, too */
    bool legacy_named;                     /* its program has a name of its own: iptables-legacy */
    struct firewall_packet packet[FIREWALL_FAMILIES]; /* but for the port */
    bool used[FIREWALL_FAMILIES];                     /* the machine has such addresses */
    /* For those who may not read rules: */
    bool ufw, firewalld, nftables, iptables; /* they are switched on */
    bool conf_closes;                        /* /etc/nftables.conf … */
    struct firewall_chain conf;              /* … has this chain */
};

/* Which of the outputs are needed that only root has, and that nft does not give. */
bool firewall_needs_save(const char *nft, enum firewall_family family);

struct firewall_judgement {
    enum firewall_verdict verdict;
    char *seen, *remedy; /* as in firewall_view; heap */
};
void firewall_judge(struct firewall_judgement *j, const struct firewall_facts *facts,
                    const struct firewall_ask *ask);
void firewall_judgement_fini(struct firewall_judgement *j);

#endif
