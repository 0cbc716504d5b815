/* ssh_binary.h: our own binaries, one an architecture, as files to be sent to a host. */
#ifndef NET_SSH_BINARY_H
#define NET_SSH_BINARY_H

#include "net/ssh_script.h"

struct ssh_binary {
    int fd; /* -1: there is none */
    struct ssh_offer offer;
};

/* For this machine's architecture it is the running program itself. For another one it is
 * berth-ARCH: beside the program, in ../lib/berth/ from there, or in ~/.cache/berth/. */
void ssh_binary_open(struct ssh_binary *b, enum ssh_arch arch);
void ssh_binary_close(struct ssh_binary *b);

#endif
