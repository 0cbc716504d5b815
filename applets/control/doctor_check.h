/* doctor_check.h: what `berth doctor` makes of a host's report. Pure: facts in, lines out. */
#ifndef CONTROL_DOCTOR_CHECK_H
#define CONTROL_DOCTOR_CHECK_H

#include <netinet/in.h>

#include "applets/control/doctor_report.h"

/* What became of UDP on its way to one of the host's addresses. */
enum way_outcome {
    WAY_NONE,      /* this machine has no route to it */
    WAY_SILENT,    /* no answer */
    WAY_REFUSED,   /* by somebody between, or the host */
    WAY_FORBIDDEN, /* by this machine, to send it */
    WAY_SMALL,     /* no answer to what is as long as QUIC needs */
    WAY_GOOD
};

#define DOCTOR_WAYS (1 + DOCTOR_ADDRESSES)

struct doctor_way {
    enum way_outcome outcome;
    bool v6;
    char address[INET6_ADDRSTRLEN];
    uint64_t rtt_us;
};

/* What this side knows. */
struct doctor_side {
    const char *host;    /* as the user wrote it */
    const char *self;    /* this program's file */
    const char *version; /* "0.1.0" */
    const char *build;
    struct ssh_offer offers[SSH_ARCHES]; /* the binaries that can be sent */
    uint64_t connect_ms;                 /* until the host's shell answered */
    const char *said;                    /* by ssh, why it ended; NULL: nothing */
    bool by_host;                        /* ssh did connect: what it ran there ended */
    bool timed_out;                      /* it was ended here */
    struct doctor_way ways[DOCTOR_WAYS]; /* UDP's, that of ssh first if it is known */
    size_t way_count;                    /* 0: it was not tried */
    uint16_t udp_port;                   /* the host's */
};

enum check_level { CHECK_OK, CHECK_UNKNOWN, CHECK_WARN, CHECK_FAIL, CHECK_LEVELS };

struct check {
    enum check_level level;
    const char *name;
    char *text;
    char *remedy; /* NULL: none is needed */
};

#define CHECKS_MAX 16

struct checks {
    struct check at[CHECKS_MAX];
    size_t n;
};

void doctor_check(struct checks *c, const struct doctor_report *r, const struct doctor_side *side);
void checks_fini(struct checks *c);
size_t checks_count(const struct checks *c, enum check_level level);
/* Heap text: a line a check, its remedy on a line below it, and at last whether the host will do. */
char *checks_text(const struct checks *c, const char *host);

/* Takes both texts; `remedy` may be NULL. */
void check_add(struct checks *c, enum check_level level, const char *name, char *text,
               char *remedy);
/* doctor_place.c: where the binary goes, and the agent's socket, and which versions there are. */
void check_places(struct checks *c, const struct doctor_report *r, const struct doctor_side *side);
void check_sockets(struct checks *c, const struct doctor_report *r);
void check_versions(struct checks *c, const struct doctor_report *r,
                    const struct doctor_side *side);
/* doctor_path.c: UDP, and the host's firewall. */
void check_path(struct checks *c, const struct doctor_report *r, const struct doctor_side *side);
/* The host's architecture: one of ours, or SSH_ARCHES. */
enum ssh_arch check_arch(const struct doctor_report *r);
/* "1.2 MiB", in heap memory. */
char *kib_text(uint64_t kib);

#endif
