/* A body's framing, and the names of statuses. */
#include "net/http_write.h"

#include <stdio.h>

#include "core/mem.h"
#include "net/http_server.h"

static void put_chunk(struct stream *carrier, const struct iovec *iov, int n)
{
    char size[20];
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    if (!len) /* that would be the end */
        return;
    int digits = snprintf(size, sizeof(size), "%zx\r\n", len);
    stream_write(carrier, size, (size_t)digits);
    stream_writev(carrier, iov, n);
    stream_write(carrier, "\r\n", 2);
}

static void put_counted(struct http_body_out *o, struct stream *carrier, const struct iovec *iov,
                        int n)
{
    for (int i = 0; i < n; i++) {
        size_t len = iov[i].iov_len <= o->left ? iov[i].iov_len : (size_t)o->left;
        o->over |= len < iov[i].iov_len;
        o->left -= len;
        stream_write(carrier, iov[i].iov_base, len);
    }
}

void http_put_body(struct http_body_out *o, struct stream *carrier, const struct iovec *iov, int n)
{
    switch (o->framing) {
    case HTTP_FRAME_NONE: break;
    case HTTP_FRAME_LENGTH: put_counted(o, carrier, iov, n); break;
    case HTTP_FRAME_CHUNKS: put_chunk(carrier, iov, n); break;
    case HTTP_FRAME_END: stream_writev(carrier, iov, n); break;
    }
}

int http_put_end(struct http_body_out *o, struct stream *carrier)
{
    if (o->framing == HTTP_FRAME_CHUNKS)
        stream_write(carrier, "0\r\n\r\n", 5);
    return o->over || (o->framing == HTTP_FRAME_LENGTH && o->left) ? -1 : 0;
}

static const struct {
    int status;
    const char *text;
} texts[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *http_status_text(int status)
{
    for (size_t i = 0; i < countof(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "";
}
