/* answer_rig.h: a client of something that answers HTTP exchanges, on one connection in memory. */
#ifndef TESTS_UNIT_ANSWER_RIG_H
#define TESTS_UNIT_ANSWER_RIG_H

#include "net/http.h"
#include "net/http_server.h"
#include "tests/unit/probe.h"

struct answer_rig {
    struct loop *loop;
    struct http_conn *c; /* NULL: it is over */
    struct probe client;
    struct http_parser *answers;
    bool over;       /* the last answer is complete */
    struct buf body; /* its body */
    void (*serve)(void *arg, struct stream *exchange);
    void *arg;
};

/* `serve` takes each exchange. */
void answer_rig_init(struct answer_rig *r, void (*serve)(void *arg, struct stream *exchange),
                     void *arg);
void answer_rig_fini(struct answer_rig *r);
/* `fields` are whole lines. Does not wait for the answer, whose body has nothing yet. */
void answer_rig_say(struct answer_rig *r, const char *method, const char *path, const char *fields);
/* Waits for it: its head. */
const struct http_head *answer_rig_ask(struct answer_rig *r, const char *method, const char *path,
                                       const char *fields);
bool answer_rig_body_is(const struct answer_rig *r, const void *data, size_t len);
/* "" where there is none. */
const char *answer_field(const struct http_head *h, const char *name);

#endif
