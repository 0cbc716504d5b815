/* yamux_table.c: streams by id: chains in a table that grows and shrinks with their number.
 *
 * The peer chooses half of the ids, so they are hashed by a multiplier that it cannot know
 * (Dietzfelbinger's multiply-shift): it cannot make one chain long on purpose. */
#include <stdlib.h>

#include "core/key.h"
#include "net/yamux_internal.h"

#define BITS_MIN 4

static struct ystream **slot_of(const struct yamux *m, uint32_t id)
{
    return &m->slots[id * m->multiplier >> (32 - m->slot_bits)];
}

static void resize(struct yamux *m, unsigned bits)
{
    struct ystream **old = m->slots;
    size_t n = old ? (size_t)1 << m->slot_bits : 0;
    m->slots = xcalloc((size_t)1 << bits, sizeof(struct ystream *));
    m->slot_bits = bits;
    for (size_t i = 0; i < n; i++) {
        for (struct ystream *s = old[i], *next; s; s = next) {
            struct ystream **slot = slot_of(m, s->id);
            next = s->chain;
            s->chain = *slot;
            *slot = s;
        }
    }
    free(old);
}

struct ystream *yamux_find(const struct yamux *m, uint32_t id)
{
    if (!m->slots)
        return NULL;
    struct ystream *s = *slot_of(m, id);
    while (s && s->id != id)
        s = s->chain;
    return s;
}

void yamux_add(struct yamux *m, struct ystream *s)
{
    if (!m->slots) {
        key_random(&m->multiplier, sizeof(m->multiplier));
        m->multiplier |= 1;
        resize(m, BITS_MIN);
    } else if (m->count >> m->slot_bits) {
        resize(m, m->slot_bits + 1);
    }
    struct ystream **slot = slot_of(m, s->id);
    s->chain = *slot;
    *slot = s;
    m->count++;
}

void yamux_remove(struct yamux *m, struct ystream *s)
{
    struct ystream **at = slot_of(m, s->id);
    while (*at != s)
        at = &(*at)->chain;
    *at = s->chain;
    m->count--;
    /* Not while the whole table is being emptied slot by slot. */
    if (m->state == YAMUX_UP && m->slot_bits > BITS_MIN && m->count < 1u << (m->slot_bits - 3))
        resize(m, m->slot_bits - 1);
}
