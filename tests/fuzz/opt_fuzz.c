/* The input is a command line, a word to a line. Each value lies inside a word, and every command
 * line comes to an end. */
#include "core/opt.h"

#include <fcntl.h>
#include <sanitizer/common_interface_defs.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

#define WORDS 32

static const struct opt table[] = {
    {'h', "help", OPT_FLAG, 1},
    {'L', "local", OPT_VALUE, 2},
    {0, "auto", OPT_OPTIONAL, 3},
    {'d', NULL, OPT_FLAG, 4},
    {'o', NULL, OPT_VALUE, 5},
    {0, "idle-timeout", OPT_VALUE, 6},
    {0},
};

static int saved_stderr = -1, null = -1;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    __sanitizer_set_report_fd((void *)(intptr_t)saved_stderr);
    return 0;
}

static void parse_values(const char *text)
{
    uint16_t port = 0;
    uint64_t n = 0;
    if (opt_port(text, &port) == 0 && port == 0)
        abort();
    if (opt_duration_ms(text, &n) == 0 && n > 365ull * 24 * 3600 * 1000)
        abort();
    if (opt_unsigned(text, 1000, &n) == 0 && n != strtoull(text, NULL, 10))
        abort();
}

static void walk(char **argv, const char *start, size_t len)
{
    struct opts o = opts_of(table, argv);
    for (size_t steps = 0;; steps++) {
        int got = opt_next(&o);
        if (o.value && (o.value < start || o.value > start + len))
            abort();
        if (got == OPT_END || got == OPT_ERROR)
            break;
        if (steps > len + WORDS)
            abort();
        if (o.value)
            parse_values(o.value);
        else if (got == OPT_OPERAND || got == 2 || got == 5 || got == 6)
            abort();
    }
    while (!o.ended && opt_next(&o) != OPT_END)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_free char *text = xstrndup(size ? (const char *)data : "", size);
    char *argv[WORDS + 1] = {0}, *at = text;
    size_t len = strlen(text);
    for (size_t n = 0; n < WORDS && at; n++)
        argv[n] = strsep(&at, "\n");
    dup2(null, STDERR_FILENO); /* what is wrong with each line is of no interest here */
    walk(argv, text, len);
    dup2(saved_stderr, STDERR_FILENO);
    return 0;
}
