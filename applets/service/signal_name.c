#include "applets/service/signal_name.h"

#include <signal.h>
#include <stdio.h>

#include "core/mem.h"

#define ROW(name) [SIG##name] = #name

static const char *const names[] = {
    ROW(HUP),  ROW(INT),    ROW(QUIT), ROW(ILL),  ROW(TRAP), ROW(ABRT),  ROW(BUS),    ROW(FPE),
    ROW(KILL), ROW(USR1),   ROW(SEGV), ROW(USR2), ROW(PIPE), ROW(ALRM),  ROW(TERM),   ROW(CHLD),
    ROW(CONT), ROW(STOP),   ROW(TSTP), ROW(TTIN), ROW(TTOU), ROW(URG),   ROW(XCPU),   ROW(XFSZ),
    ROW(PROF), ROW(VTALRM), ROW(IO),   ROW(PWR),  ROW(SYS),  ROW(WINCH), ROW(STKFLT),
};

const char *signal_name(int signo, char number[static SIGNAL_NAME_MAX])
{
    if (signo > 0 && (unsigned)signo < countof(names) && names[signo])
        return names[signo];
    snprintf(number, SIGNAL_NAME_MAX, "%d", signo);
    return number;
}
