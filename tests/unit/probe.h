/* probe.h: an owner of streams that writes down what it is told, and sockets to try it on. */
#ifndef TESTS_UNIT_PROBE_H
#define TESTS_UNIT_PROBE_H

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/stream.h"
#include "tests/unit/test.h"

/* Turns the loop until `cond` holds; a test that waits for what never comes fails. */
#define TURN_UNTIL(loop, cond)                                                                     \
    do {                                                                                           \
        uint64_t give_up_ms_ = loop_now_ms(loop) + 30000;                                          \
        while (!(cond) && loop_now_ms(loop) < give_up_ms_)                                         \
            loop_turn(loop, 1000);                                                                 \
        CHECK(cond);                                                                               \
    } while (0)

struct probe {
    struct stream *s;
    unsigned opens, datas, draineds, eofs, errors;
    int error;
    struct buf got;
    bool hold;           /* leave the bytes where they are */
    bool close_on_event; /* whatever comes first */
};

void probe_drink(struct probe *p);
void probe_event(void *arg, struct stream *s, enum stream_event event);
void probe_own(struct probe *p, struct stream *s);
bool probe_got(const struct probe *p, const char *text);
void probe_fini(struct probe *p);

/* Descriptors that this process has open. */
unsigned open_descriptors(void);

/* fd[0] connected to fd[1], over 127.0.0.1. */
void tcp_pair(int fd[2]);
void unix_pair(int fd[2]);
void reset_socket(int fd);

#endif
