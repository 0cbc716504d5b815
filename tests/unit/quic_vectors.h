/* quic_vectors.h: published packets that more than one test reads. */
#ifndef TESTS_UNIT_QUIC_VECTORS_H
#define TESTS_UNIT_QUIC_VECTORS_H

/* RFC 9001 A.2: a client's first packet, protected, in hex; another TLS' ClientHello in it. */
extern const char quic_client_initial[];

#endif
