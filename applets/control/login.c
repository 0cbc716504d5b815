/* login.c: `berth login`: an API token, checked and kept. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/applets.h"
#include "applets/control/broker_ask.h"
#include "applets/control/login_file.h"
#include "applets/service/terminal.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/opt.h"
#include "core/utf8.h"

#define TOKEN_MAX 8192 /* bytes: a JWT may be long */
#define LIMIT_MS  30000

enum { OPT_REMOVE = 1, OPT_PIN, OPT_CA, OPT_INSECURE, OPT_HELP };

static const struct opt options[] = {
    {0, "remove", OPT_FLAG, OPT_REMOVE}, {0, "pin", OPT_VALUE, OPT_PIN},
    {0, "ca", OPT_VALUE, OPT_CA},        {0, "insecure-http", OPT_FLAG, OPT_INSECURE},
    {'h', "help", OPT_FLAG, OPT_HELP},   {0},
};

struct words {
    struct broker_words broker;
    bool remove;
    int status; /* for the caller to return */
};

/* ---- the token ---- */

static volatile sig_atomic_t told_to_end;

static void on_signal(int signo)
{
    told_to_end = signo;
}

enum { KEY_INTERRUPT = 3, KEY_END = 4, KEY_ERASE_LINE = 21, KEY_ERASE = 127 };

/* A key that was pressed; false: the line is not complete yet. */
static bool take_key(char *token, size_t *len, unsigned char key)
{
    if (key == KEY_ERASE_LINE)
        *len = 0;
    else if ((key == KEY_ERASE || key == '\b') && *len > 0)
        --*len;
    else if (key > ' ' && key < KEY_ERASE && *len < TOKEN_MAX)
        token[(*len)++] = (char)key;
    if (key == KEY_INTERRUPT)
        told_to_end = SIGINT;
    return key == '\r' || key == '\n' || key == KEY_END || key == KEY_INTERRUPT;
}

/* From the terminal, which shows nothing of it. */
static size_t type_token(const char *url, char *token)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    const struct sigaction ends = {.sa_handler = on_signal};
    unsigned char key;
    size_t len = 0;
    for (size_t i = 0; i < countof(signals); i++)
        sigaction(signals[i], &ends, NULL);
    fprintf(stderr, "API token for %s (it is not shown): ", url);
    terminal_raw();
    while (!told_to_end && read(STDIN_FILENO, &key, 1) == 1 && !take_key(token, &len, key))
        ;
    terminal_restore();
    fputc('\n', stderr);
    return len;
}

/* Its first line. */
static size_t read_token(char *token)
{
    size_t len = 0;
    ssize_t n;
    while (len < TOKEN_MAX && ((n = read(STDIN_FILENO, token + len, TOKEN_MAX - len)) > 0 ||
                               (n < 0 && errno == EINTR)))
        len += n > 0 ? (size_t)n : 0;
    const char *end = memchr(token, '\n', len);
    return end ? (size_t)(end - token) : len;
}

/* Heap; NULL and *status. */
static char *get_token(const char *url, int *status)
{
    char text[TOKEN_MAX + 1];
    size_t len = terminal_is_there() ? type_token(url, text) : read_token(text);
    *status = told_to_end ? 128 + told_to_end : 1;
    while (len && (text[len - 1] == '\r' || text[len - 1] == ' '))
        len--;
    text[len] = '\0';
    cleanup_free char *bearer = len && !told_to_end ? web_bearer(text) : NULL;
    char *token = bearer && strlen(text) == len ? xstrdup(text) : NULL;
    if (!token && !told_to_end)
        log_error("that is no token (berth broker token NAME prints one)");
    key_wipe(text, sizeof text);
    if (bearer)
        key_wipe(bearer, strlen(bearer));
    return token;
}

/* ---- logging in ---- */

static int keep(const struct words *w, const struct broker_place *place, const char *token)
{
    cleanup_free char *ca = w->broker.ca ? realpath(w->broker.ca, NULL) : NULL;
    struct broker_words words = w->broker;
    words.url = place->server.url.text;
    words.ca = ca;
    return login_keep(&words, token);
}

static int check_and_keep(const struct words *w, const struct broker_place *place,
                          const char *token)
{
    struct json *me;
    const struct web_question question = {
        .method = "GET", .path = "/api/me", .token = token, .limit_ms = LIMIT_MS};
    int status = broker_ask(&place->server, &question, &me);
    const char *user = json_get_str(json_root(me), "user");
    if (status == 0 && !user) {
        log_error("%s: what it answers is not a broker's", place->server.url.text);
        status = 1;
    }
    if (status == 0)
        status = keep(w, place, token);
    if (status == 0) {
        cleanup_free char *shown = xstrdup(user);
        shown[utf8_harmless(shown, strlen(shown))] = '\0';
        printf("Logged in at %s as %s.\n", place->server.url.text, shown);
    }
    json_free(me);
    return status;
}

static int log_in(const struct words *w)
{
    struct broker_place place;
    int status = broker_place_find(&place, &w->broker);
    char *token = status ? NULL : get_token(place.server.url.text, &status);
    if (token) {
        status = check_and_keep(w, &place, token);
        key_wipe(token, strlen(token));
        free(token);
    }
    broker_place_fini(&place);
    return status;
}

static bool read_words(struct words *w, char **argv)
{
    struct opts o = opts_of(options, argv);
    w->status = 2;
    for (int id; (id = opt_next(&o)) != OPT_END;) {
        switch (id) {
        case OPT_REMOVE: w->remove = true; break;
        case OPT_PIN: w->broker.pin = o.value; break;
        case OPT_CA: w->broker.ca = o.value; break;
        case OPT_INSECURE: w->broker.insecure_http = true; break;
        case OPT_HELP: w->status = applet_help("login"); return false;
        case OPT_OPERAND:
            if (!w->broker.url) {
                w->broker.url = o.value;
                break;
            }
            log_error("login takes one URL (see berth login --help)");
            return false;
        default: return false;
        }
    }
    if (!w->broker.url)
        log_error("login: at which broker? (see berth login --help)");
    return w->broker.url;
}

int login_main(char **argv)
{
    struct words w = {0};
    if (!read_words(&w, argv))
        return w.status;
    return w.remove ? login_remove(w.broker.url) : log_in(&w);
}
