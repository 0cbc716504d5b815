#include "applets/service/udp_names.h"

#include <stdlib.h>

#include "core/mem.h"

struct udp_name {
    struct udp_name *next;
    struct loop *loop;
    struct target target;
    struct resolve *resolve; /* NULL once it was answered */
    struct resolved answer;
    uint64_t at_ms;
    struct list_node waiting;
};

static void forget(struct udp_names *all, struct udp_name **at)
{
    struct udp_name *n = *at;
    *at = n->next;
    all->n--;
    resolve_cancel(n->resolve);
    loop_reap(n->loop, n, free);
}

static bool is_stale(const struct udp_name *n)
{
    return !n->resolve && loop_now_ms(n->loop) - n->at_ms >= UDP_NAME_MS;
}

/* What is old goes, and of too many the oldest that nobody waits for. */
static void sweep(struct udp_names *all)
{
    struct udp_name **oldest = NULL;
    for (struct udp_name **at = &all->first; *at;) {
        if (is_stale(*at)) {
            forget(all, at);
            continue;
        }
        if (!(*at)->resolve)
            oldest = at;
        at = &(*at)->next;
    }
    if (all->n >= UDP_NAMES_MAX && oldest)
        forget(all, oldest);
}

static struct udp_name *find(const struct udp_names *all, const struct target *t)
{
    struct udp_name *n = all->first;
    while (n && !target_equal(&n->target, t))
        n = n->next;
    return n;
}

/* A wait that is told may cancel another. */
static void on_answer(void *arg, const struct resolved *addresses)
{
    struct udp_name *n = arg;
    n->resolve = NULL;
    n->answer = *addresses;
    n->at_ms = loop_now_ms(n->loop);
    while (!list_empty(&n->waiting)) {
        struct udp_name_wait *w = container_of(n->waiting.next, struct udp_name_wait, node);
        list_unlink(&w->node);
        w->fn(w->arg, &n->answer);
    }
}

static struct udp_name *look_up(struct udp_names *all, struct loop *loop, const struct target *t)
{
    struct udp_name *n = xcalloc(1, sizeof *n);
    n->loop = loop;
    n->target = *t;
    list_init(&n->waiting);
    n->next = all->first;
    all->first = n;
    all->n++;
    n->resolve = resolve_start(loop, t->host, t->port, on_answer, n);
    return n;
}

bool udp_names_find(struct udp_names *all, struct loop *loop, const struct target *t,
                    struct udp_name_wait *w, struct resolved *out)
{
    if (resolve_now(t->host, t->port, out))
        return true;
    sweep(all);
    struct udp_name *n = find(all, t);
    if (n && !n->resolve) {
        *out = n->answer;
        return true;
    }
    if (!n)
        n = look_up(all, loop, t);
    list_push(&n->waiting, &w->node);
    return false;
}

void udp_names_cancel(struct udp_name_wait *w)
{
    list_unlink(&w->node);
}

void udp_names_fini(struct udp_names *all)
{
    while (all->first)
        forget(all, &all->first);
}
