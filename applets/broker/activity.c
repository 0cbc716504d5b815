#include "applets/broker/activity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "applets/broker/activity_keep.h"
#include "applets/broker/record.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/utf8.h"

#define SLOTS 1024u

struct activity_user {
    struct activity_user *next; /* of the same slot */
    struct activity_keep keep;
    uint64_t last; /* id that was given */
    struct activity_entry *open;
    struct activity_listener *listeners;
};

struct activity {
    struct store *store;
    struct loop *loop;
    struct activity_user *slots[SLOTS];
    uint64_t counts[ACTIVITY_KIND_COUNT][ACTIVITY_OUTCOME_COUNT];
    struct activity_wait waited;
};

struct activity_entry {
    struct activity *of;
    struct activity_user *user;
    struct activity_entry *next, *prev;
    struct activity_row row;
    char *texts[3]; /* the row's */
    uint64_t began_ms, asked_us;
    bool kept, ended;
    activity_fn *fn; /* NULL: nobody waits */
    void *arg;
};

/* ---- users ---- */

/* Ids are random. */
static struct activity_user **place_of(const struct activity *a, const char *id)
{
    size_t hash = 0;
    for (size_t i = 0; id[i]; i++)
        hash = hash * 31 + (unsigned char)id[i];
    struct activity_user *const *at = &a->slots[hash % SLOTS];
    while (*at && strcmp((*at)->keep.who.id, id) != 0)
        at = &(*at)->next;
    return (struct activity_user **)(uintptr_t)at;
}

static struct activity_user *user_for(struct activity *a, const struct principal *who)
{
    struct activity_user **at = place_of(a, who->id);
    if (!*at) {
        *at = xcalloc(1, sizeof **at);
        (*at)->keep.store = a->store;
        (*at)->keep.who = *who;
    }
    return *at;
}

struct activity *activity_new(struct store *s)
{
    struct activity *a = xcalloc(1, sizeof *a);
    a->store = s;
    a->loop = s->loop;
    return a;
}

/* ---- entries ---- */

static void free_entry(void *p)
{
    struct activity_entry *e = p;
    for (size_t i = 0; i < countof(e->texts); i++)
        free(e->texts[i]);
    free(e);
}

static void forget(struct activity_entry *e)
{
    if (e->next)
        e->next->prev = e->prev;
    *(e->prev ? &e->prev->next : &e->user->open) = e->next;
    loop_reap(e->of->loop, e, free_entry);
}

void activity_free(struct activity *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        for (struct activity_user *u = a->slots[i], *next; u; u = next) {
            next = u->next;
            while (u->open)
                forget(u->open);
            free(u);
        }
    free(a);
}

/* A later one has a higher id, also where the clock was set back. */
static uint64_t next_id(struct activity_user *u)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    u->last = us > u->last ? us : u->last + 1;
    return u->last;
}

/* Cut between two characters. */
static char *cut_text(const char *text)
{
    size_t len = strlen(text), at = 0;
    while (at < len) {
        bool valid;
        size_t step = utf8_step(text + at, len - at, &valid);
        if (at + step > ACTIVITY_WHAT_MAX)
            break;
        at += step;
    }
    return at == len ? xstrdup(text) : xasprintf("%.*s…", (int)at, text);
}

static struct activity_entry *entry_new(struct activity *a, const struct activity_what *what)
{
    struct activity_entry *e = xcalloc(1, sizeof *e);
    struct activity_user *u = user_for(a, what->who);
    e->of = a;
    e->user = u;
    e->next = u->open;
    if (e->next)
        e->next->prev = e;
    u->open = e;
    e->texts[0] = cut_text(what->agent);
    e->texts[1] = cut_text(what->hostname);
    e->texts[2] = cut_text(what->what);
    e->row = (struct activity_row){.id = next_id(u),
                                   .kind = what->kind,
                                   .exit_code = ACTIVITY_NO_CODE,
                                   .duration_ms = -1,
                                   .agent = e->texts[0],
                                   .hostname = e->texts[1],
                                   .what = e->texts[2]};
    e->began_ms = loop_now_ms(a->loop);
    a->counts[what->kind][ACTIVITY_RUNNING]++;
    return e;
}

static void keep(struct activity_entry *e, store_fn *fn)
{
    char key[ACTIVITY_KEY_ROOM];
    activity_key(key, &e->user->keep.who, e->row.id);
    e->asked_us = loop_clock_us();
    record_put(e->of->store, &(struct store_entry){.key = key, .revision = e->row.revision},
               activity_record(&e->row), fn, e);
}

/* Who listens may leave meanwhile, itself alone. */
static void tell(struct activity_entry *e, uint64_t revision)
{
    e->of->waited.us += loop_clock_us() - e->asked_us;
    e->of->waited.n++;
    e->row.revision = revision;
    for (struct activity_listener *l = e->user->listeners, *next; l; l = next) {
        next = l->next;
        l->fn(l->arg, &e->row);
    }
}

static void on_ended(void *arg, const struct store_answer *a)
{
    struct activity_entry *e = arg;
    if (!a->error)
        tell(e, a->revision);
    else if (a->error != EEXIST) /* so long ago that it was cut off */
        log_error("an outcome of %s's is not kept: %s", e->user->keep.who.name, strerror(a->error));
    forget(e);
}

static void on_kept(void *arg, const struct store_answer *a)
{
    struct activity_entry *e = arg;
    if (a->error) {
        forget(e);
    } else {
        activity_kept(&e->user->keep, e->row.id);
        tell(e, a->revision);
        e->kept = true;
        if (e->ended)
            keep(e, on_ended);
    }
    if (e->fn)
        e->fn(e->arg, a->error);
}

struct activity_entry *activity_begin(struct activity *a, const struct activity_what *what,
                                      activity_fn *fn, void *arg)
{
    struct activity_entry *e = entry_new(a, what);
    e->fn = fn;
    e->arg = arg;
    keep(e, on_kept);
    return e;
}

void activity_end(struct activity_entry *e, enum activity_outcome outcome, int exit_code)
{
    e->fn = NULL;
    e->ended = true;
    e->row.outcome = outcome;
    e->row.exit_code = exit_code;
    e->of->counts[e->row.kind][outcome]++;
    e->row.duration_ms = (int64_t)(loop_now_ms(e->of->loop) - e->began_ms);
    if (e->kept)
        keep(e, on_ended);
}

static void on_noted(void *arg, const struct store_answer *a)
{
    struct activity_entry *e = arg;
    if (!a->error)
        activity_kept(&e->user->keep, e->row.id);
    on_ended(arg, a);
}

void activity_note(struct activity *a, const struct activity_what *what)
{
    struct activity_entry *e = entry_new(a, what);
    e->ended = true;
    e->row.outcome = ACTIVITY_OK;
    a->counts[what->kind][ACTIVITY_OK]++;
    keep(e, on_noted);
}

uint64_t activity_count(const struct activity *a, enum activity_kind kind,
                        enum activity_outcome outcome)
{
    return a->counts[kind][outcome];
}

struct activity_wait activity_waited(const struct activity *a)
{
    return a->waited;
}

bool activity_is_under_way(const struct activity *a, const struct principal *who, uint64_t id)
{
    const struct activity_user *u = *place_of(a, who->id);
    const struct activity_entry *e = u ? u->open : NULL;
    while (e && e->row.id != id)
        e = e->next;
    return e != NULL;
}

/* ---- listeners ---- */

void activity_listen(struct activity *a, const struct principal *who, struct activity_listener *l)
{
    struct activity_user *u = user_for(a, who);
    l->next = u->listeners;
    l->at = &u->listeners;
    if (l->next)
        l->next->at = &l->next;
    u->listeners = l;
}

void activity_unlisten(struct activity_listener *l)
{
    if (!l->at)
        return;
    if (l->next)
        l->next->at = l->at;
    *l->at = l->next;
    l->at = NULL;
}
