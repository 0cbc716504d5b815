"""Life as PID 1 of a machine."""

import signal
import socket

from vm import TestCase, until

SIGNALS = list(range(1, 65))
ORPHANS_SECONDS = 600  # for ten thousand of them
POWER_OFF = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR2}  # what PID 1 takes for that


def states(vm):
    """The state of each process, by its pid."""
    text = vm.sh("cat /proc/[0-9]*/stat 2>/dev/null; true")
    return {int(line.split()[0]): line.rpartition(")")[2].split()[0] for line in text.splitlines()}


def agent(vm):
    """Its pid: it is the parent of what it runs."""
    return int(vm.sh("echo $PPID"))


class Worn(TestCase):
    """Shares a machine that is treated badly."""

    @property
    def vm(self):
        run = self.shared_run
        return run.shared(add=[f"{run.built(name)}:/{name}" for name in ("orphans", "sockets")], memory=512)


class Place(TestCase):
    """What every program inside finds."""

    def test_file_systems(self):
        mounts = {line.split()[1]: line.split()[2] for line in self.vm.sh("cat /proc/mounts").splitlines()}
        for path, kind in (("/proc", "proc"), ("/sys", "sysfs"), ("/dev", "devtmpfs"), ("/dev/pts", "devpts"),
                           ("/dev/shm", "tmpfs"), ("/run", "tmpfs"), ("/tmp", "tmpfs")):
            self.assertEqual(mounts.get(path), kind, path)
        self.assertEqual(self.vm.sh("stat -c %a /tmp /dev/shm /run").split(), ["1777", "1777", "755"])

    def test_devices(self):
        for node in "null", "zero", "full", "random", "urandom", "tty", "ptmx", "console":
            self.vm.sh(f"test -c /dev/{node}")
        self.assertEqual(self.vm.sh("echo yes | cat /dev/stdin"), "yes\n")
        self.assertEqual(self.vm.sh("readlink /dev/fd"), "/proc/self/fd\n")

    def test_environment(self):
        variables = dict(line.split("=", 1) for line in self.vm.sh("env").splitlines())
        self.assertIn("/usr/bin:", variables["PATH"])
        self.assertEqual(variables["HOME"], "/root")
        self.assertEqual(self.vm.sh("hostname"), "berth\n")
        self.assertEqual(self.vm.sh("umask"), "0022\n")

    def test_who_is_killed_for_want_of_memory(self):
        self.assertEqual(self.vm.sh("cat /proc/$PPID/oom_score_adj /proc/self/oom_score_adj"), "-900\n0\n")

    def test_agent_is_the_only_child(self):
        self.assertEqual(self.vm.sh("cat /proc/1/task/1/children").split(), [str(agent(self.vm))])


class Sockets(Worn):
    def test_none_but_vsock(self):
        """Of any process, in whatever state, while connections are open and a request is being read."""
        vm = self.vm
        with vm.connect(5000) as reading, vm.connect(5001):
            reading.sendall(b"\0")
            families = [int(line.split()[1]) for line in vm.sh("/sockets").splitlines()]
            tables = vm.sh("for t in tcp tcp6 udp udp6 udplite raw raw6; do"
                           " [ ! -e /proc/net/$t ] || tail -n +2 /proc/net/$t; done")
        self.assertEqual(tables, "")
        self.assertGreaterEqual(families.count(socket.AF_VSOCK), 5, "two listeners and three connections")
        self.assertEqual(set(families) - {socket.AF_VSOCK, socket.AF_UNIX, socket.AF_NETLINK}, set())


class Children(Worn):
    def test_orphans(self):
        vm = self.vm
        before = len(states(vm))
        with vm.guest.connect(seconds=ORPHANS_SECONDS) as c:
            answer = c.ask("Exec", command="/orphans", timeout_secs=ORPHANS_SECONDS)
        self.assertEqual(answer.get("stdout"), "10000\n", answer)
        until(lambda: "Z" not in states(vm).values(), "end of the zombies")
        self.assertLess(len(states(vm)), before + 20, "more than some of the kernel's threads are left")

    def test_agent_that_is_killed_comes_back(self):
        self.kill_agent(self.vm)

    def kill_agent(self, vm):
        was = agent(vm)
        vm.seen = len(vm.lines)  # other tests have ended agents, too
        self.send(vm, signal.SIGKILL)
        vm.await_line(r"the agent was ended by signal 9; starting it again")
        vm.await_line(r"listening on vsock")
        self.assertNotEqual(agent(vm), was)

    def test_agent_that_is_stopped_goes_on(self):
        was = agent(self.vm)
        self.vm.sh("kill -STOP $PPID")
        self.assertEqual(agent(self.vm), was)

    def test_signals_to_the_agent(self):
        vm = self.vm
        for number in SIGNALS:
            with self.subTest(signal=number):
                self.send(vm, number)
                until(lambda: self.answers(vm), "agent")
        self.assertNotIn("Kernel panic", vm.text())

    def test_signals_to_pid_1(self):
        vm = self.vm
        for number in sorted(set(SIGNALS) - POWER_OFF):
            vm.sh(f"kill -{number} 1")
        self.assertNotIn("Kernel panic", vm.text())
        self.kill_agent(vm)

    def send(self, vm, number):
        """To the agent, which may not live to answer."""
        try:
            vm.sh(f"kill -{number} $PPID")
        except (OSError, AssertionError):
            pass

    def answers(self, vm):
        try:
            return vm.guest.ask("Ping")
        except (OSError, AssertionError):
            return None
