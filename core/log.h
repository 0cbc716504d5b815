/* log.h: what a person reads on standard error: one line each, "berth: " first.
 *
 * A line says what failed, on what, why, and what to do. Control characters in what a peer
 * or a file gave us are shown as '?'. */
#ifndef CORE_LOG_H
#define CORE_LOG_H

enum log_level { LOG_ERRORS, LOG_NOTES, LOG_TRACE };

void log_init(enum log_level level);
enum log_level log_level(void);
/* Prefix instead of "berth"; a static string. */
void log_name(const char *name);
/* With a time in front of each line: for a daemon's log file. */
void log_timestamps(void);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Whatever the level, and without the prefix: where a text's form is agreed upon. */
void log_plain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
