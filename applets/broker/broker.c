/* broker.c: the broker's start: its state, its keeper, its listener; then it gives up what it can, and serves. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "applets/applets.h"
#include "applets/broker/activity.h"
#include "applets/broker/admin.h"
#include "applets/broker/confine.h"
#include "applets/broker/device_list.h"
#include "applets/broker/keeper.h"
#include "applets/broker/options.h"
#include "applets/broker/sweep.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"
#include "core/proc.h"
#include "net/sock.h"

#define LIMIT_NAMES 65536

/* ---- its state ---- */

/* What another user has is one that a broker of root's was given to. */
static int state_dir(const char *dir)
{
    struct stat st;
    bool there = lstat(dir, &st) == 0;
    if (there && geteuid() == 0 && st.st_uid != 0) {
        if (S_ISDIR(st.st_mode) && (st.st_mode & 077) == 0)
            return 0;
        errno = EPERM;
    } else if (path_private_dir(dir) == 0) {
        return 0;
    }
    log_error("%s: %s", dir,
              errno == EPERM ? "not a directory that its owner alone can enter" : strerror(errno));
    return -1;
}

static int open_store(struct front *f, const char *state)
{
    cleanup_free char *path = xasprintf("%s/broker.db", state);
    cleanup_free char *why = NULL;
    f->store = store_sqlite_open(f->loop, path, &why);
    if (f->store)
        return 0;
    log_error("%s", why);
    if (access(state, X_OK) < 0)
        log_error("uid %u cannot get there: choose another --state", geteuid());
    return -1;
}

/* One that is left over from a broker that was killed: the store is ours alone, so it is gone. */
static int open_control(struct front *f, const char *state)
{
    cleanup_free char *path = admin_socket(state);
    unlink(path);
    f->control = admin_serve(f, path);
    if (f->control)
        return 0;
    log_error("%s: %s", path, strerror(errno));
    return -1;
}

/* ---- its network ---- */

static void print_fingerprint(const struct tls_server *tls)
{
    uint8_t hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    tls_server_fingerprint(tls, hash);
    hex_encode(hex, hash, sizeof hash);
    log_note("its certificate's SHA-256 is %s", hex);
}

static int open_tls(struct front *f, const struct broker_options *o)
{
    cleanup_free char *why = NULL, *path = xasprintf("%s/tls.pem", o->state);
    const char *names[] = {o->url.at.host, "localhost", "127.0.0.1", "::1"};
    if (!o->tls_cert && !o->tls_self_signed)
        return 0;
    f->tls = o->tls_cert ? tls_server_load(o->tls_cert, o->tls_key, &why)
                         : tls_server_self_signed(path, names, countof(names), &why);
    if (!f->tls) {
        log_error("%s", why);
        return -1;
    }
    if (o->tls_self_signed)
        print_fingerprint(f->tls);
    return 0;
}

static int open_oidc(struct front *f, const struct broker_options *o)
{
    cleanup_free char *why = NULL;
    if (!o->oidc.issuer)
        return 0;
    f->oidc = oidc_new(f->loop, &o->oidc, &why);
    if (f->oidc)
        return 0;
    log_error("%s", why);
    return -1;
}

static int open_listener(struct front *f, struct broker_options *o)
{
    char text[TARGET_TEXT_MAX];
    target_format(&o->listen, text);
    if (front_listen(f, &o->listen) < 0) {
        log_error("%s: %s", text, strerror(errno));
        return -1;
    }
    if (o->listen.port)
        return 0;
    o->listen.port = listener_port(f->listener);
    return broker_options_settle(o) ? -1 : 0;
}

/* ---- its life ---- */

static void on_agent(void *arg, struct agent_link *link, bool joined)
{
    struct front *f = arg;
    const char *hostname = json_get_str(bridge_metadata(link), "hostname");
    activity_note(f->activity,
                  &(struct activity_what){.who = &link->device.owner,
                                          .kind = joined ? ACTIVITY_JOIN : ACTIVITY_LEAVE,
                                          .agent = link->device.name,
                                          .hostname = hostname ? hostname : "",
                                          .what = ""});
    device_seen(f->store, &link->device, bridge_metadata(link));
}

static void on_keeper_gone(void *arg)
{
    struct front *f = arg;
    log_error("the keeper has ended, and so does the broker");
    loop_stop(f->loop, 1);
}

static void on_signal(void *arg, int signo)
{
    struct front *f = arg;
    (void)signo;
    loop_stop(f->loop, 0);
}

static void set_up_install(struct front *f, const struct broker_options *o)
{
    struct install *i = &f->install;
    *i = (struct install){.url = f->url, .downloads = f->downloads, .pinned = o->tls_self_signed};
    if (i->pinned) {
        tls_server_fingerprint(f->tls, i->pin);
        tls_server_key_hash(f->tls, i->key_pin);
    }
}

static void set_up(struct front *f, const struct broker_options *o)
{
    f->url = o->url.text;
    f->patience = &front_patience;
    f->secure = o->url.tls;
    f->behind_proxy = o->behind_proxy;
    f->registry = registry_new();
    room_init(&f->room, f->loop);
    leases_init(&f->leases, f->loop);
    f->activity = activity_new(f->store);
    f->sweep = sweep_start(f->store, SWEEP_FIRST_MS);
    f->bridges = (struct bridges){.loop = f->loop,
                                  .store = f->store,
                                  .registry = f->registry,
                                  .url = f->url,
                                  .strangers = &f->strangers,
                                  .changed = on_agent,
                                  .arg = f};
    set_up_install(f, o);
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        if (o->limits[i].burst)
            f->limits[i] = limit_new(&o->limits[i], LIMIT_NAMES);
    loop_signal(f->loop, SIGTERM, on_signal, f);
    loop_signal(f->loop, SIGINT, on_signal, f);
    loop_signal(f->loop, SIGHUP, on_signal, f);
}

/* In this order: what needs root, what needs files, and then neither. */
static int open_all(struct front *f, struct broker_options *o, int keeper)
{
    uid_t uid;
    gid_t gid;
    if (confine_user(o->state, o->user, &uid, &gid) < 0 || open_tls(f, o) < 0 ||
        open_oidc(f, o) < 0 || open_listener(f, o) < 0)
        return -1;
    proc_raise_files();
    if (confine_become(uid, gid) < 0) {
        log_error("it cannot become uid %u: %s", uid, strerror(errno));
        return -1;
    }
    f->downloads = downloads_open();
    f->keeper = keeper_attach(f->loop, keeper, on_keeper_gone, f);
    if (open_store(f, o->state) < 0 || open_control(f, o->state) < 0)
        return -1;
    return o->unconfined ? 0 : confine_front(o->state, f->oidc && !o->oidc.jwks_file);
}

static void close_all(struct front *f)
{
    front_end(f);
    control_free(f->control);
    keeper_free(f->keeper);
    sweep_end(f->sweep);
    store_close(f->store);
    loop_turn(f->loop, 0);
    activity_free(f->activity);
    downloads_free(f->downloads);
    tls_server_free(f->tls);
    oidc_free(f->oidc);
    if (f->registry)
        registry_free(f->registry);
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        limit_free(f->limits[i]);
}

static void print_how_to_go_on(const struct broker_options *o)
{
    log_plain("berth broker: %s, state in %s", o->url.text, o->state);
    log_plain("  berth broker user add NAME    a user of it");
    log_plain("  berth broker token NAME       an API token of theirs");
}

static int run(struct broker_options *o)
{
    if (state_dir(o->state) < 0)
        return 1;
    syscall(SYS_close_range, 3U, ~0U, 0U); /* whatever the caller has left open */
    int keeper = keeper_start();
    if (keeper < 0) {
        log_error("the keeper cannot be started: %s", strerror(errno));
        return 1;
    }
    struct front f = {.loop = loop_new()};
    int status = 1;
    if (open_all(&f, o, keeper) == 0) {
        set_up(&f, o);
        print_how_to_go_on(o);
        status = loop_run(f.loop);
    }
    close_all(&f);
    loop_free(f.loop);
    return status;
}

int broker_main(char **argv)
{
    struct broker_options o;
    int status = broker_options_parse(&o, argv);
    umask(077);
    if (status == 0 && o.help)
        status = applet_help("broker");
    else if (status == 0 && o.n_words)
        status = admin_run(&o);
    else if (status == 0)
        status = broker_options_settle(&o);
    if (status == 0 && !o.help && !o.n_words)
        status = run(&o);
    broker_options_fini(&o);
    return status;
}
