#include "net/ssh_reason.h"

#include <string.h>

#include "core/mem.h"

enum telling {
    PASS_ON,     /* the rest of the line behind the pattern */
    WHOLE,       /* the whole line */
    REFUSED,     /* no way to authenticate */
    KEY_CHANGED, /* the host's */
    KEY_UNKNOWN
};

/* What OpenSSH's client says, the most telling first: several of these may come together. */
static const struct row {
    const char *pattern;
    enum telling telling;
    bool hopeless;
} rows[] = {
    {"berth: ", PASS_ON, false},
    {"REMOTE HOST IDENTIFICATION HAS CHANGED", KEY_CHANGED, true},
    {"Host key verification failed", KEY_UNKNOWN, true},
    {"Permission denied (", REFUSED, true},
    {"Too many authentication failures", WHOLE, true},
    {"Unable to negotiate", WHOLE, true},
    {"onfiguration option", WHOLE, true},
    {"Bad owner or permissions on", WHOLE, true},
    {"contains invalid characters", WHOLE, true},
    {"usage: ssh", WHOLE, true},
    {"ould not resolve hostname", WHOLE, false},
    {"connect to host", WHOLE, false},
    {"open failed: ", PASS_ON, false},
    {"banner exchange", WHOLE, false},
    {"onnection reset", WHOLE, false},
    {"onnection closed", WHOLE, false},
    {"timed out", WHOLE, false},
    {"closed by", WHOLE, false},
};

static void keep(struct ssh_reason *r)
{
    const char *line = r->hearing;
    if (!line[strspn(line, " \t\r")])
        return;
    memcpy(r->last, line, sizeof r->last);
    for (size_t i = 0; i < countof(rows) && (!r->rank || i < r->rank); i++) {
        if (strstr(line, rows[i].pattern)) {
            memcpy(r->told, line, sizeof r->told);
            r->rank = i + 1;
            return;
        }
    }
}

static void end_line(struct ssh_reason *r)
{
    while (r->hearing_len && strchr("\r \t", r->hearing[r->hearing_len - 1]))
        r->hearing_len--;
    r->hearing[r->hearing_len] = '\0';
    keep(r);
    r->hearing_len = 0;
}

void ssh_reason_feed(struct ssh_reason *r, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            end_line(r);
        else if (r->hearing_len < SSH_LINE_MAX)
            r->hearing[r->hearing_len++] = text[i];
    }
}

/* ssh's name in front says nothing to who asked for a session. */
static const char *without_name(const char *line)
{
    return strncmp(line, "ssh: ", 5) == 0 ? line + 5 : line;
}

static char *refusal(const char *line, const char *host, bool batch)
{
    if (batch)
        return xasprintf("a password or a confirmation is needed: run `berth master %s` again",
                         host);
    return xasprintf("%s", without_name(line));
}

static char *tell(const struct row *row, const char *line, const char *host, bool batch)
{
    switch (row->telling) {
    case PASS_ON: return xstrdup(strstr(line, row->pattern) + strlen(row->pattern));
    case WHOLE: return xstrdup(without_name(line));
    case REFUSED: return refusal(line, host, batch);
    case KEY_CHANGED:
        return xstrdup("its host key has changed: if that is as it should be, remove the old one "
                       "with `ssh-keygen -R`");
    case KEY_UNKNOWN:
        return xasprintf("its host key is not known: run `ssh %s` and confirm it", host);
    }
    return NULL;
}

char *ssh_reason_text(struct ssh_reason *r, const char *host, bool batch, bool *hopeless)
{
    if (r->hearing_len)
        end_line(r);
    *hopeless = r->rank && rows[r->rank - 1].hopeless;
    if (r->rank)
        return tell(&rows[r->rank - 1], r->told, host, batch);
    return r->last[0] ? xstrdup(without_name(r->last)) : NULL;
}
