/* The names of files in a folder of modules, which may be anything: what is taken for a module
 * has its name and one of the four ends, and nothing else. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/guest-agent/modules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const ends[] = {
    [MODULE_PLAIN] = ".ko",
    [MODULE_GZ] = ".ko.gz",
    [MODULE_XZ] = ".ko.xz",
    [MODULE_ZST] = ".ko.zst",
};

static void check_taken(const char *file, int id, enum module_packing packing)
{
    const char *name = modules_name(id);
    for (; *name; name++, file++)
        if (*file != *name && !(*file == '-' && *name == '_'))
            abort();
    if (strcmp(file, ends[packing]) != 0)
        abort();
}

/* Each name that there is, with that end, is taken. */
static void check_all(const char *end)
{
    for (int id = 0; id < MODULES_COUNT; id++) {
        char file[64];
        enum module_packing packing;
        snprintf(file, sizeof file, "%s%s", modules_name(id), end);
        if (modules_match(file, &packing) != id)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum module_packing packing = MODULE_PLAIN;
    char *file = malloc(size + 1);
    if (!file)
        return 0;
    memcpy(file, data, size);
    file[size] = '\0';
    int id = modules_match(file, &packing);
    if (id >= MODULES_COUNT || id < -1)
        abort();
    if (id >= 0)
        check_taken(file, id, packing);
    free(file);
    if (size)
        check_all(ends[data[0] % 4]);
    return 0;
}
