/* version.h: which berth this is. */
#ifndef APPLETS_VERSION_H
#define APPLETS_VERSION_H

const char *berth_version(void); /* "0.1.0" */
/* 16 hex digits: a hash over all sources, the same on every architecture. */
const char *berth_build(void);

#endif
