"""The end-to-end tests' case with a path in the middle: what it starts runs here, sshd and with it the agent
runs there.

    class Far(TestCase):
        def test_list(self):
            path = self.join(delay="25ms", loss="1%")
            master = self.connected(self.user())
            path.cut()

Here's loopback is not the tests' own: connect to forwards within `path.here.entered()`, and make servers that
agents are to reach within `path.there.entered()`."""

import os
import re
import shutil
import unittest

import harness
from machine import Sshd
from wan import Path, why_not


class FarSshd(Sshd):
    """On every address of the far host."""

    def __init__(self, world, host):
        self.host = host
        super().__init__(world)

    def _write_config(self, world):
        super()._write_config(world)
        path = os.path.join(self.dir, "config")
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(text.replace("ListenAddress 127.0.0.1", "ListenAddress 0.0.0.0\nListenAddress ::"))

    def start(self):
        with self.host.entered():
            super().start()

    def connections(self, since=0):
        return len(re.findall(r"Connection from \S+ port", self.log(since)))

    def close(self):
        self.kill_connections()
        self.stop()
        shutil.rmtree(self.dir)


@unittest.skipIf(why_not(), f"NOT TESTED: {why_not()}")
class TestCase(harness.TestCase):
    path = far = None

    def join(self, **more):
        """The test's path, as wan.Path makes it, with sshd at its far end."""
        self.path = Path(**more)
        self.addCleanup(self.path.close)
        self.far = FarSshd(self.world, self.path.there)
        self.addCleanup(self.far.close)
        return self.path

    @property
    def sshd(self):
        if self.far.process.poll() is not None:
            self.far.start()
        return self.far

    def ssh_config(self, user, *lines, v6=False, **more):
        there = self.path.there
        return super().ssh_config(user, *lines, f"HostName {there.v6 if v6 else there.v4}", **more)

    def start(self, *argv, **more):
        with self.path.here.entered():
            return super().start(*argv, **more)

    def berth(self, *args, **more):
        with self.path.here.entered():
            return super().berth(*args, **more)
