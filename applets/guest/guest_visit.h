/* guest_visit.h: one run of `berth guest`: which guest, what is asked of it. */
#ifndef GUEST_GUEST_VISIT_H
#define GUEST_GUEST_VISIT_H

#include "applets/service/visit.h"
#include "net/guest_dial.h"

struct guest_visit {
    struct visit base;
    struct guest_place place;
};

/* Connections of their own, by net/guest_dial.h. */
extern const struct visit_way guest_way;
const struct guest_place *guest_place_of(const struct visit *v);

/* What a dial failed with: why, and what to do. */
void visit_unreachable(struct visit *v, int error);

/* A verb's words, after `--` too, where it has no options but --help. */
struct words {
    size_t least, most; /* how many there may be */
    char *at[2];
    size_t n;
    int status; /* for the caller to return */
};
/* False: help was printed, or a line was logged. */
bool visit_words(const struct visit *v, char **argv, struct words *w);

/* Takes the words behind its name; returns the exit status. */
typedef int verb_fn(struct visit *v, char **argv);
verb_fn verb_ping, verb_exec, verb_get, verb_put, verb_sync, verb_shell, verb_connect;

#endif
