/* agent.h: the agent's own: one daemon for each user, and what it is asked locally. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/service/control.h"
#include "applets/service/workload.h"
#include "core/stream.h"

#define AGENT_IDLE_MS (10u * 60 * 1000) /* the agent outlives its last master so long */

struct agent {
    struct loop *loop;
    struct control *control;
    struct workload workload; /* of all its masters' requests */
    struct quic_server *udp;  /* NULL: not wanted yet, or not to be had */
    struct client *clients;
    struct carrier *carriers; /* not yet with a session */
    struct report *reports;   /* being collected */
    struct loop_timer idle;   /* runs while no master is attached */
    uint64_t idle_ms;         /* as the last master asked */
    bool stopping;            /* ends as soon as the last client has gone */
};

/* --- report.c: List ------------------------------------------------------------------------- */

/* Asks each master that is up for its own view, and answers on `s`, which it takes. */
void report(struct agent *agent, struct stream *s);
/* Those that still wait are answered with what is known on this side. */
void report_end_all(struct agent *agent);

/* --- carrier.c: connections that bring a session ---------------------------------------------- */

/* Takes the control connection of an Attach that was let in. */
void carrier_await(struct agent *agent, struct stream *s, const struct message *attach);
void carrier_free_all(struct agent *agent);

/* --- daemon.c -------------------------------------------------------------------------------- */

/* The agent at that socket path (path_agent_socket). Says "ready" on standard output once it
 * can be reached, or one line why not. The exit status. */
int daemon_run(unsigned which);
/* Masters came or went: the idle timer follows. */
void agent_count_masters(struct agent *agent);

#endif
