/* logfile.h: where a process without a terminal says what it would have said there. */
#ifndef SERVICE_LOGFILE_H
#define SERVICE_LOGFILE_H

/* Standard error becomes ~/.cache/berth/NAME (0600, begun anew past 1 MiB), with times. Where
 * that cannot be, it becomes /dev/null. */
void logfile_take(const char *name);
/* Standard input and output become /dev/null. */
void logfile_let_go(void);

#endif
