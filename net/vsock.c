#include "net/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/mem.h"
#include "net/resolve.h"

static struct sockaddr_vm address(const struct vsock_addr *a)
{
    return (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = a->cid, .svm_port = a->port};
}

/* A bound socket, or -1 with errno. */
static int bound(const struct vsock_addr *at)
{
    struct sockaddr_vm own = address(at);
    cleanup_fd int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&own, sizeof(own)) != 0)
        return -1;
    return steal_fd(&fd);
}

/* The CID of loopback can be bound to only where there is loopback. */
static bool has_loopback(void)
{
    const struct vsock_addr local = {VMADDR_CID_LOCAL, VMADDR_PORT_ANY};
    cleanup_fd int fd = bound(&local);
    return fd >= 0;
}

/* VMADDR_CID_ANY where no transport gives one. */
static int own_cid(uint32_t *cid)
{
    unsigned n = VMADDR_CID_ANY;
    cleanup_fd int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &n) != 0)
        return -1;
    *cid = n;
    return 0;
}

int vsock_transport(uint32_t *cid)
{
    cleanup_fd int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bool told = own_cid(cid) == 0;
    int error = told ? ENODEV : errno;
    if (told && *cid != VMADDR_CID_ANY)
        return 0;
    *cid = VMADDR_CID_LOCAL;
    if (has_loopback())
        return 0;
    errno = error;
    return -1;
}

struct listener *vsock_listen(struct loop *loop, const struct vsock_addr *at, listener_fn *fn,
                              void *arg)
{
    int fd = bound(at);
    return fd < 0 ? NULL : listener_over(loop, fd, fn, arg);
}

int vsock_peer_cid(int fd, uint32_t *cid)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(peer);
    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        return -1;
    if (peer.ss_family != AF_VSOCK) {
        errno = EPROTOTYPE;
        return -1;
    }
    *cid = ((const struct sockaddr_vm *)&peer)->svm_cid;
    return 0;
}

struct dial *vsock_dial(struct loop *loop, const struct vsock_addr *to, dial_fn *fn, void *arg)
{
    struct sockaddr_vm peer = address(to);
    struct resolved one = {.n = 1, .len = {sizeof(peer)}};
    memcpy(&one.addr[0], &peer, sizeof(peer));
    return dial_addresses(loop, &one, fn, arg);
}
