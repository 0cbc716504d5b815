/* Leaves 10 000 processes to whoever is PID 1, a thousand at a time, who then end all at once.
 * Says how many of them saw that PID 1 had become their parent. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 10
#define EACH   1000

/* Lives as long as there is a writer of `life`. */
static void be_orphan(const int life[2], const int report[2])
{
    char byte = 0;
    close(life[1]);
    _exit(read(life[0], &byte, 1) == 0 && getppid() == 1 && write(report[1], &byte, 1) == 1 ? 0
                                                                                            : 1);
}

static void leave_behind(const int life[2], const int report[2])
{
    for (int i = 0; i < EACH; i++)
        if (fork() == 0)
            be_orphan(life, report);
    _exit(0);
}

/* How many there were; -1 when it cannot be said. */
static int run_round(void)
{
    int life[2], report[2], orphans = 0;
    char byte;
    if (pipe(life) < 0 || pipe(report) < 0)
        return -1;
    pid_t parent = fork();
    if (parent == 0)
        leave_behind(life, report);
    waitpid(parent, NULL, 0);
    close(life[0]);
    close(life[1]);
    close(report[1]);
    while (read(report[0], &byte, 1) == 1)
        orphans++;
    close(report[0]);
    return orphans;
}

int main(void)
{
    int all = 0;
    for (int round = 0; round < ROUNDS; round++)
        all += run_round();
    printf("%d\n", all);
    return 0;
}
