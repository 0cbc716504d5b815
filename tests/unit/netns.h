/* netns.h: a network namespace of a test's own, with its lo up or down. */
#ifndef TESTS_UNIT_NETNS_H
#define TESTS_UNIT_NETNS_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The namespace to go back to, or -1 after a note: only root may make one. */
static inline int netns_enter(const char *test)
{
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home >= 0 && unshare(CLONE_NEWNET) == 0)
        return home;
    if (home >= 0)
        close(home);
    fprintf(stderr, "%s: not tested: it needs a network namespace, which only root may make\n",
            test);
    return -1;
}

/* 0, or -1 with errno. */
static inline int netns_leave(int home)
{
    int rc = setns(home, CLONE_NEWNET);
    close(home);
    return rc;
}

static inline int netns_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* SIOC…: 16 bits, whatever the C library takes them for. */
static inline int netns_ioctl(uint16_t request, void *arg)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = ioctl(fd, request, arg);
    close(fd);
    return rc;
}

static inline int netns_lo_flags(short flags)
{
    struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = flags};
    return netns_ioctl(SIOCSIFFLAGS, &ifr);
}

static inline int netns_lo_up(void)
{
    return netns_lo_flags(IFF_UP | IFF_RUNNING);
}

/* An address of lo's beside its own, in place of the one before. */
static inline int netns_lo_address(const char *addr)
{
    struct ifreq ifr = {.ifr_name = "lo:1"};
    struct sockaddr_in sa = {.sin_family = AF_INET};
    inet_pton(AF_INET, addr, &sa.sin_addr);
    memcpy(&ifr.ifr_addr, &sa, sizeof(sa));
    return netns_ioctl(SIOCSIFADDR, &ifr);
}

#endif
