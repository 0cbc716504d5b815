/* output.h: what is kept of what a command says, until somebody is told.
 *
 * Of each of its outputs OUTPUT_KEPT_MAX bytes at most, and less when what is kept for many
 * commands together has used up their budget; but always the first OUTPUT_SURE, so that one
 * that says much does not silence the others. What is cut is said to be. */
#ifndef SERVICE_OUTPUT_H
#define SERVICE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/json.h"

#define OUTPUT_KEPT_MAX ((size_t)2 << 20)  /* bytes of each output */
#define OUTPUT_SURE     ((size_t)4 << 10)  /* of each, beside the budget */
#define OUTPUT_BUDGET   ((size_t)64 << 20) /* of all that share one */

struct output_budget {
    size_t left; /* bytes of memory */
};

struct output_text {
    char *data;
    size_t len, cap;
    bool truncated;
};

struct output {
    struct output_budget *budget; /* borrowed */
    struct output_text out, err;
};

void output_init(struct output *o, struct output_budget *budget);
/* Forgets it all; it may be used again. */
void output_fini(struct output *o);
/* Channel 1 or 2. */
void output_keep(struct output *o, uint8_t channel, const void *data, size_t len);
/* Nothing more is to come: gives back the memory that is not used. */
void output_settle(struct output *o);

/* Writes stdout and stderr, and stdout_truncated or stderr_truncated (true) where something
 * is missing. The texts take no more than `limit` bytes as JSON: half of that each, and what
 * one leaves of its half is the other's. */
void output_put(const struct output *o, struct json_out *json, struct json_node *to, size_t limit);
/* How much the texts take, uncut. */
size_t output_cost(const struct output *o);

/* How much text[len] takes as JSON, without the quotes. */
size_t output_json_len(const void *text, size_t len);

#endif
