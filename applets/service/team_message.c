/* team_message.c: TeamMessage, by which tasks are assigned, and PollDaemonResults, which
 * fetches their results. */
#include <stdio.h>
#include <string.h>

#include "applets/service/service.h"
#include "applets/service/workload.h"
#include "core/key.h"
#include "core/log.h"

#define LIMIT           20 /* results, where it is not said */
#define UUID_LEN        36
#define FIELDS_MAX      1024 /* bytes of an answer beside the results */
#define RESULT_OVERHEAD 512  /* bytes of a result beside its texts and ids */

/* TeamMessage. */

/* Version 4 of RFC 9562. */
static void new_uuid(char text[static UUID_LEN + 1])
{
    uint8_t b[16];
    key_random(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(text, UUID_LEN + 1,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
}

struct team_message {
    const char *to, *content, *type, *from, *id;
};

/* A field that is absent is `missing`, if there may be such a thing; -1 with *why. */
static int read_field(const struct json_value *body, const char *key, const char *missing,
                      const char **text, struct fault *why)
{
    const struct json_value *v = json_get(body, key);
    *text = v ? json_str(v) : missing;
    if (!*text)
        return fault_set(why, ERR_INVALID_REQUEST, "%s: %s", key, v ? "not a text" : "missing");
    return 0;
}

static int read_message(struct team_message *m, const struct json_value *body, struct fault *why)
{
    if (read_field(body, "to", NULL, &m->to, why) != 0 ||
        read_field(body, "content", NULL, &m->content, why) != 0 ||
        read_field(body, "message_type", "text", &m->type, why) != 0 ||
        read_field(body, "from", "", &m->from, why) != 0 ||
        read_field(body, "message_id", "", &m->id, why) != 0)
        return -1;
    if (strlen(m->id) > TASK_ID_MAX)
        return fault_set(why, ERR_INVALID_REQUEST, "message_id: longer than %d bytes", TASK_ID_MAX);
    return 0;
}

static int take(struct tasks *tasks, const struct team_message *m, struct fault *why)
{
    char id[UUID_LEN + 1];
    new_uuid(id);
    if (strcmp(m->type, "task_assignment") == 0)
        return tasks_assign(tasks, m->content, *m->id ? m->id : id, why);
    log_note("a message (%.64s) came from %.64s: nobody reads it here", m->type,
             *m->from ? m->from : m->to); /* older senders name themselves in `to` */
    return 0;
}

void serve_team_message(struct request *r)
{
    struct team_message m;
    struct fault why;
    if (read_message(&m, r->message.body, &why) != 0 ||
        take(&r->service->workload->tasks, &m, &why) != 0) {
        request_fail(r, why.code, "%s", why.text);
        return;
    }
    message_send(r->stream, MSG_OK);
    request_end(r);
}

/* PollDaemonResults. */

/* Beside its texts. */
static size_t overhead(const struct task *t)
{
    return RESULT_OVERHEAD + output_json_len(t->task_id, strlen(t->task_id)) +
           output_json_len(t->message_id, strlen(t->message_id));
}

static void put_result(struct draft *d, struct json_node *results, const struct task *t,
                       size_t texts_max)
{
    struct json_node *to = json_put_object(d->out, results, NULL);
    json_put_str(d->out, to, "task_id", t->task_id);
    json_put_bool(d->out, to, "success", t->exit_code == 0);
    json_put_int(d->out, to, "exit_code", t->exit_code);
    output_put(&t->output, d->out, to, texts_max);
    json_put_int(d->out, to, "elapsed_secs", (int64_t)t->elapsed_secs);
    json_put_str(d->out, to, "source_message_id", t->message_id);
}

/* What does not fit beside others waits for the next time; what fits into no frame is cut. */
static void put_results(struct draft *d, struct tasks *tasks, uint64_t limit, size_t room)
{
    struct json_node *results = json_put_array(d->out, d->root, "results");
    const struct task *t;
    for (uint64_t n = 0; n < limit && (t = tasks_oldest(tasks)); n++) {
        size_t cost = overhead(t) + output_cost(&t->output);
        if (cost > room && n > 0)
            break;
        put_result(d, results, t, room - overhead(t));
        tasks_forget_oldest(tasks);
        room -= cost < room ? cost : room;
    }
}

void serve_poll_daemon_results(struct request *r)
{
    struct tasks *tasks = &r->service->workload->tasks;
    uint64_t limit = LIMIT;
    if (json_get_uint(r->message.body, "limit", &limit) < 0) {
        request_fail(r, ERR_INVALID_REQUEST, "limit: not a number from 0 on");
        return;
    }
    struct draft d = draft_of(MSG_DAEMON_RESULTS);
    put_results(&d, tasks, limit, r->service->frame_limit - FIELDS_MAX);
    draft_int(&d, "pending_tasks", (int64_t)tasks_pending(tasks));
    request_answer(r, &d);
    request_end(r);
}
