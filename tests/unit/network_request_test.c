#include "applets/guest-agent/network_request.h"

#include <string.h>

#include "core/mem.h"
#include "tests/unit/test.h"

static struct json *parse(const char *text)
{
    struct json *doc = json_parse(text, strlen(text));
    CHECK(doc != NULL);
    return doc;
}

/* The resolv.conf that comes of it; NULL: refused, with *why. */
static char *read_text(const char *text, struct fault *why)
{
    struct network n = {0};
    struct json *doc = parse(text);
    char *resolv = NULL;
    if (network_read(&n, json_root(doc), why) == 0)
        resolv = xasprintf("%.*s", (int)n.resolv.len,
                           n.resolv.len ? (const char *)buf_front(&n.resolv) : "");
    network_fini(&n);
    json_free(doc);
    return resolv;
}

#define HOST "\"ip_address\":\"10.99.0.5/16\",\"gateway\":\"10.99.0.1\""

TEST(network_request_dns)
{
    static const struct {
        const char *text, *resolv;
    } rows[] = {
        {"{" HOST "}", "nameserver 1.1.1.1\nnameserver 8.8.8.8\n"},
        {"{" HOST ",\"dns\":null}", "nameserver 1.1.1.1\nnameserver 8.8.8.8\n"},
        {"{" HOST ",\"dns\":[]}", ""},
        {"{" HOST ",\"dns\":[\"fd00::53\"],\"hostname\":1}", "nameserver fd00::53\n"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct fault why;
        cleanup_free char *resolv = read_text(rows[i].text, &why);
        CHECK_STR(resolv ? resolv : why.text, rows[i].resolv);
    }
}

TEST(network_request_refuses)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"{}", "not {ip_address, gateway, dns}"},
        {"{\"ip_address\":\"10.99.0.5\"}", "not {ip_address, gateway, dns}"},
        {"{\"ip_address\":5,\"gateway\":\"10.99.0.1\"}", "not {ip_address, gateway, dns}"},
        {"{\"ip_address\":\"10.99.0.5\",\"gateway\":\"10.98.0.1\"}",
         "ip_address 10.99.0.5, gateway 10.98.0.1: the gateway is not in the address's network"},
        {"{" HOST ",\"dns\":\"1.1.1.1\"}", "dns: not a list of at most 16 addresses"},
        {"{" HOST ",\"dns\":[1]}", "dns: not a string: not an IP address"},
        {"{" HOST ",\"dns\":[\"1.1.1.1\\noptions x\"]}",
         "dns: 1.1.1.1\noptions x: not an IP address"},
        {"{" HOST ",\"dns\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\","
         "\"\",\"\",\"\"]}",
         "dns: not a list of at most 16 addresses"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct fault why = {.code = ERR_COUNT};
        cleanup_free char *resolv = read_text(rows[i].text, &why);
        CHECK(resolv == NULL);
        CHECK_STR(why.text, rows[i].why);
        CHECK_INT(why.code, ERR_INVALID_REQUEST);
    }
}

TEST(network_request_hostname)
{
    static const struct {
        const char *name;
        bool fine;
    } rows[] = {
        {"a", true},
        {"work-1", true},
        {"123456789012345678901234567890123456789012345678901234567890123", true},
        {"1234567890123456789012345678901234567890123456789012345678901234", false},
        {"", false},
        {"-a", false},
        {"a-", false},
        {"a.b", false},
        {"a b", false},
        {"a_b", false},
        {"\xc3\xa4", false},
    };
    struct fault why;
    for (size_t i = 0; i < countof(rows); i++) {
        cleanup_free char *text = xasprintf("{\"hostname\":\"%s\"}", rows[i].name);
        struct json *doc = parse(text);
        CHECK_INT(network_read_hostname(json_root(doc), &why) != NULL, rows[i].fine);
        json_free(doc);
    }
    struct json *doc = parse("{\"hostname\":7}");
    CHECK(network_read_hostname(json_root(doc), &why) == NULL);
    json_free(doc);
}
