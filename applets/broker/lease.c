#include "applets/broker/lease.h"

#include <string.h>
#include <time.h>

#define LOOK_S 3600 /* the clock may be set meanwhile */

const char *lease_why(enum lease_end end)
{
    return end == LEASE_EXPIRED ? "has expired" : "was revoked, or its user removed";
}

/* ---- where they are ---- */

static void put(struct lease **at, struct lease *l)
{
    l->at = at;
    l->next = *at;
    if (l->next)
        l->next->at = &l->next;
    *at = l;
}

void lease_end(struct lease *l)
{
    if (!l->at)
        return;
    *l->at = l->next;
    if (l->next)
        l->next->at = l->at;
    l->next = NULL;
    l->at = NULL;
}

/* ---- how they end ---- */

static void tell(struct lease **over, enum lease_end end)
{
    while (*over) {
        struct lease *l = *over;
        lease_end(l);
        l->fn(l->arg, end);
    }
}

static void await(struct leases *all, int64_t until_s)
{
    int64_t left_s = until_s - time(NULL);
    left_s = left_s < 0 ? 0 : left_s > LOOK_S ? LOOK_S : left_s;
    uint64_t left_ms = (uint64_t)left_s * 1000;
    if (!loop_timer_armed(&all->next) || loop_now_ms(all->next.loop) + left_ms < all->next.due_ms)
        loop_timer_set(&all->next, left_ms);
}

static void on_time(void *arg)
{
    struct leases *all = arg;
    struct lease *over = NULL, *next;
    int64_t now_s = time(NULL);
    for (struct lease *l = all->first; l; l = next) {
        next = l->next;
        if (l->proof.until_s > now_s) {
            await(all, l->proof.until_s);
            continue;
        }
        lease_end(l);
        put(&over, l);
    }
    tell(&over, LEASE_EXPIRED);
}

void leases_revoke(struct leases *all, const struct principal *who, const uint8_t *token)
{
    struct lease *over = NULL, *next;
    for (struct lease *l = all->first; l; l = next) {
        next = l->next;
        if (strcmp(l->proof.who.id, who->id) != 0 ||
            (token && memcmp(l->proof.token, token, SHA256_LEN) != 0))
            continue;
        lease_end(l);
        put(&over, l);
    }
    tell(&over, LEASE_REVOKED);
}

/* ---- their life ---- */

void leases_init(struct leases *all, struct loop *loop)
{
    loop_timer_init(loop, &all->next, on_time, all);
}

void leases_fini(struct leases *all)
{
    loop_timer_del(&all->next);
}

void lease_begin(struct leases *all, struct lease *l, const struct proof *proof)
{
    lease_end(l);
    l->proof = *proof;
    put(&all->first, l);
    await(all, proof->until_s);
}
