/* One binary, many applets: argv[0] names one (a link called `list`, or `berth-list`), else
 * argv[1] does. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/applets.h"
#include "applets/version.h"
#include "core/key.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/paths.h"

struct applet {
    const char *name;
    int (*main)(char **argv);
    const char *help;
};

static const struct applet applets[] = {
#define APPLET_ROW(id, name, help) {name, id##_main, help},
    APPLETS(APPLET_ROW)
#undef APPLET_ROW
};

static const struct applet *find(const char *name)
{
    for (size_t i = 0; i < countof(applets); i++)
        if (strcmp(applets[i].name, name) == 0)
            return &applets[i];
    return NULL;
}

/* Which applet a link of that name is; an initramfs has it as /init. */
static const struct applet *find_link(const char *argv0)
{
    const char *slash = strrchr(argv0, '/'), *base = slash ? slash + 1 : argv0;
    if (strcmp(base, "init") == 0)
        return find("guest-agent");
    return find(strncmp(base, "berth-", 6) == 0 ? base + 6 : base);
}

static int print_applets(FILE *to)
{
    fprintf(to, "berth %s: every user an agent of their own\n\n", berth_version());
    for (size_t i = 0; i < countof(applets); i++)
        fprintf(to, "  berth %-11s  %s\n", applets[i].name, applets[i].help);
    fprintf(to, "\n"
                "  berth APPLET --help         how to use it, with examples\n"
                "  berth --list                the applets' names\n"
                "  berth --install [-s] DIR    links to this file for all of them (-s: symbolic)\n"
                "  berth --version             version and build\n");
    return to == stdout ? 0 : 2;
}

static int print_names(void)
{
    for (size_t i = 0; i < countof(applets); i++)
        puts(applets[i].name);
    return 0;
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* `self`: this file. A name that is taken by anything but a link to it is left alone. */
static int install_one(const char *self, const char *dir, const char *name, bool symbolic)
{
    cleanup_free char *path = xasprintf("%s/berth-%s", dir, name);
    if (is_same_file(path, self))
        return 0;
    if ((symbolic ? symlink(self, path) : link(self, path)) == 0)
        return 0;
    log_error("%s: %s%s", path, strerror(errno),
              errno == EXDEV ? ": another file system, use -s" : "");
    return 1;
}

static int install(char **argv)
{
    bool symbolic = argv[0] && strcmp(argv[0], "-s") == 0;
    const char *dir = argv[symbolic];
    cleanup_free char *self = path_self();
    int status = 0;
    if (!dir || argv[symbolic + 1]) {
        log_error("usage: berth --install [-s] DIR");
        return 2;
    }
    if (!self) {
        log_error("cannot tell which file this program is: %s", strerror(errno));
        return 1;
    }
    for (size_t i = 0; i < countof(applets); i++)
        status |= install_one(self, dir, applets[i].name, symbolic);
    return status;
}

static int dispatch(char **argv)
{
    const char *word = argv[0];
    const struct applet *applet = word ? find(word) : NULL;
    if (applet)
        return applet->main(argv + 1);
    if (!word || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return print_applets(stdout);
    if (strcmp(word, "--list") == 0)
        return print_names();
    if (strcmp(word, "--install") == 0)
        return install(argv + 1);
    if (strcmp(word, "--version") == 0) {
        printf("berth %s (build %s)\n", berth_version(), berth_build());
        return 0;
    }
    log_error("there is no applet %s (see berth --help)", word);
    return 2;
}

/* What is opened later must not become standard error. */
static void hold_standard_descriptors(void)
{
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        ;
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    hold_standard_descriptors();
    const struct applet *applet = argc > 0 ? find_link(argv[0]) : NULL;
    log_init(LOG_NOTES);
    key_init();
    int status = applet ? applet->main(argv + 1) : dispatch(argc > 0 ? argv + 1 : argv);
    /* A full disk behind `berth list >file` is an error, not a short file. */
    if (fflush(stdout) != 0 && status == 0) {
        log_error("standard output: %s", strerror(errno));
        return 1;
    }
    return status;
}
