/* One ssh connection, one script on the host: doctor_report.h. What it says is judged here:
 * doctor_check.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/applets.h"
#include "applets/control/doctor_check.h"
#include "applets/control/doctor_udp.h"
#include "applets/version.h"
#include "core/buf.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/mem.h"
#include "core/opt.h"
#include "core/utf8.h"
#include "net/ssh_binary.h"
#include "net/ssh_process.h"
#include "net/ssh_reason.h"

#define LIMIT_MS   30000 /* for all of it */
#define LINGER_MS  2000  /* of that, for what an ended ssh has left in its pipes */
#define ANSWER_MAX (SSH_NOISE_MAX + 256 * 1024)

enum { OPT_HELP = 1, OPT_SSH /* and every letter behind it: OPT_SSH + letter */ };

static const struct opt options[] = {
    {'p', NULL, OPT_VALUE, OPT_SSH + 'p'},
    {'i', NULL, OPT_VALUE, OPT_SSH + 'i'},
    {'J', NULL, OPT_VALUE, OPT_SSH + 'J'},
    {'F', NULL, OPT_VALUE, OPT_SSH + 'F'},
    {'o', NULL, OPT_VALUE, OPT_SSH + 'o'},
    {'h', "help", OPT_FLAG, OPT_HELP},
    {0},
};

/* ---- the conversation ---- */

struct talk {
    char nonce[SSH_NONCE_LEN + 1];
    pid_t pid;
    int io, err; /* of the ssh process; -1 once they have ended */
    struct buf answer;
    struct ssh_reason reason;
    uint64_t began_ms, limit_ms;
    uint64_t connect_ms;    /* 0: the host's shell has not answered */
    struct doctor_udp *udp; /* NULL: the host has not asked for it */
    bool done;              /* there is no more to be heard, or to be borne */
    bool timed_out;
    int status; /* waitpid's, of an ssh that ended by itself */
};

static const char *find(const struct talk *t, enum doctor_mark mark)
{
    return doctor_find(t->nonce, mark, (const char *)buf_front(&t->answer), t->answer.len);
}

static void end_of(int *fd)
{
    close(*fd);
    *fd = -1;
}

/* The host answers by UDP from the line on that says where. */
static void try_udp(struct talk *t)
{
    struct doctor_report r;
    const char *text = (const char *)buf_front(&t->answer);
    const char *line = t->connect_ms ? memmem(text, t->answer.len, "\nudp=", 5) : NULL;
    if (t->udp || !line || !memchr(line + 1, '\n', (size_t)(text + t->answer.len - line - 1)))
        return;
    doctor_report_parse(&r, t->nonce, text, t->answer.len);
    t->udp = doctor_udp_new(&r, t->pid);
    doctor_report_fini(&r);
}

static void read_answer(struct talk *t)
{
    ssize_t n = recv(t->io, buf_reserve(&t->answer, 64 * 1024), 64 * 1024, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        uint64_t soon_ms = loop_clock_us() / 1000 + LINGER_MS;
        end_of(&t->io);
        t->limit_ms = soon_ms < t->limit_ms ? soon_ms : t->limit_ms;
        return;
    }
    buf_commit(&t->answer, (size_t)n);
    if (!t->connect_ms && find(t, DOCTOR_BEGIN))
        t->connect_ms = loop_clock_us() / 1000 - t->began_ms + 1;
    try_udp(t);
    t->done = find(t, DOCTOR_END) || t->answer.len > ANSWER_MAX;
}

static void read_error(struct talk *t)
{
    char text[4096];
    ssize_t n = read(t->err, text, sizeof text);
    if (n > 0)
        ssh_reason_feed(&t->reason, text, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        end_of(&t->err);
}

static void listen_once(struct talk *t)
{
    struct pollfd fds[2 + DOCTOR_WAYS] = {{.fd = t->io, .events = POLLIN},
                                          {.fd = t->err, .events = POLLIN}};
    uint64_t now = loop_clock_us() / 1000, due_ms = t->limit_ms;
    size_t n = 2 + doctor_udp_wait(t->udp, fds + 2, &due_ms);
    if (now >= t->limit_ms) {
        t->timed_out = t->io >= 0;
        t->done = true;
        return;
    }
    if (poll(fds, n, due_ms > now ? (int)(due_ms - now) : 0) < 0)
        return;
    doctor_udp_turn(t->udp);
    if (fds[1].revents)
        read_error(t);
    if (fds[0].revents)
        read_answer(t);
}

/* Up to the end of the report, of ssh, or of patience. */
static void listen_on(struct talk *t)
{
    while (!t->done && (t->io >= 0 || t->err >= 0))
        listen_once(t);
    if (t->io >= 0 || t->err >= 0)
        kill(t->pid, SIGTERM);
    while (waitpid(t->pid, &t->status, 0) < 0 && errno == EINTR)
        ;
    if (t->io >= 0)
        end_of(&t->io);
    if (t->err >= 0)
        end_of(&t->err);
}

static void choose_nonce(struct talk *t)
{
    uint8_t random[SSH_NONCE_LEN / 2];
    key_random(random, sizeof random);
    hex_encode(t->nonce, random, sizeof random);
}

/* 0, or -1 with errno: ssh cannot be started. */
static int talk(struct talk *t, const struct ssh_options *o,
                const struct ssh_offer offers[static SSH_ARCHES])
{
    choose_nonce(t);
    cleanup_free char *command = doctor_command(t->nonce, offers);
    t->began_ms = loop_clock_us() / 1000;
    t->limit_ms = t->began_ms + LIMIT_MS;
    t->pid = ssh_spawn(o, command, &t->io, &t->err);
    if (t->pid < 0)
        return -1;
    /* A start-up file that reads would wait for ever. */
    shutdown(t->io, SHUT_WR);
    listen_on(t);
    return 0;
}

/* ---- the whole ---- */

static void learn_offers(struct ssh_offer offers[static SSH_ARCHES])
{
    for (int arch = 0; arch < SSH_ARCHES; arch++) {
        struct ssh_binary binary;
        ssh_binary_open(&binary, (enum ssh_arch)arch);
        offers[arch] = binary.offer;
        ssh_binary_close(&binary);
    }
}

static char *spawn_error(int error)
{
    return error == ENOENT ? xstrdup("there is no ssh program in PATH")
                           : xasprintf("cannot run ssh: %s", strerror(error));
}

static int print(const struct checks *c, const char *host)
{
    cleanup_free char *text = checks_text(c, host);
    fputs(text, stdout);
    return checks_count(c, CHECK_FAIL) ? 1 : 0;
}

static int examine(const struct ssh_options *o)
{
    struct talk t = {.io = -1, .err = -1};
    struct doctor_report report;
    struct checks checks;
    cleanup_free char *self = path_self(), *said = NULL;
    struct doctor_side side = {
        .host = o->host, .self = self, .version = berth_version(), .build = berth_build()};
    bool hopeless;
    learn_offers(side.offers);
    if (talk(&t, o, side.offers) < 0) {
        said = spawn_error(errno);
    } else {
        said = ssh_reason_text(&t.reason, o->host, false, &hopeless);
        if (said)
            said[utf8_harmless(said, strlen(said))] = '\0';
        side.by_host = WIFEXITED(t.status) && WEXITSTATUS(t.status) != 255;
    }
    side.said = said;
    side.timed_out = t.timed_out;
    side.connect_ms = t.connect_ms;
    doctor_udp_report(t.udp, &side);
    doctor_udp_free(t.udp);
    doctor_report_parse(&report, t.nonce, (const char *)buf_front(&t.answer), t.answer.len);
    doctor_check(&checks, &report, &side);
    int status = print(&checks, o->host);
    checks_fini(&checks);
    doctor_report_fini(&report);
    buf_fini(&t.answer);
    return status;
}

/* ---- options ---- */

struct words {
    char **ssh; /* NULL-terminated */
    size_t n;
    const char *host;
};

static void add_word(struct words *w, char *word)
{
    w->ssh = xrealloc(w->ssh, (w->n + 2) * sizeof *w->ssh);
    w->ssh[w->n++] = word;
    w->ssh[w->n] = NULL;
}

/* Both: the exit status, or -1 to go on. */
static int set_host(struct words *w, const char *word)
{
    if (w->host) {
        log_error("one host at a time: %s and %s were given", w->host, word);
        return 2;
    }
    if (!*word || *word == '-') {
        log_error("\"%s\" is not a host", word);
        return 2;
    }
    w->host = word;
    return -1;
}

static int take(struct words *w, int id, const char *value)
{
    switch (id) {
    case OPT_HELP: return applet_help("doctor");
    case OPT_ERROR: return 2;
    case OPT_OPERAND: return set_host(w, value);
    default:
        add_word(w, xasprintf("-%c", (char)(id - OPT_SSH)));
        add_word(w, xstrdup(value));
        return -1;
    }
}

int doctor_main(char **argv)
{
    struct opts o = opts_of(options, argv);
    struct words w = {0};
    int id, status = -1;
    while (status < 0 && (id = opt_next(&o)) != OPT_END)
        status = take(&w, id, o.value);
    for (; status < 0 && *o.argv; o.argv++)
        status = take(&w, OPT_OPERAND, *o.argv);
    if (status < 0 && !w.host) {
        log_error("which host? berth doctor [user@]host (see berth doctor --help)");
        status = 2;
    }
    if (status < 0) {
        add_word(&w, xstrdup("-oConnectTimeout=20")); /* the user's own comes before, and counts */
        status = examine(&(struct ssh_options){.host = w.host, .args = w.ssh, .batch = true});
    }
    for (size_t i = 0; i < w.n; i++)
        free(w.ssh[i]);
    free(w.ssh);
    return status;
}
