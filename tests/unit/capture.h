/* capture.h: what is written to standard error between two calls, at most a pipe full. */
#ifndef TESTS_UNIT_CAPTURE_H
#define TESTS_UNIT_CAPTURE_H

void capture_begin(void);
char *capture_end(void); /* heap text */

#endif
