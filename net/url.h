/* url.h: where a server is, as people write it: http://host[:port][/path], https://… (RFC 3986). */
#ifndef NET_URL_H
#define NET_URL_H

#include <stdbool.h>

#include "net/target.h"

#define URL_MAX 512u /* bytes */

struct url {
    bool tls;
    struct target at; /* TCP; the port is the scheme's own where none is said */
    char host[TARGET_HOST_MAX +
              10];          /* as a request's Host says it: "box", "box:3000", "[::1]:3000" */
    char path[URL_MAX];     /* "" or "/base", without a slash at its end */
    char text[2 * URL_MAX]; /* the same URL in one form: what two sides compare */
};

/* 0, or -1 with *why a static text. Without user, query and fragment; a path has neither control
 * characters nor spaces nor "//" or dots as a part. */
int url_parse(struct url *u, const char *text, const char **why);

#endif
