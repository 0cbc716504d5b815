/* signal_name.h: signals as they are written down: "KILL". */
#ifndef SERVICE_SIGNAL_NAME_H
#define SERVICE_SIGNAL_NAME_H

#define SIGNAL_NAME_MAX 16

/* A static text; for a signal without a name (real-time ones) its number, in `number`. */
const char *signal_name(int signo, char number[static SIGNAL_NAME_MAX]);

#endif
