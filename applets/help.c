/* What `berth APPLET --help` prints. */
#include <stdio.h>
#include <string.h>

#include "applets/applets.h"
#include "core/mem.h"

struct page {
    const char *name, *text;
};

static const struct page pages[] = {
    {"master",
     "usage: berth master [options] [user@]host [-- command [args]]\n"
     "\n"
     "Starts your own agent on the host over ssh and keeps ports forwarded until you say stop.\n"
     "Forwards are remembered for each [user@]host; the next `berth master host` restores them.\n"
     "\n"
     "  -L [bind:]port:host:hostport  listen here, connect there (unix sockets by their path)\n"
     "  -L port                       short for -L port:localhost:port\n"
     "  -R [bind:]port:host:hostport  listen there, connect here; -R port likewise\n"
     "  -L udp:…, -R udp:…            the same for UDP, without unix sockets; -L udp:port\n"
     "  -D [bind:]port                a SOCKS5 proxy here; names are resolved there\n"
     "  --auto[=PORTS]                forward ports that start listening there;\n"
     "                                PORTS such as 3000-3999,!3306\n"
     "  --idle-timeout DURATION       how long the agent outlives its last master (10m)\n"
     "  --no-remote-requests          ignore `berth forward` and `berth close` from there\n"
     "  --no-restore                  do not restore remembered forwards\n"
     "  --transport auto|quic|ssh     auto: ssh, and QUIC beside it as soon as UDP gets through\n"
     "  --udp-ports FIRST-LAST        where the agent looks for a UDP port (40000-50000)\n"
     "  -d                            go to the background once the forwards are up\n"
     "  -v                            say more\n"
     "  -p, -i, -J, -F, -o VALUE      handed to ssh\n"
     "\n"
     "A command behind -- runs here once the forwards are up; the session ends when it does,\n"
     "with its exit status.\n"
     "\n"
     "  berth master -L 5432 db.example              the database of db.example, here\n"
     "  berth master -R 8080:localhost:3000 web      port 3000 of this machine, there\n"
     "  berth master -L udp:5353:ns.inside:53 gate   the name server inside, here\n"
     "  berth master -d --auto dev                   whatever starts listening on dev\n"
     "  berth master -D 1080 gate -- curl -x socks5h://127.0.0.1:1080 http://inside/\n"},
    {"agent",
     "usage: berth agent --attach\n"
     "\n"
     "Your own daemon on a host. `berth master` sends this binary there and runs it over ssh;\n"
     "you never need to. It runs as you, listens on no TCP port of its own, and ends when no\n"
     "master has been attached for its idle timeout. What it notes is in\n"
     "~/.cache/berth/agent.log.\n"
     "\n"
     "  --attach              join standard input and output to your agent, starting it first\n"
     "  --check-sha256 HEX    exit with 0 if this very file has that SHA-256\n"
     "\n"
     "  berth stop            end it\n"},
    {"guest-agent",
     "usage: berth guest-agent [options]\n"
     "\n"
     "The agent inside a VM, for its host alone: commands, files and terminals over vsock. Loads\n"
     "the kernel modules that vsock needs where they are missing. As process 1 (a link named\n"
     "`init` in an initramfs; see scripts/mkinitramfs) it is the machine's init as well: mounts\n"
     "what is missing, reaps orphans, powers off in order.\n"
     "\n"
     "  --port N            the vsock port (5000)\n"
     "  --relay-port N      the one for messages relayed from other agents (5001)\n"
     "  --modules DIR       where kernel modules are looked for (/lib/modules)\n"
     "  --allow-local       let processes of this machine connect too, not its host alone:\n"
     "                      whoever they are, they become the user that the agent runs as\n"
     "  --listen unix:PATH  in a container: listen on a unix socket in place of vsock\n"
     "  --relay unix:PATH   the same for the relay\n"
     "\n"
     "It never listens on TCP or UDP. Where vsock cannot be had it says what is missing and exits\n"
     "with status 1.\n"
     "\n"
     "  berth guest-agent\n"
     "  berth guest-agent --listen unix:/run/berth.sock\n"
     "  berth guest --cid 3 exec uname -a       on the host\n"},
    {"guest",
     "usage: berth guest --cid N | --uds PATH | --unix PATH [--port N] VERB ...\n"
     "\n"
     "Asks the guest agent of a VM or container for one thing.\n"
     "\n"
     "  --cid N      the VM with this vsock CID (the host needs vhost_vsock)\n"
     "  --uds PATH   the VM behind this hybrid vsock socket: Firecracker's, Cloud Hypervisor's or\n"
     "               vhost-device-vsock's\n"
     "  --unix PATH  the guest agent that listens on this unix socket (--listen unix:PATH)\n"
     "  --port N     the agent's vsock port (5000)\n"
     "\n"
     "  ping                  who is there: version, uptime, round trip\n"
     "  exec [-i] [-e NAME=VALUE]... [-C DIR] [-t TIME] [--] COMMAND [ARG...]\n"
     "                        runs a command; one that is a single word is a line for /bin/sh\n"
     "      -i                standard input is the command's; without it that is empty, so that\n"
     "                        exec can stand in a script's loop\n"
     "      -e, -C            in its environment; where it starts (the home directory)\n"
     "      -t TIME           kill it after 90, 5m, 2h\n"
     "  shell [-e ...] [-C DIR] [-t TIME] [--] [COMMAND [ARG...]]\n"
     "                        the login shell, or that command, on a terminal\n"
     "  get PATH [LOCAL]      a file from there, to LOCAL (a file or a directory) or to standard\n"
     "                        output; it appears when it is whole\n"
     "  put [LOCAL] PATH      a file to there, with its permissions; no LOCAL, or - for it, is\n"
     "                        standard input\n"
     "  sync                  all that was written there is on disk\n"
     "  connect               standard input and output joined with a connection to the port\n"
     "\n"
     "Exit status: 0 done, 1 failed, 2 wrong usage. That of exec and shell is the command's, or\n"
     "128+N where signal N killed it; 124 where its time was up, 125 where berth failed, 126\n"
     "where the command cannot be run, 127 where there is none.\n"
     "\n"
     "  berth guest --cid 3 exec -- uname -a\n"
     "  berth guest --uds /run/vm.sock exec 'dmesg | tail'\n"
     "  tar c . | berth guest --uds /run/vm.sock exec -i -C /srv -- tar x\n"
     "  berth guest --unix /run/berth.sock shell\n"
     "  berth guest --cid 3 get /var/log/syslog .\n"},
    {"broker",
     "usage: berth broker [options]\n"
     "       berth broker user add NAME | user remove NAME | user list\n"
     "       berth broker token NAME [--days 90]\n"
     "\n"
     "A web service that routes each user's commands to that user's own joined agent, and to no\n"
     "other place. `user` and `token` ask the broker that runs on this host; a token is printed\n"
     "once, and kept as a hash.\n"
     "\n"
     "  --listen HOST:PORT   where it listens (127.0.0.1:3000); beyond loopback only with TLS\n"
     "  --url URL            by which users and agents reach it, where that is another one\n"
     "  --state DIR          where it keeps its state (~/.local/state/berth; of root "
     "/var/lib/berth)\n"
     "  --tls-cert FILE --tls-key FILE\n"
     "                       PEM: the certificate with those that lead to its CA; its key\n"
     "  --tls-self-signed    a key of its own, made once; prints the certificate's SHA-256\n"
     "  --insecure-http      listen beyond loopback without TLS all the same\n"
     "  --oidc-issuer URL    also users whom this OpenID Connect issuer knows: by its JWTs\n"
     "  --oidc-audience A    such tokens must be for A\n"
     "  --jwks-file FILE     the issuer's keys, where they are not to be fetched\n"
     "  --limit KIND=PER_MINUTE:BURST,…\n"
     "                       how often by user: exec=600:100,default=1200:200; by address, who "
     "has\n"
     "                       proven nothing: nobody=300:60; KIND=none, or none\n"
     "  --user NAME          whom it becomes where root starts it: else the state's owner, the\n"
     "                       account berth, or a uid that is nobody's\n"
     "  --unconfined         without Landlock and seccomp: for a debugger\n"
     "\n"
     "  berth broker\n"
     "  berth broker --listen :443 --url https://berth.example --tls-cert c.pem --tls-key k.pem\n"
     "  berth broker user add ann && berth broker token ann\n"},
    {"list", "usage: berth list [--json]\n"
             "\n"
             "Your sessions and their forwards, on whichever side you ask.\n"
             "\n"
             "  --json    for programs\n"
             "\n"
             "  berth list\n"
             "  berth list --json | jq '.sessions[].forwards[] | select(.state != \"ok\")'\n"},
    {"stop",
     "usage: berth stop [SESSION | --all]\n"
     "\n"
     "Ends a session: on your own machine its master, on the remote side your agent.\n"
     "SESSION is the host as you gave it to `berth master`, or the beginning of the id that\n"
     "`berth list` shows. It may be left out where there is only one.\n"
     "\n"
     "  berth stop\n"
     "  berth stop me@db.example\n"
     "  berth stop --all\n"},
    {"forward",
     "usage: berth forward [REMOTE:]LOCAL\n"
     "\n"
     "On the remote side: asks your master, on your own machine, to listen on port LOCAL and\n"
     "lead its connections back to REMOTE here: a port, or host:port.\n"
     "\n"
     "  berth forward 3000            port 3000 of this host, as port 3000 there\n"
     "  berth forward 3000:8000       as port 8000\n"
     "  berth forward db:5432:5432    a host that this one can reach\n"},
    {"close",
     "usage: berth close [udp:]PORT\n"
     "\n"
     "Closes the forward that listens on PORT, on whichever side you ask. Connections that are\n"
     "open through it go on. A forward that was closed by hand is not opened again by --auto.\n"
     "\n"
     "  berth close 3000\n"
     "  berth close udp:5353     the UDP forward, where TCP has that port too\n"},
    {"doctor",
     "usage: berth doctor [-p -i -J -F -o VALUE] [user@]host\n"
     "\n"
     "Looks at a host over ssh, changes nothing there, and prints one line a check: ok, warn,\n"
     "FAIL, or ? where the host cannot tell, with a remedy below it. The options are handed to\n"
     "ssh, which must get in without a prompt, as it must for a master to reconnect by itself.\n"
     "\n"
     "Where this very berth is on the host already, it answers there for a few seconds on a UDP\n"
     "port of 40000-50000, to see whether UDP gets through; and it looks at the host's firewall,\n"
     "as far as your account may, and says which command would open it. Root types that: here\n"
     "nothing is changed. What nft or iptables is told by hand is gone after a reboot, unless it\n"
     "is put into their configuration as well.\n"
     "\n"
     "Exit status: 0 where berth can run, perhaps with warnings, 1 where it cannot.\n"
     "\n"
     "  berth doctor me@db.example\n"
     "  berth doctor -J gate -p 2222 web\n"},
};

const char *applet_help_text(const char *name)
{
    for (size_t i = 0; i < countof(pages); i++)
        if (strcmp(pages[i].name, name) == 0)
            return pages[i].text;
    return NULL;
}

int applet_help(const char *name)
{
    fputs(applet_help_text(name), stdout);
    return 0;
}
