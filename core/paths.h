/* paths.h: where this user's files are, and that they are this user's alone. */
#ifndef CORE_PATHS_H
#define CORE_PATHS_H

#include <stddef.h>
#include <sys/types.h>

/* All return heap text. Nothing is created by asking. */
char *path_home(void);               /* $HOME, else the password file's */
char *path_cache(const char *name);  /* ~/.cache/berth/NAME */
char *path_config(const char *name); /* ${XDG_CONFIG_HOME:-~/.config}/berth/NAME */
char *path_state(void);              /* ${XDG_STATE_HOME:-~/.local/state}/berth */
char *path_self(void);               /* this program's own file */

/* The agent's control socket: 0 is /tmp/berth-$UID.sock, 1 is $HOME/.berth.sock. */
#define PATH_AGENT_SOCKETS 2
char *path_agent_socket(unsigned which);

/* NAME in a directory that only this user can enter, made if need be: $XDG_RUNTIME_DIR/berth,
 * else /tmp/berth-$UID, else ~/.cache/berth/run. NULL with errno when none can be had. */
char *path_runtime(const char *name);
/* Removes that directory again if nothing is in it. */
void path_runtime_tidy(void);

/* mkdir -p with mode 0700. -1 with errno EPERM when what is there is not a directory of this
 * user's own (a symlink is not). */
int path_private_dir(const char *dir);

/* Writes a file whole or not at all: temporary file beside it, fsync, rename. */
int path_write_atomic(const char *path, const void *data, size_t len, mode_t mode);
/* The whole file as heap memory with a NUL behind it; NULL with errno (EFBIG: over `max`).
 * `len` may be NULL. */
char *path_read(const char *path, size_t max, size_t *len);

#endif
