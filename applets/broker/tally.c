#include "applets/broker/tally.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

/* Ids are random. */
static struct tally_row **place_of(struct tally *t, const char *id)
{
    size_t hash = 0;
    for (size_t i = 0; id[i]; i++)
        hash = hash * 31 + (unsigned char)id[i];
    struct tally_row **at = &t->slots[hash % TALLY_SLOTS];
    while (*at && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    return at;
}

struct tally_row *tally_take(struct tally *t, const char *id, unsigned max)
{
    struct tally_row **at = place_of(t, id), *row = *at;
    if (!row) {
        row = *at = xcalloc(1, sizeof *row);
        memcpy(row->id, id, strlen(id) + 1);
    }
    if (row->n >= max)
        return NULL;
    row->n++;
    t->n++;
    return row;
}

void tally_give(struct tally *t, struct tally_row *row)
{
    if (!row)
        return;
    t->n--;
    if (--row->n > 0)
        return;
    *place_of(t, row->id) = row->next;
    free(row);
}
