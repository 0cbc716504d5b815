#include "core/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "tests/unit/capture.h"
#include "tests/unit/test.h"

TEST(log_levels)
{
    static const struct {
        enum log_level level;
        const char *want;
    } rows[] = {
        {LOG_ERRORS, "berth: e 1\n"},
        {LOG_NOTES, "berth: e 1\nberth: n 2\n"},
        {LOG_TRACE, "berth: e 1\nberth: n 2\nberth: t 3\n"},
    };
    enum log_level before = log_level();
    for (size_t i = 0; i < countof(rows); i++) {
        capture_begin();
        log_init(rows[i].level);
        log_error("e %d", 1);
        log_note("n %d", 2);
        log_trace("t %d", 3);
        cleanup_free char *text = capture_end();
        CHECK_STR(text, rows[i].want);
        CHECK_INT(log_level(), rows[i].level);
    }
    log_init(before);
}

TEST(log_control_characters)
{
    static const struct {
        const char *said, *shown;
    } rows[] = {
        {"a\tb", "berth: a\tb\n"},
        {"a\nb\r", "berth: a?b?\n"},
        {"\x1b[31mred\x7f", "berth: ?[31mred?\n"},
        {"\xc2\x9b"
         "31m",
         "berth: ?31m\n"}, /* CSI as one character */
        {"\xc2\xa0\xc3\xa9\xe2\x82\xac", "berth: \xc2\xa0\xc3\xa9\xe2\x82\xac\n"},
        {"\x9b"
         "31m",
         "berth: ?31m\n"}, /* and as one byte */
        {"", "berth: \n"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        capture_begin();
        log_error("%s", rows[i].said);
        cleanup_free char *text = capture_end();
        CHECK_STR(text, rows[i].shown);
    }
}

TEST(log_plain_lines)
{
    enum log_level before = log_level();
    log_init(LOG_ERRORS);
    capture_begin();
    log_plain("Error: %s", "a\x1b"
                           "b");
    cleanup_free char *text = capture_end();
    CHECK_STR(text, "Error: a?b\n");
    log_init(before);
}

static char *said_of_length(const char *unit, size_t times)
{
    struct buf said = {0};
    for (size_t i = 0; i < times; i++)
        buf_printf(&said, "%s", unit);
    capture_begin();
    log_error("%.*s", (int)said.len, (const char *)buf_front(&said));
    buf_fini(&said);
    return capture_end();
}

TEST(log_long_lines_are_cut)
{
    static const char tail[] = "xx\xe2\x80\xa6\n";
    cleanup_free char *fits = said_of_length("x", 1900);
    CHECK_INT(strlen(fits), strlen("berth: ") + 1900 + 1);
    cleanup_free char *cut = said_of_length("x", 5000);
    size_t len = strlen(cut);
    CHECK(len > 2000 && len <= 2048);
    CHECK_STR(cut + len - strlen(tail), tail);
    CHECK(strchr(cut, '\n') == cut + len - 1);
}

TEST(log_cuts_between_characters)
{
    for (size_t odd = 0; odd < 3; odd++) {
        static const char *const units[] = {"\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xc3\xa9"};
        cleanup_free char *cut = said_of_length(units[odd], 3000);
        CHECK(strchr(cut, '?') == NULL);
    }
}

TEST(log_keeps_errno)
{
    capture_begin();
    errno = ENOTDIR;
    log_error("it failed: %m");
    CHECK_INT(errno, ENOTDIR);
    cleanup_free char *text = capture_end();
    CHECK_STR(text, "berth: it failed: Not a directory\n");
}

TEST(log_names_and_times)
{
    capture_begin();
    pid_t pid = fork(); /* timestamps are not taken back */
    if (pid == 0) {
        log_name("keeper");
        log_timestamps();
        log_error("late");
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    cleanup_free char *text = capture_end();
    static const char form[] = "2000-00-00T00:00:00Z keeper: late\n";
    CHECK_INT(strlen(text), strlen(form));
    for (size_t i = 0; i < strlen(form) && text[i]; i++)
        CHECK(form[i] == '0' || form[i] == '2' ? text[i] >= '0' && text[i] <= '9'
                                               : text[i] == form[i]);
}
