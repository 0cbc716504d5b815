#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "applets/master/master.h"

#define BAR_CELLS 30

void progress_show(const char *host, uint64_t sent, uint64_t total)
{
    char bar[BAR_CELLS + 1];
    size_t full = total ? (size_t)(sent * BAR_CELLS / total) : BAR_CELLS;
    if (!isatty(STDERR_FILENO))
        return;
    memset(bar, ' ', BAR_CELLS);
    memset(bar, '#', full);
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\rberth: %s: sending berth [%s] %3u%%%s", host, bar,
            total ? (unsigned)(sent * 100 / total) : 100, sent == total ? "\n" : "");
}
