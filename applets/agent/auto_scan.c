/* --auto: this user's TCP listeners are read from /proc/net/tcp and tcp6 once a second, which
 * is what the kernel offers to a process without privileges; comings and goings are told to
 * the master, which decides. Ports below 1024, the ssh server's and our own are left out. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/agent/agent.h"
#include "core/mem.h"
#include "core/paths.h"

#define SCAN_MS    1000
#define SCAN_MAX   256  /* listeners told at once */
#define PORT_MIN   1024 /* what is below belongs to the system */
#define TCP_LISTEN 10   /* the state's number in /proc/net/tcp (net/tcp_states.h) */
#define TABLE_MAX  (8u << 20)

struct found {
    uint16_t port;
    bool seen; /* in this round */
    bool told;
};

struct auto_scan {
    struct client *client;
    struct loop_timer tick;
    struct found found[SCAN_MAX];
    size_t n;
};

/* The process that holds a socket: its name and pid, when it is this user's own. */
static bool holder(unsigned long inode, char name[static 64], int64_t *pid)
{
    cleanup_free char *want = xasprintf("socket:[%lu]", inode);
    DIR *proc = opendir("/proc");
    struct dirent *p, *f;
    bool hit = false;
    while (proc && !hit && (p = readdir(proc))) {
        cleanup_free char *dir = xasprintf("/proc/%s/fd", p->d_name);
        DIR *fds = p->d_name[0] >= '1' && p->d_name[0] <= '9' ? opendir(dir) : NULL;
        while (fds && !hit && (f = readdir(fds))) {
            char link[64];
            ssize_t n = readlinkat(dirfd(fds), f->d_name, link, sizeof link - 1);
            hit = n > 0 && (size_t)n == strlen(want) && memcmp(link, want, (size_t)n) == 0;
        }
        if (fds)
            closedir(fds);
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

/* `address`: hex as in the table, in the host's byte order by words. */
static void target_of(const char *address, uint16_t port, char text[static TARGET_TEXT_MAX])
{
    struct target t = {.kind = TARGET_TCP, .port = port, .host = "localhost"};
    unsigned v4;
    /* A v4 listener on one address of the machine is reached there and nowhere else. */
    if (strlen(address) == 8 && sscanf(address, "%x", &v4) == 1 && v4 != 0 && (v4 & 0xff) != 127)
        snprintf(t.host, sizeof t.host, "%u.%u.%u.%u", v4 & 0xff, v4 >> 8 & 0xff, v4 >> 16 & 0xff,
                 v4 >> 24);
    target_format(&t, text);
}

static void tell_opened(struct auto_scan *a, struct found *f, const char *address,
                        unsigned long inode)
{
    char name[64] = "", target[TARGET_TEXT_MAX];
    int64_t pid = 0;
    if (!holder(inode, name, &pid) || is_excluded(name, pid))
        return;
    struct draft d = draft_of(MSG_FORWARD_REQUEST);
    target_of(address, f->port, target);
    draft_int(&d, "id", ++a->client->last_id);
    draft_str(&d, "target", target);
    draft_int(&d, "local_port", f->port);
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

static void see(struct auto_scan *a, const char *address, uint16_t port, unsigned long inode)
{
    struct found *f = a->found;
    while (f < a->found + a->n && f->port != port)
        f++;
    if (f < a->found + a->n) {
        f->seen = true;
        return;
    }
    if (a->n == SCAN_MAX)
        return;
    a->n++;
    *f = (struct found){.port = port, .seen = true};
    tell_opened(a, f, address, inode);
}

static void read_table(struct auto_scan *a, const char *path)
{
    cleanup_free char *table = path_read(path, TABLE_MAX, NULL);
    char address[33];
    unsigned port, state, uid;
    unsigned long inode;
    for (char *save = NULL, *line = table ? strtok_r(table, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        if (sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %u %*d %lu",
                   address, &port, &state, &uid, &inode) != 5)
            continue;
        if (state == TCP_LISTEN && uid == geteuid() && port >= PORT_MIN && port <= UINT16_MAX)
            see(a, address, (uint16_t)port, inode);
    }
}

static void on_tick(void *arg)
{
    struct auto_scan *a = arg;
    for (size_t i = 0; i < a->n; i++)
        a->found[i].seen = false;
    read_table(a, "/proc/net/tcp");
    read_table(a, "/proc/net/tcp6");
    for (size_t i = 0; i < a->n;) {
        if (a->found[i].seen) {
            i++;
            continue;
        }
        if (a->found[i].told)
            tell_closed(a, &a->found[i]);
        a->found[i] = a->found[--a->n];
    }
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
