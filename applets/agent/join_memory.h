/* join_memory.h: how this machine joins a broker, remembered: what was allowed once is not more the next time
 * because nobody said it again. Beside the device's key, a file for each broker:
 * ~/.config/berth/join-MACHINE-BROKER.json, {url, user, allow, root?, pin?, ca?, insecureHttp}. */
#ifndef AGENT_JOIN_MEMORY_H
#define AGENT_JOIN_MEMORY_H

#include "applets/agent/join_run.h"
#include "core/json.h"

struct join_memory {
    char *path;
    struct json *doc; /* NULL: nothing is remembered */
};

/* `url`: in url.h's one form. -1 and a line was logged where the file cannot be read or makes no sense: what
 * was allowed is then not known. join_memory_fini() is due in either case. */
int join_memory_open(struct join_memory *m, const char *url);
/* Fills in what was not said; the texts are the memory's. */
void join_memory_recall(const struct join_memory *m, struct join_words *w);
/* -1 and a line was logged. `w` says it all: absolute paths, no code. */
int join_memory_keep(const struct join_memory *m, const char *url, const struct join_words *w);
void join_memory_fini(struct join_memory *m);

#endif
