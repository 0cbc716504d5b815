/* assets.h: what the broker serves that never changes: the page, its parts, openapi.json. They are
 * inside the binary (scripts/embed), each in one form: scripts and style sheets as gzip, which is
 * what every browser takes, the rest as it is. */
#ifndef BROKER_ASSETS_H
#define BROKER_ASSETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/stream.h"

struct asset {
    const char *path; /* "/", "/page/NAME", "/openapi.json"; a template's has no slash */
    const char *type; /* Content-Type */
    const char *etag; /* with its quotes; of the bytes as they are here */
    const uint8_t *data;
    size_t len;
    bool gzip;
};

/* Whole lines for an answer's head: what a browser is to hold itself to, whatever it is answered with:
 * nothing is loaded, run, framed or reported but by and to this origin. */
extern const char security_fields[];

/* NULL: there is none. */
const struct asset *asset_find(const char *path);
/* Ends the exchange. `path` is the target's, without its query. GET and HEAD, else 405; 404 where there
 * is nothing; 304 for a client that has it; 406 for one that refuses gzip where there is nothing else. */
void assets_answer(struct stream *exchange, const char *path);

#endif
