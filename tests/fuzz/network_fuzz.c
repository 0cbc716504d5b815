/* What asks for a network, as the JSON of a request; and what the kernel says of one, as netlink
 * messages. The first byte tells which. */
#include <stdlib.h>
#include <string.h>

#include "applets/guest-agent/network_request.h"
#include "core/mem.h"
#include "net/netlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_request(const uint8_t *data, size_t size)
{
    struct network n = {0};
    struct fault why;
    struct json *doc = json_parse(data, size);
    if (doc) {
        const char *name = network_read_hostname(json_root(doc), &why);
        if (name && strlen(name) > 63)
            abort();
        if (network_read(&n, json_root(doc), &why) == 0 && n.conf.prefix_len == 0)
            abort();
    }
    network_fini(&n);
    json_free(doc);
}

static void read_netlink(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(data, size), body, value;
    struct nlmsghdr header;
    unsigned type;
    size_t total = 0;
    while (netlink_next(&r, &header, &body))
        while (netlink_attr(&body, &type, &value))
            total += value.left;
    if (total > size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == '{')
        read_request(data, size);
    else
        read_netlink(data + 1, size - 1);
    return 0;
}
