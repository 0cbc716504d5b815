/* tally.h: how many of something each principal has at the moment. */
#ifndef BROKER_TALLY_H
#define BROKER_TALLY_H

#include <stdint.h>

#include "applets/broker/people.h"

#define TALLY_SLOTS 1024u

struct tally_row {
    char id[PEOPLE_ID_LEN + 1];
    unsigned n;
    size_t held;            /* bytes of memory: see room.h */
    struct tally_row *next; /* of the same slot; inside */
};

/* Zeroed is ready; nothing is left of it when all was given back. */
struct tally {
    struct tally_row *slots[TALLY_SLOTS];
    uint64_t n; /* of all */
};

/* One more of that principal's, until tally_give(). NULL: there are `max` already. */
struct tally_row *tally_take(struct tally *t, const char *id, unsigned max);
/* NULL is fine. */
void tally_give(struct tally *t, struct tally_row *row);

#endif
