/* Names that several ask for are looked up once. */
#include "applets/service/udp_names.h"

#include <stdio.h>

#include "core/mem.h"
#include "tests/unit/probe.h"

struct asker {
    struct udp_name_wait wait;
    struct udp_names *all;
    unsigned told;
    int error;
};

static void on_answer(void *arg, const struct resolved *addresses)
{
    struct asker *a = arg;
    a->told++;
    a->error = addresses->error;
}

static bool ask(struct asker *a, struct udp_names *all, struct loop *loop, const char *host)
{
    struct target t = {.kind = TARGET_UDP, .port = 53};
    struct resolved now;
    *a = (struct asker){.wait = {.fn = on_answer, .arg = a}, .all = all};
    snprintf(t.host, sizeof t.host, "%s", host);
    return udp_names_find(all, loop, &t, &a->wait, &now);
}

TEST(udp_names_are_looked_up_once)
{
    struct loop *loop = loop_new();
    struct udp_names all = {0};
    struct asker askers[3], late, address;
    CHECK(ask(&address, &all, loop, "192.0.2.1"));
    CHECK_INT(all.n, 0);
    for (size_t i = 0; i < countof(askers); i++)
        CHECK(!ask(&askers[i], &all, loop, "no-such-host.invalid"));
    CHECK_INT(all.n, 1);
    udp_names_cancel(&askers[1].wait);
    TURN_UNTIL(loop, askers[0].told && askers[2].told);
    CHECK(askers[0].error);
    CHECK_INT(askers[1].told, 0);
    CHECK(ask(&late, &all, loop, "no-such-host.invalid")); /* the answer is still good */
    udp_names_fini(&all);
    CHECK_INT(all.n, 0);
    loop_free(loop);
}

TEST(udp_names_are_bounded)
{
    struct loop *loop = loop_new();
    struct udp_names all = {0};
    for (unsigned i = 0; i < UDP_NAMES_MAX + 4; i++) {
        struct asker a;
        char host[32];
        snprintf(host, sizeof host, "host-%u.invalid", i);
        CHECK(!ask(&a, &all, loop, host));
        TURN_UNTIL(loop, a.told);
    }
    CHECK(all.n && all.n <= UDP_NAMES_MAX);
    udp_names_fini(&all);
    loop_free(loop);
}
