/* AF_VSOCK: what this machine has of it decides which of these have something to try. */
#include "net/vsock.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core/fdstream.h"
#include "core/mem.h"
#include "tests/unit/probe.h"
#include "tests/unit/test.h"

struct guest { /* what a listener was given */
    struct probe p;
    char peer[TARGET_TEXT_MAX];
    int count;
};

struct outcome {
    struct stream *stream;
    int error;
    int count;
};

static void on_guest(void *arg, struct stream *s, const char *peer)
{
    struct guest *g = arg;
    g->count++;
    snprintf(g->peer, sizeof(g->peer), "%s", peer);
    probe_own(&g->p, s);
}

static void on_dialled(void *arg, struct stream *s, int error)
{
    struct outcome *o = arg;
    o->stream = s;
    o->error = error;
    o->count++;
}

static bool have_vsock(void)
{
    cleanup_fd int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fprintf(stderr, "AF_VSOCK is not tested: this kernel has none\n");
    return fd >= 0;
}

/* On some port that is free. */
static struct listener *listening(struct loop *loop, struct vsock_addr *at, struct guest *g)
{
    struct listener *l = NULL;
    for (at->port = 50000; !l && at->port < 50100; at->port++)
        l = vsock_listen(loop, at, on_guest, g);
    at->port--;
    CHECK(l);
    return l;
}

TEST(vsock_listens_but_once)
{
    struct loop *loop = loop_new();
    struct vsock_addr at = {.cid = VMADDR_CID_ANY};
    if (have_vsock()) {
        struct listener *l = listening(loop, &at, NULL);
        CHECK_INT(listener_port(l), 0);
        CHECK(!vsock_listen(loop, &at, on_guest, NULL));
        CHECK_INT(errno, EADDRINUSE);
        listener_free(l);
        l = vsock_listen(loop, &at, on_guest, NULL);
        CHECK(l);
        listener_free(l);
    }
    loop_free(loop);
}

TEST(vsock_listens_at_its_own_cid_alone)
{
    struct loop *loop = loop_new();
    struct vsock_addr at = {.cid = 0x7ffffff0, .port = 50100};
    if (have_vsock()) {
        CHECK(!vsock_listen(loop, &at, on_guest, NULL));
        CHECK_INT(errno, EADDRNOTAVAIL);
    }
    loop_free(loop);
}

TEST(vsock_transport_is_there_or_not)
{
    uint32_t cid = 0;
    if (!have_vsock())
        return;
    if (vsock_transport(&cid) == 0)
        CHECK(cid != VMADDR_CID_ANY && cid > 0);
    else
        CHECK(errno == ENODEV || errno == EACCES || errno == ENOENT || errno == ENOSYS);
}

static struct outcome dial(struct loop *loop, const struct vsock_addr *to)
{
    struct outcome o = {0};
    CHECK(vsock_dial(loop, to, on_dialled, &o));
    CHECK_INT(o.count, 0);
    TURN_UNTIL(loop, o.count == 1);
    CHECK(!o.stream == (o.error != 0));
    return o;
}

/* Nobody listens there; or nothing leads there, where there is no loopback. */
TEST(vsock_dial_refused)
{
    uint32_t cid;
    if (!have_vsock() || vsock_transport(&cid) != 0)
        return;
    struct loop *loop = loop_new();
    struct vsock_addr to = {cid, 50101};
    struct outcome o = dial(loop, &to);
    CHECK(o.error == ECONNREFUSED || o.error == ENODEV);
    stream_reset(o.stream);
    loop_free(loop);
}

TEST(vsock_dial_cancelled)
{
    struct loop *loop = loop_new();
    struct outcome o = {0};
    struct vsock_addr to = {VMADDR_CID_LOCAL, 50102};
    uint32_t cid;
    if (have_vsock() && (vsock_transport(&cid) != 0 || cid == VMADDR_CID_LOCAL)) {
        dial_cancel(vsock_dial(loop, &to, on_dialled, &o));
        loop_turn(loop, 20);
        loop_turn(loop, 20);
        CHECK_INT(o.count, 0);
    }
    loop_free(loop);
}

/* ---- through loopback, where there is that ---- */

struct link {
    struct loop *loop;
    struct listener *listener;
    struct guest guest;
    struct probe p;
    struct vsock_addr at;
};

static bool link_up(struct link *l)
{
    const struct vsock_addr local = {VMADDR_CID_LOCAL, 50200};
    *l = (struct link){.at.cid = VMADDR_CID_ANY};
    if (!have_vsock())
        return false;
    l->loop = loop_new();
    struct listener *there = vsock_listen(l->loop, &local, on_guest, NULL);
    listener_free(there);
    if (!there) {
        fprintf(stderr, "AF_VSOCK's streams are not tested: this machine has no vsock_loopback\n");
        loop_free(l->loop);
        return false;
    }
    l->listener = listening(l->loop, &l->at, &l->guest);
    l->at.cid = VMADDR_CID_LOCAL;
    struct outcome o = dial(l->loop, &l->at);
    CHECK_INT(o.error, 0);
    probe_own(&l->p, o.stream);
    TURN_UNTIL(l->loop, l->guest.count == 1);
    return true;
}

static void link_down(struct link *l)
{
    probe_fini(&l->p);
    probe_fini(&l->guest.p);
    listener_free(l->listener);
    loop_turn(l->loop, 0);
    loop_free(l->loop);
}

TEST(vsock_loopback_carries_bytes_and_half_closes)
{
    struct link l;
    uint32_t cid = 0;
    if (!link_up(&l))
        return;
    CHECK_INT(strncmp(l.guest.peer, "vsock:1:", 8), 0);
    CHECK_INT(vsock_peer_cid(fdstream_fd(l.guest.p.s), &cid), 0);
    CHECK_INT(cid, VMADDR_CID_LOCAL);
    stream_write(l.p.s, "hello", 5);
    stream_shutdown(l.p.s);
    TURN_UNTIL(l.loop, l.guest.p.eofs == 1);
    CHECK(probe_got(&l.guest.p, "hello"));
    stream_write(l.guest.p.s, "and back", 8);
    stream_shutdown(l.guest.p.s);
    TURN_UNTIL(l.loop, l.p.eofs == 1);
    CHECK(probe_got(&l.p, "and back"));
    CHECK_INT(l.p.errors + l.guest.p.errors, 0);
    link_down(&l);
}

TEST(vsock_loopback_tells_of_a_reset)
{
    struct link l;
    if (!link_up(&l))
        return;
    stream_reset(l.p.s);
    l.p.s = NULL;
    TURN_UNTIL(l.loop, l.guest.p.eofs + l.guest.p.errors > 0);
    link_down(&l);
}

/* ---- a kernel without it ---- */

#define NOT_TRIED 77

/* For the rest of this process; false where an emulator does not do that. */
static bool forbid_vsock(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_VSOCK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {countof(code), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* 0, or which of them did not say so. */
static int try_without(void)
{
    struct loop *loop = loop_new();
    struct vsock_addr at = {VMADDR_CID_LOCAL, 50300};
    struct outcome o = {0};
    uint32_t cid = 0;
    if (vsock_transport(&cid) == 0 || errno != EAFNOSUPPORT)
        return 1;
    if (vsock_listen(loop, &at, on_guest, NULL) || errno != EAFNOSUPPORT)
        return 2;
    vsock_dial(loop, &at, on_dialled, &o);
    loop_turn(loop, 1000);
    if (o.count != 1 || o.error != EAFNOSUPPORT)
        return 3;
    loop_free(loop);
    return 0;
}

TEST(vsock_says_what_is_missing)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(forbid_vsock() ? try_without() : NOT_TRIED);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_TRIED)
        fprintf(stderr, "%s: not tested: no seccomp\n", __func__);
    else
        CHECK_INT(WEXITSTATUS(status), 0);
}

TEST(vsock_peer_of_another_kind)
{
    int fd[2];
    uint32_t cid;
    unix_pair(fd);
    CHECK_INT(vsock_peer_cid(fd[0], &cid), -1);
    CHECK_INT(errno, EPROTOTYPE);
    close(fd[0]);
    close(fd[1]);
    CHECK_INT(vsock_peer_cid(-1, &cid), -1);
    CHECK_INT(errno, EBADF);
}
