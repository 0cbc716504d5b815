/* mem.c: allocation that cannot fail, and cleanup attributes. */
#include "core/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *or_abort(void *p)
{
    static const char text[] = "berth: out of memory\n";
    if (p)
        return p;
    /* No stdio: it might allocate. */
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        _exit(1);
    abort();
}

void *xmalloc(size_t size)
{
    return or_abort(malloc(size ? size : 1));
}

void *xcalloc(size_t n, size_t size)
{
    return or_abort(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
    return or_abort(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
    return or_abort(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
    return or_abort(strndup(s, n));
}

char *xvasprintf(const char *fmt, va_list ap)
{
    char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    return or_abort(text);
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    return text;
}

void mem_cleanup_free(void *p)
{
    void *heap;
    memcpy(&heap, p, sizeof(heap));
    free(heap);
}

void mem_cleanup_fd(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

char *steal_str(char **p)
{
    char *s = *p;
    *p = NULL;
    return s;
}

int steal_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}
