/* message.h: one JSON object with a `type`, in one frame. PROTOCOLS, sections 1, 2, 4 and 5. */
#ifndef CORE_MESSAGE_H
#define CORE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/frame.h"
#include "core/json.h"
#include "core/message_types.h"
#include "core/stream.h"

const char *message_name(enum message_type type);

/* The codes of Error. */
enum error_code {
    ERR_NOT_FOUND,
    ERR_PERMISSION_DENIED,
    ERR_TIMEOUT,
    ERR_IO,
    ERR_INVALID_REQUEST,
    ERR_INTERNAL,
    ERR_ADDRESS_IN_USE,
    ERR_CONNECTION_REFUSED,
    ERR_HOST_UNREACHABLE,
    ERR_NOT_CONNECTED,
    ERR_QUOTA_EXCEEDED,
    ERR_RATE_LIMITED,
    ERR_COUNT
};

const char *error_code_name(enum error_code code);
enum error_code error_code_of_errno(int error);
/* The errno that a code stands for; EIO for a name that is not known. */
int errno_of_error_code(const char *name);

/* Reading. */
struct message {
    enum message_type type;
    struct json *doc;
    const struct json_value *body; /* the root object of doc */
};

/* 0, or -1 with *why a static text: its first byte is not '{', bad JSON, no type,
 * unknown type. What failed needs no message_fini(), and bears it. */
int message_parse(struct message *m, const void *payload, size_t len, const char **why);
void message_fini(struct message *m);

/* Writing: a draft is begun with its type, filled by json_put_…, then sent and freed. */
struct draft {
    struct json_out *out;
    struct json_node *root;
};

struct draft draft_of(enum message_type type);
void draft_str(struct draft *d, const char *key, const char *s);
void draft_int(struct draft *d, const char *key, int64_t n);
void draft_bool(struct draft *d, const char *key, bool b);
/* What does not fit into a frame is not cut: an Error (Internal) goes in its place. */
void draft_send(struct draft *d, struct stream *s);
/* The same for a peer that takes frames of up to `limit` bytes. */
void draft_send_within(struct draft *d, struct stream *s, size_t limit);
void draft_free(struct draft *d); /* one that is not sent */

/* Whole messages in one call. */
void message_send(struct stream *s, enum message_type type); /* without fields */
void message_send_error(struct stream *s, enum error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
