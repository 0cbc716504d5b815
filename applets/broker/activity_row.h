/* activity_row.h: a row of the audit trail: its key and value in the store, and how it is told. */
#ifndef BROKER_ACTIVITY_ROW_H
#define BROKER_ACTIVITY_ROW_H

#include <limits.h>

#include "applets/broker/people.h"
#include "core/json.h"

#define ACTIVITY_WHAT_MAX  4096 /* bytes */
#define ACTIVITY_ID_LEN    16   /* hex digits */
#define ACTIVITY_NO_CODE   INT_MIN
#define ACTIVITY_KEY_ROOM  (sizeof "activity//" + PEOPLE_ID_LEN + ACTIVITY_ID_LEN)
#define ACTIVITY_TIME_ROOM 32

enum activity_kind {
    ACTIVITY_EXEC,
    ACTIVITY_FILE_READ,
    ACTIVITY_FILE_WRITE,
    ACTIVITY_TERMINAL,
    ACTIVITY_JOIN,
    ACTIVITY_LEAVE,
    ACTIVITY_ENROLL,
    ACTIVITY_REVOKE,
    ACTIVITY_KIND_COUNT
};

enum activity_outcome {
    ACTIVITY_RUNNING,
    ACTIVITY_OK,
    ACTIVITY_FAILED,
    ACTIVITY_TIMEOUT,
    ACTIVITY_LOST,        /* its agent was */
    ACTIVITY_REFUSED,     /* by the agent */
    ACTIVITY_INTERRUPTED, /* who asked for it has gone, or the broker ended */
    ACTIVITY_OUTCOME_COUNT
};
const char *activity_kind_name(enum activity_kind kind);
const char *activity_outcome_name(enum activity_outcome outcome);

struct activity_row {
    uint64_t id;       /* microseconds since 1970 when it began; a user has no other with it */
    uint64_t revision; /* of the store, which grows with each change */
    enum activity_kind kind;
    enum activity_outcome outcome;
    int exit_code;                       /* or ACTIVITY_NO_CODE */
    int64_t duration_ms;                 /* -1: it runs, or took no time */
    const char *agent, *hostname, *what; /* "": none */
};

/* A later row has a smaller key: the first ones of a list are the newest. */
void activity_prefix(char key[static ACTIVITY_KEY_ROOM], const struct principal *who);
void activity_key(char key[static ACTIVITY_KEY_ROOM], const struct principal *who, uint64_t id);
/* An id's text: 0, or -1 where it is none. */
int activity_read_id(const char *text, uint64_t *id);

/* The store's value, to be freed. */
struct json_out *activity_record(const struct activity_row *row);
/* A row of what the store has; its texts are the document's, which is to be freed. NULL: it is none. */
struct json *activity_row_of(const struct store_entry *e, struct activity_row *row);
/* As GET /api/activity tells it, into an object. */
void activity_tell(struct json_out *out, struct json_node *to, const struct activity_row *row);

#endif
