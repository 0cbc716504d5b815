/* tls_record.h: records behind the handshake: sealing and opening, RFC 5246 section 6.2.
 *
 * BearSSL's engine has buffers of 16 KiB, holds one record at a time, and knows of no half-close:
 * behind its own close_notify it drops what the peer still says. So once it has agreed upon keys,
 * its two record contexts are taken over, and the engine is let go. An idle stream then costs
 * about a kilobyte. */
#ifndef NET_TLS_RECORD_H
#define NET_TLS_RECORD_H

#include <bearssl.h>

#include "core/stream.h"

#define TLS_HEADER_LEN 5
#define TLS_PLAIN_MAX  16384
#define TLS_VERSION    0x0303

enum tls_type { TLS_CHANGE_CIPHER_SPEC = 20, TLS_ALERT, TLS_HANDSHAKE, TLS_DATA };

/* Each of them begins with the table of its functions, and points to nothing inside itself. */
union tls_open_keys {
    const br_sslrec_in_class *table;
    br_sslrec_gcm_context gcm;
    br_sslrec_chapol_context chacha;
};

union tls_seal_keys {
    const br_sslrec_out_class *table;
    br_sslrec_gcm_context gcm;
    br_sslrec_chapol_context chacha;
};

struct tls_out {
    union tls_seal_keys keys;
    size_t most;      /* bytes in a record, as far as the peer allows */
    size_t burst;     /* bytes since the last pause */
    uint64_t last_ms; /* when something was sent */
};

/* Seals all of it into records, which the carrier is given. Those that follow a pause are small,
 * so that each fits into a packet and can be opened as it arrives. */
void tls_seal(struct tls_out *out, struct stream *carrier, const struct iovec *iov, int n);
/* One record of another type, by whatever keys: also the engine's, which may not encrypt yet. */
void tls_seal_one(const br_sslrec_out_class **keys, struct stream *carrier, enum tls_type type,
                  const uint8_t body[2]);
/* How many bytes follow this header, or 0 when it is none of ours. */
size_t tls_body_len(const union tls_open_keys *keys, const uint8_t header[static TLS_HEADER_LEN]);
/* Opens the record where it stands. What was in it, of *len bytes; NULL: it was changed. */
uint8_t *tls_open(union tls_open_keys *keys, uint8_t *record, size_t *len);

#endif
