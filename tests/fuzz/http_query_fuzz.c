/* A request's target from anybody: what is found in it is what was put into it. The first byte is how long the
 * name is. */
#include "net/http_query.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void look(const char *target, const char *name)
{
    char *value = http_query(target, name);
    require(value || errno == ENOENT || errno == EINVAL);
    require(!value || strlen(value) <= strlen(target));
    free(value);
    value = http_decode(target, http_path_len(target));
    require(value ? strlen(value) <= http_path_len(target) : errno == EINVAL);
    free(value);
}

/* Every byte of both as %XX. */
static void round_trip(const char *name, const char *value)
{
    struct buf target = {0};
    buf_printf(&target, "/p?other=1&");
    for (const char *p = name; *p; p++)
        buf_printf(&target, "%%%02x", (unsigned char)*p);
    buf_printf(&target, "=");
    for (const char *p = value; *p; p++)
        buf_printf(&target, "%%%02X", (unsigned char)*p);
    buf_append(&target, "", 1);
    char *got = http_query((char *)buf_front(&target), name);
    require(strcmp(name, "other") == 0 ? !got && errno == EINVAL : got && strcmp(got, value) == 0);
    free(got);
    buf_fini(&target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || data[0] >= size)
        return 0;
    cleanup_free char *name = xstrndup((const char *)data + 1, data[0]);
    cleanup_free char *rest = xstrndup((const char *)data + 1 + data[0], size - 1 - data[0]);
    look(rest, name);
    if (*name)
        round_trip(name, rest);
    return 0;
}
