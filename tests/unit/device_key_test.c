#include "applets/agent/device_key.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/test.h"

/* The one file in it; heap. */
static char *only_file(const char *dir)
{
    char *found = NULL;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            CHECK(!found);
            free(found);
            found = xasprintf("%s/%s", dir, e->d_name);
        }
    if (d)
        closedir(d);
    return found;
}

static void expect_refused(const char *word)
{
    struct device_key key;
    char *why = NULL;
    CHECK_INT(device_key_load(&key, &why), -1);
    if (!why || !strstr(why, word))
        test_fail(__FILE__, __LINE__, "\"%s\" says nothing of %s", why ? why : "", word);
    free(why);
}

TEST(device_key_is_made_once_and_kept)
{
    char dir[] = "/tmp/berth-device-XXXXXX";
    const char *before = getenv("XDG_CONFIG_HOME");
    cleanup_free char *old = before ? xstrdup(before) : NULL;
    CHECK(mkdtemp(dir) != NULL);
    setenv("XDG_CONFIG_HOME", dir, 1);
    struct device_key first, second;
    char *why = NULL;
    CHECK_INT(device_key_load(&first, &why), 0);
    CHECK_INT(device_key_load(&second, &why), 0);
    CHECK(!why);
    CHECK(memcmp(&first, &second, sizeof first) == 0);
    CHECK_INT(strlen(first.id), 32);
    uint8_t signature[KEY_SIGNATURE_LEN];
    key_sign(signature, "x", 1, second.secret);
    CHECK(key_verify(signature, "x", 1, first.public));

    cleanup_free char *folder = path_config(""), *path = only_file(folder);
    struct stat st = {0};
    CHECK(path && stat(path, &st) == 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    chmod(path, 0640);
    expect_refused("another user");
    chmod(path, 0600);
    CHECK_INT(truncate(path, 10), 0);
    expect_refused("not a device's key");

    CHECK_INT(unlink(path), 0);
    CHECK_INT(rmdir(folder), 0);
    CHECK_INT(rmdir(dir), 0);
    if (old)
        setenv("XDG_CONFIG_HOME", old, 1);
    else
        unsetenv("XDG_CONFIG_HOME");
}
