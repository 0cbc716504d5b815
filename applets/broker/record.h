/* record.h: JSON objects as the store's values. */
#ifndef BROKER_RECORD_H
#define BROKER_RECORD_H

#include "core/json.h"
#include "core/store.h"

/* What was told of one key; NULL with *error: the answer's, or EBADMSG for what is no JSON. */
struct json *record_of(const struct store_answer *a, int *error);
/* A text of at most room - 1 bytes. */
bool record_text(const struct json_value *record, const char *key, char *dst, size_t room);
/* At the key and revision of `at`. Frees the record. */
struct store_call *record_put(struct store *s, const struct store_entry *at,
                              struct json_out *record, store_fn *fn, void *arg);

#endif
