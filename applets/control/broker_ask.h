/* broker_ask.h: a broker that one is logged in at, asked for one thing over its HTTP API. */
#ifndef CONTROL_BROKER_ASK_H
#define CONTROL_BROKER_ASK_H

#include "applets/service/broker_place.h"
#include "core/json.h"

/* Waits for the answer, a JSON object: *answer, to be freed with json_free(). 0; or 1, and a line was
 * logged. */
int broker_ask(const struct web_server *broker, const struct web_question *q, struct json **answer);

#endif
