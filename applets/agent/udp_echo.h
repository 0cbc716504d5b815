/* udp_echo.h: what `berth doctor` runs on a host for a few seconds: does UDP get here? */
#ifndef AGENT_UDP_ECHO_H
#define AGENT_UDP_ECHO_H

/* Binds a port as an agent does, and answers datagrams that begin with a token that only this
 * program's standard output has told, each with one as long (udp_token.h). Says there, line by
 * line, "address=…" for each address of this machine, the one that ssh came to first, then
 * "udp=PORT TOKEN" (hex), and "firewall=", "firewall_seen=", "firewall_remedy=" once known.
 * Ends when told, when nobody reads on, or after that time. The exit status. */
int udp_echo(unsigned secs);

#endif
