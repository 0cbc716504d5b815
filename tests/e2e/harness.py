"""The base of the end-to-end tests: what a test has at hand.

    class Forwards(TestCase):
        def test_local(self):
            user = self.user()
            echo = self.server(Echo())
            port = free_port()
            self.connected(user, "-L", f"{port}:localhost:{echo.port}")
            self.assertEqual(exchange(port, b"hello"), b"hello")
"""

import contextlib
import os
import subprocess
import unittest

from machine import (DEADLINE, IS_ROOT, STARTUP, TOOLS, Missing, World, each_process, end, free_port, parent,
                     program, state, system, until)
from program import Program
from servers import Echo, Server, Sink, Speaker, Wire, connect, exchange, read_all, read_exactly, reset

__all__ = [
    "DEADLINE", "IS_ROOT", "STARTUP", "TOOLS", "Echo", "Missing", "Server", "Sink", "Speaker", "TestCase",
    "Wire", "connect", "each_process", "end", "exchange", "free_port", "parent", "program", "read_all",
    "read_exactly", "reset", "root_only", "state", "system", "until",
]

HOST = "testhost"  # what sshd's machine is called in the tests' ssh configuration

_world = None


@contextlib.contextmanager
def world():
    global _world
    _world = World()
    try:
        yield _world
    finally:
        _world.close()


def root_only(test):
    return unittest.skipUnless(IS_ROOT, "needs root")(test)


class TestCase(unittest.TestCase):
    transport = "auto"  # of its masters

    def setUp(self):
        self.world = _world
        self.berth_path = _world.berth
        self.dir = _world.test_dir()
        self.home = os.path.join(self.dir, "home")
        self.run_dir = os.path.join(self.dir, "run")
        os.mkdir(self.home, 0o700)
        os.mkdir(self.run_dir, 0o700)
        self.configs = 0
        self._users = set()
        _world.take_reports()
        self.addCleanup(self._check_reports)
        self.addCleanup(_world.end_programs)

    def _check_reports(self):
        reports = self.world.take_reports()
        if reports:
            self.fail("a sanitizer has something to say:\n" + reports)

    @property
    def sshd(self):
        return self.world.sshd

    # ---- the remote side ----

    def user(self, letter="a", shell="/bin/sh"):
        """A user of the remote side, as new. Other letters, other users: those need root."""
        if letter != "a" and not IS_ROOT:
            self.skipTest("needs root")
        user = self.world.user(letter)
        if user not in self._users:
            self._users.add(user)
            user.reset()
            self.addCleanup(user.reset)
        if IS_ROOT:
            user.use_shell(shell)
        return user

    # ---- the local side ----

    def env(self, **more):
        """Of a local user who has nothing set up."""
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("XDG_", "SSH_")) and name != "BERTH"}
        return {**kept, "HOME": self.home, "XDG_RUNTIME_DIR": self.run_dir, **self.world.sanitizer_env, **more}

    def surroundings(self, name):
        """The environment of another local user: without it every master here is the same one's."""
        home = os.path.join(self.dir, name)
        os.makedirs(os.path.join(home, "run"), mode=0o700)
        return self.env(HOME=home, XDG_RUNTIME_DIR=os.path.join(home, "run"))

    def ssh_config(self, user, *lines, port=None, identity=True):
        """Path of an ssh configuration where HOST is this user on our sshd, or on another port. What
        `lines` set has precedence; without `identity` they must name a key."""
        sshd = self.sshd
        self.configs += 1
        path = os.path.join(self.dir, f"ssh_config{self.configs}")
        settings = [
            *lines, "HostName 127.0.0.1", f"Port {port or sshd.port}", f"User {user.name}",
            *([f"IdentityFile {sshd.user_key}"] if identity else []), "IdentitiesOnly yes", "IdentityAgent none",
            f"UserKnownHostsFile {sshd.dir}/known_hosts", "GlobalKnownHostsFile none",
            "HostKeyAlias berth-test", "StrictHostKeyChecking yes",
        ]
        with open(path, "w") as file:
            file.write(f"Host {HOST}\n" + "".join(f"    {line}\n" for line in settings))
        return path

    def start(self, *argv, env=None, **more):
        """A program on the local side, ended with the test."""
        started = Program(list(argv), env=env or self.env(), **more)
        self.addCleanup(started.kill)
        return started

    def master(self, user, *args, command=(), config=None, env=None):
        """`berth master ARGS HOST [-- COMMAND]`, just started."""
        words = [self.berth_path, "master", "-F", config or self.ssh_config(user), "--transport",
                 self.transport, *args, HOST]
        return self.start(*words, *(["--", *command] if command else []), env=env)

    def connected(self, user, *args, **more):
        """A master whose session is up."""
        master = self.master(user, *args, **more)
        master.await_line(r"^berth: \S+: connected")
        return master

    def berth(self, *args, timeout=DEADLINE, env=None):
        """`berth ARGS` on the local side, to its end."""
        return subprocess.run([self.berth_path, *args], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, env=env or self.env())

    def server(self, server):
        """Closed with the test."""
        self.addCleanup(server.close)
        return server

    def mount_tmpfs(self, path, *options):
        """An empty file system over `path`, gone with the test."""
        try:
            system("mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", path)
        except RuntimeError as error:
            self.skipTest(f"cannot mount: {error}")
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=False, stderr=subprocess.DEVNULL)
