/* A list of nft's rules: there is always a verdict, and nothing in it opens what another table
 * closes. */
#include <assert.h>
#include <string.h>

#include "applets/service/firewall_judge.h"
#include "core/mem.h"

static const struct firewall_ask range = {40000, 50000, 40000, 50000, NULL};

static enum firewall_verdict judge(const char *nft, const char *legacy)
{
    struct firewall_facts facts = {
        .nft = nft,
        .used = {true, true},
        .legacy = {legacy, legacy},
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
    enum firewall_verdict verdict = judge(text, NULL);
    assert(verdict <= FIREWALL_UNKNOWN);
    assert(judge(text, "*filter\n:INPUT DROP [0:0]\nCOMMIT\n") == FIREWALL_CLOSED);
    return 0;
}
