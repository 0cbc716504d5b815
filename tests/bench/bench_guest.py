"""A guest agent on a unix socket, and in a virtual machine over vsock, beside `docker exec` and `ssh`: how long a
ping, a command and a file of 1 MiB take, each on a connection of its own; and how long a machine takes from
the kernel's hand-over to the first answer.

Every round measures all ways one after the other; the table has the medians of the rounds."""

import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import time

import harness  # tests/e2e
from machine import ROOT, until

import local  # tests/guest
import vm  # tests/vm

MIB = os.urandom(1 << 20)
BOOTS = 3
COMMAND = ["/bin/busybox", "true"]
FILE = "/tmp/berth-bench-mib"


def took_us(act, least, seconds):
    """The median time of `act`, of so many runs or so many seconds, whatever comes last."""
    times, end = [], time.monotonic() + seconds
    while len(times) < least or time.monotonic() < end:
        start = time.monotonic_ns()
        act()
        times.append((time.monotonic_ns() - start) / 1000)
    return statistics.median(times)


class Way:
    """Something that runs commands elsewhere. What it has none of is None."""

    ping = None

    def __init__(self, name, argv):
        self.name, self.argv = name, argv

    def run(self, *command):
        return subprocess.run([*self.argv, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=True).stdout

    def true(self):
        self.run(*COMMAND)

    def read(self):
        assert self.run("/bin/busybox", "cat", FILE) == MIB


class GuestWay(Way):
    def __init__(self, name, guest):
        self.name, self.guest = name, guest
        guest.put(FILE, MIB)

    def ping(self):
        assert self.guest.ask("Ping")["type"] == "Pong"

    def true(self):
        answer = self.guest.ask("Exec", command=COMMAND[0], args=COMMAND[1:])
        assert answer["exit_code"] == 0, answer

    def read(self):
        assert self.guest.ask("FileRead", path=FILE)["size"] == len(MIB)


# ---- the ways ----

@contextlib.contextmanager
def on_unix_socket():
    world = local.Local()
    try:
        yield GuestWay("unix socket", world.guest)
    finally:
        world.close()


@contextlib.contextmanager
def in_machine(facts):
    with vm.open_run() as run:
        facts["accel"] = run.accel[1]
        facts["boot_ms"] = statistics.median(vm.boot_seconds(run)[0] for _ in range(BOOTS)) * 1000
        yield GuestWay("vsock", run.shared().guest)


def end(process):
    process.terminate()
    process.wait()


@contextlib.contextmanager
def in_container(facts):
    """A dockerd of our own, with one container of busybox; None where that cannot be had."""
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="berth-bench-", dir="/tmp")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        tree, sock = f"{folder}/tree", f"{folder}/docker.sock"
        os.makedirs(f"{tree}/bin")
        os.mkdir(f"{tree}/tmp")
        shutil.copy("/bin/busybox", f"{tree}/bin/busybox")
        with open(tree + FILE, "wb") as file:
            file.write(MIB)
        docker = ["docker", "-H", f"unix://{sock}"]
        try:
            with open(f"{folder}/log", "w") as log:
                daemon = subprocess.Popen(
                    ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-H",
                     f"unix://{sock}", "--pidfile", f"{folder}/pid", "--bridge", "none", "--iptables=false"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(end, daemon)
            until(lambda: not subprocess.run([*docker, "info"], capture_output=True, check=False).returncode,
                  "dockerd")
            tar = subprocess.run(["tar", "-C", tree, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
            subprocess.run([*docker, "import", "-", "bench"], input=tar, capture_output=True, check=True)
            subprocess.run([*docker, "run", "-d", "--network", "none", "--name", "bench", "bench",
                            "/bin/busybox", "sleep", "100000"], capture_output=True, check=True)
            stack.callback(subprocess.run, [*docker, "rm", "-f", "bench"], capture_output=True, check=False)
        except (OSError, AssertionError, subprocess.CalledProcessError) as error:
            facts["docker"] = f"{error} {getattr(error, 'stderr', b'') or b''}"
            print(f"docker exec is not measured: {facts['docker']}", flush=True)
            yield None
            return
        yield Way("docker exec", [*docker, "exec", "bench"])


class Ssh(harness.TestCase):
    def runTest(self):
        """A user, a host, and one connection that others may share."""
        user = self.user()
        own, shared = self.ssh_config(user), self.ssh_config(user)
        control = ["-o", f"ControlPath={self.dir}/control"]
        master = subprocess.Popen(["ssh", "-F", shared, *control, "-o", "ControlMaster=yes", "-N", harness.HOST])
        self.addCleanup(end, master)
        until(lambda: os.path.exists(f"{self.dir}/control"), "shared ssh connection")
        with open(FILE, "wb") as file:
            file.write(MIB)
        self.addCleanup(os.unlink, FILE)
        self.ways = [Way("ssh, shared", ["ssh", "-F", shared, *control, harness.HOST]),
                     Way("ssh", ["ssh", "-F", own, harness.HOST])]


@contextlib.contextmanager
def over_ssh():
    with harness.world():
        ssh = Ssh()
        ssh.setUp()
        try:
            ssh.runTest()
            yield ssh.ways
        finally:
            ssh.doCleanups()


# ---- the table ----

ROWS = {"ping (µs)": "ping", "a command, `true` (µs)": "true", "reading 1 MiB (µs)": "read"}


def measure(way, seconds):
    return {row: took_us(getattr(way, act), 5, seconds / 4) for row, act in ROWS.items() if getattr(way, act)}


def cell(rounds, way, row):
    found = [r[way.name][row] for r in rounds if row in r[way.name]]
    return f"{statistics.median(found):,.0f}" if found else ""


def table(rounds, ways):
    lines = ["| | " + " | ".join(way.name for way in ways) + " |", "|---|" + "---:|" * len(ways)]
    lines += [f"| {row} | " + " | ".join(cell(rounds, way, row) for way in ways) + " |" for row in ROWS]
    return "\n".join(lines)


def section(count, seconds):
    """What RESULTS.md says of it."""
    facts = {}
    subprocess.run([os.path.join(ROOT, "tests", "vm", "fetch")], check=True)
    with on_unix_socket() as unix, in_machine(facts) as vsock, in_container(facts) as docker, over_ssh() as ssh:
        ways = [way for way in (unix, vsock, docker, *ssh) if way]
        rounds = []
        for i in range(count):
            rounds.append({way.name: measure(way, seconds) for way in ways})
            print(f"guest: round {i + 1} of {count}", flush=True)
    machine = {"kvm": "on KVM", "tcg": "in emulation (no KVM here), many times slower than a real one"}
    skipped = f"\n\ndocker exec is not in it: {facts['docker']}" if "docker" in facts else ""
    return (f"Medians of {count} rounds; each ping, command and file on a connection (or a process of ssh or docker) "
            f"of its own.\nvsock leads into a virtual machine that runs {machine[facts['accel']]}; the others are "
            f"on this machine itself.\nFrom the kernel's hand-over to the first Pong that machine takes "
            f"{facts['boot_ms']:,.0f} ms (median of {BOOTS} boots).\n\n{table(rounds, ways)}{skipped}\n")
