#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "applets/agent/agent.h"
#include "applets/agent/attach.h"
#include "applets/agent/join_run.h"
#include "applets/agent/udp_echo.h"
#include "applets/applets.h"
#include "applets/service/udp_token.h"
#include "core/bytes.h"
#include "core/key.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"
#include "core/paths.h"

enum {
    OPT_ATTACH = 1,
    OPT_DAEMON,
    OPT_CHECK,
    OPT_UDP_ECHO,
    OPT_JOIN,
    OPT_CODE,
    OPT_NAME,
    OPT_ALLOW,
    OPT_ROOT,
    OPT_PIN,
    OPT_CA,
    OPT_INSECURE,
    OPT_HELP
};

static const struct opt options[] = {
    {0, "attach", OPT_FLAG, OPT_ATTACH},
    {0, "daemon", OPT_VALUE, OPT_DAEMON},
    {0, "check-sha256", OPT_VALUE, OPT_CHECK},
    {0, "udp-echo", OPT_OPTIONAL, OPT_UDP_ECHO},
    {0, "join", OPT_VALUE, OPT_JOIN},
    {0, "code", OPT_VALUE, OPT_CODE},
    {0, "name", OPT_VALUE, OPT_NAME},
    {0, "allow", OPT_VALUE, OPT_ALLOW},
    {0, "root", OPT_VALUE, OPT_ROOT},
    {0, "pin", OPT_VALUE, OPT_PIN},
    {0, "ca", OPT_VALUE, OPT_CA},
    {0, "insecure-http", OPT_FLAG, OPT_INSECURE},
    {'h', "help", OPT_FLAG, OPT_HELP},
    {0},
};

/* After an upload: is this file what the master sent? */
static int check_self(const char *hex)
{
    uint8_t want[SHA256_LEN], have[SHA256_LEN];
    cleanup_fd int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (hex_decode(want, sizeof want, hex) < 0) {
        log_error("--check-sha256 needs 64 hex digits");
        return 2;
    }
    if (fd < 0 || key_sha256_fd(fd, have) < 0) {
        log_error("cannot read this program: %s", strerror(errno));
        return 1;
    }
    if (memcmp(want, have, sizeof want) != 0) {
        log_error("the upload is damaged: its sha256 is not what was sent");
        return 1;
    }
    return 0;
}

static int echo(const char *text)
{
    uint64_t secs = UDP_TOKEN_SECS;
    if (text && opt_unsigned(text, 60, &secs) < 0) {
        log_error("--udp-echo takes up to 60 seconds");
        return 2;
    }
    return udp_echo((unsigned)secs);
}

static int run_daemon(const char *text)
{
    uint64_t which;
    if (opt_unsigned(text, PATH_AGENT_SOCKETS - 1, &which) == 0)
        return daemon_run((unsigned)which);
    log_error("--daemon needs the number of a socket path, 0 or 1");
    return 2;
}

static int run_join(const struct join_words *w)
{
    if (w->broker.url)
        return join_run(w);
    log_error("the agent is started by `berth master` over ssh, or joins a broker with --join URL; "
              "see `berth agent --help`");
    return 2;
}

int agent_main(char **argv)
{
    struct opts o = opts_of(options, argv);
    struct join_words w = {0};
    for (;;) {
        switch (opt_next(&o)) {
        case OPT_ATTACH: return attach();
        case OPT_CHECK: return check_self(o.value);
        case OPT_UDP_ECHO: return echo(o.value);
        case OPT_HELP: return applet_help("agent");
        case OPT_DAEMON: return run_daemon(o.value);
        case OPT_JOIN: w.broker.url = o.value; break;
        case OPT_CODE: w.code = o.value; break;
        case OPT_NAME: w.name = o.value; break;
        case OPT_ALLOW: w.allow = o.value; break;
        case OPT_ROOT: w.root = o.value; break;
        case OPT_PIN: w.broker.pin = o.value; break;
        case OPT_CA: w.broker.ca = o.value; break;
        case OPT_INSECURE: w.broker.insecure_http = true; break;
        case OPT_END: return run_join(&w);
        case OPT_OPERAND:
            log_error("agent takes no %s (see berth agent --help)", o.value);
            return 2;
        default: return 2;
        }
    }
}
