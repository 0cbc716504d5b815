/* A user's audit trail: a part of it, the newest first; or as it goes on, in events.
 *
 * An event's id is the revision of its row, which also a row's end has anew: who comes again with the last
 * one that they heard of is told what has changed since, each row once and as it is now. The same goes
 * for who reads too slowly: nothing waits for them but where they were. What they have missed is looked for
 * among the newest CATCH_UP rows. */
#include <stdlib.h>
#include <string.h>

#include "applets/broker/activity.h"
#include "applets/broker/call.h"
#include "core/mem.h"
#include "core/opt.h"
#include "net/http_sse.h"

#define LIMIT    100
#define CATCH_UP STORE_LIST_MAX

/* What nobody will write an outcome for has ended with the broker that began it. */
static struct json *read_row(const struct call *c, const struct store_entry *e,
                             struct activity_row *row)
{
    struct json *doc = activity_row_of(e, row);
    if (doc && row->outcome == ACTIVITY_RUNNING &&
        !activity_is_under_way(c->front->activity, &c->who, row->id))
        row->outcome = ACTIVITY_INTERRUPTED;
    return doc;
}

static struct store_call *list(struct call *c, const char *after, store_fn *fn)
{
    char prefix[ACTIVITY_KEY_ROOM];
    activity_prefix(prefix, &c->who);
    return store_list(c->front->store, prefix, after, fn, c);
}

/* ---- a part of it ---- */

struct listing {
    struct store_call *asked;
    struct json_out *out;
    struct json_node *rows;
    uint64_t left;
    size_t len; /* of what was told, in the store */
};

static void forget_listing(struct call *c)
{
    struct listing *l = c->state;
    store_cancel(l->asked);
    json_out_free(l->out);
    free(l);
}

static void put_row(struct call *c, const struct store_entry *e)
{
    struct listing *l = c->state;
    struct activity_row row;
    struct json *doc = read_row(c, e, &row);
    if (doc) {
        activity_tell(l->out, json_put_object(l->out, l->rows, NULL), &row);
        l->left--;
    }
    json_free(doc);
}

static void on_rows(void *arg, const struct store_answer *a)
{
    struct call *c = arg;
    struct listing *l = c->state;
    l->asked = NULL;
    if (a->error) {
        call_fault(c, "the audit trail", a->error);
        return;
    }
    for (size_t i = 0; i < a->n && l->left; i++) {
        l->len += a->entries[i].len;
        if (l->len > ROOM_SURE && !call_hold(c, a->entries[i].len)) {
            call_no_room(c);
            return;
        }
        put_row(c, &a->entries[i]);
    }
    if (a->more && l->left) {
        l->asked = list(c, a->entries[a->n - 1].key, on_rows);
        return;
    }
    struct json_out *out = l->out;
    l->out = NULL;
    call_json(c, "", out);
}

/* 0, or -1 and the call was answered. */
static int read_place(struct call *c, uint64_t *limit, uint64_t *before)
{
    cleanup_free char *limit_text = NULL, *before_text = NULL;
    *limit = LIMIT;
    *before = UINT64_MAX;
    if (call_param(c, "limit", false, &limit_text) < 0 ||
        call_param(c, "before", false, &before_text) < 0)
        return -1;
    if (limit_text && (opt_unsigned(limit_text, STORE_LIST_MAX, limit) < 0 || *limit == 0)) {
        call_error(c, API_INVALID_REQUEST, "limit is 1 to %u.", STORE_LIST_MAX);
        return -1;
    }
    if (before_text && activity_read_id(before_text, before) < 0) {
        call_error(c, API_INVALID_REQUEST, "before is the id of an activity.");
        return -1;
    }
    return 0;
}

static void tell_part(struct call *c)
{
    char after[ACTIVITY_KEY_ROOM];
    uint64_t limit, before;
    if (read_place(c, &limit, &before) < 0)
        return;
    struct listing *l = xcalloc(1, sizeof *l);
    l->left = limit;
    l->out = json_out_new();
    l->rows = json_put_array(l->out, json_out_root(l->out), "activity");
    c->state = l;
    c->abort = forget_listing;
    activity_key(after, &c->who, before);
    l->asked = list(c, after, on_rows);
}

/* ---- as it goes on ---- */

struct following {
    struct activity_listener listener;
    struct sse *sse;
    struct store_call *asked;
    uint64_t told; /* revisions up to there */
    bool behind;   /* and others before the next one that is heard of */
};

static void forget_following(struct call *c)
{
    struct following *f = c->state;
    activity_unlisten(&f->listener);
    store_cancel(f->asked);
    sse_end(f->sse);
    loop_reap(c->front->loop, f, free);
}

static void send_row(struct following *f, const struct activity_row *row)
{
    struct json_out *out = json_out_new();
    size_t len;
    activity_tell(out, json_out_root(out), row);
    cleanup_free char *text = json_out_text(out, false, &len);
    json_out_free(out);
    sse_id(f->sse, row->revision);
    sse_send(f->sse, "activity", text, len);
    f->told = row->revision;
}

static int by_revision(const void *a, const void *b)
{
    const struct store_entry *const *x = a, *const *y = b;
    return ((*x)->revision > (*y)->revision) - ((*x)->revision < (*y)->revision);
}

/* Those that are to be told yet, in the order in which they changed: heap, *n of them. */
static const struct store_entry **missed(const struct following *f, const struct store_answer *a,
                                         size_t *n)
{
    const struct store_entry **rows = xcalloc(a->n + 1, sizeof(struct store_entry *));
    *n = 0;
    for (size_t i = 0; i < a->n; i++)
        if (a->entries[i].revision > f->told)
            rows[(*n)++] = &a->entries[i];
    qsort(rows, *n, sizeof(struct store_entry *), by_revision);
    return rows;
}

static void on_missed(void *arg, const struct store_answer *a)
{
    struct call *c = arg;
    struct following *f = c->state;
    size_t n, i;
    const struct store_entry **rows = missed(f, a, &n);
    f->asked = NULL;
    for (i = 0; i < n && sse_room(f->sse); i++) {
        struct activity_row row;
        struct json *doc = read_row(c, rows[i], &row);
        if (doc)
            send_row(f, &row);
        json_free(doc);
    }
    f->behind = i < n;
    free((void *)rows);
    if (a->error)
        call_end(c); /* they will come again */
}

static void catch_up(void *arg)
{
    struct call *c = arg;
    struct following *f = c->state;
    if (f->behind && !f->asked)
        f->asked = list(c, NULL, on_missed);
}

static void on_gone(void *arg)
{
    call_end(arg);
}

static void on_activity(void *arg, const struct activity_row *row)
{
    struct following *f = arg;
    if (!f->behind && sse_room(f->sse))
        send_row(f, row);
    else
        f->behind = true;
}

static void follow(struct call *c)
{
    static const struct sse_events events = {.drained = catch_up, .gone = on_gone};
    const char *last = call_field(c, "Last-Event-ID");
    struct following *f = xcalloc(1, sizeof *f);
    c->state = f;
    c->abort = forget_following;
    f->behind = last && opt_unsigned(last, UINT64_MAX, &f->told) == 0;
    f->listener.fn = on_activity;
    f->listener.arg = f;
    f->sse = sse_begin(call_take(c), "", SSE_ALIVE_MS, &events, c);
    activity_listen(c->front->activity, &c->who, &f->listener);
    catch_up(c);
}

void api_activity(struct call *c)
{
    if (call_accepts_events(c))
        follow(c);
    else
        tell_part(c);
}
