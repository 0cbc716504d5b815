/* place.h: where a user's commands run. A place is found for the user who has proven who they are, by its
 * name or as the only one, and a stream to it takes one request (PROTOCOLS, section 2). There is no other
 * way to run anything, and no place that stands in for one that is missing. */
#ifndef BROKER_PLACE_H
#define BROKER_PLACE_H

#include "applets/broker/call.h"

struct place;

/* A kind of place: the user's own joined agent. */
struct place_kind {
    struct stream *(*connect)(const struct place *p); /* NULL with errno */
};

/* Good until the loop turns: what is open by then lives on its own. */
struct place {
    const struct place_kind *kind;
    void *of;
    char name[DEVICE_NAME_MAX + 1];
    char hostname[256]; /* as its agent says; "" where it does not */
};

/* 0; or -1 with ENOENT: none (of that name) is connected; ENOTUNIQ: `name` is NULL and there are several. */
int place_find(struct front *f, const struct principal *who, const char *name, struct place *p);
/* The same for who asks in a call, which is answered where there is none: -1. */
int place_of_call(struct call *c, const char *name, struct place *p);
/* A stream for one request; NULL with errno. Its ERROR or an early end is the loss of the place. */
struct stream *place_connect(const struct place *p);

#endif
