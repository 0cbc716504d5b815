/* The server's side of SOCKS5. */
#include "net/socks5.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "core/bytes.h"

enum { VERSION = 5, CONNECT = 1, NO_AUTH = 0, NO_METHOD = 0xff };
enum { ATYP_V4 = 1, ATYP_NAME = 3, ATYP_V6 = 4 };

enum reply {
    REPLY_OK,
    REPLY_FAILURE,
    REPLY_NOT_ALLOWED,
    REPLY_NET_UNREACHABLE,
    REPLY_HOST_UNREACHABLE,
    REPLY_REFUSED,
    REPLY_TTL,
    REPLY_NO_COMMAND,
    REPLY_NO_ADDRESS_TYPE,
};

static void put_reply(uint8_t reply[static 10], enum reply code)
{
    memset(reply, 0, 10);
    reply[0] = VERSION;
    reply[1] = (uint8_t)code;
    reply[3] = ATYP_V4;
}

static void refuse(struct socks5 *s, enum reply code)
{
    put_reply(s->reply + s->reply_len, code);
    s->reply_len += 10;
    s->state = SOCKS5_BROKEN;
}

/* Both of these look at what is there so far, and leave it when it is too little. */

static void greeting(struct socks5 *s)
{
    struct reader r = reader_of(s->part, s->part_len);
    if (read_u8(&r) != VERSION) {
        s->state = SOCKS5_BROKEN; /* SOCKS4, HTTP, …: no answer of ours would be understood */
        return;
    }
    size_t n = read_u8(&r);
    const uint8_t *methods = read_bytes(&r, n);
    if (r.bad)
        return;
    bool agreed = n && memchr(methods, NO_AUTH, n);
    s->reply[0] = VERSION;
    s->reply[1] = agreed ? NO_AUTH : NO_METHOD;
    s->reply_len = 2;
    s->part_len = 0;
    s->state = agreed ? SOCKS5_REQUEST : SOCKS5_BROKEN;
}

/* The host, as text; -1 when it is none. Nothing was read when the reader has gone bad. */
static int read_host(struct reader *r, uint8_t atyp, struct target *t)
{
    const char *why;
    char text[INET6_ADDRSTRLEN];
    size_t len = atyp == ATYP_NAME ? read_u8(r) : atyp == ATYP_V4 ? 4 : 16;
    const uint8_t *host = read_bytes(r, len);
    if (!host)
        return -1;
    if (atyp == ATYP_NAME)
        return target_set_host(t, (const char *)host, len, &why);
    inet_ntop(atyp == ATYP_V4 ? AF_INET : AF_INET6, host, text, sizeof(text));
    return target_set_host(t, text, strlen(text), &why);
}

static void request(struct socks5 *s)
{
    struct reader r = reader_of(s->part, s->part_len);
    uint8_t version = read_u8(&r), command = read_u8(&r);
    (void)read_u8(&r); /* reserved */
    uint8_t atyp = read_u8(&r);
    if (r.bad)
        return;
    if (version != VERSION) {
        refuse(s, REPLY_FAILURE);
        return;
    }
    if (atyp != ATYP_V4 && atyp != ATYP_NAME && atyp != ATYP_V6) {
        refuse(s, REPLY_NO_ADDRESS_TYPE);
        return;
    }
    int bad_host = read_host(&r, atyp, &s->target);
    s->target.port = read_u16(&r);
    if (r.bad)
        return;
    if (command != CONNECT)
        refuse(s, REPLY_NO_COMMAND);
    else if (bad_host || s->target.port == 0)
        refuse(s, REPLY_FAILURE);
    else
        s->state = SOCKS5_DONE;
}

size_t socks5_feed(struct socks5 *s, const uint8_t *in, size_t len)
{
    size_t used = 0;
    s->reply_len = 0;
    while (used < len && s->state < SOCKS5_DONE) {
        s->part[s->part_len++] = in[used++];
        if (s->state == SOCKS5_GREETING)
            greeting(s);
        else
            request(s);
    }
    return used;
}

void socks5_result(uint8_t reply[static 10], int error)
{
    switch (error) {
    case 0: put_reply(reply, REPLY_OK); break;
    case EACCES:
    case EPERM: put_reply(reply, REPLY_NOT_ALLOWED); break;
    case ENETUNREACH: put_reply(reply, REPLY_NET_UNREACHABLE); break;
    case EHOSTUNREACH:
    case ENOENT:
    case ETIMEDOUT: put_reply(reply, REPLY_HOST_UNREACHABLE); break;
    case ECONNREFUSED: put_reply(reply, REPLY_REFUSED); break;
    case EAFNOSUPPORT: put_reply(reply, REPLY_NO_ADDRESS_TYPE); break;
    default: put_reply(reply, REPLY_FAILURE);
    }
}
