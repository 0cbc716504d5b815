#include "applets/service/firewall_config.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* ---- ufw.conf: NAME=VALUE, as a shell reads it ---- */

bool firewall_ufw_enabled(const char *text)
{
    static const char name[] = "ENABLED=";
    bool enabled = false;
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
        const char *value = text + strspn(text, " \t");
        if (strncmp(value, name, sizeof name - 1) != 0)
            continue;
        value += sizeof name - 1;
        value += *value == '"' || *value == '\'';
        enabled = strncasecmp(value, "yes", 3) == 0 && strchr("\"' \t\r\n", value[3]);
    }
    return enabled;
}

/* ---- nftables.conf: words and punctuation (nft(8)) ---- */

struct token {
    const char *text;
    size_t len; /* 0: the end */
};

/* Comments and blanks are passed over; a string is one token. */
static struct token next_token(const char **at)
{
    static const char stops[] = " \t\r\n{};,#\"";
    const char *p = *at + strspn(*at, " \t\r\n");
    while (*p == '#') {
        p += strcspn(p, "\n");
        p += strspn(p, " \t\r\n");
    }
    struct token t = {p, strcspn(p, stops)};
    if (*p == '"') {
        t.len = 1 + strcspn(p + 1, "\"\n");
        t.len += p[t.len] == '"';
    } else if (!t.len && *p) {
        t.len = 1;
    }
    *at = p + t.len;
    return t;
}

static bool is(struct token t, const char *word)
{
    return t.len == strlen(word) && memcmp(t.text, word, t.len) == 0;
}

static void copy(char to[static FIREWALL_NAME_MAX], struct token t)
{
    size_t len = t.len < FIREWALL_NAME_MAX ? t.len : FIREWALL_NAME_MAX - 1;
    memcpy(to, t.text, len);
    to[len] = '\0';
}

/* From behind "chain NAME {" to behind its end. */
static bool read_chain(const char **at)
{
    bool input = false, drops = false;
    struct token t, before = {0};
    for (int depth = 1; depth > 0 && (t = next_token(at)).len; before = t) {
        depth += is(t, "{");
        depth -= is(t, "}");
        input |= is(t, "input") && is(before, "hook");
        drops |= is(t, "drop") || is(t, "reject");
    }
    return input && drops;
}

/* From behind "table". Its family may be left out. */
static bool read_table(const char **at, struct firewall_chain *closer)
{
    struct token first = next_token(at), second = next_token(at), t = second;
    bool named = !is(second, "{");
    copy(closer->table, named ? second : first);
    strcpy(closer->family, "ip");
    if (named) {
        copy(closer->family, first);
        t = next_token(at);
    }
    if (!is(t, "{"))
        return false;
    for (int depth = 1; depth > 0 && (t = next_token(at)).len;) {
        depth += is(t, "{");
        depth -= is(t, "}");
        if (depth != 1 || !is(t, "chain"))
            continue;
        copy(closer->name, next_token(at));
        if (is(next_token(at), "{") && read_chain(at))
            return true;
    }
    return false;
}

bool firewall_conf_closer(const char *text, struct firewall_chain *closer)
{
    struct token t;
    while ((t = next_token(&text)).len)
        if (is(t, "table") && read_table(&text, closer))
            return true;
    return false;
}
