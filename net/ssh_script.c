#include "net/ssh_script.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/buf.h"
#include "core/bytes.h"
#include "core/mem.h"
#include "net/ssh.h"

#define NAME_DIGITS "16" /* of the hash, in the binary's file name */

/* The shell's message for a failed redirection is taken off standard error, so that the person
 * hears why, in one language.
 *
 * In /tmp, where anyone may have been first, only a directory that is ours and no link will
 * do. A file that lost its head in a crash is not run: the shell would take it for a script.
 * Zeros of the binary's size are written first, so that a place without room is passed over
 * while another one can still be chosen. */
const char ssh_shell_functions[] =
    "quiet() { LC_ALL=C; export LC_ALL; exec 2>&1; }; "
    "each() { for d in \"${HOME:+$HOME/.cache/berth}\" "
    "\"${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/berth}\" \"/tmp/berth-bin-${LOGNAME:-$USER}\"; do "
    "f=$d/berth-$k; "
    "if [ \"$d\" ] && \"$1\"; then return 0; fi; "
    "done; return 1; }; "
    "ours() { case $d in /tmp/berth-bin-*) "
    "if [ -L \"$d\" ]; then return 1; fi; [ -d \"$d\" ] && [ -O \"$d\" ] ;; "
    "esac; }; "
    "good() { case $(head -c 4 \"$1\") in "
    "?ELF) \"$1\" agent --check-sha256 \"$k$r\" ;; "
    "*) return 1 ;; "
    "esac; } </dev/null >/dev/null 2>&1; "
    "cached() { [ -x \"$f\" ] && ours && good \"$f\"; }; "
    "filled() { echo : >\"$t\" && chmod 700 \"$t\" && head -c $s /dev/zero >\"$t\" && "
    "echo : >\"$t\"; }; ";

/* $1 the nonce; for each architecture the hash's first 16 digits, the others, and the size;
 * then the agent's arguments. */
static const char script[] =
    "umask 077; n=$1; m=$(uname -sm 2>/dev/null); say() { echo \"berth-$n $*\"; }; "
    "fail() { rm -f \"$t\" 2>/dev/null; say fail \"$@\"; exit 1; }; "
    "case $m in "
    "\"Linux x86_64\") k=$2 r=$3 s=$4 ;; "
    "\"Linux aarch64\") k=$5 r=$6 s=$7 ;; "
    "*) say arch \"$m\"; exit 1 ;; "
    "esac; "
    "shift 7; m=${m#Linux }; "
    "case $k in -) say lack \"$m\"; exit 1 ;; esac; "

    "fits() { t=$d/.berth-$n; "
    "if e=$(quiet; mkdir -p \"$d\"); then "
    "if ours; then "
    "if e=$(quiet; filled); then "
    "if \"$t\" </dev/null >/dev/null 2>&1; then return 0; fi; "
    "e=\"programs may not run there\"; fi; "
    "else e=\"not a directory of this user\"; fi; fi; "
    "rm -f \"$t\" 2>/dev/null; w=\"$w; $d: ${e##*: }\"; return 1; }; "

    "run() { say run; exec \"$f\" agent --attach \"$@\"; }; "

    "if each cached; then run \"$@\"; fi; "
    "each fits || fail place \"${w#; }\"; "
    "say need \"$m\"; "
    "e=$(quiet; head -c $s >\"$t\") || fail space \"$d: ${e##*: }\"; "
    "good \"$t\" || fail check \"$d\"; "
    "e=$(quiet; mv -f \"$t\" \"$f\") || fail place \"$d: ${e##*: }\"; "
    "run \"$@\"";

const char *ssh_arch_name(enum ssh_arch arch)
{
    return arch == SSH_X86_64 ? "x86_64" : "aarch64";
}

void ssh_offer_put(struct buf *b, const struct ssh_offer *offer)
{
    char hex[2 * SHA256_LEN + 1];
    hex_encode(hex, offer->hash, SHA256_LEN);
    if (offer->size)
        buf_printf(b, " %." NAME_DIGITS "s %s %" PRIu64, hex, hex + 16, offer->size);
    else
        buf_printf(b, " - - 0");
}

/* What no shell would look into. */
static bool is_plain(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._:=/+-";
    return *word && word[strspn(word, plain)] == '\0';
}

char *ssh_script_command(const char nonce[static SSH_NONCE_LEN + 1],
                         const struct ssh_offer offers[static SSH_ARCHES], char *const *agent_args)
{
    struct buf b = {0};
    cleanup_free char *text = xasprintf("%s%s", ssh_shell_functions, script);
    cleanup_free char *command = ssh_remote_command(text);
    buf_printf(&b, "%s berth %s", command, nonce);
    for (int arch = 0; arch < SSH_ARCHES; arch++)
        ssh_offer_put(&b, &offers[arch]);
    for (char *const *arg = agent_args; *arg; arg++) {
        if (!is_plain(*arg)) {
            buf_fini(&b);
            errno = EINVAL;
            return NULL;
        }
        buf_printf(&b, " %s", *arg);
    }
    char *whole = xstrndup((const char *)buf_front(&b), b.len);
    buf_fini(&b);
    return whole;
}

char *ssh_remote_command(const char *text)
{
    return xasprintf("exec /bin/sh -c '%s'", text);
}

void ssh_scan_init(struct ssh_scan *s, const char nonce[static SSH_NONCE_LEN + 1])
{
    *s = (struct ssh_scan){0};
    struct writer w = writer_to(s->mark, sizeof s->mark);
    write_bytes(&w, "berth-", sizeof "berth-" - 1);
    write_bytes(&w, nonce, SSH_NONCE_LEN);
    write_u8(&w, ' ');
}

static void hear(struct ssh_scan *s, char c)
{
    if (c == '\n') {
        s->hearing[s->hearing_len] = '\0';
        if (s->hearing[strspn(s->hearing, " \t\r")])
            memcpy(s->heard, s->hearing, sizeof s->heard);
        s->hearing_len = 0;
    } else if (s->hearing_len < sizeof s->hearing - 1) {
        s->hearing[s->hearing_len++] = c;
        s->hearing[s->hearing_len] = '\0';
    }
}

static void seek_mark(struct ssh_scan *s, char c)
{
    memmove(s->window, s->window + 1, sizeof s->window - 1);
    s->window[sizeof s->window - 1] = c;
    if (memcmp(s->window, s->mark, sizeof s->mark) == 0) {
        s->inside = true;
        s->line_len = 0;
        return;
    }
    s->noise++;
    hear(s, c);
}

/* The line ends: which marker was it? */
static enum ssh_marker name_mark(struct ssh_scan *s)
{
    static const struct {
        const char *word;
        enum ssh_marker marker;
    } words[] = {{"need", SSH_MARK_NEED},
                 {"run", SSH_MARK_RUN},
                 {"arch", SSH_MARK_ARCH},
                 {"lack", SSH_MARK_LACK},
                 {"fail", SSH_MARK_FAIL}};
    s->inside = false;
    memset(s->window, 0, sizeof s->window);
    s->line[s->line_len] = '\0';
    size_t len = strcspn(s->line, " ");
    s->detail = s->line + len + (s->line[len] == ' ');
    for (size_t i = 0; i < countof(words); i++)
        if (strlen(words[i].word) == len && memcmp(words[i].word, s->line, len) == 0)
            return words[i].marker;
    return SSH_MARK_NOISE;
}

enum ssh_marker ssh_scan_feed(struct ssh_scan *s, const uint8_t *data, size_t len, size_t *taken)
{
    for (*taken = 0; *taken < len && s->noise <= SSH_NOISE_MAX;) {
        char c = (char)data[(*taken)++];
        if (!s->inside)
            seek_mark(s, c);
        else if (c == '\n')
            return name_mark(s);
        else if (s->line_len < SSH_DETAIL_MAX)
            s->line[s->line_len++] = c;
    }
    return s->noise > SSH_NOISE_MAX ? SSH_MARK_NOISE : SSH_MARK_NONE;
}
