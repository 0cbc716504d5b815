/* fault.h: why a request cannot be done: what its Error will say. */
#ifndef SERVICE_FAULT_H
#define SERVICE_FAULT_H

#include "core/message.h"

struct fault {
    enum error_code code;
    char text[512];
};
/* Returns -1. */
int fault_set(struct fault *f, enum error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* An errno's code among those that the guest protocol knows (NotFound to Internal): whatever
 * else may come from a file system far away is an IoError. */
enum error_code fault_code(int error);

#endif
