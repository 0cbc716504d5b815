#include "applets/broker/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/test.h"

struct connection {
    struct agent_link link;
    unsigned replaced;
};

static void on_replaced(struct agent_link *link)
{
    container_of(link, struct connection, link)->replaced++;
}

static struct principal person(unsigned n)
{
    struct principal p;
    snprintf(p.id, sizeof p.id, "%032x", n);
    snprintf(p.name, sizeof p.name, "user%u", n);
    return p;
}

/* Device `device` of principal `owner`. */
static struct connection connection(unsigned owner, unsigned device)
{
    struct connection c = {.link = {.replaced = on_replaced}};
    c.link.device.owner = person(owner);
    snprintf(c.link.device.id, sizeof c.link.device.id, "%032x", owner * 1000 + device);
    snprintf(c.link.device.name, sizeof c.link.device.name, "name%u", device);
    return c;
}

static struct agent_link *find(const struct registry *r, unsigned owner, const char *name)
{
    struct principal who = person(owner);
    return registry_find(r, &who, name);
}

TEST(registry_finds_ones_own_alone)
{
    struct registry *r = registry_new();
    struct connection ann = connection(1, 1), bob = connection(2, 1);
    CHECK(!find(r, 1, NULL) && errno == ENOENT);
    registry_put(r, &ann.link);
    registry_put(r, &bob.link);
    CHECK(find(r, 1, NULL) == &ann.link);
    CHECK(find(r, 1, "name1") == &ann.link);
    CHECK(find(r, 2, "name1") == &bob.link);
    CHECK(!find(r, 1, "name2") && errno == ENOENT);
    CHECK(!find(r, 3, "name1") && errno == ENOENT);
    CHECK_INT(registry_count(r), 2);
    registry_take(r, &ann.link);
    CHECK(!find(r, 1, NULL));
    CHECK(find(r, 2, NULL) == &bob.link);
    registry_take(r, &bob.link);
    CHECK_INT(registry_count(r), 0);
    registry_free(r);
}

TEST(registry_wants_a_name_among_several)
{
    struct registry *r = registry_new();
    struct connection one = connection(1, 1), two = connection(1, 2), three = connection(1, 3);
    registry_put(r, &one.link);
    registry_put(r, &two.link);
    registry_put(r, &three.link);
    CHECK(!find(r, 1, NULL) && errno == ENOTUNIQ);
    CHECK(find(r, 1, "name2") == &two.link);
    struct principal who = person(1);
    CHECK(registry_first(r, &who) == &three.link);
    registry_take(r, &two.link);
    CHECK(three.link.next == &one.link && !one.link.next);
    registry_take(r, &three.link);
    CHECK(find(r, 1, NULL) == &one.link);
    registry_take(r, &one.link);
    registry_free(r);
}

TEST(registry_newer_connection_wins)
{
    struct registry *r = registry_new();
    struct connection first = connection(1, 1), second = connection(1, 1), third = connection(1, 1);
    registry_put(r, &first.link);
    registry_put(r, &second.link);
    CHECK_INT(first.replaced, 1);
    CHECK_INT(second.replaced, 0);
    CHECK(find(r, 1, NULL) == &second.link);
    /* The end of the older one takes nothing of the newer one's. */
    registry_take(r, &first.link);
    CHECK(find(r, 1, NULL) == &second.link);
    CHECK_INT(registry_count(r), 1);
    registry_put(r, &third.link);
    registry_take(r, &second.link);
    CHECK(find(r, 1, NULL) == &third.link);
    CHECK_INT(first.replaced + second.replaced, 2);
    registry_take(r, &third.link);
    CHECK(!find(r, 1, NULL));
    registry_free(r);
}

TEST(registry_of_many)
{
    enum { MANY = 5000 };
    struct registry *r = registry_new();
    cleanup_free struct connection *c = xcalloc(MANY, sizeof *c);
    for (unsigned i = 0; i < MANY; i++) {
        c[i] = connection(i / 2, i % 2);
        registry_put(r, &c[i].link);
    }
    CHECK_INT(registry_count(r), MANY);
    for (unsigned i = 0; i < MANY; i += 3)
        registry_take(r, &c[i].link);
    for (unsigned i = 0; i < MANY; i++)
        CHECK(find(r, i / 2, i % 2 ? "name1" : "name0") == (i % 3 ? &c[i].link : NULL));
    for (unsigned i = 0; i < MANY; i++)
        registry_take(r, &c[i].link);
    CHECK_INT(registry_count(r), 0);
    registry_free(r);
}
