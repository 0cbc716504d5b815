/* What a host says of itself, and what is made of it: nothing in it reaches the terminal as a
 * control character, and there is always a verdict. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "applets/control/doctor_check.h"

static void check_text(const char *text)
{
    size_t len = strlen(text);
    assert(len && text[len - 1] == '\n');
    for (size_t i = 0; i < len; i++)
        assert(text[i] == '\n' || text[i] == '\t' || (unsigned char)text[i] >= 0x20);
    assert(strstr(text, "host is ready") || strstr(text, "host is not ready"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct doctor_side side = {
        .host = "host",
        .self = "berth",
        .version = "1",
        .build = "2",
        .offers[SSH_X86_64].size = 1000000,
        .by_host = size & 1,
        .udp_port = 40000,
        .way_count = size % 3,
        .ways = {{.outcome = (enum way_outcome)(size % (WAY_GOOD + 1)), .address = "192.0.2.1"},
                 {.v6 = true, .address = "2001:db8::1"}}};
    struct doctor_report report;
    struct checks checks;
    doctor_report_parse(&report, "0123456789abcdef", (const char *)data, size);
    assert(strlen(report.noise) < sizeof report.noise && report.noise_len <= size);
    doctor_check(&checks, &report, &side);
    char *text = checks_text(&checks, side.host);
    check_text(text);
    free(text);
    checks_fini(&checks);
    doctor_report_fini(&report);
    return 0;
}
