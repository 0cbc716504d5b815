#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/applets.h"
#include "applets/control/list_broker.h"
#include "applets/control/reach.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"
#include "core/utf8.h"

enum { OPT_JSON = 1, OPT_BROKER, OPT_HELP };

static const struct opt options[] = {{0, "json", OPT_FLAG, OPT_JSON},
                                     {0, "broker", OPT_OPTIONAL, OPT_BROKER},
                                     {'h', "help", OPT_FLAG, OPT_HELP},
                                     {0}};

/* --- for people --------------------------------------------------------------------------- */

/* A member as heap text; some of it comes from the other machine. */
static char *shown(const struct json_value *v, const char *key)
{
    const char *s = json_get_str(v, key);
    char *text = xstrdup(s ? s : "?");
    text[utf8_harmless(text, strlen(text))] = '\0';
    return text;
}

static void print_duration(int64_t secs)
{
    long long d = secs / 86400, h = secs / 3600 % 24, m = secs / 60 % 60, s = secs % 60;
    if (d)
        printf("%lldd%02lldh", d, h);
    else if (h)
        printf("%lldh%02lldm", h, m);
    else if (m)
        printf("%lldm%02llds", m, s);
    else
        printf("%llds", s);
}

static void print_rate(int64_t rate)
{
    double kib = (double)rate / 1024;
    if (rate >= 1 << 20)
        printf("   %.1f MiB/s", kib / 1024);
    else if (rate >= 103) /* a tenth of a KiB: what is less is shown as nothing */
        printf("   %.1f KiB/s", kib);
}

static int64_t number(const struct json_value *v, const char *key)
{
    int64_t n = 0;
    (void)json_get_int(v, key, &n);
    return n;
}

static void print_forward(const struct json_value *f)
{
    cleanup_free char *kind = shown(f, "kind"), *bind = shown(f, "bind"),
                      *target = shown(f, "target"), *state = shown(f, "state"),
                      *origin = shown(f, "origin"), *process = shown(f, "process");
    bool has_target = json_get_str(f, "target");
    cleanup_free char *what =
        xasprintf("-%s %s%s%s", kind, bind, has_target ? " -> " : "", has_target ? target : "");
    printf("  %-44s  %-8s  %-6s   %lld open", what, state, origin, (long long)number(f, "open"));
    print_rate(number(f, "rate"));
    if (json_get_str(f, "process"))
        printf("   %s (%lld)", process, (long long)number(f, "pid"));
    putchar('\n');
}

static void print_session(const struct json_value *s)
{
    cleanup_free char *host = shown(s, "host"), *state = shown(s, "state"),
                      *from = shown(s, "from"), *to = shown(s, "to"),
                      *transport = shown(s, "transport"), *id = shown(s, "id");
    int64_t rtt_us = number(s, "rtt_us");
    printf("Session: %s -> %s   %s   ", from, to, transport);
    if (strcmp(state, "up") != 0)
        printf("%s   ", state);
    printf("up ");
    print_duration(number(s, "up_secs"));
    if (rtt_us)
        printf("   rtt %.*f ms", rtt_us < 10000, (double)rtt_us / 1000);
    printf("   %s   id %.8s\n", host, id);
    for (struct json_iter it = json_iter(json_get(s, "forwards")); json_next(&it);)
        print_forward(it.value);
}

/* --- collecting ------------------------------------------------------------------------------ */

struct collected {
    struct json_out *out;
    struct json_node *sessions;
    char **ids; /* of the sessions in it: one machine can be both sides */
    size_t n;
};

static bool is_known(const struct collected *c, const char *id)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->ids[i], id) == 0)
            return true;
    return false;
}

static void collect(struct collected *c, const struct message *listing)
{
    for (struct json_iter it = json_iter(json_get(listing->body, "sessions")); json_next(&it);) {
        const char *id = json_get_str(it.value, "id");
        if (!id || is_known(c, id))
            continue;
        c->ids = xrealloc(c->ids, (c->n + 1) * sizeof *c->ids);
        c->ids[c->n++] = xstrdup(id);
        json_put_copy(c->out, c->sessions, NULL, it.value);
    }
}

static int ask_all(struct collected *c)
{
    struct reach r = reach_find();
    struct message answer;
    int answered = 0;
    for (size_t i = 0; i < r.n; i++) {
        struct draft d = draft_of(MSG_LIST);
        if (reach_ask(&r.at[i], &d, &answer) < 0)
            continue;
        answered++;
        if (reach_refusal(&answer))
            log_error("%s: %s", r.at[i].path, reach_refusal(&answer));
        else
            collect(c, &answer);
        message_fini(&answer);
    }
    reach_fini(&r);
    return answered;
}

static void print(const struct collected *c, bool json, int answered)
{
    size_t len;
    cleanup_free char *text = json_out_text(c->out, json, &len);
    if (json) {
        puts(text);
        return;
    }
    struct json *doc = json_parse(text, len);
    for (struct json_iter it = json_iter(json_get(json_root(doc), "sessions")); json_next(&it);)
        print_session(it.value);
    json_free(doc);
    if (!c->n)
        puts(answered ? "No sessions. An agent of yours is running; berth stop ends it."
                      : "No sessions, and no agent of yours here.");
}

static int list_here(bool json)
{
    struct collected c = {.out = json_out_new()};
    c.sessions = json_put_array(c.out, json_out_root(c.out), "sessions");
    int answered = ask_all(&c);
    print(&c, json, answered);
    for (size_t i = 0; i < c.n; i++)
        free(c.ids[i]);
    free(c.ids);
    json_out_free(c.out);
    return 0;
}

int list_main(char **argv)
{
    struct opts o = opts_of(options, argv);
    bool json = false, broker = false;
    const char *url = NULL;
    for (int id; (id = opt_next(&o)) != OPT_END;) {
        bool is_url = id == OPT_BROKER || (id == OPT_OPERAND && broker && !url);
        if (id == OPT_HELP)
            return applet_help("list");
        if (id != OPT_JSON && !is_url) {
            if (id == OPT_OPERAND)
                log_error("list takes no %s (see berth list --help)", o.value);
            return 2;
        }
        json |= id == OPT_JSON;
        broker |= id == OPT_BROKER;
        url = is_url && o.value ? o.value : url;
    }
    return broker ? list_broker(url, json) : list_here(json);
}
