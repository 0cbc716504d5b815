#include "applets/broker/deed.h"

#include <errno.h>
#include <stdio.h>

/* Whoever has taken the exchange says so themselves. */
static void must_not_begin(struct deed *d, int error)
{
    struct call *c = d->call;
    if (error)
        d->entry = NULL;
    deed_end(d, ACTIVITY_LOST, ACTIVITY_NO_CODE);
    if (!c->exchange)
        d->fn(c, NULL, NULL);
    else if (error)
        call_fault(c, "the audit trail", error);
    else
        call_error(c, API_AGENT_DISCONNECTED, "The agent %s is gone.", d->agent);
}

/* The agent may have gone since it was found. */
static void on_kept(void *arg, int error)
{
    struct deed *d = arg;
    struct call *c = d->call;
    struct place place;
    struct stream *s = NULL;
    if (!error && place_find(c->front, &c->who, d->agent, &place) == 0)
        s = place_connect(&place);
    if (s)
        d->fn(c, &place, s);
    else
        must_not_begin(d, error);
}

int deed_begin(struct deed *d, struct call *c, const char *agent, enum activity_kind kind,
               const char *what)
{
    struct place place;
    if (place_of_call(c, agent, &place) < 0)
        return -1;
    d->call = c;
    snprintf(d->agent, sizeof d->agent, "%s", place.name);
    const struct activity_what entry = {.who = &c->who,
                                        .kind = kind,
                                        .agent = place.name,
                                        .hostname = place.hostname,
                                        .what = what};
    d->entry = activity_begin(c->front->activity, &entry, on_kept, d);
    return 0;
}

void deed_end(struct deed *d, enum activity_outcome outcome, int exit_code)
{
    struct activity_entry *entry = d->entry;
    d->entry = NULL;
    if (entry)
        activity_end(entry, outcome, exit_code);
}

/* The store answers in the order of the questions. */
struct store_call *deed_await(const struct deed *d, store_fn *fn, void *arg)
{
    return store_get(d->call->front->store, "-", fn, arg);
}
