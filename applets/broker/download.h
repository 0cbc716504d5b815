/* download.h: berth itself, as a file for the machines that are to join: one binary an architecture.
 * They are opened and summed up at the start, before the broker gives its files up. */
#ifndef BROKER_DOWNLOAD_H
#define BROKER_DOWNLOAD_H

#include <stdbool.h>

#include "core/key.h"
#include "core/stream.h"

#define DOWNLOAD_SUM_LEN ((size_t)2 * SHA256_LEN) /* hex digits */

struct downloads;

/* Our own, and of the other architecture what ssh_binary_open() finds. */
struct downloads *downloads_open(void);
/* No answer may be under way. NULL is fine. */
void downloads_free(struct downloads *d);
/* The sha256 of the binary for `arch`, x86_64 or aarch64, in hex; false: there is none. */
bool downloads_sum(const struct downloads *d, const char *arch,
                   char hex[static DOWNLOAD_SUM_LEN + 1]);
/* Takes the exchange: GET or HEAD of the binary for `arch`; 404 where there is none. It is sent as the
 * client takes it, in no more memory than a chunk; `d` outlives that. */
void download_answer(struct stream *exchange, const struct downloads *d, const char *arch);

#endif
