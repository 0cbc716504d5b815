/* websocket_frame.h: RFC 6455's frames and its handshake's key. No I/O: bytes in, events out. */
#ifndef NET_WEBSOCKET_FRAME_H
#define NET_WEBSOCKET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_CONTROL_MAX 125u   /* bytes of a control frame's payload */
#define WS_PIECE       69632u /* bytes of a message that one event has at most: a frame of yamux's */
#define WS_HEADER_MAX  14u

#define WS_KEY_LEN    24 /* characters of Sec-WebSocket-Key */
#define WS_ACCEPT_LEN 28 /* characters of Sec-WebSocket-Accept */

enum ws_role { WS_CLIENT, WS_SERVER };

enum ws_opcode { WS_MORE = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* RFC 6455 §7.4.1 */
enum ws_code {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_UNSUPPORTED = 1003,
    WS_NO_CODE = 1005,  /* never sent: a close without a code */
    WS_ABNORMAL = 1006, /* never sent: the connection broke */
    WS_BAD_DATA = 1007, /* text that is not UTF-8 */
    WS_POLICY = 1008,
    WS_TOO_BIG = 1009,
    WS_INTERNAL = 1011
};

enum ws_event {
    WS_GOT_NOTHING, /* all was taken, and more is needed */
    WS_GOT_DATA,  /* out[out_len] of a message; `text`, `last` tell of it. May be empty when last */
    WS_GOT_PING,  /* out[out_len]: to be sent back in a pong */
    WS_GOT_PONG,  /* out[out_len] */
    WS_GOT_CLOSE, /* `code`, and out[out_len] the reason, which is UTF-8 */
    WS_BROKEN     /* `code` is what to close with; for good */
};

struct ws_reader {
    size_t message_max; /* bytes; 0: any size */
    size_t out_len;
    uint16_t code;
    bool text, last;
    /* Inside: */
    enum ws_role role; /* ours: a server's peer masks, a client's does not */
    bool broken, in_frame, in_message;
    uint8_t header[WS_HEADER_MAX];
    size_t header_len;
    uint8_t opcode;
    bool fin;
    uint64_t left;    /* bytes of this frame's payload to come */
    uint64_t message; /* bytes of this message so far, with this frame's */
    uint64_t at;      /* into this frame's payload: where the mask is */
    uint8_t control[WS_CONTROL_MAX];
    size_t control_len;
    uint8_t tail[4]; /* the first bytes of a character that is cut by the end of a piece */
    size_t tail_len;
};

void ws_reader_init(struct ws_reader *r, enum ws_role role, size_t message_max);
/* Goes to the next event; *used of in[len] belong to it. */
enum ws_event ws_read(struct ws_reader *r, const uint8_t *in, size_t len, size_t *used,
                      uint8_t out[static WS_PIECE]);

/* A frame's header for `len` bytes of payload; its length. `mask` NULL: unmasked. */
size_t ws_header(uint8_t header[static WS_HEADER_MAX], uint8_t opcode_and_fin, uint64_t len,
                 const uint8_t mask[4]);
#define WS_FIN 0x80u
/* In place; `at` is where data[0] lies in the frame's payload. */
void ws_mask(uint8_t *data, size_t len, const uint8_t mask[static 4], uint64_t at);

/* accept[WS_ACCEPT_LEN + 1] for a key's text: SHA-1, by BearSSL, which has it (libsodium has
 * not); no security rests on it. */
void ws_accept(char accept[static WS_ACCEPT_LEN + 1], const char *key);
/* Whether it is base64 of 16 bytes. */
bool ws_key_ok(const char *key);
void ws_new_key(char key[static WS_KEY_LEN + 1]);

#endif
