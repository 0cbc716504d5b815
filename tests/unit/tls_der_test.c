/* The little ASN.1 and PEM that is ours. */
#include <stdlib.h>

#include "core/mem.h"
#include "net/tls_der.h"
#include "net/tls_pem.h"
#include "tests/unit/test.h"

TEST(der_lengths)
{
    static const struct {
        size_t len, left;
        bool bad;
        uint8_t bytes[6];
    } rows[] = {
        {2, 0, false, {0x04, 0x00}},
        {3, 1, false, {0x04, 0x01, 'a'}},
        {3, 0, true, {0x04, 0x02, 'a'}},       /* too long */
        {4, 0, true, {0x04, 0x80, 0, 0}},      /* indefinite: BER */
        {4, 0, true, {0x04, 0x81, 0x01, 'a'}}, /* not the shortest form */
        {5, 0, true, {0x04, 0x82, 0x00, 0x01, 'a'}},
        {6, 0, true, {0x04, 0x83, 0, 0, 1, 'a'}},
        {2, 0, true, {0x04, 0xff}},
        {1, 0, true, {0x04}},
        {0, 0, true, {0}},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct reader r = reader_of(rows[i].bytes, rows[i].len), inner;
        uint8_t tag = der_next(&r, &inner);
        CHECK_INT(r.bad, rows[i].bad);
        CHECK_INT(inner.bad, rows[i].bad);
        CHECK_INT(inner.left, rows[i].left);
        CHECK_INT(tag, rows[i].bad ? 0 : 0x04);
    }
}

/* What is written is read, at every length at which the form changes. */
TEST(der_writes_what_it_reads)
{
    static const size_t lengths[] = {0, 1, 127, 128, 255, 256, 65535};
    static uint8_t content[65535], buf[65600];
    for (size_t i = 0; i < countof(lengths); i++) {
        struct der_writer w = der_writer_to(buf, sizeof(buf));
        der_put_element(&w, DER_OCTET_STRING, content, lengths[i]);
        der_wrap(&w, DER_SEQUENCE, sizeof(buf));
        CHECK(!w.bad);
        struct reader r = reader_of(buf + w.at, sizeof(buf) - w.at);
        struct reader outer = der_enter(&r, DER_SEQUENCE), inner;
        if (lengths[i] == 65535) { /* its sequence needs three bytes of length: more than is read */
            CHECK(outer.bad);
            continue;
        }
        inner = der_enter(&outer, DER_OCTET_STRING);
        CHECK(!inner.bad && inner.left == lengths[i] && reader_done(&outer) && reader_done(&r));
    }
}

TEST(der_writer_knows_its_end)
{
    uint8_t buf[8];
    struct der_writer w = der_writer_to(buf, sizeof(buf));
    der_put(&w, "12345", 5);
    der_wrap(&w, DER_OCTET_STRING, sizeof(buf));
    CHECK(!w.bad && w.at == 1);
    der_put(&w, "12", 2);
    CHECK(w.bad);
    der_put(&w, "1", 1);
    CHECK(w.bad && w.at == 1);
}

/* ---- PEM ---- */

struct seen {
    unsigned n;
    size_t bytes;
    char label[64];
};

static void see(void *arg, const char *label, const uint8_t *der, size_t len)
{
    struct seen *s = arg;
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + der[i]);
    s->n++;
    s->bytes += len;
    strncpy(s->label, label, sizeof(s->label) - 1);
}

static size_t read_text(const char *text, struct seen *s)
{
    *s = (struct seen){0};
    return pem_read(text, strlen(text), see, s);
}

TEST(pem_finds_objects_among_anything)
{
    struct seen s;
    CHECK_INT(read_text("", &s), 0);
    CHECK_INT(read_text("no PEM at all\n", &s), 0);
    CHECK_INT(s.n, 0);
    CHECK_INT(read_text("x\n-----BEGIN A B-----\nAAAA\nAAA=\n-----END A B-----\ny", &s), 0);
    CHECK(s.n == 1 && s.bytes == 5);
    CHECK_STR(s.label, "A B");
    CHECK_INT(read_text("-----BEGIN A-----\r\nAAAA\r\n-----END A-----", &s), 0);
    CHECK(s.n == 1 && s.bytes == 3);
}

TEST(pem_counts_what_is_broken)
{
    struct seen s;
    CHECK_INT(read_text("-----BEGIN A-----\nAAAA\n", &s), 1);
    CHECK_INT(s.n, 0);
    CHECK_INT(read_text("-----BEGIN A-----\nA*AA\n-----END A-----\n"
                        "-----BEGIN B-----\nAAAA\n-----END B-----\n",
                        &s),
              1);
    CHECK_INT(s.n, 1);
    CHECK_STR(s.label, "B");
}

TEST(pem_bounds_an_object)
{
    for (size_t over = 0; over < 2; over++) {
        size_t len = PEM_OBJECT_MAX + over;
        uint8_t *bytes = xcalloc(1, len);
        cleanup_free char *text = pem_write("A", bytes, len);
        struct seen s;
        CHECK_INT(read_text(text, &s), over);
        CHECK_INT(s.n, 1 - over);
        CHECK_INT(s.bytes, over ? 0 : len);
        free(bytes);
    }
}
