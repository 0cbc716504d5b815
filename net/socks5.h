/* socks5.h: the server's side of SOCKS5 (RFC 1928), CONNECT without authentication. No I/O:
 * bytes in, bytes and a request out. */
#ifndef NET_SOCKS5_H
#define NET_SOCKS5_H

#include <stddef.h>
#include <stdint.h>

#include "net/target.h"

#define SOCKS5_REPLY_MAX 12 /* the greeting's answer and a refusal */

enum socks5_state { SOCKS5_GREETING, SOCKS5_REQUEST, SOCKS5_DONE, SOCKS5_BROKEN };

struct socks5 { /* zeroed is ready */
    enum socks5_state state;
    uint8_t part[262]; /* the longest request */
    size_t part_len;
    uint8_t reply[SOCKS5_REPLY_MAX]; /* to be sent to the client now, reply_len bytes */
    size_t reply_len;
    struct target target; /* when DONE */
};

/* Takes bytes from in[len] and returns how many; stops at the request's end. Afterwards send
 * reply[reply_len], which the next call forgets. DONE: dial `target`, then send
 * socks5_result()'s bytes. BROKEN: send the reply if there is one and close. */
size_t socks5_feed(struct socks5 *s, const uint8_t *in, size_t len);
/* The final reply for an errno (0: connected). */
void socks5_result(uint8_t reply[static 10], int error);

#endif
