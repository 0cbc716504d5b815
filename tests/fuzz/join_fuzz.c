/* What an agent reads of a broker: the answer to its enrolment, and the first stream of its connection,
 * where each byte of the input picks what the broker says next. */
#include "applets/agent/enrol.h"
#include "applets/agent/join_hello.h"
#include "core/bytes.h"
#include "core/log.h"
#include "tests/fuzz/carrier.h"

static const char url[] = "https://broker.example";

static const char *const said[] = {
    "{\"type\":\"Challenge\",\"nonce\":"
    "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\","
    "\"broker\":\"https://broker.example\"}",
    "{\"type\":\"Challenge\",\"nonce\":"
    "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\","
    "\"broker\":\"https://Broker.example:443/\"}",
    "{\"type\":\"Challenge\",\"nonce\":"
    "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\","
    "\"broker\":\"https://other.example\"}",
    "{\"type\":\"Challenge\",\"nonce\":\"00\",\"broker\":\"https://broker.example\"}",
    "{\"type\":\"Joined\",\"user\":\"ann\",\"agent\":\"laptop\"}",
    "{\"type\":\"Joined\",\"user\":\"ann\"}",
    "{\"type\":\"Error\",\"code\":\"PermissionDenied\",\"message\":\"no\\u001b[2J\"}",
    "{\"type\":\"Error\",\"code\":\"Internal\"}",
    "{\"type\":\"Ping\"}",
    "{",
};

struct watched {
    unsigned told;
    enum join_outcome outcome;
};

static void on_hello(void *arg, const struct join_answer *a)
{
    struct watched *w = arg;
    w->told++;
    w->outcome = a->outcome;
    require((a->outcome == JOIN_ACCEPTED) == (a->user && a->agent));
    require((a->outcome == JOIN_ACCEPTED) == !a->why);
}

static void say_frame(const char *text, size_t len)
{
    uint8_t head[4];
    struct writer w = writer_to(head, sizeof head);
    write_u32(&w, (uint32_t)len);
    struct input in = {head, sizeof head};
    carrier_deliver(&in, sizeof head);
    in = (struct input){(const uint8_t *)text, len};
    carrier_deliver(&in, len);
}

static void say(struct input *in)
{
    uint8_t what = next(in);
    if (what < 128)
        say_frame(said[what % countof(said)], strlen(said[what % countof(said)]));
    else if (what < 192)
        carrier_deliver(in, next(in));
    else if (what < 250)
        say_frame((const char *)in->at, what - 192u < in->left ? what - 192u : in->left);
    else if (what < 253)
        carrier_set_room(next(in));
    else
        stream_deliver_eof(&carrier.s);
}

/* Nothing is signed but after a challenge of this very broker. */
static void hear(struct input in, const struct device_key *key)
{
    const struct service_policy policy = {.allow = POLICY_EXEC};
    struct watched w = {0};
    struct stream *s = carrier_begin();
    const struct join_identity who = {url, key, &policy};
    struct join_hello *h = join_hello_new(s, &who, on_hello, &w);
    while (in.left && !w.told) {
        say(&in);
        loop_turn(loop, 0);
    }
    require(w.told <= 1);
    require(!w.told || w.outcome != JOIN_ELSEWHERE || carrier.out.len == 0);
    require(!w.told || w.outcome != JOIN_ACCEPTED || carrier.out.len > 0);
    if (!w.told)
        join_hello_cancel(h);
    carrier_end();
}

static void read_answer(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 201, 401, 409, 500};
    cleanup_free char *body = xmalloc(size + 1);
    memcpy(body, data, size);
    body[size] = '\0';
    for (size_t i = 0; i < countof(statuses); i++) {
        const struct web_answer a = {.status = statuses[i], .body = body, .len = size};
        cleanup_free char *flaw = enrol_flaw(&a);
        require(flaw || statuses[i] < 300);
        for (const char *p = flaw; p && *p; p++)
            require((unsigned char)*p >= ' ' || *p == '\t');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct device_key key;
    if (!key.id[0]) {
        key_init();
        log_init(LOG_ERRORS);
        key_pair(key.public, key.secret);
        join_device_id(key.id, key.public);
    }
    hear((struct input){data, size}, &key);
    read_answer(data, size);
    return 0;
}
