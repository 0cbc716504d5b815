#include "applets/broker/bridge.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/message.h"
#include "net/yamux.h"

struct bridge {
    struct agent_link link;
    struct bridges *all;
    struct bridge *next, *prev;
    struct mux *mux;
    struct tally_row *counted; /* its user's agents; NULL: it has not joined */
    struct tally_row *stranger;
    struct stream *hello; /* the first stream; NULL: it has ended */
    struct frame_reader frames;
    struct loop_timer patience; /* until it has joined */
    size_t grown;               /* until then: nothing */
    uint8_t nonce[JOIN_NONCE_LEN];
    uint8_t signature[KEY_SIGNATURE_LEN];
    struct device_call *finding;
    struct json *metadata;
    char *user; /* whose it said to be; NULL: nothing of that */
    int64_t since_s;
    bool joined, freed;
};

static struct bridge *bridge_of(struct agent_link *link)
{
    return container_of(link, struct bridge, link);
}

/* ---- its end ---- */

static void release(void *p)
{
    struct bridge *b = p;
    tally_give(&b->all->joined, b->counted);
    frame_reader_fini(&b->frames);
    json_free(b->metadata);
    free(b->user);
    free(b);
}

static void no_stranger(struct bridge *b)
{
    if (b->stranger)
        tally_give(b->all->strangers, b->stranger);
    b->stranger = NULL;
}

static void leave(struct bridge *b)
{
    no_stranger(b);
    registry_take(b->all->registry, &b->link);
    if (b->joined && b->all->changed)
        b->all->changed(b->all->arg, &b->link, false);
    b->joined = false;
}

static void bridge_free(struct bridge *b)
{
    if (b->freed)
        return;
    b->freed = true;
    leave(b);
    loop_timer_del(&b->patience);
    if (b->finding)
        device_cancel(b->finding);
    if (b->hello)
        stream_reset(b->hello);
    mux_free(b->mux);
    if (b->next)
        b->next->prev = b->prev;
    *(b->prev ? &b->prev->next : &b->all->first) = b->next;
    loop_reap(b->all->loop, b, release);
}

static void on_patience(void *arg)
{
    bridge_free(arg);
}

/* The Error is read before the connection ends: that is for the agent to do, for a while. */
static void refuse(struct bridge *b, enum error_code code, const char *why)
{
    message_send_error(b->hello, code, "%s", why);
    stream_close(b->hello);
    b->hello = NULL;
    mux_go_away(b->mux);
}

/* ---- joining ---- */

static void on_replaced(struct agent_link *link)
{
    struct bridge *b = bridge_of(link);
    log_note("%s's agent %s has joined from elsewhere", link->device.owner.name, link->device.name);
    bridge_free(b);
}

static void joined(struct bridge *b)
{
    struct draft d = draft_of(MSG_JOINED);
    draft_str(&d, "user", b->link.device.owner.name);
    draft_str(&d, "agent", b->link.device.name);
    draft_send(&d, b->hello);
    stream_close(b->hello);
    b->hello = NULL;
    loop_timer_del(&b->patience);
    no_stranger(b);
    b->since_s = time(NULL);
    b->joined = true;
    b->counted = tally_take(&b->all->joined, b->link.device.owner.id, UINT_MAX);
    yamux_share_growth(b->mux, &b->counted->held, BRIDGE_GROWTH_MAX);
    registry_put(b->all->registry, &b->link);
    if (b->all->changed)
        b->all->changed(b->all->arg, &b->link, true);
}

static void on_device(void *arg, int error, const struct device *device)
{
    struct bridge *b = arg;
    b->finding = NULL;
    if (error && error != ENOENT) {
        log_error("a device cannot be looked up: %s", strerror(error));
        refuse(b, ERR_INTERNAL, "the broker cannot look devices up now");
        return;
    }
    struct join_proof proof = {b->nonce, b->all->url, device ? device->id : ""};
    if (!device || !join_verify(b->signature, &proof, device->key)) {
        refuse(b, ERR_PERMISSION_DENIED, "not a device that this broker knows");
        return;
    }
    if (b->user && strcmp(b->user, device->owner.name) != 0) {
        refuse(b, ERR_PERMISSION_DENIED, "this device is another user's");
        return;
    }
    b->link.device = *device;
    joined(b);
}

/* NULL, or what is wrong with it. */
static const char *read_join(struct bridge *b, const struct message *m)
{
    const char *device = json_get_str(m->body, "device"), *hex = json_get_str(m->body, "signature");
    const struct json_value *metadata = json_get(m->body, "metadata");
    if (m->type != MSG_JOIN)
        return "Join comes first";
    if (!device || !hex || hex_decode(b->signature, sizeof b->signature, hex) < 0)
        return "Join without a device and a signature";
    struct json_out *copy = json_out_new();
    size_t len;
    if (metadata)
        json_put_copy(copy, json_out_root(copy), "metadata", metadata);
    cleanup_free char *text = json_out_text(copy, false, &len);
    json_out_free(copy);
    if ((metadata && !json_is_object(metadata)) || len > BRIDGE_METADATA_MAX)
        return "Join with metadata that are no object, or too large a one";
    b->metadata = json_parse(text, len);
    snprintf(b->link.device.id, sizeof b->link.device.id, "%s", device);
    b->finding = device_find(b->all->store, device, on_device, b);
    return NULL;
}

static void on_frame(struct bridge *b, const struct frame *f)
{
    struct message m;
    const char *why = "Join came before";
    if (!b->finding && message_parse(&m, f->payload, f->len, &why) == 0) {
        why = read_join(b, &m);
        message_fini(&m);
    }
    if (!why)
        return;
    if (b->finding)
        device_cancel(b->finding);
    b->finding = NULL;
    refuse(b, ERR_INVALID_REQUEST, why);
}

static void on_hello(void *arg, struct stream *s, enum stream_event event)
{
    struct bridge *b = arg;
    struct frame f;
    enum frame_status status;
    if (event == STREAM_EOF || event == STREAM_ERROR) {
        bridge_free(b);
        return;
    }
    if (event != STREAM_DATA)
        return;
    while (b->hello && (status = frame_read(&b->frames, s, &f)) != FRAME_MORE) {
        if (status == FRAME_BAD)
            refuse(b, ERR_INVALID_REQUEST, "bad frame");
        else
            on_frame(b, &f);
    }
}

/* ---- the connection ---- */

static void on_accepted(void *arg, struct stream *s)
{
    (void)arg;
    stream_reset(s);
}

static void on_down(void *arg, int error)
{
    (void)error;
    bridge_free(arg);
}

static const struct mux_events mux_events = {.accepted = on_accepted, .down = on_down};

void bridge_accept(struct bridges *all, struct stream *carrier, const char *user,
                   struct tally_row *stranger)
{
    struct bridge *b = xcalloc(1, sizeof *b);
    char hex[2 * JOIN_NONCE_LEN + 1];
    b->all = all;
    b->stranger = stranger;
    b->user = user ? xstrdup(user) : NULL;
    b->link.replaced = on_replaced;
    b->frames.limit = BRIDGE_METADATA_MAX * 2;
    b->next = all->first;
    if (b->next)
        b->next->prev = b;
    all->first = b;
    loop_timer_init(all->loop, &b->patience, on_patience, b);
    loop_timer_set(&b->patience, BRIDGE_JOIN_MS);
    b->mux = yamux_new(carrier, YAMUX_SERVER, &mux_events, b);
    yamux_share_growth(b->mux, &b->grown, 0);
    yamux_keep_alive(b->mux, BRIDGE_SILENCE_MS, BRIDGE_DEAD_MS);
    b->hello = mux_open(b->mux);
    stream_own(b->hello, on_hello, b);
    key_random(b->nonce, sizeof b->nonce);
    hex_encode(hex, b->nonce, sizeof b->nonce);
    struct draft d = draft_of(MSG_CHALLENGE);
    draft_str(&d, "nonce", hex);
    draft_str(&d, "broker", all->url);
    draft_send(&d, b->hello);
}

struct stream *bridge_open(struct agent_link *link)
{
    return mux_open(bridge_of(link)->mux);
}

const struct json_value *bridge_metadata(struct agent_link *link)
{
    return json_get(json_root(bridge_of(link)->metadata), "metadata");
}

int64_t bridge_since_s(struct agent_link *link)
{
    return bridge_of(link)->since_s;
}

void bridge_revoke(struct bridges *all, const char *device_id)
{
    for (struct bridge *b = all->first, *next; b; b = next) {
        next = b->next;
        if (strcmp(b->link.device.id, device_id) == 0)
            bridge_free(b);
    }
}

void bridges_end(struct bridges *all)
{
    while (all->first)
        bridge_free(all->first);
}
