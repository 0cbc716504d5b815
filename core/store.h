/* store.h: named values with revisions: what is to outlive the process.
 *
 * - A key is 1 to STORE_KEY_MAX bytes of '!' to '~'; a value is up to STORE_VALUE_MAX bytes of anything.
 * - Each change gives its key a new revision, higher than every one before it in this store, also where
 *   the key was deleted meanwhile. So "put if the revision is still N" is all that order is built on.
 * - Every call answers once, from the loop, in the order of the calls; a change is answered when it would
 *   outlive the machine's power. Two keys never change together.
 * - Keys and values that are given are copied; those of an answer are good during the callback.
 *
 * Errors: ENOENT; EEXIST: the revision is another one (or the key is there, for revision 0); EMLINK: there are
 * as many as there may be; EINVAL: no key; EMSGSIZE: the value is too long; ENOSPC, EIO and the like: it did
 * not happen. */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/loop.h"

#define STORE_KEY_MAX   512u
#define STORE_VALUE_MAX (1024u * 1024)
#define STORE_LIST_MAX  1000u      /* entries of one answer … */
#define STORE_LIST_ROOM (4u << 20) /* … whose values are not more than that, but the first */
#define STORE_ANY       UINT64_MAX /* whatever the revision, and if there is none */

struct store;
struct store_call;
struct store_watch;

struct store_entry {
    const char *key;
    const void *value; /* NULL in a change: it was deleted */
    size_t len;
    uint64_t revision;
};

struct store_answer {
    int error;         /* 0, or an errno */
    uint64_t revision; /* of a change */
    const struct store_entry *entries;
    size_t n;
    bool more; /* of a list: there are others behind the last */
};

typedef void store_fn(void *arg, const struct store_answer *answer);
/* `entry` NULL with error 0: all that was there when the watch began has been told; what follows are
 * changes. With an error the watch is over, and still to be ended. */
typedef void store_watch_fn(void *arg, int error, const struct store_entry *entry);

/* `fn` may be NULL. Each returns what can be cancelled until it is answered. */

struct store_call *store_get(struct store *s, const char *key, store_fn *fn, void *arg);
/* `entry->revision` is the one that is to be there still; 0: only where there is none. */
struct store_call *store_put(struct store *s, const struct store_entry *entry, store_fn *fn,
                             void *arg);
/* The same; a key that is not there only where its folder (the key up to its last '/') has fewer than `max`. */
struct store_call *store_put_within(struct store *s, const struct store_entry *entry, uint32_t max,
                                    store_fn *fn, void *arg);
struct store_call *store_delete(struct store *s, const char *key, uint64_t revision, store_fn *fn,
                                void *arg);
/* The keys that begin with `prefix` ("": all), in the order of their bytes, behind `after` if that is
 * not NULL. */
struct store_call *store_list(struct store *s, const char *prefix, const char *after, store_fn *fn,
                              void *arg);
/* Nothing is told any more; what was asked for may happen all the same. */
void store_cancel(struct store_call *call);

/* What is there under `prefix`, and each change from now on; one may be told twice. */
struct store_watch *store_watch(struct store *s, const char *prefix, store_watch_fn *fn, void *arg);
void store_watch_end(struct store_watch *w); /* NULL is fine */

/* What was asked for still happens; nothing is told. Watches end. NULL is fine. */
void store_close(struct store *s);

/* By SQLite, in one file and its -wal beside it, mode 0600. This process alone has it: NULL with a line
 * in *why (heap), which names the file, if another one does, if it is another user's, another program's,
 * a newer version's, or damaged. */
struct store *store_sqlite_open(struct loop *loop, const char *path, char **why);

/* For the kinds: embed `struct store` first. */

enum store_verb { STORE_GET, STORE_PUT, STORE_DELETE, STORE_LIST };

struct store_call {
    struct store_call *next;
    enum store_verb verb;
    char *key;      /* or prefix */
    char *after;    /* or NULL */
    uint8_t *value; /* [len] */
    size_t len;
    uint64_t revision;
    uint32_t max; /* of a put: in its folder; 0: as many as they are */
    store_fn *fn; /* NULL: nobody waits */
    void *arg;
    int error; /* what it is answered with, whatever the kind finds */
};

struct store_ops {
    void (*ask)(struct store *s, struct store_call *call); /* takes it */
    void (*close)(struct store *s);                        /* must end in store_fini() */
};

struct store {
    const struct store_ops *ops;
    struct loop *loop;
    struct store_watch *watches;
};

/* Answers, and frees the call. */
void store_answer(struct store_call *call, const struct store_answer *answer);
/* Tells those who watch. */
void store_changed(struct store *s, const struct store_entry *entry);
void store_fini(struct store *s);

#endif
