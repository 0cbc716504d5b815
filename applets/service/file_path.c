#include "applets/service/file_path.h"

#include <string.h>

#include "core/mem.h"
#include "core/paths.h"

char *file_path(const char *text)
{
    if (text[0] == '/')
        return xstrdup(text);
    if (strcmp(text, "~") == 0)
        return path_home();
    if (strncmp(text, "~/", 2) == 0)
        text += 2;
    cleanup_free char *home = path_home();
    return xasprintf("%s/%s", home, text);
}

void file_fail(struct request *r, const char *path, int error)
{
    if (error == FILE_IRREGULAR)
        request_fail(r, ERR_INVALID_REQUEST, "%s: not a regular file", path);
    else
        request_fail(r, error_code_of_errno(error), "%s: %s", path, strerror(error));
}
