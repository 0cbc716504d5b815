#include "applets/service/fault.h"

#include <stdarg.h>
#include <stdio.h>

int fault_set(struct fault *f, enum error_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    f->code = code;
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    return -1;
}

enum error_code fault_code(int error)
{
    enum error_code code = error_code_of_errno(error);
    return code <= ERR_INTERNAL ? code : ERR_IO;
}
