/* sweep.h: what is past its end goes from the store: join codes and tokens that prove nothing any more. */
#ifndef BROKER_SWEEP_H
#define BROKER_SWEEP_H

#include "core/store.h"

#define SWEEP_FIRST_MS 60000
#define SWEEP_MS       3600000

struct sweep;
/* Sweeps after `first_ms`, then every SWEEP_MS. Never holds the loop up: a page of the store at a time. */
struct sweep *sweep_start(struct store *s, uint32_t first_ms);
void sweep_end(struct sweep *w); /* NULL is fine */

#endif
