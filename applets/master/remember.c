/* {"hosts": {"user@host": {"forwards": [{"kind": "L", "bind": …, "target": …}], "closed":
 * [3000], "session": hex, "socket": path}}}. Several masters may write it: each under a lock,
 * each its own host alone. A file that is not that is told of and left as it is. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "applets/master/master.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"

#define FILE_MAX (1u << 20) /* bytes */

/* NULL where there is none, with errno ENOENT; EINVAL where it is not ours to write. */
static struct json *read_file(const char *path)
{
    size_t len;
    cleanup_free char *text = path_read(path, FILE_MAX, &len);
    if (!text)
        return NULL;
    struct json *doc = json_parse(text, len);
    if (!doc || !json_is_object(json_get(json_root(doc), "hosts"))) {
        json_free(doc);
        errno = EINVAL;
        return NULL;
    }
    return doc;
}

/* --- restoring -------------------------------------------------------------------------------- */

/* The command line's goes before what was remembered for the same port of the same side. */
static bool is_given(const struct options *o, const struct forward_spec *spec)
{
    for (size_t i = 0; i < o->n_specs; i++)
        if (options_clash(&o->specs[i], spec))
            return true;
    return false;
}

static int spec_of(struct forward_spec *spec, const struct json_value *row)
{
    const char *kind = json_get_str(row, "kind"), *bind = json_get_str(row, "bind"),
               *target = json_get_str(row, "target"), *why;
    *spec = (struct forward_spec){0};
    if (!kind || !kind[0] || !strchr("LRD", kind[0]) || !bind)
        return -1;
    spec->kind = kind[0] == 'L' ? FORWARD_LOCAL : kind[0] == 'R' ? FORWARD_REMOTE : FORWARD_DYNAMIC;
    if (target_parse_bind(&spec->bind, bind, &why) < 0)
        return -1;
    if (spec->kind == FORWARD_DYNAMIC)
        return 0;
    return target && target_parse(&spec->target, target, &why) == 0 ? 0 : -1;
}

static void restore_forward(struct options *o, const struct json_value *row)
{
    struct forward_spec spec;
    if (spec_of(&spec, row) < 0) {
        log_error("a remembered forward is unreadable: passed over");
        return;
    }
    if (is_given(o, &spec))
        return;
    options_add(o, &spec);
}

static void add_closed(struct master *m, uint16_t port)
{
    if (remember_is_closed(m, port))
        return;
    m->closed = xrealloc(m->closed, (m->n_closed + 1) * sizeof *m->closed);
    m->closed[m->n_closed++] = port;
}

/* The session of a master that does not live any more: its ports become ours. */
static void restore_session(struct master *m, const struct json_value *host)
{
    const char *session = json_get_str(host, "session"), *path = json_get_str(host, "socket");
    int fd = path ? sock_connect_own(path) : -1;
    if (fd >= 0)
        close(fd);
    else if (session)
        m->takeover = xstrdup(session);
}

void remember_restore(struct master *m)
{
    cleanup_free char *path = path_config("forwards.json");
    struct json *doc = path ? read_file(path) : NULL;
    int64_t port;
    if (!doc) {
        if (path && errno != ENOENT)
            log_error("%s: %s: nothing is restored", path,
                      errno == EINVAL ? "not a file of berth's" : strerror(errno));
        return;
    }
    const struct json_value *host = json_get(json_get(json_root(doc), "hosts"), m->options->host);
    restore_session(m, host);
    struct json_iter it = json_iter(m->options->no_restore ? NULL : json_get(host, "forwards"));
    while (json_next(&it))
        restore_forward(m->options, it.value);
    it = json_iter(m->options->no_restore ? NULL : json_get(host, "closed"));
    while (json_next(&it))
        if (json_int(it.value, &port) == 1 && port > 0 && port <= UINT16_MAX)
            add_closed(m, (uint16_t)port);
    json_free(doc);
}

/* --- saving ---------------------------------------------------------------------------------------- */

static void put_forward(struct json_out *out, struct json_node *to, const struct forward *f)
{
    struct json_node *row = json_put_object(out, to, NULL);
    char kind[2] = {forward_kind_letter(f->asked.kind), '\0'}, text[TARGET_TEXT_MAX];
    json_put_str(out, row, "kind", kind);
    target_format(&f->asked.bind, text);
    json_put_str(out, row, "bind", text);
    if (f->asked.kind == FORWARD_DYNAMIC)
        return;
    target_format(&f->asked.target, text);
    json_put_str(out, row, "target", text);
}

static void put_host(struct json_out *out, struct json_node *hosts, const struct master *m)
{
    struct json_node *host = json_put_object(out, hosts, m->options->host);
    struct json_node *forwards = json_put_array(out, host, "forwards"), *closed;
    char session[2 * SESSION_LEN + 1];
    for (const struct forward *f = m->forwards.first; f; f = f->next)
        if (!f->gone && !f->automatic)
            put_forward(out, forwards, f);
    closed = json_put_array(out, host, "closed");
    for (size_t i = 0; i < m->n_closed; i++)
        json_put_int(out, closed, NULL, m->closed[i]);
    hex_encode(session, session_id(m->session), SESSION_LEN);
    json_put_str(out, host, "session", session);
    json_put_str(out, host, "socket", m->control_path);
}

static int write_file(const char *path, const struct master *m)
{
    struct json *old = read_file(path);
    if (!old && errno != ENOENT)
        return -1;
    struct json_out *out = json_out_new();
    struct json_node *hosts = json_put_object(out, json_out_root(out), "hosts");
    struct json_iter it = json_iter(old ? json_get(json_root(old), "hosts") : NULL);
    while (json_next(&it))
        if (strcmp(it.key, m->options->host) != 0)
            json_put_copy(out, hosts, it.key, it.value);
    put_host(out, hosts, m);
    size_t len;
    cleanup_free char *text = json_out_text(out, true, &len);
    int rc = path_write_atomic(path, text, len, 0600), saved = errno;
    json_out_free(out);
    json_free(old);
    errno = saved;
    return rc;
}

void remember_save(struct master *m)
{
    cleanup_free char *dir = path_config(""), *path = path_config("forwards.json"),
                      *lock_path = path_config("forwards.lock");
    cleanup_fd int lock = -1;
    if (path && path_private_dir(dir) == 0)
        lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0 || write_file(path, m) < 0)
        log_error("the forwards are not remembered: %s: %s", path ? path : "no home directory",
                  errno == EINVAL ? "not a file of berth's" : strerror(errno));
}

/* --- closed by hand --------------------------------------------------------------------------------- */

void remember_closed(struct master *m, uint16_t port)
{
    add_closed(m, port);
}

void remember_opened(struct master *m, uint16_t port)
{
    for (size_t i = 0; i < m->n_closed;)
        if (m->closed[i] == port)
            m->closed[i] = m->closed[--m->n_closed];
        else
            i++;
}

bool remember_is_closed(const struct master *m, uint16_t port)
{
    for (size_t i = 0; i < m->n_closed; i++)
        if (m->closed[i] == port)
            return true;
    return false;
}
