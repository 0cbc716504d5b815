#include "applets/broker/people.h"

#include <errno.h>
#include <stdio.h>

#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/store_home.h"

struct rig {
    struct loop *loop;
    struct store *store;
    struct store_home home;
    unsigned answers;
    int error;
    struct principal who;
};

static void open_store(struct rig *r)
{
    r->store = store_home_open(&r->home, r->loop);
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){.loop = loop_new()};
    store_home_init(&r->home);
    open_store(r);
}

static void rig_fini(struct rig *r)
{
    store_home_end(&r->home, r->store, r->loop);
}

static void on_answer(void *arg, int error, const struct principal *who)
{
    struct rig *r = arg;
    r->answers++;
    r->error = error;
    CHECK((error == 0) == (who != NULL));
    if (who)
        r->who = *who;
}

static int answered(struct rig *r)
{
    r->answers = 0;
    TURN_UNTIL(r->loop, r->answers > 0);
    return r->error;
}

static int add(struct rig *r, const char *name)
{
    people_add(r->store, name, on_answer, r);
    return answered(r);
}

static int find(struct rig *r, const char *name)
{
    people_find(r->store, name, on_answer, r);
    return answered(r);
}

static int drop(struct rig *r, const char *name)
{
    people_remove(r->store, name, on_answer, r);
    return answered(r);
}

TEST(people_come_and_go)
{
    struct rig r;
    rig_init(&r);
    CHECK_INT(add(&r, "ann"), 0);
    CHECK_STR(r.who.name, "ann");
    CHECK_INT(strlen(r.who.id), PEOPLE_ID_LEN);
    struct principal ann = r.who;
    CHECK_INT(add(&r, "ann"), EEXIST);
    CHECK_INT(add(&r, "bob"), 0);
    CHECK(strcmp(r.who.id, ann.id) != 0);
    CHECK_INT(find(&r, "eve"), ENOENT);
    CHECK_INT(find(&r, "ann"), 0);
    CHECK_STR(r.who.id, ann.id);
    CHECK_INT(drop(&r, "eve"), ENOENT);
    CHECK_INT(drop(&r, "ann"), 0);
    CHECK_STR(r.who.id, ann.id);
    CHECK_INT(drop(&r, "ann"), ENOENT);
    rig_fini(&r);
}

TEST(people_names)
{
    static const char *const bad[] = {"", "a b", "a/b", "ä", "a\n", "*"};
    struct rig r;
    char name[PEOPLE_NAME_MAX + 2];
    rig_init(&r);
    for (size_t i = 0; i < countof(bad); i++) {
        CHECK_INT(add(&r, bad[i]), EINVAL);
        CHECK_INT(drop(&r, bad[i]), EINVAL);
        CHECK_INT(find(&r, bad[i]), EINVAL);
    }
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_INT(add(&r, name), EINVAL);
    name[PEOPLE_NAME_MAX] = '\0';
    CHECK_INT(add(&r, name), 0);
    CHECK_INT(add(&r, "A.b_c-9"), 0);
    rig_fini(&r);
}

TEST(people_calls_may_be_cancelled)
{
    struct rig r;
    rig_init(&r);
    CHECK_INT(add(&r, "ann"), 0);
    r.answers = 0;
    people_cancel(people_find(r.store, "ann", on_answer, &r));
    people_cancel(people_find(r.store, "no name", on_answer, &r));
    people_cancel(people_add(r.store, "bob", on_answer, &r));
    CHECK_INT(find(&r, "ann"), 0);
    CHECK_INT(r.answers, 1);
    rig_fini(&r);
}
