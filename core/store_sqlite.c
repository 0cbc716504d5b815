/* A store in one file, by SQLite.
 *
 * What is asked in one turn of the loop is one transaction: the disk is waited for once, however many
 * wait for it. The call that finds its revision gone changes nothing and spoils nothing; what fails in
 * the disk fails for all the changes of that turn. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/store.h"

#define APPLICATION_ID 0x62727468 /* "brth" */

enum {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_GET,
    SQL_PUT,
    SQL_DELETE,
    SQL_LIST,
    SQL_FULL,
    SQL_COUNT
};

static const char *const statements[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_GET] = "SELECT value, revision FROM entry WHERE key = ?1",
    [SQL_PUT] = "INSERT OR REPLACE INTO entry (key, value, revision) VALUES (?1, ?2, ?3)",
    [SQL_DELETE] = "DELETE FROM entry WHERE key = ?1",
    [SQL_LIST] = "SELECT key, value, revision FROM entry WHERE key > ?1 AND key >= ?2 ORDER BY key",
    [SQL_FULL] = "SELECT 1 FROM entry WHERE key > ?1 AND key < ?2 LIMIT 1 OFFSET ?3",
};

/* Step n leads from user_version n to n + 1. Never changed once released, only added to. */
static const char *const migrations[] = {
    "CREATE TABLE entry (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL,"
    " revision INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE last (revision INTEGER NOT NULL); INSERT INTO last VALUES (0);",
};

struct sqlite_store {
    struct store base;
    sqlite3 *db;
    sqlite3_stmt *statement[SQL_COUNT];
    sqlite3_stmt *save_last;
    uint64_t last; /* revision that was given */
    struct store_call *first, **end;
    struct loop_task work;
    bool closed;
};

/* What one call has come to, until all of its turn have. */
struct outcome {
    struct store_call *call;
    struct store_answer answer;
    struct store_entry *entries;
    size_t bytes; /* of their values */
};

static struct sqlite_store *of(struct store *s)
{
    return container_of(s, struct sqlite_store, base);
}

/* SQLite's words. */

static int errno_of(sqlite3 *db, int rc)
{
    int os = sqlite3_system_errno(db);
    switch (rc & 0xff) {
    case SQLITE_FULL: return ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return EUCLEAN;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return EBUSY;
    case SQLITE_READONLY: return EROFS;
    case SQLITE_PERM: return EACCES;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR: return os ? os : EIO;
    default: return EIO;
    }
}

/* 0, 1 (a row is there), or -errno. */
static int step(struct sqlite_store *s, sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : -errno_of(s->db, rc);
}

static void rewind_statement(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

/* One without rows: 0 or -errno. */
static int run(struct sqlite_store *s, sqlite3_stmt *statement)
{
    int rc = step(s, statement);
    rewind_statement(statement);
    return rc;
}

/* What is asked for. */

static void add_entry(struct outcome *o, const struct store_entry *e)
{
    size_t key_len = strlen(e->key);
    struct store_entry *into;
    o->entries = xrealloc(o->entries, (o->answer.n + 1) * sizeof(*o->entries));
    into = &o->entries[o->answer.n++];
    char *copy = xmalloc(key_len + 1 + e->len + 1);
    memcpy(copy, e->key, key_len + 1);
    if (e->len)
        memcpy(copy + key_len + 1, e->value, e->len);
    *into = (struct store_entry){
        .key = copy, .value = copy + key_len + 1, .len = e->len, .revision = e->revision};
    o->bytes += e->len;
    o->answer.entries = o->entries;
}

static void drop_entries(struct outcome *o)
{
    for (size_t i = 0; i < o->answer.n; i++)
        free((char *)(uintptr_t)o->entries[i].key);
    free(o->entries);
    o->entries = NULL;
    o->bytes = 0;
    o->answer = (struct store_answer){.error = 0};
}

static struct store_entry row(sqlite3_stmt *st, int column, const char *key)
{
    return (struct store_entry){.key = key,
                                .value = sqlite3_column_blob(st, column),
                                .len = (size_t)sqlite3_column_bytes(st, column),
                                .revision = (uint64_t)sqlite3_column_int64(st, column + 1)};
}

static int get(struct sqlite_store *s, struct outcome *o)
{
    sqlite3_stmt *st = s->statement[SQL_GET];
    sqlite3_bind_text(st, 1, o->call->key, -1, SQLITE_STATIC);
    int rc = step(s, st);
    if (rc == 1) {
        struct store_entry e = row(st, 0, o->call->key);
        add_entry(o, &e);
    }
    rewind_statement(st);
    return rc == 1 ? 0 : rc == 0 ? ENOENT : -rc;
}

/* The revision that is there, 0: none; or -errno. */
static int64_t present(struct sqlite_store *s, const char *key)
{
    sqlite3_stmt *st = s->statement[SQL_GET];
    sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
    int rc = step(s, st);
    int64_t revision = rc == 1 ? sqlite3_column_int64(st, 1) : rc;
    rewind_statement(st);
    return revision;
}

/* Whether a folder has so many: 0 or 1, or -errno. '0' is what comes behind '/'. */
static int is_full(struct sqlite_store *s, const char *key, uint32_t max)
{
    sqlite3_stmt *st = s->statement[SQL_FULL];
    const char *slash = strrchr(key, '/');
    cleanup_free char *folder = xstrndup(key, slash ? (size_t)(slash - key) + 1 : 0);
    cleanup_free char *behind = xstrdup(slash ? folder : "\x7f");
    if (slash)
        behind[slash - key] = '0';
    sqlite3_bind_text(st, 1, folder, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, behind, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 3, (int64_t)max - 1);
    return run(s, st);
}

static int change(struct sqlite_store *s, struct outcome *o)
{
    const struct store_call *c = o->call;
    int64_t now = present(s, c->key);
    if (now < 0)
        return (int)-now;
    if (c->verb == STORE_DELETE && !now)
        return ENOENT;
    if (c->revision != STORE_ANY && c->revision != (uint64_t)now)
        return EEXIST;
    int full = c->max && !now ? is_full(s, c->key, c->max) : 0;
    if (full)
        return full > 0 ? EMLINK : -full;
    sqlite3_stmt *st = s->statement[c->verb == STORE_PUT ? SQL_PUT : SQL_DELETE];
    sqlite3_bind_text(st, 1, c->key, -1, SQLITE_STATIC);
    if (c->verb == STORE_PUT) {
        sqlite3_bind_blob(st, 2, c->value, (int)c->len, SQLITE_STATIC);
        sqlite3_bind_int64(st, 3, (int64_t)s->last + 1);
    }
    int rc = run(s, st);
    if (rc == 0)
        o->answer.revision = ++s->last;
    return -rc;
}

static int list(struct sqlite_store *s, struct outcome *o)
{
    sqlite3_stmt *st = s->statement[SQL_LIST];
    const char *prefix = o->call->key;
    size_t len = strlen(prefix);
    int rc;
    sqlite3_bind_text(st, 1, o->call->after ? o->call->after : "", -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, prefix, -1, SQLITE_STATIC);
    while ((rc = step(s, st)) == 1) {
        struct store_entry e = row(st, 1, (const char *)sqlite3_column_text(st, 0));
        if (strncmp(e.key, prefix, len) != 0)
            break;
        o->answer.more =
            o->answer.n == STORE_LIST_MAX || (o->answer.n && o->bytes + e.len > STORE_LIST_ROOM);
        if (o->answer.more)
            break;
        add_entry(o, &e);
    }
    rewind_statement(st);
    return rc < 0 ? -rc : 0;
}

static void perform(struct sqlite_store *s, struct outcome *o)
{
    drop_entries(o);
    if (o->call->error)
        o->answer.error = o->call->error;
    else if (o->call->verb == STORE_GET)
        o->answer.error = get(s, o);
    else if (o->call->verb == STORE_LIST)
        o->answer.error = list(s, o);
    else
        o->answer.error = change(s, o);
}

static bool changes(const struct outcome *o)
{
    return o->call->verb == STORE_PUT || o->call->verb == STORE_DELETE;
}

static bool is_of_the_disk(int error)
{
    return error && error != ENOENT && error != EEXIST && error != EMLINK && error != EINVAL &&
           error != EMSGSIZE;
}

static int save_last(struct sqlite_store *s)
{
    sqlite3_bind_int64(s->save_last, 1, (int64_t)s->last);
    return -run(s, s->save_last);
}

/* 0, or why nothing of it has changed anything. */
static int perform_all(struct sqlite_store *s, struct outcome *o, size_t n)
{
    uint64_t before = s->last;
    int error = -run(s, s->statement[SQL_BEGIN]);
    for (size_t i = 0; i < n && !error; i++) {
        perform(s, &o[i]);
        error = changes(&o[i]) && is_of_the_disk(o[i].answer.error) ? o[i].answer.error : 0;
    }
    if (!error && s->last != before)
        error = save_last(s);
    if (!error)
        error = -run(s, s->statement[SQL_COMMIT]);
    if (!error)
        return 0;
    log_error("store: nothing was written: %s", strerror(error));
    if (!sqlite3_get_autocommit(s->db))
        run(s, s->statement[SQL_ROLLBACK]);
    s->last = before;
    return error;
}

/* What was to be read can be read still, as it was before. */
static void fail_all(struct sqlite_store *s, struct outcome *o, size_t n, int error)
{
    for (size_t i = 0; i < n; i++) {
        if (!changes(&o[i])) {
            perform(s, &o[i]);
            continue;
        }
        drop_entries(&o[i]);
        o[i].answer.error = o[i].call->error ? o[i].call->error : error;
    }
}

static void tell(struct sqlite_store *s, struct outcome *o)
{
    const struct store_call *c = o->call;
    struct store_entry e = {.key = c->key, .revision = o->answer.revision};
    if (c->verb == STORE_PUT) {
        e.value = c->value;
        e.len = c->len;
    }
    if (changes(o) && !o->answer.error && !s->closed)
        store_changed(&s->base, &e);
    if (s->closed)
        store_cancel(o->call);
    store_answer(o->call, &o->answer);
    drop_entries(o);
}

static void work(void *arg)
{
    struct sqlite_store *s = arg;
    struct store_call *first = s->first;
    size_t n = 0, i = 0;
    s->first = NULL;
    s->end = &s->first;
    for (const struct store_call *c = first; c; c = c->next)
        n++;
    struct outcome *o = xcalloc(n, sizeof(*o));
    for (struct store_call *c = first; c; c = c->next)
        o[i++].call = c;
    int error = perform_all(s, o, n);
    if (error)
        fail_all(s, o, n, error);
    for (i = 0; i < n; i++)
        tell(s, &o[i]);
    free(o);
}

static void ask(struct store *base, struct store_call *call)
{
    struct sqlite_store *s = of(base);
    *s->end = call;
    s->end = &call->next;
    loop_task_post(&s->work);
}

/* Its end. */

static void close_database(struct sqlite_store *s)
{
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(s->statement[i]);
    sqlite3_finalize(s->save_last);
    sqlite3_close(s->db);
}

static void free_store(void *p)
{
    struct sqlite_store *s = p;
    close_database(s);
    free(s);
}

static void close_store(struct store *base)
{
    struct sqlite_store *s = of(base);
    if (s->closed)
        return;
    s->closed = true;
    store_fini(base);
    loop_task_del(&s->work);
    if (s->first)
        work(s);
    loop_reap(base->loop, s, free_store);
}

static const struct store_ops ops = {.ask = ask, .close = close_store};

/* Its beginning. */

static int query_int(sqlite3 *db, const char *sql, int64_t *value)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
        *value = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return rc == SQLITE_ROW ? SQLITE_OK : rc == SQLITE_DONE ? SQLITE_ERROR : rc;
}

static int migrate(sqlite3 *db, int64_t from)
{
    int rc = SQLITE_OK;
    for (size_t n = (size_t)from; n < countof(migrations) && rc == SQLITE_OK; n++) {
        cleanup_free char *sql = xasprintf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d;"
                                           "PRAGMA user_version = %zu; COMMIT",
                                           migrations[n], APPLICATION_ID, n + 1);
        rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    }
    return rc;
}

static bool is_whole(sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    bool whole = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL) == SQLITE_OK &&
                 sqlite3_step(st) == SQLITE_ROW &&
                 !strcmp((const char *)sqlite3_column_text(st, 0), "ok");
    sqlite3_finalize(st);
    return whole;
}

/* The lock is held from the first read until the end, and with it goes the need for shared memory. */
static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216;"
                               "PRAGMA cell_size_check = 1; PRAGMA trusted_schema = 0;";

static const char *reason_of(sqlite3 *db, int rc)
{
    switch (errno_of(db, rc)) {
    case EUCLEAN: return "it is damaged, or no store at all";
    case EBUSY: return "another process has it open";
    case ENOSPC: return "the disk is full";
    case EROFS:
    case EACCES: return "it cannot be written";
    default: return sqlite3_errmsg(db);
    }
}

/* NULL, or why it cannot be used. */
static const char *make_ready(sqlite3 *db)
{
    int64_t tables = 0, version = 0, application = 0;
    int rc = sqlite3_exec(db, settings, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = query_int(db, "SELECT count(*) FROM sqlite_master", &tables);
    if (rc == SQLITE_OK)
        rc = query_int(db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK)
        rc = query_int(db, "PRAGMA application_id", &application);
    if (rc != SQLITE_OK)
        return reason_of(db, rc);
    if (tables && application != APPLICATION_ID)
        return "it is another program's database";
    if (version < 0 || version > (int64_t)countof(migrations))
        return "a newer version of berth has written it";
    if (tables && !is_whole(db))
        return "it is damaged";
    rc = migrate(db, version);
    return rc == SQLITE_OK ? NULL : reason_of(db, rc);
}

static const char *prepare(struct sqlite_store *s)
{
    int64_t last = 0;
    int rc = query_int(s->db, "SELECT revision FROM last", &last);
    for (int i = 0; i < SQL_COUNT && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &s->statement[i], NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v3(s->db, "UPDATE last SET revision = ?1", -1,
                                SQLITE_PREPARE_PERSISTENT, &s->save_last, NULL);
    s->last = (uint64_t)last;
    return rc == SQLITE_OK ? NULL : reason_of(s->db, rc);
}

/* Ours alone, whatever the umask: SQLite gives its other files the mode of this one. One that is there is
 * not opened here: closing it would end a lock that this process has on it. */
static const char *make_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    if ((fd < 0 && errno != EEXIST) || lstat(path, &st) != 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "it is no file";
    if (st.st_uid != geteuid())
        return "it is another user's";
    return (st.st_mode & 07777) == 0600 || chmod(path, 0600) == 0 ? NULL : strerror(errno);
}

struct store *store_sqlite_open(struct loop *loop, const char *path, char **why)
{
    struct sqlite_store *s = xcalloc(1, sizeof(*s));
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE;
    const char *fault = make_file(path);
    if (!fault && sqlite3_open_v2(path, &s->db, flags, "unix") != SQLITE_OK)
        fault = sqlite3_errmsg(s->db);
    if (!fault)
        fault = make_ready(s->db);
    if (!fault)
        fault = prepare(s);
    if (fault) {
        *why = xasprintf("%s: %s", path, fault);
        free_store(s);
        return NULL;
    }
    s->base.ops = &ops;
    s->base.loop = loop;
    s->end = &s->first;
    loop_task_init(loop, &s->work, work, s);
    return &s->base;
}
