#include "applets/service/listing.h"

#include <stdlib.h>

#include "core/key.h"
#include "tests/unit/test.h"

TEST(listing_says_what_there_is)
{
    static const uint8_t id[SESSION_LEN] = {0xab, 1};
    struct json_node *sessions;
    struct draft d = listing_draft("master", &sessions);
    struct listed_session s = {.host = "me@there",
                               .from = "192.0.2.1",
                               .state = "up",
                               .transport = "ssh",
                               .id = id,
                               .up_ms = 61999,
                               .rtt_us = 18000};
    struct json_node *forwards = listing_session(&d, sessions, &s);
    struct forward_spec local, socks;
    const char *why;
    CHECK_INT(forward_spec_parse(&local, FORWARD_LOCAL, "5432", &why), 0);
    CHECK_INT(forward_spec_parse(&socks, FORWARD_DYNAMIC, "1080", &why), 0);
    struct relay_count count = {.open = 3};
    struct meter meter = {.rate = 1000};
    listing_forward(&d, forwards,
                    &(struct listed_forward){.spec = &local,
                                             .state = "ok",
                                             .automatic = true,
                                             .count = &count,
                                             .meter = &meter,
                                             .process = "node",
                                             .pid = 5123});
    listing_forward(
        &d, forwards,
        &(struct listed_forward){.spec = &socks, .state = "ok", .count = &count, .meter = &meter});
    char *text = json_out_text(d.out, false, NULL);
    CHECK_STR(text,
              "{\"type\":\"Listing\",\"side\":\"master\",\"sessions\":[{"
              "\"id\":\"ab010000000000000000000000000000\",\"host\":\"me@there\","
              "\"from\":\"192.0.2.1\",\"transport\":\"ssh\",\"state\":\"up\",\"up_secs\":61,"
              "\"rtt_us\":18000,\"forwards\":["
              "{\"kind\":\"L\",\"bind\":\"127.0.0.1:5432\",\"target\":\"localhost:5432\","
              "\"state\":\"ok\",\"origin\":\"auto\",\"open\":3,\"rate\":1000,"
              "\"process\":\"node\",\"pid\":5123},"
              "{\"kind\":\"D\",\"bind\":\"127.0.0.1:1080\",\"state\":\"ok\",\"origin\":\"manual\","
              "\"open\":3,\"rate\":1000}]}]}");
    free(text);
    draft_free(&d);
}

TEST(listing_meter)
{
    struct relay_count count = {0};
    struct meter m = {.at_ms = 1000};
    count.up_bytes = 4000;
    count.down_bytes = 4000;
    meter_update(&m, &count, 1200); /* too early to tell */
    CHECK_INT(m.rate, 0);
    meter_update(&m, &count, 2000);
    CHECK_INT(m.rate, 4000);
    count.up_bytes += 8000;
    meter_update(&m, &count, 3000);
    CHECK_INT(m.rate, 6000);
    for (uint64_t at = 4000; at < 20000; at += 1000)
        meter_update(&m, &count, at);
    CHECK_INT(m.rate, 0);
}
