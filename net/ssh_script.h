/* ssh_script.h: the shell script that ssh runs on the host, and what it answers.
 *
 * The script travels as one word of a command line that any login shell may have to take
 * apart, so it holds no single quote, backslash, newline or exclamation mark. Its answers are
 * lines on standard output, "berth-<nonce> WORD DETAIL", found in whatever else the login
 * shell's start-up files print there. No I/O here. */
#ifndef NET_SSH_SCRIPT_H
#define NET_SSH_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/key.h"

#define SSH_NONCE_LEN  16            /* hex digits, 64 random bits */
#define SSH_DETAIL_MAX 1023          /* characters of a marker line; more are dropped */
#define SSH_NOISE_MAX  (1024 * 1024) /* bytes before a marker that are put up with */

/* The architectures that berth is built for, by uname -m. */
enum ssh_arch { SSH_X86_64, SSH_AARCH64, SSH_ARCHES };
const char *ssh_arch_name(enum ssh_arch arch);

/* A binary that can be sent; size 0: there is none of this architecture. */
struct ssh_offer {
    uint8_t hash[SHA256_LEN];
    uint64_t size; /* bytes */
};

struct buf;
/* Appends it as three words for a script: " HASH16 REST SIZE", or " - - 0". */
void ssh_offer_put(struct buf *b, const struct ssh_offer *offer);

/* Shell that the bootstrap and `doctor` share, so that both see a host alike. With $k, $r, $s
 * the offer that fits the host, and $t a file to try a place with:
 *   quiet     in a subshell: what fails says so on standard output
 *   each FN   runs FN for the places where the binary may be kept, the best first, until it
 *             succeeds: $d is the place, $f the binary in it
 *   ours      the place may be used
 *   cached    the whole binary is there already
 *   filled    makes $t, an empty program; fails where there is no room for the binary */
extern const char ssh_shell_functions[];

/* The remote command that runs the agent of the host's architecture, in heap memory. NULL
 * with errno EINVAL when a word of agent_args, which NULL ends, has other characters than
 * [A-Za-z0-9._:=/+-]. */
char *ssh_script_command(const char nonce[static SSH_NONCE_LEN + 1],
                         const struct ssh_offer offers[static SSH_ARCHES], char *const *agent_args);

enum ssh_marker {
    SSH_MARK_NONE, /* no whole marker line yet */
    SSH_MARK_NEED, /* send the binary of architecture `detail` now, and nothing after it */
    SSH_MARK_RUN,  /* what follows is the agent's */
    SSH_MARK_ARCH, /* berth is not built for what the host runs: `detail`, as uname -sm says */
    SSH_MARK_LACK, /* no binary of architecture `detail` was offered */
    SSH_MARK_FAIL, /* `detail` is for a person, one of the ways to fail below in front */
    SSH_MARK_NOISE /* over SSH_NOISE_MAX without a marker, or an unknown word */
};

/* How SSH_MARK_FAIL's detail begins:
 *   "place DIR: why; DIR: why…"   the binary can be put nowhere
 *   "space DIR: why"              it did not arrive whole
 *   "check DIR"                   it arrived, but is not what was sent */

#define SSH_MARK_LEN (sizeof "berth-" - 1 + SSH_NONCE_LEN + 1) /* "berth-<nonce> " */

struct ssh_scan {
    char mark[SSH_MARK_LEN];
    char window[SSH_MARK_LEN]; /* the bytes read last, while no marker was seen */
    bool inside;               /* one was: its line follows */
    size_t noise;              /* bytes passed over so far */
    char line[SSH_DETAIL_MAX + 1];
    size_t line_len;
    const char *detail; /* the marker's, inside `line` */
    char heard[128];    /* the last line of noise that says anything */
    char hearing[128];  /* the one that is being read */
    size_t hearing_len;
};

void ssh_scan_init(struct ssh_scan *s, const char nonce[static SSH_NONCE_LEN + 1]);
/* Reads data[len] up to the end of the first marker line; *taken says how far that was. */
enum ssh_marker ssh_scan_feed(struct ssh_scan *s, const uint8_t *data, size_t len, size_t *taken);
#endif
