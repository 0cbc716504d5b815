/* deed.h: one thing that a call has done on a place of who asks: in the audit trail before it begins, on a
 * stream of its own, its outcome in the trail after. */
#ifndef BROKER_DEED_H
#define BROKER_DEED_H

#include "applets/broker/activity.h"
#include "applets/broker/place.h"

/* The place, and a stream to it, which is the callee's. NULL, where the call's exchange was taken: it must not
 * begin, and the deed has ended. */
typedef void deed_fn(struct call *c, const struct place *p, struct stream *s);

/* Embedded in the call's state. */
struct deed {
    struct call *call;
    struct activity_entry *entry; /* NULL: its outcome is kept, or is another's to keep */
    char agent[DEVICE_NAME_MAX + 1];
    deed_fn *fn;
};

/* On the agent of that name, or the only one; `what` is the trail's. Then fn() from the loop. Where that is
 * not to be the call is answered: with -1 by now, or later, once its abort() has had the deed ended. */
int deed_begin(struct deed *d, struct call *c, const char *agent, enum activity_kind kind,
               const char *what);
/* The outcome; without effect the second time, or on a zeroed one. */
void deed_end(struct deed *d, enum activity_outcome outcome, int exit_code);
/* Tells fn() once the outcomes that were there before are kept: nobody is told of an end that a crash could
 * undo. To be cancelled by store_cancel() until then. */
struct store_call *deed_await(const struct deed *d, store_fn *fn, void *arg);

#endif
