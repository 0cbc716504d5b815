/* log.c: lines for a person, each written in one piece, so that those of several processes
 * never mix. */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/utf8.h"

#define LINE_CAP 2048
#define CUT      "\xe2\x80\xa6" /* an ellipsis, where a line had to be cut */
#define TAIL_LEN (sizeof CUT - 1 + 1)

static enum log_level level = LOG_NOTES;
static const char *name = "berth";
static bool timestamps;

void log_init(enum log_level new_level)
{
    level = new_level;
}

enum log_level log_level(void)
{
    return level;
}

void log_name(const char *new_name)
{
    name = new_name;
}

void log_timestamps(void)
{
    timestamps = true;
}

static size_t put_prefix(char *line, size_t cap)
{
    char when[sizeof "2026-01-01T12:00:00Z "] = "";
    if (timestamps) {
        time_t now = time(NULL);
        struct tm tm;
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ ", gmtime_r(&now, &tm));
    }
    int n = snprintf(line, cap, "%s%s: ", when, name);
    return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}

/* So that a cut does not leave half a character behind. */
static size_t drop_last_character(const char *text, size_t len)
{
    while (len && ((uint8_t)text[len - 1] & 0xc0) == 0x80)
        len--;
    return len ? len - 1 : 0;
}

static void write_line(const char *line, size_t len)
{
    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
        ;
}

__attribute__((format(printf, 2, 0))) static void say(bool plain, const char *fmt, va_list ap)
{
    int error = errno;
    char line[LINE_CAP];
    size_t start = plain ? 0 : put_prefix(line, LINE_CAP / 4);
    size_t cap = sizeof line - start - TAIL_LEN;
    errno = error;
    int wanted = vsnprintf(line + start, cap, fmt, ap);
    size_t len = wanted < 0 ? 0 : (size_t)wanted;
    bool cut = len >= cap;
    if (cut)
        len = drop_last_character(line + start, cap - 1);
    len = start + utf8_harmless(line + start, len);
    if (cut) {
        memcpy(line + len, CUT, sizeof CUT - 1);
        len += sizeof CUT - 1;
    }
    line[len++] = '\n';
    write_line(line, len);
    errno = error;
}

#define SAY(plain, fmt)                                                                            \
    do {                                                                                           \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        say(plain, fmt, ap);                                                                       \
        va_end(ap);                                                                                \
    } while (0)

void log_error(const char *fmt, ...)
{
    SAY(false, fmt);
}

void log_plain(const char *fmt, ...)
{
    SAY(true, fmt);
}

void log_note(const char *fmt, ...)
{
    if (level >= LOG_NOTES)
        SAY(false, fmt);
}

void log_trace(const char *fmt, ...)
{
    if (level >= LOG_TRACE)
        SAY(false, fmt);
}
