#include "applets/control/broker_ask.h"

#include "core/log.h"
#include "core/mem.h"

struct asking {
    struct loop *loop;
    const struct web_server *broker;
    struct json **answer;
};

/* NULL and *answer, or why there is none: heap. */
static char *read_answer(const struct web_answer *a, struct json **answer)
{
    if (a->why)
        return xstrdup(a->why);
    if (a->status == 401)
        return xstrdup(
            "it does not accept the token; a new one is had by `berth broker token NAME` "
            "there");
    if (a->status != 200)
        return broker_refusal(a->status, a->body, a->len);
    *answer = json_parse(a->body, a->len);
    return json_is_object(json_root(*answer)) ? NULL : xstrdup("what it answers is not a broker's");
}

static void answered(void *arg, const struct web_answer *a)
{
    struct asking *asking = arg;
    cleanup_free char *why = read_answer(a, asking->answer);
    if (why)
        log_error("%s: %s", asking->broker->url.text, why);
    loop_stop(asking->loop, why != NULL);
}

int broker_ask(const struct web_server *broker, const struct web_question *q, struct json **answer)
{
    struct asking asking = {loop_new(), broker, answer};
    *answer = NULL;
    web_ask(asking.loop, broker, q, answered, &asking);
    int status = loop_run(asking.loop);
    loop_free(asking.loop);
    if (status) {
        json_free(*answer);
        *answer = NULL;
    }
    return status;
}
