/* tls_state.h: what the files of net/tls* share: a stream, and its handshake while that lasts. */
#ifndef NET_TLS_STATE_H
#define NET_TLS_STATE_H

#include "net/tls.h"
#include "net/tls_record.h"
#include "net/tls_verify.h"

/* About 25 KiB, freed when the keys are there. */
struct tls_handshake {
    union {
        br_ssl_client_context client;
        br_ssl_server_context server;
    };
    br_ssl_engine_context *engine; /* of one of them */
    struct tls_verify verify;      /* the client's */
    struct tls_server *of;         /* the server's; a reference */
    struct loop_timer deadline;
    uint8_t record[BR_SSL_BUFSIZE_MONO];
};

struct tls {
    struct stream s;
    struct stream *carrier;
    struct tls_handshake *handshake; /* NULL: it is done */
    union tls_open_keys in;
    struct tls_out out;
    struct buf record; /* what has come of the next one */
    struct buf early;  /* written before there were keys */
    struct loop_task resume;
    struct loop_task give_up; /* when the loop ends before what was closed */
    unsigned warnings;        /* that the peer has sent */
    bool notified;            /* close_notify was sent */
    bool full;                /* the owner was shown no room: tell DRAINED */
    uint16_t suite;
    const char *protocol;
    char *server_name;
    const char *reason;
};

/* A stream whose handshake is to be filled in, and then begun. */
struct tls *tls_new(struct stream *carrier);
void tls_begin(struct tls *t);

/* tls_handshake.c */

/* Versions, suites, hashes, ciphers, ALPN, randomness: the same for both. `engine` is one of h's. */
void tls_engine_init(struct tls_handshake *h, br_ssl_engine_context *engine);
/* Goes on as far as it can: 1 when the keys are there, 0 when more must come, -1 when it has
 * failed: tls_handshake_error() then tells why, and the peer has been told. */
int tls_handshake_run(struct tls *t);
int tls_handshake_error(const struct tls *t);
/* Takes what is needed of it into `t`, and frees it. */
void tls_handshake_finish(struct tls *t);
void tls_handshake_free(struct tls_handshake *h);

/* tls_server.c */
void tls_server_unref(struct tls_server *server);

#endif
