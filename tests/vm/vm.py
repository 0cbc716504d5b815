"""Virtual machines that boot Debian's kernel to our initramfs, and are spoken to over vsock.

    run = Run()
    with Machine(run) as vm:
        vm.guest.ask("Ping")               a request on a connection of its own
        vm.connect(5000)                   a socket to a port inside
        vm.await_line("Kernel panic")      on the console

vsock reaches them by vhost-device-vsock, as a hybrid vsock socket: `vm.uds`. They run on KVM where it works,
else in emulation."""

import contextlib
import glob
import os
import shutil
import subprocess
import tempfile
import time
import unittest

os.environ.setdefault("GUEST_DEADLINE", "120")  # an emulated machine is slow

from guest import DEADLINE, Guest, Missing, hybrid_way, until  # noqa: E402 (tests/guest)
from machine import ROOT, system  # noqa: E402 (tests/e2e)
from program import Program  # noqa: E402

__all__ = ["DEADLINE", "ROOT", "Guest", "Machine", "Missing", "Run", "TestCase", "boot_seconds", "kernel_file",
           "mkinitramfs", "module", "modules_dir", "open_run", "python_tree", "until"]

HERE = os.path.dirname(os.path.abspath(__file__))
FETCHED = os.path.join(ROOT, "build", "vm")
BOOT_SECONDS = 60  # a busy machine emulates slowly
EMULATED = "max,-cx16"  # one boot in six of a Linux 6.12 panics by QEMU 7.2's cmpxchg16b, which damages its flags
# A kernel that counts too few ticks of its clock at first, as on a busy machine that emulates, would panic.
CMDLINE = "console=ttyS0 quiet panic=-1 no_timer_check"
PROBE_SECONDS = 5  # for a kernel that has nothing to boot to


def under_x86(program):
    """The command for a program of the machines' architecture on this machine."""
    return [program] if os.uname().machine == "x86_64" else ["qemu-x86_64-static", program]


# ---- what was fetched ----

def only(folder, beginning):
    name, = (name for name in os.listdir(folder) if name.startswith(beginning))
    return os.path.join(folder, name)


def kernel_file(kernel="kernel"):
    return only(os.path.join(FETCHED, kernel, "boot"), "vmlinuz-")


def modules_dir(kernel="kernel"):
    folder = os.path.join(FETCHED, kernel)
    usr = "usr" if os.path.isdir(os.path.join(folder, "usr", "lib", "modules")) else ""
    return only(os.path.join(folder, usr, "lib", "modules"), "")


def module(name):
    """The path of a kernel module's file, from what is below `kernel/`."""
    return os.path.join(modules_dir(), "kernel", name + ".ko")


def python_tree():
    """What to add for /usr/bin/python3."""
    tree = os.path.join(FETCHED, "guest")
    return [f"{tree}/{name}:/{name}" for name in ("lib", "lib64", "usr/lib")] + [
        only(f"{tree}/usr/bin", "python3") + ":/usr/bin/python3"]


def mkinitramfs(*args, **more):
    return subprocess.run([os.path.join(ROOT, "scripts", "mkinitramfs"), *args], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, **more)


def boots_on_kvm():
    """Whether a kernel gets anywhere on KVM. It is to find no root, panic, and reboot, which is the end."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
        done = subprocess.run(
            ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-M", "q35", "-m", "256M", "-nodefaults",
             "-nographic", "-no-reboot", "-kernel", kernel_file(), "-append", "panic=-1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def accelerator():
    """QEMU's options, found out once in the life of this machine."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    path = os.path.join(FETCHED, "kvm-" + boot)
    if not os.path.exists(path):
        with open(path, "w") as file:
            file.write("works" if boots_on_kvm() else "")
    return ["-accel", "kvm", "-cpu", "host"] if os.path.getsize(path) else ["-accel", "tcg", "-cpu", EMULATED]


# ---- a run ----


def clean_leftovers():
    """The folders of runs that were killed."""
    for folder in glob.glob("/tmp/berth-vm-*-*"):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(folder).st_uid == os.geteuid() and not os.path.exists(f"/proc/{folder.split('-')[2]}"):
                shutil.rmtree(folder)


class Run:
    """What the machines of a run share: a folder, the tools inside of them, and initramfs by what is in them."""

    def __init__(self):
        clean_leftovers()
        self.dir = tempfile.mkdtemp(prefix=f"berth-vm-{os.getpid()}-", dir="/tmp")
        source = os.path.abspath(os.environ.get("BERTH") or os.path.join(ROOT, "build", "berth"))
        if os.path.basename(source) == "berth" and os.uname().machine != "x86_64":
            source += "-x86_64"
        self.berth = os.path.join(self.dir, "berth")
        shutil.copy(source, self.berth)  # so that building may go on
        self.tools = os.path.join(self.dir, "tools")
        self._link_tools()
        self.accel = accelerator()
        self.made = {}
        self.machines = 0
        self.shared_machines = {}

    def _link_tools(self):
        os.makedirs(os.path.join(self.tools, "bin"))
        busybox = os.path.join(self.tools, "bin", "busybox")
        shutil.copy(os.path.join(FETCHED, "guest", "bin", "busybox"), busybox)
        names = subprocess.run([*under_x86(busybox), "--list"], capture_output=True, text=True, check=True)
        for name in set(names.stdout.split()) - {"busybox"}:
            os.symlink("busybox", os.path.join(self.tools, "bin", name))

    def initramfs(self, modules=True, add=(), kernel="kernel"):
        """Its path, with a shell and the like; made once."""
        key = (modules, kernel, *add)
        if key not in self.made:
            path = os.path.join(self.dir, f"initramfs{len(self.made)}")
            words = ["--modules", modules_dir(kernel)] if modules else []
            for what in (f"{self.tools}:/", *add):
                words += ["--add", what]
            done = mkinitramfs("--berth", self.berth, "--compress", "none", *words, "-o", path)
            if done.returncode:
                raise RuntimeError(done.stderr)
            self.made[key] = path
        return self.made[key]

    def built(self, name):
        """The path of tests/vm/NAME.c, compiled for the machines."""
        path = os.path.join(self.dir, name)
        if not os.path.exists(path):
            system(os.path.join(ROOT, "build", "vendor", "x86_64", "bin", "cc"), "-O2", "-static", "-D_GNU_SOURCE",
                   "-o", path, os.path.join(HERE, name + ".c"))
        return path

    def machine_dir(self):
        self.machines += 1
        path = os.path.join(self.dir, f"m{self.machines}")
        os.mkdir(path)
        return path

    def shared(self, **what):
        """A machine that many tests use, and none ends; booted for the first of them."""
        key = repr(sorted(what.items()))
        vm = self.shared_machines.get(key)
        if not vm or vm.process.poll() is not None:
            vm = self.shared_machines[key] = Machine(self, **what)
        return vm

    def close(self):
        for vm in self.shared_machines.values():
            vm.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Machine(Program):
    """Its console is what Program has as lines. `options` are the guest agent's; `modules` False: the initramfs
    has none; `init`: what is run in its place; `disk`: a file that is /dev/vda, once there is a driver;
    `kernel`: which of those that were fetched."""

    def __init__(self, run, modules=True, options="", cmdline="", add=(), init=None, disk=None, net=False,
                 vsock=True, memory=256, kernel="kernel", ready=r"listening on vsock"):
        self.dir = run.machine_dir()
        self.uds = os.path.join(self.dir, "vsock")
        self.guest = Guest(hybrid_way(self.uds))
        self.vhost = None
        words = ["qemu-system-x86_64", *run.accel, "-M", "q35", "-nodefaults", "-nographic", "-no-reboot",
                 "-m", f"{memory}M", "-object", f"memory-backend-memfd,id=m,size={memory}M,share=on",
                 "-machine", "memory-backend=m", "-kernel", kernel_file(kernel),
                 "-initrd", run.initramfs(modules, tuple(add), kernel), "-append",
                 " ".join(filter(None, [CMDLINE, init and f"rdinit={init}", cmdline,
                                        options and f"-- {options}"])),
                 "-serial", "file:/proc/self/fd/2"]
        if vsock:
            words += self._start_vhost()
        if disk:
            words += ["-drive", f"file={disk},format=raw,if=virtio"]
        if net:
            words += ["-netdev", "user,id=n,restrict=on", "-device", "virtio-net-pci,netdev=n"]
        super().__init__(words, start_new_session=False)
        if ready:
            self._await_ready(ready)

    def _start_vhost(self):
        path = os.path.join(self.dir, "vhost")
        self.vhost = Program([os.path.join(FETCHED, "vhost", "usr", "bin", "vhost-device-vsock"), "--guest-cid",
                              "4", "--socket", path, "--uds-path", self.uds], start_new_session=False)
        try:
            until(lambda: os.path.exists(path) or self.vhost.process.poll() is not None, "vhost-device-vsock")
        except Missing:
            self.vhost.kill()
            raise
        if self.vhost.process.poll() is not None:
            raise Missing(f"vhost-device-vsock has ended:\n{self.vhost.text()}")
        return ["-chardev", f"socket,id=c,path={path}", "-device", "vhost-user-vsock-pci,chardev=c"]

    def _await_ready(self, pattern):
        try:
            self.await_line(pattern, BOOT_SECONDS)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def connect(self, port):
        return self.guest.way(port)

    def sh(self, script, **fields):
        """What the script prints inside; it has to succeed."""
        return self.guest.sh(script, **fields)

    def close(self):
        """At once, as if somebody had pulled the plug."""
        self.kill()
        if self.vhost:
            self.vhost.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- how long a boot takes ----

def hand_over(vm):
    """When the kernel ran PID 1, on its clock."""
    line = vm.sh("dmesg | grep 'Run /init as init process'")
    return float(line.strip("[").split("]")[0])


def boot_seconds(run):
    """To the first Pong, from the kernel's hand-over to PID 1 and from QEMU's start. The kernel's clock is ours,
    but for where it begins."""
    started = time.monotonic()
    with Machine(run) as vm:
        vm.guest.ask("Ping")
        answered = time.monotonic()
        uptime = float(vm.sh("cat /proc/uptime").split()[0])
        since = time.monotonic() - answered
        return uptime - since - hand_over(vm), answered - started


# ---- tests ----

_run = None


@contextlib.contextmanager
def open_run():
    global _run
    _run = Run()
    try:
        yield _run
    finally:
        _run.close()


class TestCase(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.shared_run = _run

    @property
    def vm(self):
        """The machine for tests that leave it as it was."""
        return self.shared_run.shared()

    def machine(self, **what):
        """One of the test's own, gone with it."""
        vm = Machine(self.shared_run, **what)
        self.addCleanup(vm.close)
        return vm

    def folder(self):
        """An empty one of the test's own."""
        return tempfile.mkdtemp(dir=self.shared_run.dir)

    def path(self, name):
        return os.path.join(self.folder(), name)

    def file(self, name, text="", mode=0o644):
        path = self.path(name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path
