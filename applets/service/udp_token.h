/* udp_token.h: the datagrams by which `berth doctor` and a host try UDP.
 *
 *     token[16] | u8 kind | u8 number | padding
 *
 * An answer is its question with another kind: as long, so that nobody can be made to send more
 * than was spent on asking. */
#ifndef SERVICE_UDP_TOKEN_H
#define SERVICE_UDP_TOKEN_H

#define UDP_TOKEN_LEN   16
#define UDP_TOKEN_SMALL 32   /* bytes of a datagram; none is shorter */
#define UDP_TOKEN_LARGE 1200 /* what QUIC needs (RFC 9000 §14) */
#define UDP_TOKEN_SECS  4    /* how long answers are given */

enum { UDP_TOKEN_ASK = 'Q', UDP_TOKEN_ANSWER = 'A', UDP_TOKEN_BYE = 'B' };

#endif
