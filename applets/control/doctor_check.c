#include "applets/control/doctor_check.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"

#define FILES_MIN      1024         /* open files; below, forwards may run out of them */
#define MEMORY_MIN_KIB (16u * 1024) /* an agent with a few busy forwards */

/* ---- lines ---- */

static const char *const level_names[] = {"ok", "?", "warn", "FAIL"};
static_assert(countof(level_names) == CHECK_LEVELS, "a name for each level");

void check_add(struct checks *c, enum check_level level, const char *name, char *text, char *remedy)
{
    assert(c->n < CHECKS_MAX);
    c->at[c->n++] = (struct check){level, name, text, remedy};
}

void checks_fini(struct checks *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->at[i].text);
        free(c->at[i].remedy);
    }
    c->n = 0;
}

size_t checks_count(const struct checks *c, enum check_level level)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += c->at[i].level == level;
    return n;
}

char *checks_text(const struct checks *c, const char *host)
{
    struct buf b = {0};
    size_t fails = checks_count(c, CHECK_FAIL), warns = checks_count(c, CHECK_WARN);
    for (size_t i = 0; i < c->n; i++) {
        const struct check *k = &c->at[i];
        buf_printf(&b, "%-4s  %-13s  %s\n", level_names[k->level], k->name, k->text);
        if (k->remedy)
            buf_printf(&b, "%21s-> %s\n", "", k->remedy);
    }
    if (fails)
        buf_printf(&b, "%s is not ready: %zu to mend\n", host, fails);
    else if (warns)
        buf_printf(&b, "%s is ready, with %zu warning%s\n", host, warns, warns > 1 ? "s" : "");
    else
        buf_printf(&b, "%s is ready\n", host);
    char *text = xstrndup((const char *)buf_front(&b), b.len);
    buf_fini(&b);
    return text;
}

char *kib_text(uint64_t kib)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double n = (double)kib;
    size_t unit = 0;
    for (; n >= 1000 && unit < countof(units) - 1; unit++)
        n /= 1024;
    return xasprintf("%.*f %s", unit && n < 10, n, units[unit]);
}

/* ---- ssh and the login shell ---- */

static char *refusal(const char *said)
{
    const char *methods = strstr(said, "Permission denied (") + strlen("Permission denied (");
    if (strstr(methods, "password") || strstr(methods, "keyboard-interactive"))
        return xstrdup("asks for a password: `berth master` can pass it on once, but it cannot "
                       "reconnect by itself");
    return xasprintf("takes none of your keys: %s", said);
}

static char *ssh_remedy(const char *said, const char *host)
{
    static const struct {
        const char *pattern, *remedy;
    } rows[] = {
        {"no ssh program", "install OpenSSH's client, or mend PATH"},
        {"ould not resolve hostname", "is the name right, and known to DNS or ~/.ssh/config?"},
        {"onnection refused", "does sshd run there, and on that port? -p gives another one"},
        {"timed out", "is it up, and does a firewall stand between? -J goes by a jump host"},
        {"No route to host", "is it up, and does a firewall stand between? -J goes by a jump host"},
        {"unreachable", "is this machine's own network up?"},
        {"Too many authentication failures", "offer one key alone: -i KEY -o IdentitiesOnly=yes"},
        {"Unable to negotiate", "one of the two ssh is too old for the other: update it"},
        {"onfiguration option", "mend that option: `man ssh_config` lists them all"},
        {"usage: ssh", "mend that option: `man ssh` lists them all"},
    };
    if (strstr(said, "Permission denied ("))
        return xasprintf("load a key with `ssh-add`, name one with -i, or give the host one: "
                         "`ssh-copy-id %s`",
                         host);
    if (strstr(said, "host key"))
        return NULL; /* it says what to do */
    for (size_t i = 0; i < countof(rows); i++)
        if (strstr(said, rows[i].pattern))
            return xstrdup(rows[i].remedy);
    return xasprintf("see what `ssh -v %s` says", host);
}

static void ssh_failed(struct checks *c, const struct doctor_side *side)
{
    if (side->timed_out) {
        check_add(c, CHECK_FAIL, "ssh", xstrdup("no answer in time"),
                  xasprintf("see what `ssh -v %s` waits for", side->host));
        return;
    }
    const char *said = side->said ? side->said : "ssh ended without saying why";
    char *text = strstr(said, "Permission denied (") ? refusal(said) : xstrdup(said);
    check_add(c, CHECK_FAIL, "ssh", text, ssh_remedy(said, side->host));
}

static void shell_failed(struct checks *c, const struct doctor_report *r,
                         const struct doctor_side *side)
{
    /* On standard error a banner may have come, which has no part in this. */
    const char *said = r->noise[0] || !side->said ? r->noise : side->said;
    check_add(c, CHECK_OK, "ssh", xstrdup("connects, without a prompt"), NULL);
    check_add(c, CHECK_FAIL, "login shell",
              xasprintf("runs no command%s%s", *said ? ": " : "", said),
              xasprintf("`ssh %s true` must do: see to the account's shell, its start-up files, "
                        "or a forced command",
                        side->host));
}

static void shell_floods(struct checks *c)
{
    check_add(c, CHECK_FAIL, "login shell",
              xstrdup("prints over 1 MiB before it runs a command: berth gives up"),
              xstrdup("have its start-up files print only for a person, when $- has an i"));
}

/* False: nothing was heard of the host. */
static bool check_ssh(struct checks *c, const struct doctor_report *r,
                      const struct doctor_side *side)
{
    if (r->begun)
        check_add(c, CHECK_OK, "ssh",
                  xasprintf("connects, %" PRIu64 " ms, without a prompt", side->connect_ms), NULL);
    else if (r->noise_len > SSH_NOISE_MAX)
        shell_floods(c);
    else if (side->by_host && !side->timed_out)
        shell_failed(c, r, side);
    else
        ssh_failed(c, side);
    return r->begun;
}

static void check_shell(struct checks *c, const struct doctor_report *r)
{
    if (r->noise_len > SSH_NOISE_MAX)
        shell_floods(c);
    else if (r->noise_len)
        check_add(c, CHECK_WARN, "login shell",
                  xasprintf("prints %zu bytes before it runs a command%s%s", r->noise_len,
                            r->noise[0] ? ": " : "", r->noise),
                  xstrdup("harmless to berth, not to scp and rsync: print only for a person, "
                          "when $- has an i"));
    else
        check_add(c, CHECK_OK, "login shell", xstrdup("prints nothing of its own"), NULL);
}

/* ---- what the host is ---- */

enum ssh_arch check_arch(const struct doctor_report *r)
{
    const char *system = r->facts[FACT_SYSTEM], *machine = r->facts[FACT_MACHINE];
    int arch = 0;
    if (!system || !machine || strcmp(system, "Linux") != 0)
        return SSH_ARCHES;
    while (arch < SSH_ARCHES && strcmp(machine, ssh_arch_name((enum ssh_arch)arch)) != 0)
        arch++;
    return (enum ssh_arch)arch;
}

static void check_machine(struct checks *c, const struct doctor_report *r,
                          const struct doctor_side *side)
{
    const char *system = r->facts[FACT_SYSTEM], *machine = r->facts[FACT_MACHINE];
    enum ssh_arch arch = check_arch(r);
    if (!system || !machine)
        check_add(c, CHECK_UNKNOWN, "architecture", xstrdup("unknown: uname says nothing"), NULL);
    else if (arch == SSH_ARCHES)
        check_add(c, CHECK_FAIL, "architecture",
                  xasprintf("%s %s: berth is built for Linux on %s and %s", system, machine,
                            ssh_arch_name(SSH_X86_64), ssh_arch_name(SSH_AARCH64)),
                  xstrdup("only a Linux machine of these, be it a virtual one, will do"));
    else if (!side->offers[arch].size)
        check_add(c, CHECK_FAIL, "architecture",
                  xasprintf("%s %s, and here is no berth-%s to send", system, machine, machine),
                  xasprintf("put one beside %s: `make` builds both", side->self));
    else
        check_add(c, CHECK_OK, "architecture", xasprintf("%s %s", system, machine), NULL);
}

/* Children are waited for by pidfd, which waitid() has known since 5.4. */
static bool is_older(const char *release, unsigned long major, unsigned long minor)
{
    char *end;
    unsigned long a = strtoul(release, &end, 10);
    unsigned long b = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    return a < major || (a == major && b < minor);
}

static void check_kernel(struct checks *c, const struct doctor_report *r)
{
    const char *system = r->facts[FACT_SYSTEM], *release = r->facts[FACT_RELEASE];
    if (system && strcmp(system, "Linux") != 0)
        return;
    if (!release)
        check_add(c, CHECK_UNKNOWN, "kernel", xstrdup("unknown: uname says nothing"), NULL);
    else if (is_older(release, 5, 4))
        check_add(c, CHECK_FAIL, "kernel", xasprintf("%s: berth needs Linux 5.4", release),
                  xstrdup("update the host's kernel"));
    else
        check_add(c, CHECK_OK, "kernel", xstrdup(release), NULL);
}

static void check_tools(struct checks *c, const struct doctor_report *r)
{
    if (r->facts[FACT_LACKS])
        check_add(c, CHECK_FAIL, "tools", xasprintf("not there: %s", r->facts[FACT_LACKS]),
                  xstrdup("install them (coreutils, busybox), or mend PATH in the login shell's "
                          "start-up files"));
}

/* ---- what becomes of an agent ---- */

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += len)
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
            return true;
    return false;
}

/* As logind decides it: logind.conf(5), KillUserProcesses and the two behind it. Lingering keeps
 * the user's own service manager, but not what a session has started. */
static bool is_killed(const struct doctor_report *r)
{
    const char *user = r->facts[FACT_USER];
    if (!r->facts[FACT_SYSTEMD] || !user || has_word(r->kills_not ? r->kills_not : "root", user))
        return false;
    return r->kills_only ? has_word(r->kills_only, user) : r->kills;
}

static void check_logout(struct checks *c, const struct doctor_report *r)
{
    const char *user = r->facts[FACT_USER];
    if (!is_killed(r)) {
        check_add(c, CHECK_OK, "logout", xstrdup("an agent outlives its ssh connection"), NULL);
        return;
    }
    cleanup_free char *setting = r->kills_only
                                     ? xasprintf("KillOnlyUsers=%s", r->kills_only)
                                     : xasprintf("KillUserProcesses=yes in %s", r->kills_file);
    check_add(c, CHECK_WARN, "logout",
              xasprintf("an agent ends with its ssh connection, and all that goes through it: %s",
                        setting),
              xasprintf("its administrator can set KillExcludeUsers=root %s in logind.conf; "
                        "lingering does not help",
                        user));
}

static void check_files(struct checks *c, const struct doctor_report *r)
{
    const char *files = r->facts[FACT_FILES];
    if (!files)
        check_add(c, CHECK_UNKNOWN, "open files", xstrdup("unknown: ulimit says nothing"), NULL);
    else if (strcmp(files, "unlimited") != 0 && strtoull(files, NULL, 10) < FILES_MIN)
        check_add(c, CHECK_WARN, "open files",
                  xasprintf("at most %s, and each forwarded connection takes one", files),
                  xstrdup("raise nofile in /etc/security/limits.conf there"));
    else
        check_add(c, CHECK_OK, "open files", xasprintf("up to %s", files), NULL);
}

static void check_memory(struct checks *c, const struct doctor_report *r)
{
    const char *memory = r->facts[FACT_MEMORY];
    if (!memory) {
        check_add(c, CHECK_UNKNOWN, "memory", xstrdup("unknown: no /proc/meminfo"), NULL);
        return;
    }
    uint64_t kib = strtoull(memory, NULL, 10);
    cleanup_free char *size = kib_text(kib);
    if (kib < MEMORY_MIN_KIB)
        check_add(c, CHECK_WARN, "memory", xasprintf("only %s available", size),
                  xstrdup("an agent takes 2 MiB, and more while it carries much: end something"));
    else
        check_add(c, CHECK_OK, "memory", xasprintf("%s available", size), NULL);
}

static void check_end(struct checks *c, const struct doctor_report *r)
{
    if (!r->complete)
        check_add(c, CHECK_FAIL, "answer",
                  xasprintf("the host stopped answering, after \"%s\"", r->last ? r->last : ""),
                  xstrdup("does a file system hang there? `df` will tell"));
}

void doctor_check(struct checks *c, const struct doctor_report *r, const struct doctor_side *side)
{
    *c = (struct checks){0};
    if (!check_ssh(c, r, side))
        return;
    check_shell(c, r);
    check_machine(c, r, side);
    check_kernel(c, r);
    check_tools(c, r);
    check_places(c, r, side);
    check_sockets(c, r);
    check_versions(c, r, side);
    check_logout(c, r);
    check_files(c, r);
    check_memory(c, r);
    check_path(c, r, side);
    check_end(c, r);
}
