#include "applets/agent/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

#include "applets/agent/client.h"
#include "core/log.h"
#include "net/quic.h"

#define PORT_FIRST    40000
#define PORT_LAST     50000
#define ADDRESSES_MAX 8 /* told to a master */

/* --- connections -------------------------------------------------------------------------- */

static bool find_psk(void *arg, const uint8_t session[static SESSION_LEN],
                     uint8_t psk[static PSK_LEN])
{
    const struct client *c = client_find(arg, session);
    if (!c || !c->greeted)
        return false;
    memcpy(psk, c->psk, PSK_LEN);
    return true;
}

static void on_connected(void *arg, struct mux *mux, const uint8_t session[static SESSION_LEN])
{
    struct agent *agent = arg;
    struct client *c = client_find(agent, session);
    if (c && !agent->stopping)
        session_take_quic(c->session, mux);
    else
        mux_free(mux);
}

static const struct quic_server_events server_events = {.find_psk = find_psk,
                                                        .connected = on_connected};

/* --- the port -------------------------------------------------------------------------------- */

/* "udp_ports": [first, last]; an empty list: none is wanted. */
static bool read_range(struct quic_listen *at, const struct message *hello)
{
    const struct json_value *list = json_get(hello->body, "udp_ports");
    int64_t port[2] = {PORT_FIRST, PORT_LAST};
    size_t n = 0;
    if (!list)
        return true;
    for (struct json_iter it = json_iter(list); json_next(&it); n++)
        if (n >= 2 || json_int(it.value, &port[n]) != 1 || port[n] < 1 || port[n] > UINT16_MAX)
            return false;
    at->first_port = (uint16_t)port[0];
    at->last_port = (uint16_t)port[1];
    return n == 2 && port[0] <= port[1];
}

void udp_open(struct agent *agent, const struct message *hello)
{
    struct quic_listen at = {.first_port = PORT_FIRST, .last_port = PORT_LAST};
    if (agent->udp || !read_range(&at, hello))
        return;
    agent->udp = quic_server_new(agent->loop, &at, &server_events, agent);
    if (!agent->udp)
        log_note("no UDP port could be had: %s; sessions run over ssh", strerror(errno));
}

uint16_t udp_port(const struct agent *agent)
{
    return agent->udp ? quic_server_port(agent->udp) : 0;
}

void udp_close(struct agent *agent)
{
    if (agent->udp)
        quic_server_free(agent->udp);
    agent->udp = NULL;
}

/* --- the addresses ------------------------------------------------------------------------------ */

static bool is_global(const struct ifaddrs *i)
{
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
        return false;
    if (i->ifa_addr->sa_family == AF_INET)
        return true;
    const struct sockaddr_in6 *six = (const void *)i->ifa_addr;
    return i->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr);
}

static const char *text_of(const struct sockaddr *a, char text[static INET6_ADDRSTRLEN])
{
    const struct sockaddr_in *four = (const void *)a;
    const struct sockaddr_in6 *six = (const void *)a;
    const void *bytes =
        a->sa_family == AF_INET ? (const void *)&four->sin_addr : (const void *)&six->sin6_addr;
    return inet_ntop(a->sa_family, bytes, text, INET6_ADDRSTRLEN);
}

void udp_put_addresses(struct draft *d, const char *ssh)
{
    struct json_node *list = json_put_array(d->out, d->root, "addresses");
    char text[INET6_ADDRSTRLEN];
    struct ifaddrs *all = NULL;
    size_t n = 0;
    if (ssh) {
        json_put_str(d->out, list, NULL, ssh);
        n++;
    }
    if (getifaddrs(&all) < 0)
        log_note("the machine's addresses cannot be read: %s", strerror(errno));
    for (const struct ifaddrs *i = all; i && n < ADDRESSES_MAX; i = i->ifa_next) {
        if (!is_global(i) || !text_of(i->ifa_addr, text) || (ssh && strcmp(text, ssh) == 0))
            continue;
        json_put_str(d->out, list, NULL, text);
        n++;
    }
    if (all)
        freeifaddrs(all);
}
