/* quic_peer.c: one QUIC connection over loopback. The client sends a mebibyte on a stream, the
 * server sends it back, the client compares.
 *
 *     NAME server [chacha] [stranger] [wrong-key] [update]     prints "port N", ends by SIGTERM
 *     NAME client PORT […]
 *
 * Both end with a line "packets N" of how many they have sent; exit status 0: all went well. */
#include "tests/interop/quic_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TOTAL        (1u << 20) /* bytes */
#define PACKET_MAX   1452
#define UPDATE_EVERY (TOTAL / 8) /* bytes heard */
/* For an answer; a stranger, who gets none, has then asked twice. */
#define PATIENCE          (30 * NGTCP2_SECONDS)
#define STRANGER_PATIENCE (2 * NGTCP2_SECONDS)

static struct peer_options options;
static int fd = -1;
static struct sockaddr_in local, remote;
static ngtcp2_conn *conn;
static int64_t stream = -1;
static uint8_t heard[TOTAL], pattern[TOTAL];
static size_t heard_len, said_len, updates;
static unsigned long packets;
static volatile sig_atomic_t ended;

static void fail(const char *what)
{
    printf("FAIL: %s\n", what);
    printf("packets %lu\n", packets);
    exit(1);
}

static ngtcp2_tstamp now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (ngtcp2_tstamp)ts.tv_sec * NGTCP2_SECONDS + (ngtcp2_tstamp)ts.tv_nsec;
}

static void randomize(uint8_t *dst, size_t len)
{
    if (getrandom(dst, len, 0) != (ssize_t)len)
        fail("getrandom");
}

/* ---- what ngtcp2 asks ---- */

static int on_new_id(ngtcp2_conn *c, ngtcp2_cid *cid, uint8_t *token, size_t len, void *user_data)
{
    (void)c, (void)user_data;
    cid->datalen = len;
    randomize(cid->data, len);
    randomize(token, NGTCP2_STATELESS_RESET_TOKENLEN);
    return 0;
}

static void on_rand(uint8_t *dest, size_t len, const ngtcp2_rand_ctx *ctx)
{
    (void)ctx;
    randomize(dest, len);
}

static int on_data(ngtcp2_conn *c, uint32_t flags, int64_t id, uint64_t offset, const uint8_t *data,
                   size_t len, void *user_data, void *stream_user_data)
{
    (void)flags, (void)user_data, (void)stream_user_data;
    if (offset != heard_len || len > TOTAL - heard_len)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    stream = id;
    if (len)
        memcpy(heard + heard_len, data, len);
    heard_len += len;
    ngtcp2_conn_extend_max_stream_offset(c, id, len);
    ngtcp2_conn_extend_max_offset(c, len);
    return 0;
}

static ngtcp2_callbacks callbacks_of(void)
{
    ngtcp2_callbacks cb = {0};
    cb.get_new_connection_id = on_new_id;
    cb.recv_stream_data = on_data;
    cb.rand = on_rand;
    peer_callbacks(&cb);
    return cb;
}

static ngtcp2_path path_of(void)
{
    return (ngtcp2_path){.local = {.addr = (struct sockaddr *)&local, .addrlen = sizeof(local)},
                         .remote = {.addr = (struct sockaddr *)&remote, .addrlen = sizeof(remote)}};
}

static ngtcp2_settings settings_of(void)
{
    ngtcp2_settings settings;
    ngtcp2_settings_default(&settings);
    settings.initial_ts = now();
    settings.handshake_timeout = options.stranger ? STRANGER_PATIENCE : PATIENCE;
    return settings;
}

static ngtcp2_transport_params params_of(void)
{
    ngtcp2_transport_params params;
    ngtcp2_transport_params_default(&params);
    params.initial_max_data = params.initial_max_stream_data_bidi_local =
        params.initial_max_stream_data_bidi_remote = 128 * 1024;
    params.initial_max_streams_bidi = 1;
    return params;
}

/* ---- the connection ---- */

static void become_client(void)
{
    ngtcp2_cid dcid = {.datalen = 18}, scid = {.datalen = 8};
    randomize(dcid.data, dcid.datalen);
    randomize(scid.data, scid.datalen);
    ngtcp2_path path = path_of();
    ngtcp2_callbacks cb = callbacks_of();
    ngtcp2_settings settings = settings_of();
    ngtcp2_transport_params params = params_of();
    if (ngtcp2_conn_client_new(&conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1, &cb, &settings,
                               &params, NULL, NULL))
        fail("no client");
    peer_attach(conn, &options);
}

static bool become_server(const uint8_t *packet, size_t len)
{
    ngtcp2_pkt_hd hd;
    ngtcp2_cid scid = {.datalen = 8};
    if (ngtcp2_accept(&hd, packet, len))
        return false;
    randomize(scid.data, scid.datalen);
    ngtcp2_path path = path_of();
    ngtcp2_callbacks cb = callbacks_of();
    ngtcp2_settings settings = settings_of();
    ngtcp2_transport_params params = params_of();
    params.original_dcid = hd.dcid;
#if NGTCP2_VERSION_NUM >= 0x010000
    params.original_dcid_present = 1;
#endif
    if (ngtcp2_conn_server_new(&conn, &hd.scid, &scid, &path, hd.version, &cb, &settings, &params,
                               NULL, NULL))
        fail("no server");
    peer_attach(conn, &options);
    return true;
}

static void leave(void)
{
    ngtcp2_conn_del(conn);
    peer_detach();
    conn = NULL;
}

#if NGTCP2_VERSION_NUM >= 0x010000
typedef ngtcp2_ccerr reason;
#define reason_of_alert  ngtcp2_ccerr_set_tls_alert
#define reason_of_error  ngtcp2_ccerr_set_liberr
#define reason_of_peer() (ngtcp2_conn_get_ccerr(conn)->error_code)
#else
typedef ngtcp2_connection_close_error reason;
#define reason_of_alert ngtcp2_connection_close_error_set_transport_error_tls_alert
#define reason_of_error ngtcp2_connection_close_error_set_transport_error_liberr
static uint64_t reason_of_peer(void)
{
    reason why;
    ngtcp2_conn_get_connection_close_error(conn, &why);
    return why.error_code;
}
#endif

/* Tells the peer, or hears from it, why it is over. */
static void explain(int error)
{
    uint8_t packet[PACKET_MAX];
    reason why = {0};
    if (error == NGTCP2_ERR_DRAINING) {
        printf("was told 0x%llx\n", (unsigned long long)reason_of_peer());
        return;
    }
    if (error == NGTCP2_ERR_CRYPTO)
        reason_of_alert(&why, ngtcp2_conn_get_tls_alert(conn), NULL, 0);
    else
        reason_of_error(&why, error, NULL, 0);
    ngtcp2_ssize n =
        ngtcp2_conn_write_connection_close(conn, NULL, NULL, packet, sizeof(packet), &why, now());
    if (n <= 0)
        return;
    packets++;
    sendto(fd, packet, (size_t)n, 0, (struct sockaddr *)&remote, sizeof(remote));
}

static void broken(int error)
{
    bool silent = options.server && peer_silent();
    if (!silent)
        explain(error);
    leave();
    if (silent) {
        printf("a stranger\n");
        return;
    }
    printf("%s\n", ngtcp2_strerror(error));
    fail("the connection broke");
}

/* The pattern, or what came in. */
static size_t to_say(const uint8_t **from)
{
    *from = (options.server ? heard : pattern) + said_len;
    return (options.server ? heard_len : TOTAL) - said_len;
}

static ngtcp2_ssize write_packet(uint8_t *packet, ngtcp2_path_storage *path)
{
    const uint8_t *from;
    ngtcp2_ssize took = -1;
    size_t left = stream >= 0 ? to_say(&from) : 0;
    uintptr_t text = left ? (uintptr_t)from : 0;
    ngtcp2_vec vec = {.base = (uint8_t *)text, .len = left};
    ngtcp2_ssize n = ngtcp2_conn_writev_stream(conn, &path->path, NULL, packet, PACKET_MAX, &took,
                                               NGTCP2_WRITE_STREAM_FLAG_NONE, left ? stream : -1,
                                               left ? &vec : NULL, left ? 1 : 0, now());
    if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED)
        n = ngtcp2_conn_writev_stream(conn, &path->path, NULL, packet, PACKET_MAX, &took,
                                      NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, now());
    if (took > 0)
        said_len += (size_t)took;
    return n;
}

static void write_all(void)
{
    uint8_t packet[PACKET_MAX];
    ngtcp2_path_storage path;
    ngtcp2_path_storage_zero(&path);
    for (;;) {
        ngtcp2_ssize n = write_packet(packet, &path);
        if (n < 0)
            broken((int)n);
        if (n <= 0)
            break;
        packets++;
        if (sendto(fd, packet, (size_t)n, 0, (struct sockaddr *)&remote, sizeof(remote)) < 0 &&
            errno != ECONNREFUSED)
            fail("sendto");
    }
    if (conn)
        ngtcp2_conn_update_pkt_tx_time(conn, now());
}

static void read_all(void)
{
    uint8_t packet[65536];
    socklen_t len = sizeof(remote);
    ssize_t n;
    while ((n = recvfrom(fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&remote,
                         &len)) > 0) {
        if (!conn && !become_server(packet, (size_t)n))
            continue;
        ngtcp2_path path = path_of();
        int error = ngtcp2_conn_read_pkt(conn, &path, NULL, packet, (size_t)n, now());
        if (error) {
            broken(error);
            return;
        }
    }
    if (n < 0 && errno == ECONNREFUSED)
        fail("nobody is there");
}

/* Every so many bytes, when the last one is confirmed. */
static void maybe_update(void)
{
    if (!options.update || heard_len < (updates + 1) * UPDATE_EVERY)
        return;
    if (!ngtcp2_conn_initiate_key_update(conn, now()))
        updates++;
}

static int timeout_ms(void)
{
    if (!conn)
        return -1;
    ngtcp2_tstamp expiry = ngtcp2_conn_get_expiry(conn), at = now();
    if (expiry <= at)
        return 0;
    return (int)((expiry - at) / NGTCP2_MILLISECONDS % 100000) + 1;
}

static void turn(const sigset_t *mask)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ms = timeout_ms();
    struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    ppoll(&p, 1, ms < 0 ? NULL : &wait, mask);
    read_all();
    if (!conn)
        return;
    int error = ngtcp2_conn_get_expiry(conn) <= now() ? ngtcp2_conn_handle_expiry(conn, now()) : 0;
    if (error)
        broken(error);
    if (conn && ngtcp2_conn_get_handshake_completed(conn) && !options.server && stream < 0 &&
        ngtcp2_conn_open_bidi_stream(conn, &stream, NULL))
        fail("no stream");
    if (conn) {
        maybe_update();
        write_all();
    }
}

/* ---- the process ---- */

static void end(int signo)
{
    (void)signo;
    ended = 1;
}

static void open_socket(const char *port)
{
    socklen_t len = sizeof(local);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    local.sin_family = remote.sin_family = AF_INET;
    local.sin_addr.s_addr = remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&local, sizeof(local)) ||
        getsockname(fd, (struct sockaddr *)&local, &len))
        fail("bind");
    if (!port) {
        printf("port %u\n", ntohs(local.sin_port));
        fflush(stdout);
        return;
    }
    remote.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
}

static bool over(void)
{
    return ended || (!options.server && heard_len == TOTAL);
}

int main(int argc, char **argv)
{
    sigset_t blocked, mask;
    for (int i = 1; i < argc; i++) {
        options.server |= !strcmp(argv[i], "server");
        options.chacha |= !strcmp(argv[i], "chacha");
        options.stranger |= !strcmp(argv[i], "stranger");
        options.wrong_key |= !strcmp(argv[i], "wrong-key");
        options.update |= !strcmp(argv[i], "update");
    }
    if (argc < 2 || (!options.server && argc < 3))
        return 2;
    for (size_t i = 0; i < TOTAL; i++)
        pattern[i] = (uint8_t)(i * 2654435761u >> 11);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &mask);
    signal(SIGTERM, end);
    open_socket(options.server ? NULL : argv[2]);
    if (!options.server) {
        become_client();
        write_all();
    }
    while (!over())
        turn(&mask);
    if (!options.server && memcmp(heard, pattern, TOTAL) != 0)
        fail("other bytes came back");
    if (options.update && updates == 0)
        fail("no key was updated");
    leave();
    close(fd);
    printf("packets %lu\n", packets);
    return 0;
}
