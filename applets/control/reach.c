#include "applets/control/reach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"
#include "net/sock.h"

#define END_LIMIT_MS 5000

static void add(struct reach *r, char *path, bool agent)
{
    struct stat st;
    if (!path || lstat(path, &st) < 0) {
        free(path);
        return;
    }
    r->at = xrealloc(r->at, (r->n + 1) * sizeof *r->at);
    r->at[r->n++] = (struct place_here){path, agent};
}

static int by_path(const void *a, const void *b)
{
    const struct place_here *x = a, *y = b;
    return strcmp(x->path, y->path);
}

struct reach reach_find(void)
{
    struct reach r = {0};
    cleanup_free char *run = path_runtime("");
    DIR *dir = run ? opendir(run) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strncmp(e->d_name, "master-", 7) == 0)
            add(&r, path_runtime(e->d_name), false);
    if (dir)
        closedir(dir);
    if (r.n)
        qsort(r.at, r.n, sizeof *r.at, by_path);
    path_runtime_tidy();
    for (unsigned i = 0; i < PATH_AGENT_SOCKETS; i++)
        add(&r, path_agent_socket(i), true);
    return r;
}

void reach_fini(struct reach *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->at[i].path);
    free(r->at);
}

int reach_ask_kept(const struct place_here *p, struct draft *request, struct message *answer,
                   int *fd)
{
    *fd = sock_connect_own(p->path);
    if (*fd < 0)
        draft_free(request);
    else if (control_ask_on(*fd, request, answer) == 0)
        return 0;
    /* A socket that a killed process left behind is nobody. */
    if (errno == EPERM)
        log_error("%s is not yours: passed over", p->path);
    else if (errno != ECONNREFUSED && errno != ENOENT && errno != ECONNRESET)
        log_error("%s does not answer: %s", p->path, strerror(errno));
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return -1;
}

int reach_ask(const struct place_here *p, struct draft *request, struct message *answer)
{
    int fd, rc = reach_ask_kept(p, request, answer, &fd);
    if (fd >= 0)
        close(fd);
    return rc;
}

void reach_await_end(int fd)
{
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    if (fd >= 0)
        (void)poll(&ended, 1, END_LIMIT_MS);
}

const char *reach_refusal(const struct message *answer)
{
    const char *text;
    if (answer->type != MSG_ERROR)
        return NULL;
    text = json_get_str(answer->body, "message");
    return text ? text : "refused";
}
