/* policy.h: what the owner of a machine lets others do on it, whoever they are.
 *
 * Who may ask at all was settled before a stream came to a service; this is what the machine's owner
 * said when they let strangers ask (berth agent --join), and no word of theirs changes it. What is
 * no request of a kind that is allowed is refused, those that nobody thought of too. */
#ifndef SERVICE_POLICY_H
#define SERVICE_POLICY_H

#include <stdbool.h>

#include "applets/service/fault.h"
#include "core/message.h"

/* Exec is a command without a terminal, Terminal one with it. Files is what reads and writes them;
 * Dial connects to whatever the machine can reach; to its unix sockets with Exec or Terminal alone. */
enum policy_kind {
    POLICY_EXEC = 1,
    POLICY_FILES = 2,
    POLICY_TERMINAL = 4,
    POLICY_DIAL = 8,
    POLICY_ALL = 15
};

struct service_policy {
    unsigned allow; /* of enum policy_kind */
    char *root;     /* heap: a directory as realpath(3) has it, see file_root.h; NULL: everywhere */
};

void policy_fini(struct service_policy *p);

/* "exec,files,terminal,dial", or some of them; "all"; "none" for Ping alone. -1: something else. */
int policy_read_kinds(unsigned *allow, const char *text);
/* The same text; heap. */
char *policy_kinds_text(unsigned allow);
/* Appends a name for each to an array. */
void policy_put_kinds(unsigned allow, struct json_out *out, struct json_node *list);
/* "/" is no restriction. -1 with a line in *why (heap): there is no such directory, or this kernel cannot
 * hold anybody to it (openat2, Linux 5.6). */
int policy_set_root(struct service_policy *p, const char *dir, char **why);

/* False with *why. Without a policy (NULL) all is allowed. */
bool policy_allows(const struct service_policy *p, const struct message *m, struct fault *why);
/* NULL: everywhere. */
const char *policy_root(const struct service_policy *p);

#endif
