/* network.c: ConfigureNetwork, SetHostname, ConfigureWorkspace (PROTOCOLS, section 5): the
 * machine's address, route, name servers and name. No external command is run. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "applets/guest-agent/guest.h"
#include "applets/guest-agent/network_request.h"
#include "core/log.h"
#include "core/mem.h"

static int write_file(const char *path, const void *data, size_t len)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, data, len);
    if (n >= 0 && (size_t)n < len)
        errno = ENOSPC;
    return n == (ssize_t)len ? 0 : -1;
}

static int fault_of_errno(struct fault *why, const char *what)
{
    return fault_set(why, errno == EPERM || errno == EACCES ? ERR_PERMISSION_DENIED : ERR_IO,
                     "%s: %s", what, strerror(errno));
}

static int apply_network(const struct network *n, struct fault *why)
{
    char name[NETCONF_NAME_MAX];
    const char *step;
    if (netconf_find(name) != 0)
        return fault_set(why, errno == ENODEV ? ERR_NOT_FOUND : ERR_IO, "network interface: %s",
                         errno == ENODEV ? "there is no Ethernet interface" : strerror(errno));
    if (netconf_apply(name, &n->conf, &step) != 0) {
        cleanup_free char *what = xasprintf("%s: %s", name, step);
        return fault_of_errno(why, what);
    }
    if (write_file("/etc/resolv.conf", buf_front(&n->resolv), n->resolv.len) != 0)
        return fault_of_errno(why, "/etc/resolv.conf");
    return 0;
}

static int apply_hostname(const char *name, struct fault *why)
{
    cleanup_free char *line = xasprintf("%s\n", name);
    if (sethostname(name, strlen(name)) != 0)
        return fault_of_errno(why, "setting the host name");
    /* Where the next boot takes it from, if anywhere: the name is set without it. */
    if (write_file("/etc/hostname", line, strlen(line)) != 0)
        log_error("/etc/hostname: %s", strerror(errno));
    return 0;
}

/* ---- the requests ---- */

static void answer(struct request *r, int status, const struct fault *why)
{
    if (status != 0) {
        request_fail(r, why->code, "%s", why->text);
        return;
    }
    message_send(r->stream, MSG_OK);
    request_end(r);
}

void serve_configure_network(struct request *r)
{
    struct network n = {0};
    struct fault why;
    int status = network_read(&n, r->message.body, &why);
    if (status == 0)
        status = apply_network(&n, &why);
    answer(r, status, &why);
    network_fini(&n);
}

void serve_set_hostname(struct request *r)
{
    struct fault why;
    const char *name = network_read_hostname(r->message.body, &why);
    answer(r, name ? apply_hostname(name, &why) : -1, &why);
}

void serve_configure_workspace(struct request *r)
{
    struct network n = {0};
    struct fault why;
    const char *name = network_read_hostname(r->message.body, &why);
    int status = name ? network_read(&n, r->message.body, &why) : -1;
    if (status == 0)
        status = apply_network(&n, &why);
    if (status == 0)
        status = apply_hostname(name, &why);
    answer(r, status, &why);
    network_fini(&n);
}
