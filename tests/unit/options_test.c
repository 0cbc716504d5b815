#include "applets/master/options.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/capture.h"
#include "tests/unit/test.h"

#define WORDS_MAX 24

/* Parses a line of words; *said is what was logged. */
static int parse(struct options *o, const char *line, char **said)
{
    static char copy[256];
    char *argv[WORDS_MAX] = {NULL}, *rest = copy;
    size_t n = 0;
    CHECK(strlen(line) < sizeof copy);
    snprintf(copy, sizeof copy, "%s", line);
    while (n < WORDS_MAX - 1 && (argv[n] = strsep(&rest, " ")))
        n++;
    capture_begin();
    int status = options_parse(o, argv);
    /* The command stays where the words are, which are gone when this returns. */
    if (o->command)
        CHECK_STR(o->command[0], "true");
    char *text = capture_end();
    if (said)
        *said = text;
    else
        free(text);
    return status;
}

TEST(options_in_full)
{
    struct options o;
    CHECK_INT(parse(&o,
                    "-L 5432 -R 8080:localhost:3000 me@host -D 1080 --auto=3000-3999 -p 2222 "
                    "--idle-timeout 2h --no-restore -v -- true",
                    NULL),
              -1);
    CHECK_STR(o.host, "me@host");
    CHECK_INT(o.n_specs, 3);
    CHECK_INT(o.specs[1].kind, FORWARD_REMOTE);
    CHECK_INT(o.specs[1].bind.port, 8080);
    CHECK(o.automatic && port_set_has(&o.auto_ports, 3500) && !port_set_has(&o.auto_ports, 4000));
    CHECK_INT(o.idle_ms, 7200000);
    CHECK(o.no_restore && o.verbose && !o.background && !o.no_remote_requests);
    CHECK_INT(o.n_ssh_args, 2);
    CHECK_STR(o.ssh_args[0], "-p");
    CHECK_STR(o.ssh_args[1], "2222");
    CHECK(!o.ssh_args[2]);
    CHECK(o.command != NULL);
    options_fini(&o);
}

TEST(options_by_themselves)
{
    struct options o;
    CHECK_INT(parse(&o, "host", NULL), -1);
    CHECK_INT(o.n_specs, 0);
    CHECK_INT(o.idle_ms, 600000);
    CHECK(!o.automatic && !o.command && !o.ssh_args[0]);
    options_fini(&o);
}

TEST(options_the_same_port_twice)
{
    static const char *const bad[] = {
        "-L 8080 -L 8080:other:80 h",
        "-L 8080 -D 8080 h",
        "-R 8080 -R 8080:other:80 h",
        "-L /tmp/s:localhost:80 -L /tmp/s:localhost:81 h",
    };
    static const char *const good[] = {
        "-L 8080 -R 8080 h",
        "-L 8080 -L 127.0.0.2:8080:localhost:80 h",
        "-R 0:localhost:80 -R 0:localhost:81 h",
    };
    struct options o;
    for (size_t i = 0; i < countof(bad); i++) {
        cleanup_free char *said = NULL;
        CHECK_INT(parse(&o, bad[i], &said), 2);
        CHECK(strstr(said, "is taken by another option") != NULL);
        options_fini(&o);
    }
    for (size_t i = 0; i < countof(good); i++) {
        CHECK_INT(parse(&o, good[i], NULL), -1);
        CHECK_INT(o.n_specs, 2);
        options_fini(&o);
    }
}

TEST(options_refused)
{
    static const char *const bad[] = {"",
                                      "-v",
                                      "one two",
                                      "-- true",
                                      "host --",
                                      "host -L",
                                      "host -L x",
                                      "host --auto=80",
                                      "host --idle-timeout 0",
                                      "host --idle-timeout 10ms",
                                      "host --transport udp",
                                      "host -d -- true",
                                      "host --frobnicate"};
    for (size_t i = 0; i < countof(bad); i++) {
        struct options o;
        cleanup_free char *said = NULL;
        CHECK_INT(parse(&o, bad[i], &said), 2);
        CHECK(strncmp(said, "berth: ", 7) == 0);
        CHECK(strchr(said, '\n') == said + strlen(said) - 1);
        options_fini(&o);
    }
}
