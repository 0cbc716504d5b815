#include "applets/service/output.h"

#include <stdlib.h>
#include <string.h>

#include "core/frame.h"
#include "core/mem.h"
#include "core/utf8.h"

#define CAP_MIN 512 /* the smallest storage, bytes */

void output_init(struct output *o, struct output_budget *budget)
{
    *o = (struct output){.budget = budget};
}

/* What storage of that size takes from the budget. */
static size_t charge(size_t cap)
{
    return cap > OUTPUT_SURE ? cap - OUTPUT_SURE : 0;
}

/* cap > 0 */
static void resize(struct output *o, struct output_text *t, size_t cap)
{
    o->budget->left = o->budget->left + charge(t->cap) - charge(cap);
    t->data = xrealloc(t->data, cap);
    t->cap = cap;
}

/* For `len` bytes in all, as far as the limits allow. */
static void grow(struct output *o, struct output_text *t, size_t len)
{
    size_t limit = OUTPUT_SURE + charge(t->cap) + o->budget->left;
    size_t cap = t->cap ? t->cap : CAP_MIN;
    if (limit > OUTPUT_KEPT_MAX)
        limit = OUTPUT_KEPT_MAX;
    while (cap < len && cap < limit)
        cap *= 2;
    resize(o, t, cap < limit ? cap : limit);
}

void output_keep(struct output *o, uint8_t channel, const void *data, size_t len)
{
    struct output_text *t = channel == CHANNEL_STDERR ? &o->err : &o->out;
    if (len == 0 || t->truncated)
        return; /* no text with a hole in it */
    if (len > t->cap - t->len)
        grow(o, t, t->len + len);
    size_t room = t->cap - t->len;
    size_t kept = len < room ? len : room;
    memcpy(t->data + t->len, data, kept);
    t->len += kept;
    t->truncated = kept < len;
}

static void settle(struct output *o, struct output_text *t)
{
    if (t->len > 0)
        resize(o, t, t->len);
}

void output_settle(struct output *o)
{
    settle(o, &o->out);
    settle(o, &o->err);
}

void output_fini(struct output *o)
{
    o->budget->left += charge(o->out.cap) + charge(o->err.cap);
    free(o->out.data);
    free(o->err.data);
    output_init(o, o->budget);
}

/* As JSON. */

/* Most of what is ever said. */
static bool is_plain(char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && (signed char)c > 0;
}

/* Bytes that JSON makes of one character of `step` bytes that is not plain. */
static size_t cost_of(char first, size_t step, bool valid)
{
    if (!valid)
        return 3; /* U+FFFD */
    if (first && strchr("\b\t\n\f\r\"\\", first))
        return 2;
    return (unsigned char)first < 0x20 ? 6 : step;
}

/* How much of text[len] takes no more than `budget` as JSON; *cost: what that takes. */
static size_t fitting(const char *text, size_t len, size_t budget, size_t *cost)
{
    size_t at = 0;
    *cost = 0;
    while (at < len) {
        bool valid;
        size_t step = 1, more = 1;
        if (!is_plain(text[at])) {
            step = utf8_step(text + at, len - at, &valid);
            more = cost_of(text[at], step, valid);
        }
        if (more > budget - *cost)
            break;
        *cost += more;
        at += step;
    }
    return at;
}

static size_t text_fitting(const struct output_text *t, size_t budget, size_t *cost)
{
    return fitting(t->data, t->len, budget, cost);
}

size_t output_json_len(const void *text, size_t len)
{
    size_t cost;
    fitting(text, len, SIZE_MAX, &cost);
    return cost;
}

size_t output_cost(const struct output *o)
{
    return output_json_len(o->out.data, o->out.len) + output_json_len(o->err.data, o->err.len);
}

void output_put(const struct output *o, struct json_out *json, struct json_node *to, size_t limit)
{
    size_t out_cost, err_cost;
    text_fitting(&o->err, limit / 2, &err_cost);
    size_t out_len = text_fitting(&o->out, limit - err_cost, &out_cost);
    size_t err_len = text_fitting(&o->err, limit - out_cost, &err_cost);
    json_put_text(json, to, "stdout", o->out.data, out_len);
    json_put_text(json, to, "stderr", o->err.data, err_len);
    if (o->out.truncated || out_len < o->out.len)
        json_put_bool(json, to, "stdout_truncated", true);
    if (o->err.truncated || err_len < o->err.len)
        json_put_bool(json, to, "stderr_truncated", true);
}
