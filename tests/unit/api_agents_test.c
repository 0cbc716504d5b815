/* A user's machines, as the API tells of them. */
#include <stdio.h>

#include "applets/broker/devices.h"
#include "core/bytes.h"
#include "core/json.h"
#include "core/mem.h"
#include "tests/unit/front_client.h"

struct scene {
    struct front_rig r;
    struct front_asked ask;
};

static int ask(struct scene *s, const struct front_user *u, const char *line, const char *body)
{
    front_asked_fini(&s->ask);
    return front_answer(&s->r, &s->ask, &(struct front_request){u, line, NULL, body});
}

/* A machine that joins by a code of that user's. */
static int enrol(struct scene *s, const struct front_user *u, const char *name)
{
    uint8_t key[KEY_PUBLIC_LEN], secret[KEY_SECRET_LEN];
    char hex[2 * KEY_PUBLIC_LEN + 1];
    key_pair(key, secret);
    hex_encode(hex, key, sizeof key);
    CHECK_INT(ask(s, u, "POST /api/agent/code", NULL), 200);
    struct json *doc = json_parse(s->ask.body, strlen(s->ask.body));
    cleanup_free char *body = xasprintf("{\"code\":\"%s\",\"public_key\":\"%s\",\"name\":\"%s\"}",
                                        json_get_str(json_root(doc), "code"), hex, name);
    json_free(doc);
    return ask(s, NULL, "POST /api/agent/enroll", body);
}

TEST(api_agents_are_so_many_of_one_user)
{
    struct scene s = {0};
    char key[STORE_KEY_MAX];
    front_rig_init(&s.r);
    for (unsigned i = 0; i < DEVICES_EACH - 1; i++) {
        snprintf(key, sizeof key, "agent/%s/n%u", s.r.ann.who.id, i);
        store_put(s.r.front.store, &(struct store_entry){.key = key, .value = "{}", .len = 2}, NULL,
                  NULL);
    }
    CHECK_INT(enrol(&s, &s.r.ann, "last"), 200);
    CHECK_INT(enrol(&s, &s.r.ann, "one-more"), 409);
    CHECK(strstr(s.ask.body, "\"conflict\"") && strstr(s.ask.body, "1000 agents"));
    CHECK_INT(enrol(&s, &s.r.bob, "one-more"), 200);
    CHECK_INT(ask(&s, &s.r.ann, "DELETE /api/agents/last", NULL), 204);
    CHECK_INT(enrol(&s, &s.r.ann, "one-more"), 200);
    front_asked_fini(&s.ask);
    front_rig_fini(&s.r);
}
