#include "applets/agent/join_run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/agent/enrol.h"
#include "applets/agent/join.h"
#include "applets/agent/join_memory.h"
#include "applets/agent/lock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/proc.h"

struct joining {
    struct loop *loop;
    struct join_words words; /* what was said, and what is remembered */
    struct join_memory memory;
    struct broker_place broker;
    struct service_policy policy;
    struct device_key key;
    struct join *join;
    bool kept; /* the memory says what we do */
};

/* ---- what happens ---- */

static const char *url_of(const struct joining *j)
{
    return j->broker.server.url.text;
}

static void keep(struct joining *j, const char *user)
{
    cleanup_free char *allow = policy_kinds_text(j->policy.allow);
    cleanup_free char *ca = j->words.broker.ca ? realpath(j->words.broker.ca, NULL) : NULL;
    struct join_words w = j->words;
    w.user = user;
    w.allow = allow;
    w.root = j->policy.root;
    w.broker.ca = ca;
    if (!j->kept)
        (void)join_memory_keep(&j->memory, url_of(j), &w);
    j->kept = true;
}

/* A device's public key is no secret: whoever has a code of their own could enrol it, and have it serve them. */
static bool is_ours(struct joining *j, const char *user)
{
    if (!j->words.user || strcmp(j->words.user, user) == 0)
        return true;
    log_error(
        "%s: this machine joined for %.64s, and now it would for %.64s: if that is right, join "
        "again with a code",
        url_of(j), j->words.user, user);
    return false;
}

static void on_join(void *arg, const struct join_news *news)
{
    struct joining *j = arg;
    switch (news->event) {
    case JOIN_UP:
        if (!is_ours(j, news->user)) {
            join_free(j->join);
            j->join = NULL;
            loop_stop(j->loop, 1);
            break;
        }
        log_note("joined as %.64s for %.64s at %s", news->agent, news->user, url_of(j));
        keep(j, news->user);
        break;
    case JOIN_LOST: log_note("%s: %.256s; trying again", url_of(j), news->why); break;
    case JOIN_ENDED: log_error("%s: %.256s", url_of(j), news->why); loop_stop(j->loop, 1);
    }
}

static void on_signal(void *arg, int signo)
{
    struct joining *j = arg;
    log_note("%s: the agent leaves %s", strsignal(signo), url_of(j));
    loop_stop(j->loop, 0);
}

/* One that is ignored, as under nohup, stays so. */
static void heed(struct joining *j, int signo)
{
    struct sigaction now;
    if (sigaction(signo, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
        loop_signal(j->loop, signo, on_signal, j);
}

/* ---- its life ---- */

static int serve(struct joining *j)
{
    cleanup_free char *allow = policy_kinds_text(j->policy.allow);
    const struct join_identity who = {url_of(j), &j->key, &j->policy};
    j->loop = loop_new();
    heed(j, SIGTERM);
    heed(j, SIGINT);
    heed(j, SIGHUP);
    proc_raise_files();
    log_note("%s may ask for: %s%s%s", url_of(j), allow,
             j->policy.root ? "; files only below " : "", j->policy.root ? j->policy.root : "");
    j->join = join_new(j->loop, &j->broker.server, &who, on_join, j);
    int status = loop_run(j->loop);
    if (j->join)
        join_free(j->join);
    loop_free(j->loop);
    return status;
}

/* Two of one device would throw each other out for ever. */
static int serve_alone(struct joining *j)
{
    cleanup_fd int lock = lock_take(j->memory.path, LOCK_ALIVE, false);
    if (lock < 0 && (errno == EAGAIN || errno == EACCES))
        log_error("%s: an agent of yours on this machine has joined it already", url_of(j));
    else if (lock < 0)
        log_error("%s.lock: %s", j->memory.path, strerror(errno));
    if (lock < 0)
        return 1;
    int status =
        j->words.code ? enrol(&j->broker.server, &j->key, j->words.code, j->words.name) : 0;
    if (!status)
        status = serve(j);
    lock_remove(j->memory.path);
    return status;
}

/* ---- what was said ---- */

static int read_policy(struct joining *j)
{
    cleanup_free char *why = NULL;
    const char *allow = j->words.allow ? j->words.allow : "all";
    if (policy_read_kinds(&j->policy.allow, allow) < 0) {
        log_error("--allow %s: some of exec,files,terminal,dial, or none", allow);
        return 2;
    }
    if (j->words.root && policy_set_root(&j->policy, j->words.root, &why) < 0) {
        log_error("%s", why);
        return 1;
    }
    return 0;
}

/* A code begins anew: what an earlier joining allowed does not count. */
static int recall(struct joining *j)
{
    struct url url;
    const char *why;
    if (url_parse(&url, j->words.broker.url, &why) < 0)
        return 0; /* which broker_place_find() says */
    if (join_memory_open(&j->memory, url.text) < 0 && !j->words.code)
        return 1;
    if (!j->words.code)
        join_memory_recall(&j->memory, &j->words);
    return 0;
}

static int prepare(struct joining *j)
{
    cleanup_free char *why = NULL;
    int status = recall(j);
    if (!status)
        status = broker_place_find(&j->broker, &j->words.broker);
    if (!status)
        status = read_policy(j);
    if (!status && j->words.name && !j->words.code) {
        log_error("--name goes with --code: a device keeps the name that it was enrolled by");
        status = 2;
    }
    if (!status && device_key_load(&j->key, &why) < 0) {
        log_error("%s", why);
        status = 1;
    }
    return status;
}

int join_run(const struct join_words *w)
{
    struct joining j = {.words = *w};
    int status = prepare(&j);
    if (!status)
        status = serve_alone(&j);
    key_wipe(&j.key, sizeof j.key);
    policy_fini(&j.policy);
    broker_place_fini(&j.broker);
    join_memory_fini(&j.memory);
    return status;
}
