#include "applets/broker/agent_error.h"

#include <string.h>

/* What is not here went wrong over there. */
static const struct {
    enum error_code code;
    enum api_error api;
    enum activity_outcome outcome;
} rows[] = {
    {ERR_NOT_FOUND, API_NOT_FOUND, ACTIVITY_REFUSED},
    {ERR_PERMISSION_DENIED, API_FORBIDDEN, ACTIVITY_REFUSED},
    {ERR_INVALID_REQUEST, API_INVALID_REQUEST, ACTIVITY_REFUSED},
    {ERR_TIMEOUT, API_TIMEOUT, ACTIVITY_TIMEOUT},
    {ERR_COUNT, API_AGENT_ERROR, ACTIVITY_FAILED},
};

struct agent_error agent_error_of(const struct message *m)
{
    const char *code = json_get_str(m->body, "code"), *text = json_get_str(m->body, "message");
    size_t i = 0;
    while (rows[i].code != ERR_COUNT && (!code || strcmp(code, error_code_name(rows[i].code)) != 0))
        i++;
    return (struct agent_error){rows[i].api, rows[i].outcome,
                                text ? text : "The agent has refused that, and says not why."};
}
