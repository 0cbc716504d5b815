/* options.h: what `berth master` was asked to do. */
#ifndef MASTER_OPTIONS_H
#define MASTER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "applets/master/port_set.h"
#include "net/forward_spec.h"

enum transport { TRANSPORT_AUTO, TRANSPORT_QUIC, TRANSPORT_SSH };

struct options {
    char *host;                 /* [user@]host as typed */
    struct forward_spec *specs; /* -L, -R, -D in order */
    size_t n_specs;
    bool automatic; /* --auto */
    struct port_set auto_ports;
    uint64_t idle_ms; /* --idle-timeout */
    enum transport transport;
    struct port_range udp_ports; /* where the agent looks for a port */
    bool no_remote_requests, no_restore, background, verbose;
    char **ssh_args; /* for ssh, NULL-terminated */
    size_t n_ssh_args;
    char **command; /* behind "--"; NULL: none */
};

/* -1: go on; else the exit status (help was shown, or one line said what is wrong). */
int options_parse(struct options *o, char **argv);
void options_fini(struct options *o);
/* Both want the same port, or socket path, of the same side. */
bool options_clash(const struct forward_spec *a, const struct forward_spec *b);
void options_add(struct options *o, const struct forward_spec *spec);

#endif
