/* quic_queue.h: bytes written to a stream: kept where they are until the peer has them.
 *
 * Three marks move over the bytes: acknowledged <= sent <= written. A zeroed struct is empty. */
#ifndef NET_QUIC_QUEUE_H
#define NET_QUIC_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quic_chunk;

struct quic_queue {
    struct quic_chunk *head, *tail;
    struct quic_chunk *next; /* where the unsent bytes begin; NULL: none are */
    size_t head_off;         /* acknowledged bytes of the head */
    size_t next_off;         /* sent bytes of `next` */
    size_t unsent, unacked;  /* bytes */
};

struct quic_span {
    const uint8_t *data;
    size_t len;
};

void quic_queue_write(struct quic_queue *q, const void *data, size_t len);
/* The unsent bytes, up to `max` of them, as at most n spans; how many spans. */
size_t quic_queue_unsent(const struct quic_queue *q, struct quic_span *spans, size_t n, size_t max);
void quic_queue_sent(struct quic_queue *q, size_t len);
void quic_queue_acked(struct quic_queue *q, size_t len);
/* Frees what was kept for the next bytes. To be called every few seconds at most. */
void quic_queue_trim(void);
void quic_queue_fini(struct quic_queue *q);

#endif
