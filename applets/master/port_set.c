#include "applets/master/port_set.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/opt.h"

#define PORT_MIN 1024

static int parse(struct port_range *r, char *text)
{
    r->excluded = *text == '!';
    char *first = text + r->excluded, *dash = strchr(first, '-');
    if (dash)
        *dash = '\0';
    if (opt_port(first, &r->first) < 0 || opt_port(dash ? dash + 1 : first, &r->last) < 0)
        return -1;
    return r->first < PORT_MIN || r->first > r->last ? -1 : 0;
}

int port_range_parse(struct port_range *r, const char *text)
{
    cleanup_free char *copy = xstrdup(text);
    return parse(r, copy) < 0 || r->excluded ? -1 : 0;
}

int port_set_parse(struct port_set *set, const char *text, const char **why)
{
    cleanup_free char *copy = xstrdup(text);
    char *rest = copy, *word;
    *set = (struct port_set){0};
    while ((word = strsep(&rest, ","))) {
        if (set->n == PORT_SET_MAX) {
            *why = "more than 32 ranges";
            return -1;
        }
        if (parse(&set->ranges[set->n++], word) < 0) {
            *why = "ports are given as 3000-3999,8080,!3306, each from 1024 to 65535";
            return -1;
        }
    }
    return 0;
}

bool port_set_has(const struct port_set *set, uint16_t port)
{
    bool any = false, in = false;
    for (size_t i = 0; i < set->n; i++) {
        const struct port_range *r = &set->ranges[i];
        bool hit = r->first <= port && port <= r->last;
        if (r->excluded && hit)
            return false;
        any = any || !r->excluded;
        in = in || (!r->excluded && hit);
    }
    return port >= PORT_MIN && (in || !any);
}
