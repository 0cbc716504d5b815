/* The audit trail by HTTP: one's own, page by page, and as it goes on. */
#include <stdio.h>
#include <stdlib.h>

#include "applets/broker/activity.h"
#include "core/json.h"
#include "core/mem.h"
#include "tests/unit/front_client.h"

struct scene {
    struct front_rig r;
    struct front_asked ask;
};

static void scene_init(struct scene *s)
{
    *s = (struct scene){0};
    front_rig_init(&s->r);
}

static void scene_fini(struct scene *s)
{
    front_asked_fini(&s->ask);
    front_rig_fini(&s->r);
}

static struct activity_what what(const struct front_user *u, const char *text)
{
    return (struct activity_what){&u->who, ACTIVITY_EXEC, "laptop", "box", text};
}

static void note(struct scene *s, const struct front_user *u, const char *text)
{
    struct activity_what w = what(u, text);
    activity_note(s->r.front.activity, &w);
}

static void on_begun(void *arg, int error)
{
    unsigned *begun = arg;
    CHECK_INT(error, 0);
    ++*begun;
}

static struct activity_entry *begin(struct scene *s, const char *text)
{
    unsigned begun = 0;
    struct activity_what w = what(&s->r.ann, text);
    struct activity_entry *e = activity_begin(s->r.front.activity, &w, on_begun, &begun);
    TURN_UNTIL(s->r.loop, begun);
    return e;
}

static int get(struct scene *s, const struct front_user *u, const char *query)
{
    cleanup_free char *request = xasprintf("GET /api/activity%s", query);
    front_asked_fini(&s->ask);
    return front_answer(&s->r, &s->ask, &(struct front_request){u, request, NULL, NULL});
}

/* "WHAT OUTCOME, WHAT OUTCOME": static. `last`: the id of the last one. */
static const char *rows(const struct scene *s, char *last)
{
    static char text[1024];
    size_t len = 0;
    struct json *doc = json_parse(s->ask.body, strlen(s->ask.body));
    text[0] = '\0';
    for (struct json_iter it = json_iter(json_get(json_root(doc), "activity")); json_next(&it);) {
        const char *outcome = json_get_str(it.value, "outcome");
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s %s", len ? ", " : "",
                                json_get_str(it.value, "what"), outcome ? outcome : "null");
        if (last)
            snprintf(last, ACTIVITY_ID_LEN + 1, "%s", json_get_str(it.value, "id"));
    }
    json_free(doc);
    return text;
}

TEST(api_activity_tells_the_newest_first_and_goes_on_from_there)
{
    struct scene s;
    char last[ACTIVITY_ID_LEN + 1] = "", query[64];
    scene_init(&s);
    CHECK_INT(get(&s, &s.r.ann, ""), 200);
    CHECK_STR(s.ask.body, "{\"activity\":[]}");
    note(&s, &s.r.ann, "one");
    note(&s, &s.r.bob, "secret");
    note(&s, &s.r.ann, "two");
    note(&s, &s.r.ann, "three");
    CHECK_INT(get(&s, &s.r.ann, "?limit=2"), 200);
    CHECK_STR(rows(&s, last), "three ok, two ok");
    snprintf(query, sizeof query, "?limit=1000&before=%s", last);
    CHECK_INT(get(&s, &s.r.ann, query), 200);
    CHECK_STR(rows(&s, NULL), "one ok");
    CHECK_INT(get(&s, &s.r.bob, ""), 200);
    CHECK_STR(rows(&s, NULL), "secret ok");
    CHECK_INT(get(&s, NULL, ""), 401);
    scene_fini(&s);
}

TEST(api_activity_tells_all_of_a_row)
{
    struct scene s;
    scene_init(&s);
    activity_end(begin(&s, "make"), ACTIVITY_FAILED, 2);
    CHECK_INT(get(&s, &s.r.ann, ""), 200);
    static const char want[] = "\"kind\":\"exec\",\"agent\":\"laptop\",\"hostname\":\"box\","
                               "\"what\":\"make\",\"outcome\":\"failed\",\"exitCode\":2,\"duration";
    CHECK(strstr(s.ask.body, want) != NULL);
    const char *at = strstr(s.ask.body, "\"at\":\"20");
    CHECK(at && strlen(at) > 31 && at[29] == 'Z' && at[25] == '.');
    scene_fini(&s);
}

/* What the store has as running and nobody runs was running when a broker ended. */
TEST(api_activity_knows_what_a_broker_left_undone)
{
    static const char left[] = "{\"kind\":\"exec\",\"what\":\"left\"}";
    struct scene s;
    char key[ACTIVITY_KEY_ROOM];
    scene_init(&s);
    activity_key(key, &s.r.ann.who, 1);
    store_put(s.r.front.store,
              &(struct store_entry){.key = key, .value = left, .len = strlen(left)}, NULL, NULL);
    struct activity_entry *e = begin(&s, "runs");
    CHECK_INT(get(&s, &s.r.ann, ""), 200);
    CHECK_STR(rows(&s, NULL), "runs null, left interrupted");
    activity_end(e, ACTIVITY_OK, 0);
    scene_fini(&s);
}

TEST(api_activity_refuses_what_is_no_place_in_it)
{
    static const char *const bad[] = {"?limit=0",         "?limit=1001", "?limit=x",
                                      "?limit=1&limit=2", "?before=x",   "?before=../../user/bob",
                                      "?before=",         "?before=%00", "?limit=-1"};
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < countof(bad); i++)
        CHECK_INT(get(&s, &s.r.ann, bad[i]), 400);
    scene_fini(&s);
}

/* ---- as it goes on ---- */

static void follow(struct scene *s, const char *fields)
{
    cleanup_free char *all = xasprintf("Accept: text/event-stream\r\n%s", fields);
    front_asked_fini(&s->ask);
    front_say(&s->r, &s->ask, &(struct front_request){&s->r.ann, "GET /api/activity", all, NULL});
    TURN_UNTIL(s->r.loop, s->ask.client.got.len);
}

static bool told(const struct scene *s, const char *text)
{
    return strstr(front_so_far(&s->ask), text) != NULL;
}

/* How often that is in what came. */
static unsigned times(const struct scene *s, const char *text)
{
    unsigned n = 0;
    for (const char *at = front_so_far(&s->ask); (at = strstr(at, text)); at++)
        n++;
    return n;
}

TEST(api_activity_goes_on_in_events)
{
    struct scene s;
    scene_init(&s);
    note(&s, &s.r.ann, "before");
    follow(&s, "");
    struct activity_entry *e = begin(&s, "make");
    TURN_UNTIL(s.r.loop, told(&s, "\"what\":\"make\",\"outcome\":null"));
    note(&s, &s.r.bob, "secret");
    activity_end(e, ACTIVITY_OK, 0);
    TURN_UNTIL(s.r.loop, told(&s, "\"what\":\"make\",\"outcome\":\"ok\""));
    CHECK_INT(times(&s, "event: activity\n"), 2);
    CHECK_INT(times(&s, "id: "), 2);
    CHECK(!told(&s, "before") && !told(&s, "secret"));
    scene_fini(&s);
}

TEST(api_activity_resumes_behind_the_last_event)
{
    struct scene s;
    char last[64], field[96];
    scene_init(&s);
    follow(&s, "");
    struct activity_entry *e = begin(&s, "long");
    note(&s, &s.r.ann, "one");
    TURN_UNTIL(s.r.loop, told(&s, "\"what\":\"one\""));
    const char *id = strstr(strstr(front_so_far(&s.ask), "long"), "id: ");
    CHECK(id && sscanf(id, "id: %20[0-9]", last) == 1);
    front_asked_fini(&s.ask);
    note(&s, &s.r.ann, "two");
    activity_end(e, ACTIVITY_OK, 0); /* its row is older than the last event, its end is not */
    note(&s, &s.r.bob, "secret");
    begin(&s, "three");
    snprintf(field, sizeof field, "Last-Event-ID: %s\r\n", last);
    follow(&s, field);
    TURN_UNTIL(s.r.loop, told(&s, "three"));
    note(&s, &s.r.ann, "four");
    TURN_UNTIL(s.r.loop, told(&s, "four"));
    const char *all = front_so_far(&s.ask);
    CHECK_INT(times(&s, "event: activity\n"), 4);
    CHECK(!told(&s, "\"what\":\"one\"") && !told(&s, "secret"));
    CHECK(strstr(all, "two") < strstr(all, "long") && strstr(all, "long") < strstr(all, "three"));
    scene_fini(&s);
}

/* Where that is in what came, from there on; 0: nowhere. */
static size_t place(const struct scene *s, size_t from, const char *text)
{
    const struct buf *b = &s->ask.client.got;
    const uint8_t *at =
        b->len > from ? memmem(buf_front(b) + from, b->len - from, text, strlen(text)) : NULL;
    return at ? (size_t)(at - buf_front(b)) : 0;
}

/* Who does not read is told later, all the same, and nothing piles up for them. */
TEST(api_activity_waits_for_who_reads)
{
    char text[3000], want[32];
    struct scene s;
    size_t at = 0, next = 0;
    scene_init(&s);
    follow(&s, "");
    s.ask.client.hold = true;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (unsigned i = 0; i < 900; i++) {
        text[snprintf(text, 8, "n%u", i)] = '.';
        note(&s, &s.r.ann, text);
        loop_turn(s.r.loop, 0);
    }
    s.ask.client.hold = false;
    probe_drink(&s.ask.client);
    for (unsigned i = 0; i < 900; i++, at = next) {
        snprintf(want, sizeof want, "\"n%u.", i);
        TURN_UNTIL(s.r.loop, (next = place(&s, at, want)) != 0);
    }
    scene_fini(&s);
}
