/* json.h: JSON read and written. Reading never fails half-way: a document is valid, or NULL. */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reading. Values live as long as their document. */

struct json;       /* a parsed document */
struct json_value; /* a value inside one */

/* RFC 8259, UTF-8, nested at most 64 deep. NULL when it is not that. */
struct json *json_parse(const void *text, size_t len);
void json_free(struct json *doc);
const struct json_value *json_root(const struct json *doc);

bool json_is_object(const struct json_value *v);
bool json_is_array(const struct json_value *v);
bool json_is_string(const struct json_value *v); /* also with NUL inside */
/* A member that is absent or null is NULL. `v` may be NULL. */
const struct json_value *json_get(const struct json_value *v, const char *key);
/* A string without NUL inside; NULL when absent or anything else. */
const char *json_str(const struct json_value *v);
const char *json_get_str(const struct json_value *v, const char *key);
/* 1 and *out set; 0 when absent; -1 when it is not an integer in int64's range. */
int json_int(const struct json_value *v, int64_t *out);
int json_get_int(const struct json_value *v, const char *key, int64_t *out);
/* The same for 0 to UINT64_MAX. */
int json_get_uint(const struct json_value *v, const char *key, uint64_t *out);
/* 1 and *out set; 0 when absent; -1 when it is not a boolean. */
int json_get_bool(const struct json_value *v, const char *key, bool *out);

/* Walks an array's elements or an object's members in order:
 * for (struct json_iter it = json_iter(v); json_next(&it);) … it.key, it.value
 * A member whose key has a NUL inside is passed over; a null is met as a value. */
struct json_iter {
    const char *key; /* NULL in an array */
    const struct json_value *value;
    const void *at;
    size_t left;
    bool object;
};
struct json_iter json_iter(const struct json_value *v); /* of anything else: nothing */
bool json_next(struct json_iter *it);
size_t json_count(const struct json_value *v);

/* Writing. A document is built from its root object and turned into text once. */

struct json_out;  /* a document being written */
struct json_node; /* an object or array inside it */

struct json_out *json_out_new(void);
void json_out_free(struct json_out *out);
struct json_node *json_out_root(struct json_out *out); /* an object */

/* `key` is NULL when `to` is an array. Strings are copied; bytes that are not UTF-8 become
 * U+FFFD, so that any program's output can be sent. `s` NULL puts nothing. */
void json_put_str(struct json_out *out, struct json_node *to, const char *key, const char *s);
void json_put_text(struct json_out *out, struct json_node *to, const char *key, const void *s,
                   size_t len);
void json_put_int(struct json_out *out, struct json_node *to, const char *key, int64_t n);
/* What is not finite becomes null: JSON has no such numbers. */
void json_put_real(struct json_out *out, struct json_node *to, const char *key, double n);
void json_put_bool(struct json_out *out, struct json_node *to, const char *key, bool b);
void json_put_null(struct json_out *out, struct json_node *to, const char *key);
/* A deep copy of a value that was read. */
void json_put_copy(struct json_out *out, struct json_node *to, const char *key,
                   const struct json_value *v);
struct json_node *json_put_object(struct json_out *out, struct json_node *to, const char *key);
struct json_node *json_put_array(struct json_out *out, struct json_node *to, const char *key);

/* Heap text, NUL-terminated, *len without the NUL (len may be NULL). `pretty`: indented. */
char *json_out_text(struct json_out *out, bool pretty, size_t *len);

#endif
