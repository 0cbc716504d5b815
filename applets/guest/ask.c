/* ask.c: ping and sync: requests whose whole answer is one message. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "applets/guest/guest_visit.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "net/guest_ask.h"

struct question {
    struct visit *visit;
    enum message_type request, due;
    uint64_t limit_ms; /* as guest_ask() has it */
    void (*show)(const struct visit *v, const struct guest_answer *answer);
    struct guest_ask *asking; /* until it is answered */
};

static void judge(struct question *q, const struct guest_answer *answer)
{
    struct visit *v = q->visit;
    const struct message *m = answer->message;
    const char *text = m->type == MSG_ERROR ? json_get_str(m->body, "message") : NULL;
    if (m->type == q->due) {
        if (q->show)
            q->show(v, answer);
        visit_end(v, 0);
    } else if (text) {
        visit_fail(v, "%s: %s", v->where, text);
    } else {
        visit_lost(v, EPROTO);
    }
}

static void answered(void *arg, const struct guest_answer *answer)
{
    struct question *q = arg;
    q->asking = NULL;
    if (answer->message)
        judge(q, answer);
    else if (answer->connected)
        visit_lost(q->visit, answer->error);
    else
        visit_unreachable(q->visit, answer->error);
}

static int ask(struct question *q, char **argv)
{
    struct words none = {0};
    struct visit *v = q->visit;
    if (!visit_words(v, argv, &none))
        return none.status;
    const struct guest_question question = {
        .request = draft_of(q->request), .limit_ms = q->limit_ms, .fn = answered, .arg = q};
    q->asking = guest_ask(v->loop, guest_place_of(v), &question);
    int status = visit_run(v);
    if (q->asking)
        guest_ask_cancel(q->asking);
    return status;
}

static void show_pong(const struct visit *v, const struct guest_answer *answer)
{
    const struct json_value *body = answer->message->body;
    const char *version = json_get_str(body, "version");
    int64_t up_secs = 0;
    (void)json_get_int(body, "uptime_secs", &up_secs);
    cleanup_free char *shown = xstrdup(version ? version : "?");
    shown[utf8_harmless(shown, strlen(shown))] = '\0';
    printf("%s: version %s, up %lld s, answered in %.3f ms\n", v->where, shown, (long long)up_secs,
           (double)answer->rtt_us / 1000);
}

int verb_ping(struct visit *v, char **argv)
{
    struct question q = {v, MSG_PING, MSG_PONG, GUEST_DIAL_MS, show_pong, NULL};
    return ask(&q, argv);
}

/* Writing all that is dirty takes as long as it takes. */
int verb_sync(struct visit *v, char **argv)
{
    struct question q = {v, MSG_SYNC, MSG_OK, 0, NULL, NULL};
    return ask(&q, argv);
}
