#include <stdio.h>
#include <stdlib.h>

#include "applets/control/doctor_check.h"
#include "core/mem.h"
#include "net/ssh.h"
#include "tests/unit/test.h"

static const char nonce[] = "0123456789abcdef";

#define HERE   "0.1.0 (build aaaabbbbccccdddd)"
#define FACTS  "system=Linux\nmachine=x86_64\nrelease=6.1.0-18-amd64\nuid=1000\nuser=me\nlacks=\n"
#define HOME   "place=/home/me/.cache/berth\nnear=/home/me\n"
#define DF     "df=/dev/sda1 100000000 9000000 12582912 9% /home\n"
#define TEMP   "place=/tmp/berth-bin-me\nnear=/tmp\ntrouble=\n"
#define PLACES HOME DF "trouble=\n" TEMP
#define FIRST  "socket=/tmp/berth-1000.sock\n"
#define SECOND "socket=/home/me/.berth.sock\nstate=free\nlock=free\n"
#define FREE   FIRST "state=free\nlock=free\n"
#define LIMITS "files=524288\nmemory=2000000\n"

/* The report with parts of a healthy host's replaced. */
struct host {
    const char *facts; /* besides */
    const char *places, *sockets;
};

static struct doctor_side side_of(void)
{
    struct doctor_side side = {.host = "me@h",
                               .self = "/usr/bin/berth",
                               .version = "0.1.0",
                               .build = "aaaabbbbccccdddd",
                               .connect_ms = 212};
    side.offers[SSH_X86_64].size = 1200000;
    return side;
}

static char *judge(const char *text, const struct doctor_side *side)
{
    struct doctor_report report;
    struct checks checks;
    doctor_report_parse(&report, nonce, text, strlen(text));
    doctor_check(&checks, &report, side);
    char *lines = checks_text(&checks, side->host);
    checks_fini(&checks);
    doctor_report_fini(&report);
    return lines;
}

static char *judge_host_from(const struct host *h, const struct doctor_side *side)
{
    cleanup_free char *text = xasprintf(
        "berth-%s begin\n%s%s%s%s%sberth-%s end\n", nonce, FACTS, h->places ? h->places : PLACES,
        h->sockets ? h->sockets : FREE SECOND, LIMITS, h->facts ? h->facts : "", nonce);
    return judge(text, side);
}

static char *judge_host(const struct host *h)
{
    struct doctor_side side = side_of();
    return judge_host_from(h, &side);
}

static void check_lines(const char *got, const char *want)
{
    if (!strstr(got, want))
        test_fail(__FILE__, __LINE__, "not there:\n%sbut:\n%s", want, got);
}

TEST(doctor_healthy_host)
{
    char *lines = judge_host(&(struct host){0});
    CHECK_STR(lines,
              "ok    ssh            connects, 212 ms, without a prompt\n"
              "ok    login shell    prints nothing of its own\n"
              "ok    architecture   Linux x86_64\n"
              "ok    kernel         6.1.0-18-amd64\n"
              "ok    binary         goes to /home/me/.cache/berth: 12 GiB free, 1.1 MiB needed\n"
              "ok    agent socket   /tmp/berth-1000.sock is free\n"
              "ok    version        " HERE "; none there yet, it will be sent\n"
              "ok    logout         an agent outlives its ssh connection\n"
              "ok    open files     up to 524288\n"
              "ok    memory         1.9 GiB available\n"
              "?     udp path       not tried: that takes this very berth there; `berth master` "
              "sends it\n"
              "me@h is ready\n");
    free(lines);
}

#define FULL   "trouble=No space left on device\ndf=/dev/sda1 100 90 2048 99% /home\n"
#define NOEXEC HOME "trouble=programs may not run there\n"
#define FOREIGN                                                                                    \
    "place=/tmp/berth-bin-me\nnear=/tmp/berth-bin-me\ntrouble=not a directory of this user\n"
#define SYSTEMD "systemd=yes\n"
#define ETC     "logind=/etc/systemd/logind.conf "

static const struct {
    struct host host;
    const char *lines;
} hosts[] = {
    /* what it is */
    {{.facts = "machine=riscv64\n"},
     "FAIL  architecture   Linux riscv64: berth is built for Linux on x86_64 and aarch64\n"},
    {{.facts = "system=FreeBSD\nmachine=amd64\nrelease=4.0\n"},
     "FAIL  architecture   FreeBSD amd64: berth is built for Linux on x86_64 and aarch64\n"
     "                     -> only a Linux machine of these, be it a virtual one, will do\n"
     "ok    binary "},
    {{.facts = "machine=aarch64\n"},
     "FAIL  architecture   Linux aarch64, and here is no berth-aarch64 to send\n"
     "                     -> put one beside /usr/bin/berth: `make` builds both\n"},
    {{.facts = "release=5.4.0\n"}, "ok    kernel         5.4.0\n"},
    {{.facts = "release=5.3.18-lp152\n"},
     "FAIL  kernel         5.3.18-lp152: berth needs Linux 5.4\n"},
    {{.facts = "release=4.19\n"}, "FAIL  kernel "},
    {{.facts = "release=10.0\n"}, "ok    kernel "},
    {{.facts = "lacks=head mv\n"}, "FAIL  tools          not there: head mv\n"},
    /* places */
    {{.places = HOME "cached=yes\ntrouble=No space left on device\n" TEMP},
     "ok    binary         is in /home/me/.cache/berth\n"},
    {{.places = HOME "trouble=\ndf=\n"}, "ok    binary         goes to /home/me/.cache/berth\n"},
    {{.places = NOEXEC TEMP},
     "warn  home           /home/me is mounted noexec: the binary goes to /tmp/berth-bin-me\n"
     "                     -> works as it is; "},
    {{.places = NOEXEC TEMP "cached=yes\n"},
     "warn  home           /home/me is mounted noexec: the binary is in /tmp/berth-bin-me\n"},
    {{.places = HOME "trouble=\n" TEMP "cached=yes\n"},
     "ok    binary         is in /tmp/berth-bin-me\n"},
    {{.places = HOME "trouble=Permission denied\n" TEMP},
     "warn  home           /home/me/.cache/berth: Permission denied: the binary goes to "},
    {{.places = HOME FULL FOREIGN},
     "FAIL  binary         nowhere to put it, 1.1 MiB: /home/me/.cache/berth: No space left on "
     "device (2.0 MiB free); /tmp/berth-bin-me: not a directory of this user\n"
     "                     -> one of them must be yours to write, "},
    {{.places = HOME FULL TEMP FULL},
     "FAIL  space          no room for the binary, 1.1 MiB: /home/me/.cache/berth: No space left "
     "on device (2.0 MiB free); /tmp/berth-bin-me: No space left on device (2.0 MiB free)\n"
     "                     -> make room in one of them\n"},
    {{.places = HOME "trouble=Disk quota exceeded\n" TEMP "trouble=Disk quota exceeded\n"},
     "FAIL  space          no room for the binary, 1.1 MiB: /home/me/.cache/berth: Disk quota "
     "exceeded; "},
    {{.places = HOME "trouble=\ndf=tmpfs 4096 2048 2048 50% /home/my disk\n"},
     "ok    binary         goes to /home/me/.cache/berth: 2.0 MiB free, 1.1 MiB needed\n"
     "warn  space          only 2.0 MiB free in /home/me\n"},
    {{.places = ""}, "?     binary         unknown where it would go\n"},
    /* sockets */
    {{.sockets = FIRST "state=socket\nlock=file\n" SECOND},
     "ok    agent socket   /tmp/berth-1000.sock was left behind; the next agent replaces it\n"},
    {{.sockets = FIRST "state=socket\nlock=file\n" SECOND
                       "agent=0 berth 0.1.0 (build aaaabbbbccccdddd)\n"},
     "ok    agent socket   your agent is at /tmp/berth-1000.sock\n"
     "ok    version        " HERE ", as your agent there\n"},
    {{.sockets = FIRST "state=foreign\nlock=free\nowner=eve\n" SECOND},
     "warn  agent socket   /tmp/berth-1000.sock is held by eve, but /home/me/.berth.sock is free\n"
     "                     -> works as it is; remove /tmp/berth-1000.sock if you may\n"},
    {{.sockets = FIRST "state=link\nlock=free\nowner=eve\n" SECOND},
     "warn  agent socket   /tmp/berth-1000.sock is a link of eve, but "},
    {{.sockets = FIRST "state=file\nlock=free\nowner=me\n" SECOND},
     "warn  agent socket   /tmp/berth-1000.sock is no socket, but "},
    {{.sockets = FIRST "state=free\nlock=foreign\n" SECOND},
     "warn  agent socket   /tmp/berth-1000.sock.lock is held by another user, but "},
    {{.sockets = FIRST "state=foreign\nlock=free\nowner=eve\n"
                       "socket=/home/me/.berth.sock\nstate=closed\nlock=closed\nowner=\n"},
     "FAIL  agent socket   /tmp/berth-1000.sock is held by eve; /home/me/.berth.sock cannot be "
     "made\n"
     "                     -> make way for one of them, "},
    {{.sockets = FIRST}, "?     agent socket   unknown"},
    /* versions */
    {{.places = HOME "cached=yes\ntrouble=\n"}, "ok    version        " HERE ", here and there\n"},
    {{.places = HOME "other=berth 0.0.9 (build 1234)\ntrouble=\n"},
     "ok    version        " HERE "; there is berth 0.0.9 (build 1234), this one will be sent\n"},
    {{.facts = "agent=1 berth 0.0.9 (build 1234)\n"},
     "warn  version        here " HERE ", but an agent there is berth 0.0.9 (build 1234)\n"
     "                     -> it is replaced once it has no session; "},
    {{.facts = "agent=0 \n"}, "but an agent there is berth of an unknown build\n"},
    /* logout */
    {{.facts = SYSTEMD ETC "#KillUserProcesses=no\n"}, "ok    logout "},
    {{.facts = ETC "KillUserProcesses=yes\n"}, "ok    logout "},
    {{.facts = SYSTEMD ETC "KillUserProcesses=yes\n"},
     "warn  logout         an agent ends with its ssh connection, and all that goes through it: "
     "KillUserProcesses=yes in /etc/systemd/logind.conf\n"
     "                     -> its administrator can set KillExcludeUsers=root me in "
     "logind.conf; lingering does not help\n"},
    {{.facts = SYSTEMD ETC "# KillUserProcesses = yes\n"}, "warn  logout "},
    {{.facts = SYSTEMD ETC "KillUserProcesses = On\n"}, "warn  logout "},
    {{.facts = SYSTEMD ETC "KillUserProcesses=yes\n" ETC "#KillUserProcesses=no\n"},
     "warn  logout "},
    {{.facts = SYSTEMD ETC "KillUserProcesses=yes\nlogind=/etc/systemd/logind.conf.d/x.conf "
                           "KillUserProcesses=no\n"},
     "ok    logout "},
    {{.facts = "user=root\n" SYSTEMD ETC "KillUserProcesses=yes\n"}, "ok    logout "},
    {{.facts = SYSTEMD ETC "KillUserProcesses=yes\n" ETC "KillExcludeUsers=root me\n"},
     "ok    logout "},
    {{.facts = SYSTEMD ETC "KillUserProcesses=yes\n" ETC "KillExcludeUsers=root mead\n"},
     "warn  logout "},
    {{.facts = SYSTEMD ETC "KillUserProcesses=yes\n" ETC "KillOnlyUsers=you\n"}, "ok    logout "},
    {{.facts = SYSTEMD ETC "KillOnlyUsers=you me\n"}, ": KillOnlyUsers=you me\n"},
    /* limits */
    {{.facts = "files=unlimited\n"}, "ok    open files     up to unlimited\n"},
    {{.facts = "files=1024\n"}, "ok    open files     up to 1024\n"},
    {{.facts = "files=1023\n"},
     "warn  open files     at most 1023, and each forwarded connection takes one\n"
     "                     -> raise nofile in /etc/security/limits.conf there\n"},
    {{.facts = "memory=9000\n"}, "warn  memory         only 8.8 MiB available\n"},
};

TEST(doctor_judges_a_host)
{
    for (size_t i = 0; i < countof(hosts); i++) {
        char *lines = judge_host(&hosts[i].host);
        check_lines(lines, hosts[i].lines);
        free(lines);
    }
}

TEST(doctor_verdict_counts)
{
    char *lines = judge_host(&(struct host){.facts = "files=9\n"});
    check_lines(lines, "\nme@h is ready, with 1 warning\n");
    free(lines);
    lines = judge_host(&(struct host){.facts = "files=9\nmemory=9\n"});
    check_lines(lines, "\nme@h is ready, with 2 warnings\n");
    free(lines);
    lines = judge_host(&(struct host){.facts = "files=9\nrelease=4.0\nmachine=x\n"});
    check_lines(lines, "\nme@h is not ready: 2 to mend\n");
    free(lines);
}

TEST(doctor_path_too_long_for_a_socket)
{
    struct host h = {0};
    char path[109];
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    char *sockets = xasprintf("socket=%s\nstate=free\nlock=free\n" SECOND, path);
    h.sockets = sockets;
    char *lines = judge_host(&h);
    check_lines(lines, " is too long for a socket, but /home/me/.berth.sock is free\n");
    free(lines);
    free(sockets);
}

/* ---- UDP ---- */

#define OPEN "firewall=open\nfirewall_seen=its own rules let UDP 40000-50000 in\n"
#define CLOSED                                                                                     \
    "firewall=closed\nfirewall_seen=ufw blocks UDP 40000-50000\n"                                  \
    "firewall_remedy=sudo ufw allow 40000:50000/udp\n"
#define UNKNOWN                                                                                    \
    "firewall=unknown\nfirewall_seen=ufw is on; what it blocks only root may see\n"                \
    "firewall_remedy=sudo ufw allow 40000:50000/udp\n"
#define NOBODY "firewall=unknown\nfirewall_seen=none is known to be on\n"
#define AND    "\n                     -> "
#define BY_SSH "; until then sessions go over ssh\n"

static const struct {
    const char *facts;
    struct doctor_way ways[3]; /* those without an address are none */
    const char *lines, *not_there;
} paths[] = {
    {OPEN,
     {{WAY_GOOD, false, "203.0.113.7", 18400}},
     "ok    firewall       its own rules let UDP 40000-50000 in\n"
     "ok    udp path       gets through to 203.0.113.7, port 43210, in 18 ms\n",
     NULL},
    {OPEN,
     {{WAY_GOOD, false, "203.0.113.7", 840}, {WAY_GOOD, true, "2001:db8::7", 900}},
     "gets through to 203.0.113.7, port 43210, in 0.8 ms; over IPv6 too\n",
     NULL},
    {OPEN,
     {{WAY_SILENT, true, "2001:db8::7", 0},
      {WAY_SILENT, false, "10.0.0.9", 0},
      {WAY_GOOD, false, "203.0.113.7", 18000}},
     "gets through to 203.0.113.7, port 43210, in 18 ms; not to 2001:db8::7\n",
     NULL},
    {OPEN,
     {{WAY_GOOD, false, "203.0.113.7", 18000}, {WAY_NONE, true, "2001:db8::7", 0}},
     "in 18 ms\n",
     "2001"},
    {UNKNOWN, {{WAY_GOOD, false, "203.0.113.7", 18000}}, "in 18 ms\n", "firewall"},
    {CLOSED,
     {{WAY_GOOD, false, "203.0.113.7", 18000}},
     "warn  firewall       ufw blocks UDP 40000-50000" AND "sudo ufw allow 40000:50000/udp\n"
     "ok    udp path ",
     NULL},
    {CLOSED,
     {{WAY_SILENT, false, "203.0.113.7", 0}},
     "warn  firewall       ufw blocks UDP 40000-50000" AND "sudo ufw allow 40000:50000/udp\n"
     "warn  udp path       does not get through to 203.0.113.7, port 43210: no answer" AND
     "open its firewall, as above" BY_SSH,
     NULL},
    {OPEN,
     {{WAY_REFUSED, false, "203.0.113.7", 0}},
     "warn  udp path       does not get through to 203.0.113.7, port 43210: it is refused" AND
     "open UDP 40000-50000 to it at its provider (security group, router), and out of this "
     "network" BY_SSH,
     NULL},
    {UNKNOWN,
     {{WAY_SILENT, false, "203.0.113.7", 0}},
     "warn  firewall       ufw is on; what it blocks only root may see" AND
     "sudo ufw allow 40000:50000/udp\n"
     "warn  udp path       does not get through to 203.0.113.7, port 43210: no answer" AND
     "if it is not its firewall: open UDP 40000-50000 to it at its provider ",
     NULL},
    {NOBODY,
     {{WAY_SILENT, false, "203.0.113.7", 0}},
     "?     firewall       none is known to be on\n"
     "warn  udp path       does not get through to 203.0.113.7, port 43210: no answer" AND
     "open UDP 40000-50000 to it at its provider ",
     NULL},
    {OPEN,
     {{WAY_FORBIDDEN, false, "203.0.113.7", 0}},
     "port 43210: this machine may not send it" AND "have this machine's own firewall let UDP out",
     NULL},
    {OPEN,
     {{WAY_SMALL, false, "203.0.113.7", 18000}},
     "warn  udp path       only short datagrams get through to 203.0.113.7, port 43210" AND
     "a device between drops larger ones: its MTU must be 1280 at least" BY_SSH,
     NULL},
};

TEST(doctor_judges_udp)
{
    for (size_t i = 0; i < countof(paths); i++) {
        struct doctor_side side = side_of();
        side.udp_port = 43210;
        for (size_t k = 0; k < countof(paths[i].ways) && paths[i].ways[k].address[0]; k++)
            side.ways[side.way_count++] = paths[i].ways[k];
        char *lines = judge_host_from(&(struct host){.facts = paths[i].facts}, &side);
        check_lines(lines, paths[i].lines);
        if (paths[i].not_there && strstr(lines, paths[i].not_there))
            test_fail(__FILE__, __LINE__, "there: %s in:\n%s", paths[i].not_there, lines);
        free(lines);
    }
}

TEST(doctor_udp_that_could_not_be_bound)
{
    char *lines =
        judge_host(&(struct host){.places = HOME "cached=yes\ntrouble=\n", .facts = NOBODY});
    check_lines(lines, "warn  udp path       no UDP port could be had there\n");
    free(lines);
}

/* ---- what was not heard ---- */

TEST(doctor_knows_what_it_does_not_know)
{
    struct doctor_side side = side_of();
    cleanup_free char *text = xasprintf("berth-%s begin\nsystem=\nberth-%s end\n", nonce, nonce);
    char *lines = judge(text, &side);
    CHECK_STR(lines, "ok    ssh            connects, 212 ms, without a prompt\n"
                     "ok    login shell    prints nothing of its own\n"
                     "?     architecture   unknown: uname says nothing\n"
                     "?     kernel         unknown: uname says nothing\n"
                     "?     binary         unknown where it would go\n"
                     "?     agent socket   unknown: id says nothing\n"
                     "ok    version        " HERE "; none there yet, it will be sent\n"
                     "ok    logout         an agent outlives its ssh connection\n"
                     "?     open files     unknown: ulimit says nothing\n"
                     "?     memory         unknown: no /proc/meminfo\n"
                     "?     udp path       not tried: that takes this very berth there; `berth "
                     "master` sends it\n"
                     "me@h is ready\n");
    free(lines);
}

TEST(doctor_answer_that_breaks_off)
{
    struct doctor_side side = side_of();
    side.timed_out = true;
    cleanup_free char *text = xasprintf("berth-%s begin\n" FACTS "place=/mnt/dead", nonce);
    char *lines = judge(text, &side);
    check_lines(lines, "ok    kernel         6.1.0-18-amd64\n");
    check_lines(lines, "FAIL  answer         the host stopped answering, after \"place\"\n");
    free(lines);
}

/* ---- login shells ---- */

TEST(doctor_login_shell_that_prints)
{
    struct doctor_side side = side_of();
    cleanup_free char *text = xasprintf(
        "\n \r\n\x1b[1mWelcome!\nbyeberth-%s begin\n" FACTS "berth-%s end\n", nonce, nonce);
    char *lines = judge(text, &side);
    check_lines(lines, "warn  login shell    prints 20 bytes before it runs a command: "
                       "?[1mWelcome!\n"
                       "                     -> harmless to berth, ");
    free(lines);
}

TEST(doctor_login_shell_that_prints_long_lines)
{
    struct doctor_report r;
    char text[200];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? '\xa4' : '\xc3';
    doctor_report_parse(&r, nonce, text, sizeof text);
    CHECK_INT(r.noise_len, 200);
    CHECK_INT(strlen(r.noise), 2 * DOCTOR_NOISE_MAX);
    CHECK(!r.begun);
    doctor_report_fini(&r);
}

TEST(doctor_login_shell_that_floods)
{
    struct doctor_side side = side_of();
    size_t len = SSH_NOISE_MAX + 1;
    char *noise = xmalloc(len + 100);
    memset(noise, 'x', len);
    noise[len] = '\0';
    char *lines = judge(noise, &side);
    check_lines(lines, "FAIL  login shell    prints over 1 MiB before it runs a command");
    CHECK(strncmp(lines, "FAIL", 4) == 0);
    free(lines);
    snprintf(noise + len, 100, "berth-%s begin\nberth-%s end\n", nonce, nonce);
    lines = judge(noise, &side);
    check_lines(lines, "FAIL  login shell    prints over 1 MiB before it runs a command");
    free(lines);
    free(noise);
}

TEST(doctor_login_shell_that_runs_nothing)
{
    struct doctor_side side = side_of();
    side.by_host = true;
    char *lines = judge("This account is not available.\n", &side);
    CHECK_STR(lines, "ok    ssh            connects, without a prompt\n"
                     "FAIL  login shell    runs no command: This account is not available.\n"
                     "                     -> `ssh me@h true` must do: see to the account's shell, "
                     "its start-up files, or a forced command\n"
                     "me@h is not ready: 1 to mend\n");
    free(lines);
    lines = judge("", &side);
    check_lines(lines, "FAIL  login shell    runs no command\n");
    free(lines);
    side.said = "sh: bad";
    lines = judge("", &side);
    check_lines(lines, "FAIL  login shell    runs no command: sh: bad\n");
    free(lines);
}

/* ---- ssh ---- */

TEST(doctor_ssh_that_fails)
{
    static const struct {
        const char *said, *lines;
    } rows[] = {
        {"me@h: Permission denied (publickey,password).",
         "FAIL  ssh            asks for a password: `berth master` can pass it on once, but it "
         "cannot reconnect by itself\n"
         "                     -> load a key with `ssh-add`, name one with -i, or give the host "
         "one: `ssh-copy-id me@h`\n"},
        {"me@h: Permission denied (keyboard-interactive).", "FAIL  ssh            asks for a "},
        {"me@h: Permission denied (publickey).",
         "FAIL  ssh            takes none of your keys: me@h: Permission denied (publickey).\n"
         "                     -> load a key with `ssh-add`"},
        {"connect to host h port 22: Connection refused",
         "FAIL  ssh            connect to host h port 22: Connection refused\n"
         "                     -> does sshd run there, "},
        {"Could not resolve hostname h: Name or service not known", "-> is the name right"},
        {"connect to host h port 22: Connection timed out", "-> is it up"},
        {"its host key is not known: run `ssh me@h` and confirm it",
         "run `ssh me@h` and confirm it\nme@h is not ready"},
        {"command-line: line 0: Bad configuration option: foo", "-> mend that option"},
        {"there is no ssh program in PATH", "-> install OpenSSH"},
        {NULL, "FAIL  ssh            ssh ended without saying why\n"
               "                     -> see what `ssh -v me@h` says\n"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct doctor_side side = side_of();
        side.said = rows[i].said;
        char *lines = judge("", &side);
        check_lines(lines, rows[i].lines);
        check_lines(lines, "me@h is not ready: 1 to mend\n");
        free(lines);
    }
    struct doctor_side side = side_of();
    side.timed_out = true;
    char *lines = judge("", &side);
    check_lines(lines, "FAIL  ssh            no answer in time\n");
    free(lines);
}

/* ---- the script and its answer ---- */

TEST(doctor_command_is_one_quoted_word_and_plain_ones)
{
    struct ssh_offer offers[SSH_ARCHES] = {{.size = 1234}};
    char *command = doctor_command(nonce, offers);
    const char *open = strchr(command, '\''), *close = strrchr(command, '\'');
    CHECK(strncmp(command, "exec /bin/sh -c '", 17) == 0);
    CHECK(open != close && memchr(open + 1, '\'', (size_t)(close - open - 1)) == NULL);
    CHECK(strpbrk(command, "\\!\n") == NULL);
    CHECK(strlen(command) < 8000); /* what the oldest csh takes in one word */
    CHECK(strncmp(close, "' berth 0123456789abcdef 0000000000000000 0", 43) == 0);
    free(command);
}

TEST(doctor_answer_is_found_in_noise)
{
    static const char text[] = "berth-0123456789abcdef beginning\n"
                               "berth-fedcba9876543210 begin\n"
                               "noise berth-0123456789abcdef begin\nuid=7\nno key\n=\n"
                               "berth-0123456789abcdef end\nuid=8\n";
    struct doctor_report r;
    doctor_report_parse(&r, nonce, text, sizeof text - 1);
    CHECK(r.begun && r.complete);
    CHECK_STR(r.facts[FACT_UID], "7");
    CHECK_STR(r.noise, "berth-0123456789abcdef beginning");
    CHECK(r.facts[FACT_USER] == NULL);
    doctor_report_fini(&r);
    CHECK(doctor_find(nonce, DOCTOR_END, text, sizeof text - 9) == NULL);
    CHECK(doctor_find(nonce, DOCTOR_BEGIN, NULL, 0) == NULL);
}

TEST(doctor_answer_without_bounds)
{
    char text[4096];
    size_t len =
        (size_t)snprintf(text, sizeof text, "berth-%s begin\nagent=7 x\nagent=\nnear=x\n", nonce);
    for (int i = 0; i < 100; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "place=/%d\nsocket=/%d\n", i, i);
    struct doctor_report r;
    doctor_report_parse(&r, nonce, text, len);
    CHECK(r.begun && !r.complete);
    CHECK_STR(r.places[DOCTOR_PLACES - 1].dir, "/2");
    CHECK_STR(r.sockets[PATH_AGENT_SOCKETS - 1].path, "/1");
    CHECK(r.places[0].near == NULL);
    doctor_report_fini(&r);
}

TEST(doctor_free_space_by_df)
{
    static const struct {
        const char *df;
        int64_t free_kib;
    } rows[] = {
        {"/dev/sda1 100 60 40 60% /", 40}, {"//nas/my share 100 60 40 60% /mnt/a b", 40},
        {"tmpfs 0 0 0 - /tmp", -1},        {"fs 9 8 7 12% /100%/5 6%", 7},
        {"50% 3 2 1 67% /", -1},           {"fs 1 2 -3 100% /", -1},
        {"df: /x: No such file", -1},      {"fs 1 1 99999999999999999999 1% /", INT64_MAX},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct doctor_report r;
        cleanup_free char *text = xasprintf("berth-%s begin\nplace=/x\ndf=%s\n", nonce, rows[i].df);
        doctor_report_parse(&r, nonce, text, strlen(text));
        CHECK_INT(r.places[0].free_kib, rows[i].free_kib);
        doctor_report_fini(&r);
    }
}

TEST(doctor_sizes_for_people)
{
    static const struct {
        uint64_t kib;
        const char *text;
    } rows[] = {{0, "0 KiB"},          {999, "999 KiB"},           {1000, "1.0 MiB"},
                {1536, "1.5 MiB"},     {20480, "20 MiB"},          {12582912, "12 GiB"},
                {1u << 31, "2.0 TiB"}, {1ull << 52, "4194304 TiB"}};
    for (size_t i = 0; i < countof(rows); i++) {
        char *text = kib_text(rows[i].kib);
        CHECK_STR(text, rows[i].text);
        free(text);
    }
}
