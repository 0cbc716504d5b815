/* service.c: from a stream to its handler, and from the answer to the stream's end. */
#include "applets/service/service.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include "core/mem.h"

void serve_ping(struct request *r)
{
    struct service *sv = r->service;
    struct draft d = draft_of(MSG_PONG);
    draft_str(&d, "version", sv->version);
    draft_int(&d, "uptime_secs", (int64_t)((loop_now_ms(sv->loop) - sv->started_ms) / 1000));
    draft_send(&d, r->stream);
    request_end(r);
}

const struct service_row service_all[] = {SERVICE_ROWS, {MSG_COUNT, NULL}};

static service_fn *handler(const struct service *sv, enum message_type type)
{
    const struct service_row *row = sv->rows;
    while (row->type != type && row->type != MSG_COUNT)
        row++;
    return row->serve;
}

/* How a request ends. */

static void await(struct request *r);

static void release(struct request *r)
{
    struct service *sv = r->service;
    if (r->next)
        r->next->prev = r->prev;
    *(r->prev ? &r->prev->next : &sv->requests) = r->next;
    loop_timer_del(&r->timer);
    loop_reap(sv->loop, r, free);
    if (sv->over)
        sv->over(sv->owner);
}

static void free_state(struct request *r)
{
    if (r->abort)
        r->abort(r);
    r->abort = NULL;
    r->state = NULL;
    frame_reader_fini(&r->frames);
    message_fini(&r->message);
}

static void close_now(void *arg)
{
    struct request *r = arg;
    stream_close(r->stream);
    release(r);
}

void request_drop_input(struct request *r)
{
    size_t len;
    while (r->last && (stream_peek(r->stream, &len), len > 0))
        stream_consume(r->stream, len);
}

static void lingering(void *arg, struct stream *s, enum stream_event event)
{
    struct request *r = arg;
    (void)s;
    if (event == STREAM_DATA)
        request_drop_input(r);
    else if (event == STREAM_EOF || event == STREAM_ERROR)
        close_now(r);
}

void request_end(struct request *r)
{
    free_state(r);
    if (!r->stream) {
        release(r);
        return;
    }
    if (!r->last) {
        r->again = true;
        await(r);
        return;
    }
    stream_shutdown(r->stream);
    stream_own(r->stream, lingering, r);
    request_drop_input(r);
    loop_timer_del(&r->timer);
    loop_timer_init(r->service->loop, &r->timer, close_now, r);
    loop_timer_set(&r->timer, SERVICE_LINGER_MS);
    if (stream_ended(r->stream))
        close_now(r);
}

void request_reset(struct request *r)
{
    free_state(r);
    stream_reset(r->stream);
    release(r);
}

void request_answer(struct request *r, struct draft *d)
{
    draft_send_within(d, r->stream, r->service->frame_limit);
}

void request_fail(struct request *r, enum error_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *text = xvasprintf(fmt, ap);
    va_end(ap);
    message_send_error(r->stream, code, "%s", text);
    request_end(r);
}

struct stream *request_detach(struct request *r)
{
    struct stream *s = r->stream;
    r->stream = NULL;
    frame_reader_fini(&r->frames);
    message_fini(&r->message);
    return s;
}

/* How it begins. */

static void serving(void *arg, struct stream *s, enum stream_event event)
{
    struct request *r = arg;
    (void)s;
    if (event == STREAM_DATA)
        request_drop_input(r);
    else if (event == STREAM_ERROR)
        request_reset(r);
}

/* The stream is of no use after it, to the opener or to us. */
static void refuse(struct request *r, const char *why)
{
    r->last = true;
    request_fail(r, ERR_INVALID_REQUEST, "bad request: %s", why);
}

/* These use the stream beyond their message. */
static bool takes_stream(enum message_type type)
{
    return type == MSG_DIAL || type == MSG_EXEC_STREAM || type == MSG_FILE_GET ||
           type == MSG_FILE_PUT;
}

/* What is said here is as slow as a person at a terminal, or a peer elsewhere. */
static bool may_stall(enum message_type type)
{
    return type == MSG_DIAL || type == MSG_EXEC_STREAM;
}

static void dispatch(struct request *r, const struct frame *f)
{
    const char *why;
    if (message_parse(&r->message, f->payload, f->len, &why) != 0) {
        refuse(r, why);
        return;
    }
    frame_reader_fini(&r->frames); /* `f` may be large, and the message has its own copy */
    r->last = !r->service->repeated || takes_stream(r->message.type);
    stream_need_reader(r->stream, !r->last);
    if (may_stall(r->message.type))
        stream_limit_stall(r->stream, 0);
    struct fault fault;
    service_fn *serve = handler(r->service, r->message.type);
    if (!serve) {
        request_fail(r, ERR_INVALID_REQUEST, "%s is not a request that is served here",
                     message_name(r->message.type));
        return;
    }
    if (!policy_allows(r->service->policy, &r->message, &fault)) {
        request_fail(r, fault.code, "%s", fault.text);
        return;
    }
    loop_timer_del(&r->timer);
    stream_own(r->stream, serving, r);
    serve(r);
}

static void read_request(struct request *r)
{
    struct frame f;
    if (stream_room(r->stream) == 0)
        return; /* the last answer is still on its way */
    stream_need_reader(r->stream, false);
    switch (frame_read(&r->frames, r->stream, &f)) {
    case FRAME_MORE: break;
    case FRAME_BAD: refuse(r, "a frame is empty or over the limit"); break;
    case FRAME_READY: dispatch(r, &f); break;
    }
}

/* Between two requests. */
static bool is_idle(const struct request *r)
{
    return r->again && r->frames.part.len == 0;
}

static void arriving(void *arg, struct stream *s, enum stream_event event)
{
    struct request *r = arg;
    (void)s;
    if (event == STREAM_DATA || event == STREAM_DRAINED)
        read_request(r);
    else if (event == STREAM_EOF && is_idle(r))
        close_now(r);
    else if (event == STREAM_EOF)
        refuse(r, "it ended half-way");
    else if (event == STREAM_ERROR)
        request_reset(r);
}

static void arrived_late(void *arg)
{
    struct request *r = arg;
    r->last = true;
    if (is_idle(r))
        close_now(r);
    else
        request_fail(r, ERR_TIMEOUT, "no request within %d s", SERVICE_ARRIVAL_MS / 1000);
}

static void await(struct request *r)
{
    loop_timer_del(&r->timer);
    loop_timer_init(r->service->loop, &r->timer, arrived_late, r);
    loop_timer_set(&r->timer, SERVICE_ARRIVAL_MS);
    stream_own(r->stream, arriving, r);
}

void service_serve(struct service *sv, struct stream *s)
{
    struct request *r = xcalloc(1, sizeof *r);
    *r = (struct request){
        .service = sv, .next = sv->requests, .stream = s, .frames = {.limit = sv->frame_limit}};
    if (r->next)
        r->next->prev = r;
    sv->requests = r;
    stream_limit_stall(s, sv->stall_ms);
    await(r);
}

void service_init(struct service *sv, struct loop *loop)
{
    signal(SIGXFSZ, SIG_IGN); /* a file over the user's limit is that request's error */
    *sv = (struct service){.loop = loop,
                           .rows = service_all,
                           .frame_limit = FRAME_LIMIT,
                           .version = "",
                           .started_ms = loop_now_ms(loop)};
}

void service_fini(struct service *sv)
{
    while (sv->requests)
        request_reset(sv->requests);
}
