/* auth.h: who asks: the owner of the token in Authorization, or in the cookie that the page was given: an API
 * token, or the issuer's word. The call's lease lasts as long as that proves it. */
#ifndef BROKER_AUTH_H
#define BROKER_AUTH_H

#include "applets/broker/call.h"

/* Finds who asks; goes on with fn(), or answers. */
void call_authenticate(struct call *c, call_fn *fn);
/* Whether a browser says that another site made it ask, which is then answered with call_foreign(). */
bool call_is_foreign(const struct call *c);
void call_foreign(struct call *c);
/* What the page's cookie is called: behind https so that no other host can set it ("__Host-", RFC 6265bis). */
const char *call_cookie_name(const struct call *c);
/* The same as call_authenticate() by a token that came otherwise. */
void call_prove(struct call *c, const char *token, call_fn *fn);

#endif
