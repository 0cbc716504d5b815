#include "core/opt.h"

#include <stdlib.h>

#include "core/mem.h"
#include "tests/unit/capture.h"
#include "tests/unit/test.h"

enum { HELP = 1, DAEMON, VERBOSE, LOCAL, AUTO, IDLE };

static const struct opt table[] = {
    {'h', "help", OPT_FLAG, HELP},
    {'d', NULL, OPT_FLAG, DAEMON},
    {'v', NULL, OPT_FLAG, VERBOSE},
    {'L', "local", OPT_VALUE, LOCAL},
    {0, "auto", OPT_OPTIONAL, AUTO},
    {0, "idle-timeout", OPT_VALUE, IDLE},
    {0},
};

struct step {
    int got;
    const char *value;
};

/* The words of `line`, which it cuts. */
static void split(char *line, char **argv)
{
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
        *argv++ = word;
    *argv = NULL;
}

static void check_steps(const char *line, const struct step *steps)
{
    char *argv[20];
    cleanup_free char *words = xstrdup(line);
    split(words, argv);
    struct opts o = opts_of(table, argv);
    for (;; steps++) {
        int got = opt_next(&o);
        if (got != steps->got)
            test_fail(__FILE__, __LINE__, "%s: got %d, not %d", line, got, steps->got);
        if (steps->value)
            CHECK_STR(o.value, steps->value);
        else
            CHECK(o.value == NULL);
        if (got != steps->got || got == OPT_END)
            return;
    }
}

TEST(opt_letters)
{
    check_steps("-h", (struct step[]){{HELP, NULL}, {0}});
    check_steps("-dv -h", (struct step[]){{DAEMON, NULL}, {VERBOSE, NULL}, {HELP, NULL}, {0}});
    check_steps("-L8080", (struct step[]){{LOCAL, "8080"}, {0}});
    check_steps("-L 8080 -d", (struct step[]){{LOCAL, "8080"}, {DAEMON, NULL}, {0}});
    check_steps("-dL8080 -v",
                (struct step[]){{DAEMON, NULL}, {LOCAL, "8080"}, {VERBOSE, NULL}, {0}});
    check_steps("-dL 8080", (struct step[]){{DAEMON, NULL}, {LOCAL, "8080"}, {0}});
    check_steps("-L -d", (struct step[]){{LOCAL, "-d"}, {0}});
    check_steps("-L -- -d", (struct step[]){{LOCAL, "--"}, {DAEMON, NULL}, {0}});
}

TEST(opt_names)
{
    check_steps("--help", (struct step[]){{HELP, NULL}, {0}});
    check_steps("--local=80:a=b", (struct step[]){{LOCAL, "80:a=b"}, {0}});
    check_steps("--local 80 --help", (struct step[]){{LOCAL, "80"}, {HELP, NULL}, {0}});
    check_steps("--local= x", (struct step[]){{LOCAL, ""}, {OPT_OPERAND, "x"}, {0}});
    check_steps("--auto=1-2", (struct step[]){{AUTO, "1-2"}, {0}});
    check_steps("--auto host", (struct step[]){{AUTO, NULL}, {OPT_OPERAND, "host"}, {0}});
    check_steps("--idle-timeout=10m", (struct step[]){{IDLE, "10m"}, {0}});
}

TEST(opt_operands)
{
    check_steps("", (struct step[]){{0}});
    check_steps("a -d b --help -", (struct step[]){{OPT_OPERAND, "a"},
                                                   {DAEMON, NULL},
                                                   {OPT_OPERAND, "b"},
                                                   {HELP, NULL},
                                                   {OPT_OPERAND, "-"},
                                                   {0}});
}

TEST(opt_double_dash_ends)
{
    char words[] = "-d host -- ssh -v host", *argv[10];
    split(words, argv);
    struct opts o = opts_of(table, argv);
    CHECK_INT(opt_next(&o), DAEMON);
    CHECK_INT(opt_next(&o), OPT_OPERAND);
    CHECK(!o.ended);
    CHECK_INT(opt_next(&o), OPT_END);
    CHECK(o.ended);
    CHECK_STR(o.argv[0], "ssh");
    CHECK_INT(opt_next(&o), OPT_END);
    CHECK_STR(o.argv[1], "-v");
}

TEST(opt_errors)
{
    static const struct {
        const char *line, *said;
    } rows[] = {
        {"--foo", "berth: unknown option --foo (try --help)\n"},
        {"--foo=bar", "berth: unknown option --foo (try --help)\n"},
        {"--hel", "berth: unknown option --hel (try --help)\n"},
        {"--help2", "berth: unknown option --help2 (try --help)\n"},
        {"---", "berth: unknown option --- (try --help)\n"},
        {"--=x", "berth: unknown option -- (try --help)\n"},
        {"-x", "berth: unknown option -x (try --help)\n"},
        {"-L", "berth: option -L needs a value (try --help)\n"},
        {"--local", "berth: option --local needs a value (try --help)\n"},
        {"--help=yes", "berth: option --help takes no value (try --help)\n"},
        {"--help=", "berth: option --help takes no value (try --help)\n"},
        {"--\x1b[m", "berth: unknown option --?[m (try --help)\n"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        char *argv[5];
        cleanup_free char *words = xstrdup(rows[i].line);
        split(words, argv);
        struct opts o = opts_of(table, argv);
        capture_begin();
        CHECK_INT(opt_next(&o), OPT_ERROR);
        cleanup_free char *said = capture_end();
        CHECK_STR(said, rows[i].said);
    }
}

TEST(opt_ports)
{
    static const char *const bad[] = {"",   "0",  "65536", "-1",  "+1",
                                      " 1", "1 ", "0x50",  "80a", "99999999999999999999"};
    uint16_t port = 7;
    for (size_t i = 0; i < countof(bad); i++)
        CHECK_INT(opt_port(bad[i], &port), -1);
    CHECK_INT(port, 7);
    CHECK_INT(opt_port("1", &port), 0);
    CHECK_INT(port, 1);
    CHECK_INT(opt_port("65535", &port), 0);
    CHECK_INT(port, 65535);
}

TEST(opt_numbers)
{
    uint64_t n = 7;
    CHECK_INT(opt_unsigned("18446744073709551615", UINT64_MAX, &n), 0);
    CHECK(n == UINT64_MAX);
    CHECK_INT(opt_unsigned("18446744073709551616", UINT64_MAX, &n), -1);
    CHECK_INT(opt_unsigned("100", 99, &n), -1);
    CHECK_INT(opt_unsigned("99", 99, &n), 0);
    CHECK_INT(n, 99);
    CHECK_INT(opt_unsigned("7", 5, &n), -1);
    CHECK_INT(opt_unsigned("0", 0, &n), 0);
    CHECK_INT(n, 0);
    CHECK_INT(opt_unsigned("1", 0, &n), -1);
}

TEST(opt_durations)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"90", 90000},   {"90s", 90000},   {"500ms", 500},        {"10m", 600000},
        {"2h", 7200000}, {"1d", 86400000}, {"365d", 31536000000}, {"0", 0},
    };
    static const char *const bad[] = {"",     "s",     "-1s",      "1.5h",
                                      "1w",   "1 s",   "1S",       "1mm",
                                      "366d", "8761h", "31536001", "18446744073709551616ms"};
    uint64_t ms = 7;
    for (size_t i = 0; i < countof(bad); i++)
        CHECK_INT(opt_duration_ms(bad[i], &ms), -1);
    CHECK_INT(ms, 7);
    for (size_t i = 0; i < countof(good); i++) {
        CHECK_INT(opt_duration_ms(good[i].text, &ms), 0);
        CHECK_INT(ms, good[i].ms);
    }
}
