/* terminal.h: the terminal at standard input, handed to a program elsewhere. */
#ifndef SERVICE_TERMINAL_H
#define SERVICE_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

bool terminal_is_there(void);
/* 24 x 80 where it does not say. */
void terminal_size(uint16_t *rows, uint16_t *cols);
/* Every key goes through, none means anything here. What it was comes back by
 * terminal_restore(), or by itself when the process exits or crashes. */
void terminal_raw(void);
void terminal_restore(void);

#endif
