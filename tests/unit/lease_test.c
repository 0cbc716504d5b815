/* Leases end by the clock, by their token and by their user, and their holders may end any of them meanwhile. */
#include "applets/broker/lease.h"

#include <stdio.h>
#include <time.h>

#include "tests/unit/probe.h"

#define FOREVER INT64_MAX

struct holder {
    struct lease lease;
    struct lease *ends; /* this one, when it is told */
    struct leases *again;
    unsigned told;
    enum lease_end how;
};

static void on_end(void *arg, enum lease_end how)
{
    struct holder *h = arg;
    h->told++;
    h->how = how;
    CHECK(!h->lease.at);
    if (h->ends)
        lease_end(h->ends);
    if (h->again) {
        struct proof proof = h->lease.proof;
        proof.until_s = FOREVER;
        lease_begin(h->again, &h->lease, &proof);
    }
}

struct rig {
    struct loop *loop;
    struct leases all;
};

static void rig_init(struct rig *r)
{
    *r = (struct rig){.loop = loop_new()};
    leases_init(&r->all, r->loop);
}

static void rig_fini(struct rig *r)
{
    leases_fini(&r->all);
    loop_free(r->loop);
}

static struct principal user(const char *id)
{
    struct principal who = {0};
    snprintf(who.id, sizeof who.id, "%s", id);
    return who;
}

static void begin(struct rig *r, struct holder *h, const char *id, uint8_t token, int64_t until_s)
{
    struct proof proof = {.who = user(id), .until_s = until_s};
    memset(proof.token, token, sizeof proof.token);
    h->lease.fn = on_end;
    h->lease.arg = h;
    lease_begin(&r->all, &h->lease, &proof);
}

TEST(leases_expire)
{
    struct rig r;
    struct holder h[5] = {0};
    rig_init(&r);
    begin(&r, &h[0], "ann", 1, FOREVER);
    begin(&r, &h[1], "ann", 1, time(NULL) + 2);
    begin(&r, &h[2], "bob", 2, time(NULL) + 1); /* sooner than what is awaited */
    begin(&r, &h[3], "bob", 3, time(NULL) - 1);
    begin(&r, &h[4], "bob", 4, time(NULL) + 1);
    lease_end(&h[4].lease);
    lease_end(&h[4].lease);
    CHECK_INT(h[3].told, 0); /* from the loop */
    loop_turn(r.loop, 0);
    CHECK_INT(h[3].told, 1);
    CHECK_INT(h[3].how, LEASE_EXPIRED);
    TURN_UNTIL(r.loop, h[2].told);
    CHECK(time(NULL) >= h[2].lease.proof.until_s);
    TURN_UNTIL(r.loop, h[1].told);
    CHECK(time(NULL) >= h[1].lease.proof.until_s);
    CHECK_INT(h[0].told + h[4].told, 0);
    CHECK_INT(h[2].told + h[3].told, 2);
    lease_end(&h[0].lease);
    CHECK(!r.all.first);
    rig_fini(&r);
}

TEST(leases_are_revoked)
{
    struct rig r;
    struct holder h[4] = {0};
    struct principal ann = user("ann"), bob = user("bob");
    uint8_t token[SHA256_LEN];
    rig_init(&r);
    begin(&r, &h[0], "ann", 1, FOREVER);
    begin(&r, &h[1], "ann", 2, FOREVER);
    begin(&r, &h[2], "ann", 1, FOREVER);
    begin(&r, &h[3], "bob", 1, FOREVER);
    memset(token, 1, sizeof token);
    leases_revoke(&r.all, &ann, token);
    CHECK(h[0].told == 1 && h[1].told == 0 && h[2].told == 1 && h[3].told == 0);
    CHECK_INT(h[0].how, LEASE_REVOKED);
    begin(&r, &h[0], "ann", 3, FOREVER);
    leases_revoke(&r.all, &ann, NULL);
    CHECK(h[0].told == 2 && h[1].told == 1 && h[2].told == 1 && h[3].told == 0);
    leases_revoke(&r.all, &bob, NULL);
    CHECK_INT(h[3].told, 1);
    CHECK(!r.all.first);
    rig_fini(&r);
}

/* Begun again it is by what was shown last. */
TEST(leases_are_renewed)
{
    struct rig r;
    struct holder h = {0}, other = {0};
    struct principal ann = user("ann");
    uint8_t token[SHA256_LEN] = {0};
    rig_init(&r);
    begin(&r, &other, "ann", 7, time(NULL) - 1);
    begin(&r, &h, "ann", 0, time(NULL) - 1);
    begin(&r, &h, "ann", 1, FOREVER);
    TURN_UNTIL(r.loop, other.told);
    leases_revoke(&r.all, &ann, token);
    CHECK_INT(h.told, 0);
    lease_end(&h.lease);
    rig_fini(&r);
}

TEST(leases_end_each_other)
{
    struct rig r;
    struct holder h[3] = {0};
    struct principal ann = user("ann");
    rig_init(&r);
    for (size_t i = 0; i < 3; i++)
        begin(&r, &h[i], "ann", 1, FOREVER);
    h[0].ends = &h[1].lease; /* whichever of the two is told first */
    h[1].ends = &h[0].lease;
    h[2].again = &r.all;
    leases_revoke(&r.all, &ann, NULL);
    CHECK_INT(h[0].told + h[1].told, 1);
    CHECK_INT(h[2].told, 1);
    CHECK(r.all.first == &h[2].lease && !h[2].lease.next);
    lease_end(&h[2].lease);
    rig_fini(&r);
}
