#include "applets/service/file_path.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "applets/service/file_root.h"
#include "core/mem.h"
#include "core/paths.h"

static const char *const problems[] = {
    [FILE_IRREGULAR - FILE_IRREGULAR] = "not a regular file",
    [FILE_ENDLESS - FILE_IRREGULAR] = "gives no size and holds more than 32 MiB; use a command",
    [FILE_BAD_BASE64 - FILE_IRREGULAR] = "what is to be written is no base64",
    [FILE_NO_MATCH - FILE_IRREGULAR] = "what is to be replaced is not in it",
    [FILE_BINARY - FILE_IRREGULAR] = "binary (it has NUL bytes), which is not edited",
    [FILE_OUTGROWN - FILE_IRREGULAR] = "would hold more than 32 MiB",
    [FILE_NO_DIRECTORY - FILE_IRREGULAR] = "not a directory",
    [FILE_PINNED - FILE_IRREGULAR] = "cannot be replaced, only written to, as by a command",
    [FILE_CROWDED - FILE_IRREGULAR] = "more names than fit into a message; use a command",
    [FILE_OUTSIDE - FILE_IRREGULAR] = "outside of what this machine's owner allows (--root)",
};
static_assert(countof(problems) == FILE_PROBLEMS_END - FILE_IRREGULAR, "a text for each");
static_assert(FILE_IRREGULAR > EHWPOISON && FILE_PROBLEMS_END <= 256, "no errno, one byte");

char *file_path(const char *root, const char *text)
{
    if (text[0] == '/')
        return xstrdup(text);
    if (strcmp(text, "~") == 0)
        return path_home();
    bool in_home = strncmp(text, "~/", 2) == 0;
    if (in_home)
        text += 2;
    if (root && !in_home)
        return xasprintf("%s/%s", root, text);
    cleanup_free char *home = path_home();
    return xasprintf("%s/%s", home, text);
}

/* NULL, or what keeps the field from being a path. */
static const char *path_flaw(const char *text)
{
    if (!*text)
        return "is empty";
    return strlen(text) < PATH_MAX ? NULL : "is too long (4095 bytes at most)";
}

static void refuse(struct request *r, const char *key, const char *why)
{
    request_fail(r, ERR_INVALID_REQUEST, "%s: %s %s", message_name(r->message.type), key, why);
}

const char *file_text_asked(struct request *r, const char *key)
{
    const struct json_value *field = json_get(r->message.body, key);
    const char *text = json_str(field);
    if (!text)
        refuse(r, key, field ? "is no text, or has a NUL inside" : "is missing");
    return text;
}

char *file_path_asked(struct request *r, const char *key)
{
    const char *text = file_text_asked(r, key), *why = text ? path_flaw(text) : NULL;
    if (why)
        refuse(r, key, why);
    return text && !why ? file_path(policy_root(r->service->policy), text) : NULL;
}

int file_mode_asked(struct request *r, int64_t *mode)
{
    *mode = -1;
    int has = json_get_int(r->message.body, "mode", mode);
    if (has == 0 || (has == 1 && *mode >= 0 && *mode <= 07777))
        return 0;
    refuse(r, "mode", "is none (0 to 4095, which is 07777)");
    return -1;
}

int file_open(const char *root, const char *path, int *fd, struct stat *st)
{
    cleanup_fd int file = -1;
    int error = file_root_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &file);
    *fd = -1;
    if (error)
        return error == ENXIO ? FILE_IRREGULAR : error; /* a socket */
    if (fstat(file, st) != 0)
        return errno;
    if (!S_ISREG(st->st_mode))
        return FILE_IRREGULAR;
    *fd = steal_fd(&file);
    return 0;
}

/* These requests have the codes of the guest protocol, which knows nothing of networks. */
static enum error_code code_of(int error)
{
    enum error_code code = error_code_of_errno(error);
    return code <= ERR_INTERNAL ? code : ERR_IO;
}

void file_fail(struct request *r, const char *path, int error)
{
    if (error >= FILE_IRREGULAR)
        request_fail(r, error == FILE_OUTSIDE ? ERR_PERMISSION_DENIED : ERR_INVALID_REQUEST,
                     "%s: %s", path, problems[error - FILE_IRREGULAR]);
    else
        request_fail(r, code_of(error), "%s: %s", path, strerror(error));
}

void file_fail_large(struct request *r, int64_t size, const char *instead)
{
    request_fail(r, ERR_INVALID_REQUEST, "file too large: %lld bytes (max 32 MiB)%s%s",
                 (long long)size, instead ? "; any size by " : "", instead ? instead : "");
}
