#include "applets/service/broker_place.h"

#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/utf8.h"

/* -1: not 64 digits. */
static int read_pin(uint8_t pin[static SHA256_LEN], const char *text)
{
    char hex[2 * SHA256_LEN + 1];
    size_t len = 0;
    for (; *text; text++) {
        if (*text == ':')
            continue;
        if (len == sizeof hex - 1)
            return -1;
        hex[len++] = *text;
    }
    hex[len] = '\0';
    return hex_decode(pin, SHA256_LEN, hex);
}

static int trust(struct broker_place *b, const struct broker_words *w)
{
    cleanup_free char *why = NULL;
    if (w->pin && read_pin(b->pin, w->pin) < 0) {
        log_error("--pin %s: not a SHA-256, which is 64 hex digits", w->pin);
        return 2;
    }
    if (w->pin)
        b->server.pin = b->pin;
    if (w->pin || !b->server.url.tls)
        return 0;
    b->anchors = tls_anchors_load(w->ca, &why);
    b->server.anchors = b->anchors;
    if (!b->anchors)
        log_error("%s (--ca FILE has other authorities, --pin SHA256 one certificate)", why);
    return b->anchors ? 0 : 1;
}

int broker_place_find(struct broker_place *b, const struct broker_words *w)
{
    const char *why;
    *b = (struct broker_place){0};
    if (url_parse(&b->server.url, w->url, &why) < 0) {
        log_error("%s: not a broker's URL: %s", w->url, why);
        return 2;
    }
    const struct url *url = &b->server.url;
    if (!url->tls && w->pin) {
        log_error("%s: there is no certificate to --pin without https", url->text);
        return 2;
    }
    if (!url->tls && !w->insecure_http && !target_is_loopback(&url->at)) {
        log_error("%s: anybody on the way could read and change what is said there; use https, or "
                  "--insecure-http if you do not mind",
                  url->text);
        return 2;
    }
    return trust(b, w);
}

void broker_place_fini(struct broker_place *b)
{
    tls_anchors_free(b->anchors);
    *b = (struct broker_place){0};
}

char *broker_refusal(int status, const char *body, size_t len)
{
    struct json *doc = json_parse(body, len);
    const char *text = json_get_str(json_root(doc), "message");
    char *said = text ? xstrdup(text) : xasprintf("it answers with HTTP status %d", status);
    said[utf8_harmless(said, strlen(said))] = '\0';
    json_free(doc);
    return said;
}
