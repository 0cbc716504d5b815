#include "net/ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/mem.h"
#include "net/ssh_reason.h"
#include "net/ssh_script.h"
#include "tests/unit/test.h"

static const char nonce[] = "0123456789abcdef";

/* ---- the command ---- */

static char *command_for(char *const *args)
{
    struct ssh_offer offers[SSH_ARCHES] = {{.size = 1234}};
    memset(offers[SSH_X86_64].hash, 0xab, SHA256_LEN);
    return ssh_script_command(nonce, offers, args);
}

TEST(ssh_command_is_one_quoted_word_and_plain_ones)
{
    char *args[] = {xstrdup("--idle-timeout=10m"), xstrdup("a.b:c/+_"), NULL};
    char *command = command_for(args);
    const char *open = strchr(command, '\''), *close = strrchr(command, '\'');
    CHECK(strncmp(command, "exec /bin/sh -c '", 17) == 0);
    CHECK(open != close && memchr(open + 1, '\'', (size_t)(close - open - 1)) == NULL);
    CHECK(strpbrk(command, "\\!\n") == NULL);
    CHECK(strlen(command) < 8000); /* what the oldest csh takes in one word */
    CHECK_STR(close, "' berth 0123456789abcdef abababababababab "
                     "abababababababababababababababababababababababab 1234 - - 0 "
                     "--idle-timeout=10m a.b:c/+_");
    free(command);
    free(args[0]);
    free(args[1]);
}

TEST(ssh_command_refuses_what_a_shell_would_look_into)
{
    static const char *const words[] = {"",  "a b", "$HOME", "it's", "a;b", "*",   "~",
                                        "!", "(",   "a\nb",  "{a}",  "a\\", "a\"", "#"};
    for (size_t i = 0; i < countof(words); i++) {
        char *args[] = {xstrdup(words[i]), NULL};
        errno = 0;
        CHECK(command_for(args) == NULL);
        CHECK_INT(errno, EINVAL);
        free(args[0]);
    }
}

/* ---- markers ---- */

static enum ssh_marker feed(struct ssh_scan *s, const char *text, size_t *taken)
{
    return ssh_scan_feed(s, (const uint8_t *)text, strlen(text), taken);
}

TEST(ssh_marker_is_found_and_nothing_behind_it_taken)
{
    static const char text[] =
        "Welcome!\nno newline hereberth-0123456789abcdef need x86_64\nHagent";
    struct ssh_scan s;
    size_t taken;
    ssh_scan_init(&s, nonce);
    CHECK_INT(feed(&s, text, &taken), SSH_MARK_NEED);
    CHECK_STR(text + taken, "Hagent");
    CHECK_STR(s.detail, "x86_64");
}

TEST(ssh_marker_may_come_byte_by_byte)
{
    static const char text[] = "berth-0berth-0123456789abcdef arch Linux riscv64\n";
    enum ssh_marker marker = SSH_MARK_NONE;
    struct ssh_scan s;
    ssh_scan_init(&s, nonce);
    for (size_t i = 0; text[i]; i++) {
        size_t taken;
        CHECK_INT(marker, SSH_MARK_NONE);
        marker = ssh_scan_feed(&s, (const uint8_t *)text + i, 1, &taken);
        CHECK_INT(taken, 1);
    }
    CHECK_INT(marker, SSH_MARK_ARCH);
    CHECK_STR(s.detail, "Linux riscv64");
}

TEST(ssh_markers_follow_each_other)
{
    static const char text[] = "berth-0123456789abcdef need aarch64\n"
                               "berth-0123456789abcdef run\n";
    struct ssh_scan s;
    size_t first, second;
    ssh_scan_init(&s, nonce);
    CHECK_INT(feed(&s, text, &first), SSH_MARK_NEED);
    CHECK_INT(feed(&s, text + first, &second), SSH_MARK_RUN);
    CHECK_STR(s.detail, "");
    CHECK_INT(first + second, sizeof text - 1);
}

TEST(ssh_marker_of_another_nonce_or_an_echo_of_the_command_is_noise)
{
    char *args[] = {NULL};
    char *command = command_for(args);
    struct ssh_scan s;
    size_t taken;
    ssh_scan_init(&s, nonce);
    CHECK_INT(feed(&s, "berth-fedcba9876543210 run\n", &taken), SSH_MARK_NONE);
    CHECK_INT(feed(&s, command, &taken), SSH_MARK_NONE);
    CHECK_INT(feed(&s, "\n\n  \n", &taken), SSH_MARK_NONE);
    CHECK(strncmp(s.heard, "exec /bin/sh", 12) == 0);
    free(command);
}

TEST(ssh_marker_with_an_unknown_word_is_refused)
{
    struct ssh_scan s;
    size_t taken;
    ssh_scan_init(&s, nonce);
    CHECK_INT(feed(&s, "berth-0123456789abcdef running\n", &taken), SSH_MARK_NOISE);
}

TEST(ssh_noise_is_bounded)
{
    static const char block[1025] = {[0 ... 1023] = 'x'};
    struct ssh_scan s;
    size_t taken;
    ssh_scan_init(&s, nonce);
    for (int i = 0; i < 1024; i++)
        CHECK_INT(feed(&s, block, &taken), SSH_MARK_NONE);
    CHECK_INT(feed(&s, block, &taken), SSH_MARK_NOISE);
}

TEST(ssh_marker_line_is_bounded)
{
    static const char block[1025] = {[0 ... 1023] = 'y'};
    struct ssh_scan s;
    size_t taken;
    ssh_scan_init(&s, nonce);
    CHECK_INT(feed(&s, "berth-0123456789abcdef fail ", &taken), SSH_MARK_NONE);
    for (int i = 0; i < 10; i++)
        CHECK_INT(feed(&s, block, &taken), SSH_MARK_NONE);
    CHECK_INT(feed(&s, "\n", &taken), SSH_MARK_FAIL);
    CHECK_INT(strlen(s.detail), SSH_DETAIL_MAX - strlen("fail "));
}

/* ---- what ssh says ---- */

static void check_reason(const char *said, bool batch, const char *want, bool want_hopeless)
{
    struct ssh_reason r = {0};
    bool hopeless;
    ssh_reason_feed(&r, said, strlen(said));
    char *got = ssh_reason_text(&r, "joe@h", batch, &hopeless);
    CHECK_STR(got, want);
    CHECK_INT(hopeless, want_hopeless);
    free(got);
}

TEST(ssh_reason_of_a_refusal_depends_on_who_is_there)
{
    static const char said[] = "joe@h: Permission denied (publickey,password).\r\n";
    check_reason(said, false, "joe@h: Permission denied (publickey,password).", true);
    check_reason(said, true,
                 "a password or a confirmation is needed: run `berth master joe@h` again", true);
}

TEST(ssh_reason_is_the_most_telling_line)
{
    check_reason("@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nsomeone\r\n"
                 "Host key verification failed.\r\n",
                 true,
                 "its host key has changed: if that is as it should be, remove the old one with "
                 "`ssh-keygen -R`",
                 true);
    check_reason("No ED25519 host key is known for h and you have requested strict checking.\r\n"
                 "Host key verification failed.\r\n",
                 true, "its host key is not known: run `ssh joe@h` and confirm it", true);
    check_reason("ssh: connect to host h port 22: Connection refused\r\n"
                 "Connection closed by UNKNOWN port 65535\r\n",
                 true, "connect to host h port 22: Connection refused", false);
    check_reason("ssh: Could not resolve hostname h: Name or service not known", false,
                 "Could not resolve hostname h: Name or service not known", false);
    check_reason("berth: the agent is full\nConnection to h closed.\r\n", false,
                 "the agent is full", false);
    check_reason("command-line: line 0: Bad configuration option: foo\r\n", true,
                 "command-line: line 0: Bad configuration option: foo", true);
}

TEST(ssh_reason_is_else_the_last_line)
{
    check_reason("first\nsecond\n \r\n", false, "second", false);
    struct ssh_reason r = {0};
    bool hopeless = true;
    CHECK(ssh_reason_text(&r, "h", false, &hopeless) == NULL);
    CHECK(!hopeless);
}

/* ---- the process: a shell script stands in for ssh ---- */

struct scene {
    struct loop *loop;
    struct ssh *ssh;
    struct stream *carrier;
    bool free_at_once;
    int up, down, uploads;
    uint64_t sent, total;
    char error[512];
    bool hopeless;
    char dir[32];
    char *path;
};

static void on_ssh(void *arg, struct ssh *c, enum ssh_event event)
{
    struct scene *s = arg;
    switch (event) {
    case SSH_UPLOAD:
        s->uploads++;
        ssh_upload(c, &s->sent, &s->total);
        break;
    case SSH_UP:
        s->up++;
        s->carrier = ssh_stream(c);
        break;
    case SSH_DOWN:
        s->down++;
        snprintf(s->error, sizeof s->error, "%s", ssh_error(c));
        s->hopeless = ssh_is_hopeless(c);
        break;
    }
    if (s->free_at_once) {
        ssh_free(c);
        s->ssh = NULL;
    }
}

/* `script` follows a head that sets $say to the begin of a marker, and $arch to the one that
 * this program is built for: an emulator's host may have another. */
static void write_ssh(const char *dir, const char *script)
{
    char path[64];
    struct utsname system;
    uname(&system);
    snprintf(path, sizeof path, "%s/ssh", dir);
    FILE *f = fopen(path, "we");
    fprintf(f,
            "#!/bin/sh\n"
            "arch=%s\n"
            "say=$(echo \"$*\" | /bin/sed -n 's/.* berth \\([0-9a-f]*\\) .*/berth-\\1/p')\n"
            "%s\n",
            system.machine, script);
    fclose(f);
    CHECK_INT(chmod(path, 0700), 0);
}

static void scene_start(struct scene *s, const char *script, bool batch)
{
    char *args[] = {NULL};
    struct ssh_options o = {.host = "h", .args = args, .agent_args = args, .batch = batch};
    *s = (struct scene){.loop = loop_new(), .dir = "/tmp/berth-ssh-XXXXXX"};
    CHECK(mkdtemp(s->dir) != NULL);
    write_ssh(s->dir, script);
    s->path = xstrdup(getenv("PATH"));
    char *path = xasprintf("%s:%s", s->dir, s->path);
    setenv("PATH", path, 1);
    free(path);
    s->ssh = ssh_start(s->loop, &o, on_ssh, s);
    CHECK(s->ssh != NULL);
}

static void scene_turn_until(struct scene *s, const int *flag)
{
    uint64_t limit_ms = loop_now_ms(s->loop) + 20000;
    while (!*flag && !s->down && loop_now_ms(s->loop) < limit_ms)
        loop_turn(s->loop, 1000);
    CHECK(*flag);
}

/* True when it has ended and was reaped. */
static bool scene_ends(struct scene *s, pid_t pid)
{
    uint64_t limit_ms = loop_now_ms(s->loop) + 20000;
    while (kill(pid, 0) == 0 && loop_now_ms(s->loop) < limit_ms)
        loop_turn(s->loop, 1000);
    return kill(pid, 0) < 0;
}

static void scene_end(struct scene *s)
{
    char path[64];
    stream_close(s->carrier);
    pid_t pid = s->ssh ? ssh_pid(s->ssh) : 0;
    ssh_free(s->ssh);
    CHECK(!pid || scene_ends(s, pid));
    loop_turn(s->loop, 0);
    loop_free(s->loop);
    snprintf(path, sizeof path, "%s/ssh", s->dir);
    unlink(path);
    CHECK_INT(rmdir(s->dir), 0);
    setenv("PATH", s->path, 1);
    free(s->path);
}

TEST(ssh_hands_over_with_the_first_bytes)
{
    struct scene s;
    scene_start(&s, "printf 'hi'; printf '%s run\\nfirst ' \"$say\"; exec cat", false);
    scene_turn_until(&s, &s.up);
    stream_write(s.carrier, "second", 6);
    struct buf got = {0};
    for (int i = 0; i < 100 && got.len < 12; i++) {
        size_t len;
        const uint8_t *data = stream_peek(s.carrier, &len);
        buf_append(&got, data, len);
        stream_consume(s.carrier, len);
        if (!len)
            loop_turn(s.loop, 1000);
    }
    CHECK(got.len == 12 && memcmp(buf_front(&got), "first second", 12) == 0);
    buf_fini(&got);
    CHECK_INT(s.down, 0);
    scene_end(&s);
}

TEST(ssh_sends_the_whole_binary_and_reports)
{
    struct scene s;
    struct stat st;
    char script[256];
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    CHECK_INT(fstat(self, &st), 0);
    close(self);
    snprintf(script, sizeof script,
             "echo $say need $arch; [ $(head -c %lld | wc -c) = %lld ] && echo $say run",
             (long long)st.st_size, (long long)st.st_size);
    scene_start(&s, script, false);
    scene_turn_until(&s, &s.up);
    CHECK_INT(s.sent, st.st_size);
    CHECK_INT(s.total, st.st_size);
    CHECK(s.uploads >= (int)(st.st_size / 65536));
    scene_end(&s);
}

TEST(ssh_stops_sending_when_the_host_fails)
{
    struct scene s;
    scene_start(&s,
                "echo $say need $arch; head -c 1000 >/dev/null; "
                "echo $say fail space /dir: No space left on device; exit 1",
                false);
    scene_turn_until(&s, &s.down);
    CHECK(strstr(s.error, "no room for the ") == s.error);
    CHECK(strstr(s.error, " MiB binary in /dir: No space left on device") != NULL);
    CHECK(s.hopeless);
    scene_end(&s);
}

TEST(ssh_names_what_the_host_runs)
{
    struct scene s;
    scene_start(&s, "echo $say arch Linux riscv64", false);
    scene_turn_until(&s, &s.down);
    CHECK_STR(s.error, "it runs Linux riscv64; berth is built for Linux on x86_64 and aarch64");
    CHECK(s.hopeless);
    scene_end(&s);
}

TEST(ssh_tells_why_it_ended)
{
    struct scene s;
    scene_start(&s, "echo 'joe@h: Permission denied (publickey).' >&2; exit 255", true);
    scene_turn_until(&s, &s.down);
    CHECK_STR(s.error, "a password or a confirmation is needed: run `berth master h` again");
    CHECK(s.hopeless);
    scene_end(&s);
}

TEST(ssh_quotes_a_login_shell_that_refuses)
{
    struct scene s;
    scene_start(&s, "echo This account is not available.; exit 1", true);
    scene_turn_until(&s, &s.down);
    CHECK_STR(s.error, "its login shell did not start berth: This account is not available.");
    CHECK(!s.hopeless);
    scene_end(&s);
}

TEST(ssh_tells_what_the_agent_said_last)
{
    struct scene s;
    scene_start(&s, "echo $say run; echo 'berth: no daemon: no memory' >&2; exit 1", true);
    scene_turn_until(&s, &s.up);
    scene_turn_until(&s, &s.down);
    CHECK_STR(s.error, "no daemon: no memory");
    scene_end(&s);
}

TEST(ssh_may_be_freed_in_its_callback)
{
    static const char *const scripts[] = {"echo $say need $arch; exec cat >/dev/null",
                                          "echo $say run; exec cat", "echo $say fail place x",
                                          "exit 1", "echo $say run; exit 0"};
    for (size_t i = 0; i < countof(scripts); i++) {
        struct scene s;
        scene_start(&s, scripts[i], true);
        pid_t pid = ssh_pid(s.ssh);
        s.free_at_once = true;
        CHECK(scene_ends(&s, pid));
        CHECK(!s.ssh);
        CHECK_INT(s.up + s.down + s.uploads, 1);
        scene_end(&s);
    }
}

TEST(ssh_is_ended_when_freed)
{
    struct scene s;
    scene_start(&s, "exec cat", true);
    pid_t pid = ssh_pid(s.ssh);
    ssh_free(s.ssh);
    s.ssh = NULL;
    CHECK(scene_ends(&s, pid));
    CHECK_INT(s.up + s.down, 0);
    scene_end(&s);
}
