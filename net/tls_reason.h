/* tls_reason.h: BearSSL's error codes as what a program, a person and a peer are told. */
#ifndef NET_TLS_REASON_H
#define NET_TLS_REASON_H

#include <stdint.h>

/* Alerts, RFC 5246 section 7.2. */
enum {
    TLS_CLOSE_NOTIFY = 0,
    TLS_UNEXPECTED_MESSAGE = 10,
    TLS_BAD_RECORD_MAC = 20,
    TLS_HANDSHAKE_FAILURE = 40,
    TLS_BAD_CERTIFICATE = 42,
    TLS_CERTIFICATE_EXPIRED = 45,
    TLS_UNKNOWN_CA = 48,
    TLS_DECODE_ERROR = 50,
    TLS_PROTOCOL_VERSION = 70,
    TLS_NO_RENEGOTIATION = 100,
};

/* `error` is br_ssl_engine_last_error()'s. */
struct tls_reason {
    const char *text; /* static */
    int error;        /* errno */
    int alert;        /* -1: the peer is not to be told, or was */
};

struct tls_reason tls_reason_of(int error);
/* Of an alert that the peer has sent; static. */
const char *tls_alert_text(uint8_t alert);

#endif
