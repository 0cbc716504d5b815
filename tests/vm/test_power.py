"""The end of a machine: in order, and with everything on its disk."""

import shlex
import subprocess

from machine import system  # tests/e2e
from vm import TestCase, module

# PID 1 of machines in which the agent is an ordinary service: PREPARE, then it waits for ever.
SCRIPT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
PREPARE
/berth guest-agent >/dev/console 2>&1 &
while :; do wait; sleep 1; done
"""
DISK = [module("drivers/block/virtio_blk") + ":/virtio_blk.ko"]


class Power(TestCase):
    def with_disk(self, add=(), **what):
        """A machine that has mounted an ext4 at /mnt; and the disk's image."""
        image = self.path("disk")
        system("/sbin/mke2fs", "-q", "-t", "ext4", image, "16M")
        vm = self.machine(add=[*DISK, *add], disk=image, **what)
        vm.sh("insmod /virtio_blk.ko && mkdir /mnt && mount /dev/vda /mnt")
        return vm, image

    def assertEnded(self, vm):
        self.assertEqual(vm.wait(), 0)
        self.assertNotIn("Kernel panic", vm.text())

    def assertClean(self, image):
        """The file system was let go of, not just left."""
        done = subprocess.run(["/sbin/e2fsck", "-fn", image], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("needs_recovery", system("/sbin/dumpe2fs", "-h", image, env={"LC_ALL": "C"}))

    def content(self, image, path):
        return system("/sbin/debugfs", "-R", f"cat {path}", image)

    def test_shutdown_keeps_what_was_written(self):
        vm, image = self.with_disk()
        vm.sh("head -c 4000000 /dev/zero >/mnt/zeros; echo just now >/mnt/file")
        self.assertEqual(vm.guest.ask("Shutdown"), {"type": "Ok"})
        self.assertEnded(vm)
        self.assertEqual(self.content(image, "/file"), "just now\n")
        self.assertClean(image)

    def test_everybody_is_asked_first(self):
        """Who can end in order does, who will not is ended, and who stands still does not keep the rest."""
        vm, image = self.with_disk()
        for name, script in {
                "willing": "trap 'echo asked >/mnt/asked; exit' TERM; touch /tmp/willing; sleep 1000 & wait",
                "unwilling": "trap '' TERM; exec 3>/mnt/open; cd /mnt; touch /tmp/unwilling; while :; do sleep 1; done",
                "still": "touch /tmp/still; kill -STOP $$"}.items():
            vm.sh(f"setsid sh -c {shlex.quote(script)} >/dev/null 2>&1 & until [ -e /tmp/{name} ]; do :; done")
        vm.guest.ask("Shutdown")
        self.assertEnded(vm)
        self.assertEqual(self.content(image, "/asked"), "asked\n")
        self.assertClean(image)

    def service(self, prepare=""):
        """The same, with an agent that is an ordinary service."""
        script = self.file("test", SCRIPT.replace("PREPARE", prepare), 0o755)
        return self.with_disk(add=[f"{script}:/test", f"{self.shared_run.berth}:/berth"], init="/test")

    def test_shutdown_by_an_ordinary_service(self):
        """Nobody else is asked: it powers off by itself, and what was written is on the disk."""
        vm, image = self.service()
        vm.sh("echo just now >/mnt/file")
        self.assertEqual(vm.guest.ask("Shutdown"), {"type": "Ok"})
        self.assertEnded(vm)
        self.assertEqual(self.content(image, "/file"), "just now\n")

    def test_shutdown_below_systemd(self):
        """That is asked, by the signal that it takes for it, and nothing else is done."""
        vm, image = self.service("mkdir -p /run/systemd/system; "
                                 "trap 'echo asked >/mnt/asked; umount /mnt; poweroff -f' 38")
        self.assertEqual(vm.guest.ask("Shutdown"), {"type": "Ok"})
        self.assertEnded(vm)
        self.assertEqual(self.content(image, "/asked"), "asked\n")
        self.assertClean(image)

    def test_signals(self):
        for name in "USR2", "TERM", "INT":
            with self.subTest(signal=name):
                vm = self.machine()
                self.send_to_init(vm, name)
                self.assertEnded(vm)

    def send_to_init(self, vm, name):
        """By something that lives until the machine ends; the answer may still come or not."""
        try:
            vm.sh(f"kill -{name} 1")
        except (OSError, AssertionError):
            pass
