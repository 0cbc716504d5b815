/* power.c: Shutdown: Ok, and the machine powers off a little later. */
#include <errno.h>
#include <string.h>

#include "applets/guest-agent/guest.h"
#include "applets/guest-agent/init.h"
#include "core/log.h"

#define DELAY_MS 100 /* for the answer to arrive (PROTOCOLS, section 5) */

static void power_off(void *arg)
{
    (void)arg;
    if (init_power_off() != 0)
        log_error("cannot power off: %s", strerror(errno));
}

void serve_shutdown(struct request *r)
{
    struct guest *g = guest_of(r);
    if (init_may_power_off() != 0) {
        request_fail(r, error_code_of_errno(errno), "cannot power off: %s", strerror(errno));
        return;
    }
    if (!loop_timer_armed(&g->power)) {
        loop_timer_init(g->loop, &g->power, power_off, g);
        loop_timer_set(&g->power, DELAY_MS);
    }
    message_send(r->stream, MSG_OK);
    request_end(r);
}
