/* login_file.h: the brokers that this user has logged in at: ~/.config/berth/login.json, mode 0600,
 * {brokers: [{url, token, pin?, ca?, insecureHttp}]}, the last one that was logged in at first. */
#ifndef CONTROL_LOGIN_FILE_H
#define CONTROL_LOGIN_FILE_H

#include "applets/service/broker_place.h"

/* All return 0; or 1, and a line was logged. */

struct login {
    struct broker_words broker; /* inside `doc`; the URL in url.h's one form */
    const char *token;
    struct json *doc;
};

/* `url`: in any form; NULL: the first. */
int login_find(struct login *l, const char *url);
void login_fini(struct login *l);

/* In place of what there was for that URL; paths are absolute. */
int login_keep(const struct broker_words *broker, const char *token);
int login_remove(const char *url);

#endif
