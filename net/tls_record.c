/* tls_record.c: records behind the handshake. */
#include "net/tls_record.h"

#include <string.h>

#include "core/bytes.h"
#include "core/loop.h"

#define OVERHEAD_MAX 64 /* header, nonce and tag take 29 */
#define AT_ONCE      4  /* records that go to the carrier in one write */
#define SMALL        1360
#define SMALL_BURST  (40u * 1024)
#define BURST_PAUSE  1000 /* ms: by then a congestion window has shrunk again */
#define HEADER_TYPE  0

struct cursor {
    const struct iovec *iov;
    int n;
    size_t off; /* in the first of them */
};

static size_t take(struct cursor *c, uint8_t *dst, size_t cap)
{
    size_t len = 0;
    while (c->n && len < cap) {
        size_t left = c->iov->iov_len - c->off;
        size_t some = left < cap - len ? left : cap - len;
        if (some)
            memcpy(dst + len, (const uint8_t *)c->iov->iov_base + c->off, some);
        len += some;
        c->off += some;
        if (c->off == c->iov->iov_len)
            *c = (struct cursor){c->iov + 1, c->n - 1, 0};
    }
    return len;
}

static size_t record_limit(const struct tls_out *out)
{
    size_t limit = out->burst < SMALL_BURST ? SMALL : TLS_PLAIN_MAX;
    return limit < out->most ? limit : out->most;
}

/* Seals the next record at `dst`; its length there, 0 when nothing is left. */
static size_t seal_next(struct tls_out *out, struct cursor *from, uint8_t *dst)
{
    size_t start = TLS_HEADER_LEN, end = TLS_PLAIN_MAX + OVERHEAD_MAX;
    out->keys.table->max_plaintext(&out->keys.table, &start, &end);
    size_t len = take(from, dst + start, record_limit(out));
    if (!len)
        return 0;
    out->burst += len;
    out->keys.table->encrypt(&out->keys.table, TLS_DATA, TLS_VERSION, dst + start, &len);
    return len;
}

void tls_seal(struct tls_out *out, struct stream *carrier, const struct iovec *iov, int n)
{
    static uint8_t sealed[AT_ONCE * (TLS_PLAIN_MAX + OVERHEAD_MAX)];
    struct cursor from = {iov, n, 0};
    uint64_t now_ms = loop_now_ms(carrier->loop);
    size_t len = 0, one;
    if (now_ms - out->last_ms > BURST_PAUSE)
        out->burst = 0;
    out->last_ms = now_ms;
    while ((one = seal_next(out, &from, sealed + len))) {
        len += one;
        if (sizeof(sealed) - len >= TLS_PLAIN_MAX + OVERHEAD_MAX)
            continue;
        stream_write(carrier, sealed, len);
        len = 0;
    }
    stream_write(carrier, sealed, len);
}

void tls_seal_one(const br_sslrec_out_class **keys, struct stream *carrier, enum tls_type type,
                  const uint8_t body[2])
{
    uint8_t record[OVERHEAD_MAX + 2];
    size_t start = TLS_HEADER_LEN, end = sizeof(record), len = 2;
    (*keys)->max_plaintext(keys, &start, &end);
    memcpy(record + start, body, len);
    const uint8_t *sealed = (*keys)->encrypt(keys, (int)type, TLS_VERSION, record + start, &len);
    stream_write(carrier, sealed, len);
}

size_t tls_body_len(const union tls_open_keys *keys, const uint8_t header[static TLS_HEADER_LEN])
{
    struct reader r = reader_of(header, TLS_HEADER_LEN);
    uint8_t type = read_u8(&r);
    uint16_t version = read_u16(&r), len = read_u16(&r);
    bool ours = type >= TLS_CHANGE_CIPHER_SPEC && type <= TLS_DATA && version == TLS_VERSION;
    return ours && keys->table->check_length(&keys->table, len) ? len : 0;
}

uint8_t *tls_open(union tls_open_keys *keys, uint8_t *record, size_t *len)
{
    *len = tls_body_len(keys, record);
    return keys->table->decrypt(&keys->table, record[HEADER_TYPE], TLS_VERSION,
                                record + TLS_HEADER_LEN, len);
}
