/* How much memory calls may hold: nobody's answers take the room of another's, and what finds none waits. */
#include <stdio.h>
#include <stdlib.h>

#include "applets/broker/activity.h"
#include "core/mem.h"
#include "core/message.h"
#include "tests/unit/front_client.h"

#define CALLS 3
#define LONG  ((size_t)700 << 10) /* bytes of an answer */

struct scene {
    struct front_rig r;
    struct front_agent anns, bobs;
    struct stream *taken[CALLS]; /* requests that an agent has, in their order */
    size_t n;
    struct front_asked ask[CALLS];
    char *answer; /* [LONG] */
};

static void take(struct scene *s, struct stream *stream)
{
    CHECK(s->n < CALLS);
    s->taken[s->n++] = stream;
}

static void take_anns(struct front_agent *a, struct stream *stream)
{
    take(container_of(a, struct scene, anns), stream);
}

static void take_bobs(struct front_agent *a, struct stream *stream)
{
    take(container_of(a, struct scene, bobs), stream);
}

/* An ExecResult of that many bytes; heap. */
static char *result_of(size_t len)
{
    static const char head[] =
        "{\"type\":\"ExecResult\",\"exit_code\":0,\"stderr\":\"\",\"stdout\":\"";
    char *text = xmalloc(len + 1);
    memset(text, 'x', len);
    memcpy(text, head, sizeof head - 1);
    memcpy(text + len - 2, "\"}", 3);
    return text;
}

static void scene_init(struct scene *s)
{
    *s = (struct scene){.answer = result_of(LONG)};
    front_rig_init(&s->r);
    front_agent_join(&s->r, &s->anns, &s->r.ann, "laptop");
    front_agent_join(&s->r, &s->bobs, &s->r.bob, "laptop");
    s->anns.accept = take_anns;
    s->bobs.accept = take_bobs;
}

static void scene_fini(struct scene *s)
{
    for (size_t i = 0; i < CALLS; i++) {
        front_asked_fini(&s->ask[i]);
        stream_close(s->taken[i]);
    }
    front_agent_leave(&s->anns);
    front_agent_leave(&s->bobs);
    front_rig_fini(&s->r);
    CHECK_INT(s->r.front.room.taken, 0);
    CHECK(!s->r.front.room.first);
    free(s->answer);
}

/* A command of that user's, which their agent has then. */
static void begin(struct scene *s, const struct front_user *u)
{
    size_t i = s->n;
    front_say(&s->r, &s->ask[i],
              &(struct front_request){u, "POST /api/exec", NULL, "{\"command\":\"id\"}"});
    TURN_UNTIL(s->r.loop, s->n > i);
}

/* The beginning of the answer, so that its room is taken: the rest is not said yet. */
static void answer_begins(struct scene *s, size_t i)
{
    size_t before = s->r.front.room.taken;
    frame_begin(s->taken[i], LONG);
    stream_write(s->taken[i], s->answer, LONG / 2);
    TURN_UNTIL(s->r.loop, s->r.front.room.taken == before + LONG);
}

static void answer_ends(struct scene *s, size_t i)
{
    stream_write(s->taken[i], s->answer + LONG / 2, LONG - LONG / 2);
}

static void answered(struct scene *s, size_t i)
{
    front_wait(&s->r, &s->ask[i]);
    CHECK_INT(s->ask[i].status, 200);
    CHECK(strlen(s->ask[i].body) > LONG - 100);
    CHECK(!strstr(s->ask[i].body, "Truncated"));
}

TEST(room_for_an_answer_is_waited_for)
{
    struct scene s;
    scene_init(&s);
    s.r.front.room.each = LONG + LONG / 2;
    for (size_t i = 0; i < 3; i++)
        begin(&s, &s.r.ann);
    answer_begins(&s, 0);
    for (size_t i = 1; i < 3; i++)
        frame_write(s.taken[i], s.answer, LONG);
    TURN_UNTIL(s.r.loop, s.r.front.room.first && s.r.front.room.first->next);
    CHECK_INT(s.r.front.room.taken, LONG);
    CHECK_INT(s.ask[1].client.got.len, 0);
    answer_ends(&s, 0);
    for (size_t i = 0; i < 3; i++)
        answered(&s, i);
    scene_fini(&s);
}

TEST(room_of_one_user_is_not_anothers)
{
    struct scene s;
    scene_init(&s);
    s.r.front.room.all = LONG * 3;
    begin(&s, &s.r.ann);
    begin(&s, &s.r.ann);
    begin(&s, &s.r.bob);
    answer_begins(&s, 0);
    frame_write(s.taken[1], s.answer, LONG); /* a second one would leave less than it takes */
    TURN_UNTIL(s.r.loop, s.r.front.room.first);
    frame_write(s.taken[2], s.answer, LONG);
    answered(&s, 2);
    CHECK(s.r.front.room.first != NULL);
    answer_ends(&s, 0);
    answered(&s, 0);
    answered(&s, 1);
    scene_fini(&s);
}

TEST(room_is_not_waited_for_for_ever)
{
    struct scene s;
    struct front_asked trail;
    scene_init(&s);
    s.r.front.room.each = LONG;
    s.r.front.room.wait_ms = 20;
    begin(&s, &s.r.ann);
    begin(&s, &s.r.ann);
    answer_begins(&s, 0);
    frame_write(s.taken[1], s.answer, LONG);
    front_wait(&s.r, &s.ask[1]);
    CHECK_INT(s.ask[1].status, 504);
    CHECK(strstr(s.ask[1].body, "leave its own no room") != NULL);
    answer_ends(&s, 0);
    answered(&s, 0);
    CHECK_INT(
        front_answer(&s.r, &trail,
                     &(struct front_request){&s.r.ann, "GET /api/activity?limit=1", NULL, NULL}),
        200);
    CHECK(strstr(trail.body, "\"outcome\":\"lost\"") != NULL);
    front_asked_fini(&trail);
    scene_fini(&s);
}

/* Who goes away does not leave a place in the queue behind, nor what was held for them. */
TEST(room_is_given_back_by_who_leaves)
{
    struct scene s;
    scene_init(&s);
    s.r.front.room.each = LONG;
    begin(&s, &s.r.ann);
    begin(&s, &s.r.ann);
    begin(&s, &s.r.ann);
    answer_begins(&s, 0);
    for (size_t i = 1; i < 3; i++)
        frame_write(s.taken[i], s.answer, LONG);
    TURN_UNTIL(s.r.loop, s.r.front.room.first && s.r.front.room.first->next);
    stream_close(s.taken[1]);
    s.taken[1] = NULL;
    stream_reset(s.taken[0]);
    s.taken[0] = NULL;
    front_wait(&s.r, &s.ask[0]);
    CHECK_INT(s.ask[0].status, 502);
    answered(&s, 2);
    front_asked_fini(&s.ask[1]);
    scene_fini(&s);
}

TEST(room_for_a_question_is_there_or_it_is_refused)
{
    struct scene s;
    scene_init(&s);
    size_t len = ROOM_SURE + 1;
    cleanup_free char *spaces = xmalloc(len + 1);
    memset(spaces, ' ', len);
    spaces[len] = '\0';
    cleanup_free char *large = xasprintf("{\"command\":\"id\"%s}", spaces);
    s.r.front.room.each = ROOM_SURE;
    const struct front_request q = {&s.r.ann, "POST /api/exec", NULL, large};
    CHECK_INT(front_answer(&s.r, &s.ask[0], &q), 429);
    CHECK(strstr(s.ask[0].head, "Retry-After: 1") != NULL);
    CHECK(strstr(s.ask[0].body, "as much memory as one may have") != NULL);
    CHECK_INT(s.n, 0);
    scene_fini(&s);
}

/* A command that goes on for long holds nothing for the question that has begun it. */
TEST(room_for_a_question_is_given_back_once_it_is_asked)
{
    static const size_t lens[] = {ROOM_SURE + 1, LONG}; /* at once, and by and by */
    struct scene s;
    scene_init(&s);
    for (size_t i = 0; i < countof(lens); i++) {
        cleanup_free char *word = xmalloc(lens[i] + 1);
        memset(word, 'x', lens[i]);
        word[lens[i]] = '\0';
        cleanup_free char *large = xasprintf("{\"command\":\"id %s\"}", word);
        size_t len;
        front_say(&s.r, &s.ask[i],
                  &(struct front_request){&s.r.ann, "POST /api/exec", NULL, large});
        TURN_UNTIL(s.r.loop, s.n > i);
        CHECK_INT(s.r.front.room.taken > 0, i);
        TURN_UNTIL(s.r.loop, (stream_peek(s.taken[i], &len), stream_consume(s.taken[i], len),
                              s.r.front.room.taken == 0));
        frame_write(s.taken[i], s.answer, LONG);
        answered(&s, i);
    }
    scene_fini(&s);
}

TEST(room_for_a_list_is_there_or_it_is_refused)
{
    struct scene s;
    scene_init(&s);
    char what[3001] = "";
    memset(what, 'x', sizeof what - 1);
    for (size_t i = 0; i < 8; i++)
        activity_note(s.r.front.activity, &(struct activity_what){.who = &s.r.ann.who,
                                                                  .kind = ACTIVITY_EXEC,
                                                                  .agent = "box",
                                                                  .hostname = "",
                                                                  .what = what});
    const struct front_request q = {&s.r.ann, "GET /api/activity", NULL, NULL};
    CHECK_INT(front_answer(&s.r, &s.ask[0], &q), 200);
    s.r.front.room.each = 4096;
    CHECK_INT(front_answer(&s.r, &s.ask[1], &q), 429);
    const struct front_request some = {&s.r.ann, "GET /api/activity?limit=3", NULL, NULL};
    CHECK_INT(front_answer(&s.r, &s.ask[2], &some), 200);
    scene_fini(&s);
}
