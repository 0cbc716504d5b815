#include "net/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/mem.h"

#define ALIGNED(n) (((n) + 3) & ~(size_t)3)

/* ---- reading ---- */

/* Takes `len` bytes and what fills them up to a multiple of four. */
static struct reader take_aligned(struct reader *r, size_t len)
{
    const uint8_t *data = read_bytes(r, len);
    size_t fill = ALIGNED(len) - len;
    read_bytes(r, fill < r->left ? fill : r->left);
    return reader_of(data, data ? len : 0);
}

bool netlink_next(struct reader *r, struct nlmsghdr *header, struct reader *body)
{
    if (r->bad || r->left < sizeof(*header))
        return false;
    read_copy(r, header, sizeof(*header));
    *body = take_aligned(r, header->nlmsg_len - sizeof(*header));
    return !r->bad;
}

bool netlink_attr(struct reader *body, unsigned *type, struct reader *value)
{
    struct rtattr a;
    if (body->bad || body->left < sizeof(a))
        return false;
    read_copy(body, &a, sizeof(a));
    *type = a.rta_type & ~(unsigned)(NLA_F_NESTED | NLA_F_NET_BYTEORDER);
    *value = take_aligned(body, a.rta_len - sizeof(a));
    return !body->bad;
}

/* ---- writing ---- */

static void put_aligned(struct netlink_request *q, const void *data, size_t len)
{
    static const uint8_t zeros[4];
    write_bytes(&q->w, data, len);
    write_bytes(&q->w, zeros, ALIGNED(len) - len);
}

void netlink_begin(struct netlink_request *q, unsigned type, unsigned flags, const void *fixed,
                   size_t len)
{
    struct nlmsghdr header = {.nlmsg_type = (uint16_t)type,
                              .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST | NLM_F_ACK)};
    q->w = writer_to(q->data, sizeof(q->data));
    put_aligned(q, &header, sizeof(header));
    put_aligned(q, fixed, len);
}

void netlink_put(struct netlink_request *q, unsigned type, const void *value, size_t len)
{
    struct rtattr a = {.rta_type = (uint16_t)type, .rta_len = (uint16_t)(sizeof(a) + len)};
    put_aligned(q, &a, sizeof(a));
    put_aligned(q, value, len);
}

size_t netlink_open(struct netlink_request *q, unsigned type)
{
    size_t at = q->w.len;
    netlink_put(q, type | NLA_F_NESTED, NULL, 0);
    return at;
}

void netlink_close(struct netlink_request *q, size_t at)
{
    struct rtattr a;
    if (q->w.bad)
        return;
    memcpy(&a, q->data + at, sizeof(a));
    a.rta_len = (uint16_t)(q->w.len - at);
    memcpy(q->data + at, &a, sizeof(a));
}

/* ---- asking ---- */

int netlink_socket(void)
{
    const struct timeval limit = {.tv_sec = 5}; /* the kernel does not take its time; never hang */
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

static int send_request(int fd, struct netlink_request *q)
{
    struct nlmsghdr header;
    if (q->w.bad) {
        errno = EMSGSIZE;
        return -1;
    }
    memcpy(&header, q->data, sizeof(header));
    header.nlmsg_len = (uint32_t)q->w.len;
    memcpy(q->data, &header, sizeof(header));
    return send(fd, q->data, q->w.len, 0) < 0 ? -1 : 0;
}

enum answer { MORE, DONE, FAILED };

static enum answer read_answer(struct reader r, netlink_fn *each, void *arg)
{
    struct nlmsghdr header;
    struct reader body;
    int32_t error = 0;
    while (netlink_next(&r, &header, &body)) {
        if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
            read_copy(&body, &error, sizeof(error));
            errno = -error;
            return error ? FAILED : DONE;
        }
        if (each)
            each(arg, header.nlmsg_type, body);
    }
    errno = EPROTO;
    return r.bad ? FAILED : MORE;
}

int netlink_call(int fd, struct netlink_request *q, netlink_fn *each, void *arg)
{
    uint8_t data[32768]; /* as the kernel advises for dumps */
    enum answer answer = MORE;
    if (send_request(fd, q) != 0)
        return -1;
    while (answer == MORE) {
        ssize_t n = recv(fd, data, sizeof(data), 0);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n >= 0)
            answer = read_answer(reader_of(data, (size_t)n), each, arg);
    }
    return answer == DONE ? 0 : -1;
}
