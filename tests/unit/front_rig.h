/* front_rig.h: a broker's front, its users ann and bob, and agents of theirs that serve for real, all in this
 * process: the front on a port of its own, the agents over socket pairs. */
#ifndef TESTS_UNIT_FRONT_RIG_H
#define TESTS_UNIT_FRONT_RIG_H

#include "applets/broker/front.h"
#include "applets/broker/tokens.h"
#include "applets/service/service.h"
#include "applets/service/workload.h"
#include "core/mux.h"
#include "net/http.h"
#include "tests/unit/probe.h"

struct front_user {
    struct principal who;
    char token[TOKEN_LEN + 1];
};

struct front_agent {
    struct front_rig *rig;
    struct mux *mux; /* NULL: it is gone */
    struct service service;
    uint8_t key[KEY_PUBLIC_LEN], secret[KEY_SECRET_LEN];
    struct device device;
    struct stream *hello;
    struct frame_reader frames;
    /* Where it is set, each request's stream is its, in place of the service's. */
    void (*accept)(struct front_agent *a, struct stream *s);
    bool joined;
};

struct front_rig {
    struct loop *loop;
    struct front front;
    struct front_patience patience; /* the front's; front_patience at first */
    struct workload workload;       /* of all agents */
    struct front_user ann, bob;
    uint16_t port;
    char dir[32]; /* an empty directory of this test's own */
    char store[64];
    char *home; /* what was $HOME; meanwhile it is `dir` */
    bool done;
    struct device device;
    const struct store_ops *store_ops; /* while it holds back */
    struct store_call *held;
};

void front_rig_init(struct front_rig *r);
/* The agents are gone by then. Fails the test where a command still runs. */
void front_rig_fini(struct front_rig *r);

/* From now on the store keeps nothing and answers nothing, until it goes on in the same order. */
void front_store_hold(struct front_rig *r);
void front_store_go_on(struct front_rig *r);

/* Turns the loop for so long. */
void front_pass_time(struct front_rig *r, uint32_t ms);

/* Joins an agent of that user's, and waits for it. */
void front_agent_join(struct front_rig *r, struct front_agent *a, const struct front_user *owner,
                      const char *name);
/* As a crash of its would. Twice is fine. */
void front_agent_leave(struct front_agent *a);

/* A connection to the front. */
struct stream *front_dial(struct front_rig *r);

/* One request, on a connection of its own. `fields`: lines, each with its CRLF, or NULL. */
struct front_reply {
    int status;
    int error; /* of the connection, or of the exchange */
    struct buf body;
    char type[64], range[64];
    int64_t length; /* as struct http_head's */
};
void front_ask(struct front_rig *r, const struct front_user *who, const char *method_and_target,
               const char *fields, struct front_reply *reply);
void front_reply_fini(struct front_reply *reply);
/* The value of `error` in an answer's JSON; static. */
const char *front_error(const struct front_reply *reply);

#endif
