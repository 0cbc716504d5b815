#include "applets/broker/tokens.h"

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
    struct token last, listed[4];
    size_t n;
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

static void on_person(void *arg, int error, const struct principal *who)
{
    struct rig *r = arg;
    r->answers++;
    r->error = error;
    if (who)
        r->who = *who;
}

static void on_answer(void *arg, int error, const struct principal *who, const struct token *token)
{
    struct rig *r = arg;
    CHECK((error == 0) == (token != NULL) && (error == 0) == (who != NULL));
    if (token)
        r->last = *token;
    on_person(r, error, who);
}

static void on_listed(void *arg, int error, const struct principal *who, const struct token *token)
{
    struct rig *r = arg;
    if (!token)
        on_person(r, error, who);
    else if (r->n < countof(r->listed))
        r->listed[r->n++] = *token;
}

static int answered(struct rig *r)
{
    r->answers = 0;
    TURN_UNTIL(r->loop, r->answers > 0);
    return r->error;
}

static int add(struct rig *r, const char *name)
{
    people_add(r->store, name, on_person, r);
    return answered(r);
}

static int drop(struct rig *r, const char *name)
{
    people_remove(r->store, name, on_person, r);
    return answered(r);
}

static int grant(struct rig *r, const char *name, unsigned days, char *token)
{
    token_new(token);
    token_grant(r->store, name, &(struct token_grant){token, days}, on_answer, r);
    return answered(r);
}

static int prove(struct rig *r, const char *token)
{
    token_prove(r->store, token, on_answer, r);
    return answered(r);
}

static int list(struct rig *r, const char *name)
{
    r->n = 0;
    token_list(r->store, name, on_listed, r);
    return answered(r);
}

static int revoked(struct rig *r, const char *name, const char *id)
{
    token_revoke(r->store, name, id, on_answer, r);
    return answered(r);
}

/* What is in the store, whoever may have put it there. */
static void write_record(struct rig *r, const char *key, const char *value)
{
    struct store_entry entry = {.key = key, .value = value, .len = strlen(value)};
    store_delete(r->store, key, STORE_ANY, NULL, NULL);
    store_put(r->store, &entry, NULL, NULL);
}

TEST(tokens_prove_their_user)
{
    struct rig r;
    char ann[TOKEN_LEN + 1], other[TOKEN_LEN + 1], bob[TOKEN_LEN + 1];
    rig_init(&r);
    CHECK_INT(grant(&r, "ann", 90, ann), ENOENT);
    CHECK_INT(grant(&r, "a b", 90, ann), EINVAL);
    CHECK_INT(prove(&r, ann), EACCES);
    CHECK_INT(add(&r, "ann"), 0);
    struct principal who = r.who;
    CHECK_INT(add(&r, "bob"), 0);
    CHECK_INT(grant(&r, "ann", 0, ann), EINVAL);
    CHECK_INT(grant(&r, "ann", TOKEN_DAYS_MAX + 1, ann), EINVAL);
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
    for (size_t i = 0; i < TOKEN_LEN; i++) {
        char last = ann[i];
        ann[i] = last == 'A' ? 'B' : 'A';
        CHECK_INT(prove(&r, ann), EACCES);
        ann[i] = last;
    }
    ann[TOKEN_LEN - 1] = '\0';
    CHECK_INT(prove(&r, ann), EACCES);
    CHECK_INT(prove(&r, ""), EACCES);
    rig_fini(&r);
}

/* Who is made again under an old name inherits nothing. */
TEST(tokens_end_with_their_user)
{
    struct rig r;
    char token[TOKEN_LEN + 1];
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

TEST(tokens_expire_and_records_are_checked)
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

TEST(token_calls_may_be_cancelled)
{
    struct rig r;
    char token[TOKEN_LEN + 1];
    rig_init(&r);
    CHECK_INT(add(&r, "ann"), 0);
    CHECK_INT(grant(&r, "ann", 1, token), 0);
    r.answers = 0;
    token_cancel(token_prove(r.store, token, on_answer, &r));
    token_cancel(token_prove(r.store, "no token", on_answer, &r));
    token_cancel(token_list(r.store, "ann", on_listed, &r));
    CHECK_INT(prove(&r, token), 0);
    CHECK_INT(r.answers, 1);
    rig_fini(&r);
}

static void id_of(const struct token *t, char id[static 2 * SHA256_LEN + 1], size_t len)
{
    hex_encode(id, t->hash, SHA256_LEN);
    id[len] = '\0';
}

TEST(tokens_are_listed_and_revoked)
{
    struct rig r;
    char first[TOKEN_LEN + 1], second[TOKEN_LEN + 1], bob[TOKEN_LEN + 1], id[2 * SHA256_LEN + 1];
    rig_init(&r);
    CHECK_INT(list(&r, "ann"), ENOENT);
    CHECK_INT(add(&r, "ann"), 0);
    CHECK_INT(add(&r, "bob"), 0);
    CHECK_INT(list(&r, "ann"), 0);
    CHECK_INT(r.n, 0);
    CHECK_INT(grant(&r, "ann", 1, first), 0);
    struct token granted = r.last;
    CHECK_INT(granted.expires_s - granted.made_s, 86400);
    CHECK_INT(grant(&r, "ann", 2, second), 0);
    CHECK_INT(grant(&r, "bob", 1, bob), 0);
    CHECK_INT(list(&r, "ann"), 0);
    CHECK_INT(r.n, 2);
    const struct token *same =
        memcmp(r.listed[0].hash, granted.hash, SHA256_LEN) == 0 ? &r.listed[0] : &r.listed[1];
    CHECK(memcmp(same->hash, granted.hash, SHA256_LEN) == 0);
    CHECK_INT(same->made_s, granted.made_s);
    CHECK_INT(same->expires_s, granted.expires_s);

    id_of(same, id, TOKEN_ID_LEN);
    CHECK_INT(revoked(&r, "bob", id), ENOKEY); /* it is not his */
    CHECK_INT(revoked(&r, "eve", id), ENOENT);
    CHECK_INT(revoked(&r, "ann", id), 0);
    CHECK(memcmp(r.last.hash, granted.hash, SHA256_LEN) == 0);
    CHECK_INT(revoked(&r, "ann", id), ENOKEY);
    CHECK_INT(prove(&r, first), EACCES);
    CHECK_INT(prove(&r, second), 0);
    id_of(&r.last, id, 2 * SHA256_LEN);
    CHECK_INT(prove(&r, bob), 0);
    CHECK_INT(list(&r, "ann"), 0);
    CHECK_INT(r.n, 1);
    CHECK_INT(revoked(&r, "ann", id), 0);
    rig_fini(&r);
}

#define ANN             "0123456789abcdef0123456789abcdef"
#define OF(id, expires) "{\"user\":\"ann\",\"id\":\"" id "\",\"expires\":" expires "}"
#define ZEROS           "000000000000000000000000000000000000000000000000000000000000"

TEST(tokens_that_begin_alike)
{
    static const struct {
        const char *id;
        int error;
    } rows[] = {
        {"a", ENOTUNIQ},  {"abc", ENOTUNIQ},    {"abcd" ZEROS "0", ENOKEY},
        {"abce", ENOKEY}, {"", ENOKEY},         {"ABCD", ENOKEY},
        {"abc/", ENOKEY}, {"../token", ENOKEY}, {"abcd", 0},
        {"abc", 0},       {"abc", ENOKEY},
    };
    struct rig r;
    rig_init(&r);
    write_record(&r, "user/ann", "{\"id\":\"" ANN "\"}");
    write_record(&r, "token/abcd" ZEROS, OF(ANN, "99999999999"));
    write_record(&r, "token/abcf" ZEROS, OF(ANN, "99999999999"));
    write_record(&r, "token/abce" ZEROS, OF(ANN, "1700000000"));
    write_record(&r, "token/abc0" ZEROS, OF("0123456789abcdef0123456789abcdee", "99999999999"));
    write_record(&r, "token/abc1" ZEROS, "{");
    write_record(&r, "token/abc2", OF(ANN, "99999999999"));
    CHECK_INT(list(&r, "ann"), 0);
    CHECK_INT(r.n, 2);
    CHECK_INT(r.listed[0].made_s, 0);
    for (size_t i = 0; i < countof(rows); i++)
        if (revoked(&r, "ann", rows[i].id) != rows[i].error)
            test_fail(__FILE__, __LINE__, "row %zu: %d, not %d", i, r.error, rows[i].error);
    rig_fini(&r);
}

/* More of others' than one answer of the store has. */
TEST(tokens_among_many)
{
    struct rig r;
    char key[sizeof "token/" + 2 * SHA256_LEN], token[TOKEN_LEN + 1];
    rig_init(&r);
    for (unsigned i = 0; i <= STORE_LIST_MAX; i++) {
        snprintf(key, sizeof key, "token/%064x", i);
        write_record(&r, key, OF("0123456789abcdef0123456789abcdee", "99999999999"));
    }
    CHECK_INT(add(&r, "ann"), 0);
    CHECK_INT(grant(&r, "ann", 1, token), 0);
    CHECK_INT(list(&r, "ann"), 0);
    CHECK_INT(r.n, 1);
    rig_fini(&r);
}

struct order {
    struct rig *r;
    char token[TOKEN_LEN + 1];
    unsigned answers; /* of the store's, before it is proven */
    unsigned at, proven, revoked;
    bool told;
};

static void on_proven(void *arg, int error, const struct principal *who, const struct token *token)
{
    struct order *o = arg;
    (void)who, (void)token;
    o->told = true;
    o->proven = error ? 0 : ++o->at;
}

static void on_revoked(void *arg, int error, const struct principal *who, const struct token *token)
{
    struct order *o = arg;
    (void)who, (void)token;
    CHECK_INT(error, 0);
    o->revoked = ++o->at;
}

static void prove_later(void *arg, const struct store_answer *a)
{
    struct order *o = arg;
    (void)a;
    if (o->answers--)
        store_get(o->r->store, "-", prove_later, o);
    else
        token_prove(o->r->store, o->token, on_proven, o);
}

/* Whoever proves it at that moment is told before it is said to be revoked. */
TEST(tokens_prove_nothing_once_revoked)
{
    struct rig r;
    char id[2 * SHA256_LEN + 1];
    unsigned before = 0;
    rig_init(&r);
    CHECK_INT(add(&r, "ann"), 0);
    for (unsigned answers = 0; answers < 8; answers++) {
        struct order o = {.r = &r, .answers = answers};
        CHECK_INT(grant(&r, "ann", 1, o.token), 0);
        id_of(&r.last, id, TOKEN_ID_LEN);
        prove_later(&o, NULL);
        token_revoke(r.store, "ann", id, on_revoked, &o);
        TURN_UNTIL(r.loop, o.revoked && o.told);
        CHECK(o.proven < o.revoked);
        before += o.proven != 0;
    }
    CHECK(before > 0 && before < 8);
    rig_fini(&r);
}
