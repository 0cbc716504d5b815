/* errand.h: a call that takes several questions to the store: how it begins, and how it ends.
 *
 * Embedded first in the call, which is heap memory and freed when the loop's turn is over. */
#ifndef BROKER_ERRAND_H
#define BROKER_ERRAND_H

#include "core/store.h"

struct errand {
    struct store *store;
    struct store_call *asked; /* the question that is under way, if one is */
    int error;                /* what was found before anything was asked */
    struct loop_task failed;
};

/* `failed`, with the errand, comes from the loop after errand_fail(). */
void errand_begin(struct errand *e, struct store *s, loop_fn *failed);
void errand_fail(struct errand *e, int error);
/* Before its owner is told: nothing is asked any more. */
void errand_end(struct errand *e);
/* What is asked may happen all the same. */
void errand_cancel(struct errand *e);

#endif
