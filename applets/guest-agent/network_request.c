#include "applets/guest-agent/network_request.h"

#include <ctype.h>
#include <string.h>

#include "core/mem.h"

#define HOSTNAME_MAX    63
#define NAMESERVERS_MAX 16

static const char *const default_nameservers[] = {"1.1.1.1", "8.8.8.8"};

static void add_nameserver(struct network *n, const char *address)
{
    cleanup_free char *line = xasprintf("nameserver %s\n", address);
    buf_append(&n->resolv, line, strlen(line));
}

static int read_dns(struct network *n, const struct json_value *dns, struct fault *why)
{
    for (size_t i = 0; !dns && i < countof(default_nameservers); i++)
        add_nameserver(n, default_nameservers[i]);
    if (!dns)
        return 0;
    if (!json_is_array(dns) || json_count(dns) > NAMESERVERS_MAX)
        return fault_set(why, ERR_INVALID_REQUEST, "dns: not a list of at most %d addresses",
                         NAMESERVERS_MAX);
    for (struct json_iter it = json_iter(dns); json_next(&it);) {
        const char *address = json_str(it.value);
        if (!address || !netconf_is_address(address))
            return fault_set(why, ERR_INVALID_REQUEST, "dns: %s: not an IP address",
                             address ? address : "not a string");
        add_nameserver(n, address);
    }
    return 0;
}

int network_read(struct network *n, const struct json_value *body, struct fault *why)
{
    const char *address = json_get_str(body, "ip_address"), *text;
    const char *gateway = json_get_str(body, "gateway");
    if (!address || !gateway)
        return fault_set(why, ERR_INVALID_REQUEST, "not {ip_address, gateway, dns}");
    if (netconf_parse(&n->conf, address, gateway, &text) != 0)
        return fault_set(why, ERR_INVALID_REQUEST, "ip_address %s, gateway %s: %s", address,
                         gateway, text);
    return read_dns(n, json_get(body, "dns"), why);
}

/* A label of RFC 1123. */
static bool is_hostname(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '-')
            return false;
    return len > 0 && len <= HOSTNAME_MAX && name[0] != '-' && name[len - 1] != '-';
}

const char *network_read_hostname(const struct json_value *body, struct fault *why)
{
    const char *name = json_get_str(body, "hostname");
    if (name && is_hostname(name))
        return name;
    fault_set(why, ERR_INVALID_REQUEST,
              "hostname %s: not 1 to %d letters, digits and inner hyphens", name ? name : "",
              HOSTNAME_MAX);
    return NULL;
}

void network_fini(struct network *n)
{
    buf_fini(&n->resolv);
}
