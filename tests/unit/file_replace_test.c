#include "applets/service/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/unit/file_rig.h"

/* From here on this process's file systems have no nameless files. */
static int forbid_nameless_files(void)
{
    enum { NAMELESS = O_TMPFILE & ~O_DIRECTORY };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef SYS_open
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_open, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JA, 2, 0, 0),
#endif
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMELESS, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {countof(code), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

enum { SKIPPED = 77 };

/* Replaces path, and gives up another replacement; 0, SKIPPED or the line that went wrong. */
static int replace_with_names(const char *dir, const char *path)
{
    const struct iovec pieces[] = {{(void *)(uintptr_t) "new", 3}};
    struct file_replace f;
    if (forbid_nameless_files() != 0)
        return SKIPPED;
    if (open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) >= 0 || errno != EOPNOTSUPP)
        return SKIPPED;
    if (file_replace_open(&f, NULL, path, -1) != 0 || !f.named || entries(dir) != 2)
        return __LINE__;
    if (file_replace_write(&f, "given up", 8) != 0)
        return __LINE__;
    file_replace_fini(&f);
    if (entries(dir) != 1 || file_replace_with(NULL, path, 0600, pieces, 1) != 0)
        return __LINE__;
    return entries(dir) == 1 ? 0 : __LINE__;
}

TEST(file_replace_without_nameless_files)
{
    struct rig g;
    int status = 0;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    rig_write_file(path, "old");
    pid_t pid = fork();
    if (pid == 0)
        _exit(replace_with_names(g.dir, path));
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != SKIPPED) {
        CHECK_INT(status, 0);
        expect_file(path, "new");
        CHECK_INT(mode_of(path), S_IFREG | 0600);
    }
    rig_fini(&g);
}

/* What stands in the way at the last moment leaves nothing behind. */
TEST(file_replace_cannot_take_the_place)
{
    struct rig g;
    struct file_replace f;
    rig_init(&g);
    const char *path = rig_path(&g, "f");
    CHECK_INT(file_replace_open(&f, NULL, path, -1), 0);
    CHECK_INT(mkdir(path, 0700), 0);
    CHECK_INT(file_replace_commit(&f), EISDIR);
    file_replace_fini(&f);
    CHECK_INT(entries(g.dir), 1);
    rig_fini(&g);
}

TEST(file_replace_parents)
{
    struct rig g;
    rig_init(&g);
    mode_t mask = umask(027);
    cleanup_free char *path = xasprintf("%s/a//b/c/f", g.dir);
    CHECK_INT(file_make_parents(NULL, path), 0);
    CHECK_INT(file_make_parents(NULL, path), 0);
    umask(mask);
    CHECK_INT(mode_of(rig_path(&g, "a/b/c")), S_IFDIR | 0750);
    CHECK_INT(entries(rig_path(&g, "a/b/c")), 0);
    rig_write_file(path, "");
    CHECK_INT(file_make_parents(NULL, rig_path(&g, "a/b/c/f/x")), 0);
    CHECK_INT(file_make_parents(NULL, rig_path(&g, "a/b/c/f/x/y")), ENOTDIR);
    CHECK(file_make_parents(NULL, rig_path(&g, "z/")) > 0);
    CHECK_INT(entries(g.dir), 1);
    CHECK_INT(file_make_parents(NULL, "/f"), 0);
    rig_fini(&g);
}
