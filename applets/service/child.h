/* child.h: a command that runs for a request: its process group, its terminal or pipes, its
 * time limit. PROTOCOLS, section 2: Exec and ExecStream.
 *
 * A command is over when its own process has ended and all that it wrote has been passed
 * on. What it left running in the background may hold its pipes open for ever: that is
 * neither waited for nor killed. */
#ifndef SERVICE_CHILD_H
#define SERVICE_CHILD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "applets/service/command.h"
#include "core/loop.h"

#define CHILD_GRACE_MS 2000 /* between SIGHUP and SIGKILL */

struct child;

/* Told from the loop, or from within child_resume(). After the last two, child_free() is due. */
struct child_events {
    /* Channel 1 or 2; a pty has only 1. len 0: the command and its children closed it. */
    void (*output)(void *arg, uint8_t channel, const void *data, size_t len);
    void (*drained)(void *arg);            /* child_room() is positive again; may be NULL */
    void (*exited)(void *arg, int status); /* waitpid's; after all output */
    void (*timed_out)(void *arg);          /* child_free() will send SIGKILL */
};

/* Runs it as the leader of a session of its own. NULL with *why. */
struct child *child_start(struct loop *loop, const struct command *command,
                          const struct child_events *events, void *arg, struct fault *why);
/* No event comes after it. A command that still runs gets SIGHUP, as a group, and SIGKILL
 * after CHILD_GRACE_MS; its exit is collected by the loop. NULL is fine. */
void child_free(struct child *c);
/* The same without the SIGHUP and the grace. */
void child_kill(struct child *c);

pid_t child_pid(const struct child *c);
/* To its whole group: 0, or -1 with errno. ESRCH: its own process has ended, and by now the
 * group's number may be another's. */
int child_signal(const struct child *c, int signo);

/* Standard input. What is written beyond the room is kept. Once nothing reads it any more,
 * or there is none, the room is unlimited and what is written is dropped. */
size_t child_room(const struct child *c);
void child_write(struct child *c, const void *data, size_t len);
/* Its end of file. A terminal gets the character that means it, so that only a program that
 * reads by lines takes it for that. */
void child_end_input(struct child *c);

/* Stops passing output on, which holds the command up; and goes on. */
void child_pause(struct child *c);
void child_resume(struct child *c);

/* Without effect when there is no pty. */
void child_resize(struct child *c, uint16_t rows, uint16_t cols);

#endif
