/* connect.c: standard input and output joined with a connection as it is, for programs that
 * speak the protocol themselves. The guest's end is the end: it has said all it had to say. */
#include "applets/guest/guest_visit.h"
#include "applets/service/standard.h"
#include "applets/service/talk.h"

#include <string.h>

struct joint {
    struct visit *visit;
    void *dial;                            /* until it is connected */
    struct stream *guest, *input, *output; /* from then on */
};

static void pass_in(struct joint *j)
{
    talk_pass(j->input, j->guest, UINT64_MAX);
    if (stream_ended(j->input))
        stream_shutdown(j->guest);
}

static void pass_out(struct joint *j)
{
    talk_pass(j->guest, j->output, UINT64_MAX);
    if (stream_ended(j->guest) && stream_room(j->output) > 0)
        visit_end(j->visit, 0);
}

static void on_guest(void *arg, struct stream *s, enum stream_event event)
{
    struct joint *j = arg;
    switch (event) {
    case STREAM_DATA:
    case STREAM_EOF: pass_out(j); break;
    case STREAM_DRAINED: pass_in(j); break;
    case STREAM_ERROR: visit_lost(j->visit, stream_error(s)); break;
    case STREAM_OPEN: break;
    }
}

static void on_input(void *arg, struct stream *s, enum stream_event event)
{
    struct joint *j = arg;
    if (event == STREAM_ERROR)
        visit_fail(j->visit, "standard input: %s", strerror(stream_error(s)));
    else
        pass_in(j);
}

static void on_output(void *arg, struct stream *s, enum stream_event event)
{
    struct joint *j = arg;
    if (event == STREAM_ERROR)
        visit_output_failed(j->visit, "standard output", stream_error(s));
    else if (event == STREAM_DRAINED)
        pass_out(j);
}

static void dialled(void *arg, struct stream *s)
{
    struct joint *j = arg;
    j->dial = NULL;
    j->guest = s;
    j->input = standard_open(j->visit->loop, 0);
    j->output = standard_open(j->visit->loop, 1);
    stream_own(j->guest, on_guest, j);
    stream_own(j->input, on_input, j);
    stream_own(j->output, on_output, j);
}

int verb_connect(struct visit *v, char **argv)
{
    struct words none = {0};
    struct joint j = {.visit = v};
    if (!visit_words(v, argv, &none))
        return none.status;
    j.dial = v->way->dial(v, dialled, &j);
    int status = visit_run(v);
    if (j.dial)
        v->way->cancel(j.dial);
    stream_reset(j.guest);
    stream_reset(j.input);
    stream_reset(j.output);
    return status;
}
