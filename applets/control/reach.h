/* reach.h: the control sockets that may be this user's here: the agents' and the masters'. */
#ifndef CONTROL_REACH_H
#define CONTROL_REACH_H

#include <stdbool.h>
#include <stddef.h>

#include "applets/service/control.h"

struct place_here {
    char *path;
    bool agent; /* else a master */
};

struct reach {
    struct place_here *at;
    size_t n;
};

/* Those that exist; whether anybody answers is seen by asking. */
struct reach reach_find(void);
void reach_fini(struct reach *r);

/* Asks one. 0 and *answer; -1 where nobody lives (silently), or another error: one line. */
int reach_ask(const struct place_here *p, struct draft *request, struct message *answer);
/* The same, on a connection that is handed out: its end of file is the process's end. */
int reach_ask_kept(const struct place_here *p, struct draft *request, struct message *answer,
                   int *fd);
/* Waits for that end, at most 5 s. */
void reach_await_end(int fd);

/* The text of an Error, or NULL when it is none. */
const char *reach_refusal(const struct message *answer);

#endif
