/* session_rig.h: what an agent's service does with the streams of its sessions. */
#ifndef TESTS_UNIT_SESSION_RIG_H
#define TESTS_UNIT_SESSION_RIG_H

#include "applets/service/session.h"
#include "core/frame.h"

/* False where what has come first is no request, or the session does not take it: the stream is the caller's
 * still. */
static inline bool session_rig_attach(struct session *session, struct stream *s)
{
    struct frame_reader frames = {0};
    struct frame f;
    size_t len;
    const uint8_t *p = stream_peek(s, &len);
    bool attach = len > 4 && p[4] == '{' && frame_read(&frames, s, &f) == FRAME_READY;
    frame_reader_fini(&frames);
    return attach && session_attach(session, s);
}

#endif
