/* http_peer.c: our HTTP and WebSocket by themselves, for tests/interop/run_http.
 *
 *     http-peer serve [CHAIN KEY]                   says "port N", then a line for each thing of note
 *     http-peer ask PORT [ca FILE] METHOD TARGET... one after the other on one connection; says "status N"
 *     http-peer talk PORT [ca FILE] TARGET          a WebSocket whose far end is an echo
 *
 * What the server has: GET /N (N bytes), /chunked/N, /events, /moved; POST and PUT say how many bytes of
 * the pattern came that are right; /echo and /bytes are WebSockets. A target that is asked for with POST
 * or PUT and ends in ":N" is sent N bytes, in chunks if it is ":cN". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/key.h"
#include "core/mem.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/http_sse.h"
#include "net/sock.h"
#include "net/tls.h"
#include "net/websocket.h"
#include "net/websocket_handshake.h"
#include "tests/interop/pattern.h"

#define BODY_MAX (50u * 1024 * 1024)

static struct loop *loop;
static struct tls_server *secured;

/* ---- bytes that can be told right from wrong ---- */

struct pour {
    struct stream *s;
    size_t total, sent, read, right;
    bool done; /* its end was said */
};

static void pour(struct pour *p)
{
    p->sent = pattern_send(p->s, p->sent, p->total);
    if (p->sent == p->total && !p->done) {
        p->done = true;
        stream_shutdown(p->s);
    }
}

static void judge(struct pour *p)
{
    size_t len;
    const uint8_t *data;
    while ((data = stream_peek(p->s, &len))) {
        p->right += pattern_right(data, len, p->read);
        p->read += len;
        stream_consume(p->s, len);
    }
}

/* ---- the server ---- */

static void answer_text(struct stream *x, int status, const char *fields, const char *text)
{
    http_answer(x, status, fields, text, strlen(text));
}

static void part(struct pour *p)
{
    stream_close(p->s);
    free(p);
}

static void on_upload(void *arg, struct stream *x, enum stream_event event)
{
    struct pour *p = arg;
    if (event == STREAM_DATA) {
        judge(p);
    } else if (event == STREAM_EOF) {
        cleanup_free char *text = xasprintf("%zu right\n", p->right);
        answer_text(x, 200, "Content-Type: text/plain\r\n", text);
        free(p);
    } else if (event == STREAM_ERROR) {
        printf("upload ended: %s\n", strerror(stream_error(x)));
        part(p);
    }
}

static void take_upload(struct stream *x)
{
    if (http_accept_body(x, BODY_MAX) != 0) {
        answer_text(x, 413, "", "too much\n");
        return;
    }
    struct pour *p = xcalloc(1, sizeof(*p));
    p->s = x;
    stream_own(x, on_upload, p);
}

static void on_download(void *arg, struct stream *x, enum stream_event event)
{
    struct pour *p = arg;
    (void)x;
    if (event == STREAM_DRAINED)
        pour(p);
    else if (event == STREAM_ERROR)
        printf("download ended\n");
    if (event == STREAM_ERROR || p->done)
        part(p);
}

static void give(struct stream *x, size_t total, bool chunked)
{
    struct pour *p = xcalloc(1, sizeof(*p));
    p->s = x;
    p->total = total;
    stream_own(x, on_download, p);
    http_respond(x, 200, "", chunked ? HTTP_CHUNKED : (int64_t)total);
    pour(p);
    if (p->done)
        part(p);
}

static void on_gone(void *arg)
{
    (void)arg;
}

static void tell_events(struct stream *x)
{
    static const struct sse_events nothing = {.gone = on_gone};
    struct sse *e = sse_begin(x, "", SSE_ALIVE_MS, &nothing, NULL);
    sse_send(e, NULL, "one\ntwo", 7);
    sse_send(e, "exit", "0", 1);
    sse_end(e);
}

struct echo {
    struct websocket *w;
};

static void echo_data(void *arg, bool text, const uint8_t *data, size_t len, bool last)
{
    const struct echo *e = arg;
    (void)last;
    websocket_send(e->w, text ? WS_TEXT : WS_BINARY, data, len);
}

static void echo_ended(void *arg, uint16_t code, const char *reason, size_t len)
{
    struct echo *e = arg;
    printf("websocket ended: %u %.*s\n", code, (int)len, reason);
    websocket_free(e->w);
    free(e);
}

static void echo_drained(void *arg)
{
    (void)arg;
}

static const struct websocket_events echo_events = {
    .data = echo_data, .drained = echo_drained, .ended = echo_ended};

static void echo_bytes(void *arg, struct stream *s, enum stream_event event)
{
    size_t len;
    const uint8_t *data;
    (void)arg;
    while ((data = stream_peek(s, &len)) && stream_room(s)) {
        stream_write(s, data, len);
        stream_consume(s, len);
    }
    if (event == STREAM_EOF || event == STREAM_ERROR)
        stream_close(s);
}

static void upgrade(struct stream *x, bool as_bytes)
{
    const struct websocket_options options = {.role = WS_SERVER, .message_max = 16u << 20};
    const char *origin = http_field(http_request_head(x), "Origin");
    printf("origin %s\n", origin ? origin : "none");
    struct stream *carrier = websocket_accept(x, NULL);
    if (!carrier)
        return;
    if (as_bytes) {
        stream_own(websocket_stream_new(carrier, WS_SERVER), echo_bytes, NULL);
        return;
    }
    struct echo *e = xcalloc(1, sizeof(*e));
    e->w = websocket_new(carrier, &options, &echo_events, e);
}

static void route_get(struct stream *x, const char *path)
{
    if (!strncmp(path, "/chunked/", 9))
        give(x, strtoul(path + 9, NULL, 10), true);
    else if (!strcmp(path, "/events"))
        tell_events(x);
    else if (!strcmp(path, "/moved"))
        answer_text(x, 302, "Location: /5\r\n", "");
    else if (!strcmp(path, "/echo") || !strcmp(path, "/bytes"))
        upgrade(x, path[1] == 'b');
    else if (path[strspn(path, "/0123456789")] == '\0')
        give(x, strtoul(path + 1, NULL, 10), false);
    else
        answer_text(x, 404, "", "no such page\n");
}

static void on_request(void *arg, struct stream *x)
{
    const struct http_head *h = http_request_head(x);
    (void)arg;
    printf("%s %s\n", h->method, http_target(h));
    if (!strcmp(h->method, "POST") || !strcmp(h->method, "PUT"))
        take_upload(x);
    else
        route_get(x, http_target(h));
}

static void on_ended(void *arg, struct http_conn *c)
{
    (void)arg, (void)c;
    printf("connection ended\n");
}

static const struct http_server_events server_events = {.request = on_request, .ended = on_ended};

static void accepted(void *arg, struct stream *s, const char *peer)
{
    (void)arg, (void)peer;
    http_serve(secured ? tls_accept(secured, s) : s, &http_server_limits, &server_events, NULL);
}

static int serve(void)
{
    struct target bind = {.kind = TARGET_TCP, .host = "127.0.0.1"};
    struct listener *l = listener_new(loop, &bind, accepted, NULL);
    if (!l)
        return 1;
    printf("port %u\n", listener_port(l));
    return loop_run(loop);
}

/* ---- the client ---- */

static struct asking {
    struct http_client *client;
    struct pour body;
    char **words; /* METHOD TARGET … */
    int left;
    char *host;
    struct tls_peer peer;
    bool secure;
    bool talk;
} asking;

static void over(int status)
{
    http_client_free(asking.client);
    loop_stop(loop, status);
}

static void ask_next(void);

static void on_response(void *arg, struct stream *x, enum stream_event event)
{
    struct pour *p = arg;
    size_t len;
    const uint8_t *data;
    switch (event) {
    case STREAM_OPEN: fprintf(stderr, "status %d\n", http_response_head(x)->status); break;
    case STREAM_DATA:
        while ((data = stream_peek(x, &len))) {
            fwrite(data, 1, len, stdout);
            stream_consume(x, len);
        }
        break;
    case STREAM_DRAINED: pour(p); break;
    case STREAM_EOF:
        stream_close(x);
        ask_next();
        break;
    case STREAM_ERROR:
        fprintf(stderr, "error %s\n", strerror(stream_error(x)));
        stream_close(x);
        over(1);
        break;
    }
}

static void ask_next(void)
{
    if (asking.left < 2) {
        over(0);
        return;
    }
    const char *method = asking.words[0];
    bool upload = *method == 'P';
    char *size = upload ? strrchr(asking.words[1], ':') : NULL;
    struct http_request r = {
        .method = method, .target = asking.words[1], .host = asking.host, .body_max = BODY_MAX};
    asking.words += 2, asking.left -= 2;
    asking.body = (struct pour){.total = 0};
    if (size) {
        *size++ = '\0';
        asking.body.total = strtoul(size + (*size == 'c'), NULL, 10);
        r.length = *size == 'c' ? HTTP_CHUNKED : (int64_t)asking.body.total;
    }
    asking.body.s = http_client_send(asking.client, &r);
    if (!asking.body.s) {
        fprintf(stderr, "error %s\n", strerror(errno));
        over(1);
        return;
    }
    stream_own(asking.body.s, on_response, &asking.body);
    pour(&asking.body);
}

/* A text with characters of every length, a large message, and a ping in between, all to come back. */
static const char text[] = "h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x9a\xa2";
#define LARGE 300000u

static struct websocket *talking;
static unsigned came;

static void talk_data(void *arg, bool is_text, const uint8_t *data, size_t len, bool last)
{
    bool right = is_text ? len == sizeof(text) - 1 && !memcmp(data, text, len) : len == LARGE;
    (void)arg, (void)last;
    for (size_t i = 0; !is_text && i < len; i++)
        right &= data[i] == pattern(i);
    printf("%s %zu %s\n", is_text ? "text" : "binary", len, right ? "right" : "wrong");
    if (++came == 2)
        websocket_close(talking, WS_NORMAL, "that is all");
}

static void talk_ended(void *arg, uint16_t code, const char *reason, size_t len)
{
    (void)arg, (void)reason, (void)len;
    printf("ended %u\n", code);
    websocket_free(talking);
    loop_stop(loop, code == WS_NORMAL ? 0 : 1);
}

static const struct websocket_events talk_events = {
    .data = talk_data, .drained = echo_drained, .ended = talk_ended};

static void talk(void *arg, struct stream *carrier, int error, int status)
{
    static uint8_t large[LARGE];
    const struct websocket_options options = {.role = WS_CLIENT, .message_max = 1u << 20};
    (void)arg;
    if (!carrier) {
        printf("refused: %s, status %d\n", strerror(error), status);
        loop_stop(loop, 1);
        return;
    }
    talking = websocket_new(carrier, &options, &talk_events, NULL);
    websocket_send(talking, WS_TEXT, text, sizeof(text) - 1);
    websocket_ping(talking);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = pattern(i);
    websocket_send(talking, WS_BINARY, large, LARGE);
}

static void dialled(void *arg, struct stream *s, int error)
{
    (void)arg;
    if (!s) {
        fprintf(stderr, "error %s\n", strerror(error));
        loop_stop(loop, 1);
        return;
    }
    s = asking.secure ? tls_connect(&asking.peer, s) : s;
    if (asking.talk) {
        const struct websocket_request r = {.host = asking.host,
                                            .target = asking.words[0],
                                            .fields = "Origin: https://here\r\n",
                                            .patience_ms = 30000};
        websocket_dial(s, &r, talk, NULL);
        return;
    }
    asking.client = http_client_new(s, &http_client_limits);
    ask_next();
}

static int ask(int argc, char **argv)
{
    char *why = NULL;
    struct target to = {.kind = TARGET_TCP, .host = "127.0.0.1", .port = (uint16_t)atoi(argv[2])};
    struct tls_anchors *anchors = NULL;
    asking.talk = !strcmp(argv[1], "talk");
    asking.host = xasprintf("localhost:%s", argv[2]);
    argc -= 3, argv += 3;
    if (argc > 2 && !strcmp(argv[0], "ca")) {
        asking.secure = true;
        anchors = tls_anchors_load(argv[1], &why);
        asking.peer = (struct tls_peer){.host = "localhost", .anchors = anchors};
        argc -= 2, argv += 2;
    }
    asking.words = argv;
    asking.left = argc;
    dial_start(loop, &to, dialled, NULL);
    int status = loop_run(loop);
    loop_free(loop);
    tls_anchors_free(anchors);
    free(asking.host);
    return status;
}

int main(int argc, char **argv)
{
    char *why = NULL;
    key_init();
    loop = loop_new();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 3 && (!strcmp(argv[1], "ask") || !strcmp(argv[1], "talk")))
        return ask(argc, argv);
    if (argc == 4 && !strcmp(argv[1], "serve"))
        secured = tls_server_load(argv[2], argv[3], &why);
    if (argc < 2 || strcmp(argv[1], "serve") != 0 || why) {
        fprintf(stderr, "%s\n", why ? why : "http-peer: see its source");
        return 2;
    }
    return serve();
}
