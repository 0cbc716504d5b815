#include "net/url.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HTTP_PORT  80
#define HTTPS_PORT 443

static const char *take_scheme(struct url *u, const char *text)
{
    u->tls = strncasecmp(text, "https://", 8) == 0;
    if (u->tls)
        return text + 8;
    return strncasecmp(text, "http://", 7) == 0 ? text + 7 : NULL;
}

/* host, host:port, [v6], [v6]:port; the port may be left out. */
static int take_authority(struct url *u, const char *at, size_t len, const char **why)
{
    const char *host = at, *end = at + len, *port = NULL;
    size_t host_len = len;
    if (len && *at == '[') {
        const char *close = memchr(at, ']', len);
        if (!close || (close + 1 < end && close[1] != ':')) {
            *why = "no address in brackets";
            return -1;
        }
        host = at + 1;
        host_len = (size_t)(close - host);
        port = close + 1 < end ? close + 2 : NULL;
    } else if ((port = memchr(at, ':', len)) != NULL) {
        host_len = (size_t)(port++ - at);
    }
    char digits[6] = "";
    if (port && (size_t)(end - port) >= sizeof digits) {
        *why = "bad port";
        return -1;
    }
    if (port)
        memcpy(digits, port, (size_t)(end - port));
    else
        snprintf(digits, sizeof digits, "%d", u->tls ? HTTPS_PORT : HTTP_PORT);
    u->at = (struct target){.kind = TARGET_TCP};
    return target_set_host(&u->at, host, host_len, why) == 0 &&
                   target_set_port(&u->at, digits, 1, why) == 0
               ? 0
               : -1;
}

static int take_path(struct url *u, const char *path, const char **why)
{
    size_t len = strlen(path);
    while (len && path[len - 1] == '/')
        len--;
    for (size_t i = 0; i < len; i++) {
        bool part = path[i] == '/' && (path[i + 1] == '/' || path[i + 1] == '.');
        if (part || path[i] <= ' ' || path[i] > '~' || strchr("?#\"<>\\^`{|}", path[i])) {
            *why = "a path of plain names is wanted, without a query";
            return -1;
        }
    }
    memcpy(u->path, path, len);
    u->path[len] = '\0';
    return 0;
}

static void write_out(struct url *u)
{
    bool v6 = strchr(u->at.host, ':') != NULL;
    bool own_port = u->at.port == (u->tls ? HTTPS_PORT : HTTP_PORT);
    for (char *p = u->at.host; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    int n = snprintf(u->host, sizeof u->host, v6 ? "[%s]" : "%s", u->at.host);
    if (!own_port)
        snprintf(u->host + n, sizeof u->host - (size_t)n, ":%u", u->at.port);
    snprintf(u->text, sizeof u->text, "%s://%s%s", u->tls ? "https" : "http", u->host, u->path);
}

int url_parse(struct url *u, const char *text, const char **why)
{
    const char *rest = strlen(text) < URL_MAX ? take_scheme(u, text) : NULL;
    if (!rest) {
        *why = "http://host or https://host is wanted";
        return -1;
    }
    size_t len = strcspn(rest, "/?#");
    if (memchr(rest, '@', len)) {
        *why = "no user belongs there";
        return -1;
    }
    if (take_authority(u, rest, len, why) < 0 || take_path(u, rest + len, why) < 0)
        return -1;
    write_out(u);
    return 0;
}
