#include "applets/broker/download.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/broker/assets.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/http_server.h"
#include "net/ssh_binary.h"

#define CHUNK         ((size_t)64 << 10)
#define CHUNKS_A_TURN 8 /* so that one fast client does not starve the others */

struct downloads {
    struct ssh_binary of[SSH_ARCHES];
};

struct downloads *downloads_open(void)
{
    struct downloads *d = xcalloc(1, sizeof *d);
    for (enum ssh_arch a = 0; a < SSH_ARCHES; a++)
        ssh_binary_open(&d->of[a], a);
    return d;
}

void downloads_free(struct downloads *d)
{
    if (!d)
        return;
    for (enum ssh_arch a = 0; a < SSH_ARCHES; a++)
        ssh_binary_close(&d->of[a]);
    free(d);
}

static const struct ssh_binary *find(const struct downloads *d, const char *arch)
{
    for (enum ssh_arch a = 0; a < SSH_ARCHES; a++)
        if (strcmp(ssh_arch_name(a), arch) == 0 && d->of[a].fd >= 0)
            return &d->of[a];
    return NULL;
}

bool downloads_sum(const struct downloads *d, const char *arch,
                   char hex[static DOWNLOAD_SUM_LEN + 1])
{
    const struct ssh_binary *b = find(d, arch);
    if (b)
        hex_encode(hex, b->offer.hash, SHA256_LEN);
    return b != NULL;
}

/* ---- one answer ---- */

struct sending {
    struct stream *exchange;
    int fd; /* the downloads' */
    uint64_t at, size;
    struct loop_task more;
};

static void end(struct sending *s)
{
    struct loop *loop = s->exchange->loop;
    loop_task_del(&s->more);
    stream_close(s->exchange); /* short of what was said, it is a reset */
    loop_reap(loop, s, free);
}

static bool send_chunk(struct sending *s)
{
    uint8_t data[CHUNK];
    uint64_t left = s->size - s->at;
    ssize_t n = pread(s->fd, data, left < CHUNK ? (size_t)left : CHUNK, (off_t)s->at);
    if (n <= 0) {
        log_error("a binary to be downloaded: %s", n ? strerror(errno) : "it has become shorter");
        return false;
    }
    stream_write(s->exchange, data, (size_t)n);
    s->at += (uint64_t)n;
    return true;
}

static void send_more(void *arg)
{
    struct sending *s = arg;
    for (int i = 0; i < CHUNKS_A_TURN && s->at < s->size; i++) {
        if (stream_room(s->exchange) == 0)
            return;
        if (!send_chunk(s)) {
            end(s);
            return;
        }
    }
    if (s->at < s->size)
        loop_task_post(&s->more);
    else
        end(s);
}

static void on_event(void *arg, struct stream *exchange, enum stream_event event)
{
    (void)exchange;
    switch (event) {
    case STREAM_DRAINED: send_more(arg); break;
    case STREAM_ERROR: end(arg); break;
    case STREAM_OPEN:
    case STREAM_DATA:
    case STREAM_EOF: break;
    }
}

static void begin(struct stream *exchange, const struct ssh_binary *b, const char *arch)
{
    struct sending *s = xcalloc(1, sizeof *s);
    char hex[DOWNLOAD_SUM_LEN + 1];
    hex_encode(hex, b->offer.hash, SHA256_LEN);
    bool bodiless = strcmp(http_request_head(exchange)->method, "HEAD") == 0;
    cleanup_free char *fields =
        xasprintf("Content-Type: application/octet-stream\r\nCache-Control: no-cache\r\n"
                  "Content-Disposition: attachment; filename=\"berth-%s\"\r\n"
                  "X-Berth-Sha256: %s\r\n%s",
                  arch, hex, security_fields);
    *s = (struct sending){.exchange = exchange, .fd = b->fd};
    s->size = bodiless ? 0 : b->offer.size;
    loop_task_init(exchange->loop, &s->more, send_more, s);
    http_respond(exchange, 200, fields, (int64_t)b->offer.size);
    stream_own(exchange, on_event, s);
    loop_task_post(&s->more);
}

void download_answer(struct stream *exchange, const struct downloads *d, const char *arch)
{
    const struct ssh_binary *b = find(d, arch);
    if (b) {
        begin(exchange, b, arch);
        return;
    }
    static const char none[] = "{\"error\":\"not_found\",\"message\":\"This broker has berth for "
                               "x86_64 and aarch64 at most, and "
                               "not for what was asked for. Its owner can put berth-x86_64 or "
                               "berth-aarch64 beside its own "
                               "binary.\"}";
    cleanup_free char *fields = xasprintf("Content-Type: application/json\r\n%s", security_fields);
    http_answer(exchange, 404, fields, none, strlen(none));
}
