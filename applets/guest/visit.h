/* visit.h: one run of `berth guest`: which guest, what is asked of it, how it ends.
 *
 * A verb sets its operation up, runs the loop until visit_end(), and cleans up whatever the
 * outcome was. SIGINT, SIGTERM, SIGHUP and SIGQUIT end it too. */
#ifndef GUEST_VISIT_H
#define GUEST_VISIT_H

#include <stdbool.h>
#include <stddef.h>

#include "net/guest_dial.h"

struct visit {
    struct loop *loop;
    struct guest_place place;
    char *where;      /* the place as text */
    const char *verb; /* its name */
    int failure;      /* the exit status where berth itself fails */
    bool ended;
};

/* The first call decides what visit_run() returns. */
void visit_end(struct visit *v, int status);
int visit_run(struct visit *v);

/* One line for a person and the end with v->failure; silent once the end was decided. */
void visit_fail(struct visit *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What a dial, or then its connection, failed with: why, and what to do. */
void visit_unreachable(struct visit *v, int error);
void visit_lost(struct visit *v, int error);

/* What standard output or error failed with. One that nobody reads any more is no failure to
 * tell of: the end is that of any program in a pipeline, 128 + SIGPIPE. */
void visit_output_failed(struct visit *v, const char *name, int error);

/* A verb's words, after `--` too, where it has no options but --help. */
struct words {
    size_t least, most; /* how many there may be */
    char *at[2];
    size_t n;
    int status; /* for the caller to return */
};
/* False: help was printed, or a line was logged. */
bool visit_words(const struct visit *v, char **argv, struct words *w);

/* Whether a word can be sent as it is; false: a line was logged. */
bool visit_sendable(const struct visit *v, const char *word);

/* Takes the words behind its name; returns the exit status. */
typedef int verb_fn(struct visit *v, char **argv);
verb_fn verb_ping, verb_exec, verb_get, verb_put, verb_sync, verb_shell, verb_connect;

#endif
