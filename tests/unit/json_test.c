#include "core/json.h"

#include <math.h>
#include <stdlib.h>

#include "core/buf.h"
#include "core/mem.h"
#include "tests/unit/test.h"

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static bool is_json(const char *text)
{
    struct json *doc = json_parse(text, strlen(text));
    json_free(doc);
    return doc != NULL;
}

TEST(json_accepts)
{
    static const char *const good[] = {
        "{}",
        " [ ] ",
        "null",
        "\"x\"",
        "-1.5e3",
        "{\"a\":[1,{\"b\":null}],\"c\":\"\\u00e9\"}",
        "\"\xc3\xa9\xf0\x9f\x98\x80\"",
    };
    for (size_t i = 0; i < countof(good); i++)
        CHECK(is_json(good[i]));
}

TEST(json_refuses)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "{\"a\":1,}",
        "[1 2]",
        "{'a':1}",
        "{a:1}",
        "01",
        "+1",
        "NaN",
        "1e999",
        "tru",
        "{} {}",
        "{}x",
        "\"\n\"",
        "\"\\x41\"",
        "\"\\ud800\"",
        "// c\n{}",
        "\"open",
        "\"\\",
        /* not UTF-8: a stray byte, overlong, a surrogate, too large, cut off */
        "\"\x80\"",
        "\"\xc0\xaf\"",
        "\"\xe0\x9f\xbf\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xe2\x82\"",
    };
    for (size_t i = 0; i < countof(bad); i++)
        if (is_json(bad[i]))
            test_fail(__FILE__, __LINE__, "taken for JSON: %s", bad[i]);
    CHECK(json_parse(NULL, 0) == NULL);
}

static bool nests(const char *open, const char *inner, const char *close, size_t times)
{
    struct buf text = {0};
    for (size_t i = 0; i < times; i++)
        buf_printf(&text, "%s", open);
    buf_printf(&text, "%s", inner);
    for (size_t i = 0; i < times; i++)
        buf_printf(&text, "%s", close);
    struct json *doc = json_parse(buf_front(&text), text.len);
    json_free(doc);
    buf_fini(&text);
    return doc != NULL;
}

TEST(json_depth)
{
    CHECK(nests("[", "", "]", 64));
    CHECK(!nests("[", "", "]", 65));
    CHECK(nests("{\"a\":", "1", "}", 64));
    CHECK(!nests("{\"a\":", "1", "}", 65));
    CHECK(!nests("[{\"a\":", "1", "}]", 33));
    /* a string's brackets do not count, nor do quotes that are escaped */
    CHECK(nests("[", "\"]]]]\"", "]", 64));
    CHECK(nests("[", "\"\\\"]]]]\\\\\"", "]", 64));
    CHECK(!nests("[", "\"]]]]\"", "]", 65));
    CHECK(nests("[\"[[\\\"[[\",", "1", "]", 60));
    /* values beside each other are not inside each other */
    CHECK(nests("[],", "1", "", 65) == false);
    CHECK(
        is_json("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
                "[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
                "[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]"));
}

static struct json *parsed(const char *text)
{
    struct json *doc = json_parse(text, strlen(text));
    CHECK(doc != NULL);
    return doc;
}

TEST(json_members)
{
    struct json *doc =
        parsed("{\"s\":\"x\",\"n\":null,\"t\":true,\"i\":7,\"o\":{},\"s\":\"second\","
               "\"z\":\"a\\u0000b\",\"e\":\"\"}");
    const struct json_value *v = json_root(doc);
    CHECK(json_is_object(v));
    CHECK_STR(json_get_str(v, "s"), "x");
    CHECK_STR(json_get_str(v, "e"), "");
    CHECK(json_get_str(v, "n") == NULL);
    CHECK(json_get_str(v, "i") == NULL);
    CHECK(json_get_str(v, "z") == NULL);
    CHECK(json_get_str(v, "absent") == NULL);
    CHECK(json_get(v, "n") == NULL);
    CHECK(json_get(v, "z") != NULL);
    CHECK(json_is_object(json_get(v, "o")));
    CHECK(!json_is_object(json_get(v, "t")));
    CHECK_INT(json_count(v), 8);
    CHECK(json_get(NULL, "s") == NULL);
    CHECK(json_get(json_get(v, "i"), "s") == NULL);
    CHECK(json_str(NULL) == NULL);
    CHECK(!json_is_object(NULL));
    json_free(doc);
    json_free(NULL);
    CHECK(json_root(NULL) == NULL);
}

TEST(json_integers)
{
    struct json *doc =
        parsed("{\"min\":-9223372036854775808,\"max\":9223372036854775807,"
               "\"over\":9223372036854775808,\"under\":-9223372036854775809,"
               "\"real\":1.5,\"text\":\"1\",\"null\":null,\"yes\":true,\"no\":false}");
    const struct json_value *v = json_root(doc);
    int64_t n = 5;
    bool b = true;
    CHECK_INT(json_get_int(v, "min", &n), 1);
    CHECK(n == INT64_MIN);
    CHECK_INT(json_get_int(v, "max", &n), 1);
    CHECK(n == INT64_MAX);
    n = 5;
    CHECK_INT(json_get_int(v, "over", &n), -1);
    CHECK_INT(json_get_int(v, "under", &n), -1);
    CHECK_INT(json_get_int(v, "real", &n), -1);
    CHECK_INT(json_get_int(v, "text", &n), -1);
    CHECK_INT(json_get_int(v, "yes", &n), -1);
    CHECK_INT(json_get_int(v, "null", &n), 0);
    CHECK_INT(json_get_int(v, "absent", &n), 0);
    CHECK_INT(n, 5);
    CHECK_INT(json_get_bool(v, "no", &b), 1);
    CHECK(!b);
    CHECK_INT(json_get_bool(v, "yes", &b), 1);
    CHECK(b);
    CHECK_INT(json_get_bool(v, "text", &b), -1);
    CHECK_INT(json_get_bool(v, "null", &b), 0);
    json_free(doc);
}

TEST(json_unsigned)
{
    struct json *doc = parsed("{\"max\":18446744073709551615,\"over\":18446744073709551616,"
                              "\"zero\":0,\"less\":-1,\"real\":1.0,\"text\":\"1\",\"null\":null}");
    const struct json_value *v = json_root(doc);
    uint64_t n = 5;
    CHECK_INT(json_get_uint(v, "zero", &n), 1);
    CHECK(n == 0);
    CHECK_INT(json_get_uint(v, "max", &n), 1);
    CHECK(n == UINT64_MAX);
    n = 5;
    CHECK_INT(json_get_uint(v, "over", &n), -1);
    CHECK_INT(json_get_uint(v, "less", &n), -1);
    CHECK_INT(json_get_uint(v, "real", &n), -1);
    CHECK_INT(json_get_uint(v, "text", &n), -1);
    CHECK_INT(json_get_uint(v, "null", &n), 0);
    CHECK_INT(json_get_uint(v, "absent", &n), 0);
    CHECK_INT(n, 5);
    json_free(doc);
}

TEST(json_walks)
{
    struct json *doc =
        parsed("{\"a\":[\"x\",[1,2],null,\"y\"],\"k\\u0000z\":1,\"o\":{\"p\":\"q\"},\"e\":[]}");
    struct buf seen = {0};
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);)
        buf_printf(&seen, "%s", it.key);
    for (struct json_iter it = json_iter(json_get(json_root(doc), "a")); json_next(&it);) {
        CHECK(it.key == NULL);
        buf_printf(&seen, "%s", json_str(it.value) ? json_str(it.value) : "-");
    }
    CHECK_INT(seen.len, 7);
    CHECK(memcmp(buf_front(&seen), "aoex--y", 7) == 0);
    buf_fini(&seen);
    const struct json_value *nothing[] = {NULL, json_get(json_root(doc), "e"),
                                          json_get(json_get(json_root(doc), "o"), "p")};
    for (size_t i = 0; i < countof(nothing); i++) {
        struct json_iter it = json_iter(nothing[i]);
        CHECK(!json_next(&it));
        CHECK_INT(json_count(nothing[i]), 0);
    }
    json_free(doc);
}

TEST(json_writes)
{
    struct json_out *out = json_out_new();
    struct json_node *root = json_out_root(out);
    json_put_str(out, root, "s", "a\"\\\n\x01\xc3\xa9");
    json_put_str(out, root, "none", NULL);
    json_put_text(out, root, "z", "a\0b", 3);
    json_put_text(out, root, "e", NULL, 0);
    json_put_int(out, root, "i", INT64_MIN);
    json_put_bool(out, root, "b", true);
    struct json_node *list = json_put_array(out, root, "l");
    json_put_str(out, list, NULL, "x");
    json_put_int(out, list, NULL, -1);
    json_put_bool(out, json_put_object(out, list, NULL), "f", false);
    json_put_array(out, list, NULL);
    size_t len;
    cleanup_free char *text = json_out_text(out, false, &len);
    CHECK_STR(text, "{\"s\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\",\"z\":\"a\\u0000b\",\"e\":\"\","
                    "\"i\":-9223372036854775808,\"b\":true,"
                    "\"l\":[\"x\",-1,{\"f\":false},[]]}");
    CHECK_INT(len, strlen(text));
    json_out_free(out);
    json_out_free(NULL);
}

TEST(json_values_by_themselves)
{
    struct json *doc = parsed("[[],{},-7,\"x\",null]");
    static const bool arrays[] = {true, false, false, false, false};
    static const int ints[] = {-1, -1, 1, -1, -1};
    size_t i = 0;
    CHECK(json_is_array(json_root(doc)));
    CHECK(!json_is_array(NULL));
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it); i++) {
        int64_t n = -7;
        CHECK_INT(json_is_array(it.value), arrays[i]);
        CHECK_INT(json_int(it.value, &n), ints[i]);
        CHECK_INT(n, -7);
    }
    CHECK_INT(i, countof(arrays));
    json_free(doc);
}

/* What was copied outlives the document that it is from. */
TEST(json_copies)
{
    struct json *doc = parsed("{\"a\":[1,{\"b\":\"\\u0000\\u00e9\"},null,true,0.5]}");
    struct json_out *out = json_out_new();
    json_put_copy(out, json_out_root(out), "c", json_get(json_root(doc), "a"));
    json_free(doc);
    cleanup_free char *text = json_out_text(out, false, NULL);
    CHECK_STR(text, "{\"c\":[1,{\"b\":\"\\u0000\xc3\xa9\"},null,true,0.5]}");
    json_out_free(out);
}

TEST(json_writes_numbers_that_are_numbers)
{
    struct json_out *out = json_out_new();
    struct json_node *root = json_out_root(out);
    json_put_real(out, root, "r", 0.25);
    json_put_real(out, root, "inf", HUGE_VAL);
    json_put_real(out, root, "nan", NAN);
    cleanup_free char *text = json_out_text(out, false, NULL);
    CHECK_STR(text, "{\"r\":0.25,\"inf\":null,\"nan\":null}");
    cleanup_free char *pretty = json_out_text(out, true, NULL);
    CHECK_STR(pretty, "{\n  \"r\": 0.25,\n  \"inf\": null,\n  \"nan\": null\n}");
    json_out_free(out);
}

TEST(json_replaces_what_is_not_utf8)
{
    struct json_out *out = json_out_new();
    struct json_node *root = json_out_root(out);
    json_put_str(out, root, "k\xff", "\xed\xa0\x80|\xc3");
    json_put_text(out, root, "t", "\xfe\0x", 3);
    cleanup_free char *text = json_out_text(out, false, NULL);
    CHECK_STR(text, "{\"k" BAD "\":\"" BAD BAD BAD "|" BAD "\",\"t\":\"" BAD "\\u0000x\"}");
    CHECK(is_json(text));
    json_out_free(out);
}

/* Every byte as a string of its own, and read back. */
TEST(json_round_trips)
{
    for (unsigned c = 1; c < 256; c++) {
        char s[] = {(char)c, '\0'};
        struct json_out *out = json_out_new();
        json_put_str(out, json_out_root(out), s, s);
        size_t len;
        cleanup_free char *text = json_out_text(out, false, &len);
        struct json *doc = json_parse(text, len);
        const char *want = c < 0x80 ? s : BAD;
        CHECK_STR(json_get_str(json_root(doc), want), want);
        json_free(doc);
        json_out_free(out);
    }
}
