#include "applets/control/list_broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/control/broker_ask.h"
#include "applets/control/login_file.h"
#include "core/buf.h"
#include "core/mem.h"
#include "core/utf8.h"

#define LIMIT_MS 30000

/* What a machine says of itself; `none` where it says nothing. */
static char *shown(const struct json_value *v, const char *key, const char *none)
{
    const char *s = json_get_str(v, key);
    char *text = xstrdup(s ? s : none);
    text[utf8_harmless(text, strlen(text))] = '\0';
    return text;
}

static char *kinds(const struct json_value *agent)
{
    struct buf all = {0};
    for (struct json_iter it = json_iter(json_get(agent, "allow")); json_next(&it);)
        if (json_str(it.value))
            buf_printf(&all, "%s%s", all.len ? "," : "", json_str(it.value));
    buf_append(&all, "", 1);
    char *text = xstrdup((const char *)buf_front(&all));
    text[utf8_harmless(text, strlen(text))] = '\0';
    buf_fini(&all);
    return text;
}

static void print_agent(const struct json_value *agent)
{
    bool connected = false;
    (void)json_get_bool(agent, "connected", &connected);
    cleanup_free char *name = shown(agent, "name", "?"), *user = shown(agent, "user", "?"),
                      *hostname = shown(agent, "hostname", "?"), *arch = shown(agent, "arch", "?"),
                      *since = shown(agent, "since", "?"),
                      *seen = shown(agent, "lastSeen", "never"), *allow = kinds(agent);
    cleanup_free char *who = xasprintf("%s@%s", user, hostname);
    printf("%-20s  %-28s  %-8s  ", name, who, arch);
    if (connected)
        printf("connected since %s   %s\n", since, allow);
    else
        printf("not connected, last seen %s\n", seen);
}

static void print_json(const struct json *answer)
{
    struct json_out *out = json_out_new();
    json_put_copy(out, json_out_root(out), "agents", json_get(json_root(answer), "agents"));
    cleanup_free char *text = json_out_text(out, true, NULL);
    json_out_free(out);
    puts(text);
}

static void print(const struct json *answer)
{
    const struct json_value *agents = json_get(json_root(answer), "agents");
    for (struct json_iter it = json_iter(agents); json_next(&it);)
        print_agent(it.value);
    if (json_count(agents) == 0)
        puts("No machine of yours has joined there. On one of them: berth agent --join URL --code "
             "CODE");
}

int list_broker(const char *url, bool json)
{
    struct login login;
    struct broker_place place = {0};
    struct json *answer = NULL;
    int status = login_find(&login, url);
    if (status == 0)
        status = broker_place_find(&place, &login.broker);
    if (status == 0)
        status = broker_ask(
            &place.server,
            &(struct web_question){
                .method = "GET", .path = "/api/agents", .token = login.token, .limit_ms = LIMIT_MS},
            &answer);
    if (status == 0 && json)
        print_json(answer);
    else if (status == 0)
        print(answer);
    json_free(answer);
    broker_place_fini(&place);
    login_fini(&login);
    return status;
}
