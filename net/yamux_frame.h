/* yamux_frame.h: the 12 bytes before every yamux frame.
 *
 * https://github.com/hashicorp/yamux/blob/master/spec.md, "Framing": version u8, type u8,
 * flags u16, stream id u32, length u32. What `length` means depends on the type. */
#ifndef NET_YAMUX_FRAME_H
#define NET_YAMUX_FRAME_H

#include <stdint.h>

#define YAMUX_HEADER_LEN 12

enum yamux_type {
    YAMUX_DATA,   /* length: bytes of payload that follow */
    YAMUX_WINDOW, /* length: bytes added to what may be sent on this stream */
    YAMUX_PING,   /* SYN asks, ACK answers; length: an opaque value, sent back. Stream 0 */
    YAMUX_GO_AWAY /* length: an enum yamux_reason. Stream 0 */
};

enum { YAMUX_SYN = 1, YAMUX_ACK = 2, YAMUX_FIN = 4, YAMUX_RST = 8 }; /* flags */

enum yamux_reason { YAMUX_NORMAL, YAMUX_PROTOCOL_ERROR, YAMUX_INTERNAL_ERROR };

struct yamux_header {
    uint8_t version, type;
    uint16_t flags;
    uint32_t id, length;
};

void yamux_header_write(uint8_t dst[static YAMUX_HEADER_LEN], const struct yamux_header *h);
struct yamux_header yamux_header_read(const uint8_t src[static YAMUX_HEADER_LEN]);

#endif
