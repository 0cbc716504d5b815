#include "net/web_dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/sock.h"

struct web_dial {
    struct loop *loop;
    const struct web_server *server;
    web_dial_fn *fn;
    void *arg;
    struct dial *dial;  /* until it is connected */
    struct stream *tls; /* while its handshake is under way */
};

static void release(struct web_dial *d)
{
    loop_reap(d->loop, d, free);
}

static const char *reason(int error)
{
    return error == ENOENT ? "no such host" : strerror(error);
}

static void on_tls(void *arg, struct stream *s, enum stream_event event)
{
    struct web_dial *d = arg;
    const char *why = NULL;
    if (event == STREAM_DATA || event == STREAM_DRAINED)
        return;
    d->tls = NULL;
    if (event == STREAM_ERROR)
        why = tls_reason(s) ? tls_reason(s) : strerror(stream_error(s));
    else if (event == STREAM_EOF)
        why = "it ended the connection";
    else
        stream_own(s, NULL, NULL);
    d->fn(d->arg, why ? NULL : s, why);
    if (why)
        stream_close(s);
    release(d);
}

static void dialled(void *arg, struct stream *s, int error)
{
    struct web_dial *d = arg;
    d->dial = NULL;
    if (s && d->server->url.tls) {
        const struct web_server *to = d->server;
        d->tls = tls_connect(&(struct tls_peer){to->url.at.host, to->anchors, to->pin}, s);
        stream_own(d->tls, on_tls, d);
        return;
    }
    d->fn(d->arg, s, s ? NULL : reason(error));
    release(d);
}

struct web_dial *web_dial(struct loop *loop, const struct web_server *server, web_dial_fn *fn,
                          void *arg)
{
    struct web_dial *d = xcalloc(1, sizeof *d);
    *d = (struct web_dial){.loop = loop, .server = server, .fn = fn, .arg = arg};
    d->dial = dial_start(loop, &server->url.at, dialled, d);
    return d;
}

void web_dial_cancel(struct web_dial *d)
{
    if (d->dial)
        dial_cancel(d->dial);
    stream_reset(d->tls);
    release(d);
}
