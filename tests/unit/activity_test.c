/* The audit trail: kept before it begins, with its outcome after, and not for ever. */
#include "applets/broker/activity.h"

#include <errno.h>
#include <stdio.h>

#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/store_home.h"

static const struct principal ann = {"00000000000000000000000000000aaa", "ann"};
static const struct principal bob = {"00000000000000000000000000000bbb", "bob"};

struct rig {
    struct loop *loop;
    struct store *store;
    struct activity *activity;
    struct store_home home;
    unsigned begun, heard;
    int error;
    struct activity_row last; /* heard of, without its texts */
    size_t rows;              /* in the store, as read_all() found them */
    struct activity_row newest;
    char newest_what[ACTIVITY_WHAT_MAX + 8];
    bool read, is_ordered;
    uint64_t before;
};

static void open_store(struct rig *r)
{
    r->store = store_home_open(&r->home, r->loop);
    r->activity = activity_new(r->store);
}

static void close_store(struct rig *r)
{
    store_close(r->store);
    loop_turn(r->loop, 0);
    activity_free(r->activity);
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){.loop = loop_new()};
    store_home_init(&r->home);
    open_store(r);
}

static void rig_fini(struct rig *r)
{
    close_store(r);
    loop_free(r->loop);
    store_home_fini(&r->home);
}

static void on_begun(void *arg, int error)
{
    struct rig *r = arg;
    r->begun++;
    r->error = error;
}

static void on_heard(void *arg, const struct activity_row *row)
{
    struct rig *r = arg;
    r->heard++;
    r->last = *row;
}

static void take_row(struct rig *r, const struct store_entry *e)
{
    struct activity_row row;
    struct json *doc = activity_row_of(e, &row);
    CHECK(doc != NULL);
    if (r->rows++ == 0) {
        r->newest = row;
        snprintf(r->newest_what, sizeof r->newest_what, "%s", doc ? row.what : "");
    } else if (row.id >= r->before) {
        r->is_ordered = false;
    }
    r->before = row.id;
    json_free(doc);
}

static void on_page(void *arg, const struct store_answer *a)
{
    struct rig *r = arg;
    CHECK_INT(a->error, 0);
    for (size_t i = 0; i < a->n; i++)
        take_row(r, &a->entries[i]);
    if (a->more)
        store_list(r->store, "activity/", a->entries[a->n - 1].key, on_page, r);
    r->read = !a->more;
}

static void read_all(struct rig *r)
{
    r->rows = 0;
    r->read = false;
    r->is_ordered = true;
    store_list(r->store, "activity/", NULL, on_page, r);
    TURN_UNTIL(r->loop, r->read);
}

static struct activity_what exec_of(const struct principal *who, const char *command)
{
    return (struct activity_what){who, ACTIVITY_EXEC, "laptop", "box", command};
}

static struct activity_entry *begin(struct rig *r, const char *command)
{
    struct activity_what what = exec_of(&ann, command);
    return activity_begin(r->activity, &what, on_begun, r);
}

static void note(struct rig *r)
{
    activity_note(r->activity, &(struct activity_what){&ann, ACTIVITY_JOIN, "laptop", "box", ""});
}

/* ---- */

TEST(activity_is_kept_before_it_begins_and_after)
{
    struct rig r;
    rig_init(&r);
    struct activity_entry *e = begin(&r, "ls -l");
    CHECK_INT(r.begun, 0);
    TURN_UNTIL(r.loop, r.begun == 1);
    CHECK_INT(r.error, 0);
    read_all(&r);
    CHECK_INT(r.rows, 1);
    CHECK_INT(r.newest.outcome, ACTIVITY_RUNNING);
    CHECK_INT(r.newest.exit_code, ACTIVITY_NO_CODE);
    CHECK_INT(r.newest.duration_ms, -1);
    CHECK_STR(r.newest_what, "ls -l");
    CHECK(activity_is_under_way(r.activity, &ann, r.newest.id));
    CHECK(!activity_is_under_way(r.activity, &bob, r.newest.id));
    activity_end(e, ACTIVITY_FAILED, 3);
    read_all(&r);
    CHECK_INT(r.rows, 1);
    CHECK_INT(r.newest.outcome, ACTIVITY_FAILED);
    CHECK_INT(r.newest.exit_code, 3);
    CHECK(r.newest.duration_ms >= 0);
    CHECK(!activity_is_under_way(r.activity, &ann, r.newest.id));
    rig_fini(&r);
}

TEST(activity_that_ends_at_once_has_its_outcome_and_is_not_told_to_begin)
{
    struct rig r;
    rig_init(&r);
    activity_end(begin(&r, "true"), ACTIVITY_INTERRUPTED, ACTIVITY_NO_CODE);
    for (int i = 0; i < 3; i++)
        read_all(&r);
    CHECK_INT(r.begun, 0);
    CHECK_INT(r.rows, 1);
    CHECK_INT(r.newest.outcome, ACTIVITY_INTERRUPTED);
    rig_fini(&r);
}

/* A broker that is killed writes no more. */
TEST(activity_of_a_broker_that_ended_is_not_under_way)
{
    struct rig r;
    rig_init(&r);
    begin(&r, "sleep 1000");
    TURN_UNTIL(r.loop, r.begun == 1);
    close_store(&r);
    open_store(&r);
    read_all(&r);
    CHECK_INT(r.newest.outcome, ACTIVITY_RUNNING);
    CHECK(!activity_is_under_way(r.activity, &ann, r.newest.id));
    rig_fini(&r);
}

TEST(activity_is_told_to_who_listens_and_to_nobody_else)
{
    struct rig r, other = {0};
    rig_init(&r);
    struct activity_listener l = {.fn = on_heard, .arg = &r};
    struct activity_listener not = {.fn = on_heard, .arg = &other};
    activity_listen(r.activity, &ann, &l);
    activity_listen(r.activity, &bob, &not );
    struct activity_entry *e = begin(&r, "ls");
    TURN_UNTIL(r.loop, r.heard == 1);
    CHECK_INT(r.last.outcome, ACTIVITY_RUNNING);
    uint64_t id = r.last.id, revision = r.last.revision;
    activity_end(e, ACTIVITY_OK, 0);
    TURN_UNTIL(r.loop, r.heard == 2);
    CHECK_INT(r.last.outcome, ACTIVITY_OK);
    CHECK(r.last.id == id && r.last.revision > revision);
    note(&r);
    TURN_UNTIL(r.loop, r.heard == 3);
    CHECK_INT(r.last.kind, ACTIVITY_JOIN);
    CHECK(r.last.id > id);
    activity_unlisten(&l);
    activity_unlisten(&l);
    note(&r);
    read_all(&r);
    CHECK_INT(r.heard, 3);
    CHECK_INT(other.heard, 0);
    activity_unlisten(&not );
    rig_fini(&r);
}

TEST(activity_cuts_a_long_command_between_two_characters)
{
    struct rig r;
    char command[ACTIVITY_WHAT_MAX + 100];
    rig_init(&r);
    memset(command, 'x', sizeof command);
    command[sizeof command - 1] = '\0';
    memcpy(command + ACTIVITY_WHAT_MAX - 1, "é", 2);
    struct activity_entry *e = begin(&r, command);
    read_all(&r);
    CHECK_INT(strlen(r.newest_what), ACTIVITY_WHAT_MAX - 1 + strlen("…"));
    CHECK_STR(r.newest_what + ACTIVITY_WHAT_MAX - 2, "x…");
    activity_end(e, ACTIVITY_OK, 0);
    rig_fini(&r);
}

/* ---- how much is kept ---- */

static void note_many(struct rig *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        note(r);
        if (i % 500 == 499)
            read_all(r);
    }
    read_all(r);
}

TEST(activity_keeps_the_newest)
{
    struct rig r;
    rig_init(&r);
    note_many(&r, ACTIVITY_KEPT + 1500);
    read_all(&r);
    CHECK(r.is_ordered);
    CHECK(r.rows >= ACTIVITY_KEPT && r.rows <= ACTIVITY_KEPT + 750);
    size_t before = r.rows;
    uint64_t newest = r.newest.id;
    close_store(&r); /* what was counted is forgotten */
    open_store(&r);
    note_many(&r, 1500);
    read_all(&r);
    CHECK(r.is_ordered);
    CHECK(r.newest.id > newest);
    CHECK(r.rows >= ACTIVITY_KEPT && r.rows <= ACTIVITY_KEPT + 750);
    CHECK(r.rows < before + 1500);
    rig_fini(&r);
}

/* ---- a store that has no room left ---- */

static void ask_full(struct store *s, struct store_call *call)
{
    (void)s;
    store_answer(call, &(struct store_answer){.error = ENOSPC});
}

TEST(activity_that_cannot_be_kept_must_not_begin)
{
    static const struct store_ops full = {.ask = ask_full};
    struct rig r = {.loop = loop_new()};
    struct store store = {.ops = &full, .loop = r.loop};
    r.activity = activity_new(&store);
    begin(&r, "ls");
    CHECK_INT(r.begun, 1);
    CHECK_INT(r.error, ENOSPC);
    loop_turn(r.loop, 0);
    activity_free(r.activity);
    loop_free(r.loop);
}

/* ---- what lies in the store ---- */

TEST(activity_row_refuses_what_is_none)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"kind\":\"nothing\"}",
        "{\"kind\":\"exec\",\"outcome\":\"splendid\"}",
        "{\"kind\":\"exec\",\"exitCode\":\"1\"}",
        "{\"kind\":\"exec\",\"exitCode\":99999999999}",
    };
    struct activity_row row;
    struct store_entry e = {.key = "activity/x/fffffffffffffffe"};
    for (size_t i = 0; i < countof(bad); i++) {
        e.value = bad[i];
        e.len = strlen(bad[i]);
        CHECK(activity_row_of(&e, &row) == NULL);
    }
    e.value = "{\"kind\":\"exec\"}";
    e.len = strlen(e.value);
    struct json *doc = activity_row_of(&e, &row);
    CHECK(doc && row.id == 1 && row.outcome == ACTIVITY_RUNNING);
    json_free(doc);
    e.key = "activity/x/fffe";
    CHECK(activity_row_of(&e, &row) == NULL);
}
