/* room.h: the memory that calls take beyond what each of them needs anyway: bounded for each user and for all.
 *
 * What a call takes is its own until it ends, or has no more need of it. One user has at most ROOM_EACH, and
 * never more than what is left then: however many take what they can get, some is there for the next. */
#ifndef BROKER_ROOM_H
#define BROKER_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/loop.h"

#define ROOM_EACH    ((size_t)64 << 20) /* bytes */
#define ROOM_ALL     ((size_t)512 << 20)
#define ROOM_SURE    ((size_t)16 << 10) /* of each answer, each question: for these nobody asks */
#define ROOM_WAIT_MS 60000 /* for it: as long as others may leave their answers unread */

struct call;
struct tally_row;

struct room {
    size_t each, all; /* ROOM_EACH and ROOM_ALL but in tests */
    uint32_t wait_ms;
    size_t taken;
    struct room_wait *first, **last; /* in the order in which they came */
    struct loop_task wake;
};

void room_init(struct room *m, struct loop *loop);
void room_fini(struct room *m);

/* For the call's user; nobody's calls are bounded by what they are. False: there is not so much now. */
bool call_hold(struct call *c, size_t len);
/* So much less than it holds: before its end, where that is not needed any more. */
void call_let_go(struct call *c, size_t len);
/* What call_end() does. */
void room_give(struct room *m, struct tally_row *row, size_t len);
/* Answers that there is none: 429. */
void call_no_room(struct call *c);

/* Embedded and zeroed. */
struct room_wait {
    struct room_wait *next, **at; /* at NULL: it does not wait */
    struct call *call;
    void (*fn)(struct call *c);
};
/* Tells fn() from the loop, once, when there may be more than before. */
void room_await(struct room *m, struct room_wait *w);
void room_forget(struct room *m, struct room_wait *w); /* twice is fine */

#endif
