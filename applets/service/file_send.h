/* file_send.h: a slice of a file as an answer, sent as the stream has room for it: however long
 * it is, it takes no more memory than a few chunks.
 *
 * How long the slice is must be told before its first byte, and once it is under way nothing
 * else can be said: so a file that got shorter meanwhile is a reset. But those of /proc say that
 * they are empty, and those of /sys that they have a page, whatever is in them: a file that says
 * it is small is read to its end before it is answered with. */
#ifndef SERVICE_FILE_SEND_H
#define SERVICE_FILE_SEND_H

#include <sys/stat.h>

#include "applets/service/service.h"

/* What of a file is wanted, bytes; less where the file ends. */
struct file_slice {
    int64_t offset, length;
};

/* From two fields of a request, which may be absent. -1: they are no numbers of bytes. */
int file_slice_asked(const struct json_value *body, const char *length_key, struct file_slice *s);

struct file_format {
    /* Writes what comes before the slice's `len` bytes, or ends the request and returns false.
     * `st` is the file's; its size is how much there really is. */
    bool (*begin)(struct request *r, const struct stat *st, int64_t len);
    bool base64;     /* how the slice is written */
    const char *end; /* text behind it, or NULL */
};

/* Take the request. `path` is what an Error is about; the second one takes the descriptor of a
 * regular file, too. */
void file_send(struct request *r, const char *path, struct file_slice want,
               const struct file_format *format);
void file_send_fd(struct request *r, const char *path, int fd, const struct file_format *format);

#endif
