/* port_set.h: ports as --auto names them: "3000-3999,8080,!3306". */
#ifndef MASTER_PORT_SET_H
#define MASTER_PORT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_SET_MAX 32 /* ranges in one set */

struct port_range {
    uint16_t first, last;
    bool excluded;
};

struct port_set { /* zeroed: every port from 1024 up */
    struct port_range ranges[PORT_SET_MAX];
    size_t n;
};

/* One range, "3000-3999", or one port; 0 or -1. */
int port_range_parse(struct port_range *r, const char *text);
/* 0, or -1 with *why a static text. Ports below 1024 are refused. */
int port_set_parse(struct port_set *set, const char *text, const char **why);
/* Included by a range, or by there being only excluding ones, and excluded by none. */
bool port_set_has(const struct port_set *set, uint16_t port);

#endif
