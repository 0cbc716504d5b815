/* file_rig.h: what the tests of the file requests have in common. */
#ifndef TESTS_UNIT_FILE_RIG_H
#define TESTS_UNIT_FILE_RIG_H

#include <sys/types.h>

#include "tests/unit/service_rig.h"

#define BIG ((size_t)3000001)

/* BIG bytes that are unlike each other, on the heap; and a file of them, of mode 0640. */
uint8_t *big_bytes(void);
void write_big(const char *path);

int64_t number(const struct json_value *body, const char *key);
/* How many names a directory has. */
size_t entries(const char *dir);
/* lstat's. */
mode_t mode_of(const char *path);
void expect_file(const char *path, const char *text);
/* A request without its brace at the end gets an Error of this code and text; in `why`, names
 * below the rig's directory, which is $HOME meanwhile, stand without it. So nothing of the
 * machine's own is named, whatever the code under test makes of the request. */
void expect_refused(struct rig *g, const char *request, enum error_code code, const char *why);

/* What is there and is no regular file: in the rig's directory, under these names. */
extern const char *const irregular_names[]; /* NULL behind the last */
void make_irregular(struct rig *g);
/* Until every request has ended and its stream is closed. */
void until_idle(struct rig *g);

#endif
