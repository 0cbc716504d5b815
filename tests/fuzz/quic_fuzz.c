/* A QUIC server fed with datagrams: the input is cut into them by a length of two bytes each. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "net/quic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool find_psk(void *arg, const uint8_t session[static SESSION_LEN],
                     uint8_t psk[static PSK_LEN])
{
    (void)arg, (void)session;
    for (size_t i = 0; i < PSK_LEN; i++)
        psk[i] = 0x42;
    return true;
}

static void connected(void *arg, struct mux *m, const uint8_t session[static SESSION_LEN])
{
    (void)arg, (void)session;
    mux_free(m);
}

static const struct quic_server_events events = {.find_psk = find_psk, .connected = connected};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t padded[2048];
    key_init();
    struct loop *loop = loop_new();
    struct quic_server *server = quic_server_new(loop, &(struct quic_listen){0}, &events, NULL);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(quic_server_port(server))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int i = 0; len >= 2 && i < 8; i++) {
        size_t n = (size_t)data[0] << 8 | data[1], have;
        data += 2, len -= 2;
        have = n < len ? n : len;
        for (size_t at = 0; at < sizeof(padded); at++)
            padded[at] = at < have ? data[at] : 0;
        sendto(fd, padded, have < 1200 && n & 1 ? 1200 : have % sizeof(padded), 0,
               (struct sockaddr *)&to, sizeof(to));
        data += have, len -= have;
        loop_turn(loop, 0);
    }
    close(fd);
    quic_server_free(server);
    loop_turn(loop, 0);
    loop_free(loop);
    return 0;
}
