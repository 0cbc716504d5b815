/* applets.h: a row per applet: its function, its name, its help in one line. */
#ifndef APPLETS_APPLETS_H
#define APPLETS_APPLETS_H

/* Each takes its words, without its own name, NULL-terminated, and returns the exit status:
 * 0 done, 1 failed, 2 usage. */
int master_main(char **argv);
int agent_main(char **argv);
int guest_agent_main(char **argv);
int guest_main(char **argv);
int broker_main(char **argv);
int login_main(char **argv);
int exec_main(char **argv);
int list_main(char **argv);
int stop_main(char **argv);
int forward_main(char **argv);
int close_main(char **argv);
int doctor_main(char **argv);

#define APPLETS(X)                                                                                 \
    X(master, "master",                                                                            \
      "forward ports to and from a host, through a session that survives roaming")                 \
    X(agent, "agent", "join this machine to a broker; or a master's end, which it starts")         \
    X(guest_agent, "guest-agent", "the agent inside a VM or container, over vsock alone")          \
    X(guest, "guest", "commands, files and a shell inside a VM or container, from its host")       \
    X(broker, "broker", "routes each user's commands to that user's own joined agent")             \
    X(login, "login", "keep an API token of a broker, for exec and list")                          \
    X(exec, "exec", "a command on your own machine, through the broker that it has joined")        \
    X(list, "list", "sessions and forwards that are yours here")                                   \
    X(stop, "stop", "end a session, or all of them")                                               \
    X(forward, "forward", "on the remote side: have the master listen on a port")                  \
    X(close, "close", "close the forward on a port")                                               \
    X(doctor, "doctor", "check what a host needs for berth, with remedies")

/* Prints the applet's help on standard output; returns 0. */
int applet_help(const char *name);
/* Its text; NULL where there is no such applet. */
const char *applet_help_text(const char *name);

#endif
