/* netlink.h: rtnetlink messages, read and written. All of it is in the machine's own byte
 * order and aligned to four bytes (RFC 3549; linux/netlink.h, linux/rtnetlink.h).
 *
 * The kernel answers a request before send(2) returns, so a call does not hold a loop up. */
#ifndef NET_NETLINK_H
#define NET_NETLINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <linux/netlink.h> /* wants what is above */
#include <linux/rtnetlink.h>

#include "core/bytes.h"

/* Reading: the next message, and what follows its header; false at the end, or when `r` is
 * bad. */
bool netlink_next(struct reader *r, struct nlmsghdr *header, struct reader *body);
/* The next attribute of a body whose fixed part has been read. */
bool netlink_attr(struct reader *body, unsigned *type, struct reader *value);

/* Writing: one request. */
struct netlink_request {
    struct writer w;
    uint8_t data[512];
};

/* `fixed`: the struct that the type begins with. NLM_F_REQUEST and NLM_F_ACK are added. */
void netlink_begin(struct netlink_request *q, unsigned type, unsigned flags, const void *fixed,
                   size_t len);
void netlink_put(struct netlink_request *q, unsigned type, const void *value, size_t len);
/* An attribute that holds attributes: what is put until netlink_close(q, at). */
size_t netlink_open(struct netlink_request *q, unsigned type);
void netlink_close(struct netlink_request *q, size_t at);

/* A route socket; -1 with errno. */
int netlink_socket(void);
/* Sends the request and waits for its acknowledgement; each message that is part of the answer
 * (of a dump) is handed to `each`, which may be NULL. 0, or -1 with errno: the kernel's, or
 * EMSGSIZE when the request did not fit. */
typedef void netlink_fn(void *arg, unsigned type, struct reader body);
int netlink_call(int fd, struct netlink_request *q, netlink_fn *each, void *arg);

#endif
