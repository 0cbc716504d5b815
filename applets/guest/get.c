/* get.c: FileGet: a file of the guest's, to a file here or to standard output. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/guest/guest_visit.h"
#include "applets/service/file_path.h"
#include "applets/service/file_replace.h"
#include "applets/service/standard.h"
#include "applets/service/talk.h"
#include "core/mem.h"

struct get {
    struct visit *visit;
    struct talk talk;
    const char *remote;
    char *local;              /* absolute; NULL: standard output */
    struct stream *output;    /* for that */
    struct file_replace file; /* for anything else, once FileInfo has come */
    int64_t size;             /* as FileInfo says */
    uint64_t left;            /* bytes still to come */
    bool told;                /* FileInfo has come */
};

static void fail_local(struct get *g, int error)
{
    visit_fail(g->visit, "%s: %s", g->local,
               error == FILE_IRREGULAR ? "not a regular file" : strerror(error));
}

/* ---- the bytes ---- */

static void take_to_file(struct get *g)
{
    const uint8_t *data;
    size_t len;
    while (g->left > 0 && (data = stream_peek(g->talk.stream, &len)) != NULL) {
        len = len < g->left ? len : (size_t)g->left;
        int error = file_replace_write(&g->file, data, len);
        if (error) {
            fail_local(g, error);
            return;
        }
        stream_consume(g->talk.stream, len);
        g->left -= len;
    }
}

static void commit(struct get *g)
{
    int error = file_replace_commit(&g->file);
    if (error)
        fail_local(g, error);
    else
        visit_end(g->visit, 0);
}

static void take_bytes(struct get *g)
{
    if (g->local)
        take_to_file(g);
    else
        g->left -= talk_pass(g->talk.stream, g->output, g->left);
    if (g->left > 0 || g->visit->ended)
        return;
    if (g->local)
        commit(g);
    else if (stream_room(g->output) > 0)
        visit_end(g->visit, 0);
}

/* ---- what the guest says ---- */

/* That of a new file; -1: there is one already, whose mode is kept. */
static int64_t mode_here(const char *path, int64_t mode)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return -1;
    mode_t mask = umask(0);
    umask(mask);
    return mode & 0777 & ~(int64_t)mask;
}

static void open_file(struct get *g, int64_t mode)
{
    int error = file_replace_open(&g->file, NULL, g->local, mode_here(g->local, mode));
    if (error)
        fail_local(g, error);
}

static void read_info(struct get *g)
{
    struct message m;
    int64_t mode = 0;
    if (!talk_expect(&g->talk, MSG_FILE_INFO, &m))
        return;
    g->told = json_get_int(m.body, "size", &g->size) == 1 && g->size >= 0 &&
              json_get_int(m.body, "mode", &mode) == 1;
    message_fini(&m);
    g->left = (uint64_t)g->size;
    if (!g->told)
        visit_lost(g->visit, EPROTO);
    else if (g->local)
        open_file(g, mode);
}

static void go_on(struct get *g)
{
    if (!g->told)
        read_info(g);
    if (g->told && !g->visit->ended)
        take_bytes(g);
}

/* The end, too, once all has come: what is left is for standard output to take. */
static void broke_off(struct get *g, int error)
{
    if (!g->told)
        visit_lost(g->visit, error);
    else if (g->left > 0)
        visit_fail(g->visit,
                   "%s: the connection broke, or the file got shorter: %lld of %lld bytes came",
                   g->visit->where, (long long)(g->size - (int64_t)g->left), (long long)g->size);
}

static void on_guest(void *arg, struct stream *s, enum stream_event event)
{
    struct get *g = arg;
    switch (event) {
    case STREAM_DATA: go_on(g); break;
    case STREAM_EOF: broke_off(g, ECONNRESET); break;
    case STREAM_ERROR: broke_off(g, stream_error(s)); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    }
}

static void on_output(void *arg, struct stream *s, enum stream_event event)
{
    struct get *g = arg;
    if (event == STREAM_ERROR)
        visit_output_failed(g->visit, "standard output", stream_error(s));
    else if (event == STREAM_DRAINED && g->told)
        take_bytes(g);
}

/* ---- the beginning and the end ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Where the file goes: that path, or in the directory that it names. Heap; NULL with errno. */
static char *local_path(const char *word, const char *remote)
{
    struct stat st;
    char *here = word[0] == '/' ? xstrdup("") : getcwd(NULL, 0);
    if (!here)
        return NULL;
    bool into = stat(word, &st) == 0 && S_ISDIR(st.st_mode);
    char *path = xasprintf("%s%s%s%s%s", here, *here ? "/" : "", word, into ? "/" : "",
                           into ? base_name(remote) : "");
    free(here);
    return path;
}

static void start(struct get *g)
{
    struct draft d = draft_of(MSG_FILE_GET);
    if (!g->local) {
        g->output = standard_open(g->visit->loop, STDOUT_FILENO);
        stream_own(g->output, on_output, g);
    }
    draft_str(&d, "path", g->remote);
    talk_start(&g->talk, &d, on_guest, g);
}

int verb_get(struct visit *v, char **argv)
{
    struct words w = {.least = 1, .most = 2};
    struct get g = {.visit = v, .talk.visit = v, .file = FILE_REPLACE_NONE};
    if (!visit_words(v, argv, &w))
        return w.status;
    if (!visit_sendable(v->verb, w.at[0]))
        return 2;
    g.remote = w.at[0];
    bool file = w.n == 2 && strcmp(w.at[1], "-") != 0;
    if (file)
        g.local = local_path(w.at[1], g.remote);
    if (file && !g.local)
        visit_fail(v, "%s: %s", w.at[1], strerror(errno));
    else
        start(&g);
    int status = visit_run(v);
    talk_fini(&g.talk);
    file_replace_fini(&g.file);
    stream_reset(g.output);
    free(g.local);
    return status;
}
