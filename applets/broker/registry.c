#include "applets/broker/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

/* Ids are random, so a few of their bits are as good a hash as any. */
struct principal_row {
    char id[PEOPLE_ID_LEN + 1];
    struct agent_link *links;
    struct principal_row *next; /* of the same slot */
};

struct registry {
    struct principal_row **slots;
    size_t slot_count; /* a power of two */
    size_t row_count, link_count;
};

#define SLOTS_FIRST 64

struct registry *registry_new(void)
{
    struct registry *r = xcalloc(1, sizeof *r);
    r->slot_count = SLOTS_FIRST;
    r->slots = xcalloc(r->slot_count, sizeof(struct principal_row *));
    return r;
}

void registry_free(struct registry *r)
{
    if (!r)
        return;
    free((void *)r->slots);
    free(r);
}

size_t registry_count(const struct registry *r)
{
    return r->link_count;
}

/* ---- rows ---- */

static size_t slot_of(const struct registry *r, const char *id)
{
    size_t hash = 0;
    for (size_t i = 0; i < PEOPLE_ID_LEN; i++)
        hash = hash * 31 + (unsigned char)id[i];
    return hash & (r->slot_count - 1);
}

static struct principal_row **place_of(const struct registry *r, const char *id)
{
    struct principal_row **at = &r->slots[slot_of(r, id)];
    while (*at && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    return at;
}

static void grow(struct registry *r)
{
    struct principal_row **old = r->slots;
    size_t count = r->slot_count;
    r->slot_count *= 2;
    r->slots = xcalloc(r->slot_count, sizeof(struct principal_row *));
    for (size_t i = 0; i < count; i++)
        for (struct principal_row *row = old[i], *next; row; row = next) {
            struct principal_row **at = &r->slots[slot_of(r, row->id)];
            next = row->next;
            row->next = *at;
            *at = row;
        }
    free((void *)old);
}

static struct principal_row *row_for(struct registry *r, const char *id)
{
    struct principal_row **at = place_of(r, id), *row = *at;
    if (row)
        return row;
    if (r->row_count == r->slot_count) {
        grow(r);
        at = place_of(r, id);
    }
    row = xcalloc(1, sizeof *row);
    memcpy(row->id, id, sizeof row->id);
    *at = row;
    r->row_count++;
    return row;
}

static void drop_row(struct registry *r, struct principal_row *row)
{
    struct principal_row **at = place_of(r, row->id);
    *at = row->next;
    r->row_count--;
    free(row);
}

/* ---- links ---- */

static struct agent_link *of_device(const struct principal_row *row, const char *id)
{
    struct agent_link *link = row->links;
    while (link && strcmp(link->device.id, id) != 0)
        link = link->next;
    return link;
}

void registry_take(struct registry *r, struct agent_link *link)
{
    struct principal_row *row = link->row;
    if (!row)
        return;
    if (link->next)
        link->next->prev = link->prev;
    *(link->prev ? &link->prev->next : &row->links) = link->next;
    link->next = link->prev = NULL;
    link->row = NULL;
    r->link_count--;
    if (!row->links)
        drop_row(r, row);
}

void registry_put(struct registry *r, struct agent_link *link)
{
    struct principal_row *row = row_for(r, link->device.owner.id);
    struct agent_link *before = of_device(row, link->device.id);
    link->row = row;
    link->prev = NULL;
    link->next = row->links;
    if (link->next)
        link->next->prev = link;
    row->links = link;
    r->link_count++;
    if (before) {
        registry_take(r, before);
        before->replaced(before);
    }
}

struct agent_link *registry_first(const struct registry *r, const struct principal *who)
{
    const struct principal_row *row = *place_of(r, who->id);
    return row ? row->links : NULL;
}

struct agent_link *registry_find(const struct registry *r, const struct principal *who,
                                 const char *name)
{
    struct agent_link *link = registry_first(r, who);
    if (!name && link && link->next) {
        errno = ENOTUNIQ;
        return NULL;
    }
    while (link && name && strcmp(link->device.name, name) != 0)
        link = link->next;
    if (!link)
        errno = ENOENT;
    return link;
}
