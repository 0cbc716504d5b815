/* The file requests, in any order and with anything in their fields, on one stream: each byte of
 * the input picks what comes next, and texts are the input's own. Each request has to get one
 * answer, which is a message, says what its bytes are, and has a code that the guest protocol
 * knows. What is written goes into a directory of the target's own. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/service/service.h"
#include "core/base64.h"
#include "core/fdstream.h"
#include "core/key.h"
#include "core/log.h"
#include "core/mem.h"

#define REQUESTS_MAX 12
#define TEXT_MAX     200

static char home[64];
static int home_fd;

struct input {
    const uint8_t *p;
    size_t left;
};

static unsigned next(struct input *in, size_t bound)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->p++ % (unsigned)bound;
}

/* --- requests ------------------------------------------------------------------------------- */

/* All of them lead into the directory, or nowhere. */
static const char *const paths[] = {
    "f",        "dir",    "link",  "dangling", "loop",       "fifo", "new",
    "dir/new",  "a//b/c", "f/x",   "dir/",     "dir/.",      "~",    "~/f",
    "\\u0000f", "",       "large", "dir/link", "\\u00fc\\n", "./f",
};
static const char *const kernel_paths[] = {"/proc/sys/kernel/ostype", "/proc/self/mem",
                                           "/sys/devices/system/cpu/online", "/proc/self/fd"};
static const char *const numbers[] = {"0",   "1",    "2",     "3",
                                      "511", "4095", "65536", "9223372036854775807",
                                      "-1",  "1.5",  "null",  "\"1\""};

enum field_kind { NONE, PATH, READ_PATH, NUMBER, TEXT, BASE64 };

static const struct {
    const char *type;
    struct field {
        const char *key;
        enum field_kind kind;
    } fields[3];
} kinds[] = {
    {"FileRead", {{"path", READ_PATH}, {"offset", NUMBER}, {"limit", NUMBER}}},
    {"FileDownload", {{"guest_path", READ_PATH}}},
    {"FileWrite", {{"path", PATH}, {"content", BASE64}, {"mode", NUMBER}}},
    {"FileUpload", {{"guest_path", PATH}, {"data", BASE64}, {"mode", NUMBER}}},
    {"EditFile", {{"path", PATH}, {"old_string", TEXT}, {"new_string", TEXT}}},
    {"ListDir", {{"path", READ_PATH}}},
    {"Ping", {{NULL, NONE}}},
    {"FileGet", {{"path", READ_PATH}, {"offset", NUMBER}, {"length", NUMBER}}},
    {"FilePut", {{"path", PATH}, {"size", NUMBER}, {"mode", NUMBER}}},
};

/* Up to TEXT_MAX bytes of the input; returns how many. */
static size_t take_bytes(struct input *in, const uint8_t **bytes)
{
    size_t len = next(in, TEXT_MAX);
    if (len > in->left)
        len = in->left;
    *bytes = in->p;
    in->p += len;
    in->left -= len;
    return len;
}

static void put_text(struct input *in, struct buf *out)
{
    const uint8_t *bytes;
    size_t len = take_bytes(in, &bytes);
    buf_printf(out, "\"");
    for (size_t i = 0; i < len; i++)
        buf_printf(out,
                   bytes[i] < 32 || bytes[i] > 126 || strchr("\\\"", bytes[i]) ? "\\u%04x" : "%c",
                   bytes[i]);
    buf_printf(out, "\"");
}

static void put_base64(struct input *in, struct buf *out)
{
    char text[BASE64_LEN(TEXT_MAX) + 1];
    const uint8_t *bytes;
    size_t len = take_bytes(in, &bytes);
    base64_encode(text, bytes, len);
    buf_printf(out, "\"%s\"", text);
}

static void put_value(struct input *in, enum field_kind kind, struct buf *out)
{
    if (kind == READ_PATH && next(in, 8) == 0)
        buf_printf(out, "\"%s\"", kernel_paths[next(in, countof(kernel_paths))]);
    else if (kind == READ_PATH || kind == PATH)
        buf_printf(out, "\"%s\"", paths[next(in, countof(paths))]);
    else if (kind == NUMBER)
        buf_printf(out, "%s", numbers[next(in, countof(numbers))]);
    else if (kind == BASE64 && next(in, 8))
        put_base64(in, out);
    else
        put_text(in, out);
}

/* One request as a frame; its kind. */
static size_t put_request(struct input *in, struct buf *out)
{
    struct buf text = {0};
    uint8_t header[4] = {0};
    size_t kind = next(in, countof(kinds));
    buf_printf(&text, "{\"type\":\"%s\"", kinds[kind].type);
    for (const struct field *f = kinds[kind].fields; f < kinds[kind].fields + 3 && f->key; f++) {
        if (next(in, 8) == 0)
            continue;
        buf_printf(&text, ",\"%s\":", f->key);
        put_value(in, f->kind, &text);
    }
    buf_printf(&text, "}");
    header[2] = (uint8_t)(text.len >> 8);
    header[3] = (uint8_t)text.len;
    buf_append(out, header, sizeof header);
    buf_append(out, buf_front(&text), text.len);
    buf_fini(&text);
    return kind;
}

static bool uses_the_stream(size_t kind)
{
    return kind >= countof(kinds) - 2;
}

/* --- answers -------------------------------------------------------------------------------- */

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "not so: %s\n", what);
    abort();
}

/* What a child's death looks like: killed, ended by a sanitizer, ended by the fuzzer's handler. */
static bool tells_of_a_crash(const char *text)
{
    static const int errors[] = {EIO, EPERM, EBADFD};
    for (size_t i = 0; i < countof(errors); i++)
        if (strstr(text, strerror(errors[i])) && !strstr(text, "/proc/self/mem"))
            return true;
    return false;
}

static void check_error(const struct json_value *body)
{
    const char *code = json_get_str(body, "code"), *text = json_get_str(body, "message");
    bool known = false;
    for (int i = 0; i <= ERR_INTERNAL && code; i++)
        known = known || strcmp(code, error_code_name((enum error_code)i)) == 0;
    check(known, "the guest protocol has this code");
    check(text && *text, "an Error says why");
    check(geteuid() != 0 || !tells_of_a_crash(text), "no child has crashed");
}

static void check_bytes(const struct json_value *body, const char *key)
{
    const char *text = json_get_str(body, key);
    int64_t size = -1;
    check(text && json_get_int(body, "size", &size) == 1, "bytes and their size");
    cleanup_free uint8_t *bytes = xmalloc(base64_size(text, strlen(text)) + 1);
    check(base64_decode(bytes, text, strlen(text)) == 0, "the bytes are base64");
    check(base64_size(text, strlen(text)) == (size_t)size, "the size is theirs");
}

static void check_listing(const struct json_value *body)
{
    const struct json_value *entries = json_get(body, "entries");
    check(json_is_array(entries), "a listing has entries");
    for (struct json_iter it = json_iter(entries); json_next(&it);) {
        const char *permissions = json_get_str(it.value, "permissions");
        check(json_get_str(it.value, "name") && json_get_str(it.value, "kind"), "a name, a kind");
        check(permissions && strlen(permissions) == 9, "nine permissions");
    }
}

static void check_answer(const struct frame *f)
{
    struct message m;
    const char *why;
    check(message_parse(&m, f->payload, f->len, &why) == 0, "an answer is a message");
    switch (m.type) {
    case MSG_OK:
    case MSG_PONG:
    case MSG_FILE_INFO: break;
    case MSG_ERROR: check_error(m.body); break;
    case MSG_FILE_CONTENT: check_bytes(m.body, "content"); break;
    case MSG_FILE_DATA: check_bytes(m.body, "data"); break;
    case MSG_DIR_LISTING: check_listing(m.body); break;
    default: check(false, "one of these is the answer");
    }
    message_fini(&m);
}

/* --- the opener ----------------------------------------------------------------------------- */

struct opener {
    struct loop *loop;
    struct stream *stream;
    struct frame_reader frames;
    unsigned asked, answered;
    bool bare; /* what comes now is no frame */
    bool ended;
};

static void take_answers(struct opener *o)
{
    struct frame f;
    size_t len;
    while (!o->bare && stream_peek(o->stream, &len)) {
        enum frame_status status = frame_read(&o->frames, o->stream, &f);
        check(status != FRAME_BAD, "an answer is a frame");
        if (status != FRAME_READY)
            continue;
        check_answer(&f);
        o->bare = ++o->answered == o->asked;
    }
    while (o->bare && stream_peek(o->stream, &len))
        stream_consume(o->stream, len);
}

static void on_event(void *arg, struct stream *s, enum stream_event event)
{
    struct opener *o = arg;
    (void)s;
    if (event == STREAM_DATA)
        take_answers(o);
    else if (event == STREAM_EOF || event == STREAM_ERROR)
        o->ended = true;
}

/* Requests of the input, one behind the other; the last one's bytes, too. */
static void ask(struct opener *o, struct input *in)
{
    struct buf all = {0};
    size_t kind = 0;
    do {
        kind = put_request(in, &all);
        o->asked++;
    } while (o->asked < REQUESTS_MAX && in->left && !uses_the_stream(kind));
    if (uses_the_stream(kind))
        buf_append(&all, in->p, in->left);
    stream_write(o->stream, buf_front(&all), all.len);
    buf_fini(&all);
}

/* The fuzzer has one of its own now and then, which finds names for addresses. */
static int count_children(void)
{
    char pids[256] = "";
    cleanup_fd int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    int n = 0;
    if (fd >= 0 && read(fd, pids, sizeof pids - 1) > 0)
        for (const char *p = pids; (p = strchr(p, ' ')); p++)
            n++;
    return n;
}

static void exchange(struct input *in)
{
    struct opener o = {.loop = loop_new()};
    struct service sv;
    int fds[2], children = count_children();
    service_init(&sv, o.loop);
    sv.repeated = true;
    sv.frame_limit = next(in, 4) ? 1u << 20 : 4000;
    o.frames.limit = sv.frame_limit;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    service_serve(&sv, fdstream_new(o.loop, fds[0], fds[0]));
    o.stream = fdstream_new(o.loop, fds[1], fds[1]);
    stream_own(o.stream, on_event, &o);
    bool patient = next(in, 8);
    ask(&o, in);
    if (patient)
        stream_shutdown(o.stream);
    for (int i = 0; i < 1000 && patient && !o.ended && o.answered < o.asked; i++)
        loop_turn(o.loop, 1000);
    for (int i = 0; i < 4; i++)
        loop_turn(o.loop, 0);
    check(!patient || o.answered == o.asked, "every request was answered");
    stream_close(o.stream);
    service_fini(&sv);
    frame_reader_fini(&o.frames);
    for (int i = 0; i < 1000 && (i < 4 || count_children() > children); i++)
        loop_turn(o.loop, i < 4 ? 0 : 1000);
    check(count_children() == children, "every child ends");
    loop_free(o.loop);
}

/* --- the directory -------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    return at->level ? remove(path) : 0;
}

static void write_file(const char *name, const char *text, off_t size)
{
    cleanup_fd int fd = openat(home_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0 || (size && ftruncate(fd, size) < 0))
        abort();
}

static void make_files(void)
{
    nftw(home, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    write_file("f", "text, and aaa lot more of it", 0);
    write_file("large", "large", 200000);
    static const char *const links[][2] = {
        {"f", "link"}, {"none", "dangling"}, {"loop", "loop"}, {"..", "dir/link"}};
    bool good = mkdirat(home_fd, "dir", 0755) == 0 && mkfifoat(home_fd, "fifo", 0600) == 0;
    for (size_t i = 0; i < countof(links) && good; i++)
        good = symlinkat(links[i][0], home_fd, links[i][1]) == 0;
    if (!good)
        abort();
}

static void forget_home(void)
{
    nftw(home, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    rmdir(home);
}

/* --- the target ----------------------------------------------------------------------------- */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    key_init();
    log_init(LOG_ERRORS);
    snprintf(home, sizeof home, "%s/berth-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(home) || (home_fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        abort();
    setenv("HOME", home, 1);
    atexit(forget_home);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    make_files();
    exchange(&in);
    return 0;
}
