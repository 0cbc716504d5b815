/* service_rig.h: one service, and one opener at a time at the other end of a socket pair.
 *
 * rig_fini() fails the test when a descriptor or a child process is left over. Whatever waits
 * for something gives up, and fails the test, after RIG_PATIENCE_MS. */
#ifndef TESTS_UNIT_SERVICE_RIG_H
#define TESTS_UNIT_SERVICE_RIG_H

#include "applets/service/service.h"
#include "applets/service/workload.h"
#include "core/fdstream.h"
#include "tests/unit/test.h"

#define RIG_PATIENCE_MS 30000

struct rig {
    struct loop *loop;
    struct service sv;
    struct workload workload;
    int fd;                 /* the opener's end; -1: closed */
    struct buf got;         /* what it has read and not looked at */
    bool ended;             /* it has read the end, or an error */
    size_t ceiling;         /* it reads only while `got` has less */
    struct message message; /* the last one that was looked at */
    char dir[32];           /* an empty directory of this test's own */
    int descriptors;
};

void rig_init(struct rig *g);
void rig_fini(struct rig *g);

/* Another stream, with this request (printf) on it. The one before is closed. */
void rig_open(struct rig *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same without a request. */
void rig_connect(struct rig *g);
void rig_close(struct rig *g);

void rig_send(struct rig *g, const void *data, size_t len);
/* As much of it as the socket takes now. */
size_t rig_send_some(struct rig *g, const void *data, size_t len);
void rig_send_message(struct rig *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void rig_send_data(struct rig *g, uint8_t channel, const void *data, size_t len);

/* One turn of the loop and of the opener's reading; false when patience is at its end. */
bool rig_turn(struct rig *g);
/* For conditions: while (!cond && rig_turn(g)); begins a new span of patience. */
void rig_patience(void);

/* The next frame, which has to be a message of this type: its fields. */
const struct json_value *rig_expect(struct rig *g, enum message_type type);
/* The next frame, which has to be Error with this code, and then the end: its message. */
const char *rig_expect_error(struct rig *g, enum error_code code);
/* Nothing more comes but the end. */
void rig_expect_end(struct rig *g);
/* The next whole frame; len 0 when none comes. Valid until the next call. */
struct frame rig_frame(struct rig *g);
/* Waits for `len` bare bytes; false when they do not come. They are then g->got's first. */
bool rig_bytes(struct rig *g, size_t len);

/* Data frames up to the next message, which is left in g->message; heap text of channel 1
 * and, if it is not NULL, of channel 2. */
char *rig_output(struct rig *g, char **err);

/* A name inside g->dir; static, the last four results are kept. */
const char *rig_path(struct rig *g, const char *name);
void rig_write_file(const char *path, const char *text);

/* A fifo whose writers are counted: commands hold it by "exec 9>PATH". */
struct lifeline {
    struct loop_fd watch;
    int fd;
    bool cut; /* nobody holds it any more */
};
void lifeline_init(struct rig *g, struct lifeline *l, const char *path);
void lifeline_fini(struct lifeline *l);

#endif
