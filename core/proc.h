/* proc.h: child processes. */
#ifndef CORE_PROC_H
#define CORE_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_NULL    (-1) /* /dev/null */
#define PROC_INHERIT (-2) /* the parent's own */

struct proc_spec {
    const char *file;    /* looked up in PATH where it has no '/'; NULL: argv[0] */
    char *const *argv;   /* NULL-terminated */
    char *const *env;    /* NULL: inherited */
    const char *dir;     /* NULL: inherited */
    int in, out, err;    /* descriptors, or the two above */
    bool session;        /* a new session (and process group) of its own */
    bool controlling;    /* with `session`: `in` becomes the controlling terminal */
    bool ignore_signals; /* SIGINT, SIGQUIT and SIGHUP are ignored in the child */
};

/* The child's pid once exec has succeeded, or -1 with the errno of what failed (ENOENT: no
 * such program). Signals are unblocked and at their defaults in the child; descriptors other
 * than 0, 1, 2 must be close-on-exec. The limit on open files is the one that the process
 * was started with; a negative oom_score_adj of the parent's is 0 in the child. */
pid_t proc_spawn(const struct proc_spec *spec);

/* Raises the soft limit on open files to the hard one, for this process alone; and a hard one
 * below PROC_FILES_WANTED to that, where the process may (root). */
#define PROC_FILES_WANTED 16384
void proc_raise_files(void);

/* A pseudo-terminal that knows of UTF-8: 0 and both ends, close-on-exec; -1 with errno. */
int proc_pty(uint16_t rows, uint16_t cols, int *main_end, int *child_end);
int proc_pty_resize(int main_end, uint16_t rows, uint16_t cols);

/* 128 + signal when killed, else the exit code. */
int proc_exit_code(int wait_status);

#endif
