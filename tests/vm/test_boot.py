"""From the kernel's hand-over to the first answer, with modules and without."""

import os

from vm import TestCase, modules_dir


class Boot(TestCase):
    def test_first_answer(self):
        answer = self.vm.guest.ask("Ping")
        self.assertEqual(answer["type"], "Pong")
        self.assertNotIn("Kernel panic", self.vm.text())

    def test_modules_that_are_in_the_initramfs_alone(self):
        loaded = self.vm.sh("cut -d ' ' -f 1 /proc/modules").split()
        for name in "virtio_pci", "vsock", "vmw_vsock_virtio_transport", "virtio_net":
            self.assertIn(name, loaded)
        self.assertNotIn("vsock_loopback", loaded)

    def test_loopback_only_when_told(self):
        vm = self.machine(options="--allow-local")
        self.assertIn("vsock_loopback", vm.sh("cut -d ' ' -f 1 /proc/modules").split())


    def test_loopback_where_there_is_vsock_already(self):
        vm = self.machine()
        vm.guest.ask("ExecBackground", command="/init --allow-local --port 6000 --relay-port 6001 "
                                               ">/dev/console 2>&1")
        vm.await_line(r"listening on vsock:4:6000")
        self.assertIn("vsock_loopback", vm.sh("cut -d ' ' -f 1 /proc/modules").split())


class Packed(TestCase):
    """A kernel that has virtio built in, and its modules packed by xz."""

    def loaded(self, **what):
        vm = self.machine(kernel="packed", **what)
        self.assertEqual(vm.guest.ask("Ping")["type"], "Pong")
        return vm.sh("cut -d ' ' -f 1 /proc/modules").split()

    def test_unpacked_into_the_initramfs(self):
        self.assertIn("vmw_vsock_virtio_transport", self.loaded())

    def test_unpacked_by_the_kernel(self):
        tree = modules_dir("packed")
        add = [f"{tree}/kernel/net/vmw_vsock/{name}.ko.xz:/lib/modules/{os.path.basename(tree)}/{name}.ko.xz"
               for name in ("vsock", "vmw_vsock_virtio_transport", "vmw_vsock_virtio_transport_common")]
        self.assertIn("vmw_vsock_virtio_transport", self.loaded(modules=False, add=add))


SLOWER = 5  # a busy machine that emulates; on an idle one it takes 1.03 s

# What PID 1 is in place of ours: it runs an agent to its end, and says how that was.
SCRIPT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for modules in /nowhere /empty /alien /lib/modules; do
    read before rest </proc/uptime
    /berth guest-agent --modules $modules
    status=$?
    read after rest </proc/uptime
    echo "modules $modules: status $status, from $before to $after"
done >/dev/console 2>&1
poweroff -f
"""


class Without(TestCase):
    """An agent that is an ordinary process, in a machine without vsock."""

    def lines_of(self, vm, modules):
        """What the agent said, its exit status and how long it took."""
        found = vm.await_line(rf"modules {modules}: status (\d+), from (\S+) to (\S+)", 60)
        said = vm.lines[:vm.seen - 1]
        start = max([i for i, line in enumerate(said) if line.startswith("modules ")], default=-1)
        return said[start + 1:], int(found[1]), float(found[3]) - float(found[2])

    def test_diagnosis(self):
        vm = self.machine(modules=False, init="/test", ready=None, add=[
            self.file("test", SCRIPT, 0o755) + ":/test", f"{self.shared_run.berth}:/berth",
            self.folder() + ":/empty", self.file("vsock.ko.zst", "not a module") + ":/alien/vsock.ko.zst"])
        expected = {
            "/nowhere": ["no /nowhere", "vsock, vmw_vsock_virtio_transport_common", "mkinitramfs"],
            "/empty": ["no file for virtio", "below /empty", "mkinitramfs"],
            "/alien": ["vsock: this kernel does not unpack .ko.zst files"],
            "/lib/modules": ["no /lib/modules"],
        }
        for modules, words in expected.items():
            with self.subTest(modules=modules):
                said, status, seconds = self.lines_of(vm, modules)
                self.assertEqual(status, 1)
                line, = [line for line in said if "berth: vsock cannot be had" in line]
                for word in words:
                    self.assertIn(word, line)
                self.assertLess(seconds, 2 * SLOWER)
        self.assertEqual(vm.wait(), 0)

    def test_pid_1_goes_on(self):
        vm = self.machine(modules=False, ready=r"vsock cannot be had")
        for _ in range(3):
            vm.await_line(r"the agent ended with status 1; starting it again")
            vm.await_line(r"vsock cannot be had: .*no /lib/modules")

    def test_no_device(self):
        vm = self.machine(vsock=False, ready=None)
        vm.await_line(r"vsock cannot be had: no device", 60)
