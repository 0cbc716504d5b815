/* link_wire.h: the link's three frames as bytes (PROTOCOLS, section 3). No I/O.
 *
 *   Hello: u8 'H' | u8 1 | u8 session[16] | u64 received
 *   Data:  u8 'D' | u32 len <= LINK_DATA_MAX | bytes
 *   Ack:   u8 'A' | u64 received */
#ifndef NET_LINK_WIRE_H
#define NET_LINK_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "net/link.h"

#define LINK_HELLO_LEN 26
#define LINK_DATA_LEN  5 /* without the bytes that follow */
#define LINK_ACK_LEN   9

void link_put_hello(uint8_t out[static LINK_HELLO_LEN], const struct link_hello *hello);
void link_put_data(uint8_t out[static LINK_DATA_LEN], uint32_t len);
void link_put_ack(uint8_t out[static LINK_ACK_LEN], uint64_t received);

enum link_head_kind {
    LINK_HEAD_MORE, /* the header is not whole yet */
    LINK_HEAD_BAD,  /* an unknown tag or version, or a Data frame that is too long */
    LINK_HEAD_HELLO,
    LINK_HEAD_DATA, /* `data_len` bytes follow */
    LINK_HEAD_ACK
};

/* Collects one header after the other. Zeroed is ready. */
struct link_head {
    uint8_t bytes[LINK_HELLO_LEN]; /* the longest */
    size_t len;                    /* collected so far */
    /* What was read last. */
    struct link_hello hello;
    uint32_t data_len;
    uint64_t acked;
};

/* Takes bytes from in[*len], *len > 0, at most what the header lacks, and sets *len to how
 * many it took. After BAD nothing good can follow. */
enum link_head_kind link_head_feed(struct link_head *h, const uint8_t *in, size_t *len);

#endif
