#include <stdio.h>
#include <stdlib.h>

#include "applets/service/firewall_judge.h"
#include "core/mem.h"
#include "tests/unit/test.h"

static const struct firewall_ask range = {40000, 50000, 40000, 50000, NULL};

/* A machine whose packets come in by eth0, from 198.51.100.7 and from who knows where. */
static struct firewall_facts facts_of(const char *nft, const char *save)
{
    struct firewall_facts f = {.nft = nft, .used = {true, false}};
    snprintf(f.packet[FIREWALL_V4].iface, IFNAMSIZ, "eth0");
    f.packet[FIREWALL_V4].from_known = true;
    memcpy(f.packet[FIREWALL_V4].from, (uint8_t[]){198, 51, 100, 7}, 4);
    snprintf(f.packet[FIREWALL_V6].iface, IFNAMSIZ, "eth0");
    f.packet[FIREWALL_V6].v6 = true;
    f.save[FIREWALL_V4] = save;
    return f;
}

static void check_view(const struct firewall_facts *facts, const struct firewall_ask *ask,
                       const char *want)
{
    struct firewall_judgement j;
    firewall_judge(&j, facts, ask);
    cleanup_free char *got = xasprintf("%s: %s -> %s", firewall_verdict_name(j.verdict), j.seen,
                                       j.remedy ? j.remedy : "");
    CHECK_STR(got, want);
    firewall_judgement_fini(&j);
}

/* ---- nft ---- */

#define EMPTY         "{\"nftables\": []}"
#define CHAIN(more)   "{\"chain\": {\"family\": \"inet\", \"table\": \"f\", " more "}}"
#define INPUT(policy) CHAIN("\"name\": \"in\", \"hook\": \"input\", \"policy\": \"" policy "\"")
#define RULE_IN(name, expr)                                                                        \
    "{\"rule\": {\"family\": \"inet\", \"table\": \"f\", \"chain\": \"" name "\", \"expr\": "      \
    "[" expr "]}}"
#define R(expr)         "," RULE_IN("in", expr)
#define MATCH(op, l, r) "{\"match\": {\"op\": \"" op "\", \"left\": " l ", \"right\": " r "}},"
#define META(key)       "{\"meta\": {\"key\": \"" key "\"}}"
#define FIELD(p, f)     "{\"payload\": {\"protocol\": \"" p "\", \"field\": \"" f "\"}}"
#define DPORT           FIELD("udp", "dport")
#define STATE           "{\"ct\": {\"key\": \"state\"}}"
#define ACCEPT          "{\"accept\": null}"
#define DROP            "{\"drop\": null}"
#define OURS            "{\"range\": [40000, 50000]}"
#define JUMP(to)        "{\"jump\": {\"target\": \"" to "\"}}"

static const struct {
    const char *policy, *rules; /* of one base chain, and what else there is */
    enum firewall_verdict verdict;
} nft_rows[] = {
    {"accept", "", FIREWALL_OPEN},
    {"drop", "", FIREWALL_CLOSED},
    {"drop", R(MATCH("==", DPORT, OURS) ACCEPT), FIREWALL_OPEN},
    {"drop", R(MATCH("==", DPORT, "40000") ACCEPT), FIREWALL_CLOSED},
    {"drop", R(MATCH("==", DPORT, "{\"range\": [1, 65535]}") ACCEPT), FIREWALL_OPEN},
    {"drop",
     R(MATCH("==", DPORT,
             "{\"set\": [22, {\"range\": [40000, 44999]}, {\"range\": [45000, 50000]}]}") ACCEPT),
     FIREWALL_OPEN},
    {"drop",
     R(MATCH("==", DPORT, "{\"range\": [40000, 44999]}") ACCEPT)
         R(MATCH("==", DPORT, "{\"range\": [45000, 50000]}") ACCEPT),
     FIREWALL_OPEN},
    {"accept", R(MATCH("==", DPORT, "{\"range\": [49999, 60000]}") DROP), FIREWALL_CLOSED},
    {"accept", R(MATCH("==", DPORT, "{\"range\": [50001, 60000]}") DROP), FIREWALL_OPEN},
    {"accept", R(MATCH("!=", DPORT, "{\"set\": [53, 123]}") DROP), FIREWALL_CLOSED},
    {"accept", R(MATCH(">=", DPORT, "1024") DROP), FIREWALL_CLOSED},
    {"accept", R(MATCH(">", DPORT, "50000") DROP), FIREWALL_OPEN},
    {"accept", R(MATCH("<", DPORT, "40000") DROP), FIREWALL_OPEN},
    {"accept", R(MATCH("<=", DPORT, "40000") DROP), FIREWALL_CLOSED},
    {"accept", R(MATCH("<", DPORT, "40000") ACCEPT) R(DROP), FIREWALL_CLOSED},
    /* protocols */
    {"accept", R(MATCH("==", META("l4proto"), "\"udp\"") DROP), FIREWALL_CLOSED},
    {"accept", R(MATCH("==", META("l4proto"), "17") DROP), FIREWALL_CLOSED},
    {"accept", R(MATCH("==", META("l4proto"), "\"tcp\"") DROP), FIREWALL_OPEN},
    {"accept", R(MATCH("!=", FIELD("tcp", "dport"), "22") DROP), FIREWALL_OPEN},
    {"accept", R(MATCH("==", FIELD("th", "dport"), "41000") DROP), FIREWALL_CLOSED},
    {"accept", R(MATCH("==", META("nfproto"), "\"ipv6\"") DROP), FIREWALL_OPEN},
    {"accept", R(MATCH("==", META("nfproto"), "\"ipv4\"") DROP), FIREWALL_CLOSED},
    {"drop", R(MATCH("==", FIELD("ip6", "nexthdr"), "\"udp\"") ACCEPT), FIREWALL_CLOSED},
    /* states, interfaces, sources */
    {"drop", R(MATCH("in", STATE, "[\"established\", \"related\"]") ACCEPT), FIREWALL_CLOSED},
    {"drop", R(MATCH("==", STATE, "\"new\"") ACCEPT), FIREWALL_OPEN},
    {"drop", R(MATCH("==", META("iifname"), "\"lo\"") ACCEPT), FIREWALL_CLOSED},
    {"accept", R(MATCH("!=", META("iifname"), "\"lo\"") DROP), FIREWALL_CLOSED},
    {"drop", R(MATCH("==", META("iif"), "\"eth0\"") ACCEPT), FIREWALL_OPEN},
    {"drop", R(MATCH("==", META("iifname"), "\"eth*\"") ACCEPT), FIREWALL_OPEN},
    {"drop", R(MATCH("==", META("iifname"), "\"eth1\"") ACCEPT), FIREWALL_CLOSED},
    {"drop",
     R(MATCH("==", FIELD("ip", "saddr"), "{\"prefix\": {\"addr\": \"198.51.100.0\", \"len\": 24}}")
           ACCEPT),
     FIREWALL_OPEN},
    {"accept", R(MATCH("==", FIELD("ip", "saddr"), "\"203.0.113.1\"") DROP), FIREWALL_OPEN},
    {"accept",
     R(MATCH("==", FIELD("ip", "saddr"), "{\"range\": [\"198.51.100.1\", \"198.51.100.9\"]}") DROP),
     FIREWALL_CLOSED},
    /* order, jumps */
    {"drop", R(ACCEPT) R(DROP), FIREWALL_OPEN},
    {"accept", R(DROP) R(ACCEPT), FIREWALL_CLOSED},
    {"accept", R(JUMP("a")) "," RULE_IN("a", DROP), FIREWALL_CLOSED},
    {"drop", R(JUMP("a")) R(ACCEPT) "," RULE_IN("a", "{\"return\": null}") "," RULE_IN("a", DROP),
     FIREWALL_OPEN},
    {"drop", R("{\"goto\": {\"target\": \"a\"}}") R(ACCEPT) "," CHAIN("\"name\": \"a\""),
     FIREWALL_CLOSED},
    {"accept", R(JUMP("a")) "," RULE_IN("a", JUMP("b")) "," RULE_IN("b", JUMP("a")),
     FIREWALL_UNKNOWN},
    {"accept", R(JUMP("nowhere")), FIREWALL_UNKNOWN},
    /* sets and maps with names */
    {"drop",
     R(MATCH("==", DPORT, "\"@p\"") ACCEPT) ",{\"set\": {\"family\": \"inet\", \"table\": \"f\", "
                                            "\"name\": \"p\", \"elem\": [" OURS "]}}",
     FIREWALL_OPEN},
    {"drop", R(MATCH("==", DPORT, "\"@p\"") ACCEPT), FIREWALL_UNKNOWN},
    {"accept",
     R("{\"vmap\": {\"key\": " DPORT ", \"data\": {\"set\": [[22, " ACCEPT "], [" OURS ", " DROP
       "]]}}}"),
     FIREWALL_CLOSED},
    {"drop",
     R("{\"vmap\": {\"key\": " STATE ", \"data\": {\"set\": [[\"established\", " DROP
       "], [\"new\", " ACCEPT "]]}}}"),
     FIREWALL_OPEN},
    {"drop", R("{\"vmap\": {\"key\": " DPORT ", \"data\": \"@m\"}}"), FIREWALL_UNKNOWN},
    /* what is not understood never opens, and never closes */
    {"drop", R("{\"limit\": {\"rate\": 3}}," ACCEPT), FIREWALL_UNKNOWN},
    {"drop", R(MATCH("==", META("mark"), "7") ACCEPT), FIREWALL_UNKNOWN},
    {"accept", R(MATCH("==", META("mark"), "7") DROP), FIREWALL_UNKNOWN},
    {"accept", R("{\"xt\": {\"type\": \"target\", \"name\": \"REJECT\"}}"), FIREWALL_UNKNOWN},
    {"accept", R("{\"new-thing\": 1}"), FIREWALL_UNKNOWN},
    {"accept", R("\"word\""), FIREWALL_UNKNOWN},
    {"drop", R("{\"new-thing\": 1}"), FIREWALL_UNKNOWN},
    {"drop", R(MATCH("==", META("mark"), "7") DROP), FIREWALL_CLOSED},
    {"accept", R("{\"counter\": null},{\"log\": null}"), FIREWALL_OPEN},
    {"accept", R("{\"mangle\": {\"key\": " META("mark") ", \"value\": 1}}"), FIREWALL_OPEN},
    {"accept", R("{\"mangle\": {\"key\": " DPORT ", \"value\": 1}}"), FIREWALL_UNKNOWN},
    {"accept", R("{\"redirect\": {\"port\": 1}}"), FIREWALL_UNKNOWN},
    {"maybe", "", FIREWALL_UNKNOWN},
    /* other hooks and tables */
    {"drop", ",{\"table\": {\"family\": \"inet\", \"name\": \"f\", \"flags\": [\"dormant\"]}}",
     FIREWALL_OPEN},
    {"drop", ",{\"table\": {\"family\": \"inet\", \"name\": \"g\", \"flags\": \"dormant\"}}",
     FIREWALL_CLOSED},
    {"accept", "," CHAIN("\"name\": \"x\", \"hook\": \"output\", \"policy\": \"drop\""),
     FIREWALL_OPEN},
    {"accept", "," CHAIN("\"name\": \"x\", \"hook\": \"prerouting\", \"policy\": \"drop\""),
     FIREWALL_CLOSED},
    {"accept",
     "," CHAIN("\"name\": \"x\", \"hook\": \"ingress\", \"dev\": \"eth1\", \"policy\": \"drop\""),
     FIREWALL_OPEN},
    {"accept",
     ",{\"chain\": {\"family\": \"bridge\", \"table\": \"f\", \"name\": \"x\", \"hook\": "
     "\"input\", \"policy\": \"drop\"}}",
     FIREWALL_OPEN},
};

TEST(firewall_judges_nft)
{
    for (size_t i = 0; i < countof(nft_rows); i++) {
        cleanup_free char *text =
            xasprintf("{\"nftables\": [" CHAIN("\"name\": \"in\", \"hook\": \"input\", \"policy\": "
                                               "\"%s\"") "%s]}",
                      nft_rows[i].policy, nft_rows[i].rules);
        struct firewall_facts facts = facts_of(text, NULL);
        struct firewall_judgement j;
        firewall_judge(&j, &facts, &range);
        if (j.verdict != nft_rows[i].verdict)
            test_fail(__FILE__, __LINE__, "%s: %s", text, firewall_verdict_name(j.verdict));
        firewall_judgement_fini(&j);
    }
}

TEST(firewall_says_which_chain_of_nft)
{
    struct firewall_facts facts = facts_of("{\"nftables\": [" INPUT("drop") "]}", NULL);
    check_view(&facts, &range,
               "closed: nftables blocks UDP 40000-50000 in chain inet f in -> sudo nft insert rule "
               "inet f in udp dport 40000-50000 accept");
    struct firewall_ask one = firewall_ask_of(53, NULL);
    check_view(
        &facts, &one,
        "closed: nftables blocks UDP 53 in chain inet f in -> sudo nft insert rule inet f in "
        "udp dport 53 accept");
    facts.nft = "{\"nftables\": [" INPUT("drop") R(MATCH("==", DPORT, "45000") ACCEPT) "]}";
    one = firewall_ask_of(45000, NULL);
    check_view(&facts, &one, "open: its own rules let UDP 45000 in -> ");
    one = firewall_ask_of(45001, NULL);
    check_view(
        &facts, &one,
        "closed: nftables blocks UDP 45001 in chain inet f in -> sudo nft insert rule inet f "
        "in udp dport 40000-50000 accept");
    check_view(&facts, &range,
               "closed: nftables blocks part of UDP 40000-50000 in chain inet f in -> sudo nft "
               "insert rule inet f in udp dport 40000-50000 accept");
    facts.nft =
        "{\"nftables\": [{\"chain\": {\"family\": \"inet\", \"table\": \"$(id)\", \"name\": "
        "\"in\", \"hook\": \"input\", \"policy\": \"drop\"}}]}";
    check_view(&facts, &range,
               "closed: nftables blocks UDP 40000-50000 in chain inet $(id) in -> ");
}

TEST(firewall_tells_the_families_apart)
{
    struct firewall_facts facts = facts_of(
        "{\"nftables\": [{\"chain\": {\"family\": \"ip6\", \"table\": \"f\", \"name\": \"in\", "
        "\"hook\": \"input\", \"policy\": \"drop\"}}]}",
        NULL);
    check_view(&facts, &range, "open: its own rules let UDP 40000-50000 in -> ");
    facts.used[FIREWALL_V6] = true;
    check_view(&facts, &range,
               "closed: nftables blocks UDP 40000-50000 over IPv6 in chain ip6 f in -> sudo nft "
               "insert rule ip6 f in udp dport 40000-50000 accept");
}

TEST(firewall_many_parts_of_a_range)
{
    char *rules = xstrdup("");
    for (int i = 0; i < 300; i++) {
        cleanup_free char *before = rules;
        rules = xasprintf("%s" R(MATCH("==", DPORT, "%d") ACCEPT), before, 40000 + 2 * i);
    }
    cleanup_free char *text = xasprintf("{\"nftables\": [" INPUT("accept") "%s]}", rules);
    struct firewall_facts facts = facts_of(text, NULL);
    struct firewall_judgement j;
    firewall_judge(&j, &facts, &range);
    CHECK_INT(j.verdict, FIREWALL_UNKNOWN);
    firewall_judgement_fini(&j);
    struct firewall_ask one = firewall_ask_of(45000, NULL);
    firewall_judge(&j, &facts, &one);
    CHECK_INT(j.verdict, FIREWALL_OPEN);
    firewall_judgement_fini(&j);
    free(rules);
}

/* ---- iptables ---- */

#define SAVE(policy, rules)                                                                        \
    "# Generated by iptables-save v1.8.9 (nf_tables) on a day\n*filter\n:INPUT " policy " [0:0]\n" \
    ":FORWARD DROP [0:0]\n:mine - [0:0]\n" rules "COMMIT\n# Completed\n"
#define A "-A INPUT "

static const struct {
    const char *text;
    enum firewall_verdict verdict;
} iptables_rows[] = {
    {SAVE("ACCEPT", ""), FIREWALL_OPEN},
    {SAVE("DROP", ""), FIREWALL_CLOSED},
    {SAVE("DROP", A "-p udp -m udp --dport 40000:50000 -j ACCEPT\n"), FIREWALL_OPEN},
    {SAVE("DROP", A "-p udp -m udp --dport 40000: -j ACCEPT\n"), FIREWALL_OPEN},
    {SAVE("DROP", A "-p udp -m udp --dport :39999 -j ACCEPT\n"), FIREWALL_CLOSED},
    {SAVE("DROP", A "-p udp -m multiport --dports 22,40000:50000 -m comment --comment \"a \\\"-j "
                    "DROP\\\" b\" -j ACCEPT\n"),
     FIREWALL_OPEN},
    {SAVE("DROP", A "-p tcp -m tcp --dport 40000:50000 -j ACCEPT\n"), FIREWALL_CLOSED},
    {SAVE("DROP", A "! -p tcp -j ACCEPT\n"), FIREWALL_OPEN},
    {SAVE("DROP", A "-i lo -j ACCEPT\n"), FIREWALL_CLOSED},
    {SAVE("ACCEPT", A "! -i lo -j DROP\n"), FIREWALL_CLOSED},
    {SAVE("DROP", A "-i eth+ -j ACCEPT\n"), FIREWALL_OPEN},
    {SAVE("DROP", A "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"), FIREWALL_CLOSED},
    {SAVE("DROP", A "-m state --state NEW -j ACCEPT\n"), FIREWALL_OPEN},
    {SAVE("DROP", A "-m addrtype --dst-type LOCAL -j ACCEPT\n"), FIREWALL_OPEN},
    {SAVE("ACCEPT", A "-m addrtype --dst-type MULTICAST,BROADCAST -j DROP\n"), FIREWALL_OPEN},
    {SAVE("DROP", A "-s 198.51.100.0/24 -j ACCEPT\n"), FIREWALL_OPEN},
    {SAVE("DROP", A "-s 198.51.100.0/255.255.255.0 -j ACCEPT\n"), FIREWALL_OPEN},
    {SAVE("ACCEPT", A "-s 203.0.113.9/32 -j REJECT --reject-with icmp-port-unreachable\n"),
     FIREWALL_OPEN},
    {SAVE("DROP", A "-j LOG --log-prefix \"x -j ACCEPT \"\n" A "-j mine\n-A mine -j ACCEPT\n"),
     FIREWALL_OPEN},
    {SAVE("ACCEPT", A "-g mine\n" A "-j DROP\n"), FIREWALL_OPEN},
    {SAVE("ACCEPT", A "-j mine\n" A "-j DROP\n-A mine -j RETURN\n-A mine -j ACCEPT\n"),
     FIREWALL_CLOSED},
    {SAVE("DROP", A "-m set --match-set friends src -j ACCEPT\n"), FIREWALL_UNKNOWN},
    {SAVE("DROP", A "-m limit --limit 3/min -j ACCEPT\n"), FIREWALL_UNKNOWN},
    {SAVE("ACCEPT", A "-j NEWTHING\n"), FIREWALL_UNKNOWN},
    {SAVE("ACCEPT", A "-p udp -m udp --dport domain -j DROP\n"), FIREWALL_UNKNOWN},
    {SAVE("ACCEPT", "nonsense\n"), FIREWALL_UNKNOWN},
    {"# Generated by iptables-save v1.8.9 (nf_tables)\n*filter\n:INPUT ACCEPT [0:0]\n",
     FIREWALL_UNKNOWN}, /* it breaks off */
    {SAVE("ACCEPT", "") "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp -j DROP\nCOMMIT\n",
     FIREWALL_CLOSED},
};

TEST(firewall_judges_iptables)
{
    for (size_t i = 0; i < countof(iptables_rows); i++) {
        struct firewall_facts facts = facts_of(EMPTY, iptables_rows[i].text);
        struct firewall_judgement j;
        firewall_judge(&j, &facts, &range);
        if (j.verdict != iptables_rows[i].verdict)
            test_fail(__FILE__, __LINE__, "%s: %s", iptables_rows[i].text,
                      firewall_verdict_name(j.verdict));
        firewall_judgement_fini(&j);
    }
}

TEST(firewall_both_kinds_of_iptables)
{
    struct firewall_facts facts = facts_of(EMPTY, NULL);
    facts.legacy_used[FIREWALL_V4] = true;
    check_view(&facts, &range,
               "unknown: not all of its rules could be read, and those let UDP 40000-50000 in -> ");
    facts.legacy[FIREWALL_V4] = SAVE("DROP", "");
    check_view(
        &facts, &range,
        "closed: iptables blocks UDP 40000-50000 in chain INPUT -> sudo iptables -I INPUT -p "
        "udp --dport 40000:50000 -j ACCEPT");
    facts.used[FIREWALL_V6] = facts.legacy_used[FIREWALL_V6] = true;
    facts.legacy[FIREWALL_V6] = SAVE("DROP", "");
    check_view(
        &facts, &range,
        "closed: iptables blocks UDP 40000-50000 in chain INPUT -> sudo iptables -I INPUT -p "
        "udp --dport 40000:50000 -j ACCEPT && sudo ip6tables -I INPUT -p udp --dport "
        "40000:50000 -j ACCEPT");
    facts.legacy[FIREWALL_V4] = facts.legacy[FIREWALL_V6] = SAVE("ACCEPT", "");
    check_view(&facts, &range, "open: its own rules let UDP 40000-50000 in -> ");
}

TEST(firewall_without_nft_there_may_be_more_rules)
{
    struct firewall_facts facts = facts_of(NULL, SAVE("ACCEPT", ""));
    check_view(&facts, &range,
               "unknown: not all of its rules could be read, and those let UDP 40000-50000 in -> ");
    facts.save[FIREWALL_V4] = SAVE("DROP", "");
    check_view(
        &facts, &range,
        "closed: iptables blocks UDP 40000-50000 in chain INPUT -> sudo iptables -I INPUT -p "
        "udp --dport 40000:50000 -j ACCEPT");
    facts.save[FIREWALL_V4] = SAVE("DROP", ":ufw-before-input - [0:0]\n");
    check_view(&facts, &range,
               "closed: ufw blocks UDP 40000-50000 -> sudo ufw allow 40000:50000/udp");
}

/* ---- where rules may not be read ---- */

TEST(firewall_signs)
{
    struct firewall_facts facts = facts_of(NULL, NULL);
    check_view(&facts, &range,
               "unknown: no firewall is known to be on (ufw, firewalld, nftables, iptables), but "
               "only root "
               "may see the rules -> ");
    facts.iptables = true;
    facts.used[FIREWALL_V6] = true;
    check_view(
        &facts, &range,
        "unknown: iptables is on; what it blocks only root may see -> sudo iptables -I INPUT "
        "-p udp --dport 40000:50000 -j ACCEPT && sudo ip6tables -I INPUT -p udp --dport "
        "40000:50000 -j ACCEPT");
    facts.nftables = true;
    check_view(&facts, &range,
               "unknown: nftables is on; what it blocks only root may see -> sudo nft insert rule "
               "inet filter input udp dport 40000-50000 accept");
    facts.conf_closes = true;
    facts.conf = (struct firewall_chain){"ip", "guard", "door"};
    check_view(
        &facts, &range,
        "unknown: nftables is on, and chain ip guard door in /etc/nftables.conf drops packets; "
        "which, only root may see -> sudo nft insert rule ip guard door udp dport 40000-50000 "
        "accept");
    facts.firewalld = true;
    check_view(&facts, &range,
               "unknown: firewalld is on; what it blocks only root may see -> sudo firewall-cmd "
               "--permanent --add-port=40000-50000/udp && sudo firewall-cmd --reload");
    facts.ufw = true;
    check_view(&facts, &range,
               "unknown: ufw is on; what it blocks only root may see -> sudo ufw allow "
               "40000:50000/udp");
}

TEST(firewall_ufw_conf)
{
    CHECK(firewall_ufw_enabled("# ENABLED=no\nENABLED=yes\nLOGLEVEL=low\n"));
    CHECK(firewall_ufw_enabled("  ENABLED=\"Yes\""));
    CHECK(!firewall_ufw_enabled("ENABLED=no\n"));
    CHECK(!firewall_ufw_enabled("#ENABLED=yes\n"));
    CHECK(!firewall_ufw_enabled("ENABLED=yesterday\n"));
    CHECK(!firewall_ufw_enabled("ENABLED=yes\nENABLED=no"));
    CHECK(!firewall_ufw_enabled(""));
}

TEST(firewall_nftables_conf)
{
    struct firewall_chain c;
    CHECK(!firewall_conf_closer("flush ruleset\ntable inet filter {\n chain input {\n  type filter "
                                "hook input priority 0;\n }\n chain output { type filter hook "
                                "output priority 0; policy drop; }\n}\n",
                                &c));
    CHECK(
        firewall_conf_closer("# table ip no { chain no { hook input drop } }\n"
                             "table inet guard{ set s { elements = { 1, 2 } }\n chain a { drop }\n"
                             " chain door {\n type filter hook input priority 0; policy drop;\n}}",
                             &c));
    CHECK_STR(c.family, "inet");
    CHECK_STR(c.table, "guard");
    CHECK_STR(c.name, "door");
    CHECK(
        firewall_conf_closer("table t { chain in { type filter hook input priority 0;\n"
                             "udp dport { 1, 2 } accept\nlog prefix \"drop }\" counter reject } }",
                             &c));
    CHECK_STR(c.family, "ip");
    CHECK_STR(c.table, "t");
    CHECK(!firewall_conf_closer("include \"/etc/nftables.d/*.nft\"\n", &c));
    CHECK(!firewall_conf_closer("table inet", &c));
    CHECK(!firewall_conf_closer("table inet x { chain \"", &c));
}

/* ---- what a person is told ---- */

TEST(firewall_hints)
{
    static const struct {
        struct firewall_view view;
        const char *text;
    } rows[] = {
        {{FIREWALL_CLOSED, "ufw blocks UDP 40001", "sudo ufw allow 40000:50000/udp"},
         "ufw blocks UDP 40001\nto open it: sudo ufw allow 40000:50000/udp"},
        {{FIREWALL_OPEN, "its own rules let UDP 40001 in", NULL},
         "its own rules let UDP 40001 in; a firewall between may not\nopen UDP 40000-50000 to it "
         "where that is kept: the provider's security group, a router"},
        {{FIREWALL_UNKNOWN, "ufw is on; what it blocks only root may see", "sudo ufw allow x"},
         "ufw is on; what it blocks only root may see\nto open it: sudo ufw allow x; else open UDP "
         "40000-50000 at its provider (security group, router)"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        char *text = firewall_hint_text(&rows[i].view, 40001);
        CHECK_STR(text, rows[i].text);
        free(text);
    }
}
