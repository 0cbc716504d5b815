/* What a host writes before the agent is reached: markers among noise, and standard error.
 * The same bytes in one piece and in single bytes must be read alike. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/ssh_reason.h"
#include "net/ssh_script.h"

static enum ssh_marker read_whole(struct ssh_scan *s, const uint8_t *data, size_t len, size_t *end)
{
    ssh_scan_init(s, "0123456789abcdef");
    enum ssh_marker marker = ssh_scan_feed(s, data, len, end);
    assert(*end <= len);
    return marker;
}

static enum ssh_marker read_bytes_alone(struct ssh_scan *s, const uint8_t *data, size_t len,
                                        size_t *end)
{
    enum ssh_marker marker = SSH_MARK_NONE;
    ssh_scan_init(s, "0123456789abcdef");
    for (*end = 0; *end < len && marker == SSH_MARK_NONE;) {
        size_t taken;
        marker = ssh_scan_feed(s, data + *end, 1, &taken);
        *end += taken;
    }
    return marker;
}

static void check_reason(const uint8_t *data, size_t len)
{
    struct ssh_reason r = {0};
    bool hopeless;
    ssh_reason_feed(&r, (const char *)data, len);
    char *text = ssh_reason_text(&r, "host", len & 1, &hopeless);
    assert(!text || strlen(text) <= SSH_LINE_MAX);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ssh_scan whole, alone;
    size_t whole_end, alone_end;
    enum ssh_marker marker = read_whole(&whole, data, size, &whole_end);
    enum ssh_marker same = read_bytes_alone(&alone, data, size, &alone_end);
    assert(same == marker);
    assert(whole_end == alone_end);
    if (marker != SSH_MARK_NONE && whole.detail) {
        assert(strcmp(whole.detail, alone.detail) == 0);
        assert(strlen(whole.detail) <= SSH_DETAIL_MAX);
    }
    check_reason(data, size);
    return 0;
}
