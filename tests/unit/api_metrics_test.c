/* What the broker counts of itself, and who is told. */
#include <stdlib.h>

#include "applets/broker/activity.h"
#include "tests/unit/front_client.h"

static int get(struct front_rig *r, struct front_asked *a, const struct front_user *u,
               const char *line, const char *fields)
{
    front_asked_fini(a);
    return front_answer(r, a, &(struct front_request){u, line, fields, NULL});
}

TEST(api_metrics_counts_what_was_answered_and_done)
{
    struct front_rig r;
    struct front_agent laptop;
    struct front_asked a = {0};
    front_rig_init(&r);
    front_agent_join(&r, &laptop, &r.ann, "laptop");
    CHECK_INT(get(&r, &a, &r.ann, "GET /api/me", ""), 200);
    CHECK_INT(get(&r, &a, NULL, "GET /api/me", ""), 401);
    CHECK_INT(get(&r, &a, NULL, "GET /nowhere", ""), 404);
    front_asked_fini(&a);
    CHECK_INT(front_answer(&r, &a,
                           &(struct front_request){&r.ann, "POST /api/exec", NULL,
                                                   "{\"command\":\"echo x; exit 1\"}"}),
              200);
    CHECK_INT(get(&r, &a, NULL, "GET /metrics", ""), 200);
    static const char *const lines[] = {
        "\nberth_connections_total 5\n",
        "\nberth_calls 1\n",
        "\nberth_room_bytes 0\n",
        "\nberth_terminals 0\n",
        "\nberth_strangers ",
        "\nberth_agents 1\n",
        "\nberth_requests_total{method=\"GET\",path=\"/api/me\",status=\"2xx\"} 1\n",
        "\nberth_requests_total{method=\"GET\",path=\"/api/me\",status=\"4xx\"} 1\n",
        "\nberth_requests_total{method=\"\",path=\"\",status=\"4xx\"} 1\n",
        "\nberth_activity_started_total{kind=\"exec\"} 1\n",
        "\nberth_activity_total{kind=\"exec\",outcome=\"failed\"} 1\n",
        "\nberth_store_seconds_count 2\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(a.body, lines[i]))
            test_fail(__FILE__, __LINE__, "no %s in %s", lines[i], a.body);
    CHECK(!strstr(a.body, "berth_bytes_total{what=\"output\"} 0\n"));
    front_asked_fini(&a);
    front_agent_leave(&laptop);
    front_rig_fini(&r);
}

/* Whom a proxy on this machine asks for is not on it. */
TEST(api_metrics_are_for_this_machine_and_for_users)
{
    static const char *const proxied[] = {"X-Forwarded-For: 127.0.0.1\r\n", "Forwarded: for=x\r\n",
                                          "Via: 1.1 proxy\r\n"};
    struct front_rig r;
    struct front_asked a = {0};
    front_rig_init(&r);
    for (size_t i = 0; i < sizeof proxied / sizeof proxied[0]; i++) {
        CHECK_INT(get(&r, &a, NULL, "GET /metrics", proxied[i]), 401);
        CHECK_INT(get(&r, &a, &r.bob, "GET /metrics", proxied[i]), 200);
    }
    front_asked_fini(&a);
    front_rig_fini(&r);
}
