#include "applets/broker/record.h"

#include <errno.h>
#include <string.h>

#include "core/mem.h"

struct json *record_of(const struct store_answer *a, int *error)
{
    *error = a->error;
    if (a->error)
        return NULL;
    struct json *doc = json_parse(a->entries->value, a->entries->len);
    if (!doc)
        *error = EBADMSG;
    return doc;
}

bool record_text(const struct json_value *record, const char *key, char *dst, size_t room)
{
    const char *text = json_get_str(record, key);
    if (!text || strlen(text) >= room)
        return false;
    memcpy(dst, text, strlen(text) + 1);
    return true;
}

struct store_call *record_put(struct store *s, const struct store_entry *at,
                              struct json_out *record, store_fn *fn, void *arg)
{
    struct store_entry entry = *at;
    cleanup_free char *text = json_out_text(record, false, &entry.len);
    entry.value = text;
    json_out_free(record);
    return store_put(s, &entry, fn, arg);
}
