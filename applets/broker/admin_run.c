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

/* What is typed, and what it asks for. A word that begins with '=' is a field of what is asked. */
struct verb {
    const char *words[BROKER_WORDS]; /* where there are fewer, NULL behind the last */
    enum message_type type;
};

static const struct verb verbs[] = {
    {{"user", "add", "=name"}, MSG_USER_ADD},
    {{"user", "remove", "=name"}, MSG_USER_REMOVE},
    {{"user", "list"}, MSG_USER_LIST},
    {{"token", "=name"}, MSG_TOKEN_NEW},
    {{"token", "=name", "list"}, MSG_TOKEN_LIST},
    {{"token", "=name", "revoke", "=id"}, MSG_TOKEN_REVOKE},
};

static bool is_asked(const struct verb *v, const struct broker_options *o)
{
    for (size_t i = 0; i < countof(v->words); i++) {
        const char *word = v->words[i];
        if ((word != NULL) != (i < o->n_words) ||
            (word && word[0] != '=' && strcmp(word, o->words[i]) != 0))
            return false;
    }
    return true;
}

static const struct verb *verb_of(const struct broker_options *o)
{
    for (size_t i = 0; i < countof(verbs); i++)
        if (is_asked(&verbs[i], o))
            return &verbs[i];
    return NULL;
}

static struct draft draft(const struct verb *v, const struct broker_options *o)
{
    struct draft d = draft_of(v->type);
    for (size_t i = 0; i < o->n_words; i++)
        if (v->words[i][0] == '=')
            draft_str(&d, v->words[i] + 1, o->words[i]);
    draft_int(&d, "days", o->days);
    return d;
}

/* A broker that root has started is another user by now, who alone may ask it. */
static int become_its_user(const char *state)
{
    struct stat st;
    if (geteuid() != 0 || stat(state, &st) < 0 || st.st_uid == 0)
        return 0;
    return confine_become(st.st_uid, st.st_gid);
}

static void print_tokens(const struct json_value *tokens)
{
    struct json_iter it = json_iter(tokens);
    size_t n = 0;
    for (; json_next(&it); n++)
        printf("%s  made %s  expires %s\n", json_get_str(it.value, "id"),
               json_get_str(it.value, "made"), json_get_str(it.value, "expires"));
    if (!n)
        log_note("the user has no token");
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
    if (answer->type == MSG_TOKENS)
        print_tokens(json_get(answer->body, "tokens"));
    return 0;
}

int admin_run(const struct broker_options *o)
{
    const struct verb *v = verb_of(o);
    if (!v) {
        log_error("berth broker user add|remove NAME, user list, token NAME, token NAME list or "
                  "token NAME revoke ID; see berth broker --help");
        return 2;
    }
    cleanup_free char *path = admin_socket(o->state);
    struct draft d = draft(v, o);
    struct message answer;
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
