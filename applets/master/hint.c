/* Why UDP does not get through, as far as the agent's machine can tell. */
#include <stdlib.h>
#include <string.h>

#include "applets/master/master.h"
#include "core/log.h"
#include "core/mem.h"

#define LINES_MAX   4 /* of a hint */
#define PATIENCE_MS 10000

static void forget(struct master *m)
{
    loop_timer_del(&m->hint.patience);
    stream_close(m->hint.stream);
    m->hint.stream = NULL;
    frame_reader_fini(&m->hint.frames);
}

static void show(const struct master *m, const char *text)
{
    cleanup_free char *copy = xstrdup(text);
    char *rest = copy, *line;
    for (int i = 0; i < LINES_MAX && (line = strsep(&rest, "\n")); i++)
        if (*line)
            log_note("%s: %s", m->options->host, line);
}

static void finish(struct master *m)
{
    forget(m);
    promote_hinted(m);
}

static void read_hint(struct master *m)
{
    struct frame frame;
    struct message answer;
    const char *why;
    enum frame_status status = frame_read(&m->hint.frames, m->hint.stream, &frame);
    if (status == FRAME_MORE)
        return;
    if (status == FRAME_READY && message_parse(&answer, frame.payload, frame.len, &why) == 0) {
        const char *text = json_get_str(answer.body, "text");
        if (answer.type == MSG_HINT && text)
            show(m, text);
        message_fini(&answer);
    }
    finish(m);
}

static void on_event(void *arg, struct stream *s, enum stream_event event)
{
    (void)s;
    if (event == STREAM_DATA)
        read_hint(arg);
    else if (event == STREAM_EOF || event == STREAM_ERROR)
        finish(arg);
}

static void on_patience(void *arg)
{
    finish(arg);
}

void hint_ask(struct master *m)
{
    struct draft d = draft_of(MSG_FIREWALL_HINT);
    hint_forget(m);
    m->hint.stream = session_open(m->session);
    if (!m->hint.stream) {
        draft_free(&d);
        promote_hinted(m);
        return;
    }
    loop_timer_init(m->loop, &m->hint.patience, on_patience, m);
    loop_timer_set(&m->hint.patience, PATIENCE_MS);
    draft_int(&d, "port", m->promotion.port);
    stream_own(m->hint.stream, on_event, m);
    draft_send(&d, m->hint.stream);
}

void hint_forget(struct master *m)
{
    if (m->hint.stream)
        forget(m);
}
