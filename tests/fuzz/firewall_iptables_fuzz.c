/* iptables-save's output: there is always a verdict, and what breaks off opens nothing. */
#include <assert.h>
#include <string.h>

#include "applets/service/firewall_judge.h"
#include "core/mem.h"

static const struct firewall_ask range = {40000, 50000, 40000, 50000, NULL};

static enum firewall_verdict judge(const char *text, const char *v6)
{
    struct firewall_facts facts = {
        .nft = "{\"nftables\": []}",
        .used = {true, v6 != NULL},
        .save = {text, v6},
        .packet = {{.iface = "eth0", .from_known = true, .from = {10}}, {.v6 = true}}};
    struct firewall_judgement j;
    firewall_judge(&j, &facts, &range);
    enum firewall_verdict verdict = j.verdict;
    assert(j.seen && strlen(j.seen));
    firewall_judgement_fini(&j);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_free char *text = xstrndup((const char *)data, size);
    cleanup_free char *open_end = xasprintf("%s\n*filter\n", text);
    assert(judge(text, text) <= FIREWALL_UNKNOWN);
    assert(judge(open_end, NULL) != FIREWALL_OPEN);
    return 0;
}
