/* viewer.h: a terminal's client, on its WebSocket: what is typed and shown as binary messages, the rest as
 * JSON in text.
 *
 * From the client, text: {"resize": {"rows": 24, "cols": 80}}, each 1 to 65535; other members are ignored.
 * What is no such thing is told so, {"error": "invalid_request", "message": …}, and the connection ends
 * with 1008. A client that is done with its terminal says so by closing with VIEWER_DONE. */
#ifndef BROKER_VIEWER_H
#define BROKER_VIEWER_H

#include <stdbool.h>

#include "core/json.h"
#include "core/stream.h"

#define VIEWER_TEXT_MAX   1024u /* bytes of a text message */
#define VIEWER_SILENCE_MS 25000 /* of websocket_watch() */

#define VIEWER_DONE       4000 /* the client's: the terminal is to end */
#define VIEWER_TAKEN_OVER 4001 /* ours: another client has the terminal now */

struct viewer;

/* From the loop. Each may call viewer_end(). */
struct viewer_events {
    void (*input)(void *arg, const uint8_t *data, size_t len); /* len > 0 */
    void (*resized)(void *arg, uint16_t rows, uint16_t cols);
    void (*drained)(void *arg); /* viewer_room() has become positive again */
    /* Once, and the viewer is no more. `done`: it has said that it is. */
    void (*gone)(void *arg, bool done);
};

/* Takes the carrier, whose handshake is done. `silence_ms` is VIEWER_SILENCE_MS but in tests. */
struct viewer *viewer_new(struct stream *carrier, uint32_t silence_ms,
                          const struct viewer_events *events, void *arg);
size_t viewer_room(const struct viewer *v);
/* While it holds, nothing more is read of what is typed. */
void viewer_hold(struct viewer *v, bool hold);
void viewer_show(struct viewer *v, const void *data, size_t len);
void viewer_tell(struct viewer *v, const char *json);
/* Ends the hold: what was sent still goes out, then a close with this code. NULL is fine. */
void viewer_end(struct viewer *v, uint16_t code, const char *reason);

#endif
