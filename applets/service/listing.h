/* listing.h: what `berth list` is told: a Listing message of sessions and their forwards.
 *
 * Listing {side: "master" | "agent", sessions: [{id, host, from, to, transport, state,
 * up_secs, rtt_us, forwards: [{kind: "L" | "R" | "D", bind, target, state, origin: "manual" |
 * "auto", open, rate, process?, pid?}]}]}. rate is bytes a second, both ways together. */
#ifndef SERVICE_LISTING_H
#define SERVICE_LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/message.h"
#include "core/relay.h"
#include "net/forward_spec.h"

/* Bytes a second over about the last two seconds. Zeroed is ready. */
struct meter {
    uint64_t at_ms, bytes, rate;
};

#define METER_MS 1000 /* how often meter_update() should be called while something is open */
void meter_update(struct meter *m, const struct relay_count *count, uint64_t now_ms);

struct listed_session {
    const char *host;      /* as the person named it; NULL: not known on this side */
    const char *from, *to; /* addresses; NULL: not known */
    const char *state;     /* "up", "waiting", "connecting" */
    const char *transport; /* "quic", "ssh" */
    const uint8_t *id;     /* SESSION_LEN bytes */
    uint64_t up_ms, rtt_us;
};

struct listed_forward {
    const struct forward_spec *spec;
    const char *state; /* "ok", "refused", "in use", "waiting" */
    bool automatic;
    const struct relay_count *count;
    const struct meter *meter;
    const char *process; /* NULL: not known */
    int64_t pid;
};

struct draft listing_draft(const char *side, struct json_node **sessions);
/* Appends a session and returns its list of forwards. */
struct json_node *listing_session(struct draft *d, struct json_node *sessions,
                                  const struct listed_session *s);
void listing_forward(struct draft *d, struct json_node *forwards, const struct listed_forward *f);

#endif
