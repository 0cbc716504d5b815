/* list_broker.h: `berth list --broker`: the machines that are this user's at a broker. */
#ifndef CONTROL_LIST_BROKER_H
#define CONTROL_LIST_BROKER_H

#include <stdbool.h>

/* `url` NULL: where the user logged in last. The exit status. */
int list_broker(const char *url, bool json);

#endif
