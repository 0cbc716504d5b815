#include "applets/agent/device_key.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/mem.h"
#include "core/paths.h"

#define MACHINE_BYTES 4

/* What tells this machine from others: a few digits of it are enough, and say nothing of it. */
char *device_machine(void)
{
    char host[256] = "";
    size_t len = 0;
    uint8_t hash[SHA256_LEN];
    char hex[2 * MACHINE_BYTES + 1];
    cleanup_free char *machine = path_read("/etc/machine-id", 256, &len);
    gethostname(host, sizeof host - 1);
    if (machine && len)
        key_sha256(machine, len, hash);
    else
        key_sha256(host, strlen(host), hash);
    hex_encode(hex, hash, MACHINE_BYTES);
    return xstrdup(hex);
}

static void complete(struct device_key *key)
{
    memcpy(key->public, key->secret + KEY_SECRET_LEN - KEY_PUBLIC_LEN, KEY_PUBLIC_LEN);
    join_device_id(key->id, key->public);
}

static int make(struct device_key *key, const char *path, char **why)
{
    char hex[2 * KEY_SECRET_LEN + 2];
    cleanup_free char *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path));
    key_pair(key->public, key->secret);
    hex_encode(hex, key->secret, KEY_SECRET_LEN);
    memcpy(hex + 2 * KEY_SECRET_LEN, "\n", 2);
    int got = path_private_dir(dir);
    if (got == 0)
        got = path_write_atomic(path, hex, 2 * KEY_SECRET_LEN + 1, 0600);
    if (got < 0)
        *why = xasprintf("%s: cannot be written: %s", path, strerror(errno));
    key_wipe(hex, sizeof hex);
    complete(key);
    return got;
}

static int take(struct device_key *key, const char *path, char *text, char **why)
{
    struct stat st;
    text[strcspn(text, "\n")] = '\0';
    if (stat(path, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077)) {
        *why = xasprintf("%s: another user may read this key; chmod 600, or remove it", path);
        return -1;
    }
    if (hex_decode(key->secret, KEY_SECRET_LEN, text) < 0) {
        *why = xasprintf("%s: not a device's key; remove it and enrol again", path);
        return -1;
    }
    complete(key);
    return 0;
}

int device_key_load(struct device_key *key, char **why)
{
    cleanup_free char *machine = device_machine(), *name = xasprintf("device-%s.key", machine),
                      *path = path_config(name);
    size_t len;
    char *text = path_read(path, 4 * KEY_SECRET_LEN, &len);
    if (!text && errno == ENOENT)
        return make(key, path, why);
    if (!text) {
        *why = xasprintf("%s: %s", path, strerror(errno));
        return -1;
    }
    int got = take(key, path, text, why);
    key_wipe(text, len);
    mem_cleanup_free(&text);
    return got;
}
