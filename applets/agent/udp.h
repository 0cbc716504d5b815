/* udp.h: the agent's UDP port, over which QUIC reaches all of its sessions. */
#ifndef AGENT_UDP_H
#define AGENT_UDP_H

#include <stdint.h>

#include "applets/agent/agent.h"
#include "core/message.h"

/* As a session's Hello asks: the first one decides about the range. Without a port, or where none
 * is wanted, sessions run over ssh. */
void udp_open(struct agent *agent, const struct message *hello);
uint16_t udp_port(const struct agent *agent); /* 0: there is none */
/* This machine's addresses at which it may be reached, as JSON strings; what ssh connected to
 * comes first, if it is known. */
void udp_put_addresses(struct draft *d, const char *ssh);
void udp_close(struct agent *agent);

#endif
