/* agents.c: many joined agents at once, each with a device key of its own, in one process.
 *
 *   agents URL COUNT <TOKENS     joins COUNT agents, named a0, a1, …, those of the users whose API tokens are
 *                                the lines of standard input, in turn; prints "joined N in T ms", then serves
 *                                what the broker asks until it is told to end. Exits with 1 when one is lost.
 *
 * Each is the very agent that `berth agent --join` is: what differs is that its key and its code are not a
 * person's. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/agent/join.h"
#include "core/bytes.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/proc.h"
#include "net/web_ask.h"

#define AT_ONCE    16 /* being enrolled, or being joined */
#define ASK_MS     60000
#define TOKEN_ROOM 4096
#define TOKENS_MAX 10000

struct load;

struct agent {
    struct load *load;
    unsigned number;
    struct device_key key;
    struct join_identity who;
    struct join *join;
};

struct load {
    struct loop *loop;
    struct web_server broker;
    struct service_policy policy;
    char *tokens[TOKENS_MAX];
    unsigned n_tokens, count, begun, joined;
    uint64_t started_us;
    struct agent *agents;
};

static void begin(struct load *l);

static void give_up(const struct agent *a, const char *what, const char *why)
{
    log_error("agent %u: %s: %s", a->number, what, why);
    exit(1);
}

static struct json *answered(const struct agent *a, const char *what, const struct web_answer *w)
{
    if (w->why)
        give_up(a, what, w->why);
    struct json *doc = w->status == 200 ? json_parse(w->body, w->len) : NULL;
    if (!doc)
        give_up(a, what, w->body);
    return doc;
}

static void on_news(void *arg, const struct join_news *news)
{
    struct agent *a = arg;
    struct load *l = a->load;
    if (news->event != JOIN_UP)
        give_up(a, "lost", news->why);
    l->joined++;
    if (l->joined == l->count) {
        printf("joined %u in %llu ms\n", l->joined,
               (unsigned long long)(loop_clock_us() - l->started_us) / 1000);
        fflush(stdout);
    }
    begin(l);
}

static void on_enrolled(void *arg, const struct web_answer *w)
{
    struct agent *a = arg;
    json_free(answered(a, "enrolment", w));
    a->join = join_new(a->load->loop, &a->load->broker, &a->who, on_news, a);
}

static void on_code(void *arg, const struct web_answer *w)
{
    struct agent *a = arg;
    struct json *doc = answered(a, "code", w);
    char hex[2 * KEY_PUBLIC_LEN + 1];
    hex_encode(hex, a->key.public, sizeof a->key.public);
    cleanup_free char *body = xasprintf("{\"code\":\"%s\",\"name\":\"a%u\",\"public_key\":\"%s\"}",
                                        json_get_str(json_root(doc), "code"), a->number, hex);
    const struct web_question q = {
        .method = "POST", .path = "/api/agent/enroll", .json = body, .limit_ms = ASK_MS};
    json_free(doc);
    web_ask(a->load->loop, &a->load->broker, &q, on_enrolled, a);
}

static void begin(struct load *l)
{
    if (l->begun == l->count)
        return;
    struct agent *a = &l->agents[l->begun];
    const struct web_question q = {.method = "POST",
                                   .path = "/api/agent/code",
                                   .token = l->tokens[l->begun % l->n_tokens],
                                   .limit_ms = ASK_MS};
    a->load = l;
    a->number = l->begun++;
    key_pair(a->key.public, a->key.secret);
    join_device_id(a->key.id, a->key.public);
    a->who = (struct join_identity){l->broker.url.text, &a->key, &l->policy};
    web_ask(l->loop, &l->broker, &q, on_code, a);
}

static void on_signal(void *arg, int signo)
{
    struct load *l = arg;
    (void)signo;
    loop_stop(l->loop, 0);
}

static int read_tokens(struct load *l)
{
    char line[TOKEN_ROOM];
    while (l->n_tokens < TOKENS_MAX && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        l->tokens[l->n_tokens++] = xstrdup(line);
    }
    return l->n_tokens ? 0 : -1;
}

int main(int argc, char **argv)
{
    static struct load l;
    const char *why = "usage: agents URL COUNT <TOKENS";
    l.count = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    if (!l.count || url_parse(&l.broker.url, argv[1], &why) < 0 || read_tokens(&l) < 0) {
        log_error("%s", why);
        return 2;
    }
    key_init();
    proc_raise_files();
    l.loop = loop_new();
    l.agents = xcalloc(l.count, sizeof *l.agents);
    l.policy.allow = POLICY_ALL;
    l.started_us = loop_clock_us();
    loop_signal(l.loop, SIGTERM, on_signal, &l);
    loop_signal(l.loop, SIGINT, on_signal, &l);
    for (unsigned i = 0; i < AT_ONCE; i++)
        begin(&l);
    int status = loop_run(l.loop);
    for (unsigned i = 0; i < l.begun; i++)
        if (l.agents[i].join)
            join_free(l.agents[i].join);
    loop_free(l.loop);
    return status;
}
