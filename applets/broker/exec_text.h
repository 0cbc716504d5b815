/* exec_text.h: a command's output in events: {"text": …} where it is UTF-8, else {"base64": …}.
 *
 * What is cut in the middle of a character is not taken for something else than text: the beginning of the
 * character waits for its end. */
#ifndef BROKER_EXEC_TEXT_H
#define BROKER_EXEC_TEXT_H

#include "net/http_sse.h"

/* One of the outputs. Zeroed is ready. */
struct exec_text {
    uint8_t tail[3];
    size_t len;
};

/* `type` is the event's. */
void exec_text_send(struct exec_text *t, struct sse *sse, const char *type, const uint8_t *data,
                    size_t len);
/* Nothing more comes of it. */
void exec_text_end(struct exec_text *t, struct sse *sse, const char *type);

#endif
