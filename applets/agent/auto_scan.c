/* --auto: this user's TCP listeners are read from /proc/net/tcp and tcp6 once a second, which
 * is what the kernel offers to a process without privileges; comings and goings are told to
 * the master, which decides. Ports below 1024, the ssh server's and our own are left out. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/agent/client.h"
#include "applets/agent/tcp_table.h"
#include "core/mem.h"
#include "core/paths.h"

#define SCAN_MS   1000
#define SCAN_MAX  256        /* listeners told at once */
#define PORT_MIN  1024       /* what is below belongs to the system */
#define TABLE_MAX (8u << 20) /* bytes */

struct found {
    uint16_t port;
    unsigned long inode;
    bool seen; /* in this round */
    bool told;
};

struct auto_scan {
    struct client *client;
    struct loop_timer tick;
    struct found found[SCAN_MAX];
    size_t n;
};

static bool holds(const char *pid, const char *socket)
{
    cleanup_free char *path = xasprintf("/proc/%s/fd", pid);
    DIR *fds = opendir(path);
    char link[64];
    bool hit = false;
    for (struct dirent *f; fds && !hit && (f = readdir(fds));) {
        ssize_t n = readlinkat(dirfd(fds), f->d_name, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
        hit = strcmp(link, socket) == 0;
    }
    if (fds)
        closedir(fds);
    return hit;
}

/* The process that holds a socket: its name and pid, when it is this user's own. */
static bool holder(unsigned long inode, char name[static 64], int64_t *pid)
{
    cleanup_free char *socket = xasprintf("socket:[%lu]", inode);
    DIR *proc = opendir("/proc");
    bool hit = false;
    for (struct dirent *p; proc && !hit && (p = readdir(proc));) {
        hit = p->d_name[0] >= '1' && p->d_name[0] <= '9' && holds(p->d_name, socket);
        if (!hit)
            continue;
        cleanup_free char *file = xasprintf("/proc/%s/comm", p->d_name);
        cleanup_free char *comm = path_read(file, 64, NULL);
        snprintf(name, 64, "%.*s", comm ? (int)strcspn(comm, "\n") : 0, comm ? comm : "");
        *pid = strtol(p->d_name, NULL, 10);
    }
    if (proc)
        closedir(proc);
    return hit;
}

static bool is_excluded(const char *name, int64_t pid)
{
    return pid == getpid() || strcmp(name, "sshd") == 0 || strcmp(name, "ssh") == 0 ||
           strcmp(name, "sshd-session") == 0 || strncmp(name, "berth", 5) == 0;
}

static void tell_opened(struct auto_scan *a, struct found *f, const struct tcp_listener *l)
{
    char name[64] = "", text[TARGET_TEXT_MAX];
    int64_t pid = 0;
    if (!holder(l->inode, name, &pid) || is_excluded(name, pid))
        return;
    struct target target = {.kind = TARGET_TCP, .port = l->port};
    snprintf(target.host, sizeof target.host, "%s", l->host);
    target_format(&target, text);
    struct draft d = draft_of(MSG_FORWARD_REQUEST);
    draft_int(&d, "id", ++a->client->last_id);
    draft_str(&d, "target", text);
    draft_int(&d, "local_port", l->port);
    draft_bool(&d, "auto", true);
    draft_str(&d, "process", name);
    draft_int(&d, "pid", pid);
    session_send(a->client->session, &d);
    f->told = true;
}

static void tell_closed(struct auto_scan *a, const struct found *f)
{
    struct draft d = draft_of(MSG_CLOSE_REQUEST);
    draft_int(&d, "id", ++a->client->last_id);
    draft_int(&d, "port", f->port);
    draft_bool(&d, "auto", true);
    session_send(a->client->session, &d);
}

static struct found *find(struct auto_scan *a, uint16_t port)
{
    struct found *f = a->found;
    while (f < a->found + a->n && f->port != port)
        f++;
    if (f < a->found + a->n)
        return f;
    if (a->n == SCAN_MAX)
        return NULL;
    a->n++;
    *f = (struct found){.port = port};
    return f;
}

/* A port that was nobody's to tell of may have passed to another process. */
static void see(struct auto_scan *a, const struct tcp_listener *l)
{
    struct found *f = find(a, l->port);
    if (!f || f->seen)
        return;
    f->seen = true;
    if (f->told || f->inode == l->inode)
        return;
    f->inode = l->inode;
    tell_opened(a, f, l);
}

static void see_all(struct auto_scan *a, const char *table)
{
    struct tcp_listener l;
    while (table && tcp_table_next(&table, &l))
        if (l.uid == geteuid() && l.port >= PORT_MIN)
            see(a, &l);
}

static void forget_unseen(struct auto_scan *a)
{
    for (size_t i = 0; i < a->n;) {
        if (a->found[i].seen) {
            i++;
            continue;
        }
        if (a->found[i].told)
            tell_closed(a, &a->found[i]);
        a->found[i] = a->found[--a->n];
    }
}

/* A table that cannot be read tells nothing of who is gone. */
static void scan(struct auto_scan *a)
{
    cleanup_free char *v4 = path_read("/proc/net/tcp", TABLE_MAX, NULL);
    bool unread = !v4;
    cleanup_free char *v6 = path_read("/proc/net/tcp6", TABLE_MAX, NULL);
    unread = unread || (!v6 && errno != ENOENT);
    if (unread)
        return;
    for (size_t i = 0; i < a->n; i++)
        a->found[i].seen = false;
    see_all(a, v4);
    see_all(a, v6);
    forget_unseen(a);
}

/* While there is no carrier nothing is told: it would only queue up. */
static void on_tick(void *arg)
{
    struct auto_scan *a = arg;
    if (session_is_up(a->client->session))
        scan(a);
    loop_timer_set(&a->tick, SCAN_MS);
}

struct auto_scan *auto_scan_new(struct client *c)
{
    struct auto_scan *a = xcalloc(1, sizeof *a);
    a->client = c;
    loop_timer_init(c->agent->loop, &a->tick, on_tick, a);
    loop_timer_set(&a->tick, 0);
    return a;
}

void auto_scan_free(struct auto_scan *a)
{
    if (!a)
        return;
    loop_timer_del(&a->tick);
    free(a);
}
