#include "applets/control/doctor_report.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "net/ssh.h"

/* $1 the nonce, then the two offers. A place is tried with a file in its nearest parent that
 * exists, so that no directory is left behind, and only where the file can be removed; the shell
 * runs an empty one as a script, if programs may run there at all. An agent is recognized by its
 * words, whose zero bytes the shell drops, and is asked for its version through /proc, where even
 * a binary that was replaced can be run. Last of all, where this very binary is, it answers what
 * comes by UDP for some seconds, and looks at the firewall. */
static const char script[] =
    "umask 077; n=$1; t=; q=; put() { echo \"$1=$2\"; }; echo \"berth-$n begin\"; "
    "drop() { rm -f \"$t\" 2>/dev/null; }; trap \"drop; exit 1\" HUP TERM PIPE; "

    "m=$(uname -m 2>/dev/null); put machine \"$m\"; "
    "put system \"$(uname -s 2>/dev/null)\"; put release \"$(uname -r 2>/dev/null)\"; "
    "u=$(id -u 2>/dev/null); put uid \"$u\"; put user \"${LOGNAME:-$USER}\"; "
    "l=; for c in uname head chmod mv mkdir; do "
    "command -v $c >/dev/null 2>&1 || l=\"$l $c\"; "
    "done; put lacks \"${l# }\"; "

    "case $m in aarch64) k=$5 r=$6 s=$7 ;; *) k=$2 r=$3 s=$4 ;; esac; "
    "case $s in 0) s=$(($4 + $7)) ;; esac; "
    "version() { case $(head -c 4 \"$1\" 2>/dev/null) in "
    "?ELF) \"$1\" --version </dev/null 2>/dev/null ;; "
    "*) return 1 ;; "
    "esac; }; "
    "others() { for b in \"$d\"/berth-????????????????; do case $b in "
    "\"$f\") ;; "
    "*) v=$(version \"$b\") && put other \"$v\" ;; "
    "esac; done; }; "
    "probe() { t=$p/.berth-$n; "
    "if e=$(quiet; filled); then "
    "e=; \"$t\" </dev/null >/dev/null 2>&1 || e=\"programs may not run there\"; "
    "else e=${e:-failed}; fi; drop; }; "
    "try() { p=$d; case $p in /*) ;; *) e=\"not an absolute path\"; return ;; esac; "
    "until [ -e \"$p\" ] || [ -L \"$p\" ]; do p=${p%/*}; p=${p:-/}; done; put near \"$p\"; "
    "case $p in \"$d\") ours || { e=\"not a directory of this user\"; return; } ;; esac; "
    "[ -d \"$p\" ] || { e=\"Not a directory\"; return; }; "
    "if command -v rm >/dev/null 2>&1; then probe; "
    "elif [ -w \"$p\" ]; then e=; else e=\"Permission denied\"; fi; "
    "df -Pk \"$p\" 2>/dev/null | { read -r x; read -r x; put df \"$x\"; }; }; "
    "look() { put place \"$d\"; if cached; then put cached yes; q=${q:-$f}; fi; if ours; then "
    "others; fi; "
    "try; put trouble \"${e##*: }\"; return 1; }; "
    "each look; "

    "kind() { if [ -L \"$1\" ]; then echo link; "
    "elif [ -S \"$1\" ] && [ -O \"$1\" ]; then echo socket; "
    "elif [ -f \"$1\" ] && [ -O \"$1\" ]; then echo file; "
    "elif [ -e \"$1\" ]; then echo foreign; "
    "elif [ -w \"${1%/*}\" ]; then echo free; "
    "else echo closed; fi; }; "
    "owner() { ls -ld \"$1\" 2>/dev/null | { read -r x x o x; put owner \"$o\"; }; }; "
    "for f in \"/tmp/berth-$u.sock\" \"$HOME/.berth.sock\"; do put socket \"$f\"; "
    "s=$(kind \"$f\"); put state $s; l=$(kind \"$f.lock\"); put lock $l; "
    "case $s,$l in "
    "socket,free|socket,file|free,free|free,file) ;; "
    "socket,*|free,*) owner \"$f.lock\" ;; "
    "*) owner \"$f\" ;; "
    "esac; done; "
    "for p in /proc/[0-9]*; do c=; "
    "if [ -O \"$p\" ]; then { read -r c <\"$p/cmdline\"; } 2>/dev/null; fi; "
    "case $c in berthagent--daemon[01]) "
    "put agent \"${c#berthagent--daemon} $(\"$p/exe\" --version </dev/null 2>/dev/null)\" ;; "
    "esac; done; "

    "if [ -d /run/systemd/system ]; then put systemd yes; fi; "
    "for f in /usr/lib/systemd/logind.conf /etc/systemd/logind.conf "
    "/usr/lib/systemd/logind.conf.d/*.conf /run/systemd/logind.conf.d/*.conf "
    "/etc/systemd/logind.conf.d/*.conf; do "
    "if [ -r \"$f\" ]; then while read -r x || [ \"$x\" ]; do "
    "case $x in Kill*|\"#\"*Kill*) put logind \"$f $x\" ;; esac; "
    "done <\"$f\"; fi; done; "
    "put files \"$(ulimit -Hn 2>/dev/null)\"; "
    "while read -r a b x; do case $a in MemAvailable:) put memory \"$b\" ;; esac; "
    "done 2>/dev/null </proc/meminfo; "
    "if [ \"$q\" ]; then \"$q\" agent --udp-echo </dev/null 2>/dev/null; fi; "
    "echo \"berth-$n end\"";

static const char *const fact_names[] = {
    "system", "machine", "release", "uid",      "user",          "lacks",          "systemd",
    "files",  "memory",  "udp",     "firewall", "firewall_seen", "firewall_remedy"};
static_assert(countof(fact_names) == FACTS, "a name for each fact");

char *doctor_command(const char nonce[static SSH_NONCE_LEN + 1],
                     const struct ssh_offer offers[static SSH_ARCHES])
{
    struct buf b = {0};
    cleanup_free char *text = xasprintf("%s%s", ssh_shell_functions, script);
    cleanup_free char *command = ssh_remote_command(text);
    buf_printf(&b, "%s berth %s", command, nonce);
    for (int arch = 0; arch < SSH_ARCHES; arch++)
        ssh_offer_put(&b, &offers[arch]);
    char *whole = xstrndup((const char *)buf_front(&b), b.len);
    buf_fini(&b);
    return whole;
}

const char *doctor_find(const char *nonce, enum doctor_mark mark, const char *text, size_t len)
{
    cleanup_free char *line =
        xasprintf("berth-%s %s\n", nonce, mark == DOCTOR_BEGIN ? "begin" : "end");
    return len ? memmem(text, len, line, strlen(line)) : NULL;
}

/* ---- line by line ---- */

struct reading {
    struct doctor_report *r;
    struct doctor_place *place;   /* what lines of a place are about */
    struct doctor_socket *socket; /* likewise */
};

static void begin_place(struct reading *g, const char *dir)
{
    struct doctor_place *next = g->place ? g->place + 1 : g->r->places;
    if (next == g->r->places + DOCTOR_PLACES)
        return;
    g->place = next;
    *next = (struct doctor_place){.dir = dir, .free_kib = -1};
}

static void begin_socket(struct reading *g, const char *path)
{
    struct doctor_socket *next = g->socket ? g->socket + 1 : g->r->sockets;
    if (next == g->r->sockets + PATH_AGENT_SOCKETS)
        return;
    g->socket = next;
    *next = (struct doctor_socket){.path = path};
}

/* df's line: device, blocks, used, available, capacity%, mount point. Names at both of its ends
 * may hold blanks. */
static int64_t available(const char *line)
{
    long long number = -1;
    while (*line) {
        size_t len = strcspn(line, " \t");
        char *end;
        long long n = strtoll(line, &end, 10);
        if (end > line && *end == '%')
            return number;
        number = end > line && end == line + len && n >= 0 ? n : -1;
        line += len + strspn(line + len, " \t");
    }
    return -1;
}

/* "0 berth 0.1.0 (build …)": the socket's number first. */
static void take_agent(struct doctor_report *r, const char *value)
{
    size_t which = (size_t)(value[0] - '0');
    if (which < PATH_AGENT_SOCKETS && value[1] == ' ')
        r->sockets[which].agent = value[2] ? value + 2 : "berth of an unknown build";
}

static bool is_true(const char *value)
{
    static const char *const words[] = {"yes", "y", "true", "t", "on", "1"};
    for (size_t i = 0; i < countof(words); i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

/* "FILE KEY=VALUE": the last one counts. Where it is only a comment, it tells the default that
 * the host's systemd was built with. */
static void take_logind(struct doctor_report *r, char *value)
{
    char *line = value + strcspn(value, " ");
    if (*line)
        *line++ = '\0';
    bool commented = *line == '#';
    line += strspn(line, "# \t");
    char *key = line, *end = key + strcspn(key, "= \t");
    char *what = end + strspn(end, "= \t");
    *end = '\0';
    if (strcmp(key, "KillUserProcesses") == 0 && !(commented && r->kills_set)) {
        r->kills = is_true(what);
        r->kills_set = !commented;
        r->kills_file = value;
    } else if (strcmp(key, "KillOnlyUsers") == 0 && !commented) {
        r->kills_only = *what ? what : NULL;
    } else if (strcmp(key, "KillExcludeUsers") == 0 && !commented) {
        r->kills_not = what;
    }
}

/* Where the text of that key belongs; NULL: it is no such key. */
static const char **slot(const struct reading *g, const char *key)
{
    for (size_t i = 0; i < FACTS; i++)
        if (strcmp(key, fact_names[i]) == 0)
            return &g->r->facts[i];
    if (g->place && strcmp(key, "near") == 0)
        return &g->place->near;
    if (g->place && strcmp(key, "trouble") == 0)
        return &g->place->trouble;
    if (g->place && strcmp(key, "other") == 0)
        return &g->place->other;
    if (g->socket && strcmp(key, "state") == 0)
        return &g->socket->state;
    if (g->socket && strcmp(key, "lock") == 0)
        return &g->socket->lock;
    if (g->socket && strcmp(key, "owner") == 0)
        return &g->socket->owner;
    return NULL;
}

static void take(struct reading *g, const char *key, char *value)
{
    const char **text = slot(g, key);
    g->r->last = key;
    if (!*value)
        return;
    if (text)
        *text = value;
    else if (strcmp(key, "place") == 0)
        begin_place(g, value);
    else if (strcmp(key, "socket") == 0)
        begin_socket(g, value);
    else if (g->place && strcmp(key, "cached") == 0)
        g->place->cached = true;
    else if (g->place && strcmp(key, "df") == 0)
        g->place->free_kib = available(value);
    else if (strcmp(key, "address") == 0 && g->r->address_count < DOCTOR_ADDRESSES)
        g->r->addresses[g->r->address_count++] = value;
    else if (strcmp(key, "agent") == 0)
        take_agent(g->r, value);
    else if (strcmp(key, "logind") == 0)
        take_logind(g->r, value);
}

static void read_lines(struct reading *g, char *text)
{
    for (char *next; *text; text = next) {
        size_t len = strcspn(text, "\n");
        next = text + len + (text[len] == '\n');
        text[utf8_harmless(text, len)] = '\0';
        char *equals = strchr(text, '=');
        if (!equals)
            continue;
        *equals = '\0';
        take(g, text, equals + 1);
    }
}

/* ---- the whole ---- */

static bool is_blank(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r' && line[i] != '\0')
            return false;
    return true;
}

static void keep_line(struct doctor_report *r, const char *line, size_t len)
{
    size_t at = 0, n = 0;
    bool valid;
    while (at < len && n++ < DOCTOR_NOISE_MAX)
        at += utf8_step(line + at, len - at, &valid);
    memcpy(r->noise, line, at);
    r->noise[utf8_harmless(r->noise, at)] = '\0';
}

static void take_noise(struct doctor_report *r, const char *text, size_t len)
{
    r->noise_len = len;
    while (len) {
        const char *end = memchr(text, '\n', len);
        size_t line = end ? (size_t)(end - text) : len;
        if (!is_blank(text, line)) {
            keep_line(r, text, line);
            return;
        }
        text += line + (end != NULL);
        len -= line + (end != NULL);
    }
}

void doctor_report_parse(struct doctor_report *r, const char *nonce, const char *text, size_t len)
{
    const char *begin = doctor_find(nonce, DOCTOR_BEGIN, text, len);
    const char *end = doctor_find(nonce, DOCTOR_END, text, len);
    *r = (struct doctor_report){.begun = begin, .complete = begin && end > begin};
    take_noise(r, text, begin ? (size_t)(begin - text) : len);
    if (!begin)
        return;
    r->text = xstrndup(begin, (size_t)((r->complete ? end : text + len) - begin));
    read_lines(&(struct reading){.r = r}, r->text);
}

void doctor_report_fini(struct doctor_report *r)
{
    free(r->text);
}
