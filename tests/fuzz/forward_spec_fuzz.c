/* -L, -R and -D, and the targets in them: what is accepted keeps its meaning as text. */
#include <stdlib.h>
#include <string.h>

#include "net/forward_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct target *t, const char *text,
                       int (*parse)(struct target *t, const char *text, const char **why))
{
    struct target again;
    const char *why = NULL;
    if (parse(&again, text, &why) != 0 || !target_equal(t, &again))
        abort();
}

static void check_target(const char *text)
{
    struct target t;
    char formatted[TARGET_TEXT_MAX];
    const char *why = NULL;
    if (target_parse(&t, text, &why) != 0) {
        if (!why)
            abort();
        return;
    }
    target_format(&t, formatted);
    check_same(&t, formatted, target_parse);
    check_same(&t, text, target_parse_bind);
    target_is_loopback(&t);
}

static void check_spec(enum forward_kind kind, const char *text)
{
    struct forward_spec f;
    char formatted[FORWARD_SPEC_TEXT_MAX], target[TARGET_TEXT_MAX];
    const char *why = NULL;
    if (forward_spec_parse(&f, kind, text, &why) != 0) {
        if (!why)
            abort();
        return;
    }
    forward_spec_format(&f, formatted);
    target_format(&f.bind, target);
    check_same(&f.bind, target, target_parse_bind);
    if (kind == FORWARD_DYNAMIC)
        return;
    target_format(&f.target, target);
    check_same(&f.target, target, target_parse);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    check_target(text);
    check_spec(FORWARD_LOCAL, text);
    check_spec(FORWARD_REMOTE, text);
    check_spec(FORWARD_DYNAMIC, text);
    free(text);
    return 0;
}
