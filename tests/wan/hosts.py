"""Hosts that are network namespaces: everything else of the machine they share.

All of them are named after this run, which holds a lock as long as it lives; what a killed run left behind,
processes included, is cleaned up by the next one."""

import contextlib
import ctypes
import fcntl
import glob
import json
import os
import re
import shutil
import subprocess

from machine import DEADLINE, end, is_left_over, system
from program import Program

CLONE_NEWNET = 0x40000000
NAMESPACES = "/run/netns"
PREFIX = "berth-wan"
ADMIN_PATH = "/usr/sbin:/sbin:" + os.environ.get("PATH", "/usr/bin:/bin")

libc = ctypes.CDLL(None, use_errno=True)


def why_not():
    """What keeps this machine from having hosts; None if nothing does."""
    if os.geteuid() != 0:
        return "it needs root"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    for tool in ("ip", "nft", "conntrack"):
        if not shutil.which(tool, path=ADMIN_PATH):
            return f"there is no {tool}"
    return None


def set_namespace(fd):
    if libc.setns(fd, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Run:
    """What the hosts of this process share: a folder with the lock."""

    _now = None

    def __init__(self):
        clean_leftovers()
        self.dir = f"/tmp/{PREFIX}-{os.getpid()}"
        os.mkdir(self.dir, 0o700)
        self.lock = open(os.path.join(self.dir, "lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.hosts = self.names = 0

    def name(self, what):
        self.names += 1
        return f"{PREFIX}-{os.getpid()}-{self.names}-{what}"

    @classmethod
    def join(cls):
        cls._now = cls._now or cls()
        cls._now.hosts += 1
        return cls._now

    def leave(self):
        """With the last host the folder goes too."""
        self.hosts -= 1
        if not self.hosts:
            Run._now = None
            shutil.rmtree(self.dir)
            self.lock.close()


class Host:
    """A namespace with its loopback up. What runs in it ends with it."""

    def __init__(self, what):
        self.what = what
        self.run_of = Run.join()
        self.name = self.run_of.name(what)
        self.netns = os.path.join(NAMESPACES, self.name)
        self.ip("netns", "add", self.name, outside=True)
        self.fd = os.open(self.netns, os.O_RDONLY | os.O_CLOEXEC)
        self.ip("link", "set", "lo", "up")

    # ---- programs ----

    @contextlib.contextmanager
    def entered(self):
        """Sockets that this thread makes, and programs that it starts, belong to this host; so do, for as
        long as they live, connections accepted by a listener made here."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            set_namespace(self.fd)
            try:
                yield self
            finally:
                set_namespace(home)
        finally:
            os.close(home)

    def popen(self, *argv, **more):
        with self.entered():
            return subprocess.Popen(argv, **more)

    def start(self, *argv, **more):
        """A program whose lines are awaited (see program.py)."""
        with self.entered():
            return Program(list(argv), **more)

    def run(self, *argv, timeout=DEADLINE, **more):
        """A program, to its end."""
        with self.entered():
            return subprocess.run(argv, timeout=timeout, check=False,
                                  **{"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, **more})

    def system(self, *argv):
        """One that must succeed; what it printed."""
        with self.entered():
            return system(*argv, env={**os.environ, "PATH": ADMIN_PATH})

    def processes(self):
        return [int(pid) for pid in self.ip("netns", "pids", self.name, outside=True).split()]

    # ---- the network ----

    def ip(self, *words, outside=False):
        where = [] if outside else ["-n", self.name]
        return system("ip", *where, *words, env={**os.environ, "PATH": ADMIN_PATH})

    def ip_batch(self, *lines):
        """Several `ip` commands, as close to each other as can be."""
        with open(os.path.join(self.run_of.dir, f"batch-{self.name}"), "w") as file:
            file.write("\n".join(lines) + "\n")
        self.ip("-batch", file.name)

    def sysctl(self, name, value):
        """A setting below net.*, of this host alone."""
        with self.entered(), open("/proc/sys/" + name.replace(".", "/"), "w") as file:
            file.write(str(value))

    def nft(self, rules):
        """Rules in nft's language, added to those that are there."""
        self.system("nft", rules)

    def overruns(self, device):
        """Packets that the device's own queue had no room for."""
        link, = json.loads(self.ip("-j", "-s", "link", "show", "dev", device))
        return link["stats64"]["tx"]["dropped"]

    def close(self):
        end(self.processes())
        os.close(self.fd)
        self.ip("netns", "del", self.name, outside=True)
        self.run_of.leave()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def folder_of(namespace):
    pid = re.match(rf"{PREFIX}-(\d+)-", namespace)
    return f"/tmp/{PREFIX}-{pid[1]}" if pid else None


def clean_leftovers():
    """A namespace without its run's folder is as dead as one whose lock nobody holds."""
    dead = {folder for folder in glob.glob(f"/tmp/{PREFIX}-*") if is_left_over(folder)}
    for path in glob.glob(f"{NAMESPACES}/{PREFIX}-*"):
        name = os.path.basename(path)
        folder = folder_of(name)
        if folder and (folder in dead or not os.path.exists(folder)):
            end([int(pid) for pid in system("ip", "netns", "pids", name).split()])
            system("ip", "netns", "del", name)
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
