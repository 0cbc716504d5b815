#include "applets/service/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "applets/service/file_path.h"
#include "applets/service/file_root.h"
#include "core/buf.h"
#include "core/mem.h"
#include "net/target.h"

static const struct {
    enum policy_kind kind;
    const char *name;
} kinds[] = {
    {POLICY_EXEC, "exec"},
    {POLICY_FILES, "files"},
    {POLICY_TERMINAL, "terminal"},
    {POLICY_DIAL, "dial"},
};

static const struct {
    enum message_type type;
    enum policy_kind kind;
} requests[] = {
    {MSG_EXEC, POLICY_EXEC},
    {MSG_EXEC_STREAM, POLICY_EXEC},
    {MSG_EXEC_BACKGROUND, POLICY_EXEC},
    {MSG_EXEC_POLL, POLICY_EXEC},
    {MSG_EXEC_KILL, POLICY_EXEC},
    {MSG_FILE_GET, POLICY_FILES},
    {MSG_FILE_PUT, POLICY_FILES},
    {MSG_FILE_READ, POLICY_FILES},
    {MSG_FILE_WRITE, POLICY_FILES},
    {MSG_FILE_UPLOAD, POLICY_FILES},
    {MSG_FILE_DOWNLOAD, POLICY_FILES},
    {MSG_EDIT_FILE, POLICY_FILES},
    {MSG_LIST_DIR, POLICY_FILES},
    {MSG_SYNC, POLICY_FILES},
    {MSG_DIAL, POLICY_DIAL},
};

void policy_fini(struct service_policy *p)
{
    free(p->root);
    *p = (struct service_policy){0};
}

/* ---- what is allowed, as text ---- */

static unsigned kind_named(const char *name, size_t len)
{
    for (size_t i = 0; i < countof(kinds); i++)
        if (strlen(kinds[i].name) == len && memcmp(kinds[i].name, name, len) == 0)
            return kinds[i].kind;
    return 0;
}

int policy_read_kinds(unsigned *allow, const char *text)
{
    bool none = strcmp(text, "none") == 0;
    *allow = strcmp(text, "all") == 0 ? POLICY_ALL : 0;
    if (none || *allow)
        return 0;
    for (;; text++) {
        size_t len = strcspn(text, ",");
        unsigned kind = kind_named(text, len);
        if (!kind)
            return -1;
        *allow |= kind;
        text += len;
        if (!*text)
            return 0;
    }
}

char *policy_kinds_text(unsigned allow)
{
    struct buf text = {0};
    for (size_t i = 0; i < countof(kinds); i++)
        if (allow & kinds[i].kind)
            buf_printf(&text, "%s%s", text.len ? "," : "", kinds[i].name);
    char *copy = text.len ? xstrndup((const char *)buf_front(&text), text.len) : xstrdup("none");
    buf_fini(&text);
    return copy;
}

void policy_put_kinds(unsigned allow, struct json_out *out, struct json_node *list)
{
    for (size_t i = 0; i < countof(kinds); i++)
        if (allow & kinds[i].kind)
            json_put_str(out, list, NULL, kinds[i].name);
}

/* ---- the root ---- */

int policy_set_root(struct service_policy *p, const char *dir, char **why)
{
    cleanup_fd int fd = -1;
    char *real = realpath(dir, NULL);
    int error = real ? 0 : errno;
    if (real && strcmp(real, "/") == 0) {
        free(real);
        real = NULL;
    }
    if (real)
        error = file_root_open(real, real, O_PATH | O_DIRECTORY, &fd);
    if (error) {
        bool old = error == ENOSYS || error == EPERM;
        *why = xasprintf("--root %s: %s", dir,
                         old ? "this kernel cannot hold anybody to it: Linux 5.6 can"
                             : strerror(error));
        free(real);
        return -1;
    }
    free(p->root);
    p->root = real;
    return 0;
}

const char *policy_root(const struct service_policy *p)
{
    return p ? p->root : NULL;
}

/* ---- requests ---- */

/* 0: not known. */
static unsigned kind_of(const struct message *m)
{
    if (m->type == MSG_EXEC_STREAM && json_get(m->body, "pty"))
        return POLICY_TERMINAL;
    for (size_t i = 0; i < countof(requests); i++)
        if (requests[i].type == m->type)
            return requests[i].kind;
    return 0;
}

static const char *kind_name(unsigned kind)
{
    for (size_t i = 0; i < countof(kinds); i++)
        if (kinds[i].kind == kind)
            return kinds[i].name;
    return NULL;
}

/* Behind a unix socket is whatever the user may do: an agent of theirs that knows no policy, a session bus,
 * a container engine. */
static bool is_as_good_as_exec(const struct message *m)
{
    struct target target;
    const char *why, *text = m->type == MSG_DIAL ? json_get_str(m->body, "target") : NULL;
    return text && target_parse(&target, text, &why) == 0 && target.kind == TARGET_UNIX;
}

bool policy_allows(const struct service_policy *p, const struct message *m, struct fault *why)
{
    unsigned kind = kind_of(m);
    if (p && is_as_good_as_exec(m) && !(p->allow & (POLICY_EXEC | POLICY_TERMINAL))) {
        fault_set(why, ERR_PERMISSION_DENIED,
                  "this machine's owner does not allow unix sockets without exec (--allow)");
        return false;
    }
    if (!p || m->type == MSG_PING || (kind & p->allow))
        return true;
    if (kind)
        fault_set(why, ERR_PERMISSION_DENIED, "this machine's owner does not allow %s (--allow)",
                  kind_name(kind));
    else
        fault_set(why, ERR_PERMISSION_DENIED, "this machine's owner does not allow %s",
                  message_name(m->type));
    return false;
}
