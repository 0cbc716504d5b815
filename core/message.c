/* message.c: messages by their table of types, and errors by their table of codes. */
#include "core/message.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

static const char *const type_names[] = {
#define MESSAGE_NAME(id, name) name,
    MESSAGE_TYPES(MESSAGE_NAME)
#undef MESSAGE_NAME
};
static_assert(countof(type_names) == MSG_COUNT, "a name for each type");

/* `error` is what a code that came from a peer is told to the caller as. */
static const struct {
    const char *name;
    int error;
} codes[] = {
    [ERR_NOT_FOUND] = {"NotFound", ENOENT},
    [ERR_PERMISSION_DENIED] = {"PermissionDenied", EACCES},
    [ERR_TIMEOUT] = {"Timeout", ETIMEDOUT},
    [ERR_IO] = {"IoError", EIO},
    [ERR_INVALID_REQUEST] = {"InvalidRequest", EINVAL},
    [ERR_INTERNAL] = {"Internal", EIO},
    [ERR_ADDRESS_IN_USE] = {"AddressInUse", EADDRINUSE},
    [ERR_CONNECTION_REFUSED] = {"ConnectionRefused", ECONNREFUSED},
    [ERR_HOST_UNREACHABLE] = {"HostUnreachable", EHOSTUNREACH},
    [ERR_NOT_CONNECTED] = {"NotConnected", ENOTCONN},
    [ERR_QUOTA_EXCEEDED] = {"QuotaExceeded", EDQUOT},
    [ERR_RATE_LIMITED] = {"RateLimited", EAGAIN},
};
static_assert(countof(codes) == ERR_COUNT, "a row for each code");

/* Everything else is an IoError. */
static const struct {
    int error;
    enum error_code code;
} codes_of_errno[] = {
    {ENOENT, ERR_NOT_FOUND},
    {ENOTDIR, ERR_NOT_FOUND},
    {EACCES, ERR_PERMISSION_DENIED},
    {EPERM, ERR_PERMISSION_DENIED},
    {ETIMEDOUT, ERR_TIMEOUT},
    {EINVAL, ERR_INVALID_REQUEST},
    {ENAMETOOLONG, ERR_INVALID_REQUEST},
    {EISDIR, ERR_INVALID_REQUEST},
    {EADDRINUSE, ERR_ADDRESS_IN_USE},
    {ECONNREFUSED, ERR_CONNECTION_REFUSED},
    {EHOSTUNREACH, ERR_HOST_UNREACHABLE},
    {ENETUNREACH, ERR_HOST_UNREACHABLE},
    {EHOSTDOWN, ERR_HOST_UNREACHABLE},
    {ENETDOWN, ERR_HOST_UNREACHABLE},
    {ENOTCONN, ERR_NOT_CONNECTED},
};

const char *message_name(enum message_type type)
{
    return type_names[type];
}

const char *error_code_name(enum error_code code)
{
    return codes[code].name;
}

enum error_code error_code_of_errno(int error)
{
    for (size_t i = 0; i < countof(codes_of_errno); i++)
        if (codes_of_errno[i].error == error)
            return codes_of_errno[i].code;
    return ERR_IO;
}

int errno_of_error_code(const char *name)
{
    for (size_t i = 0; i < countof(codes); i++)
        if (strcmp(codes[i].name, name) == 0)
            return codes[i].error;
    return EIO;
}

/* NULL, or what is wrong with the document. */
static const char *read_type(struct message *m)
{
    const char *name = json_get_str(m->body, "type");
    if (!name)
        return "no type";
    for (unsigned i = 0; i < MSG_COUNT; i++) {
        if (strcmp(type_names[i], name) == 0) {
            m->type = (enum message_type)i;
            return NULL;
        }
    }
    return "unknown type";
}

/* What begins otherwise, be it by a space, is data where both may come. */
static bool is_message(const uint8_t *payload, size_t len)
{
    return len > 0 && payload[0] == '{';
}

int message_parse(struct message *m, const void *payload, size_t len, const char **why)
{
    bool begun = is_message(payload, len);
    *m = (struct message){.doc = begun ? json_parse(payload, len) : NULL};
    m->body = json_root(m->doc);
    *why = !begun ? "it does not begin with {" : !m->doc ? "bad JSON" : read_type(m);
    if (!*why)
        return 0;
    message_fini(m);
    return -1;
}

void message_fini(struct message *m)
{
    json_free(m->doc);
    *m = (struct message){0};
}

struct draft draft_of(enum message_type type)
{
    struct json_out *out = json_out_new();
    struct draft d = {out, json_out_root(out)};
    draft_str(&d, "type", message_name(type));
    return d;
}

void draft_str(struct draft *d, const char *key, const char *s)
{
    json_put_str(d->out, d->root, key, s);
}

void draft_int(struct draft *d, const char *key, int64_t n)
{
    json_put_int(d->out, d->root, key, n);
}

void draft_bool(struct draft *d, const char *key, bool b)
{
    json_put_bool(d->out, d->root, key, b);
}

void draft_free(struct draft *d)
{
    json_out_free(d->out);
    *d = (struct draft){0};
}

void draft_send_within(struct draft *d, struct stream *s, size_t limit)
{
    size_t len;
    cleanup_free char *text = json_out_text(d->out, false, &len);
    json_out_free(d->out);
    *d = (struct draft){0};
    if (len <= limit)
        frame_write(s, text, len);
    else
        message_send_error(s, ERR_INTERNAL, "the message has %zu bytes, more than a frame holds",
                           len);
}

void draft_send(struct draft *d, struct stream *s)
{
    draft_send_within(d, s, FRAME_LIMIT);
}

void message_send(struct stream *s, enum message_type type)
{
    struct draft d = draft_of(type);
    draft_send(&d, s);
}

void message_send_error(struct stream *s, enum error_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *text = xvasprintf(fmt, ap);
    va_end(ap);
    struct draft d = draft_of(MSG_ERROR);
    draft_str(&d, "code", error_code_name(code));
    draft_str(&d, "message", text);
    draft_send(&d, s);
}
