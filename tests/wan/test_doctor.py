"""`berth doctor` of UDP on its way to another host, and of what is in that way."""

import re

from afar import TestCase
from harness import HOST

INPUT = "table inet t {{ chain c {{ type filter hook input priority 0; {}; }}; }}"
OUTPUT = "table inet t {{ chain c {{ type filter hook output priority 0; {}; }}; }}"
BY_SSH = "; until then sessions go over ssh$"


class Doctor(TestCase):
    def examine(self, user, *lines, v6=False):
        """The lines on UDP and the firewall, each with its remedy."""
        mark = self.sshd.mark()
        done = self.berth("doctor", "-F", self.ssh_config(user, *lines, v6=v6), HOST)
        self.assertEqual((done.stderr, done.returncode), ("", 0), done.stdout)
        self.assertEqual(self.sshd.connections(mark), 1)
        rows = re.findall(r"^(\S+) +(udp path|firewall) +(.*)\n(?: +-> (.*)\n)?", done.stdout, re.M)
        return {name: (level, text, remedy) for level, name, text, remedy in rows}

    def assert_row(self, rows, name, level, text, remedy="^$"):
        self.assertIn(name, rows)
        self.assertEqual(rows[name][0], level, rows[name])
        self.assertRegex(rows[name][1], text)
        self.assertRegex(rows[name][2], remedy)

    def visited(self):
        """A user of the far host, and its path, with our binary there."""
        path = self.join(delay="10ms")
        user = self.user()
        self.connected(user).stop()
        return user, path

    def test_before_the_first_session(self):
        self.join()
        rows = self.examine(self.user())
        self.assert_row(rows, "udp path", "?", "^not tried: ")

    def test_gets_through(self):
        user, path = self.visited()
        address = re.escape(path.there.v4)
        rows = self.examine(user)
        self.assert_row(rows, "udp path", "ok",
                        rf"^gets through to {address}, port (4\d{{4}}|50000), in \d+(\.\d)? ms; over IPv6 too$")
        self.assert_row(self.examine(user, v6=True), "udp path", "ok",
                        rf"^gets through to {re.escape(path.there.v6)}, port \d+, in \S+ ms; over IPv4 too$")

    def test_over_one_family(self):
        user, path = self.visited()
        path.there.nft(INPUT.format("meta nfproto ipv6 meta l4proto udp drop"))
        self.assert_row(self.examine(user), "udp path", "ok", f"; not to {re.escape(path.there.v6)}$")

    def test_dropped(self):
        user, path = self.visited()
        path.there.nft(INPUT.format("meta l4proto udp drop"))
        rows = self.examine(user)
        self.assert_row(rows, "udp path", "warn",
                        f"^does not get through to {re.escape(path.there.v4)}, port \\d+: no answer$",
                        "open UDP 40000-50000 to it at its provider .*" + BY_SSH)
        self.assertIn(rows["firewall"][0], ("?", "warn"), rows)
        self.assertIn("only root may", rows["firewall"][1])

    def test_refused(self):
        user, path = self.visited()
        path.there.nft(INPUT.format("meta l4proto udp reject"))
        self.assert_row(self.examine(user), "udp path", "warn", ": it is refused$", BY_SSH)

    def test_forbidden_here(self):
        user, path = self.visited()
        path.here.nft(OUTPUT.format("meta l4proto udp drop"))
        self.assert_row(self.examine(user), "udp path", "warn", ": this machine may not send it$",
                        "^have this machine's own firewall let UDP out" + BY_SSH)

    def test_only_short_ones(self):
        user, path = self.visited()
        path.there.nft(INPUT.format("udp length > 1000 drop"))
        self.assert_row(self.examine(user), "udp path", "warn",
                        f"^only short datagrams get through to {re.escape(path.there.v4)}, port \\d+$",
                        "its MTU must be 1280 at least" + BY_SSH)
