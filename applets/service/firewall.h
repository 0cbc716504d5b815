/* firewall.h: whether this machine's own firewall lets UDP in, as far as its user may know.
 *
 * Nothing is changed, nobody is asked for a password: who is not root may not read the rules on
 * most machines, and then hears which firewall is in charge and what it would take to open it. */
#ifndef SERVICE_FIREWALL_H
#define SERVICE_FIREWALL_H

#include <stdint.h>

#include "core/loop.h"

/* Where an agent looks for its UDP port. */
#define FIREWALL_FIRST_PORT 40000
#define FIREWALL_LAST_PORT  50000

struct firewall_ask {
    uint16_t first, last;           /* may these come in? */
    uint16_t open_first, open_last; /* what a remedy is to open */
    const char *peer;               /* address of who sends, or of the machine between; NULL */
};

/* About one port; a remedy opens all of the agents' where it is one of these. `peer` is borrowed. */
struct firewall_ask firewall_ask_of(uint16_t port, const char *peer);

enum firewall_verdict { FIREWALL_OPEN, FIREWALL_CLOSED, FIREWALL_UNKNOWN };

struct firewall_view {
    enum firewall_verdict verdict;
    const char *seen;   /* a clause: "ufw blocks UDP 40000-50000" */
    const char *remedy; /* the command that opens it, for root to type; NULL: there is none */
};

/* `view` is the callee's during the call only. */
typedef void firewall_fn(void *arg, const struct firewall_view *view);

struct firewall;
/* Runs what reads rules, each program for 2 s at most. Never calls back before it returned. */
struct firewall *firewall_look(struct loop *loop, const struct firewall_ask *ask, firewall_fn *fn,
                               void *arg);
void firewall_cancel(struct firewall *f); /* before the callback only; NULL is fine */

const char *firewall_verdict_name(enum firewall_verdict v); /* open, closed, unknown */

/* What a person is told where UDP for `port` does not arrive: a line what is in the way, as far as
 * the view goes, and a line what to do. Heap text. */
char *firewall_hint_text(const struct firewall_view *view, uint16_t port);

#endif
