/* Standard descriptors as streams, in processes whose own they are. */
#include "applets/service/standard.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/mem.h"
#include "core/proc.h"
#include "tests/unit/probe.h"

/* What a child is to find out; the number of the line where it is not so, or 0. */
typedef int trial_fn(void);

#define HOLDS(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return __LINE__ % 256;                                                                 \
    } while (0)

/* In a child whose descriptors 0 and 1 are these. */
static void try(trial_fn *trial, int in, int out)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in, 0);
        dup2(out, 1);
        _exit(trial());
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}

static bool blocks(int fd)
{
    return !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/* The stream at 0 to its end. */
static int read_all(struct loop *loop, struct probe *p)
{
    probe_own(p, standard_open(loop, 0));
    for (int i = 0; i < 100 && !p->eofs && !p->errors; i++)
        loop_turn(loop, 100);
    HOLDS(p->eofs == 1 && probe_got(p, "hello"));
    return 0;
}

static int passes_on_and_gives_up(void)
{
    struct loop *loop = loop_new();
    struct probe in = {0}, out = {0};
    int shared = fcntl(1, F_DUPFD_CLOEXEC, 3);
    int wrong = read_all(loop, &in);
    if (wrong)
        return wrong;
    probe_own(&out, standard_open(loop, 1));
    stream_write(out.s, "world", 5);
    HOLDS(blocks(shared));
    close(shared);
    probe_fini(&out);
    probe_fini(&in);
    loop_turn(loop, 0);
    /* Whoever reads it sees the end now, though this process lives on. */
    struct stat st;
    HOLDS(fstat(1, &st) == 0 && S_ISCHR(st.st_mode));
    loop_free(loop);
    return 0;
}

TEST(guest_standard_pipes)
{
    int in[2], out[2];
    char got[16] = "";
    CHECK_INT(pipe2(in, O_CLOEXEC), 0);
    CHECK_INT(pipe2(out, O_CLOEXEC), 0);
    CHECK_INT(write(in[1], "hello", 5), 5);
    close(in[1]);
    try(passes_on_and_gives_up, in[0], out[1]);
    CHECK(blocks(in[0]) && blocks(out[1]));
    close(out[1]);
    CHECK_INT(read(out[0], got, sizeof got), 5);
    CHECK_STR(got, "world");
    close(in[0]);
    close(out[0]);
}

/* A socket can only be shared: it is set back. */
static int sets_back(void)
{
    struct loop *loop = loop_new();
    struct probe in = {0};
    int wrong = read_all(loop, &in);
    if (wrong)
        return wrong;
    HOLDS(!blocks(0));
    probe_fini(&in);
    loop_turn(loop, 0);
    loop_free(loop);
    standard_restore();
    HOLDS(blocks(0));
    return 0;
}

TEST(guest_standard_sockets)
{
    int fd[2];
    unix_pair(fd);
    CHECK_INT(fcntl(fd[0], F_SETFL, 0), 0);
    CHECK_INT(send(fd[1], "hello", 5, 0), 5);
    CHECK_INT(shutdown(fd[1], SHUT_WR), 0);
    try(sets_back, fd[0], 1);
    CHECK(blocks(fd[0]));
    close(fd[0]);
    close(fd[1]);
}

/* One whose writer has gone, as `<fifo` finds it. */
TEST(guest_standard_named_pipes)
{
    char path[] = "/tmp/berth-fifo-XXXXXX";
    CHECK(mkdtemp(path) && rmdir(path) == 0);
    CHECK_INT(mkfifo(path, 0600), 0);
    int reading = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int writing = open(path, O_WRONLY | O_CLOEXEC);
    CHECK_INT(fcntl(reading, F_SETFL, 0), 0);
    CHECK_INT(write(writing, "hello", 5), 5);
    close(writing);
    try(sets_back, reading, 1);
    close(reading);
    CHECK_INT(unlink(path), 0);
}

static int leaves_the_terminal(void)
{
    struct loop *loop = loop_new();
    struct probe in = {0};
    int shared = fcntl(0, F_DUPFD_CLOEXEC, 3);
    probe_own(&in, standard_open(loop, 0));
    for (int i = 0; i < 100 && !in.got.len; i++)
        loop_turn(loop, 100);
    HOLDS(probe_got(&in, "line\n"));
    HOLDS(blocks(shared) && isatty(0));
    probe_fini(&in);
    loop_turn(loop, 0);
    loop_free(loop);
    return 0;
}

TEST(guest_standard_terminals)
{
    int outer, inner;
    CHECK_INT(proc_pty(24, 80, &outer, &inner), 0);
    CHECK_INT(write(outer, "line\n", 5), 5);
    try(leaves_the_terminal, inner, 1);
    close(outer);
    close(inner);
}

static int reads_a_file(void)
{
    struct loop *loop = loop_new();
    struct probe in = {0};
    int wrong = read_all(loop, &in);
    probe_fini(&in);
    loop_turn(loop, 0);
    loop_free(loop);
    return wrong;
}

/* From where it stands. */
TEST(guest_standard_files)
{
    char path[] = "/tmp/berth-file-XXXXXX";
    int fd = mkstemp(path);
    CHECK_INT(write(fd, "not hello", 9), 9);
    CHECK_INT(lseek(fd, 4, SEEK_SET), 4);
    try(reads_a_file, fd, 1);
    close(fd);
    CHECK_INT(unlink(path), 0);
}
