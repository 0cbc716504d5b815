#include "applets/service/output.h"

#include <stdlib.h>

#include "core/frame.h"
#include "core/mem.h"
#include "core/message.h"
#include "tests/unit/test.h"

#define MIB ((size_t)1 << 20)

static char *filled(size_t len, char with)
{
    char *text = xmalloc(len + 1);
    memset(text, with, len);
    text[len] = '\0';
    return text;
}

static void keep_filled(struct output *o, uint8_t channel, size_t len, char with)
{
    cleanup_free char *text = filled(len, with);
    output_keep(o, channel, text, len);
}

static bool flag(const struct json_value *v, const char *key)
{
    bool b = false;
    json_get_bool(v, key, &b);
    return b;
}

/* What output_put() makes of it, read again; *len: bytes of the whole JSON text. */
static struct json *put(const struct output *o, size_t limit, size_t *len)
{
    struct json_out *out = json_out_new();
    output_put(o, out, json_out_root(out), limit);
    cleanup_free char *text = json_out_text(out, false, len);
    json_out_free(out);
    struct json *doc = json_parse(text, *len);
    CHECK(doc != NULL);
    return doc;
}

static size_t len_of(const struct json *doc, const char *key)
{
    const char *text = json_get_str(json_root(doc), key);
    return text ? strlen(text) : SIZE_MAX;
}

TEST(output_by_channel)
{
    struct output_budget budget = {MIB};
    struct output o;
    output_init(&o, &budget);
    output_keep(&o, CHANNEL_STDOUT, "one ", 4);
    output_keep(&o, CHANNEL_STDERR, "err", 3);
    output_keep(&o, CHANNEL_STDOUT, "two", 3);
    output_keep(&o, CHANNEL_STDOUT, NULL, 0);
    size_t len;
    struct json *doc = put(&o, 1000, &len);
    CHECK_STR(json_get_str(json_root(doc), "stdout"), "one two");
    CHECK_STR(json_get_str(json_root(doc), "stderr"), "err");
    CHECK(!flag(json_root(doc), "stdout_truncated") && !flag(json_root(doc), "stderr_truncated"));
    json_free(doc);
    output_fini(&o);
    doc = put(&o, 1000, &len);
    CHECK_STR(json_get_str(json_root(doc), "stdout"), "");
    json_free(doc);
}

TEST(output_capped)
{
    struct output_budget budget = {OUTPUT_BUDGET};
    struct output o;
    output_init(&o, &budget);
    for (int i = 0; i < 40; i++)
        keep_filled(&o, CHANNEL_STDOUT, 65536, 'x');
    CHECK_INT(o.out.len, OUTPUT_KEPT_MAX);
    CHECK(o.out.truncated && !o.err.truncated);
    keep_filled(&o, CHANNEL_STDERR, OUTPUT_KEPT_MAX, 'x');
    CHECK(!o.err.truncated);
    CHECK_INT(budget.left, OUTPUT_BUDGET - 2 * (OUTPUT_KEPT_MAX - OUTPUT_SURE));
    output_keep(&o, CHANNEL_STDERR, "y", 1);
    CHECK(o.err.truncated);
    CHECK_INT(o.err.len, OUTPUT_KEPT_MAX);
    output_fini(&o);
    CHECK_INT(budget.left, OUTPUT_BUDGET);
}

/* One that says much is stopped by the budget, and the others still have their first bytes. */
TEST(output_budget_is_shared)
{
    struct output_budget budget = {MIB};
    struct output loud, quiet;
    output_init(&loud, &budget);
    output_init(&quiet, &budget);
    keep_filled(&loud, CHANNEL_STDOUT, 2 * MIB, 'x');
    CHECK_INT(loud.out.len, MIB + OUTPUT_SURE);
    CHECK(loud.out.truncated);
    CHECK_INT(budget.left, 0);
    keep_filled(&quiet, CHANNEL_STDOUT, OUTPUT_SURE, 'x');
    CHECK(!quiet.out.truncated);
    keep_filled(&quiet, CHANNEL_STDOUT, 1, 'x');
    CHECK(quiet.out.truncated);
    CHECK_INT(quiet.out.len, OUTPUT_SURE);
    output_fini(&loud);
    CHECK_INT(budget.left, MIB);
    keep_filled(&quiet, CHANNEL_STDOUT, 1, 'x'); /* no text with a hole in it */
    CHECK_INT(quiet.out.len, OUTPUT_SURE);
    keep_filled(&quiet, CHANNEL_STDERR, 100000, 'x');
    CHECK_INT(quiet.err.len, 100000);
    output_fini(&quiet);
    CHECK_INT(budget.left, MIB);
}

TEST(output_settles)
{
    struct output_budget budget = {MIB};
    struct output o;
    output_init(&o, &budget);
    for (int i = 0; i < 100; i++)
        keep_filled(&o, CHANNEL_STDOUT, 1300, 'a');
    keep_filled(&o, CHANNEL_STDERR, 10000, 'b');
    CHECK(budget.left < MIB - (140000 - 2 * OUTPUT_SURE));
    output_settle(&o);
    CHECK_INT(budget.left, MIB - (140000 - 2 * OUTPUT_SURE));
    CHECK_INT(o.out.len, 130000);
    CHECK(o.out.data[0] == 'a' && o.out.data[129999] == 'a');
    CHECK(o.err.len == 10000 && o.err.data[9999] == 'b');
    output_fini(&o);
    output_settle(&o);
    CHECK(!o.err.data && !o.out.data);
    CHECK_INT(budget.left, MIB);
}

static size_t real_json_len(const void *text, size_t len)
{
    struct json_out *out = json_out_new();
    json_put_text(out, json_out_root(out), "k", text, len);
    size_t all;
    free(json_out_text(out, false, &all));
    json_out_free(out);
    return all - strlen("{\"k\":\"\"}");
}

TEST(output_knows_what_json_takes)
{
    static const char *const texts[] = {
        "",         "plain text ~ /", "\"\\\b\f\n\r\t", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xa7",
        "\xe2\x82", "\xf0\x9f\x90x",  "\xff\xfe",       "\x7f\x1f\x01",
    };
    char pair[2];
    for (int first = 0; first < 256; first++) {
        for (int second = 0; second < 256; second += 3) {
            pair[0] = (char)first;
            pair[1] = (char)second;
            CHECK_INT(output_json_len(pair, 2), real_json_len(pair, 2));
        }
    }
    for (size_t i = 0; i < countof(texts); i++)
        CHECK_INT(output_json_len(texts[i], strlen(texts[i])),
                  real_json_len(texts[i], strlen(texts[i])));
}

/* What the texts take, beside the names, the quotes and what says that they were cut. */
static void check_put(const struct output *o, size_t limit, size_t out_len, size_t err_len)
{
    size_t len, around = strlen("{\"stdout\":\"\",\"stderr\":\"\"}");
    struct json *doc = put(o, limit, &len);
    CHECK_INT(len_of(doc, "stdout"), out_len);
    CHECK_INT(len_of(doc, "stderr"), err_len);
    CHECK(flag(json_root(doc), "stdout_truncated") == (out_len < o->out.len));
    CHECK(flag(json_root(doc), "stderr_truncated") == (err_len < o->err.len));
    around += out_len < o->out.len ? strlen(",\"stdout_truncated\":true") : 0;
    around += err_len < o->err.len ? strlen(",\"stderr_truncated\":true") : 0;
    CHECK(len <= limit + around);
    json_free(doc);
}

TEST(output_is_cut_to_fit)
{
    struct output_budget budget = {MIB};
    struct output o;
    output_init(&o, &budget);
    keep_filled(&o, CHANNEL_STDOUT, 1000, 'x');
    keep_filled(&o, CHANNEL_STDERR, 300, 'y');
    CHECK_INT(output_cost(&o), 1300);
    check_put(&o, 1300, 1000, 300);
    check_put(&o, 1299, 999, 300);
    check_put(&o, 600, 300, 300);
    check_put(&o, 400, 200, 200);
    check_put(&o, 0, 0, 0);
    output_fini(&o);
    keep_filled(&o, CHANNEL_STDOUT, 10, 'x');
    keep_filled(&o, CHANNEL_STDERR, 1000, '\n');
    CHECK_INT(output_cost(&o), 2010);
    check_put(&o, 1011, 10, 500);
    output_fini(&o);
}
