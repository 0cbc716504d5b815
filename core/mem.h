/* mem.h: allocation that cannot fail, and cleanup attributes.
 *
 * Running out of memory aborts: no caller has a better answer. A length that a peer
 * named is capped by its own limit long before it reaches these functions. */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/* For straight-line set-up: the variable is released when it leaves its scope. */
#define cleanup_free __attribute__((cleanup(mem_cleanup_free)))
#define cleanup_fd   __attribute__((cleanup(mem_cleanup_fd)))
void mem_cleanup_free(void *p); /* p is a pointer to a heap pointer */
void mem_cleanup_fd(int *fd);   /* closes *fd if it is >= 0; errno is kept */

/* Take what a cleanup variable holds, leaving nothing to release. */
char *steal_str(char **p);
int steal_fd(int *fd);

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define countof(a)                      (sizeof(a) / sizeof((a)[0]))

#endif
