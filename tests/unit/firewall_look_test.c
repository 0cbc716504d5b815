/* With the programs of this machine, in a network of the test's own. */
#include <stdlib.h>

#include "applets/agent/client.h"
#include "applets/service/firewall.h"
#include "applets/service/program.h"
#include "core/mem.h"
#include "tests/unit/netns.h"
#include "tests/unit/probe.h"
#include "tests/unit/service_rig.h"
#include "tests/unit/test.h"

static void looked(void *arg, const struct firewall_view *view)
{
    char **said = arg;
    *said = xasprintf("%s: %s -> %s", firewall_verdict_name(view->verdict), view->seen,
                      view->remedy ? view->remedy : "");
}

static char *look(const char *peer)
{
    struct loop *loop = loop_new();
    struct firewall_ask ask = firewall_ask_of(40001, peer);
    char *said = NULL;
    unsigned before = open_descriptors();
    struct firewall *f = firewall_look(loop, &ask, looked, &said);
    CHECK(f && !said);
    TURN_UNTIL(loop, said);
    CHECK_INT(open_descriptors(), before);
    loop_free(loop);
    return said;
}

static void check_look(const char *rules, const char *peer, const char *want)
{
    cleanup_free char *line = xasprintf("nft 'flush ruleset; %s'", rules);
    CHECK_INT(system(line), 0);
    char *said = look(peer);
    CHECK_STR(said, want);
    free(said);
}

TEST(firewall_looks_at_this_machine)
{
    cleanup_free char *nft = program_find("nft");
    int home = nft ? netns_enter(__func__) : -1;
    if (home < 0)
        return;
    CHECK_INT(netns_lo_up(), 0);
    check_look("", NULL, "open: its own rules let UDP 40001 in -> ");
    check_look(
        "table inet t { chain c { type filter hook input priority 0; policy drop; iif lo "
        "accept; } ; }",
        "192.0.2.7",
        "closed: nftables blocks UDP 40001 in chain inet t c -> sudo nft insert rule inet t c "
        "udp dport 40000-50000 accept");
    /* Who connects through this machine's loopback gets in by it. */
    check_look("table inet t { chain c { type filter hook input priority 0; policy drop; iif lo "
               "accept; } ; }",
               "127.0.0.1", "open: its own rules let UDP 40001 in -> ");
    CHECK_INT(netns_leave(home), 0);
}

TEST(firewall_look_cancelled)
{
    struct loop *loop = loop_new();
    struct firewall_ask ask = firewall_ask_of(40001, "not an address");
    unsigned before = open_descriptors();
    char *said = NULL;
    firewall_cancel(firewall_look(loop, &ask, looked, &said));
    firewall_cancel(NULL);
    TURN_UNTIL(loop, open_descriptors() == before);
    CHECK(!said);
    loop_free(loop);
}

/* ---- FirewallHint ---- */

TEST(firewall_hint_request)
{
    struct rig g;
    rig_init(&g);
    g.sv.rows = agent_rows;
    rig_open(&g, "{\"type\":\"FirewallHint\",\"port\":40001}");
    const char *text = json_get_str(rig_expect(&g, MSG_HINT), "text");
    CHECK(text && strchr(text, '\n') && strstr(text, "UDP 40000-50000"));
    rig_expect_end(&g);
    rig_open(&g, "{\"type\":\"FirewallHint\",\"port\":0}");
    CHECK_STR(rig_expect_error(&g, ERR_INVALID_REQUEST), "port: a number from 1 to 65535");
    rig_open(&g, "{\"type\":\"FirewallHint\"}");
    rig_expect_error(&g, ERR_INVALID_REQUEST);
    rig_open(&g, "{\"type\":\"FirewallHint\",\"port\":40001}"); /* and is left alone */
    rig_turn(&g);
    rig_fini(&g);
}
