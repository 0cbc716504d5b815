/* loop.c: the event loop: descriptors, timers, tasks, signals, child exits. */
#include "core/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"

#define BATCH 64 /* events fetched at once */

struct reaped {
    void *p;
    void (*free_fn)(void *p);
};

struct handler {
    loop_signal_fn *fn;
    void *arg;
};

struct loop {
    int epoll_fd, signal_fd;
    struct epoll_event batch[BATCH]; /* data.ptr is nulled when its watch is removed */
    int batch_at, batch_len;
    uint64_t now_ms;
    struct loop_timer **heap; /* heap[1 .. heap_len], the earliest first */
    size_t heap_len, heap_cap;
    struct loop_task posted, running, at_end; /* heads of rings */
    struct reaped *reap;
    size_t reap_len, reap_cap;
    sigset_t signals;
    struct handler handlers[_NSIG];
    struct loop_fd signal_watch;
    bool stopped;
    int status;
};

uint64_t loop_clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t clock_ms(void)
{
    return loop_clock_us() / 1000;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

/* Descriptors. */

int loop_fd_add(struct loop *loop, struct loop_fd *w, int fd, loop_fd_fn *fn, void *arg)
{
    struct epoll_event event = {.data.ptr = w};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        return -1;
    *w = (struct loop_fd){.loop = loop, .fd = fd, .fn = fn, .arg = arg};
    return 0;
}

void loop_fd_want(struct loop_fd *w, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = w};
    if (!w->loop || w->events == events)
        return;
    if (epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &event))
        abort(); /* the descriptor was closed before its watch was removed */
    w->events = events;
}

void loop_fd_del(struct loop_fd *w)
{
    struct loop *loop = w->loop;
    if (!loop)
        return;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    for (int i = loop->batch_at; i < loop->batch_len; i++)
        if (loop->batch[i].data.ptr == w)
            loop->batch[i].data.ptr = NULL;
    w->loop = NULL;
    w->events = 0;
}

static void run_descriptors(struct loop *loop)
{
    while (loop->batch_at < loop->batch_len) {
        struct epoll_event *event = &loop->batch[loop->batch_at++];
        struct loop_fd *w = event->data.ptr;
        if (w)
            w->fn(w->arg, event->events);
    }
    loop->batch_at = loop->batch_len = 0;
}

/* Timers. */

static void place(struct loop *loop, size_t slot, struct loop_timer *t)
{
    loop->heap[slot] = t;
    t->slot = slot;
}

static void sift(struct loop *loop, size_t slot, struct loop_timer *t)
{
    while (slot > 1 && loop->heap[slot / 2]->due_ms > t->due_ms) {
        place(loop, slot, loop->heap[slot / 2]);
        slot /= 2;
    }
    for (;;) {
        size_t child = slot * 2;
        if (child + 1 <= loop->heap_len &&
            loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
            child++;
        if (child > loop->heap_len || loop->heap[child]->due_ms >= t->due_ms)
            break;
        place(loop, slot, loop->heap[child]);
        slot = child;
    }
    place(loop, slot, t);
}

void loop_timer_init(struct loop *loop, struct loop_timer *t, loop_fn *fn, void *arg)
{
    *t = (struct loop_timer){.loop = loop, .fn = fn, .arg = arg};
}

void loop_timer_set(struct loop_timer *t, uint64_t after_ms)
{
    struct loop *loop = t->loop;
    t->due_ms = after_ms > UINT64_MAX - loop->now_ms ? UINT64_MAX : loop->now_ms + after_ms;
    if (!t->slot) {
        if (loop->heap_len + 1 >= loop->heap_cap) {
            loop->heap_cap = loop->heap_cap ? loop->heap_cap * 2 : 16;
            loop->heap = xrealloc(loop->heap, loop->heap_cap * sizeof(*loop->heap));
        }
        t->slot = ++loop->heap_len;
    }
    sift(loop, t->slot, t);
}

void loop_timer_del(struct loop_timer *t)
{
    struct loop *loop = t->loop;
    size_t slot = t->slot;
    if (!slot)
        return;
    t->slot = 0;
    struct loop_timer *last = loop->heap[loop->heap_len--];
    if (last != t)
        sift(loop, slot, last);
}

static void run_timers(struct loop *loop)
{
    /* As many as there are now: one that arms itself anew at once waits for the next turn. */
    for (size_t n = loop->heap_len; n && loop->heap_len; n--) {
        struct loop_timer *t = loop->heap[1];
        if (t->due_ms > loop->now_ms)
            return;
        loop_timer_del(t);
        t->fn(t->arg);
    }
}

/* Tasks. */

static void ring_init(struct loop_task *head)
{
    head->next = head->prev = head;
}

void loop_task_init(struct loop *loop, struct loop_task *t, loop_fn *fn, void *arg)
{
    *t = (struct loop_task){.loop = loop, .fn = fn, .arg = arg};
}

static void enter_ring(struct loop_task *head, struct loop_task *t)
{
    if (t->posted)
        return;
    t->posted = true;
    t->prev = head->prev;
    t->next = head;
    head->prev->next = t;
    head->prev = t;
}

void loop_task_post(struct loop_task *t)
{
    enter_ring(&t->loop->posted, t);
}

void loop_task_at_end(struct loop_task *t)
{
    enter_ring(&t->loop->at_end, t);
}

void loop_task_del(struct loop_task *t)
{
    if (!t->posted)
        return;
    t->posted = false;
    t->prev->next = t->next;
    t->next->prev = t->prev;
}

static void run_tasks(struct loop *loop, struct loop_task *posted)
{
    struct loop_task *running = &loop->running;
    if (posted->next == posted)
        return;
    *running = *posted;
    running->next->prev = running->prev->next = running;
    ring_init(posted);
    while (running->next != running) {
        struct loop_task *t = running->next;
        loop_task_del(t);
        t->fn(t->arg);
    }
}

/* Signals and children. */

static void signals_ready(void *arg, uint32_t events)
{
    struct loop *loop = arg;
    struct signalfd_siginfo info;
    (void)events;
    while (read(loop->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        struct handler *h = &loop->handlers[info.ssi_signo];
        if (h->fn)
            h->fn(h->arg, (int)info.ssi_signo);
    }
}

int loop_signal(struct loop *loop, int signo, loop_signal_fn *fn, void *arg)
{
    sigset_t one;
    sigemptyset(&one);
    if (sigaddset(&one, signo) || sigaddset(&loop->signals, signo))
        return -1;
    int fd = signalfd(loop->signal_fd, &loop->signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (loop->signal_fd < 0) {
        loop->signal_fd = fd;
        if (loop_fd_add(loop, &loop->signal_watch, fd, signals_ready, loop))
            return -1;
        loop_fd_want(&loop->signal_watch, EPOLLIN);
    }
    loop->handlers[signo] = (struct handler){fn, arg};
    return sigprocmask(SIG_BLOCK, &one, NULL);
}

static void child_ready(void *arg, uint32_t events)
{
    struct loop_child *c = arg;
    int status = 127 << 8; /* when somebody else has reaped it */
    (void)events;
    if (waitpid(c->pid, &status, WNOHANG) == 0)
        return;
    loop_child_del(c);
    c->fn(c->arg, status);
}

int loop_child_add(struct loop *loop, struct loop_child *c, pid_t pid, loop_child_fn *fn, void *arg)
{
    cleanup_fd int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 || loop_fd_add(loop, &c->watch, fd, child_ready, c))
        return -1;
    loop_fd_want(&c->watch, EPOLLIN);
    steal_fd(&fd);
    c->pid = pid;
    c->fn = fn;
    c->arg = arg;
    return 0;
}

void loop_child_del(struct loop_child *c)
{
    if (!c->watch.loop)
        return;
    loop_fd_del(&c->watch);
    close(c->watch.fd);
    c->pid = 0;
}

/* The loop. */

void loop_reap(struct loop *loop, void *p, void (*free_fn)(void *p))
{
    if (loop->reap_len == loop->reap_cap) {
        loop->reap_cap = loop->reap_cap ? loop->reap_cap * 2 : 16;
        loop->reap = xrealloc(loop->reap, loop->reap_cap * sizeof(*loop->reap));
    }
    loop->reap[loop->reap_len++] = (struct reaped){p, free_fn};
}

static void run_reaper(struct loop *loop)
{
    for (size_t i = 0; i < loop->reap_len; i++) {
        struct reaped r = loop->reap[i];
        r.free_fn(r.p);
    }
    loop->reap_len = 0;
}

struct loop *loop_new(void)
{
    struct loop *loop = xcalloc(1, sizeof(*loop));
    loop->signal_fd = -1;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        free(loop);
        return NULL;
    }
    /* A write to a pipe that nobody reads is an error of that stream, not of the process. */
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&loop->signals);
    ring_init(&loop->posted);
    ring_init(&loop->running);
    ring_init(&loop->at_end);
    loop->now_ms = clock_ms();
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    /* Streams that broke with their mux are still to be told of, and what joins them ends. */
    run_tasks(loop, &loop->posted);
    run_tasks(loop, &loop->at_end);
    run_reaper(loop);
    if (loop->signal_fd >= 0)
        close(loop->signal_fd);
    close(loop->epoll_fd);
    free(loop->heap);
    free(loop->reap);
    free(loop);
}

static int wait_ms(const struct loop *loop, int timeout_ms)
{
    if (loop->posted.next != &loop->posted)
        return 0;
    if (!loop->heap_len)
        return timeout_ms;
    uint64_t due = loop->heap[1]->due_ms, now = clock_ms();
    uint64_t left = due > now ? due - now : 0;
    if (timeout_ms >= 0 && left > (uint64_t)timeout_ms)
        return timeout_ms;
    return left > 3600000 ? 3600000 : (int)left;
}

void loop_turn(struct loop *loop, int timeout_ms)
{
    int n = epoll_wait(loop->epoll_fd, loop->batch, BATCH, wait_ms(loop, timeout_ms));
    loop->now_ms = clock_ms();
    loop->batch_at = 0;
    loop->batch_len = n > 0 ? n : 0;
    run_descriptors(loop);
    run_timers(loop);
    run_tasks(loop, &loop->posted);
    run_reaper(loop);
}

int loop_run(struct loop *loop)
{
    while (!loop->stopped)
        loop_turn(loop, -1);
    loop->stopped = false;
    return loop->status;
}

void loop_stop(struct loop *loop, int status)
{
    loop->stopped = true;
    loop->status = status;
}
