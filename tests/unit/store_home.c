#include "tests/unit/store_home.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/test.h"

void store_home_init(struct store_home *h)
{
    *h = (struct store_home){.folder = "/tmp/berth-store-XXXXXX"};
    CHECK(mkdtemp(h->folder) != NULL);
    snprintf(h->path, sizeof h->path, "%s/state", h->folder);
}

struct store *store_home_open(const struct store_home *h, struct loop *loop)
{
    cleanup_free char *why = NULL;
    struct store *s = store_sqlite_open(loop, h->path, &why);
    if (!s)
        test_fail(__FILE__, __LINE__, "%s", why);
    return s;
}

void store_home_fini(const struct store_home *h)
{
    cleanup_free char *wal = xasprintf("%s-wal", h->path);
    unlink(wal);
    CHECK_INT(unlink(h->path), 0);
    CHECK_INT(rmdir(h->folder), 0);
}

void store_home_end(const struct store_home *h, struct store *s, struct loop *loop)
{
    store_close(s);
    loop_turn(loop, 0);
    loop_free(loop);
    store_home_fini(h);
}
