/* store_home.h: a store of a test's own, in a folder that goes with it. */
#ifndef TESTS_UNIT_STORE_HOME_H
#define TESTS_UNIT_STORE_HOME_H

#include "core/store.h"

struct store_home {
    char folder[64], path[80];
};

void store_home_init(struct store_home *h);
/* Also again, once it was closed. Fails the test where it cannot be opened. */
struct store *store_home_open(const struct store_home *h, struct loop *loop);
/* The store is closed by then, and the loop has turned. */
void store_home_fini(const struct store_home *h);
/* All of it: the store is closed, its loop freed. */
void store_home_end(const struct store_home *h, struct store *s, struct loop *loop);

#endif
