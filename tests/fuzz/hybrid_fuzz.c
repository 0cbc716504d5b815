/* A machine monitor's answer, cut where the first byte says; the cut must not matter. */
#include <stdlib.h>
#include <string.h>

#include "net/hybrid_vsock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Adds what was taken to *used. */
static enum hybrid_status feed(struct hybrid_answer *a, const uint8_t *in, size_t len, size_t *used)
{
    size_t n = len;
    enum hybrid_status status = hybrid_feed(a, in, &n);
    if (n > len || (n < len && status == HYBRID_MORE))
        abort();
    *used += n;
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const uint8_t *in = data + 1;
    size_t len = size - 1, cut = data[0] < len ? data[0] : len, used = 0, used_parts = 0;
    struct hybrid_answer whole = {0}, parts = {0};
    enum hybrid_status status = feed(&whole, in, len, &used);
    enum hybrid_status of_parts = feed(&parts, in, cut, &used_parts);
    if (of_parts == HYBRID_MORE)
        of_parts = feed(&parts, in + cut, len - cut, &used_parts);
    if (status != of_parts || used != used_parts || used > HYBRID_LINE_MAX)
        abort();
    if (status == HYBRID_OK &&
        (memcmp(in, "OK ", 3) != 0 || memchr(in, '\n', used) != in + used - 1))
        abort();
    return 0;
}
