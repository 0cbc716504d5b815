#include "applets/service/listing.h"

#include "core/bytes.h"
#include "core/key.h"

void meter_update(struct meter *m, const struct relay_count *count, uint64_t now_ms)
{
    uint64_t bytes = count->up_bytes + count->down_bytes, passed_ms = now_ms - m->at_ms;
    if (passed_ms < METER_MS / 2)
        return;
    /* Half of the last value: two seconds of memory are enough to read by eye. */
    m->rate = (m->rate + (bytes - m->bytes) * 1000 / passed_ms) / 2;
    m->bytes = bytes;
    m->at_ms = now_ms;
}

struct draft listing_draft(const char *side, struct json_node **sessions)
{
    struct draft d = draft_of(MSG_LISTING);
    draft_str(&d, "side", side);
    *sessions = json_put_array(d.out, d.root, "sessions");
    return d;
}

struct json_node *listing_session(struct draft *d, struct json_node *sessions,
                                  const struct listed_session *s)
{
    struct json_node *node = json_put_object(d->out, sessions, NULL);
    char id[2 * SESSION_LEN + 1];
    hex_encode(id, s->id, SESSION_LEN);
    json_put_str(d->out, node, "id", id);
    json_put_str(d->out, node, "host", s->host);
    json_put_str(d->out, node, "from", s->from);
    json_put_str(d->out, node, "to", s->to);
    json_put_str(d->out, node, "transport", s->transport);
    json_put_str(d->out, node, "state", s->state);
    json_put_int(d->out, node, "up_secs", (int64_t)(s->up_ms / 1000));
    json_put_int(d->out, node, "rtt_us", (int64_t)s->rtt_us);
    return json_put_array(d->out, node, "forwards");
}

void listing_forward(struct draft *d, struct json_node *forwards, const struct listed_forward *f)
{
    struct json_node *node = json_put_object(d->out, forwards, NULL);
    char kind[2] = {forward_kind_letter(f->spec->kind), '\0'}, text[TARGET_TEXT_MAX];
    json_put_str(d->out, node, "kind", kind);
    target_format(&f->spec->bind, text);
    json_put_str(d->out, node, "bind", text);
    if (f->spec->kind != FORWARD_DYNAMIC) {
        target_format(&f->spec->target, text);
        json_put_str(d->out, node, "target", text);
    }
    json_put_str(d->out, node, "state", f->state);
    json_put_str(d->out, node, "origin", f->automatic ? "auto" : "manual");
    json_put_int(d->out, node, "open", f->count->open);
    json_put_int(d->out, node, "rate", (int64_t)f->meter->rate);
    if (f->process) {
        json_put_str(d->out, node, "process", f->process);
        json_put_int(d->out, node, "pid", f->pid);
    }
}
