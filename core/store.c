/* What every kind of store has in common: calls, and who watches. */
#include "core/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct store_watch {
    struct store_watch *next;
    struct store *s;
    struct loop *loop;
    char *prefix;
    store_watch_fn *fn;
    void *arg;
    struct store_call *page; /* under way */
    bool ended;
};

static bool key_ok(const char *key)
{
    size_t len = 0;
    for (; key[len]; len++)
        if (key[len] < '!' || key[len] > '~')
            return false;
    return len <= STORE_KEY_MAX;
}

/* Calls. */

static struct store_call *call_new(enum store_verb verb, const char *key, store_fn *fn, void *arg)
{
    struct store_call *call = xcalloc(1, sizeof(*call));
    bool named = key_ok(key) && (*key || verb == STORE_LIST);
    call->verb = verb;
    call->key = xstrdup(named ? key : "");
    call->error = named ? 0 : EINVAL;
    call->fn = fn;
    call->arg = arg;
    return call;
}

static struct store_call *ask(struct store *s, struct store_call *call)
{
    s->ops->ask(s, call);
    return call;
}

struct store_call *store_get(struct store *s, const char *key, store_fn *fn, void *arg)
{
    return ask(s, call_new(STORE_GET, key, fn, arg));
}

struct store_call *store_put(struct store *s, const struct store_entry *entry, store_fn *fn,
                             void *arg)
{
    return store_put_within(s, entry, 0, fn, arg);
}

struct store_call *store_put_within(struct store *s, const struct store_entry *entry, uint32_t max,
                                    store_fn *fn, void *arg)
{
    struct store_call *call = call_new(STORE_PUT, entry->key, fn, arg);
    call->max = max;
    call->revision = entry->revision;
    if (entry->len > STORE_VALUE_MAX) {
        call->error = EMSGSIZE;
    } else {
        call->len = entry->len;
        call->value = xmalloc(call->len + 1);
        if (call->len)
            memcpy(call->value, entry->value, call->len);
    }
    return ask(s, call);
}

struct store_call *store_delete(struct store *s, const char *key, uint64_t revision, store_fn *fn,
                                void *arg)
{
    struct store_call *call = call_new(STORE_DELETE, key, fn, arg);
    call->revision = revision;
    return ask(s, call);
}

struct store_call *store_list(struct store *s, const char *prefix, const char *after, store_fn *fn,
                              void *arg)
{
    struct store_call *call = call_new(STORE_LIST, prefix, fn, arg);
    call->after = after ? xstrdup(after) : NULL;
    return ask(s, call);
}

void store_cancel(struct store_call *call)
{
    if (call)
        call->fn = NULL;
}

void store_answer(struct store_call *call, const struct store_answer *answer)
{
    if (call->fn)
        call->fn(call->arg, answer);
    free(call->key);
    free(call->after);
    free(call->value);
    free(call);
}

/* Watches. */

static bool tell(struct store_watch *w, int error, const struct store_entry *entry)
{
    if (!w->ended)
        w->fn(w->arg, error, entry);
    return !w->ended;
}

static void leave(struct store_watch *w)
{
    struct store_watch **at = &w->s->watches;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
    w->s = NULL;
}

static void take_page(void *arg, const struct store_answer *a)
{
    struct store_watch *w = arg;
    w->page = NULL;
    if (a->error) {
        leave(w);
        tell(w, a->error, NULL);
        return;
    }
    for (size_t i = 0; i < a->n; i++)
        if (!tell(w, 0, &a->entries[i]))
            return;
    if (a->more) {
        w->page = store_list(w->s, w->prefix, a->entries[a->n - 1].key, take_page, w);
        return;
    }
    tell(w, 0, NULL);
}

struct store_watch *store_watch(struct store *s, const char *prefix, store_watch_fn *fn, void *arg)
{
    struct store_watch *w = xcalloc(1, sizeof(*w));
    w->s = s;
    w->loop = s->loop;
    w->prefix = xstrdup(prefix);
    w->fn = fn;
    w->arg = arg;
    w->next = s->watches;
    s->watches = w;
    w->page = store_list(s, prefix, NULL, take_page, w);
    return w;
}

static void free_watch(void *p)
{
    struct store_watch *w = p;
    free(w->prefix);
    free(w);
}

void store_watch_end(struct store_watch *w)
{
    if (!w || w->ended)
        return;
    w->ended = true;
    store_cancel(w->page);
    if (w->s)
        leave(w);
    loop_reap(w->loop, w, free_watch);
}

/* Also to a watch whose pages are under way: what changes in one that was told is in none that comes.
 * Who ends a watch here, its own or another's, leaves its memory and its `next` till the turn ends. */
void store_changed(struct store *s, const struct store_entry *entry)
{
    for (struct store_watch *w = s->watches, *next; w; w = next) {
        next = w->next;
        if (!strncmp(entry->key, w->prefix, strlen(w->prefix)))
            tell(w, 0, entry);
    }
}

/* Those who watch still hold their watch. */
void store_fini(struct store *s)
{
    for (struct store_watch *w = s->watches; w; w = w->next) {
        store_cancel(w->page);
        w->page = NULL;
        w->s = NULL;
    }
    s->watches = NULL;
}

void store_close(struct store *s)
{
    if (s)
        s->ops->close(s);
}
