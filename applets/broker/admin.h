/* admin.h: users and tokens, from the broker's own host: over its control socket. */
#ifndef BROKER_ADMIN_H
#define BROKER_ADMIN_H

#include "applets/broker/front.h"
#include "applets/broker/options.h"
#include "applets/service/control.h"

/* The control socket in that directory: heap. */
char *admin_socket(const char *state);
/* Serves it. NULL with errno. */
struct control *admin_serve(struct front *f, const char *path);

/* `berth broker user …` and `token …`: the exit status. */
int admin_run(const struct broker_options *o);

#endif
