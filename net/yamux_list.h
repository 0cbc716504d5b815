/* yamux_list.h: rings of streams: a head, and nodes embedded in the streams.
 *
 * A head points at itself when the ring is empty; a node that is in no ring is zeroed. */
#ifndef NET_YAMUX_LIST_H
#define NET_YAMUX_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *prev, *next;
};

static inline void list_init(struct list_node *head)
{
    head->prev = head->next = head;
}

static inline bool list_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline bool list_linked(const struct list_node *node)
{
    return node->next != NULL;
}

/* At the end; a node that is linked already stays where it is. */
static inline void list_push(struct list_node *head, struct list_node *node)
{
    if (list_linked(node))
        return;
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_unlink(struct list_node *node)
{
    if (!list_linked(node))
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = NULL;
}

#endif
