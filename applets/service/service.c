/* service.c: from a stream to its handler, and from the answer to the stream's end. */
#include "applets/service/service.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include "core/mem.h"

static void serve_ping(struct request *r)
{
    struct service *sv = r->service;
    struct draft d = draft_of(MSG_PONG);
    draft_str(&d, "version", sv->version);
    draft_int(&d, "uptime_secs", (int64_t)((loop_now_ms(sv->loop) - sv->started_ms) / 1000));
    draft_send(&d, r->stream);
    request_end(r);
}

const struct service_row service_all[] = {
    {MSG_PING, serve_ping},         {MSG_DIAL, serve_dial},
    {MSG_EXEC, serve_exec},         {MSG_EXEC_STREAM, serve_exec_stream},
    {MSG_FILE_GET, serve_file_get}, {MSG_FILE_PUT, serve_file_put},
    {MSG_SYNC, serve_sync},         {MSG_COUNT, NULL},
};

static service_fn *handler(const struct service *sv, enum message_type type)
{
    const struct service_row *row = sv->rows;
    while (row->type != type && row->type != MSG_COUNT)
        row++;
    return row->serve;
}

/* How a request ends. */

static void release(struct request *r)
{
    struct service *sv = r->service;
    if (r->next)
        r->next->prev = r->prev;
    *(r->prev ? &r->prev->next : &sv->requests) = r->next;
    loop_timer_del(&r->timer);
    loop_reap(sv->loop, r, free);
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
    while (stream_peek(r->stream, &len), len > 0)
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

static void dispatch(struct request *r, const struct frame *f)
{
    const char *why;
    if (message_parse(&r->message, f->payload, f->len, &why) != 0) {
        request_fail(r, ERR_INVALID_REQUEST, "bad request: %s", why);
        return;
    }
    service_fn *serve = handler(r->service, r->message.type);
    if (!serve) {
        request_fail(r, ERR_INVALID_REQUEST, "%s is not a request that is served here",
                     message_name(r->message.type));
        return;
    }
    loop_timer_del(&r->timer);
    stream_own(r->stream, serving, r);
    serve(r);
}

static void read_request(struct request *r)
{
    struct frame f;
    switch (frame_read(&r->frames, r->stream, &f)) {
    case FRAME_MORE: break;
    case FRAME_BAD:
        request_fail(r, ERR_INVALID_REQUEST, "bad request: a frame is empty or over the limit");
        break;
    case FRAME_READY: dispatch(r, &f); break;
    }
}

static void arriving(void *arg, struct stream *s, enum stream_event event)
{
    struct request *r = arg;
    (void)s;
    if (event == STREAM_DATA)
        read_request(r);
    else if (event == STREAM_EOF)
        request_fail(r, ERR_INVALID_REQUEST, "bad request: it ended half-way");
    else if (event == STREAM_ERROR)
        request_reset(r);
}

static void arrived_late(void *arg)
{
    request_fail(arg, ERR_TIMEOUT, "no request within %d s", SERVICE_ARRIVAL_MS / 1000);
}

void service_serve(struct service *sv, struct stream *s)
{
    struct request *r = xcalloc(1, sizeof *r);
    *r = (struct request){.service = sv, .next = sv->requests, .stream = s};
    if (r->next)
        r->next->prev = r;
    sv->requests = r;
    loop_timer_init(sv->loop, &r->timer, arrived_late, r);
    loop_timer_set(&r->timer, SERVICE_ARRIVAL_MS);
    stream_own(s, arriving, r);
}

void service_init(struct service *sv, struct loop *loop)
{
    signal(SIGXFSZ, SIG_IGN); /* a file over the user's limit is that request's error */
    *sv = (struct service){
        .loop = loop, .rows = service_all, .version = "", .started_ms = loop_now_ms(loop)};
}

void service_fini(struct service *sv)
{
    while (sv->requests)
        request_reset(sv->requests);
}
