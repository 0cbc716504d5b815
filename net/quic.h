/* quic.h: QUIC v1 as a mux (RFC 9000, 9001, 9002; datagrams: RFC 9221), by ngtcp2.
 *
 * A stream of the mux is a bidirectional stream of QUIC. They are accepted in the order in which
 * the peer opened them, whatever the network did. Half-close is FIN; a reset is RESET_STREAM
 * with STOP_SENDING, and ERROR (ECONNRESET) on the other side. Streams beyond the peer's limit,
 * or opened before the handshake has ended, may be written to and begin when they can.
 *
 * The connection has no idle timeout and sends nothing by itself when there is nothing to say:
 * who owns it asks how long it has been silent, and has it quic_probe(), quic_hop() or quic_roam().
 *
 * down(): 0 when the peer ended it in order; EACCES: the keys differ, or the peer refused;
 * ETIMEDOUT: no answer to the handshake; EPROTO; ECONNRESET. quic_server_free() lets its muxes
 * go down with ECONNABORTED.
 *
 * An orderly end: mux_go_away(), which is not told to the peer: its new streams are reset. Close
 * the streams, and await drained(), for as long as there is hope. mux_free() sends what may be sent
 * at that moment, then one CONNECTION_CLOSE, and never again: what of all that gets lost is lost,
 * and a peer that missed it only hears silence. */
#ifndef NET_QUIC_H
#define NET_QUIC_H

#include "core/key.h"
#include "core/mux.h"
#include "net/quic_udp.h"

#define QUIC_STREAM_WINDOW (16u << 20) /* bytes; as far as a stream's window grows */
#define QUIC_WINDOW        (24u << 20) /* bytes; a connection's */
#define QUIC_STREAMS_MAX   16384u      /* open at once from one side; others wait there */

struct quic_events {
    struct mux_events mux;       /* first: mux->events points at it */
    void (*up)(void *arg);       /* client: the handshake has ended */
    void (*asked)(void *arg);    /* something waits for an answer, and nothing did; or NULL */
    void (*answered)(void *arg); /* what quic_await_answer() asked for; or NULL */
    /* After mux_go_away(), once: no stream is left, and the peer has all that was said; or NULL. */
    void (*drained)(void *arg);
    /* A datagram of the peer's; NULL: they are dropped. */
    void (*datagram)(void *arg, const uint8_t *data, size_t len);
};

/* ---- client ---- */

struct quic_target {
    struct quic_addr remote;
    const uint8_t *session, *psk;  /* [SESSION_LEN], [PSK_LEN]; copied */
    uint64_t handshake_timeout_ms; /* 0: 10 s */
    bool cubic;                    /* instead of BBR */
};

/* NULL with errno. `events` stays the caller's and must outlive the mux. */
struct mux *quic_connect(struct loop *loop, const struct quic_target *to,
                         const struct quic_events *events, void *arg);

/* ---- server ---- */

struct quic_server;

struct quic_server_events {
    /* The key of a session; false: none such, and nobody hears anything. */
    bool (*find_psk)(void *arg, const uint8_t session[static SESSION_LEN],
                     uint8_t psk[static PSK_LEN]);
    /* Somebody has proven to have the key. The mux is the owner's, who calls quic_own() before
     * this returns, or mux_free(). */
    void (*connected)(void *arg, struct mux *m, const uint8_t session[static SESSION_LEN]);
};

struct quic_listen {
    uint16_t first_port, last_port; /* ten tries in between, then the system's; 0, 0: its */
    bool cubic;
};

/* On all addresses of both families, where the machine has both. NULL with errno. */
struct quic_server *quic_server_new(struct loop *loop, const struct quic_listen *at,
                                    const struct quic_server_events *events, void *arg);
void quic_server_free(struct quic_server *server);
uint16_t quic_server_port(const struct quic_server *server);
/* Connections whose handshake is under way, or done. */
size_t quic_server_count(const struct quic_server *server);

void quic_own(struct mux *m, const struct quic_events *events, void *arg);

/* ---- both ---- */

/* Sends one now, unless it is too long (EMSGSIZE) or too many wait (EAGAIN): then -1. */
int quic_datagram_send(struct mux *m, const void *data, size_t len);
/* Those that wait are worth nothing any more. */
void quic_datagram_drop(struct mux *m);
/* The longest that can be sent on the path as it is known; 0: not yet, or not to this peer. */
size_t quic_datagram_max(const struct mux *m);

/* Whether it is one of the connection's. */
bool quic_is_stream(const struct mux *m, const struct stream *s);
bool quic_is_up(const struct mux *m);
/* A stream is there that was not reset. mux_count() counts the others too, until the peer knows. */
bool quic_is_needed(struct mux *m);
uint64_t quic_rtt_us(const struct mux *m); /* smoothed; 0: not measured */
/* Since the last packet that was protected with the keys. */
uint64_t quic_silence_ms(const struct mux *m);
/* Since something waits for an answer, or the last one or a hop came, rounded up; 0: nothing does.
 * That the peer is heard is no answer. */
uint64_t quic_unanswered_ms(const struct mux *m);
/* Whether bytes wait for the peer's acknowledgement. */
bool quic_waiting(const struct mux *m);
void quic_await_answer(struct mux *m); /* answered() comes with the next acknowledgement */
/* Asks for an answer now, however far the probe timer has backed off. */
void quic_probe(struct mux *m);
/* Client: goes on from another local port (a new socket), and probes. `remote`: an address of the
 * peer's, of either family, to speak to from now on; NULL: the one in use. What comes late from
 * the last one is still taken. 0 or -1 with errno (EAFNOSUPPORT, …), and nothing has changed. */
int quic_hop(struct mux *m, const struct quic_addr *remote);
/* Client: the same after a change of network, by migration (RFC 9000 §9): what was known of the
 * path is forgotten. */
int quic_roam(struct mux *m, const struct quic_addr *remote);
/* The path in use has carried a packet of the peer's since the last hop or roam. */
bool quic_path_good(const struct mux *m);
struct quic_addr quic_peer(const struct mux *m); /* as it is spoken to now */
/* New keys (RFC 9001 §6). False: the last ones are not confirmed yet. */
bool quic_update_keys(struct mux *m);

#endif
