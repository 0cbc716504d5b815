/* terminals.h: terminals on users' places, and the clients that look at them.
 *
 * A terminal is a login shell on a pty of the place (ExecStream). It outlives its client: while nobody
 * looks, what it says goes into its tail, and after `alone_ms` it is hung up. A client that comes back
 * within that time sees the tail and goes on; one that comes while another looks takes its place. When
 * it has ended unseen, that is told to whoever comes within that time.
 *
 * While a client looks it is told everything, and holds the place up when it does not take it. Where its
 * token expires it is sent away, and may come back with another within that time; where the token is revoked,
 * or the user removed, the terminal that it has looked at last ends. */
#ifndef BROKER_TERMINALS_H
#define BROKER_TERMINALS_H

#include "applets/broker/activity.h"
#include "applets/broker/place.h"

#define TERMINAL_ID_LEN 32 /* hex digits */

struct terminal_limits {
    uint32_t alone_ms;
    uint32_t silence_ms; /* of a client: see VIEWER_SILENCE_MS */
    unsigned each;       /* terminals of one user */
};
extern const struct terminal_limits terminal_limits; /* 60 s, 25 s, 32 */

struct terminal_size {
    uint16_t rows, cols; /* 0: not said */
};

struct terminal;

/* The user's own, by its id. NULL: there is none. */
struct terminal *terminal_find(struct front *f, const struct principal *who, const char *id);
/* How many the user has. */
unsigned terminal_count(const struct front *f, const struct principal *who);
unsigned terminals_count(const struct front *f); /* all users have */

struct terminal_spec {
    const struct proof *proof; /* the owner's */
    const struct place *place;
    struct terminal_size size;
    const struct terminal_limits *limits; /* outlive it */
    struct activity_entry *entry;         /* taken */
};
/* Starts a terminal on `stream`, which place_connect() has made, and shows it on `carrier`, whose
 * WebSocket's handshake is done. Takes both. */
void terminal_begin(struct front *f, const struct terminal_spec *spec, struct stream *stream,
                    struct stream *carrier);
/* Shows it on that carrier from now on, as long as the proof is one. */
void terminal_show(struct terminal *t, struct stream *carrier, struct terminal_size size,
                   const struct proof *proof);
/* Tells the client on the carrier why there is no terminal for it. Takes the carrier. */
void terminal_refuse(struct stream *carrier, enum api_error code, const char *why);
/* Hangs all up. */
void terminals_end(struct front *f);

#endif
