/* client.h: one master's session, at the agent: what it listens on, what it is asked. */
#ifndef AGENT_CLIENT_H
#define AGENT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/agent/agent.h"
#include "applets/service/listing.h"
#include "applets/service/opener.h"
#include "applets/service/service.h"
#include "applets/service/session.h"
#include "applets/service/udp_listener.h"
#include "net/sock.h"

/* --- client.c: a master's session, at the agent ------------------------------------------- */

struct client {
    struct agent *agent;
    struct client *next, *prev;
    struct session *session;
    struct service service;
    struct remote_listen *listens;
    struct openers openers;  /* connections that came to those */
    struct udp_flows flows;  /* of the session */
    struct asked *asked;     /* requests that the master has not answered yet */
    struct auto_scan *scan;  /* NULL: it did not ask for --auto */
    char *host;              /* what the person called this machine */
    char *from, *to;         /* addresses of the ssh connection */
    uint8_t psk[PSK_LEN];    /* the session's key, for transports beside ssh */
    bool greeted;            /* its Hello has come */
    bool accepts_requests;   /* `berth forward` may ask it */
    const char *end_reason;  /* static: to be ended once its Hello has come */
    uint64_t idle_ms;        /* how long it is kept without a carrier */
    int64_t last_id;         /* of our own requests to it */
    struct loop_timer grace; /* runs while it has no carrier */
};

/* What a master may ask for on a stream. The service's owner is the client. */
extern const struct service_row agent_rows[];

struct client *client_new(struct agent *agent, const uint8_t id[static SESSION_LEN]);
/* Listeners closed, streams reset. */
void client_free(struct client *c);
/* Says Shutdown first, and goes once that has arrived or the carrier is gone. `reason` is a
 * static text. */
void client_end(struct client *c, const char *reason);
struct client *client_find(struct agent *agent, const uint8_t id[static SESSION_LEN]);
void client_send_error(struct client *c, int64_t id, enum error_code code, const char *text);

/* HelloAck again: what it says may be another now. */
void client_greet_again(struct client *c);

/* --- remote_listen.c: -R -------------------------------------------------------------------- */

struct remote_listen {
    struct client *client;
    struct remote_listen *next;
    int64_t id;
    struct forward_spec spec;
    struct listener *listener; /* NULL: taken over, or closed with connections still open … */
    struct udp_listener *udp;  /* … unless this is there */
    struct relay_count count;
    struct meter meter;
};

static inline bool remote_listen_is_open(const struct remote_listen *l)
{
    return l->listener || l->udp;
}
/* Answers ListenAck or Error on the control stream. */
void remote_listen_start(struct client *c, const struct message *m);
void remote_listen_stop(struct client *c, const struct message *m);
void remote_listen_free_all(struct client *c);

/* --- ask_master.c: requests of this side that a master answers ----------------------------- */

/* `berth forward`: asks the newest master that is up; `berth close`: all of them, and the first
 * that closes something has answered. Both answer on `s`, which they take. */
void ask_forward(struct agent *agent, struct stream *s, const struct message *request);
void ask_close(struct agent *agent, struct stream *s, const struct message *request);
/* The master's answer to one of ours: ForwardAck, Ok or Error with our id. */
void ask_answered(struct client *c, const struct message *m);
void ask_forget_all(struct client *c);

/* --- auto_scan.c: ports that start listening here -------------------------------------------- */

/* Tells the master about this user's TCP listeners, now and as they come and go. */
struct auto_scan *auto_scan_new(struct client *c);
void auto_scan_free(struct auto_scan *a);

#endif
