/* Which certificates a client takes, and which files a server does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/bytes.h"
#include "core/mem.h"
#include "core/paths.h"
#include "tests/unit/tls_rig.h"

/* The client's error when it looks for `host` at a server with NAME.pem; its reason is compared. */
static void check_meeting(const char *name, const char *host, int error, const char *reason)
{
    struct tls_rig r;
    tls_rig_init(&r, name);
    r.peer.host = host;
    int got = tls_rig_meet(&r);
    const char *why = tls_reason(r.p[TLS_CLIENT].s);
    if (got != error || (reason && (!why || strcmp(why, reason) != 0)))
        test_fail(__FILE__, __LINE__, "%s for %s: %d, %s", name, host, got,
                  why ? why : "no reason");
    /* Nobody hears a word before that. */
    CHECK(!r.p[TLS_SERVER].opens == !!error);
    tls_rig_fini(&r);
}

static const char another[] = "its certificate is for another name";

TEST(tls_takes_a_name_that_is_there)
{
    check_meeting("p256", "localhost", 0, NULL);
    check_meeting("p256", "LOCALHOST", 0, NULL);
    check_meeting("p256", "localhost.", 0, NULL);
    check_meeting("p256", "a.example.org", 0, NULL);
    check_meeting("p256", "A.Example.org", 0, NULL);
    check_meeting("cn", "localhost", 0, NULL); /* which has no subjectAltName */
    check_meeting("ip", "there", 0, NULL);
}

TEST(tls_refuses_another_name)
{
    char label[300];
    memset(label, 'a', sizeof(label));
    label[sizeof(label) - 1] = '\0';
    check_meeting("p256", "localhos", EKEYREJECTED, another);
    check_meeting("p256", "localhost.example", EKEYREJECTED, another);
    check_meeting("p256", "example.org", EKEYREJECTED, another);
    check_meeting("p256", "a.b.example.org", EKEYREJECTED, another);
    check_meeting("other", "localhost", EKEYREJECTED, another); /* though it is its common name */
    check_meeting("ip", "localhost", EKEYREJECTED, another);
    check_meeting("p256", "", EKEYREJECTED, another);
    check_meeting("p256", ".", EKEYREJECTED, another);
    check_meeting("p256", label, EPROTO, NULL);
}

TEST(tls_compares_addresses)
{
    check_meeting("ip", "127.0.0.1", 0, NULL);
    check_meeting("ip", "::1", 0, NULL);
    check_meeting("ip", "0:0:0:0:0:0:0:1", 0, NULL);
    check_meeting("ip", "127.0.0.2", EKEYREJECTED, another);
    check_meeting("ip", "::2", EKEYREJECTED, another);
    check_meeting("ip", "::ffff:127.0.0.1", EKEYREJECTED, another);
    check_meeting("p256", "127.0.0.1", EKEYREJECTED, another);
    check_meeting("cn", "127.0.0.1", EKEYREJECTED, another);
}

TEST(tls_refuses_a_certificate_out_of_its_time)
{
    static const char reason[] = "its certificate has expired or is not yet valid";
    check_meeting("expired", "localhost", EKEYREJECTED, reason);
    check_meeting("future", "localhost", EKEYREJECTED, reason);
}

TEST(tls_refuses_an_authority_that_is_not_trusted)
{
    static const char reason[] = "its certificate leads to no authority that is trusted";
    check_meeting("self", "localhost", EKEYREJECTED, reason);
    struct tls_rig r;
    tls_rig_init(&r, "p256");
    r.peer.anchors = NULL;
    CHECK_INT(tls_rig_meet(&r), EKEYREJECTED);
    CHECK_STR(tls_reason(r.p[TLS_CLIENT].s), reason);
    CHECK_STR(tls_reason(r.p[TLS_SERVER].s), "alert: unknown authority");
    tls_rig_fini(&r);
}

/* Whose certificate is not marked as one. */
TEST(tls_refuses_an_authority_that_is_none)
{
    struct tls_rig r;
    char *why = NULL;
    cleanup_free char *chain = tls_file("forged.pem"), *key = tls_file("expired.key");
    cleanup_free char *folder = tls_file(".");
    cleanup_free char *command = xasprintf(
        "cd %s && openssl x509 -req -in expired.csr -CA other.pem -CAkey other.key -set_serial 7 "
        "-days 9 -out forged.pem 2>>log && cat other.pem >>forged.pem",
        folder);
    CHECK_INT(system(command), 0);
    tls_rig_init(&r, "p256");
    tls_server_free(r.server);
    r.server = tls_server_load(chain, key, &why);
    CHECK(r.server);
    CHECK_INT(tls_rig_meet(&r), EKEYREJECTED);
    CHECK_STR(tls_reason(r.p[TLS_CLIENT].s), "its certificate was signed by what is no authority");
    tls_rig_fini(&r);
}

TEST(tls_trusts_the_very_certificate)
{
    struct tls_rig r;
    char *why = NULL;
    cleanup_free char *path = tls_file("self.pem");
    tls_rig_init(&r, "self");
    tls_anchors_free(r.anchors);
    r.anchors = tls_anchors_load(path, &why);
    CHECK(r.anchors);
    r.peer.anchors = r.anchors;
    CHECK_INT(tls_rig_meet(&r), 0);
    tls_rig_end(&r);
    r.peer.host = "elsewhere";
    CHECK_INT(tls_rig_meet(&r), EKEYREJECTED);
    tls_rig_fini(&r);
}

/* Neither authority, name nor date matters to a pin, and nothing else makes up for another one. */
TEST(tls_pins)
{
    static const char *const names[] = {"self", "expired", "other", "rsa", "p384"};
    for (size_t i = 0; i < countof(names); i++) {
        struct tls_rig r;
        uint8_t pin[SHA256_LEN];
        tls_rig_init(&r, names[i]);
        tls_server_fingerprint(r.server, pin);
        r.peer = (struct tls_peer){.host = i % 2 ? "10.1.2.3" : "nowhere", .pin = pin};
        CHECK_INT(tls_rig_meet(&r), 0);
        tls_rig_end(&r);
        pin[SHA256_LEN - 1] ^= 1;
        r.peer.host = "localhost";
        r.peer.anchors = r.anchors;
        CHECK_INT(tls_rig_meet(&r), EKEYREJECTED);
        CHECK_STR(tls_reason(r.p[TLS_CLIENT].s), "its certificate is not the one that was pinned");
        tls_rig_fini(&r);
    }
}

/* A certificate is public: who shows it must also have its key. */
TEST(tls_pin_is_no_use_without_the_key)
{
    struct tls_rig r;
    uint8_t pin[SHA256_LEN];
    tls_rig_init(&r, "self");
    tls_server_fingerprint(r.server, pin);
    r.peer.pin = pin;
    CHECK_INT(tls_rig_meet(&r), 0);
    size_t all = r.way[TLS_SERVER].moved;
    tls_rig_end(&r);
    /* The end of ServerKeyExchange, some 100 bytes before the end, is its signature. */
    r.way[TLS_SERVER].flip = all - 100;
    CHECK_INT(tls_rig_meet(&r), EKEYREJECTED);
    CHECK_STR(tls_reason(r.p[TLS_CLIENT].s), "its signature is wrong");
    tls_rig_fini(&r);
}

/* ---- files ---- */

static void check_refused(const char *chain_name, const char *key_name, const char *want)
{
    char *why = NULL;
    cleanup_free char *chain = tls_file(chain_name), *key = tls_file(key_name);
    struct tls_server *server = tls_server_load(chain, key, &why);
    if (server || !why || !strstr(why, want))
        test_fail(__FILE__, __LINE__, "%s with %s: %s", chain_name, key_name, why ? why : "taken");
    tls_server_free(server);
    free(why);
}

TEST(tls_says_which_file_is_wrong)
{
    check_refused("nothing.pem", "p256.key", "nothing.pem: No such file");
    check_refused("p256.pem", "nothing.key", "nothing.key: No such file");
    check_refused("p256.key", "p256.key", "p256.key: there is no certificate in it");
    check_refused("p256.pem", "p256.pem", "p256.pem: there is no private key in it");
    check_refused("p256.pem", "rsa.key", "does not belong to the first certificate in");
    check_refused("p256.pem", "self.key", "does not belong to the first certificate in");
    check_refused("rsa.pem", "p256.key", "does not belong to the first certificate in");
    check_refused("p384.pem", "p256.key", "does not belong to the first certificate in");
    check_refused("p256.pem", "encrypted.key", "the key is encrypted");
    check_refused("rsa.pem", "old.key", "the key is encrypted");
    check_refused("p256.pem", "ed25519.key", "not of a kind that can be used");
    check_refused("rsa.pem", "weak.key", "the key is too short");
}

TEST(tls_says_that_a_file_is_cut_off)
{
    size_t len;
    char *why = NULL;
    cleanup_free char *whole = tls_file("p256.pem"), *key = tls_file("p256.key");
    cleanup_free char *cut = tls_file("cut.pem"), *text = path_read(whole, 1 << 20, &len);
    CHECK_INT(path_write_atomic(cut, text, len / 2, 0600), 0);
    CHECK(!tls_server_load(cut, key, &why));
    CHECK(why && strstr(why, "an object in it is not PEM"));
    free(why);
}

TEST(tls_anchors_tolerate_junk)
{
    size_t ca_len, self_len;
    char *why = NULL;
    cleanup_free char *ca_path = tls_file("ca.pem"), *self_path = tls_file("self.pem");
    cleanup_free char *ca = path_read(ca_path, 1 << 20, &ca_len);
    cleanup_free char *self = path_read(self_path, 1 << 20, &self_len),
                      *path = tls_file("junk.pem");
    cleanup_free char *text =
        xasprintf("# a comment\r\n\xff\xfe\n%s-----BEGIN CERTIFICATE-----\nnot base64!\n"
                  "-----END CERTIFICATE-----\n-----BEGIN X-----\nAAAA\n-----END X-----\n"
                  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\nCN=ca\n%s",
                  ca, self);
    /* Without the last newline. */
    CHECK_INT(path_write_atomic(path, text, strlen(text) - 1, 0600), 0);
    struct tls_anchors *anchors = tls_anchors_load(path, &why);
    CHECK(anchors);
    if (anchors)
        CHECK_INT(tls_anchors_count(anchors), 2);
    tls_anchors_free(anchors);
}

TEST(tls_anchors_come_from_the_system)
{
    char *why = NULL;
    struct tls_anchors *system_ones = tls_anchors_load(NULL, &why);
    CHECK(system_ones && tls_anchors_count(system_ones) > 50);
    tls_anchors_free(system_ones);
    cleanup_free char *path = tls_file("ca.pem"), *key = tls_file("p256.key");
    setenv("SSL_CERT_FILE", path, 1);
    struct tls_anchors *mine = tls_anchors_load(NULL, &why);
    unsetenv("SSL_CERT_FILE");
    CHECK(mine && tls_anchors_count(mine) == 1);
    tls_anchors_free(mine);
    CHECK(!tls_anchors_load("/nowhere.pem", &why));
    CHECK(why && strstr(why, "/nowhere.pem: No such file or directory"));
    free(why);
    why = NULL;
    CHECK(!tls_anchors_load(key, &why));
    CHECK(why && strstr(why, "has no certificate that can be used"));
    free(why);
}

/* ---- the one of its own ---- */

static const char *const own_names[] = {"localhost", "berth.example", "127.0.0.1", "::1"};

/* The command finds the path in $FILE. */
static bool run(const char *command, const char *path)
{
    setenv("FILE", path, 1);
    return system(command) == 0;
}

TEST(tls_makes_its_own_certificate)
{
    struct tls_rig r;
    struct stat st;
    uint8_t first[SHA256_LEN], again[SHA256_LEN];
    char *why = NULL;
    cleanup_free char *path = tls_file("own.pem");
    tls_rig_init(&r, "p256");
    tls_server_free(r.server);
    r.server = tls_server_self_signed(path, own_names, countof(own_names), &why);
    CHECK(r.server && !stat(path, &st) && (st.st_mode & 07777) == 0600);
    tls_server_fingerprint(r.server, first);

    static const char *const names[] = {"elsewhere"};
    struct tls_server *same = tls_server_self_signed(path, names, 1, &why);
    CHECK(same);
    tls_server_fingerprint(same, again);
    CHECK(!memcmp(first, again, SHA256_LEN));
    tls_server_free(same);

    tls_anchors_free(r.anchors);
    r.anchors = tls_anchors_load(path, &why);
    CHECK(r.anchors);
    for (size_t i = 0; i < countof(own_names); i++) {
        r.peer = (struct tls_peer){.host = own_names[i], .anchors = r.anchors};
        CHECK_INT(tls_rig_meet(&r), 0);
        tls_rig_end(&r);
    }
    r.peer = (struct tls_peer){.host = "else.example", .pin = first};
    CHECK_INT(tls_rig_meet(&r), 0);
    tls_rig_end(&r);
    r.peer = (struct tls_peer){.host = "else.example", .anchors = r.anchors};
    CHECK_INT(tls_rig_meet(&r), EKEYREJECTED);
    tls_rig_fini(&r);
}

/* Held against another's reader, strict, and another's idea of a fingerprint. */
TEST(tls_own_certificate_is_one_to_openssl)
{
    char *why = NULL;
    uint8_t hash[SHA256_LEN];
    cleanup_free char *path = tls_file("own2.pem");
    struct tls_server *server = tls_server_self_signed(path, own_names, countof(own_names), &why);
    CHECK(server);
    CHECK(run("openssl verify -x509_strict -check_ss_sig -purpose sslserver -CAfile $FILE $FILE "
              ">/dev/null 2>&1",
              path));
    CHECK(run("openssl pkey -in $FILE -check -noout >/dev/null 2>&1", path));
    for (size_t i = 0; i < countof(own_names); i++) {
        cleanup_free char *check =
            xasprintf("openssl x509 -in $FILE -noout %s %s | grep -q 'does match'",
                      i < 2 ? "-checkhost" : "-checkip", own_names[i]);
        CHECK(run(check, path));
    }
    char text[2 * SHA256_LEN + 1];
    tls_server_fingerprint(server, hash);
    hex_encode(text, hash, SHA256_LEN);
    cleanup_free char *compare = xasprintf(
        "openssl x509 -in $FILE -noout -fingerprint -sha256 | tr -d : | grep -qi '=%s$'", text);
    CHECK(run(compare, path));
    CHECK_INT(tls_server_key_hash(server, hash), 0);
    hex_encode(text, hash, SHA256_LEN);
    cleanup_free char *key =
        xasprintf("openssl x509 -in $FILE -noout -pubkey | openssl pkey -pubin "
                  "-outform der | openssl dgst -sha256 | grep -q '%s$'",
                  text);
    CHECK(run(key, path));
    tls_server_free(server);
}

TEST(tls_own_certificates_differ)
{
    char *why = NULL;
    uint8_t hash[2][SHA256_LEN];
    for (int i = 0; i < 2; i++) {
        cleanup_free char *path = tls_file(i ? "own3.pem" : "own4.pem");
        struct tls_server *server = tls_server_self_signed(path, own_names, 1, &why);
        tls_server_fingerprint(server, hash[i]);
        tls_server_free(server);
    }
    CHECK(memcmp(hash[0], hash[1], SHA256_LEN) != 0);
}

TEST(tls_makes_none_for_what_is_no_name)
{
    static const char *const bad[] = {"a name", "", "x\n", "http://a"};
    cleanup_free char *path = tls_file("own5.pem");
    for (size_t i = 0; i < countof(bad); i++) {
        char *why = NULL;
        CHECK(!tls_server_self_signed(path, &bad[i], 1, &why));
        CHECK(why && strstr(why, "host names and IP addresses are needed"));
        free(why);
    }
    const char *many[200];
    for (size_t i = 0; i < countof(many); i++)
        many[i] = "a-host-name-that-is-quite-long.in-a-domain-that-is-also-long.example.org";
    char *why = NULL;
    CHECK(!tls_server_self_signed(path, many, countof(many), &why));
    free(why);
    why = NULL;
    CHECK(!tls_server_self_signed("/nowhere/own.pem", own_names, 1, &why));
    CHECK(why && strstr(why, "cannot write /nowhere/own.pem: No such file or directory"));
    free(why);
}
