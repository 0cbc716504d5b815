#include "applets/broker/place.h"

#include <errno.h>
#include <stdio.h>

static struct stream *connect_agent(const struct place *p)
{
    return bridge_open(p->of);
}

static const struct place_kind joined_agent = {.connect = connect_agent};

int place_find(struct front *f, const struct principal *who, const char *name, struct place *p)
{
    struct agent_link *link = registry_find(f->registry, who, name);
    if (!link)
        return -1;
    const char *hostname = json_get_str(bridge_metadata(link), "hostname");
    *p = (struct place){.kind = &joined_agent, .of = link};
    snprintf(p->name, sizeof p->name, "%s", link->device.name);
    snprintf(p->hostname, sizeof p->hostname, "%s", hostname ? hostname : "");
    return 0;
}

int place_of_call(struct call *c, const char *name, struct place *p)
{
    if (place_find(c->front, &c->who, name, p) == 0)
        return 0;
    if (errno == ENOTUNIQ)
        call_error(c, API_AGENT_AMBIGUOUS,
                   "Several agents of yours are connected: say which (GET /api/agents).");
    else if (name)
        call_error(c, API_AGENT_NOT_CONNECTED, "No agent of yours named %s is connected.", name);
    else
        call_error(c, API_AGENT_NOT_CONNECTED,
                   "No agent of yours is connected. To join a machine: get a code by POST "
                   "%s/api/agent/code, then type there: curl -fsS %s/install.sh | sh -s -- CODE",
                   c->front->url, c->front->url);
    return -1;
}

struct stream *place_connect(const struct place *p)
{
    return p->kind->connect(p);
}
