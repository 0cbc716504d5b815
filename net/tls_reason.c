/* tls_reason.c: BearSSL's error codes as what a program, a person and a peer are told. */
#include "net/tls_reason.h"

#include <bearssl.h>
#include <errno.h>
#include <stddef.h>

#include "core/mem.h"
#include "net/tls_verify.h"

static const struct {
    int code;
    struct tls_reason reason;
} reasons[] = {
    {BR_ERR_UNSUPPORTED_VERSION, {"it speaks no TLS 1.2", EPROTO, TLS_PROTOCOL_VERSION}},
    {BR_ERR_BAD_VERSION, {"it speaks no TLS 1.2", EPROTO, TLS_PROTOCOL_VERSION}},
    {BR_ERR_BAD_MAC, {"a record was changed on its way", EBADMSG, TLS_BAD_RECORD_MAC}},
    {BR_ERR_UNKNOWN_TYPE, {"it speaks no TLS", EPROTO, TLS_UNEXPECTED_MESSAGE}},
    {BR_ERR_BAD_CIPHER_SUITE, {"it has no cipher in common", EPROTO, TLS_HANDSHAKE_FAILURE}},
    {BR_ERR_BAD_FINISHED, {"the handshake was changed on its way", EBADMSG, TLS_BAD_RECORD_MAC}},
    {BR_ERR_BAD_SIGNATURE, {"its signature is wrong", EKEYREJECTED, TLS_BAD_CERTIFICATE}},
    {BR_ERR_X509_EXPIRED,
     {"its certificate has expired or is not yet valid", EKEYREJECTED, TLS_CERTIFICATE_EXPIRED}},
    {BR_ERR_X509_BAD_SERVER_NAME,
     {"its certificate is for another name", EKEYREJECTED, TLS_BAD_CERTIFICATE}},
    {BR_ERR_X509_NOT_TRUSTED,
     {"its certificate leads to no authority that is trusted", EKEYREJECTED, TLS_UNKNOWN_CA}},
    {BR_ERR_X509_DN_MISMATCH,
     {"its certificate leads to no authority that is trusted", EKEYREJECTED, TLS_UNKNOWN_CA}},
    {BR_ERR_X509_BAD_SIGNATURE,
     {"the signature on its certificate is wrong", EKEYREJECTED, TLS_BAD_CERTIFICATE}},
    {BR_ERR_X509_NOT_CA,
     {"its certificate was signed by what is no authority", EKEYREJECTED, TLS_UNKNOWN_CA}},
    {BR_ERR_X509_CRITICAL_EXTENSION,
     {"its certificate has a condition that is not understood", EKEYREJECTED, TLS_BAD_CERTIFICATE}},
    {BR_ERR_X509_WEAK_PUBLIC_KEY,
     {"the key in its certificate is too short", EKEYREJECTED, TLS_BAD_CERTIFICATE}},
    {TLS_VERIFY_BAD_PIN,
     {"its certificate is not the one that was pinned", EKEYREJECTED, TLS_BAD_CERTIFICATE}},
};

struct tls_reason tls_reason_of(int error)
{
    if (error > BR_ERR_SEND_FATAL_ALERT)
        return (struct tls_reason){tls_alert_text((uint8_t)error), EPROTO, -1};
    if (error > BR_ERR_RECV_FATAL_ALERT)
        return (struct tls_reason){tls_alert_text((uint8_t)error), ECONNRESET, -1};
    for (size_t i = 0; i < countof(reasons); i++)
        if (reasons[i].code == error)
            return reasons[i].reason;
    if (error >= BR_ERR_X509_OK && error <= BR_ERR_X509_NOT_TRUSTED)
        return (struct tls_reason){
            "its certificate is malformed, or of a kind that is not supported", EKEYREJECTED,
            TLS_BAD_CERTIFICATE};
    return (struct tls_reason){"what it says is not TLS as it should be", EPROTO, TLS_DECODE_ERROR};
}

const char *tls_alert_text(uint8_t alert)
{
    switch (alert) {
    case TLS_CLOSE_NOTIFY: return "it was closed";
    case TLS_UNEXPECTED_MESSAGE: return "alert: unexpected message";
    case TLS_BAD_RECORD_MAC: return "alert: bad record";
    case TLS_HANDSHAKE_FAILURE:
        return "alert: handshake failure: no cipher, curve or hash in common";
    case TLS_BAD_CERTIFICATE: return "alert: bad certificate";
    case TLS_CERTIFICATE_EXPIRED: return "alert: certificate expired";
    case 46: return "alert: certificate unknown";
    case TLS_UNKNOWN_CA: return "alert: unknown authority";
    case TLS_DECODE_ERROR: return "alert: decode error";
    case 51: return "alert: decrypt error";
    case TLS_PROTOCOL_VERSION: return "alert: TLS 1.2 is needed";
    case 71: return "alert: insufficient security";
    case 80: return "alert: internal error";
    case 86: return "alert: inappropriate fallback";
    case TLS_NO_RENEGOTIATION: return "alert: no renegotiation";
    case 112: return "alert: unrecognized name";
    case 116: return "alert: a client certificate is required";
    case 120: return "alert: no application protocol in common";
    default: return "alert";
    }
}
