/* json.c: yyjson behind our own names.
 *
 * yyjson itself does not care how deep values are nested, so the text is looked over first:
 * brackets outside of strings are counted. That count is right for whatever is JSON, and what is
 * not is refused by yyjson anyway. */
#include "core/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "core/mem.h"
#include "core/utf8.h"

#define DEPTH_LIMIT 64

/* ---- reading: the opaque types are yyjson's own ---- */

static yyjson_doc *doc_of(const struct json *doc)
{
    return (yyjson_doc *)(uintptr_t)doc;
}

static yyjson_val *val_of(const struct json_value *v)
{
    return (yyjson_val *)(uintptr_t)v;
}

static const struct json_value *value_of(const yyjson_val *v)
{
    return (const struct json_value *)v;
}

/* The index of a string's closing quote; `at` is that of its opening one. */
static size_t end_of_string(const char *text, size_t len, size_t at)
{
    for (at++; at < len && text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at;
}

static bool is_too_deep(const char *text, size_t len)
{
    size_t depth = 0;
    for (size_t at = 0; at < len && depth <= DEPTH_LIMIT; at++) {
        char c = text[at];
        if (c == '"')
            at = end_of_string(text, len, at);
        else if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && depth)
            depth--;
    }
    return depth > DEPTH_LIMIT;
}

struct json *json_parse(const void *text, size_t len)
{
    if (is_too_deep(text, len))
        return NULL;
    yyjson_read_err err;
    char *borrowed = (char *)(uintptr_t)text; /* not written to, as it is not read in place */
    yyjson_doc *doc = yyjson_read_opts(borrowed, len, YYJSON_READ_NOFLAG, NULL, &err);
    if (!doc && err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        abort();
    return (struct json *)doc;
}

void json_free(struct json *doc)
{
    yyjson_doc_free(doc_of(doc));
}

const struct json_value *json_root(const struct json *doc)
{
    return value_of(yyjson_doc_get_root(doc_of(doc)));
}

bool json_is_object(const struct json_value *v)
{
    return yyjson_is_obj(val_of(v));
}

bool json_is_array(const struct json_value *v)
{
    return yyjson_is_arr(val_of(v));
}

bool json_is_string(const struct json_value *v)
{
    return yyjson_is_str(val_of(v));
}

const struct json_value *json_get(const struct json_value *v, const char *key)
{
    yyjson_val *member = yyjson_obj_get(val_of(v), key);
    return yyjson_is_null(member) ? NULL : value_of(member);
}

/* Text with a NUL inside would be taken for less than it is. */
static const char *c_string(yyjson_val *v)
{
    const char *s = yyjson_get_str(v);
    return s && strlen(s) == yyjson_get_len(v) ? s : NULL;
}

const char *json_str(const struct json_value *v)
{
    return c_string(val_of(v));
}

const char *json_get_str(const struct json_value *v, const char *key)
{
    return json_str(json_get(v, key));
}

int json_int(const struct json_value *v, int64_t *out)
{
    yyjson_val *member = val_of(v);
    if (!member)
        return 0;
    if (!yyjson_is_int(member))
        return -1;
    if (yyjson_is_uint(member) && yyjson_get_uint(member) > INT64_MAX)
        return -1;
    *out = yyjson_get_sint(member);
    return 1;
}

int json_get_int(const struct json_value *v, const char *key, int64_t *out)
{
    return json_int(json_get(v, key), out);
}

int json_get_uint(const struct json_value *v, const char *key, uint64_t *out)
{
    yyjson_val *member = val_of(json_get(v, key));
    if (!member)
        return 0;
    if (!yyjson_is_uint(member))
        return -1;
    *out = yyjson_get_uint(member);
    return 1;
}

int json_get_bool(const struct json_value *v, const char *key, bool *out)
{
    yyjson_val *member = val_of(json_get(v, key));
    if (!member)
        return 0;
    if (!yyjson_is_bool(member))
        return -1;
    *out = yyjson_get_bool(member);
    return 1;
}

size_t json_count(const struct json_value *v)
{
    return yyjson_is_ctn(val_of(v)) ? yyjson_get_len(val_of(v)) : 0;
}

struct json_iter json_iter(const struct json_value *v)
{
    struct json_iter it = {.left = json_count(v), .object = json_is_object(v)};
    if (it.left)
        it.at = unsafe_yyjson_get_first(val_of(v));
    return it;
}

static void step(struct json_iter *it)
{
    yyjson_val *at = val_of(it->at);
    it->key = it->object ? c_string(at) : NULL;
    yyjson_val *value = it->object ? at + 1 : at;
    it->value = value_of(value);
    it->left--;
    it->at = it->left ? unsafe_yyjson_get_next(value) : NULL;
}

bool json_next(struct json_iter *it)
{
    while (it->left) {
        step(it);
        if (!it->object || it->key)
            return true;
    }
    return false;
}

/* ---- writing ---- */

static yyjson_mut_doc *draft_doc(struct json_out *out)
{
    return (yyjson_mut_doc *)(void *)out;
}

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

struct json_out *json_out_new(void)
{
    yyjson_mut_doc *doc = must(yyjson_mut_doc_new(NULL));
    yyjson_mut_doc_set_root(doc, must(yyjson_mut_obj(doc)));
    return (struct json_out *)(void *)doc;
}

void json_out_free(struct json_out *out)
{
    yyjson_mut_doc_free(draft_doc(out));
}

struct json_node *json_out_root(struct json_out *out)
{
    return (struct json_node *)yyjson_mut_doc_get_root(draft_doc(out));
}

static yyjson_mut_val *text_value(yyjson_mut_doc *doc, const char *s, size_t len)
{
    if (utf8_valid(s, len))
        return must(yyjson_mut_strncpy(doc, s ? s : "", len));
    size_t clean_len;
    cleanup_free char *clean = utf8_clean(s, len, &clean_len);
    return must(yyjson_mut_strncpy(doc, clean, clean_len));
}

static void put(struct json_out *out, struct json_node *to, const char *key, yyjson_mut_val *v)
{
    yyjson_mut_val *parent = (yyjson_mut_val *)to;
    bool done =
        key ? yyjson_mut_obj_add(parent, text_value(draft_doc(out), key, strlen(key)), must(v))
            : yyjson_mut_arr_append(parent, must(v));
    if (!done)
        abort();
}

void json_put_str(struct json_out *out, struct json_node *to, const char *key, const char *s)
{
    if (s)
        json_put_text(out, to, key, s, strlen(s));
}

void json_put_text(struct json_out *out, struct json_node *to, const char *key, const void *s,
                   size_t len)
{
    put(out, to, key, text_value(draft_doc(out), s, len));
}

void json_put_int(struct json_out *out, struct json_node *to, const char *key, int64_t n)
{
    put(out, to, key, yyjson_mut_sint(draft_doc(out), n));
}

void json_put_real(struct json_out *out, struct json_node *to, const char *key, double n)
{
    yyjson_mut_doc *doc = draft_doc(out);
    put(out, to, key, isfinite(n) ? yyjson_mut_real(doc, n) : yyjson_mut_null(doc));
}

void json_put_bool(struct json_out *out, struct json_node *to, const char *key, bool b)
{
    put(out, to, key, yyjson_mut_bool(draft_doc(out), b));
}

void json_put_null(struct json_out *out, struct json_node *to, const char *key)
{
    put(out, to, key, yyjson_mut_null(draft_doc(out)));
}

void json_put_copy(struct json_out *out, struct json_node *to, const char *key,
                   const struct json_value *v)
{
    put(out, to, key, yyjson_val_mut_copy(draft_doc(out), val_of(v)));
}

struct json_node *json_put_object(struct json_out *out, struct json_node *to, const char *key)
{
    yyjson_mut_val *v = yyjson_mut_obj(draft_doc(out));
    put(out, to, key, v);
    return (struct json_node *)v;
}

struct json_node *json_put_array(struct json_out *out, struct json_node *to, const char *key)
{
    yyjson_mut_val *v = yyjson_mut_arr(draft_doc(out));
    put(out, to, key, v);
    return (struct json_node *)v;
}

char *json_out_text(struct json_out *out, bool pretty, size_t *len)
{
    yyjson_write_flag flag = pretty ? YYJSON_WRITE_PRETTY_TWO_SPACES : YYJSON_WRITE_NOFLAG;
    return must(yyjson_mut_write(draft_doc(out), flag, len));
}
