#include "applets/broker/install.h"

#include <stdlib.h>
#include <string.h>

#include "applets/broker/assets.h"
#include "core/base64.h"
#include "core/bytes.h"
#include "core/mem.h"
#include "net/http_server.h"

/* As one word of a shell's: between single quotes, which a URL may have too. */
static void put_quoted(struct buf *b, const char *text)
{
    buf_append(b, "'", 1);
    for (; *text; text++) {
        if (*text == '\'')
            buf_append(b, "'\\'", 3);
        buf_append(b, text, 1);
    }
    buf_append(b, "'", 1);
}

static void put_word(struct buf *b, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/@%+,";
    if (text[strspn(text, plain)])
        put_quoted(b, text);
    else
        buf_append(b, text, strlen(text));
}

static char *take_text(struct buf *b)
{
    char *text = xstrndup((const char *)buf_front(b), b->len);
    buf_fini(b);
    return text;
}

char *install_command(const struct install *i, const char *code)
{
    struct buf b = {0};
    cleanup_free char *script = xasprintf("%s/install.sh", i->url);
    char key[BASE64_LEN(SHA256_LEN) + 1];
    base64_encode(key, i->key_pin, SHA256_LEN);
    if (i->pinned)
        buf_printf(&b, "curl -fsSk --pinnedpubkey sha256//%s ", key);
    else
        buf_printf(&b, "curl -fsS ");
    put_word(&b, script);
    buf_printf(&b, " | sh -s -- %s", code);
    return take_text(&b);
}

/* ---- the script ---- */

static void put_value(struct buf *b, const struct install *i, const char *name, size_t len)
{
    char sum[DOWNLOAD_SUM_LEN + 1] = "", pin[2 * SHA256_LEN + 1] = "";
    cleanup_free char *arch = xstrndup(name, len);
    if (strcmp(arch, "URL") == 0) {
        put_quoted(b, i->url);
    } else if (strcmp(arch, "PIN") == 0) {
        if (i->pinned)
            hex_encode(pin, i->pin, SHA256_LEN);
        put_quoted(b, pin);
    } else {
        downloads_sum(i->downloads, arch, sum);
        put_quoted(b, sum);
    }
}

/* In the template "@NAME@" stands for a value: URL, PIN, or the sum of the binary for an architecture. */
static char *script(const struct install *i)
{
    struct buf b = {0};
    const struct asset *template = asset_find("install.sh");
    const char *at = (const char *)template->data, *end = at + template->len, *mark;
    while ((mark = memchr(at, '@', (size_t)(end - at)))) {
        size_t len =
            strspn(mark + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        bool value = len && mark[len + 1] == '@';
        buf_append(&b, at, (size_t)(mark - at) + !value);
        if (value)
            put_value(&b, i, mark + 1, len);
        at = value ? mark + len + 2 : mark + 1;
    }
    buf_append(&b, at, (size_t)(end - at));
    return take_text(&b);
}

void install_answer(struct stream *exchange, const struct install *i)
{
    cleanup_free char *text = script(i);
    cleanup_free char *fields = xasprintf(
        "Content-Type: text/x-shellscript; charset=utf-8\r\nCache-Control: no-store\r\n%s",
        security_fields);
    http_answer(exchange, 200, fields, text, strlen(text));
}
