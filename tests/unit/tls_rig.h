/* tls_rig.h: certificates made by openssl, and a TLS client and server joined by what can be looked
 * at, cut off and changed on its way. */
#ifndef TESTS_UNIT_TLS_RIG_H
#define TESTS_UNIT_TLS_RIG_H

#include "net/tls.h"
#include "tests/unit/probe.h"

/* A file of the folder that openssl has filled: made once, removed when the program ends. Heap.
 *     ca.pem                           the authority
 *     p256 rsa p384                    for localhost and *.example.org
 *     expired future other ip cn deep  of its, each with what its name says; deep by way of another
 *     self                             signed by its own key, for localhost
 *     weak ed25519 encrypted old       keys that are not taken
 * each as NAME.pem and NAME.key. */
char *tls_file(const char *name);

enum tls_side { TLS_CLIENT, TLS_SERVER };

/* What one side has sent. */
struct tls_way {
    struct stream carrier; /* of who has sent it */
    struct buf out;
    size_t moved;
    size_t cut;  /* how many bytes get through; then comes the end */
    size_t hold; /* how many get through for now */
    size_t flip; /* the byte at which one bit is changed */
    bool cut_told;
};

struct tls_rig {
    struct loop *loop;
    struct tls_server *server;
    struct tls_anchors *anchors;
    struct tls_peer peer;
    struct tls_way way[2];
    struct probe p[2];
};

/* A server with NAME.pem; a client that trusts ca.pem, and is for localhost. */
void tls_rig_init(struct tls_rig *r, const char *name);
/* Both begin, with nothing yet on its way. */
void tls_rig_begin(struct tls_rig *r);
/* Carries what there is until there is nothing more. */
void tls_rig_run(struct tls_rig *r);
/* Ends both streams; another tls_rig_begin() may follow. */
void tls_rig_end(struct tls_rig *r);
void tls_rig_fini(struct tls_rig *r);

/* Begins and runs; the client's error, 0 when it is open. */
int tls_rig_meet(struct tls_rig *r);

#endif
