/* set_env.c: SetEnv: what every later command of this agent finds in its environment. */
#include "applets/service/service.h"
#include "applets/service/workload.h"

static int set(struct environment *agent, struct environment *more, const struct json_value *vars,
               struct fault *why)
{
    if (!vars)
        return fault_set(why, ERR_INVALID_REQUEST, "vars: missing");
    return environment_read(more, vars, "vars", why) == 0 ? environment_extend(agent, more, why)
                                                          : -1;
}

void serve_set_env(struct request *r)
{
    struct environment more = {0};
    struct fault why;
    if (set(&r->service->workload->environment, &more, json_get(r->message.body, "vars"), &why) ==
        0) {
        struct draft d = draft_of(MSG_SET_ENV_RESULT);
        draft_int(&d, "count", (int64_t)more.count);
        draft_send(&d, r->stream);
        request_end(r);
    } else {
        request_fail(r, why.code, "%s", why.text);
    }
    environment_fini(&more);
}
