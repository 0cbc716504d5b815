/* metrics.h: what the broker counts of itself. */
#ifndef BROKER_METRICS_H
#define BROKER_METRICS_H

#include <stddef.h>
#include <stdint.h>

#define METRICS_ROUTES   64u /* at most */
#define METRICS_NO_ROUTE (METRICS_ROUTES - 1)

/* What passes between users and their machines. */
enum metrics_bytes {
    METRICS_INPUT, /* of commands */
    METRICS_OUTPUT,
    METRICS_UPLOAD,
    METRICS_DOWNLOAD,
    METRICS_BYTES_COUNT
};

/* Zeroed at first. */
struct metrics {
    uint64_t connections;                /* that were accepted */
    uint64_t answers[METRICS_ROUTES][5]; /* by their status: 1xx to 5xx */
    uint64_t bytes[METRICS_BYTES_COUNT];
};

/* `route` is its place in the table, or METRICS_NO_ROUTE. */
void metrics_answered(struct metrics *m, size_t route, int status);

#endif
