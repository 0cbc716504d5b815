/* What is the same for everybody: the page and its parts, and what a machine that is to join fetches. */
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

void api_install(struct call *c)
{
    struct front *f = c->front;
    install_answer(call_take(c), &f->install);
    call_end(c);
}

void api_download(struct call *c)
{
    cleanup_free char *arch = NULL;
    if (call_param(c, "arch", true, &arch) < 0)
        return;
    struct front *f = c->front;
    download_answer(call_take(c), f->downloads, arch);
    call_end(c);
}
