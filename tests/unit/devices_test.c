#include "applets/broker/devices.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "core/bytes.h"
#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/store_home.h"

static const struct principal ann = {"00000000000000000000000000000aaa", "ann"};
static const struct principal bob = {"00000000000000000000000000000bbb", "bob"};

struct rig {
    struct loop *loop;
    struct store *store;
    struct store_home home;
    unsigned answers;
    int error;
    struct device device;
    uint8_t secret[KEY_SECRET_LEN], key[2][KEY_PUBLIC_LEN];
};

static void rig_init(struct rig *r)
{
    *r = (struct rig){.loop = loop_new()};
    store_home_init(&r->home);
    r->store = store_home_open(&r->home, r->loop);
    key_pair(r->key[0], r->secret);
    key_pair(r->key[1], r->secret);
}

static void rig_fini(struct rig *r)
{
    store_home_end(&r->home, r->store, r->loop);
}

static void on_answer(void *arg, int error, const struct device *device)
{
    struct rig *r = arg;
    r->answers++;
    r->error = error;
    CHECK((error == 0) == (device != NULL));
    if (device)
        r->device = *device;
}

static int answered(struct rig *r)
{
    r->answers = 0;
    TURN_UNTIL(r->loop, r->answers > 0);
    return r->error;
}

static int offer(struct rig *r, const struct principal *who, char *code)
{
    device_new_code(code);
    device_offer(r->store, who, code, on_answer, r);
    return answered(r);
}

static int enrol(struct rig *r, const char *code, const char *name, unsigned key)
{
    device_enrol(r->store, &(struct enrolment){code, name, r->key[key]}, on_answer, r);
    return answered(r);
}

/* With a code of its own. */
static int join(struct rig *r, const struct principal *who, const char *name, unsigned key)
{
    char code[CODE_LEN + 1];
    CHECK_INT(offer(r, who, code), 0);
    return enrol(r, code, name, key);
}

static int find(struct rig *r, const char *id)
{
    device_find(r->store, id, on_answer, r);
    return answered(r);
}

static int end(struct rig *r, const struct principal *who, const char *name)
{
    device_revoke(r->store, who, name, on_answer, r);
    return answered(r);
}

TEST(devices_are_enrolled_by_a_code_once)
{
    struct rig r;
    char code[CODE_LEN + 1], typed[CODE_LEN + 1];
    rig_init(&r);
    CHECK_INT(offer(&r, &ann, code), 0);
    CHECK_INT(strlen(code), CODE_LEN);
    CHECK_INT(code[4], '-');
    /* As somebody types it. */
    snprintf(typed, sizeof typed, "%.4s%.4s", code, code + 5);
    for (char *p = typed; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    CHECK_INT(enrol(&r, typed, "laptop", 0), 0);
    CHECK_STR(r.device.owner.id, ann.id);
    CHECK_STR(r.device.owner.name, "ann");
    CHECK_STR(r.device.name, "laptop");
    struct device laptop = r.device;
    CHECK_INT(enrol(&r, code, "other", 1), EACCES);
    CHECK_INT(find(&r, laptop.id), 0);
    CHECK_STR(r.device.name, "laptop");
    CHECK_STR(r.device.owner.id, ann.id);
    CHECK(memcmp(r.device.key, r.key[0], KEY_PUBLIC_LEN) == 0);
    CHECK_INT(r.device.created_s, laptop.created_s);
    rig_fini(&r);
}

TEST(devices_codes_that_are_none)
{
    static const char *const bad[] = {"",          "ABCD",       "ABCD-EFG",  "ABCD-EFGHJ",
                                      "ABC-DEFGH", "ABCD--EFGH", "ABCD EFGH", "ABCD-EFG0",
                                      "ABCD-EFGI", "ABCD-EFGH"};
    struct rig r;
    char code[CODE_LEN + 1];
    rig_init(&r);
    for (size_t i = 0; i < countof(bad); i++)
        CHECK_INT(enrol(&r, bad[i], "laptop", 0), EACCES);
    CHECK_INT(offer(&r, &ann, code), 0);
    CHECK_INT(enrol(&r, code, "a/b", 0), EINVAL);
    CHECK_INT(enrol(&r, code, "", 0), EINVAL);
    CHECK_INT(enrol(&r, code, "laptop", 0), 0);
    rig_fini(&r);
}

static void on_one_of_two(void *arg, int error, const struct device *device)
{
    unsigned *count = arg;
    (void)device;
    count[error == EACCES]++;
}

TEST(devices_a_code_used_by_two_at_once)
{
    struct rig r;
    char code[CODE_LEN + 1];
    unsigned count[2] = {0, 0};
    rig_init(&r);
    CHECK_INT(offer(&r, &ann, code), 0);
    device_enrol(r.store, &(struct enrolment){code, "one", r.key[0]}, on_one_of_two, count);
    device_enrol(r.store, &(struct enrolment){code, "two", r.key[1]}, on_one_of_two, count);
    TURN_UNTIL(r.loop, count[0] + count[1] == 2);
    CHECK_INT(count[0], 1);
    rig_fini(&r);
}

TEST(devices_a_code_that_has_ended)
{
    struct rig r;
    rig_init(&r);
    uint8_t hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    key_sha256("ABCDEFGH", 8, hash);
    hex_encode(hex, hash, sizeof hash);
    cleanup_free char *key = xasprintf("code/%s", hex);
    cleanup_free char *record =
        xasprintf("{\"user\":\"ann\",\"id\":\"%s\",\"expires\":1700000000}", ann.id);
    struct store_entry entry = {.key = key, .value = record, .len = strlen(record)};
    store_put(r.store, &entry, NULL, NULL);
    CHECK_INT(enrol(&r, "ABCD-EFGH", "laptop", 0), EACCES);
    rig_fini(&r);
}

TEST(devices_names_are_a_users_own)
{
    struct rig r;
    rig_init(&r);
    CHECK_INT(join(&r, &ann, "laptop", 0), 0);
    CHECK_INT(join(&r, &ann, "laptop", 1), EEXIST);
    CHECK_INT(join(&r, &bob, "laptop", 1), 0);
    struct device bobs = r.device;
    CHECK_INT(find(&r, bobs.id), 0);
    CHECK_STR(r.device.owner.name, "bob");
    rig_fini(&r);
}

TEST(devices_one_key_is_one_device)
{
    struct rig r;
    rig_init(&r);
    CHECK_INT(join(&r, &ann, "laptop", 0), 0);
    char id[JOIN_DEVICE_LEN + 1];
    memcpy(id, r.device.id, sizeof id);
    CHECK_INT(join(&r, &bob, "stolen", 0), EADDRINUSE);
    CHECK_INT(find(&r, id), 0);
    CHECK_STR(r.device.owner.name, "ann");
    /* Its owner may name it anew, and then has the old name back. */
    CHECK_INT(join(&r, &ann, "laptop", 0), 0);
    CHECK_INT(join(&r, &ann, "desk", 0), 0);
    CHECK_STR(r.device.id, id);
    CHECK_INT(find(&r, id), 0);
    CHECK_STR(r.device.name, "desk");
    CHECK_INT(join(&r, &ann, "laptop", 1), 0);
    rig_fini(&r);
}

/* Who has as many may still enrol one of them anew, and stops nobody else. */
TEST(devices_of_one_user_are_so_many)
{
    struct rig r;
    char key[STORE_KEY_MAX];
    rig_init(&r);
    CHECK_INT(join(&r, &ann, "first", 0), 0);
    for (unsigned i = 1; i < DEVICES_EACH; i++) {
        snprintf(key, sizeof key, "agent/%s/n%u", ann.id, i);
        store_put(r.store, &(struct store_entry){.key = key, .value = "{}", .len = 2}, NULL, NULL);
    }
    CHECK_INT(join(&r, &ann, "one-more", 1), EMLINK);
    CHECK_INT(join(&r, &ann, "first", 0), 0);
    CHECK_INT(join(&r, &ann, "first", 1), EEXIST);
    CHECK_INT(join(&r, &bob, "one-more", 1), 0);
    CHECK_INT(end(&r, &bob, "one-more"), 0);
    CHECK_INT(end(&r, &ann, "first"), 0);
    CHECK_INT(join(&r, &ann, "one-more", 1), 0);
    rig_fini(&r);
}

TEST(devices_are_revoked)
{
    struct rig r;
    rig_init(&r);
    CHECK_INT(join(&r, &ann, "laptop", 0), 0);
    char id[JOIN_DEVICE_LEN + 1];
    memcpy(id, r.device.id, sizeof id);
    CHECK_INT(end(&r, &bob, "laptop"), ENOENT);
    CHECK_INT(end(&r, &ann, "other"), ENOENT);
    CHECK_INT(end(&r, &ann, "a/b"), ENOENT);
    CHECK_INT(find(&r, id), 0);
    CHECK_INT(end(&r, &ann, "laptop"), 0);
    CHECK_STR(r.device.id, id);
    CHECK_INT(find(&r, id), ENOENT);
    CHECK_INT(end(&r, &ann, "laptop"), ENOENT);
    /* A machine changes hands. */
    CHECK_INT(join(&r, &bob, "laptop", 0), 0);
    CHECK_STR(r.device.id, id);
    CHECK_STR(r.device.owner.name, "bob");
    rig_fini(&r);
}

TEST(devices_ids_that_are_none)
{
    static const char *const bad[] = {"", "0123", "0123456789abcdef0123456789abcdeg",
                                      "0123456789ABCDEF0123456789ABCDEF",
                                      "0123456789abcdef0123456789abcdef"};
    struct rig r;
    rig_init(&r);
    for (size_t i = 0; i < countof(bad); i++)
        CHECK_INT(find(&r, bad[i]), ENOENT);
    rig_fini(&r);
}

TEST(devices_calls_may_be_cancelled)
{
    struct rig r;
    char code[CODE_LEN + 1];
    rig_init(&r);
    CHECK_INT(offer(&r, &ann, code), 0);
    r.answers = 0;
    device_cancel(device_enrol(r.store, &(struct enrolment){code, "one", r.key[0]}, on_answer, &r));
    device_cancel(device_find(r.store, "none", on_answer, &r));
    CHECK_INT(find(&r, "none"), ENOENT);
    CHECK_INT(r.answers, 1);
    rig_fini(&r);
}
