/* file_offload.h: what a request does to a file, done by a child meanwhile: a slow disk, or one
 * that is gone, holds up nobody else. An opener that gives up is not waited for, but the child
 * brings what it does to its end. */
#ifndef SERVICE_FILE_OFFLOAD_H
#define SERVICE_FILE_OFFLOAD_H

#include "applets/service/offload.h"
#include "applets/service/service.h"

/* The first member of a heap struct that says what is to be done. */
struct file_offload {
    struct request *request;
    struct offload *child; /* NULL: not running */
    char *path;            /* heap: what an Error is about */
    int fd;                /* the child's too; -1: there is none */
    /* Ends the request. `error`: an errno or a file_problem. */
    void (*done)(struct file_offload *f, int error);
};

/* Takes `f` as the request's state. `work` gets it too, and the request's message with it. */
void file_offload_start(struct file_offload *f, struct request *r, offload_work *work);
/* See file_root.h; for `work`. */
const char *file_offload_root(const struct file_offload *f);
/* A `done`: Ok, or an Error. */
void file_offload_answer(struct file_offload *f, int error);

#endif
