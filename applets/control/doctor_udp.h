/* doctor_udp.h: UDP tried from here, while the host answers (udp_token.h). */
#ifndef CONTROL_DOCTOR_UDP_H
#define CONTROL_DOCTOR_UDP_H

#include <poll.h>
#include <sys/types.h>

#include "applets/control/doctor_check.h"

struct doctor_udp;

/* By what the host has said of its port and addresses, and where the ssh process is connected to.
 * NULL: that is not enough. */
struct doctor_udp *doctor_udp_new(const struct doctor_report *r, pid_t ssh);
void doctor_udp_free(struct doctor_udp *u); /* NULL is fine */
/* What to wait for: fills fds[DOCTOR_WAYS] and says how many; *due_ms is lowered to the time of
 * CLOCK_MONOTONIC at which there is something to do anyway. NULL: nothing. */
size_t doctor_udp_wait(const struct doctor_udp *u, struct pollfd *fds, uint64_t *due_ms);
/* Reads what came, asks again, and lets the host go once all is known. */
void doctor_udp_turn(struct doctor_udp *u);
void doctor_udp_report(const struct doctor_udp *u, struct doctor_side *side);

#endif
