/* init.h: life as PID 1, of a virtual machine or of a container: a process that does nothing but
 * what only PID 1 can do, and the agent as its one child, started again whenever it dies.
 *
 * SIGTERM, SIGINT (which is also ctrl-alt-del) and SIGUSR2 power off: everybody gets SIGTERM and
 * some time, then SIGKILL; file systems are synced and let go of. In a container, where the
 * machine is not ours to power off, it exits, also with the status of an agent that exited. */
#ifndef GUEST_AGENT_INIT_H
#define GUEST_AGENT_INIT_H

/* Mounts what is missing, prepares the environment and runs `agent`, with `argv`, in a child
 * process, again and again. Returns the exit status, and only in a container; 1 at once when
 * this process is not PID 1. */
int init_main(int (*agent)(char **argv), char **argv);

/* Whether init_power_off() would be permitted: 0, or -1 with errno EPERM. */
int init_may_power_off(void);

/* Has the machine powered off in order, by whoever is its PID 1: our own, or systemd; where it is
 * neither, syncs and powers off at once. 0: it is on its way. -1 with errno. */
int init_power_off(void);

#endif
