/* call.h: one HTTP request that the broker answers: who asks, for what, and how it is answered.
 *
 * A call ends once: when it is answered, when its client is gone, or when the front ends. Whatever its
 * route keeps for it is in `state`, which `abort` releases. */
#ifndef BROKER_CALL_H
#define BROKER_CALL_H

#include "applets/broker/front.h"
#include "core/json.h"
#include "core/stream.h"
#include "net/http.h"

#define CALLS_EACH 256 /* that one user has under way; what they hold: room.h */

struct call;
typedef void call_fn(struct call *c);

struct call {
    struct front *front;
    struct call *next, *prev;
    struct stream *exchange; /* NULL: it was answered, or its route has taken it */
    const struct route *route;
    struct principal who;      /* where the route needs one; else empty */
    struct lease lease;        /* of what has proven it */
    struct tally_row *counted; /* NULL: nobody's */
    size_t held;               /* bytes: of that row's */
    char *peer;                /* the client's address */
    char *token;               /* that has proven it */
    bool by_cookie;            /* a browser has said so, whoever made it ask */
    struct buf body;
    void (*on_json)(struct call *c, const struct json_value *body);
    void *state;
    void (*abort)(struct call *c);
    /* The lease is over. NULL: where nothing was answered 401, else what was is cut off. */
    void (*unproven)(struct call *c, enum lease_end end);
};
/* From the front alone. Takes the exchange. */
void call_begin(struct front *f, struct stream *exchange, const char *peer);
/* Without an answer: 500 if none was begun. */
void call_end(struct call *c);

/* Of the request. */
const char *call_field(const struct call *c, const char *name); /* NULL: not there, or several */
bool call_accepts_events(const struct call *c);                 /* server-sent events */
/* A parameter of the query, heap; NULL: none. Where it is malformed or missing and `needed`, -1, and the
 * call was answered. */
int call_param(struct call *c, const char *name, bool needed, char **value);
/* The last part of a path like /api/agents/NAME; likewise. */
int call_path_rest(struct call *c, char **value);
/* Reads a body of one JSON object, then goes on with fn(); what is none is answered. */
void call_read_json(struct call *c, void (*fn)(struct call *c, const struct json_value *body));

/* Answers; each ends the call, once most of the answer was taken. */

enum api_error {
    API_INVALID_REQUEST,
    API_UNAUTHORIZED,
    API_FORBIDDEN,
    API_NOT_FOUND,
    API_METHOD_NOT_ALLOWED,
    API_AGENT_NOT_CONNECTED,
    API_AGENT_AMBIGUOUS,
    API_CONFLICT,
    API_PAYLOAD_TOO_LARGE,
    API_RANGE,
    API_RATE_LIMITED,
    API_INTERNAL,
    API_AGENT_ERROR,
    API_AGENT_DISCONNECTED,
    API_TIMEOUT,
    API_ERROR_COUNT
};
const char *api_error_name(enum api_error code);
void call_error(struct call *c, enum api_error code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* With further `fields`, as for call_json(). */
void call_error_with(struct call *c, enum api_error code, const char *fields, const char *text);
/* What the store could not do: 500, and a line in the log. */
void call_fault(struct call *c, const char *what, int error);
void call_limited(struct call *c, uint32_t wait_ms);
/* `fields`: further ones, each with its CRLF, or "". Frees `out`. */
void call_json(struct call *c, const char *fields, struct json_out *out);
void call_empty(struct call *c, const char *fields); /* 204 */
void call_text(struct call *c, const char *text);
/* Gives the exchange to the route, which is to close it; the call goes on until call_end(). */
struct stream *call_take(struct call *c);

/* What a route is. A table ends with a zeroed row. */
struct route {
    const char *method; /* GET stands for HEAD too */
    const char *path;   /* as it is, or up to a "*" that stands for one part more */
    call_fn *fn;
    bool anybody; /* else a principal was proven */
    enum front_limit limit;
};
extern const struct route routes[];
/* Of a request; NULL: none. */
const struct route *call_route(const struct http_head *head);

#define CALL_TIME_LEN 20 /* "2026-11-22T12:00:00Z" */
void call_time(char text[static CALL_TIME_LEN + 1], int64_t s);

/* The routes, by file. */
call_fn api_page, api_install, api_download;                            /* api_static.c */
call_fn api_me, api_session_open, api_session_close;                    /* api_session.c */
call_fn api_agents, api_agent_code, api_agent_enroll, api_agent_revoke; /* api_agents.c */
call_fn api_activity;                                                   /* api_activity.c */
call_fn api_exec, api_exec_socket;                /* api_exec.c, api_exec_socket.c */
call_fn api_metrics;                              /* api_metrics.c */
call_fn api_bridge, api_health;                   /* api_bridge.c */
call_fn api_terminal, api_file_get, api_file_put; /* their own */

#endif
