/* install.h: how a machine gets berth from the broker and joins it: a line to paste, and the script that
 * the line fetches.
 *
 * Where no authority vouches for the broker's certificate, trust begins with the page, which the user has
 * looked at: the line carries the hash of the broker's public key, and curl (or GNU wget) accepts no other.
 * The script is then authentic, and has in it the sums of the binaries and the certificate's own hash,
 * to which the agent holds itself from then on. */
#ifndef BROKER_INSTALL_H
#define BROKER_INSTALL_H

#include "applets/broker/download.h"
#include "core/key.h"
#include "core/stream.h"

struct install {
    const char *url; /* the broker's, in url.h's one form */
    const struct downloads *downloads;
    /* Only of a certificate that no authority vouches for: */
    bool pinned;
    uint8_t pin[SHA256_LEN];     /* tls_server_fingerprint() */
    uint8_t key_pin[SHA256_LEN]; /* tls_server_key_hash() */
};

/* What to paste on the machine, heap. */
char *install_command(const struct install *i, const char *code);
/* The script, for GET and HEAD /install.sh; ends the exchange. */
void install_answer(struct stream *exchange, const struct install *i);

#endif
