/* What is past its end goes, and nothing else. */
#include "applets/broker/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/mem.h"
#include "tests/unit/probe.h"

struct rig {
    struct loop *loop;
    struct store *store;
    char folder[64], path[80];
    struct buf keys; /* each followed by ' ' */
    bool told;
};

static void rig_init(struct rig *r)
{
    char *why = NULL;
    *r = (struct rig){.loop = loop_new(), .folder = "/tmp/berth-sweep-XXXXXX"};
    CHECK(mkdtemp(r->folder) != NULL);
    snprintf(r->path, sizeof r->path, "%s/state", r->folder);
    r->store = store_sqlite_open(r->loop, r->path, &why);
    if (!r->store)
        test_fail(__FILE__, __LINE__, "%s", why);
    free(why);
}

static void rig_fini(struct rig *r)
{
    buf_fini(&r->keys);
    store_close(r->store);
    loop_turn(r->loop, 0);
    loop_free(r->loop);
    cleanup_free char *wal = xasprintf("%s-wal", r->path);
    unlink(wal);
    unlink(r->path);
    CHECK_INT(rmdir(r->folder), 0);
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
    r->told = true;
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
    struct sweep *w = sweep_start(r.store, 1);
    TURN_UNTIL(r.loop, !strstr(keys(&r), "token/old"));
    CHECK_STR(keys(&r), "code/new token/junk token/new token/none user/old ");
    sweep_end(w);
    rig_fini(&r);
}

/* More than one page of the store, of which every second goes. */
TEST(sweep_goes_through_all_pages)
{
    struct rig r;
    rig_init(&r);
    for (unsigned i = 0; i < 2 * STORE_LIST_MAX + 2; i++) {
        cleanup_free char *key = xasprintf("code/%05u", i);
        put(&r, key, i % 2 ? "{\"expires\":1}" : "{}");
    }
    struct sweep *w = sweep_start(r.store, 1);
    TURN_UNTIL(r.loop, !strstr(keys(&r), "code/00001 "));
    TURN_UNTIL(r.loop, !strstr(keys(&r), "code/01999 "));
    CHECK(strstr(keys(&r), "code/00000 code/00002 ") != NULL);
    sweep_end(w);
    rig_fini(&r);
}

TEST(sweep_ended_while_it_asks)
{
    struct rig r;
    rig_init(&r);
    put(&r, "code/old", "{\"expires\":1}");
    struct sweep *w = sweep_start(r.store, 0);
    loop_turn(r.loop, 50);
    sweep_end(w);
    rig_fini(&r);
}
