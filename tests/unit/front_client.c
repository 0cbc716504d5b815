#include "tests/unit/front_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"

void front_say(struct front_rig *r, struct front_asked *ask, const struct front_request *q)
{
    *ask = (struct front_asked){0};
    probe_own(&ask->client, front_dial(r));
    const char *body = q->body ? q->body : "";
    cleanup_free char *token =
        q->user ? xasprintf("Authorization: Bearer %s\r\n", q->user->token) : NULL;
    cleanup_free char *text =
        xasprintf("%s HTTP/1.0\r\nHost: broker.example\r\n%s%sContent-Length: %zu\r\n\r\n%s",
                  q->line, token ? token : "", q->fields ? q->fields : "", strlen(body), body);
    stream_write(ask->client.s, text, strlen(text));
}

static const char *split(const struct front_asked *ask)
{
    static char text[1 << 16];
    size_t len = ask->client.got.len < sizeof text ? ask->client.got.len : sizeof text - 1;
    if (len)
        memcpy(text, buf_front(&ask->client.got), len);
    text[len] = '\0';
    return strstr(text, "\r\n\r\n");
}

const char *front_so_far(const struct front_asked *ask)
{
    const char *at = split(ask);
    return at ? at + 4 : "";
}

void front_wait(struct front_rig *r, struct front_asked *ask)
{
    TURN_UNTIL(r->loop, ask->client.eofs || ask->client.errors);
    cleanup_free char *all = xstrndup(
        ask->client.got.len ? (const char *)buf_front(&ask->client.got) : "", ask->client.got.len);
    char *at = strstr(all, "\r\n\r\n");
    ask->body = xstrdup(at ? at + 4 : "");
    if (at)
        at[2] = '\0';
    ask->head = xstrdup(all);
    if (sscanf(all, "HTTP/1.1 %3d", &ask->status) != 1)
        ask->status = 0;
    probe_fini(&ask->client);
}

void front_asked_fini(struct front_asked *ask)
{
    probe_fini(&ask->client);
    free(ask->head);
    free(ask->body);
    *ask = (struct front_asked){0};
}

int front_answer(struct front_rig *r, struct front_asked *ask, const struct front_request *q)
{
    front_say(r, ask, q);
    front_wait(r, ask);
    return ask->status;
}
