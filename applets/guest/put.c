/* put.c: FilePut: a file here, or standard input, becomes a file of the guest's. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/guest/guest_visit.h"
#include "applets/guest/spool.h"
#include "applets/service/talk.h"

#define CHUNK         ((size_t)64 << 10)
#define CHUNKS_A_TURN 16

struct put {
    struct visit *visit;
    struct talk talk;
    const char *local, *path; /* local NULL: standard input */
    struct spool *spool;      /* while standard input has to be read to its end */
    int fd;
    off_t at, end;
    mode_t mode; /* the file's; standard input has none to be sent */
    struct loop_task more;
};

static void fail_local(struct put *p, const char *why)
{
    visit_fail(p->visit, "%s: %s", p->local ? p->local : "standard input", why);
}

/* ---- the bytes ---- */

/* False where the file has got shorter, or cannot be read. */
static bool send_chunk(struct put *p)
{
    uint8_t data[CHUNK];
    off_t left = p->end - p->at;
    ssize_t n = pread(p->fd, data, left < (off_t)CHUNK ? (size_t)left : CHUNK, p->at);
    if (n <= 0)
        fail_local(p, n < 0 ? strerror(errno) : "it got shorter while it was sent");
    else
        stream_write(p->talk.stream, data, (size_t)n);
    p->at += n > 0 ? n : 0;
    return n > 0;
}

static void send_more(void *arg)
{
    struct put *p = arg;
    for (int i = 0; i < CHUNKS_A_TURN && p->at < p->end; i++)
        if (stream_room(p->talk.stream) == 0 || p->visit->ended || !send_chunk(p))
            return;
    if (p->at < p->end)
        loop_task_post(&p->more);
}

static void read_answer(struct put *p)
{
    struct message m;
    if (!talk_expect(&p->talk, MSG_OK, &m))
        return;
    message_fini(&m);
    if (p->at == p->end)
        visit_end(p->visit, 0);
    else
        visit_lost(p->visit, EPROTO);
}

static void on_guest(void *arg, struct stream *s, enum stream_event event)
{
    struct put *p = arg;
    switch (event) {
    case STREAM_DATA: read_answer(p); break;
    case STREAM_OPEN:
    case STREAM_DRAINED: send_more(p); break;
    case STREAM_EOF: visit_lost(p->visit, ECONNRESET); break;
    case STREAM_ERROR: visit_lost(p->visit, stream_error(s)); break;
    }
}

static void ask(struct put *p)
{
    struct draft d = draft_of(MSG_FILE_PUT);
    draft_str(&d, "path", p->path);
    draft_int(&d, "size", p->end - p->at);
    if (p->local)
        draft_int(&d, "mode", p->mode & 0777);
    talk_start(&p->talk, &d, on_guest, p);
}

/* ---- the beginning and the end ---- */

static void spooled(void *arg, int fd, off_t size, int error)
{
    struct put *p = arg;
    p->spool = NULL;
    p->fd = fd;
    p->end = size;
    if (error)
        visit_fail(p->visit, "standard input cannot be kept in %s up to its end: %s", spool_dir(),
                   strerror(error));
    else
        ask(p);
}

static void start_file(struct put *p)
{
    struct stat st;
    p->fd = open(p->local, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (p->fd < 0 || fstat(p->fd, &st) != 0) {
        fail_local(p, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        fail_local(p, "not a regular file (- reads standard input to its end)");
    } else {
        p->end = st.st_size;
        p->mode = st.st_mode;
        ask(p);
    }
}

/* Its size has to be known first, as a regular file's is. */
static void start_input(struct put *p)
{
    struct stat st;
    off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
    if (at < 0 || fstat(STDIN_FILENO, &st) != 0 || !S_ISREG(st.st_mode)) {
        p->spool = spool_start(p->visit->loop, spooled, p);
        return;
    }
    p->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    p->at = at;
    p->end = at < st.st_size ? st.st_size : at;
    ask(p);
}

int verb_put(struct visit *v, char **argv)
{
    struct words w = {.least = 1, .most = 2};
    struct put p = {.visit = v, .talk.visit = v, .fd = -1};
    if (!visit_words(v, argv, &w))
        return w.status;
    if (!visit_sendable(v->verb, w.at[w.n - 1]))
        return 2;
    p.path = w.at[w.n - 1];
    p.local = w.n == 2 && strcmp(w.at[0], "-") != 0 ? w.at[0] : NULL;
    loop_task_init(v->loop, &p.more, send_more, &p);
    if (p.local)
        start_file(&p);
    else
        start_input(&p);
    int status = visit_run(v);
    spool_cancel(p.spool);
    loop_task_del(&p.more);
    talk_fini(&p.talk);
    if (p.fd >= 0)
        close(p.fd);
    return status;
}
