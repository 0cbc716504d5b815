/* forward_spec.h: what -L, -R and -D take, in ssh's syntax.
 *
 *   -L, -R   [bind:]port:host:hostport   [bind:]port:/path   /path:host:hostport   /path:/path
 *   -L, -R   port                        short for port:localhost:port
 *   -L, -R   udp:…                       either of them for UDP, without paths
 *   -D       [bind:]port
 * A v6 address stands in brackets. No bind: 127.0.0.1. Bind "*" or empty: every address. As in
 * ssh, a field in brackets is taken as it is, and elsewhere '\' takes the next character as
 * it is: so a path may hold ':'. */
#ifndef NET_FORWARD_SPEC_H
#define NET_FORWARD_SPEC_H

#include "net/target.h"

enum forward_kind { FORWARD_LOCAL, FORWARD_REMOTE, FORWARD_DYNAMIC };

struct forward_spec {
    enum forward_kind kind;
    struct target bind;   /* port 0: the system chooses */
    struct target target; /* unused for FORWARD_DYNAMIC */
};

#define FORWARD_SPEC_TEXT_MAX (2 * TARGET_TEXT_MAX + 8)

/* 0, or -1 with *why a static text. Bind and target are of one kind, but where one is a path. */
int forward_spec_parse(struct forward_spec *f, enum forward_kind kind, const char *text,
                       const char **why);
/* "-L 127.0.0.1:5432 -> localhost:5432"; -D without a target. */
void forward_spec_format(const struct forward_spec *f, char text[static FORWARD_SPEC_TEXT_MAX]);
/* 'L', 'R' or 'D'. */
char forward_kind_letter(enum forward_kind kind);

#endif
