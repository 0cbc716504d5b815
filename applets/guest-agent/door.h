/* door.h: one place where the guest agent listens, and how many connections it serves there.
 *
 * DOOR_SERVED connections are served at once; those beyond them are accepted, so that they are
 * not refused, and wait for their turn unread. Beyond DOOR_WAITING of those the kernel's backlog
 * is where they wait.
 *
 * Who reads nothing of an answer for DOOR_STALL_MS has lost its connection: not every vsock
 * device tells that its host's side was closed when the host had still to take something. Dial
 * and ExecStream may stand still for as long as they like. */
#ifndef GUEST_AGENT_DOOR_H
#define GUEST_AGENT_DOOR_H

#include <stdbool.h>

#include "applets/service/service.h"
#include "net/guest_dial.h"

#define DOOR_SERVED   64
#define DOOR_WAITING  1024
#define DOOR_BACKLOG  128
#define DOOR_STALL_MS 60000

struct door {
    struct guest *guest;
    struct service service; /* its owner is the door */
    struct listener *listener;
    struct waiting *first, **last;
    unsigned serving, waiting;
    bool local; /* over vsock: processes of this machine may connect, and not the host alone */
    struct loop_task admit;
};

void door_init(struct door *d, struct guest *guest, const struct service_row *rows);
void door_fini(struct door *d);

/* Both return 0, or -1 with errno, as listener_new() and vsock_listen(). */
int door_open_unix(struct door *d, const struct target *path);
int door_open_vsock(struct door *d, uint32_t port);

#endif
