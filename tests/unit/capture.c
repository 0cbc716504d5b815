/* capture.c: standard error lent to a pipe. */
#include "tests/unit/capture.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"

static int saved = -1, from = -1;

void capture_begin(void)
{
    int ends[2];
    saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (pipe2(ends, O_CLOEXEC) < 0)
        _exit(1);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    from = ends[0];
}

char *capture_end(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    struct buf all = {0};
    ssize_t n;
    do {
        n = read(from, buf_reserve(&all, 4096), 4096);
        buf_commit(&all, n > 0 ? (size_t)n : 0);
    } while (n > 0);
    close(from);
    char *text = xstrndup((const char *)(all.data ? all.data + all.off : all.data), all.len);
    buf_fini(&all);
    return text;
}
