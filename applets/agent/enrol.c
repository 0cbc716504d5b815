#include "applets/agent/enrol.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/service/broker_place.h"
#include "core/bytes.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"

#define LIMIT_MS 30000

struct enrolling {
    struct loop *loop;
    const struct web_server *broker;
};

void enrol_name(char name[static ENROL_NAME_MAX + 1], const char *host)
{
    static const char may[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = 0;
    for (; len < ENROL_NAME_MAX && host[len]; len++)
        name[len] = host[len];
    name[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (!strchr(may, name[i]))
            name[i] = '-';
    if (!len)
        memcpy(name, "agent", sizeof "agent");
}

static char *request(const struct device_key *key, const char *code, const char *name)
{
    char hex[2 * KEY_PUBLIC_LEN + 1];
    struct json_out *out = json_out_new();
    struct json_node *root = json_out_root(out);
    hex_encode(hex, key->public, KEY_PUBLIC_LEN);
    json_put_str(out, root, "code", code);
    json_put_str(out, root, "public_key", hex);
    json_put_str(out, root, "name", name);
    char *text = json_out_text(out, false, NULL);
    json_out_free(out);
    return text;
}

char *enrol_flaw(const struct web_answer *a)
{
    if (a->why)
        return xstrdup(a->why);
    if (a->status != 200 && a->status != 201)
        return broker_refusal(a->status, a->body, a->len);
    struct json *doc = json_parse(a->body, a->len);
    const struct json_value *root = json_root(doc);
    bool whole = json_get_str(root, "agent") && json_get_str(root, "user");
    json_free(doc);
    return whole ? NULL : xstrdup("what it answers is not a broker's");
}

static void answered(void *arg, const struct web_answer *answer)
{
    struct enrolling *e = arg;
    cleanup_free char *flaw = enrol_flaw(answer);
    if (flaw)
        log_error("%s: this device was not enrolled: %s", e->broker->url.text, flaw);
    loop_stop(e->loop, flaw ? 1 : 0);
}

int enrol(const struct web_server *broker, const struct device_key *key, const char *code,
          const char *name)
{
    char host[256] = "", own[ENROL_NAME_MAX + 1];
    struct enrolling e = {loop_new(), broker};
    gethostname(host, sizeof host - 1);
    enrol_name(own, host);
    cleanup_free char *json = request(key, code, name ? name : own);
    const struct web_question question = {
        .method = "POST", .path = "/api/agent/enroll", .json = json, .limit_ms = LIMIT_MS};
    web_ask(e.loop, broker, &question, answered, &e);
    int status = loop_run(e.loop);
    loop_free(e.loop);
    return status;
}
