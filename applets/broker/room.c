#include "applets/broker/room.h"

#include "applets/broker/call.h"

static void leave(struct room *m, struct room_wait *w)
{
    if (w->next)
        w->next->at = w->at;
    else if (m->last == &w->next)
        m->last = w->at;
    *w->at = w->next;
    w->at = NULL;
}

/* Who still finds too little waits anew, behind nobody who did before. */
static void wake(void *arg)
{
    struct room *m = arg;
    struct room_wait *due = m->first;
    m->first = NULL;
    m->last = &m->first;
    if (due)
        due->at = &due;
    while (due) {
        struct room_wait *w = due;
        leave(m, w);
        w->fn(w->call);
    }
}

void room_init(struct room *m, struct loop *loop)
{
    *m = (struct room){.each = ROOM_EACH, .all = ROOM_ALL, .wait_ms = ROOM_WAIT_MS};
    m->last = &m->first;
    loop_task_init(loop, &m->wake, wake, m);
}

void room_fini(struct room *m)
{
    loop_task_del(&m->wake);
}

bool call_hold(struct call *c, size_t len)
{
    struct room *m = &c->front->room;
    struct tally_row *row = c->counted;
    if (!row)
        return true;
    size_t left = m->all - m->taken;
    if (len > m->each - row->held || len > left || row->held + len > left - len)
        return false;
    m->taken += len;
    row->held += len;
    c->held += len;
    return true;
}

void room_give(struct room *m, struct tally_row *row, size_t len)
{
    if (!len)
        return;
    m->taken -= len;
    row->held -= len;
    if (m->first)
        loop_task_post(&m->wake);
}

void call_let_go(struct call *c, size_t len)
{
    room_give(&c->front->room, c->counted, len);
    c->held -= len;
}

void call_no_room(struct call *c)
{
    call_error_with(c, API_RATE_LIMITED, "Retry-After: 1\r\n",
                    "Your requests under way hold as much memory as one may have.");
}

void room_await(struct room *m, struct room_wait *w)
{
    w->next = NULL;
    w->at = m->last;
    *m->last = w;
    m->last = &w->next;
}

void room_forget(struct room *m, struct room_wait *w)
{
    if (w->at)
        leave(m, w);
}
