/* tls_peer.c: our TLS by itself, for tests/interop/run_tls.
 *
 *     tls-peer server CHAIN KEY          says "port N", then a line for each connection
 *     tls-peer own FILE NAME...          the same with a certificate of its own; says "pin HEX" first
 *     tls-peer client PORT HOST ca FILE  asks for what stands on standard input, and prints what
 *     tls-peer client PORT HOST pin HEX  comes until the end
 *
 * The server speaks as much HTTP as it takes: GET /N answers with N bytes; POST / with how many came
 * that are right. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/bytes.h"
#include "core/mem.h"
#include "net/sock.h"
#include "net/tls.h"
#include "tests/interop/pattern.h"

struct talk {
    struct stream *s;
    struct buf head;
    bool answered;
    size_t to_send, sent;
    size_t to_read, read, right;
};

static struct loop *loop;
static struct tls_server *server;

static void talk_end(struct talk *t, void (*how)(struct stream *s))
{
    how(t->s);
    buf_fini(&t->head);
    free(t);
}

/* ---- the server ---- */

static void send_more(struct talk *t)
{
    t->sent = pattern_send(t->s, t->sent, t->to_send);
    if (t->answered && t->sent == t->to_send)
        stream_shutdown(t->s);
}

static void answer(struct talk *t, const char *body)
{
    size_t len = body ? strlen(body) : t->to_send;
    cleanup_free char *head = xasprintf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n"
                                        "Connection: close\r\n\r\n%s",
                                        len, body ? body : "");
    t->answered = true;
    stream_write(t->s, head, strlen(head));
    send_more(t);
}

static void read_body(struct talk *t, const uint8_t *p, size_t len)
{
    t->right += pattern_right(p, len, t->read);
    t->read += len;
    if (t->read < t->to_read || t->answered)
        return;
    cleanup_free char *body = xasprintf("%zu right\n", t->right);
    answer(t, body);
}

static void read_head(struct talk *t)
{
    buf_append(&t->head, "", 1);
    const char *text = (const char *)buf_front(&t->head), *end = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "Content-Length:");
    t->head.len--;
    if (!end)
        return;
    if (strcasestr(text, "Expect:"))
        stream_write(t->s, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    if (!strncmp(text, "POST", 4) && length) {
        t->to_read = strtoul(length + 15, NULL, 10);
        size_t rest = t->head.len - (size_t)(end + 4 - text);
        read_body(t, (const uint8_t *)end + 4, rest);
    } else {
        t->to_send = strtoul(text + strcspn(text, "/") + 1, NULL, 10);
        answer(t, NULL);
    }
}

static void on_bytes(struct talk *t)
{
    size_t len;
    const uint8_t *p;
    while ((p = stream_peek(t->s, &len))) {
        if (t->to_read) {
            read_body(t, p, len);
        } else if (!t->answered) {
            buf_append(&t->head, p, len);
            read_head(t);
        }
        stream_consume(t->s, len);
    }
}

static const char *or_none(const char *text)
{
    return text ? text : "none";
}

static void on_client(void *arg, struct stream *s, enum stream_event event)
{
    struct talk *t = arg;
    switch (event) {
    case STREAM_OPEN:
        printf("open %s %s %s\n", tls_suite(s), or_none(tls_server_name(s)),
               or_none(tls_protocol(s)));
        break;
    case STREAM_DATA: on_bytes(t); break;
    case STREAM_DRAINED: send_more(t); break;
    case STREAM_EOF:
        printf("end\n");
        talk_end(t, stream_close);
        break;
    case STREAM_ERROR:
        printf("error %d %s\n", stream_error(s), or_none(tls_reason(s)));
        talk_end(t, stream_close);
        break;
    }
}

static void accepted(void *arg, struct stream *s, const char *peer)
{
    struct talk *t = xcalloc(1, sizeof(*t));
    (void)arg, (void)peer;
    t->s = tls_accept(server, s);
    stream_own(t->s, on_client, t);
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

static void on_server(void *arg, struct stream *s, enum stream_event event)
{
    size_t len;
    const uint8_t *p;
    (void)arg;
    switch (event) {
    case STREAM_OPEN: fprintf(stderr, "open %s\n", tls_suite(s)); break;
    case STREAM_DRAINED: break;
    case STREAM_DATA:
        while ((p = stream_peek(s, &len))) {
            fwrite(p, 1, len, stdout);
            stream_consume(s, len);
        }
        break;
    case STREAM_EOF:
        loop_stop(loop, 0);
        stream_close(s);
        break;
    case STREAM_ERROR:
        fprintf(stderr, "error %d %s\n", stream_error(s), or_none(tls_reason(s)));
        loop_stop(loop, 1);
        stream_close(s);
        break;
    }
}

static void dialled(void *arg, struct stream *s, int error)
{
    char question[4096];
    if (!s) {
        fprintf(stderr, "error %d not connected\n", error);
        loop_stop(loop, 1);
        return;
    }
    struct stream *t = tls_connect(arg, s);
    stream_own(t, on_server, NULL);
    stream_write(t, question, fread(question, 1, sizeof(question), stdin));
}

static int ask(char **argv)
{
    uint8_t pin[SHA256_LEN];
    char *why = NULL;
    struct tls_peer peer = {.host = argv[3]};
    struct target to = {.kind = TARGET_TCP, .host = "127.0.0.1", .port = (uint16_t)atoi(argv[2])};
    struct tls_anchors *anchors = NULL;
    if (!strcmp(argv[4], "ca"))
        peer.anchors = anchors = tls_anchors_load(argv[5], &why);
    else if (hex_decode(pin, sizeof(pin), argv[5]) == 0)
        peer.pin = pin;
    dial_start(loop, &to, dialled, &peer);
    int status = loop_run(loop);
    loop_free(loop);
    tls_anchors_free(anchors);
    return status;
}

static void say_pin(void)
{
    uint8_t hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    tls_server_fingerprint(server, hash);
    hex_encode(hex, hash, sizeof(hash));
    printf("pin %s\n", hex);
}

int main(int argc, char **argv)
{
    char *why = NULL;
    key_init();
    loop = loop_new();
    if (argc == 6 && !strcmp(argv[1], "client"))
        return ask(argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 4 && !strcmp(argv[1], "server"))
        server = tls_server_load(argv[2], argv[3], &why);
    else if (argc > 3 && !strcmp(argv[1], "own"))
        server = tls_server_self_signed(argv[2], (const char *const *)(argv + 3), (size_t)argc - 3,
                                        &why);
    if (!server) {
        fprintf(stderr, "%s\n", why ? why : "tls-peer: see its source");
        return 2;
    }
    say_pin();
    return serve();
}
