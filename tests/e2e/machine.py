"""What the tests have of a machine: a folder, users of their own, and a private sshd.

All of it is named after this run, which holds a lock as long as it lives; what a killed run left behind
is cleaned up by the next one."""

import contextlib
import fcntl
import glob
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IS_ROOT = os.geteuid() == 0
DEADLINE = 30  # seconds until an event that should come counts as missing
TOOLS = ["sh", "head", "chmod", "mv", "mkdir", "uname"]  # all that may be needed of a host

# What each login shell reads before it runs a command.
STARTUP = {
    "/bin/bash": ".bashrc",
    "/bin/zsh": ".zshenv",
    "/usr/bin/fish": ".config/fish/config.fish",
    "/bin/tcsh": ".tcshrc",
}


class Missing(AssertionError):
    """What was awaited did not come."""


def until(true, what, seconds=DEADLINE):
    """Asks `true` again and again; its first true value."""
    end = time.monotonic() + seconds
    while True:
        value = true()
        if value:
            return value
        if time.monotonic() > end:
            raise Missing(f"no {what} within {seconds} s")
        select.select([], [], [], 0.02)


def system(*argv, **more):
    """Runs a program that must succeed; what it printed."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


# ---- processes ----

def each_process():
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def owner(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def program(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def arguments(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def stat_field(pid, number):
    """A field of /proc/PID/stat, counted from the state, which is 0; None when it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[number]
    except OSError:
        return None


def state(pid):
    return stat_field(pid, 0)


def parent(pid):
    return int(stat_field(pid, 1) or 0)


def resident(pid):
    """Bytes. What /proc/PID/status says may be off by some pages for each processor."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Rss:"))


def is_zombie(pid):
    return state(pid) in ("Z", None)


def end(pids, seconds=5):
    """SIGTERM, and SIGKILL for those that it did not end in time."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        handles = []
        for pid in pids:
            with contextlib.suppress(OSError):
                handles.append(os.pidfd_open(pid))
                signal.pidfd_send_signal(handles[-1], sig)
        limit = time.monotonic() + seconds
        for handle in handles:
            select.select([handle], [], [], max(0, limit - time.monotonic()))
            os.close(handle)
        pids = [pid for pid in pids if not is_zombie(pid)]


def mounts_below(folder):
    with open("/proc/mounts") as file:
        points = [line.split()[1].encode().decode("unicode_escape") for line in file]
    return [point for point in reversed(points) if (point + "/").startswith(folder + "/")]


# ---- users ----

class User:
    """A user of the remote side, with a home that is empty at each test's start."""

    def __init__(self, world, letter):
        self.world = world
        if IS_ROOT:
            self.name = f"berth-{letter}-{os.getpid()}"
            self.home = os.path.join(world.dir, "homes", letter)
            self._add()
            entry = pwd.getpwnam(self.name)
        else:
            entry = pwd.getpwuid(os.geteuid())
            self.name = entry.pw_name
            self.home = world.only_home
            self._respect(f"/tmp/berth-{entry.pw_uid}.sock")
        self.uid, self.gid, self.shell = entry.pw_uid, entry.pw_gid, entry.pw_shell
        self.mode = 0o700

    def _add(self):
        def add():
            done = subprocess.run(["useradd", "-M", "-p", "*", "-d", self.home, "-s", "/bin/sh", self.name],
                                  capture_output=True, text=True)
            if done.returncode not in (0, 1):  # 1: another run has the lock on the password file
                raise RuntimeError(done.stderr)
            return done.returncode == 0

        until(add, f"chance to add {self.name}")

    @staticmethod
    def _respect(path):
        """An agent that was there before is the person's own: nothing here may touch it."""
        with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
            s.connect(path)
            raise unittest.SkipTest(f"your own agent runs at {path}")

    def use_shell(self, path):
        if path != self.shell:
            until(lambda: subprocess.run(["usermod", "-s", path, self.name], capture_output=True,
                                         check=False).returncode == 0, "chance to change the shell")
            self.shell = path

    def own(self, path, mode):
        os.chmod(path, mode)
        if IS_ROOT:
            os.chown(path, self.uid, self.gid)

    def make_dir(self, name, mode=0o700):
        path = os.path.join(self.home, name)
        step = self.home
        for part in os.path.relpath(path, self.home).split("/"):
            step = os.path.join(step, part)
            if not os.path.isdir(step):
                os.mkdir(step)
                self.own(step, 0o700)
        self.own(path, mode)
        return path

    def write(self, name, text, mode=0o600):
        """A file in the home, with its folders; its path."""
        path = os.path.join(self.home, name)
        if os.path.dirname(name):
            self.make_dir(os.path.dirname(name))
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        self.own(path, mode)
        return path

    def environment(self, **variables):
        """What sshd gives this user's login shells."""
        self.write(".ssh/environment", "".join(f"{k}={v}\n" for k, v in variables.items()))

    def _child(self, env):
        more = dict(user=self.uid, group=self.gid, extra_groups=[]) if IS_ROOT else {}
        base = {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell,
                "PATH": os.environ["PATH"], **self.world.sanitizer_env}
        return dict(more, env={**base, **(env or {})}, cwd="/")

    def run(self, *argv, env=None, input=None, timeout=DEADLINE):
        """Runs a program as this user, to its end."""
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout,
                              **({"input": input} if input is not None else {"stdin": subprocess.DEVNULL}),
                              **self._child(env))

    def popen(self, *argv, env=None, **more):
        return subprocess.Popen(argv, **{**self._child(env), **more})

    def processes(self):
        """This user's; not as root, only those of the binary under test."""
        if IS_ROOT:
            return [pid for pid in each_process() if owner(pid) == self.uid and not is_zombie(pid)]
        return [pid for pid in each_process() if program(pid).startswith((self.home, self.temp_bin))]

    def agents(self):
        """The daemons."""
        return [pid for pid in self.processes() if arguments(pid)[1:3] == ["agent", "--daemon"]]

    @property
    def cache(self):
        return os.path.join(self.home, ".cache", "berth")

    @property
    def temp_bin(self):
        return f"/tmp/berth-bin-{self.name}"

    def sockets(self):
        return [f"/tmp/berth-{self.uid}.sock", os.path.join(self.home, ".berth.sock")]

    def reset(self):
        """No process, nothing in the home, nothing in /tmp."""
        end(self.processes())
        for point in mounts_below(self.home):
            system("umount", "-l", point)
        clear_temp(self.name, self.uid)
        shutil.rmtree(self.home, ignore_errors=True)
        os.makedirs(self.home)
        self.own(self.home, self.mode)

    def remove(self):
        self.reset()
        if IS_ROOT:
            forget(self.name)


def clear_temp(name, uid):
    """What an agent and its bootstrap leave in /tmp."""
    for path in glob.glob(f"/tmp/berth-{uid}.sock*") + [f"/tmp/berth-{uid}", f"/tmp/berth-bin-{name}"]:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


def forget(name):
    until(lambda: subprocess.run(["userdel", name], capture_output=True, check=False).returncode in (0, 6),
          f"chance to remove {name}")


# ---- sshd ----

class Sshd:
    """On a loopback port of its own; it knows the users' one key, and logs to a file."""

    def __init__(self, world):
        self.dir = os.path.join(world.dir, "sshd")
        os.mkdir(self.dir, 0o755)
        self.log_path = os.path.join(self.dir, "log")
        self.host_key, self.user_key = (os.path.join(self.dir, name) for name in ("host_key", "user_key"))
        for key in (self.host_key, self.user_key):
            system("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key)
        self.port = free_port()
        self.process = None
        self._write_config(world)
        with open(self.host_key + ".pub") as file, open(os.path.join(self.dir, "known_hosts"), "w") as known:
            known.write("berth-test " + file.read())
        self.start()

    def _write_config(self, world):
        env = [f"{name}={value}" for name, value in world.sanitizer_env.items()]
        if not IS_ROOT:
            env.append(f"HOME={world.only_home}")
        lines = [
            f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.host_key}", "PidFile none",
            f"AuthorizedKeysFile {self.user_key}.pub", "StrictModes no", "UsePAM no", "LogLevel VERBOSE",
            "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PrintMotd no",
            "PrintLastLog no", "UseDNS no", "PermitUserEnvironment yes", "MaxStartups 200",
        ] + (["SetEnv " + " ".join(env)] if env else [])
        with open(os.path.join(self.dir, "config"), "w") as file:
            file.write("\n".join(lines) + "\n")

    def start(self):
        if IS_ROOT:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        mark = self.mark()
        self.process = subprocess.Popen(
            [shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"]) or "sshd", "-D",
             "-f", os.path.join(self.dir, "config"), "-E", self.log_path],
            stdin=subprocess.DEVNULL, start_new_session=True)
        with open(os.path.join(self.dir, "pid"), "w") as file:
            file.write(str(self.process.pid))
        until(lambda: "Server listening" in self.log(mark) or self.process.poll() is not None, "sshd")
        if self.process.poll() is not None:
            raise RuntimeError("sshd does not start: " + self.log(mark))

    def stop(self):
        """Refuses new connections; those that are open go on."""
        end([self.process.pid])
        self.process.wait()

    def carriers(self):
        """The processes that serve open connections."""
        return [pid for pid in each_process() if self._is_ours(pid) and pid != self.process.pid]

    def kill_connections(self):
        """Every open connection breaks; sshd goes on listening."""
        end(self.carriers(), seconds=0)

    def _is_ours(self, pid):
        """A process of sshd's own below ours, by what it was forked from."""
        seen = set()
        while pid > 1 and pid not in seen and os.path.basename(program(pid)).startswith("sshd"):
            if pid == self.process.pid:
                return True
            seen.add(pid)
            pid = parent(pid)
        return False

    def mark(self):
        """The log's present length, for what is asked about later."""
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def log(self, since=0):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, "rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")

    def connections(self, since=0):
        return len(re.findall(r"Connection from 127\.0\.0\.1 port", self.log(since)))

    def accepted(self, since=0):
        return len(re.findall(r"Accepted publickey for", self.log(since)))


_given = set()  # ports of this run: none is given twice, though nobody listens there yet


def free_port():
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


# ---- the run ----

class World:
    """Everything that the tests of a run share."""

    def __init__(self):
        self.source = os.path.abspath(os.environ.get("BERTH") or os.path.join(ROOT, "build", "berth"))
        if not os.path.exists(self.source):
            raise SystemExit(f"{self.source}: no such file; build it first")
        clean_leftovers()
        self.dir = f"/tmp/berth-e2e-{os.getpid()}"
        os.mkdir(self.dir, 0o755)
        os.chmod(self.dir, 0o755)
        self.lock = open(os.path.join(self.dir, "lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.only_home = os.path.join(self.dir, "homes", "me")
        os.makedirs(os.path.join(self.dir, "homes"), mode=0o755)
        self._take_binary()
        self._expect_reports()
        self.users = {}
        self._sshd = None
        self.tests = 0

    def _take_binary(self):
        """A copy, so that building goes on meanwhile and every user can reach it."""
        self.bin = os.path.join(self.dir, "bin")
        os.mkdir(self.bin, 0o755)
        self.berth = os.path.join(self.bin, "berth")
        shutil.copy(self.source, self.berth)
        for other in glob.glob(os.path.join(os.path.dirname(self.source), "berth-[ax]*64*")):
            if "." not in os.path.basename(other):
                shutil.copy(other, self.bin)

    def _expect_reports(self):
        """Sanitizers write there what nobody would see on a daemon's standard error."""
        self.reports = os.path.join(self.dir, "reports")
        os.mkdir(self.reports)
        os.chmod(self.reports, 0o1777)
        log = f"log_path={self.reports}/report:print_stacktrace=1"
        self.sanitizer_env = {"ASAN_OPTIONS": log, "UBSAN_OPTIONS": log}

    def take_reports(self):
        """What sanitizers have written since the last time."""
        text = ""
        for path in glob.glob(os.path.join(self.reports, "*")):
            with open(path, errors="replace") as file:
                text += file.read()
            os.unlink(path)
        return text

    @property
    def sshd(self):
        if not self._sshd:
            self._sshd = Sshd(self)
        if self._sshd.process.poll() is not None:
            self._sshd.start()
        return self._sshd

    def user(self, letter):
        if letter not in self.users:
            self.users[letter] = User(self, letter)
        return self.users[letter]

    def test_dir(self):
        self.tests += 1
        path = os.path.join(self.dir, f"t{self.tests}")
        os.mkdir(path, 0o755)
        return path

    def end_programs(self):
        """Whatever runs from our folder: masters that went to the background, agents."""
        end([pid for pid in each_process() if program(pid).startswith(self.dir + "/")])

    def close(self):
        self.end_programs()
        for user in self.users.values():
            user.remove()
        if self._sshd:
            self._sshd.kill_connections()
            self._sshd.stop()
        for point in mounts_below(self.dir):
            system("umount", "-l", point)
        shutil.rmtree(self.dir, ignore_errors=True)


def is_left_over(folder):
    """No run holds its lock. One without a lock is just being made, or very old."""
    try:
        with open(os.path.join(folder, "lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        return time.time() - os.stat(folder).st_mtime > 60
    except OSError:
        return False


def clean_leftovers():
    for folder in glob.glob("/tmp/berth-e2e-*"):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(folder).st_uid == os.geteuid() and is_left_over(folder):
                clean(folder)


def clean(folder):
    pids = [pid for pid in each_process()
            if program(pid).startswith(folder + "/") or f" {folder}/sshd/config" in " ".join(arguments(pid))]
    users = [entry for entry in pwd.getpwall() if entry.pw_name.startswith("berth-")
             and entry.pw_dir.startswith(folder + "/")] if IS_ROOT else []
    for user in users:
        pids += [pid for pid in each_process() if owner(pid) == user.pw_uid]
    end(pids)
    for user in users:
        clear_temp(user.pw_name, user.pw_uid)
        forget(user.pw_name)
    for point in mounts_below(folder):
        system("umount", "-l", point)
    shutil.rmtree(folder, ignore_errors=True)
