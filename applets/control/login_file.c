#include "applets/control/login_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"

#define FILE_MAX 65536

/* What is there: *doc is NULL for nothing. */
static int read_file(const char *path, struct json **doc)
{
    struct stat st;
    size_t len;
    cleanup_free char *text = path_read(path, FILE_MAX, &len);
    *doc = NULL;
    if (!text && errno == ENOENT)
        return 0;
    if (!text) {
        log_error("%s: %s", path, strerror(errno));
        return 1;
    }
    if (stat(path, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077)) {
        log_error("%s: another user may read these tokens; chmod 600, or remove it", path);
        return 1;
    }
    *doc = json_parse(text, len);
    key_wipe(text, len);
    if (json_is_array(json_get(json_root(*doc), "brokers")))
        return 0;
    log_error("%s: makes no sense; remove it, and log in again", path);
    json_free(*doc);
    *doc = NULL;
    return 1;
}

static bool is_at(const struct json_value *broker, const char *url)
{
    const char *at = json_get_str(broker, "url");
    return at && (!url || strcmp(at, url) == 0);
}

/* A URL in its one form; as it is where it is none. */
static char *one_form(const char *url)
{
    struct url parsed;
    const char *why;
    return xstrdup(url_parse(&parsed, url, &why) == 0 ? parsed.text : url);
}

/* ---- looking up ---- */

static bool take(struct login *l, const struct json_value *broker, const char *url)
{
    if (l->token || !is_at(broker, url) || !json_get_str(broker, "token"))
        return false;
    l->token = json_get_str(broker, "token");
    l->broker = (struct broker_words){.url = json_get_str(broker, "url"),
                                      .pin = json_get_str(broker, "pin"),
                                      .ca = json_get_str(broker, "ca")};
    (void)json_get_bool(broker, "insecureHttp", &l->broker.insecure_http);
    return true;
}

int login_find(struct login *l, const char *url)
{
    cleanup_free char *path = path_config("login.json"), *at = url ? one_form(url) : NULL;
    *l = (struct login){0};
    if (read_file(path, &l->doc) != 0)
        return 1;
    const struct json_value *brokers = json_get(json_root(l->doc), "brokers");
    for (struct json_iter it = json_iter(brokers); json_next(&it);)
        if (take(l, it.value, at))
            return 0;
    log_error("you are not logged in%s%s: berth login %s", at ? " at " : "", at ? at : "",
              at ? at : "URL");
    return 1;
}

void login_fini(struct login *l)
{
    json_free(l->doc);
    *l = (struct login){0};
}

/* ---- changing ---- */

static int write_file(const char *path, struct json_out *out)
{
    size_t len;
    cleanup_free char *text = json_out_text(out, true, &len);
    cleanup_free char *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path));
    text[len] = '\n';
    int got = path_private_dir(dir);
    if (got == 0)
        got = path_write_atomic(path, text, len + 1, 0600);
    if (got < 0)
        log_error("%s: %s", path, strerror(errno));
    key_wipe(text, len);
    return got < 0;
}

/* Copies all but the one at `url`; true: it was there. */
static bool copy_others(struct json_out *out, struct json_node *list, const struct json *doc,
                        const char *url)
{
    bool found = false;
    for (struct json_iter it = json_iter(json_get(json_root(doc), "brokers")); json_next(&it);) {
        if (is_at(it.value, url))
            found = true;
        else
            json_put_copy(out, list, NULL, it.value);
    }
    return found;
}

int login_keep(const struct broker_words *broker, const char *token)
{
    cleanup_free char *path = path_config("login.json"), *url = one_form(broker->url);
    struct json *doc;
    if (read_file(path, &doc) != 0)
        return 1;
    struct json_out *out = json_out_new();
    struct json_node *list = json_put_array(out, json_out_root(out), "brokers");
    struct json_node *own = json_put_object(out, list, NULL);
    json_put_str(out, own, "url", url);
    json_put_str(out, own, "token", token);
    json_put_str(out, own, "pin", broker->pin);
    json_put_str(out, own, "ca", broker->ca);
    json_put_bool(out, own, "insecureHttp", broker->insecure_http);
    copy_others(out, list, doc, url);
    int status = write_file(path, out);
    json_out_free(out);
    json_free(doc);
    return status;
}

int login_remove(const char *url)
{
    cleanup_free char *path = path_config("login.json"), *at = one_form(url);
    struct json *doc;
    if (read_file(path, &doc) != 0)
        return 1;
    struct json_out *out = json_out_new();
    struct json_node *list = json_put_array(out, json_out_root(out), "brokers");
    int status = 1;
    if (copy_others(out, list, doc, at))
        status = write_file(path, out);
    else
        log_error("you are not logged in at %s", at);
    json_out_free(out);
    json_free(doc);
    return status;
}
