#include "applets/service/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "core/mem.h"

#define ROWS 24
#define COLS 80

static struct termios before;
static volatile sig_atomic_t raw;

bool terminal_is_there(void)
{
    return isatty(STDIN_FILENO);
}

void terminal_size(uint16_t *rows, uint16_t *cols)
{
    struct winsize size = {0};
    (void)ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
    *rows = size.ws_row ? size.ws_row : ROWS;
    *cols = size.ws_col ? size.ws_col : COLS;
}

void terminal_restore(void)
{
    if (raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    raw = 0;
}

/* Calls nothing but what a signal handler may. */
static void crash(int signo)
{
    if (raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    raise(signo); /* which is at its default again */
}

static void guard(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    struct sigaction action = {.sa_handler = crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    for (size_t i = 0; i < countof(signals); i++)
        sigaction(signals[i], &action, NULL);
    atexit(terminal_restore);
}

void terminal_raw(void)
{
    static bool guarded;
    struct termios mode;
    if (!raw && tcgetattr(STDIN_FILENO, &before) != 0)
        return;
    if (!guarded)
        guard();
    guarded = true;
    mode = before;
    cfmakeraw(&mode);
    raw = 1;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &mode);
}
