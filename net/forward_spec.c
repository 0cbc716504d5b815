/* What -L, -R and -D take. */
#include "net/forward_spec.h"

#include <stdio.h>
#include <string.h>

#define FIELDS_MAX 4

struct field {
    char text[TARGET_HOST_MAX + 1];
    bool path;
};

static int refuse(const char **why, const char *text)
{
    *why = text;
    return -1;
}

static int refuse_shape(enum forward_kind kind, const char **why)
{
    return refuse(why, kind == FORWARD_DYNAMIC
                           ? "write it as [bind:]port, a v6 address in brackets"
                           : "write it as [bind:]port:host:hostport, a v6 address in brackets");
}

static int add_char(struct field *f, size_t *len, char c, const char **why)
{
    if (*len == sizeof(f->text) - 1)
        return refuse(why, "a part of it is too long");
    f->text[(*len)++] = c;
    f->path = f->path || c == '/';
    return 0;
}

/* Takes one field from *at, and leaves *at at the ':' or the end behind it. */
static int take_field(struct field *f, const char **at, const char **why)
{
    const char *p = *at;
    size_t len = 0;
    bool bracket = *p == '[';
    memset(f, 0, sizeof(*f));
    for (p += bracket; *p && *p != (bracket ? ']' : ':'); p++) {
        if (!bracket && *p == '\\' && *++p == '\0')
            return refuse(why, "nothing follows the '\\'");
        if (add_char(f, &len, *p, why) != 0)
            return -1;
    }
    if (bracket && *p++ != ']')
        return refuse(why, "a ']' is missing");
    if (*p && *p != ':')
        return refuse(why, "a ':' must follow the ']'");
    *at = p;
    return 0;
}

/* How many fields there are; FIELDS_MAX + 1 when too many; -1 with *why. */
static int split(struct field fields[static FIELDS_MAX], const char *text, const char **why)
{
    for (int n = 0; n < FIELDS_MAX; text++) {
        if (take_field(&fields[n++], &text, why) != 0)
            return -1;
        if (!*text)
            return n;
    }
    return FIELDS_MAX + 1;
}

/* A path, a port, or a host and a port. */
static bool has_path(const struct field *fields, int n)
{
    for (int i = 0; i < n; i++)
        if (fields[i].path)
            return true;
    return false;
}

static int set_bind(struct target *t, const struct field *fields, int n, const char **why)
{
    const char *host = n == 2 ? fields[0].text : "127.0.0.1";
    if (fields[0].path)
        return target_set_path(t, fields[0].text, why);
    if (target_set_port(t, fields[n - 1].text, 0, why) != 0)
        return -1;
    if (host[0] == '\0' || strcmp(host, "*") == 0)
        return 0;
    return target_set_host(t, host, strlen(host), why);
}

static int set_target(struct target *t, const struct field *fields, const char **why)
{
    if (fields[0].path)
        return target_set_path(t, fields[0].text, why);
    if (target_set_host(t, fields[0].text, strlen(fields[0].text), why) != 0)
        return -1;
    return target_set_port(t, fields[1].text, 1, why);
}

static int set_dynamic(struct forward_spec *f, const struct field *fields, int n, const char **why)
{
    if (n > 2 || fields[0].path || fields[n - 1].path)
        return refuse_shape(f->kind, why);
    return set_bind(&f->bind, fields, n, why);
}

static int set_short(struct forward_spec *f, const char *port, const char **why)
{
    if (target_set_port(&f->target, port, 1, why) != 0)
        return -1;
    f->bind.port = f->target.port;
    strcpy(f->bind.host, "127.0.0.1");
    strcpy(f->target.host, "localhost");
    return 0;
}

int forward_spec_parse(struct forward_spec *f, enum forward_kind kind, const char *text,
                       const char **why)
{
    struct field fields[FIELDS_MAX];
    memset(f, 0, sizeof(*f));
    f->kind = kind;
    bool udp = strncmp(text, "udp:", 4) == 0;
    if (udp && kind == FORWARD_DYNAMIC)
        return refuse(why, "-D is a proxy for TCP alone: forward UDP with -L udp:…");
    if (udp)
        f->bind.kind = f->target.kind = TARGET_UDP;
    int n = split(fields, text + (udp ? 4 : 0), why);
    if (n < 0)
        return -1;
    if (udp && has_path(fields, n < FIELDS_MAX ? n : FIELDS_MAX))
        return refuse(why, "UDP has no unix sockets");
    if (kind == FORWARD_DYNAMIC)
        return set_dynamic(f, fields, n, why);
    if (n == 1 && !fields[0].path)
        return set_short(f, fields[0].text, why);
    if (n > FIELDS_MAX)
        return refuse_shape(kind, why);
    int of_target = fields[n - 1].path ? 1 : 2;
    int of_bind = n - of_target;
    if (of_bind < 1 || of_bind > 2 || (fields[0].path && of_bind != 1) ||
        (fields[of_bind].path && of_target != 1))
        return refuse_shape(kind, why);
    if (set_bind(&f->bind, fields, of_bind, why) != 0)
        return -1;
    return set_target(&f->target, fields + of_bind, why);
}

char forward_kind_letter(enum forward_kind kind)
{
    return "LRD"[kind];
}

void forward_spec_format(const struct forward_spec *f, char text[static FORWARD_SPEC_TEXT_MAX])
{
    char bind[TARGET_TEXT_MAX], target[TARGET_TEXT_MAX];
    target_format(&f->bind, bind);
    target_format(&f->target, target);
    if (f->kind == FORWARD_DYNAMIC)
        snprintf(text, FORWARD_SPEC_TEXT_MAX, "-D %s", bind);
    else
        snprintf(text, FORWARD_SPEC_TEXT_MAX, "-%c %s -> %s", forward_kind_letter(f->kind), bind,
                 target);
}
