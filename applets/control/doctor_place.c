/* Where on the host the binary goes, and the agent's socket, as the bootstrap and the agent
 * itself would choose. */
#include <string.h>

#include "applets/control/doctor_check.h"
#include "core/mem.h"
#include "net/target.h"

/* ---- the binary ---- */

static bool lacks_room(const struct doctor_place *p)
{
    return p->trouble && (strstr(p->trouble, "No space left") || strstr(p->trouble, "quota"));
}

/* Where it is, else where it fits; NULL: nowhere. */
static const struct doctor_place *choose(const struct doctor_report *r)
{
    const struct doctor_place *end = r->places + DOCTOR_PLACES;
    for (const struct doctor_place *p = r->places; p < end && p->dir; p++)
        if (p->cached)
            return p;
    for (const struct doctor_place *p = r->places; p < end && p->dir; p++)
        if (!p->trouble)
            return p;
    return NULL;
}

static char *why_not(const struct doctor_place *p)
{
    if (lacks_room(p) && p->free_kib >= 0) {
        cleanup_free char *left = kib_text((uint64_t)p->free_kib);
        return xasprintf("%s: %s (%s free)", p->dir, p->trouble, left);
    }
    if (strstr(p->trouble, "programs may not run"))
        return xasprintf("%s is mounted noexec", p->near ? p->near : p->dir);
    return xasprintf("%s: %s", p->dir, p->trouble);
}

static uint64_t need_kib(const struct doctor_report *r, const struct doctor_side *side)
{
    enum ssh_arch arch = check_arch(r);
    uint64_t size = arch < SSH_ARCHES ? side->offers[arch].size : 0;
    return (size + 1023) / 1024;
}

static void nowhere(struct checks *c, const struct doctor_report *r, const char *need)
{
    cleanup_free char *all = xstrdup("");
    bool room = true;
    for (size_t i = 0; i < DOCTOR_PLACES && r->places[i].dir; i++) {
        cleanup_free char *why = why_not(&r->places[i]), *before = all;
        all = xasprintf("%s%s%s", before, i ? "; " : "", why);
        room &= lacks_room(&r->places[i]);
    }
    if (room)
        check_add(c, CHECK_FAIL, "space", xasprintf("no room for the binary, %s: %s", need, all),
                  xstrdup("make room in one of them"));
    else
        check_add(c, CHECK_FAIL, "binary", xasprintf("nowhere to put it, %s: %s", need, all),
                  xstrdup("one of them must be yours to write, with room, and let programs run"));
}

static void found(struct checks *c, const struct doctor_place *p, const char *need)
{
    if (p->cached) {
        check_add(c, CHECK_OK, "binary", xasprintf("is in %s", p->dir), NULL);
    } else if (p->free_kib < 0) {
        check_add(c, CHECK_OK, "binary", xasprintf("goes to %s", p->dir), NULL);
    } else {
        cleanup_free char *left = kib_text((uint64_t)p->free_kib);
        check_add(c, CHECK_OK, "binary",
                  xasprintf("goes to %s: %s free, %s needed", p->dir, left, need), NULL);
    }
}

static void warn_of_space(struct checks *c, const struct doctor_place *p)
{
    cleanup_free char *left = kib_text((uint64_t)p->free_kib);
    check_add(c, CHECK_WARN, "space", xasprintf("only %s free in %s", left, p->near),
              xstrdup("this version fits, the next one beside it may not: make room there"));
}

void check_places(struct checks *c, const struct doctor_report *r, const struct doctor_side *side)
{
    const struct doctor_place *first = r->places, *p = choose(r);
    uint64_t kib = need_kib(r, side);
    cleanup_free char *need = kib_text(kib);
    if (!first->dir) {
        check_add(c, CHECK_UNKNOWN, "binary", xstrdup("unknown where it would go"), NULL);
        return;
    }
    if (!p) {
        nowhere(c, r, need);
        return;
    }
    if (p != first && first->trouble) {
        cleanup_free char *why = why_not(first);
        check_add(c, CHECK_WARN, "home",
                  xasprintf("%s: the binary %s %s", why, p->cached ? "is in" : "goes to", p->dir),
                  xstrdup("works as it is; after a reboot it may have to be sent again"));
    } else {
        found(c, p, need);
    }
    if (!p->cached && p->near && p->free_kib >= 0 && (uint64_t)p->free_kib < 2 * kib)
        warn_of_space(c, p);
}

/* ---- the socket ---- */

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

static bool is_usable(const struct doctor_socket *s)
{
    return strlen(s->path) <= TARGET_PATH_MAX && (is(s->state, "free") || is(s->state, "socket")) &&
           (is(s->lock, "free") || is(s->lock, "file"));
}

static char *socket_state(const struct doctor_socket *s)
{
    if (s->agent)
        return xasprintf("your agent is at %s", s->path);
    if (is(s->state, "socket"))
        return xasprintf("%s was left behind; the next agent replaces it", s->path);
    return xasprintf("%s is free", s->path);
}

static char *socket_trouble(const struct doctor_socket *s)
{
    const char *owner = s->owner ? s->owner : "another user";
    if (strlen(s->path) > TARGET_PATH_MAX)
        return xasprintf("%s is too long for a socket", s->path);
    if (is(s->state, "closed"))
        return xasprintf("%s cannot be made", s->path);
    if (is(s->state, "file"))
        return xasprintf("%s is no socket", s->path);
    if (is(s->state, "link"))
        return xasprintf("%s is a link of %s", s->path, owner);
    if (is(s->state, "foreign"))
        return xasprintf("%s is held by %s", s->path, owner);
    return xasprintf("%s.lock is held by %s", s->path, owner);
}

void check_sockets(struct checks *c, const struct doctor_report *r)
{
    const struct doctor_socket *first = &r->sockets[0], *second = &r->sockets[1];
    if (!r->facts[FACT_UID] || !first->lock || !second->lock) {
        check_add(c, CHECK_UNKNOWN, "agent socket", xstrdup("unknown: id says nothing"), NULL);
        return;
    }
    if (is_usable(first)) {
        check_add(c, CHECK_OK, "agent socket", socket_state(first), NULL);
        return;
    }
    cleanup_free char *why = socket_trouble(first);
    if (is_usable(second)) {
        cleanup_free char *instead = socket_state(second);
        check_add(c, CHECK_WARN, "agent socket", xasprintf("%s, but %s", why, instead),
                  xasprintf("works as it is; remove %s if you may", first->path));
        return;
    }
    cleanup_free char *too = socket_trouble(second);
    check_add(c, CHECK_FAIL, "agent socket", xasprintf("%s; %s", why, too),
              xstrdup("make way for one of them, where this user may write"));
}

/* ---- versions ---- */

static const char *other_agent(const struct doctor_report *r, const char *build, bool *same)
{
    const char *other = NULL;
    *same = false;
    for (size_t i = 0; i < PATH_AGENT_SOCKETS; i++) {
        const char *agent = r->sockets[i].agent;
        if (agent && strstr(agent, build))
            *same = true;
        else if (agent)
            other = agent;
    }
    return other;
}

static const char *other_binary(const struct doctor_report *r)
{
    for (size_t i = 0; i < DOCTOR_PLACES && r->places[i].dir; i++)
        if (r->places[i].other)
            return r->places[i].other;
    return NULL;
}

void check_versions(struct checks *c, const struct doctor_report *r, const struct doctor_side *side)
{
    bool same;
    const char *other = other_agent(r, side->build, &same), *kept = other_binary(r);
    const struct doctor_place *p = choose(r);
    cleanup_free char *here = xasprintf("%s (build %s)", side->version, side->build);
    if (other)
        check_add(c, CHECK_WARN, "version",
                  xasprintf("here %s, but an agent there is %s", here, other),
                  xstrdup("it is replaced once it has no session; `berth stop --all` there ends "
                          "it at once"));
    else if (same)
        check_add(c, CHECK_OK, "version", xasprintf("%s, as your agent there", here), NULL);
    else if (p && p->cached)
        check_add(c, CHECK_OK, "version", xasprintf("%s, here and there", here), NULL);
    else if (kept)
        check_add(c, CHECK_OK, "version",
                  xasprintf("%s; there is %s, this one will be sent", here, kept), NULL);
    else
        check_add(c, CHECK_OK, "version", xasprintf("%s; none there yet, it will be sent", here),
                  NULL);
}
