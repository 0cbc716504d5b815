/* attach.h: what the ssh connection runs: finds or starts this user's agent and hands it the
 * connection. */
#ifndef AGENT_ATTACH_H
#define AGENT_ATTACH_H

/* Passes descriptors 0 and 1 to the agent of this build, starting one if there is none, and
 * returns when the agent is done with them. The exit status; one line was logged when it is
 * not 0. */
int attach(void);

#endif
