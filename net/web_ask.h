/* web_ask.h: one request to an HTTP server, on a connection of its own, and the whole of the answer. */
#ifndef NET_WEB_ASK_H
#define NET_WEB_ASK_H

#include "net/web_dial.h"

#define WEB_ANSWER_MAX ((size_t)4 << 20) /* bytes of its body */

struct web_question {
    const char *method;
    const char *path;  /* below the URL's, percent-encoded: "/api/me" */
    const char *token; /* sent as Authorization: Bearer; NULL: none */
    const char *json;  /* the body; NULL: none */
    uint32_t limit_ms; /* for all of it */
};

struct web_answer {
    const char *why; /* there was none: a text for a person; else NULL */
    int status;
    const char *body; /* [len], and a NUL behind it */
    size_t len;
};

struct web_ask;
/* Once, from the loop; the answer is valid until it returns. */
typedef void web_ask_fn(void *arg, const struct web_answer *answer);
/* `server` outlives it, the question does not have to. Never calls back before it returned. */
struct web_ask *web_ask(struct loop *loop, const struct web_server *server,
                        const struct web_question *q, web_ask_fn *fn, void *arg);
/* Before the callback only. */
void web_ask_cancel(struct web_ask *a);

/* A header field with a token, CRLF at its end; heap. NULL with EINVAL: no token has such characters. */
char *web_bearer(const char *token);

#endif
