/* activity_keep.h: keeps a user's trail short: what is older than the newest ACTIVITY_KEPT rows is deleted.
 *
 * Counting would be to read them all. Instead the id of every ACTIVITY_STEP-th row is remembered: when
 * there are more of these marks than a trail is long, what lies behind the oldest is cut off. After
 * the broker's start the marks of what is there already are found by one walk, when the first row is added.
 * So a trail has up to three steps more than it keeps. */
#ifndef BROKER_ACTIVITY_KEEP_H
#define BROKER_ACTIVITY_KEEP_H

#include "applets/broker/activity.h"

#define ACTIVITY_STEP  250u
#define ACTIVITY_MARKS (ACTIVITY_KEPT / ACTIVITY_STEP)

/* Zeroed but for the first two. Its memory outlives what it asks of the store. */
struct activity_keep {
    struct store *store;
    struct principal who;
    uint64_t marks[ACTIVITY_MARKS + 1]; /* the oldest first */
    size_t n;
    unsigned fresh;  /* rows since the last mark */
    unsigned walked; /* rows of the walk since its last mark */
    bool begun, cutting;
};

/* A row was kept, later than all before. */
void activity_kept(struct activity_keep *k, uint64_t id);

#endif
