#include "applets/broker/sweep.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"

static const char *const prefixes[] = {"code/", "token/"};

struct sweep {
    struct store *store;
    struct store_call *asked;
    struct loop_timer next;
    size_t at; /* which prefix */
};

static void on_page(void *arg, const struct store_answer *a);

static void ask(struct sweep *w, const char *after)
{
    if (w->at < countof(prefixes))
        w->asked = store_list(w->store, prefixes[w->at], after, on_page, w);
    else
        loop_timer_set(&w->next, SWEEP_MS);
}

static bool is_over(const struct store_entry *e)
{
    int64_t expires_s = INT64_MAX;
    struct json *record = json_parse(e->value, e->len);
    if (record)
        (void)json_get_int(json_root(record), "expires", &expires_s);
    json_free(record);
    return expires_s <= time(NULL);
}

/* One that was made anew meanwhile has another revision, and stays. */
static void on_page(void *arg, const struct store_answer *a)
{
    struct sweep *w = arg;
    w->asked = NULL;
    if (a->error)
        log_error("what is past its end cannot be removed: %s", strerror(a->error));
    for (size_t i = 0; i < a->n; i++)
        if (is_over(&a->entries[i]))
            store_delete(w->store, a->entries[i].key, a->entries[i].revision, NULL, NULL);
    if (a->error || !a->more)
        w->at++;
    ask(w, a->more && !a->error ? a->entries[a->n - 1].key : NULL);
}

static void on_time(void *arg)
{
    struct sweep *w = arg;
    w->at = 0;
    ask(w, NULL);
}

struct sweep *sweep_start(struct store *s, uint32_t first_ms)
{
    struct sweep *w = xcalloc(1, sizeof *w);
    w->store = s;
    loop_timer_init(s->loop, &w->next, on_time, w);
    loop_timer_set(&w->next, first_ms);
    return w;
}

void sweep_end(struct sweep *w)
{
    if (!w)
        return;
    loop_timer_del(&w->next);
    if (w->asked)
        store_cancel(w->asked);
    free(w);
}
