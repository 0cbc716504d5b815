/* tls_pem.c: PEM, by BearSSL's decoder. */
#include "net/tls_pem.h"

#include <bearssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/key.h"
#include "core/mem.h"

struct reading {
    br_pem_decoder_context decoder;
    pem_fn *fn;
    void *arg;
    bool inside, too_long;
    size_t len, broken;
    char label[sizeof(((br_pem_decoder_context *)0)->name)];
    uint8_t der[PEM_OBJECT_MAX];
};

static void append(void *arg, const void *p, size_t len)
{
    struct reading *r = arg;
    r->too_long |= len > sizeof(r->der) - r->len;
    if (r->too_long)
        return;
    memcpy(r->der + r->len, p, len);
    r->len += len;
}

static void begin(struct reading *r)
{
    r->inside = true;
    r->too_long = false;
    r->len = 0;
    memcpy(r->label, br_pem_decoder_name(&r->decoder), sizeof(r->label));
    br_pem_decoder_setdest(&r->decoder, append, r);
}

static void end(struct reading *r, bool whole)
{
    if (r->inside && whole && !r->too_long)
        r->fn(r->arg, r->label, r->der, r->len);
    else
        r->broken++;
    r->inside = false;
}

static void push(struct reading *r, const char *text, size_t len)
{
    while (len) {
        size_t n = br_pem_decoder_push(&r->decoder, text, len);
        text += n;
        len -= n;
        switch (br_pem_decoder_event(&r->decoder)) {
        case BR_PEM_BEGIN_OBJ: begin(r); break;
        case BR_PEM_END_OBJ: end(r, true); break;
        case BR_PEM_ERROR: end(r, false); break;
        default: break;
        }
    }
}

size_t pem_read(const char *text, size_t len, pem_fn *fn, void *arg)
{
    struct reading *r = xcalloc(1, sizeof(*r));
    r->fn = fn;
    r->arg = arg;
    br_pem_decoder_init(&r->decoder);
    push(r, text, len);
    push(r, "\n", 1); /* which the decoder needs behind the last line */
    if (r->inside)
        end(r, false);
    size_t broken = r->broken;
    key_wipe(r, sizeof(*r));
    free(r);
    return broken;
}

char *pem_write(const char *label, const uint8_t *der, size_t len)
{
    size_t size = br_pem_encode(NULL, NULL, len, label, BR_PEM_LINE64);
    char *text = xmalloc(size + 1);
    br_pem_encode(text, der, len, label, BR_PEM_LINE64);
    return text;
}
