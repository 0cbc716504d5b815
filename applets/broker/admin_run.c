/* `berth broker user add|remove|list` and `berth broker token`, as they are typed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/broker/admin.h"
#include "applets/broker/confine.h"
#include "core/log.h"
#include "core/mem.h"

/* What is typed, and what it asks for. */
struct verb {
    const char *word, *next; /* NULL: a single word */
    enum message_type type;
    bool named;
};

static const struct verb verbs[] = {
    {"user", "add", MSG_USER_ADD, true},
    {"user", "remove", MSG_USER_REMOVE, true},
    {"user", "list", MSG_USER_LIST, false},
    {"token", NULL, MSG_TOKEN_NEW, true},
};

static const struct verb *verb_of(const struct broker_options *o, const char **name)
{
    for (size_t i = 0; i < countof(verbs); i++) {
        const struct verb *v = &verbs[i];
        unsigned words = v->next ? 2 : 1;
        if (strcmp(v->word, o->words[0]) != 0 || o->n_words != words + v->named ||
            (v->next && strcmp(v->next, o->words[1]) != 0))
            continue;
        *name = v->named ? o->words[words] : NULL;
        return v;
    }
    return NULL;
}

/* A broker that root has started is another user by now, who alone may ask it. */
static int become_its_user(const char *state)
{
    struct stat st;
    if (geteuid() != 0 || stat(state, &st) < 0 || st.st_uid == 0)
        return 0;
    return confine_become(st.st_uid, st.st_gid);
}

static int print(const struct message *answer)
{
    const char *text = json_get_str(answer->body, "message");
    if (answer->type == MSG_ERROR) {
        log_error("%s", text ? text : "it could not be done");
        return 1;
    }
    if (answer->type == MSG_TOKEN)
        puts(json_get_str(answer->body, "token"));
    for (struct json_iter it = json_iter(json_get(answer->body, "names")); json_next(&it);)
        puts(json_str(it.value));
    return 0;
}

int admin_run(const struct broker_options *o)
{
    const char *name;
    const struct verb *v = verb_of(o, &name);
    if (!v) {
        log_error("berth broker user add|remove NAME, user list, or token NAME; see berth broker "
                  "--help");
        return 2;
    }
    cleanup_free char *path = admin_socket(o->state);
    struct draft d = draft_of(v->type);
    struct message answer;
    if (name)
        draft_str(&d, "name", name);
    draft_int(&d, "days", o->days);
    if (become_its_user(o->state) < 0 || control_ask(path, &d, &answer) < 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            log_error("no broker runs here with its state in %s (--state)", o->state);
        else
            log_error("%s: %s", path, strerror(errno));
        return 1;
    }
    int status = print(&answer);
    message_fini(&answer);
    return status;
}
