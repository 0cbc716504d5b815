"""`berth guest` and the real thing: hybrid vsock from the host, AF_VSOCK inside the machine."""

import os
import subprocess
import unittest

from vm import ROOT, TestCase

UNIT = os.path.join(ROOT, "build", "unit-x86_64")
MIB = 1 << 20


class Client(TestCase):
    @property
    def vm(self):
        """With our programs inside, which may ask the agent too."""
        add = [f"{self.shared_run.berth}:/bin/berth"]
        if os.path.exists(UNIT):
            add.append(f"{UNIT}:/bin/unit")
        return self.shared_run.shared(options="--allow-local", add=tuple(add), memory=512)

    def host(self, *words, data=b"", port=None):
        """`berth guest` on the host, to its end."""
        place = ["--uds", self.vm.uds, *(["--port", str(port)] if port else [])]
        return subprocess.run([self.shared_run.berth, "guest", *place, *words], input=data, capture_output=True,
                              timeout=120, check=False)

    def check(self, done, status=0, error=b""):
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(error, done.stderr)
        self.assertEqual(bool(done.stderr), bool(error), done.stderr)
        return done.stdout

    def test_from_the_host(self):
        self.assertIn(b"answered in", self.check(self.host("ping")))
        self.check(self.host("sync"))
        self.assertEqual(self.check(self.host("exec", "-i", "tr a b; uname -s", data=b"a")), b"bLinux\n")
        self.check(self.host("exec", "kill -KILL $$"), 137)

    def test_files_from_the_host(self):
        data = os.urandom(20 * MIB)
        self.check(self.host("put", "/tmp/file", data=data))
        self.assertEqual(self.check(self.host("get", "/tmp/file")), data)
        self.assertEqual(self.check(self.host("exec", "-i", "cat", data=data)), data)
        self.check(self.host("exec", "rm /tmp/file"))
        self.check(self.host("get", "/tmp/file"), 1, b"/tmp/file: No such file or directory")

    def test_a_port_that_nobody_listens_on(self):
        self.check(self.host("ping", port=77), 1, b"Connection refused")

    def test_the_whole_disk_of_a_guest(self):
        """What finds no room leaves the old file, and room for others."""
        self.check(self.host("put", "/tmp/old", data=b"old"))
        self.check(self.host("put", "/tmp/old", data=os.urandom(MIB) * 600), 1, b"No space left on device")
        self.assertEqual(self.check(self.host("get", "/tmp/old")), b"old")

    # ---- inside, by AF_VSOCK to itself ----

    def test_inside(self):
        for cid in 1, 4:  # loopback's, and its own
            said = self.vm.sh(f"""
                guest="berth guest --cid {cid}"
                $guest ping | grep -o 'vsock:{cid}:5000: version'
                head -c 5000000 /dev/urandom >/tmp/one
                $guest put /tmp/one /tmp/two && $guest get /tmp/two /tmp/three && cmp /tmp/one /tmp/three && echo same
                $guest exec -i cat </tmp/one | cmp - /tmp/one && echo same
                $guest exec 'exit 9' || echo $?
                rm /tmp/one /tmp/two /tmp/three""")
            self.assertEqual(said, f"vsock:{cid}:5000: version\nsame\nsame\n9\n")

    def test_nobody_inside(self):
        said = self.vm.sh("berth guest --cid 1 --port 77 ping 2>&1 || echo $?")
        self.assertEqual(said, "berth: cannot reach the guest agent at vsock:1:77: Connection refused "
                         "(nobody listens there: is berth guest-agent up?)\n1\n")

    @unittest.skipUnless(os.path.exists(UNIT), "the unit tests are not built for the machine")
    def test_the_unit_tests_of_vsock(self):
        said = self.vm.sh("unit vsock guest_dial 2>&1")
        self.assertNotIn("not tested", said)
        self.assertRegex(said, r"^\d+ passed, 0 failed\n$")
