#include "applets/agent/join_hello.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "applets/version.h"
#include "core/bytes.h"
#include "core/mem.h"
#include "core/paths.h"
#include "net/url.h"

#define FRAME_MAX 16384u /* bytes: what a broker has to say is short */

struct join_hello {
    struct stream *stream;
    struct join_identity who;
    struct frame_reader frames;
    bool challenged;
    join_hello_fn *fn;
    void *arg;
};

static void release(void *p)
{
    struct join_hello *h = p;
    frame_reader_fini(&h->frames);
    free(h);
}

void join_hello_cancel(struct join_hello *h)
{
    struct loop *loop = h->stream->loop;
    stream_close(h->stream);
    h->stream = NULL;
    loop_reap(loop, h, release);
}

static void tell(struct join_hello *h, const struct join_answer *answer)
{
    join_hello_cancel(h);
    h->fn(h->arg, answer);
}

static void fail(struct join_hello *h, enum join_outcome outcome, const char *why)
{
    tell(h, &(struct join_answer){.outcome = outcome, .why = why});
}

/* ---- what we say ---- */

static void put_metadata(const struct join_hello *h, struct draft *d)
{
    struct utsname host;
    const struct passwd *user = getpwuid(geteuid());
    cleanup_free char *nameless = xasprintf("%u", geteuid()); /* as id(1) has it */
    cleanup_free char *home = path_home();
    struct json_node *m = json_put_object(d->out, d->root, "metadata");
    if (uname(&host) < 0)
        host = (struct utsname){.nodename = "unknown"};
    json_put_str(d->out, m, "type", "agent-metadata");
    json_put_str(d->out, m, "homeDirectory", home);
    json_put_str(d->out, m, "hostname", host.nodename);
    json_put_str(d->out, m, "user", user ? user->pw_name : nameless);
    json_put_int(d->out, m, "uid", geteuid());
    json_put_str(d->out, m, "platform", "linux");
    json_put_str(d->out, m, "arch", host.machine);
    json_put_str(d->out, m, "version", berth_version());
    policy_put_kinds(h->who.policy->allow, d->out, json_put_array(d->out, m, "allow"));
}

static void send_join(struct join_hello *h, const uint8_t *nonce, const char *url)
{
    uint8_t signature[KEY_SIGNATURE_LEN];
    char hex[2 * KEY_SIGNATURE_LEN + 1];
    const struct device_key *key = h->who.key;
    join_sign(signature, &(struct join_proof){nonce, url, key->id}, key->secret);
    hex_encode(hex, signature, sizeof signature);
    struct draft d = draft_of(MSG_JOIN);
    draft_str(&d, "device", key->id);
    draft_str(&d, "signature", hex);
    put_metadata(h, &d);
    draft_send(&d, h->stream);
}

/* ---- what it says ---- */

/* Whoever stands in between has another URL than the one that is signed: what he passes on is worth
 * nothing to him. */
static void prove(struct join_hello *h, const struct message *m)
{
    uint8_t nonce[JOIN_NONCE_LEN];
    struct url url;
    const char *hex = json_get_str(m->body, "nonce"), *broker = json_get_str(m->body, "broker");
    const char *why;
    if (h->challenged || !hex || !broker || hex_decode(nonce, sizeof nonce, hex) < 0 ||
        url_parse(&url, broker, &why) < 0) {
        fail(h, JOIN_FAILED, "what it says is not a broker's challenge");
        return;
    }
    if (strcmp(url.text, h->who.url) != 0) {
        cleanup_free char *text =
            xasprintf("it is known as %s: join it by that URL, or have it started with --url %s",
                      url.text, h->who.url);
        fail(h, JOIN_ELSEWHERE, text);
        return;
    }
    h->challenged = true;
    send_join(h, nonce, broker);
}

static void joined(struct join_hello *h, const struct message *m)
{
    struct join_answer answer = {.outcome = JOIN_ACCEPTED,
                                 .user = json_get_str(m->body, "user"),
                                 .agent = json_get_str(m->body, "agent")};
    if (h->challenged && answer.user && answer.agent)
        tell(h, &answer);
    else
        fail(h, JOIN_FAILED, "what it says is not a broker's answer");
}

static void refused(struct join_hello *h, const struct message *m)
{
    const char *code = json_get_str(m->body, "code"), *why = json_get_str(m->body, "message");
    bool for_good = code && strcmp(code, error_code_name(ERR_PERMISSION_DENIED)) == 0;
    fail(h, for_good ? JOIN_REFUSED : JOIN_FAILED, why ? why : "it refuses without a word");
}

/* False: there is nothing more to read. */
static bool take_frame(struct join_hello *h, const struct frame *f)
{
    struct message m;
    const char *why;
    if (message_parse(&m, f->payload, f->len, &why) < 0) {
        fail(h, JOIN_FAILED, why);
        return false;
    }
    switch (m.type) {
    case MSG_CHALLENGE: prove(h, &m); break;
    case MSG_JOINED: joined(h, &m); break;
    case MSG_ERROR: refused(h, &m); break;
    default: fail(h, JOIN_FAILED, "what it says is not a broker's");
    }
    message_fini(&m);
    return h->stream;
}

static void take_frames(struct join_hello *h)
{
    struct frame f;
    enum frame_status status = FRAME_READY;
    bool on = true;
    while (on && (status = frame_read(&h->frames, h->stream, &f)) == FRAME_READY)
        on = take_frame(h, &f);
    if (status == FRAME_BAD)
        fail(h, JOIN_FAILED, "what it says is not a broker's");
}

static void on_stream(void *arg, struct stream *s, enum stream_event event)
{
    struct join_hello *h = arg;
    (void)s;
    switch (event) {
    case STREAM_OPEN:
    case STREAM_DRAINED: break;
    case STREAM_DATA: take_frames(h); break;
    case STREAM_EOF:
    case STREAM_ERROR: fail(h, JOIN_FAILED, "it ended the connection before we had joined"); break;
    }
}

struct join_hello *join_hello_new(struct stream *s, const struct join_identity *who,
                                  join_hello_fn *fn, void *arg)
{
    struct join_hello *h = xcalloc(1, sizeof *h);
    *h = (struct join_hello){
        .stream = s, .who = *who, .frames = {.limit = FRAME_MAX}, .fn = fn, .arg = arg};
    stream_own(s, on_stream, h);
    return h;
}
