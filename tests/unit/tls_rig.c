#include "tests/unit/tls_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"

static char *folder;

static const char script[] =
    "exec >/dev/null 2>log; set -e; EC='-newkey ec -pkeyopt ec_paramgen_curve:'\n"
    "touch index; echo 1000 >serial\n"
    "printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\nserial=serial\\nnew_certs_dir=.\\n"
    "default_md=sha256\\npolicy=p\\nunique_subject=no\\n[p]\\ncommonName=supplied\\n' >conf\n"
    "request() { openssl req -new $2 -nodes -keyout $1.key -subj /CN=localhost -out $1.csr; }\n"
    "sign() { echo \"$2\" >ext; openssl ca -batch -notext -config conf -cert ${5:-ca}.pem "
    "-keyfile ${5:-ca}.key -startdate ${3:-20200101000000Z} -enddate ${4:-20480101000000Z} "
    "-in $1.csr -extfile ext -out $1.pem; }\n"
    "ordinary=subjectAltName=DNS:localhost,DNS:*.example.org\n"
    "openssl req -x509 ${EC}P-256 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=ca\n"
    "for n in p256 expired future other ip cn deep middle; do request $n \"${EC}P-256\"; done\n"
    "request rsa '-newkey rsa:2048'; request p384 \"${EC}P-384\"\n"
    "for n in p256 rsa p384; do sign $n $ordinary; done\n"
    "sign expired $ordinary 20200101000000Z 20210101000000Z\n"
    "sign future $ordinary 20470101000000Z 20480101000000Z\n"
    "sign other subjectAltName=DNS:elsewhere.example\n"
    "sign ip subjectAltName=IP:127.0.0.1,IP:::1,DNS:there\n"
    "sign cn keyUsage=digitalSignature\n"
    "sign middle basicConstraints=critical,CA:true\n"
    "openssl req -new -key middle.key -subj /CN=middle -out middle.csr\n"
    "sign middle basicConstraints=critical,CA:true\n"
    "sign deep $ordinary 20200101000000Z 20480101000000Z middle\n"
    "cat middle.pem >>deep.pem\n"
    "openssl req -x509 ${EC}P-256 -nodes -keyout self.key -out self.pem -days 30 -subj /CN=self "
    "-addext subjectAltName=DNS:localhost -addext basicConstraints=CA:false\n"
    "openssl genrsa 1024 >weak.key; openssl genpkey -algorithm ed25519 >ed25519.key\n"
    "openssl pkey -in p256.key -aes128 -passout pass:secret >encrypted.key\n"
    "openssl rsa -in rsa.key -traditional -aes128 -passout pass:secret >old.key\n";

static void remove_folder(void)
{
    cleanup_free char *command = xasprintf("rm -rf %s", folder);
    if (system(command) != 0)
        perror(command);
    free(folder);
}

static void make_folder(void)
{
    folder = xstrdup("/tmp/berth-tls-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    cleanup_free char *command = xasprintf("cd %s && sh <<'END'\n%sEND\n", folder, script);
    int status = system(command);
    CHECK_INT(status, 0);
    if (status)
        fprintf(stderr, "openssl has failed: see %s/log\n", folder);
    else
        atexit(remove_folder);
}

char *tls_file(const char *name)
{
    if (!folder)
        make_folder();
    return xasprintf("%s/%s", folder, name);
}

/* ---- what carries it ---- */

static struct tls_way *way_of(struct stream *s)
{
    return container_of(s, struct tls_way, carrier);
}

static size_t room(const struct stream *s)
{
    (void)s;
    return SIZE_MAX;
}

static void put(struct stream *s, const struct iovec *iov, int n)
{
    for (int i = 0; i < n; i++)
        buf_append(&way_of(s)->out, iov[i].iov_base, iov[i].iov_len);
}

static void consumed(struct stream *s, size_t len)
{
    (void)s, (void)len;
}

static void shut(struct stream *s)
{
    (void)s;
}

static const struct stream_ops ops = {
    .room = room,
    .writev = put,
    .consumed = consumed,
    .shutdown = shut,
    .close = stream_fini,
    .reset = stream_fini,
};

static size_t limit(const struct tls_way *way)
{
    return way->hold < way->cut ? way->hold : way->cut;
}

/* True when there was something to carry. */
static bool carry(struct tls_rig *r, enum tls_side from)
{
    struct tls_way *way = &r->way[from];
    struct stream *to = &r->way[!from].carrier;
    size_t left = limit(way) - way->moved, len = way->out.len < left ? way->out.len : left;
    if (way->flip >= way->moved && way->flip - way->moved < len)
        buf_front(&way->out)[way->flip - way->moved] ^= 0x10;
    if (len) {
        uint8_t *copy = memcpy(xmalloc(len), buf_front(&way->out), len);
        buf_consume(&way->out, len);
        way->moved += len;
        stream_deliver(to, copy, len);
        free(copy);
    }
    bool end = way->moved == way->cut && !way->cut_told;
    if (end) {
        way->cut_told = true;
        stream_deliver_eof(to);
    }
    return len || end;
}

static bool waits(const struct tls_way *way)
{
    return way->out.len && way->moved < limit(way);
}

/* ---- the rig ---- */

void tls_rig_init(struct tls_rig *r, const char *name)
{
    char *why = NULL;
    cleanup_free char *chain_name = xasprintf("%s.pem", name),
                      *key_name = xasprintf("%s.key", name);
    cleanup_free char *chain = tls_file(chain_name), *key = tls_file(key_name);
    cleanup_free char *ca = tls_file("ca.pem");
    *r = (struct tls_rig){.loop = loop_new()};
    r->server = tls_server_load(chain, key, &why);
    CHECK(r->server);
    r->anchors = tls_anchors_load(ca, &why);
    CHECK(r->anchors);
    r->peer = (struct tls_peer){.host = "localhost", .anchors = r->anchors};
    for (int i = 0; i < 2; i++)
        r->way[i].cut = r->way[i].hold = r->way[i].flip = SIZE_MAX;
}

void tls_rig_begin(struct tls_rig *r)
{
    for (int i = 0; i < 2; i++) {
        r->way[i].moved = 0;
        r->way[i].cut_told = false;
        stream_init(&r->way[i].carrier, &ops, r->loop);
    }
    probe_own(&r->p[TLS_SERVER], tls_accept(r->server, &r->way[TLS_SERVER].carrier));
    probe_own(&r->p[TLS_CLIENT], tls_connect(&r->peer, &r->way[TLS_CLIENT].carrier));
}

void tls_rig_run(struct tls_rig *r)
{
    bool more;
    do {
        loop_turn(r->loop, 0);
        more = carry(r, TLS_CLIENT);
        more |= carry(r, TLS_SERVER);
        loop_turn(r->loop, 0);
    } while (more || waits(&r->way[0]) || waits(&r->way[1]));
    loop_turn(r->loop, 0);
}

void tls_rig_end(struct tls_rig *r)
{
    for (int i = 0; i < 2; i++) {
        probe_fini(&r->p[i]);
        loop_turn(r->loop, 0);
        buf_fini(&r->way[i].out);
        stream_fini(&r->way[i].carrier);
    }
    loop_turn(r->loop, 0);
}

void tls_rig_fini(struct tls_rig *r)
{
    tls_rig_end(r);
    tls_server_free(r->server);
    tls_anchors_free(r->anchors);
    loop_free(r->loop);
}

int tls_rig_meet(struct tls_rig *r)
{
    tls_rig_begin(r);
    tls_rig_run(r);
    return r->p[TLS_CLIENT].opens ? 0 : r->p[TLS_CLIENT].error ? r->p[TLS_CLIENT].error : -1;
}
