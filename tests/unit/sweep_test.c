/* What is past its end goes, and nothing else. */
#include "applets/broker/sweep.h"

#include <stdio.h>
#include <time.h>

#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/store_home.h"

struct rig {
    struct loop *loop;
    struct store *store;
    struct store_home home;
    struct buf keys; /* each followed by ' ' */
    bool told;
};

static void rig_init(struct rig *r)
{
    *r = (struct rig){.loop = loop_new()};
    store_home_init(&r->home);
    r->store = store_home_open(&r->home, r->loop);
}

static void rig_fini(struct rig *r)
{
    buf_fini(&r->keys);
    store_home_end(&r->home, r->store, r->loop);
}

static void put(struct rig *r, const char *key, const char *value)
{
    store_put(r->store,
              &(struct store_entry){
                  .key = key, .value = value, .len = strlen(value), .revision = STORE_ANY},
              NULL, NULL);
}

static void on_keys(void *arg, const struct store_answer *a)
{
    struct rig *r = arg;
    for (size_t i = 0; i < a->n; i++)
        buf_printf(&r->keys, "%s ", a->entries[i].key);
    if (a->more)
        store_list(r->store, "", a->entries[a->n - 1].key, on_keys, r);
    r->told = !a->more;
}

static const char *keys(struct rig *r)
{
    buf_consume(&r->keys, r->keys.len);
    r->told = false;
    store_list(r->store, "", NULL, on_keys, r);
    TURN_UNTIL(r->loop, r->told);
    buf_append(&r->keys, "", 1);
    return (const char *)buf_front(&r->keys);
}

/* The store answers at the end of the turn it is asked in, so a sweep takes a few turns and no time. */
static struct sweep *sweep_all(struct rig *r)
{
    struct sweep *w = sweep_start(r->store, 0);
    for (int i = 0; i < 20; i++)
        loop_turn(r->loop, 0);
    return w;
}

TEST(sweep_removes_what_is_past_its_end)
{
    struct rig r;
    rig_init(&r);
    cleanup_free char *later = xasprintf("{\"expires\":%lld}", (long long)time(NULL) + 1000);
    put(&r, "code/old", "{\"expires\":1}");
    put(&r, "code/new", later);
    put(&r, "token/new", later);
    put(&r, "token/none", "{}");
    put(&r, "token/junk", "?");
    put(&r, "token/old", "{\"expires\":1}");
    put(&r, "user/old", "{\"expires\":1}");
    struct sweep *w = sweep_all(&r);
    CHECK_STR(keys(&r), "code/new token/junk token/new token/none user/old ");
    sweep_end(w);
    rig_fini(&r);
}

/* More than one page of the store, of which every second goes. */
TEST(sweep_goes_through_all_pages)
{
    struct rig r;
    struct buf kept = {0};
    rig_init(&r);
    for (unsigned i = 0; i < 2 * STORE_LIST_MAX + 2; i++) {
        cleanup_free char *key = xasprintf("code/%05u", i);
        put(&r, key, i % 2 ? "{\"expires\":1}" : "{}");
        if (i % 2 == 0)
            buf_printf(&kept, "%s ", key);
    }
    buf_append(&kept, "", 1);
    struct sweep *w = sweep_all(&r);
    CHECK(strcmp(keys(&r), (const char *)buf_front(&kept)) == 0);
    sweep_end(w);
    buf_fini(&kept);
    rig_fini(&r);
}

static void renew(void *arg, const struct store_answer *a)
{
    CHECK_INT(a->n, 1);
    put(arg, "code/old", "{}");
}

/* It is asked for before the sweep lists it, and so made anew before the sweep removes it. */
TEST(sweep_leaves_what_was_made_anew_meanwhile)
{
    struct rig r;
    rig_init(&r);
    put(&r, "code/old", "{\"expires\":1}");
    store_get(r.store, "code/old", renew, &r);
    struct sweep *w = sweep_all(&r);
    CHECK_STR(keys(&r), "code/old ");
    sweep_end(w);
    rig_fini(&r);
}

TEST(sweep_ended_while_it_asks)
{
    struct rig r;
    rig_init(&r);
    put(&r, "code/old", "{\"expires\":1}");
    struct sweep *w = sweep_start(r.store, 0);
    loop_turn(r.loop, 0);
    sweep_end(w);
    loop_turn(r.loop, 0); /* nobody is there for the answer */
    rig_fini(&r);
}
