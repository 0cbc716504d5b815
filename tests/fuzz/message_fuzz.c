/* A message is whole or refused; and whatever the bytes are, they can be sent as text. */
#include "core/message.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

static size_t read_so_far; /* so that reading is not optimised away */

/* Everything a handler may ask of a value, down to the depth that the reader allows. */
static void walk(const struct json_value *v, unsigned depth)
{
    if (depth > 64)
        abort();
    const char *s = json_str(v);
    read_so_far += s ? strlen(s) : 0;
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        int64_t n;
        bool b;
        if (it.key && json_is_object(v)) {
            json_get_int(v, it.key, &n);
            json_get_bool(v, it.key, &b);
        }
        walk(it.value, depth + 1);
    }
}

static void parse(const uint8_t *data, size_t size)
{
    struct message m;
    const char *why = NULL;
    if (message_parse(&m, data, size, &why) < 0) {
        if (!why || !*why)
            abort();
        return;
    }
    const char *type = json_get_str(m.body, "type");
    if (m.type >= MSG_COUNT || !type || strcmp(type, message_name(m.type)) != 0)
        abort();
    walk(m.body, 0);
    message_fini(&m);
}

/* What was written is a message again, to a parser that checks its UTF-8 by itself. */
static void write_and_parse(const uint8_t *data, size_t size)
{
    struct draft d = draft_of(MSG_EXEC_RESULT);
    size_t len;
    json_put_text(d.out, d.root, "stdout", data, size);
    cleanup_free char *text = json_out_text(d.out, false, &len);
    json_out_free(d.out);
    struct message m;
    const char *why;
    if (message_parse(&m, text, len, &why) < 0 || m.type != MSG_EXEC_RESULT)
        abort();
    message_fini(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    write_and_parse(data, size);
    return 0;
}
