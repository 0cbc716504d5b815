/* front_client.h: clients of a front_rig's API: bare bytes over TCP, so that what has come so far can be looked at. */
#ifndef TESTS_UNIT_FRONT_CLIENT_H
#define TESTS_UNIT_FRONT_CLIENT_H

#include "tests/unit/front_rig.h"

struct front_asked {
    struct probe client;
    int status; /* 0: no answer */
    char *head; /* heap, all of it */
    char *body; /* heap, NUL behind it */
};

struct front_request {
    const struct front_user *user; /* whose token it has; NULL: none */
    const char *line;              /* "GET /path" */
    const char *fields;            /* whole lines; NULL: none */
    const char *body;              /* NULL: none */
};
/* Begins it. Its connection ends with the answer (HTTP/1.0). */
void front_say(struct front_rig *r, struct front_asked *ask, const struct front_request *q);
/* What has come so far of its answer's body; "" where it has not begun. Static. */
const char *front_so_far(const struct front_asked *ask);
/* Waits for its end. */
void front_wait(struct front_rig *r, struct front_asked *ask);
void front_asked_fini(struct front_asked *ask);
/* All of it: the status. The answer is in ask until front_asked_fini(). */
int front_answer(struct front_rig *r, struct front_asked *ask, const struct front_request *q);

#endif
