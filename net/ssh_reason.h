/* ssh_reason.h: what ssh and the host wrote on standard error, made into one line. */
#ifndef NET_SSH_REASON_H
#define NET_SSH_REASON_H

#include <stdbool.h>
#include <stddef.h>

#define SSH_LINE_MAX 400 /* characters of a line that are kept */

struct ssh_reason {                 /* zeroed is ready */
    char hearing[SSH_LINE_MAX + 1]; /* the line that is being read */
    size_t hearing_len;
    char last[SSH_LINE_MAX + 1]; /* the last one that says anything */
    char told[SSH_LINE_MAX + 1]; /* the most telling one */
    size_t rank;                 /* of `told`: 1 and up, the lower the more telling; 0: none */
};

void ssh_reason_feed(struct ssh_reason *r, const char *text, size_t len);
/* Why ssh ended, as heap text, or NULL when nothing was said. In `batch` a refusal means that
 * a person is needed; `host` is for telling them what to run. *hopeless: trying again by
 * itself cannot help. */
char *ssh_reason_text(struct ssh_reason *r, const char *host, bool batch, bool *hopeless);

#endif
