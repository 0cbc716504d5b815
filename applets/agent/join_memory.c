#include "applets/agent/join_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/agent/device_key.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"

#define FILE_MAX   65536
#define BROKER_LEN 4 /* bytes of the hash that tells brokers apart */

static char *path_for(const char *url)
{
    uint8_t hash[SHA256_LEN];
    char hex[2 * BROKER_LEN + 1];
    key_sha256(url, strlen(url), hash);
    hex_encode(hex, hash, BROKER_LEN);
    cleanup_free char *machine = device_machine(),
                      *name = xasprintf("join-%s-%s.json", machine, hex);
    return path_config(name);
}

int join_memory_open(struct join_memory *m, const char *url)
{
    size_t len;
    *m = (struct join_memory){.path = path_for(url)};
    cleanup_free char *text = path_read(m->path, FILE_MAX, &len);
    if (!text && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (!text) {
        log_error("%s: %s", m->path, strerror(errno));
        return -1;
    }
    m->doc = json_parse(text, len);
    const char *of = json_get_str(json_root(m->doc), "url");
    if (of && strcmp(of, url) == 0 && json_get_str(json_root(m->doc), "allow"))
        return 0;
    log_error("%s: makes no sense; remove it, and say again what is allowed", m->path);
    return -1;
}

static void recall(const struct join_memory *m, const char **word, const char *key)
{
    if (!*word)
        *word = json_get_str(json_root(m->doc), key);
}

void join_memory_recall(const struct join_memory *m, struct join_words *w)
{
    bool insecure = false;
    recall(m, &w->user, "user");
    recall(m, &w->allow, "allow");
    recall(m, &w->root, "root");
    recall(m, &w->broker.pin, "pin");
    recall(m, &w->broker.ca, "ca");
    (void)json_get_bool(json_root(m->doc), "insecureHttp", &insecure);
    w->broker.insecure_http |= insecure;
}

int join_memory_keep(const struct join_memory *m, const char *url, const struct join_words *w)
{
    struct json_out *out = json_out_new();
    struct json_node *root = json_out_root(out);
    size_t len;
    json_put_str(out, root, "url", url);
    json_put_str(out, root, "user", w->user);
    json_put_str(out, root, "allow", w->allow);
    json_put_str(out, root, "root", w->root);
    json_put_str(out, root, "pin", w->broker.pin);
    json_put_str(out, root, "ca", w->broker.ca);
    json_put_bool(out, root, "insecureHttp", w->broker.insecure_http);
    cleanup_free char *text = json_out_text(out, true, &len);
    json_out_free(out);
    text[len] = '\n';
    if (path_write_atomic(m->path, text, len + 1, 0600) == 0)
        return 0;
    log_error("%s: %s", m->path, strerror(errno));
    return -1;
}

void join_memory_fini(struct join_memory *m)
{
    free(m->path);
    json_free(m->doc);
    *m = (struct join_memory){0};
}
