/* doctor_report.h: what `berth doctor` has a host say about itself: the shell script, and its
 * answer taken apart. No I/O here.
 *
 * The answer is lines "key=value" between two marker lines with a nonce, so that whatever the
 * login shell's start-up files print is told apart from it. What the host could not tell (a
 * tool is missing, say) is NULL, or -1 where it is a number. */
#ifndef CONTROL_DOCTOR_REPORT_H
#define CONTROL_DOCTOR_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/paths.h"
#include "net/ssh_script.h"

#define DOCTOR_PLACES    3
#define DOCTOR_ADDRESSES 6
#define DOCTOR_NOISE_MAX 60 /* characters kept of what the login shell prints */

enum doctor_fact {
    FACT_SYSTEM,  /* uname -s */
    FACT_MACHINE, /* uname -m */
    FACT_RELEASE, /* uname -r */
    FACT_UID,
    FACT_USER,
    FACT_LACKS,    /* tools that the bootstrap needs and that are not there, by blanks */
    FACT_SYSTEMD,  /* there: it runs the host */
    FACT_FILES,    /* the hard limit on open files; "unlimited" */
    FACT_MEMORY,   /* available, in KiB */
    FACT_UDP,      /* "PORT TOKEN", where it answers (udp_token.h) */
    FACT_FIREWALL, /* firewall_verdict_name() */
    FACT_FIREWALL_SEEN,
    FACT_FIREWALL_REMEDY,
    FACTS
};

/* A directory where the binary may be kept, in the order in which they are tried. */
struct doctor_place {
    const char *dir;     /* NULL: no more places */
    const char *near;    /* itself or its nearest parent that exists: what was tried */
    const char *trouble; /* why it will not do; NULL: programs run there, and there is room */
    const char *other;   /* --version of another binary there, the last one that runs */
    bool cached;         /* our binary is there, whole, and runs */
    int64_t free_kib;
};

/* A path where the agent's control socket may be. */
struct doctor_socket {
    const char *path;
    const char *state; /* free, socket (our own), closed (the directory cannot be written) or
                          file, link, foreign: something else is there */
    const char *lock;  /* likewise, of the lock file beside it */
    const char *owner; /* of what is there, where that is not ours */
    const char *agent; /* --version of our agent that runs on it */
};

struct doctor_report {
    char *text;                           /* holds all the others */
    bool begun, complete;                 /* which markers were seen */
    size_t noise_len;                     /* bytes before the first one */
    char noise[4 * DOCTOR_NOISE_MAX + 1]; /* the first line of those that says anything */
    const char *last;                     /* the last key that was seen */
    const char *facts[FACTS];
    struct doctor_place places[DOCTOR_PLACES];
    struct doctor_socket sockets[PATH_AGENT_SOCKETS];
    const char *addresses[DOCTOR_ADDRESSES]; /* its own, the one that ssh came to first */
    size_t address_count;
    bool kills;             /* logind's KillUserProcesses … */
    bool kills_set;         /* … is set, not the default */
    const char *kills_file; /* … in this file */
    const char *kills_only; /* KillOnlyUsers, by blanks; NULL: all */
    const char *kills_not;  /* KillExcludeUsers; NULL: root */
};

/* Heap text: the remote command. */
char *doctor_command(const char nonce[static SSH_NONCE_LEN + 1],
                     const struct ssh_offer offers[static SSH_ARCHES]);
/* Where the marker line is in text[len]; NULL: not there, or not whole yet. */
enum doctor_mark { DOCTOR_BEGIN, DOCTOR_END };
const char *doctor_find(const char *nonce, enum doctor_mark mark, const char *text, size_t len);

/* Never fails: what is missing in the text is unknown in the report. */
void doctor_report_parse(struct doctor_report *r, const char *nonce, const char *text, size_t len);
void doctor_report_fini(struct doctor_report *r);

#endif
