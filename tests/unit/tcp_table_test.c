#include "applets/agent/tcp_table.h"

#include "tests/unit/test.h"

#define HEADING                                                                                    \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "  \
    "inode\n"
#define REST " 00000000:00000000 00:00000000 00000000"

TEST(tcp_table_v4)
{
    const char *at = HEADING
        "   0: 0100007F:1F90 00000000:0000 0A" REST "  1000        0 12345 1 0 100 0 0 10 0\n"
        "   1: 0100007F:1F91 0100007F:0050 01" REST "  1000        0 12346 1 0 20 4 30 10 -1\n"
        "  12: 00000000:0016 00000000:0000 0A" REST "     0        0 4294967296 1 0 100 0\n"
        "  13: 0A01A8C0:FFFF 00000000:0000 0A" REST " 4294967294 0 7\n";
    struct tcp_listener l;
    CHECK(tcp_table_next(&at, &l));
    CHECK_STR(l.host, "localhost");
    CHECK_INT(l.port, 8080);
    CHECK_INT(l.uid, 1000);
    CHECK_INT(l.inode, 12345);
    CHECK(tcp_table_next(&at, &l));
    CHECK_STR(l.host, "localhost");
    CHECK_INT(l.port, 22);
    CHECK_INT(l.uid, 0);
    CHECK(tcp_table_next(&at, &l));
    CHECK_STR(l.host, "192.168.1.10");
    CHECK_INT(l.port, 65535);
    CHECK(!tcp_table_next(&at, &l));
    CHECK(!tcp_table_next(&at, &l));
}

TEST(tcp_table_v6)
{
    const char *at = HEADING
        "   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A" REST
        "  1000        0 1 1\n"
        "   1: 00000000000000000000000001000000:0BB9 00000000000000000000000000000000:0000 0A" REST
        "  1000        0 2 1\n"
        "   2: B80D0120000000000000000001000000:0BBA 00000000000000000000000000000000:0000 0A" REST
        "  1000        0 3 1\n"
        "   3: 000080FE000000000000000001000000:0BBB 00000000000000000000000000000000:0000 0A" REST
        "  1000        0 4 1";
    static const char *const hosts[] = {"localhost", "localhost", "2001:db8::1", "localhost"};
    struct tcp_listener l;
    for (unsigned i = 0; i < 4; i++) {
        CHECK(tcp_table_next(&at, &l));
        CHECK_STR(l.host, hosts[i]);
        CHECK_INT(l.port, 3000 + i);
    }
    CHECK(!tcp_table_next(&at, &l));
}

TEST(tcp_table_passes_over_what_it_cannot_read)
{
    char longer[1200];
    memset(longer, 'x', sizeof longer);
    memcpy(longer + sizeof longer - 100, "\n   0: 0100007F:1F90 00000000:0000 0A" REST " 1 0 9\n",
           84);
    longer[sizeof longer - 1] = '\0';
    const char *at = longer;
    struct tcp_listener l;
    CHECK(tcp_table_next(&at, &l));
    CHECK_INT(l.inode, 9);
    static const char *const bad[] = {
        "",
        "\n\n\n",
        HEADING,
        "   0: 0100007F:1F90",
        "   0: 0100:1F90 00000000:0000 0A" REST " x",
        "   0: 0100007F:FFFFF 00000000:0000 0A" REST " 1 0 9",
        "   0: 0100007F0100007F:1F90 00000000:0000 0A" REST " 1 0 9",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        at = bad[i];
        CHECK(!tcp_table_next(&at, &l));
    }
}
