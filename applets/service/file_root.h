/* file_root.h: a directory below which alone files are reached, if there is one.
 *
 * A root is what realpath(3) makes of a directory, never "/"; NULL is none. A path is below it by its
 * text; that it stays there, whatever symlinks and ".." it goes through and whoever moves them
 * meanwhile, is the kernel's to see to (openat2 with RESOLVE_BENEATH). An absolute symlink on the
 * way leads outside, wherever it points; one in the last place is followed by file_replace.h as a
 * path of its own. */
#ifndef SERVICE_FILE_ROOT_H
#define SERVICE_FILE_ROOT_H

/* Opens an absolute path, close-on-exec. 0, an errno or FILE_OUTSIDE (file_path.h), then *fd is -1. */
int file_root_open(const char *root, const char *path, int flags, int *fd);
/* The part of an absolute path below the root, without a slash at its start ("" for the root itself); NULL:
 * it is not below. */
const char *file_root_part(const char *root, const char *path);

#endif
