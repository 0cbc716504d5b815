#include "applets/broker/people.h"

#include <errno.h>
#include <stdio.h>

#include "core/bytes.h"
#include "core/key.h"
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
    store_close(r->store);
    loop_turn(r->loop, 0);
    loop_free(r->loop);
    store_home_fini(&r->home);
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

static int drop(struct rig *r, const char *name)
{
    people_remove(r->store, name, on_answer, r);
    return answered(r);
}

static int grant(struct rig *r, const char *name, unsigned days, char *token)
{
    people_new_token(token);
    people_grant(r->store, name, &(struct people_grant){token, days}, on_answer, r);
    return answered(r);
}

static int prove(struct rig *r, const char *token)
{
    people_by_token(r->store, token, on_answer, r);
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
    char token[PEOPLE_TOKEN_LEN + 1], name[PEOPLE_NAME_MAX + 2];
    rig_init(&r);
    for (size_t i = 0; i < countof(bad); i++) {
        CHECK_INT(add(&r, bad[i]), EINVAL);
        CHECK_INT(drop(&r, bad[i]), EINVAL);
        CHECK_INT(grant(&r, bad[i], 1, token), EINVAL);
    }
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_INT(add(&r, name), EINVAL);
    name[PEOPLE_NAME_MAX] = '\0';
    CHECK_INT(add(&r, name), 0);
    CHECK_INT(add(&r, "A.b_c-9"), 0);
    rig_fini(&r);
}

TEST(people_tokens_prove_their_user)
{
    struct rig r;
    char ann[PEOPLE_TOKEN_LEN + 1], other[PEOPLE_TOKEN_LEN + 1], bob[PEOPLE_TOKEN_LEN + 1];
    rig_init(&r);
    CHECK_INT(grant(&r, "ann", 90, ann), ENOENT);
    CHECK_INT(prove(&r, ann), EACCES);
    CHECK_INT(add(&r, "ann"), 0);
    struct principal who = r.who;
    CHECK_INT(add(&r, "bob"), 0);
    CHECK_INT(grant(&r, "ann", 0, ann), EINVAL);
    CHECK_INT(grant(&r, "ann", PEOPLE_DAYS_MAX + 1, ann), EINVAL);
    CHECK_INT(grant(&r, "ann", 90, ann), 0);
    CHECK_INT(grant(&r, "ann", 1, other), 0);
    CHECK_INT(grant(&r, "bob", 1, bob), 0);
    CHECK(strcmp(ann, other) != 0);
    CHECK_INT(prove(&r, bob), 0);
    CHECK_STR(r.who.name, "bob");
    CHECK_INT(prove(&r, ann), 0);
    CHECK_STR(r.who.name, "ann");
    CHECK_STR(r.who.id, who.id);
    CHECK_INT(prove(&r, other), 0);
    for (size_t i = 0; i < PEOPLE_TOKEN_LEN; i++) {
        char last = ann[i];
        ann[i] = last == 'A' ? 'B' : 'A';
        CHECK_INT(prove(&r, ann), EACCES);
        ann[i] = last;
    }
    ann[PEOPLE_TOKEN_LEN - 1] = '\0';
    CHECK_INT(prove(&r, ann), EACCES);
    CHECK_INT(prove(&r, ""), EACCES);
    rig_fini(&r);
}

/* Who is made again under an old name inherits nothing. */
TEST(people_tokens_end_with_their_user)
{
    struct rig r;
    char token[PEOPLE_TOKEN_LEN + 1];
    rig_init(&r);
    CHECK_INT(add(&r, "ann"), 0);
    CHECK_INT(grant(&r, "ann", 90, token), 0);
    CHECK_INT(drop(&r, "ann"), 0);
    CHECK_INT(prove(&r, token), EACCES);
    CHECK_INT(add(&r, "ann"), 0);
    CHECK_INT(prove(&r, token), EACCES);
    CHECK_INT(grant(&r, "ann", 90, token), 0);
    CHECK_INT(prove(&r, token), 0);
    rig_fini(&r);
}

/* What is in the store, whoever may have put it there. */
static void write_record(struct rig *r, const char *key, const char *value)
{
    struct store_entry entry = {.key = key, .value = value, .len = strlen(value)};
    store_delete(r->store, key, STORE_ANY, NULL, NULL);
    store_put(r->store, &entry, NULL, NULL);
}

TEST(people_tokens_expire_and_records_are_checked)
{
    static const struct {
        const char *user, *token;
        int error;
    } rows[] = {
        {"{\"id\":\"0123456789abcdef0123456789abcdef\"}",
         "{\"user\":\"ann\",\"id\":\"0123456789abcdef0123456789abcdef\",\"expires\":99999999999}",
         0},
        {"{\"id\":\"0123456789abcdef0123456789abcdef\"}",
         "{\"user\":\"ann\",\"id\":\"0123456789abcdef0123456789abcdef\",\"expires\":1700000000}",
         EACCES},
        {"{\"id\":\"0123456789abcdef0123456789abcdee\"}",
         "{\"user\":\"ann\",\"id\":\"0123456789abcdef0123456789abcdef\",\"expires\":99999999999}",
         EACCES},
        {"{\"id\":\"0123\"}",
         "{\"user\":\"ann\",\"id\":\"0123456789abcdef0123456789abcdef\",\"expires\":99999999999}",
         EBADMSG},
        {"[]",
         "{\"user\":\"ann\",\"id\":\"0123456789abcdef0123456789abcdef\",\"expires\":99999999999}",
         EBADMSG},
        {"{}",
         "{\"user\":\"a b\",\"id\":\"0123456789abcdef0123456789abcdef\",\"expires\":99999999999}",
         EBADMSG},
        {"{}", "{\"user\":\"ann\",\"id\":\"0123456789abcdef0123456789abcdef\",\"expires\":\"x\"}",
         EBADMSG},
        {"{}", "{\"user\":\"ann\"}", EBADMSG},
        {"{}", "{", EBADMSG},
    };
    /* The SHA-256 of that text. */
    static const char token[] = "berth_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    struct rig r;
    rig_init(&r);
    uint8_t hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    key_sha256(token, strlen(token), hash);
    hex_encode(hex, hash, sizeof hash);
    cleanup_free char *key = xasprintf("token/%s", hex);
    for (size_t i = 0; i < countof(rows); i++) {
        write_record(&r, "user/ann", rows[i].user);
        write_record(&r, key, rows[i].token);
        if (prove(&r, token) != rows[i].error)
            test_fail(__FILE__, __LINE__, "row %zu: %d, not %d", i, r.error, rows[i].error);
    }
    rig_fini(&r);
}

TEST(people_calls_may_be_cancelled)
{
    struct rig r;
    char token[PEOPLE_TOKEN_LEN + 1];
    rig_init(&r);
    CHECK_INT(add(&r, "ann"), 0);
    CHECK_INT(grant(&r, "ann", 1, token), 0);
    r.answers = 0;
    people_cancel(people_by_token(r.store, token, on_answer, &r));
    people_cancel(people_by_token(r.store, "no token", on_answer, &r));
    people_cancel(people_add(r.store, "bob", on_answer, &r));
    CHECK_INT(prove(&r, token), 0);
    CHECK_INT(r.answers, 1);
    rig_fini(&r);
}
