/* Commands that are run, jobs and tasks: each byte of the input picks what is asked next. The
 * commands are those below and no others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/service/service.h"
#include "applets/service/workload.h"
#include "core/fdstream.h"
#include "core/key.h"
#include "core/log.h"
#include "core/mem.h"

#define REQUESTS_MAX 24
#define SPAWNS_MAX   4 /* requests that may start something */

static const char *const types[] = {
    "Exec",     "ExecStream", "ExecBackground", "ExecPoll",          "ExecKill",
    "ExecPoll", "SetEnv",     "TeamMessage",    "PollDaemonResults", "Ping",
};

static const char *const commands[] = {
    "\"true\"",
    "\"exit 3\"",
    "\"echo $A\"",
    "\"kill -9 $$\"",
    "\"exec sleep 9\"",
    "\"sleep 0.1 & echo $!\"",
    "\"head -c 300000 /dev/zero\"",
    "\"\"",
    "7",
};

static const char *const contents[] = {
    "\"{\\\"task_id\\\":\\\"t\\\",\\\"command\\\":\\\"true\\\"}\"",
    "\"{\\\"task_id\\\":\\\"u\\\",\\\"command\\\":\\\"exec sleep 9\\\",\\\"timeout_secs\\\":1}\"",
    "\"{\\\"task_id\\\":\\\"v\\\",\\\"command\\\":\\\"true\\\",\\\"workdir\\\":\\\"/no\\\"}\"",
    "\"{\\\"task_id\\\":\\\"w\\\"}\"",
    "\"?\"",
    "[]",
};

static const char *const fields[] = {
    "job_id", "signal",       "limit",      "vars", "env",  "args", "workdir",      "timeout_secs",
    "stdin",  "message_type", "message_id", "to",   "from", "pty",  "timeout_secs", "job_id"};

/* What a field may hold; most of it is right somewhere. */
static const char *const values[] = {
    "1",
    "2",
    "3",
    "0",
    "9",
    "64",
    "-1",
    "4294967296",
    "18446744073709551615",
    "1.5",
    "true",
    "null",
    "[]",
    "[\"x\",\"y\"]",
    "[1]",
    "{}",
    "{\"A\":\"1\",\"B\":\"2\"}",
    "{\"A\":1}",
    "{\"PATH\":\"/\"}",
    "{\"rows\":2,\"cols\":3,\"term\":\"dumb\"}",
    "\"\"",
    "\"/\"",
    "\"/no/such\"",
    "\"task_assignment\"",
};

struct input {
    const uint8_t *p;
    size_t left;
};

static unsigned next(struct input *in, size_t bound)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->p++ % (unsigned)bound;
}

struct asker {
    struct loop *loop;
    struct service service;
    struct workload workload;
    int fd; /* its end of the last stream; -1: none */
    unsigned spawns;
};

static void turn(struct asker *a, unsigned times)
{
    char dropped[65536];
    while (times--) {
        loop_turn(a->loop, 0);
        while (a->fd >= 0 && recv(a->fd, dropped, sizeof dropped, MSG_DONTWAIT) > 0)
            ;
    }
}

static void hang_up(struct asker *a)
{
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
}

static void connect_anew(struct asker *a)
{
    int ends[2];
    hang_up(a);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    a->fd = ends[0];
    service_serve(&a->service, fdstream_new(a->loop, ends[1], ends[1]));
}

static void send_frame(const struct asker *a, const char *text, size_t len)
{
    uint8_t header[] = {0, 0, (uint8_t)(len >> 8), (uint8_t)len};
    (void)!send(a->fd, header, sizeof header, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)!send(a->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void ask(struct asker *a, struct input *in)
{
    char text[2048];
    const char *type = types[next(in, countof(types))];
    bool starts = strncmp(type, "Exec", 4) == 0 || strcmp(type, "TeamMessage") == 0;
    starts = starts && strcmp(type, "ExecPoll") != 0 && strcmp(type, "ExecKill") != 0;
    if (starts && a->spawns++ >= SPAWNS_MAX)
        return;
    const char *command = commands[next(in, countof(commands))];
    const char *content = contents[next(in, countof(contents))];
    int len = snprintf(text, sizeof text, "{\"type\":\"%s\",\"command\":%s,\"content\":%s", type,
                       command, content);
    for (unsigned n = next(in, 5); n; n--) {
        const char *field = fields[next(in, countof(fields))];
        const char *value = values[next(in, countof(values))];
        len += snprintf(text + len, sizeof text - (size_t)len, ",\"%s\":%s", field, value);
    }
    len += snprintf(text + len, sizeof text - (size_t)len, "}");
    if (a->fd < 0 || !a->service.repeated)
        connect_anew(a);
    send_frame(a, text, (size_t)len);
}

static void run_requests(struct input in)
{
    static const struct service_row rows[] = {SERVICE_ROWS,
                                              {MSG_TEAM_MESSAGE, serve_team_message},
                                              {MSG_POLL_DAEMON_RESULTS, serve_poll_daemon_results},
                                              {MSG_COUNT, NULL}};
    struct asker a = {.loop = loop_new(), .fd = -1};
    service_init(&a.service, a.loop);
    workload_init(&a.workload, a.loop);
    a.service.rows = rows;
    a.service.workload = &a.workload;
    a.service.repeated = next(&in, 2);
    for (int i = 0; i < REQUESTS_MAX && in.left; i++) {
        switch (next(&in, 8)) {
        case 0: hang_up(&a); break;
        case 1: connect_anew(&a); break;
        case 2: turn(&a, 8); break;
        case 3: loop_turn(a.loop, 5); break;
        default: ask(&a, &in); turn(&a, 2);
        }
    }
    service_fini(&a.service);
    workload_fini(&a.workload);
    hang_up(&a);
    turn(&a, 4);
    if (a.workload.kept.left != OUTPUT_BUDGET || a.workload.answers.left != OUTPUT_BUDGET)
        abort();
    loop_free(a.loop);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ; /* those that were hung up on and not waited for */
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    key_init();
    log_init(LOG_ERRORS);
    setenv("HOME", "/", 1);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run_requests((struct input){data, size});
    return 0;
}
