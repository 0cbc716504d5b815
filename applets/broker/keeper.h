/* keeper.h: the broker's small process that alone may create places. It starts none yet.
 *
 * Front and keeper talk frames of one message each over a socketpair: the front asks, the keeper answers in
 * the order of the questions, and checks every field again as if a stranger had sent it. Each ends when
 * the other one does. */
#ifndef BROKER_KEEPER_H
#define BROKER_KEEPER_H

#include "core/loop.h"
#include "core/stream.h"

#define KEEPER_FRAME_MAX (64u * 1024) /* bytes of one message */

/* Forks the keeper, which has nothing of this process but that socket and standard error: a descriptor for
 * keeper_attach(), -1 with errno. Before this process has a loop, or anything that is not the keeper's. */
int keeper_start(void);

struct keeper;
/* Takes the descriptor. `gone`: the keeper is, and nothing can be started any more. */
struct keeper *keeper_attach(struct loop *loop, int fd, loop_fn *gone, void *arg);
void keeper_free(struct keeper *k); /* NULL is fine */

/* The keeper's side: serves the stream, which it takes, until the front is gone; then stops the loop. */
void keeper_serve(struct loop *loop, struct stream *front);

#endif
