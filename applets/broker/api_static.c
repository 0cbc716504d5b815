/* What is the same for everybody: the page and its parts. */
#include "applets/broker/assets.h"
#include "applets/broker/call.h"
#include "core/mem.h"
#include "net/http_query.h"
#include "net/http_server.h"

void api_page(struct call *c)
{
    const char *target = http_target(http_request_head(c->exchange));
    cleanup_free char *path = xstrndup(target, http_path_len(target));
    assets_answer(call_take(c), path);
    call_end(c);
}
