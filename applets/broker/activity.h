/* activity.h: the audit trail: what was done for whom, where, and what came of it.
 *
 * What is to be done is kept before it begins, as long as the machine keeps anything, and what came of it
 * after. In the store: activity/USER/ID; of each user the newest ACTIVITY_KEPT or a few more, of
 * which what has no outcome and is not under way in this process was ended by the broker's own end:
 * its outcome is `interrupted`, as activity_row.h tells it. */
#ifndef BROKER_ACTIVITY_H
#define BROKER_ACTIVITY_H

#include "applets/broker/activity_row.h"

#define ACTIVITY_KEPT 10000u

struct activity;
struct activity *activity_new(struct store *s);
/* After the store was closed. NULL is fine. */
void activity_free(struct activity *a);

struct activity_what {
    const struct principal *who;
    enum activity_kind kind;
    const char *agent, *hostname; /* where; "" where that is nowhere, or not known */
    const char *what; /* the command, the path; "" where there is none. Long ones are cut */
};

/* Once, from the loop, unless activity_end() comes first. 0: it is kept, and may begin; or an errno of the
 * store's: it must not, and the entry is gone. */
struct activity_entry;
typedef void activity_fn(void *arg, int error);
struct activity_entry *activity_begin(struct activity *a, const struct activity_what *what,
                                      activity_fn *fn, void *arg);
/* Takes the entry. `exit_code`: ACTIVITY_NO_CODE where there is none. */
void activity_end(struct activity_entry *e, enum activity_outcome outcome, int exit_code);
/* What has happened by now, at once. */
void activity_note(struct activity *a, const struct activity_what *what);

/* How often that came of that since the process began; of ACTIVITY_RUNNING, how often it began. */
uint64_t activity_count(const struct activity *a, enum activity_kind kind,
                        enum activity_outcome outcome);
/* How long it took until a row was kept, microseconds in all, and how often. */
struct activity_wait {
    uint64_t us, n;
};
struct activity_wait activity_waited(const struct activity *a);

/* Whether this process will still write its outcome. */
bool activity_is_under_way(const struct activity *a, const struct principal *who, uint64_t id);

/* Who hears of each of the user's rows when it is kept: at its beginning and at its end. Embedded;
 * removed twice is fine. */
struct activity_listener {
    struct activity_listener *next, **at; /* inside */
    void (*fn)(void *arg, const struct activity_row *row);
    void *arg;
};
/* `fn` and `arg` are filled in. */
void activity_listen(struct activity *a, const struct principal *who, struct activity_listener *l);
void activity_unlisten(struct activity_listener *l);

#endif
