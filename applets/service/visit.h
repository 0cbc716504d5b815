/* visit.h: one run of a client that asks an agent for one thing: which agent, how it ends.
 *
 * Whoever asks sets its operation up, runs the loop until visit_end(), and cleans up whatever the
 * outcome was. SIGINT, SIGTERM, SIGHUP and SIGQUIT end it too. */
#ifndef SERVICE_VISIT_H
#define SERVICE_VISIT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/loop.h"
#include "core/stream.h"

struct visit;
/* Once, from the loop: a stream to the agent. Where there is none to be had the visit was ended instead. */
typedef void visit_dialled_fn(void *arg, struct stream *s);

/* How a stream to the agent is had. */
struct visit_way {
    void *(*dial)(struct visit *v, visit_dialled_fn *fn, void *arg);
    void (*cancel)(void *dialling); /* while nothing was told, even when the visit has ended */
};

struct visit {
    struct loop *loop;
    const struct visit_way *way;
    const char *where;    /* the agent's place as text */
    const char *peer;     /* what is there: "a guest agent" */
    const char *verb;     /* what is asked for */
    uint32_t frame_limit; /* bytes of a frame, both ways */
    int failure;          /* the exit status where berth itself fails */
    bool ended;
};

/* SIGINT and the like end it, but one that is ignored, as under nohup. */
void visit_heed_signals(struct visit *v);

/* The first call decides what visit_run() returns. */
void visit_end(struct visit *v, int status);
int visit_run(struct visit *v);

/* One line for a person and the end with v->failure; silent once the end was decided. */
void visit_fail(struct visit *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What its connection failed with. */
void visit_lost(struct visit *v, int error);

/* What standard output or error failed with. One that nobody reads any more is no failure to
 * tell of: the end is that of any program in a pipeline, 128 + SIGPIPE. */
void visit_output_failed(struct visit *v, const char *name, int error);

/* Whether a word can be sent as it is; false: a line was logged. */
bool visit_sendable(const char *verb, const char *word);

#endif
