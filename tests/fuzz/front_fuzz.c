/* A broker's front with a real store, asked whatever a client may say, while an agent answers whatever it
 * likes. The first two bytes are the length of the agent's answer, which follows; the rest is what the client
 * sends, in pieces of a size that the third byte says.
 *
 * There are two users: ann, whose token the client may know (it is 43 times A), and bob, of whom nothing that
 * is told may speak. The word for him is another each time: a fuzzer learns words from what is compared, and
 * what ann has said herself may well be told to her. */
#include <stdio.h>

#include "applets/broker/activity.h"
#include "applets/broker/call.h"
#include "applets/broker/device_list.h"
#include "applets/broker/front.h"
#include "applets/broker/terminals.h"
#include "applets/broker/tokens.h"
#include "core/bytes.h"
#include "core/fdstream.h"
#include "core/message.h"
#include "net/http_server.h"
#include "net/yamux.h"
#include "tests/fuzz/carrier.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define URL   "http://broker.example"
#define TOKEN "berth_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define TURNS 60

static struct front front;
static struct principal ann, bob;
static char bobs_word[] = "bob-0123456789abcdef";
static struct http_conn *server;

/* ---- the agent ---- */

static struct {
    uint8_t key[KEY_PUBLIC_LEN], secret[KEY_SECRET_LEN];
    struct device device;
    struct mux *mux;
    struct frame_reader frames;
    bool joined, answered;
    const uint8_t *answer; /* to each request */
    size_t len;
} agent;

static void prove(const struct message *m, struct stream *s)
{
    uint8_t nonce[JOIN_NONCE_LEN], signature[KEY_SIGNATURE_LEN];
    char hex[2 * KEY_SIGNATURE_LEN + 1];
    require(hex_decode(nonce, sizeof nonce, json_get_str(m->body, "nonce")) == 0);
    join_sign(signature, &(struct join_proof){nonce, URL, agent.device.id}, agent.secret);
    hex_encode(hex, signature, sizeof signature);
    struct draft d = draft_of(MSG_JOIN);
    draft_str(&d, "device", agent.device.id);
    draft_str(&d, "signature", hex);
    draft_send(&d, s);
}

static void on_hello(void *arg, struct stream *s, enum stream_event event)
{
    struct frame f;
    struct message m;
    const char *why;
    (void)arg;
    while (event == STREAM_DATA && frame_read(&agent.frames, s, &f) == FRAME_READY) {
        require(message_parse(&m, f.payload, f.len, &why) == 0);
        if (m.type == MSG_CHALLENGE)
            prove(&m, s);
        agent.joined = m.type == MSG_JOINED;
        message_fini(&m);
    }
    if (event == STREAM_EOF || event == STREAM_ERROR)
        stream_close(s);
}

static void on_request(void *arg, struct stream *s, enum stream_event event)
{
    size_t len;
    (void)arg;
    while (event == STREAM_DATA && stream_peek(s, &len))
        stream_consume(s, len);
    if (event == STREAM_EOF || event == STREAM_ERROR)
        stream_close(s);
}

static void on_accepted(void *arg, struct stream *s)
{
    (void)arg;
    stream_own(s, agent.joined ? on_request : on_hello, NULL);
    if (!agent.joined)
        return;
    stream_write(s, agent.answer, agent.len);
    stream_shutdown(s);
}

static void on_down(void *arg, int error)
{
    (void)arg, (void)error;
    mux_free(agent.mux);
    agent.mux = NULL;
    agent.joined = false;
}

static const struct mux_events agent_events = {.accepted = on_accepted, .down = on_down};

static void on_device(void *arg, int error, const struct device *device)
{
    (void)arg;
    require(error == 0);
    agent.device = *device;
    agent.answered = true;
}

static void await(const bool *what)
{
    while (!*what)
        loop_turn(loop, 100);
}

static void enrol(const struct principal *owner, const char *name)
{
    char code[CODE_LEN + 1];
    key_pair(agent.key, agent.secret);
    device_new_code(code);
    agent.answered = false;
    device_offer(front.store, owner, code, on_device, NULL);
    await(&agent.answered);
    agent.answered = false;
    device_enrol(front.store, &(struct enrolment){code, name, agent.key}, on_device, NULL);
    await(&agent.answered);
}

/* Again where the client has had it revoked. */
static void join(void)
{
    int fd[2];
    if (agent.joined)
        return;
    enrol(&ann, "laptop");
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
    agent.frames = (struct frame_reader){0};
    agent.mux = yamux_new(fdstream_new(loop, fd[1], fd[1]), YAMUX_CLIENT, &agent_events, NULL);
    bridge_accept(&front.bridges, fdstream_new(loop, fd[0], fd[0]), NULL, NULL);
    await(&agent.joined);
    frame_reader_fini(&agent.frames);
}

/* ---- the broker ---- */

static void on_person(void *arg, int error, const struct principal *who)
{
    struct principal *to = arg;
    require(error == 0);
    *to = *who;
}

static void on_granted(void *arg, int error, const struct principal *who, const struct token *token)
{
    (void)token;
    on_person(arg, error, who);
}

static void add_user(struct principal *who, const char *name, const char *token)
{
    people_add(front.store, name, on_person, who);
    while (!who->id[0])
        loop_turn(loop, 100);
    struct principal granted = {0};
    token_grant(front.store, name, &(struct token_grant){token, 3650}, on_granted, &granted);
    while (!granted.id[0])
        loop_turn(loop, 100);
}

static void begin(void)
{
    uint8_t random[8];
    char path[64], other[TOKEN_LEN + 1];
    char *why = NULL;
    snprintf(path, sizeof path, "/dev/shm/berth-fuzz-%d", (int)getpid());
    unlink(path);
    front.loop = loop;
    front.url = URL;
    front.patience = &front_patience;
    front.store = store_sqlite_open(loop, path, &why);
    require(front.store != NULL);
    unlink(path); /* it is gone when we are */
    front.registry = registry_new();
    room_init(&front.room, loop);
    leases_init(&front.leases, loop);
    front.activity = activity_new(front.store);
    front.downloads = downloads_open();
    front.install = (struct install){.url = URL, .downloads = front.downloads};
    front.bridges = (struct bridges){.loop = loop,
                                     .store = front.store,
                                     .registry = front.registry,
                                     .url = URL,
                                     .strangers = &front.strangers};
    key_random(random, sizeof random);
    hex_encode(bobs_word + strlen("bob-"), random, sizeof random);
    token_new(other);
    add_user(&ann, "ann", TOKEN);
    add_user(&bob, "bob", other);
    enrol(&bob, bobs_word);
    activity_note(front.activity,
                  &(struct activity_what){&bob, ACTIVITY_EXEC, bobs_word, bobs_word, bobs_word});
}

static void on_exchange(void *arg, struct stream *exchange)
{
    (void)arg;
    call_begin(&front, exchange, "192.0.2.1");
}

static void on_ended(void *arg, struct http_conn *c)
{
    (void)arg, (void)c;
    server = NULL;
}

static const struct http_server_events events = {.request = on_exchange, .ended = on_ended};

static void check_told(void)
{
    if (!carrier.out.len)
        return;
    require(carrier.out.len < 5 || memcmp(buf_front(&carrier.out), "HTTP/", 5) == 0);
    require(!memmem(buf_front(&carrier.out), carrier.out.len, bobs_word, strlen(bobs_word)));
}

static void settle(void)
{
    for (int i = 0; i < TURNS; i++)
        loop_turn(loop, 0);
}

/* Whatever the client has begun ends with its connection, at the latest. */
static void end(void)
{
    stream_deliver_error(&carrier.s, ECONNRESET);
    settle();
    while (front.calls)
        call_end(front.calls);
    terminals_end(&front);
    if (server)
        http_conn_free(server);
    server = NULL;
    settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct stream *s = carrier_begin();
    if (!front.loop)
        begin();
    if (memmem(data, size, bobs_word, strlen(bobs_word)))
        return -1;
    join();
    agent.len = (size_t)next(&in) << 8;
    agent.len |= next(&in);
    size_t piece = (size_t)next(&in) * 16 + 1;
    agent.len = agent.len < in.left ? agent.len : in.left;
    agent.answer = in.at;
    in.at += agent.len;
    in.left -= agent.len;
    carrier_set_room(piece & 16 ? 0 : 65536); /* an odd one takes nothing at first */
    server = http_serve(s, &http_server_limits, &events, NULL);
    while (in.left && !carrier.s.closed) {
        carrier_deliver(&in, piece);
        for (int i = 0; i < 6; i++)
            loop_turn(loop, 0);
    }
    settle();
    carrier_set_room(65536);
    settle();
    check_told();
    end();
    check_told();
    carrier_end();
    return 0;
}
