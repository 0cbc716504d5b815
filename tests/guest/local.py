"""Agents of our own on this machine, each on unix sockets in a private folder."""

import os
import shutil
import tempfile

from machine import ROOT, each_process, end, program  # tests/e2e
from program import Program

from guest import GUEST_PORT, RELAY_PORT, Guest, Missing, until, unix_way

# Freed memory is not to be held back for long, or there would be no telling what a transfer takes.
SANITIZER = "quarantine_size_mb=8:thread_local_quarantine_size_kb=64:allocator_release_to_os_interval_ms=100"


class Agent(Guest):
    """`berth guest-agent` on two sockets of its own."""

    def __init__(self, berth, folder, env, **more):
        self.paths = [os.path.join(folder, name) for name in ("guest.sock", "relay.sock")]
        super().__init__(unix_way(*self.paths))
        self.program = Program([berth, "guest-agent", "--listen", f"unix:{self.paths[0]}", "--relay",
                                f"unix:{self.paths[1]}"], env=env, cwd="/", start_new_session=False, **more)
        self.pid = self.program.pid
        try:
            for port in (GUEST_PORT, RELAY_PORT):
                until(lambda: self._answers(port), f"answer of an agent at {self.paths}")
        except BaseException:
            self.program.kill()
            raise

    def _answers(self, port):
        status = self.program.process.poll()
        if status is not None:
            raise Missing(f"berth guest-agent has ended with status {status}:\n{self.program.text()}")
        try:
            return self.ask("Ping", port=port)
        except OSError:
            return None


class Local:
    way = "unix"

    def __init__(self):
        source = os.path.abspath(os.environ.get("BERTH") or os.path.join(ROOT, "build", "berth"))
        if not os.path.exists(source):
            raise SystemExit(f"{source}: no such file; build it first")
        self.slow = source.endswith("-asan")
        self.dir = tempfile.mkdtemp(prefix="berth-guest-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.berth = os.path.join(self.dir, "berth")
        shutil.copy(source, self.berth)  # so that building may go on
        self.reports = os.path.join(self.dir, "reports")
        os.mkdir(self.reports)
        os.chmod(self.reports, 0o1777)
        log = f"log_path={self.reports}/report:print_stacktrace=1"
        self.env = {"PATH": os.environ["PATH"], "HOME": self.dir, "LANG": "C.UTF-8",
                    "ASAN_OPTIONS": f"{log}:{SANITIZER}", "UBSAN_OPTIONS": log}
        self.agents = 0
        try:
            self.guest = self.agent()
        except BaseException:
            self.close()
            raise

    def agent(self, **more):
        """One more agent, ended by its user or with the run."""
        self.agents += 1
        folder = os.path.join(self.dir, f"agent{self.agents}")
        os.mkdir(folder)
        if "user" in more:
            os.chown(folder, more["user"], -1)
        return Agent(self.berth, folder, self.env, **more)

    def take_reports(self):
        """What sanitizers have written since the last time."""
        text = ""
        for name in os.listdir(self.reports):
            path = os.path.join(self.reports, name)
            with open(path, errors="replace") as file:
                text += file.read()
            os.unlink(path)
        return text

    def close(self):
        end([pid for pid in each_process() if program(pid).startswith(self.dir + "/")])
        shutil.rmtree(self.dir, ignore_errors=True)
