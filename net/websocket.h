/* websocket.h: RFC 6455 on a stream whose handshake is done: messages, or a stream of bytes.
 *
 * Refused, by a close frame with its code: frames that this role's peer must mask and did not, or
 * the reverse; reserved bits, unknown opcodes, lengths not in their shortest form, fragmented or
 * long control frames (1002), text that is not UTF-8 (1007, as soon as the bytes show it), messages
 * over the limit (1009, before they are read). A ping is answered when the carrier has room, the
 * newest of several only. No extensions. */
#ifndef NET_WEBSOCKET_H
#define NET_WEBSOCKET_H

#include "core/stream.h"
#include "net/websocket_frame.h"

#define WS_CLOSE_MS 5000 /* how long the peer's part of the end is awaited */
/* How long, after the end, nothing may be taken of what was sent before. */
#define WS_STALL_MS 60000

struct websocket;

/* From the loop. Each may call websocket_free(). */
struct websocket_events {
    /* A message, whole; or with `pieces` a part of one, the last of which may be empty. */
    void (*data)(void *arg, bool text, const uint8_t *data, size_t len, bool last);
    void (*drained)(void *arg); /* websocket_room() has become positive again */
    /* Once: the peer's code and reason[len], or ours for what it did wrong, or WS_ABNORMAL when
     * the carrier broke. Then websocket_free() it. */
    void (*ended)(void *arg, uint16_t code, const char *reason, size_t len);
};

struct websocket_options {
    enum ws_role role;
    size_t message_max; /* bytes of one message; needed unless `pieces` */
    bool pieces;        /* nothing is gathered: data() as it comes */
};

/* Takes the carrier. `events` outlives it. */
struct websocket *websocket_new(struct stream *carrier, const struct websocket_options *options,
                                const struct websocket_events *events, void *arg);
/* One whole message, WS_TEXT (which must be UTF-8) or WS_BINARY; dropped once the end began. */
void websocket_send(struct websocket *w, enum ws_opcode kind, const void *data, size_t len);
/* How much should be sent now; 0: wait for drained(). */
size_t websocket_room(const struct websocket *w);
/* While it holds, nothing is read but what one event has already. */
void websocket_pause(struct websocket *w, bool pause);
void websocket_ping(struct websocket *w);
/* From now on a peer of whom nothing was heard for so long is pinged, and where as much time passes again
 * it is gone: ended(WS_ABNORMAL). While a pause is why nothing is heard only a ping that cannot be
 * delivered says that. */
void websocket_watch(struct websocket *w, uint32_t silence_ms);
/* Begins the end; ended() comes when the peer has agreed or WS_CLOSE_MS have passed. `reason` has
 * at most 123 bytes. */
void websocket_close(struct websocket *w, enum ws_code code, const char *reason);
/* Resets the carrier if it is still there. NULL is fine. */
void websocket_free(struct websocket *w);

/* The bytes of binary messages as a stream (for yamux): each write is a message. Text is refused
 * (1003). Its half-close is a close frame: what the peer still sends is dropped, as RFC 6455 has no
 * half of an end. A close with another code than 1000 or 1001 is an ERROR (ECONNRESET, EPROTO
 * when it was ours). Takes the carrier. */
struct stream *websocket_stream_new(struct stream *carrier, enum ws_role role);
/* websocket_watch() of such a stream, before its end. */
void websocket_stream_watch(struct stream *s, uint32_t silence_ms);

#endif
