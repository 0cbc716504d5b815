"""Life as PID 1 of a container, which is only a namespace, and not ours to power off."""

import contextlib
import os
import signal

from guest import Guest, Missing, unix_way  # tests/guest
from machine import IS_ROOT  # tests/e2e
from program import Program
from vm import TestCase, until

# What a runtime does for us: namespaces, and a /proc of its own.
CONTAINER = ["unshare", *([] if IS_ROOT else ["--user", "--map-root-user"]), "--pid", "--fork", "--kill-child",
             "--mount", "--mount-proc"]


class Container(TestCase):
    def start(self, *options):
        program = Program([*CONTAINER, self.shared_run.berth, "guest-agent", *options], start_new_session=False)
        self.addCleanup(program.wait)
        self.addCleanup(program.process.kill)
        return program

    def listening(self):
        path = self.path("socket")
        program = self.start("--listen", f"unix:{path}")
        program.await_line("listening on")
        return program, Guest(unix_way(path))

    def first(self, program):
        """PID 1, as it is called out here."""
        with open(f"/proc/{program.pid}/task/{program.pid}/children") as file:
            child, = file.read().split()
        return int(child)

    def test_status_of_an_agent_that_cannot_start(self):
        self.assertEqual(self.start("--no-such-option").wait(), 2)
        self.assertEqual(self.start("--listen", "unix:/no/such/folder").wait(), 1)

    def test_status_of_help(self):
        program = self.start("--help")
        self.assertEqual(program.wait(), 0)
        self.assertIn("guest-agent", "\n".join(program.output))

    def test_orphans(self):
        program, guest = self.listening()
        self.assertEqual(guest.sh("(true & true & true &); sh -c 'true & exec true'; echo done"), "done\n")
        until(lambda: "Z" not in guest.sh("sed 's/.*) //' /proc/[0-9]*/stat 2>/dev/null; true"), "reaping")
        self.assertEqual(len(guest.sh("cat /proc/1/task/1/children").split()), 1)

    def test_image_stays_as_it_is(self):
        """What is in /tmp and /run there is not hidden."""
        _, guest = self.listening()
        for path in "/tmp", "/run":
            self.assertEqual(int(guest.sh(f"stat -c %d {path}")), os.stat(path).st_dev)

    def test_agent_that_is_killed_comes_back(self):
        program, guest = self.listening()
        with contextlib.suppress(Missing):  # it may be gone before it has answered
            guest.ask("ExecBackground", command="kill -9 $PPID")
        program.await_line("the agent was ended by signal 9; starting it again")
        program.await_line("listening on")
        self.assertEqual(guest.ask("Ping")["type"], "Pong")

    def test_signals(self):
        program, guest = self.listening()
        for number in set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT,
                                           signal.SIGUSR2}:
            os.kill(self.first(program), number)
        self.assertEqual(guest.ask("Ping")["type"], "Pong")

    def test_end(self):
        """By its runtime, and by who uses it."""
        for end in (lambda program, _: os.kill(self.first(program), signal.SIGTERM),
                    lambda _, guest: self.assertEqual(guest.ask("Shutdown"), {"type": "Ok"})):
            program, guest = self.listening()
            guest.sh("""setsid sh -c "trap '' TERM HUP; while :; do sleep 1000; done" >/dev/null 2>&1 &""")
            end(program, guest)
            self.assertEqual(program.wait(), 0)
