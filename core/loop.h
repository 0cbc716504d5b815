/* loop.h: the event loop: descriptors, timers, tasks, signals, child exits.
 *
 * One loop and one thread a process. Watches are embedded in their owners' structs; all of
 * them accept being removed twice, and being removed when zeroed.
 *
 * One turn: wait, then the callbacks of the ready descriptors and of the timers that are
 * due, then the tasks that were posted, then what was given to loop_reap() is freed. So an
 * object that closes itself inside a callback stays valid memory until the turn ends, and a
 * watch that was removed is never called again, even when its event was already fetched. */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;

/* NULL with errno. SIGPIPE is ignored from here on: a broken pipe is its stream's error. */
struct loop *loop_new(void);
/* Runs what was posted and the tasks of loop_task_at_end(), then frees the loop and what waits
 * to be reaped. Watches still on it must not be used again. */
void loop_free(struct loop *loop);
/* Runs until loop_stop(); returns the value that was given to it. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int status);
/* One turn, waiting at most timeout_ms (-1: until something happens). For tests. */
void loop_turn(struct loop *loop, int timeout_ms);
/* CLOCK_MONOTONIC in milliseconds, read once a turn. */
uint64_t loop_now_ms(const struct loop *loop);
/* CLOCK_MONOTONIC in microseconds, read now: for what is measured, not for what is timed. */
uint64_t loop_clock_us(void);

/* Descriptors. `events` are EPOLLIN and EPOLLOUT; EPOLLERR and EPOLLHUP always come.
 * Level-triggered. The descriptor stays the caller's: remove the watch, then close it. */
typedef void loop_fd_fn(void *arg, uint32_t events);
struct loop_fd {
    struct loop *loop;
    int fd;
    uint32_t events;
    loop_fd_fn *fn;
    void *arg;
};
/* 0, or -1 with errno (EPERM: a regular file, which is always ready). */
int loop_fd_add(struct loop *loop, struct loop_fd *w, int fd, loop_fd_fn *fn, void *arg);
void loop_fd_want(struct loop_fd *w, uint32_t events);
void loop_fd_del(struct loop_fd *w);

/* Timers, one shot. */
typedef void loop_fn(void *arg);
struct loop_timer {
    struct loop *loop;
    uint64_t due_ms;
    size_t slot; /* place in the loop's heap, counted from 1; 0: not armed */
    loop_fn *fn;
    void *arg;
};
void loop_timer_init(struct loop *loop, struct loop_timer *t, loop_fn *fn, void *arg);
void loop_timer_set(struct loop_timer *t, uint64_t after_ms); /* arms it, or moves it */
void loop_timer_del(struct loop_timer *t);
static inline bool loop_timer_armed(const struct loop_timer *t)
{
    return t->slot != 0;
}

/* Tasks: run once, after this turn's callbacks. Posting a posted task changes nothing. */
struct loop_task {
    struct loop *loop;
    struct loop_task *next, *prev;
    bool posted;
    loop_fn *fn;
    void *arg;
};
void loop_task_init(struct loop *loop, struct loop_task *t, loop_fn *fn, void *arg);
void loop_task_post(struct loop_task *t);
void loop_task_del(struct loop_task *t);
/* Runs when the loop is freed: for what lives on without an owner. */
void loop_task_at_end(struct loop_task *t);

/* Signals arrive as callbacks (signalfd); the signal is blocked for the process from here
 * on. proc_spawn() unblocks them all in the child. */
typedef void loop_signal_fn(void *arg, int signo);
int loop_signal(struct loop *loop, int signo, loop_signal_fn *fn, void *arg);

/* A child's exit, by pidfd; reaps it. `status` is waitpid's. */
typedef void loop_child_fn(void *arg, int status);
struct loop_child {
    struct loop_fd watch;
    pid_t pid;
    loop_child_fn *fn;
    void *arg;
};
int loop_child_add(struct loop *loop, struct loop_child *c, pid_t pid, loop_child_fn *fn,
                   void *arg);
/* Stops watching; the child is then reaped by nobody. */
void loop_child_del(struct loop_child *c);

/* Calls free_fn(p) when the turn ends. */
void loop_reap(struct loop *loop, void *p, void (*free_fn)(void *p));

#endif
