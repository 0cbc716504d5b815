/* master.h: the master's own: one session with one host, and the forwards through it. */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/master/forward.h"
#include "applets/master/options.h"
#include "applets/master/promote.h"
#include "applets/service/control.h"
#include "applets/service/service.h"
#include "applets/service/session.h"
#include "core/proc.h"
#include "net/netwatch.h"
#include "net/ssh.h"

/* A question under way. */
struct hint {
    struct stream *stream; /* NULL: none is */
    struct frame_reader frames;
    struct loop_timer patience;
};

enum master_state {
    MASTER_FIRST,    /* the first ssh connection is being made; if it fails, that is the end */
    MASTER_UP,       /* the session flows */
    MASTER_WAITING,  /* for the time, or the event, of the next try */
    MASTER_AGAIN,    /* another ssh connection is being made */
    MASTER_STOPPING, /* Shutdown was said; the other end's goodbye is awaited */
    MASTER_STATES
};

struct master {
    struct loop *loop;
    struct options *options;
    enum master_state state;
    int exit_status;

    /* connection.h */
    struct ssh *ssh;
    struct session *session;
    uint8_t psk[PSK_LEN];       /* the session's */
    struct hint hint;           /* hint.c */
    struct promotion promotion; /* promote.c */
    struct netwatch *watch;
    struct loop_timer retry, limit;
    uint64_t backoff_ms, carried_ms, tried_ms;
    bool carried;     /* this ssh connection has come as far as the agent */
    bool greeted;     /* this session's HelloAck has come */
    bool wants_quic;  /* --transport quic, and it has not come yet: nothing goes before */
    bool told_reason; /* of the present outage */
    char *takeover;   /* hex of a dead session whose ports are ours now; NULL: none */
    char *from, *to;  /* addresses, as the agent sees them */

    struct forwards forwards;
    struct udp_flows flows;  /* of the session */
    struct service service;  /* what the agent may ask: remote.c */
    struct control *control; /* what this user may ask here: local.c */
    char *control_path;
    struct loop_child command; /* command.c */
    bool commanding;
    uint64_t asked_ms; /* remote.c: how much the agent may still ask */
    unsigned asks_left;
    int ready_fd;     /* the parent of -d waits on it; -1: none */
    uint16_t *closed; /* ports closed by hand, not for --auto to open: remember.c */
    size_t n_closed;
};

/* --- connection.h: ssh and the session on it -------------------------------------------------- */

void connection_start(struct master *m);
/* Orderly: listeners closed, Shutdown said; the loop ends within 1 s. */
void connection_stop(struct master *m, int exit_status);
void connection_fini(struct master *m);
/* The same, with 1, and one line says why. */
void connection_give_up(struct master *m, const char *why);

/* --- hint.c: why UDP does not get through ------------------------------------------------------- */

/* Asks the agent, shows what it says, and then tells promote_hinted(). */
void hint_ask(struct master *m);
void hint_forget(struct master *m);

/* --- remote.c: what the agent asks ----------------------------------------------------------------- */

extern const struct service_row remote_rows[];
void remote_forward_request(struct master *m, const struct message *request);
void remote_close_request(struct master *m, const struct message *request);

/* --- local.c: the control socket, for list, stop, forward and close ------------------------------------ */

void local_start(struct master *m);
struct draft local_listing(struct master *m);

/* --- remember.c: ~/.config/berth/forwards.json ------------------------------------------------------------ */

/* Adds what was remembered for this host, and takes a dead session over. */
void remember_restore(struct master *m);
void remember_save(struct master *m);
void remember_closed(struct master *m, uint16_t port);
void remember_opened(struct master *m, uint16_t port); /* by hand, again */
bool remember_is_closed(const struct master *m, uint16_t port);

/* --- command.c: the wrapped command ------------------------------------------------------------------------ */

/* The forwards are up: runs the command, goes to the background, or says so. */
void command_ready(struct master *m);
/* What still runs without the session is told to end. */
void command_abandon(struct master *m);

/* --- progress.c ------------------------------------------------------------------------------------------------ */

/* A bar on standard error, if that is a terminal; ends its line at sent == total. */
void progress_show(const char *host, uint64_t sent, uint64_t total);

#endif
