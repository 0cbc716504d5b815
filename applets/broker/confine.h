/* confine.h: what the front gives up: who it is, then what it could still reach. */
#ifndef BROKER_CONFINE_H
#define BROKER_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

/* Which user the front becomes where root starts it, whose state is in `state`: the directory's owner if that
 * is not root; `name` if it is given; the account "berth" if there is one; else a uid that no account has
 * (61184 to 65519, as systemd's DynamicUser), always the same for the same directory, which is given
 * to it. Of anybody else: themselves. -1 after one line. */
int confine_user(const char *state, const char *name, uid_t *uid, gid_t *gid);
/* Becomes that user for good, without further groups. -1 with errno. */
int confine_become(uid_t uid, gid_t gid);

/* From now on: no file but below `state` and what the resolver reads, no new program, no system call that a
 * front does not make; with `connects` also connections to others, for keys that are fetched. Where
 * the kernel cannot restrict that, a line says so. -1 after one line. */
int confine_front(const char *state, bool connects);

#endif
