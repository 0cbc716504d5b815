"""ConfigureNetwork, SetHostname, ConfigureWorkspace: of a VM with one interface, eth0."""

import ipaddress
import socket
import struct

from harness import TestCase


def address(text):
    """Of /proc/net/route: hexadecimal, in the machine's order."""
    return socket.inet_ntoa(struct.pack("<I", int(text, 16)))


class Interface(TestCase):
    def setUp(self):
        super().setUp()
        if not self.guest.exists("/sys/class/net/eth0"):
            self.skipTest("the VM has no eth0")

    def configure(self, ip="10.99.0.5", gateway="10.99.0.1", **more):
        return self.ask("ConfigureNetwork", ip_address=ip, gateway=gateway, **more)

    def routes(self):
        """Of eth0: (destination, gateway, mask)."""
        rows = [line.split() for line in self.sh("cat /proc/net/route").splitlines()[1:]]
        return {(address(row[1]), address(row[2]), address(row[7])) for row in rows if row[0] == "eth0"}

    def addresses(self):
        """Local ones that are not of lo, by the kernel's table."""
        found, last = set(), None
        for line in self.sh("cat /proc/net/fib_trie").splitlines():
            words = line.split()
            if len(words) == 2 and words[0] == "|--":
                last = words[1]
            elif words[:2] == ["/32", "host"] and words[2:] == ["LOCAL"] and not last.startswith("127."):
                found.add(last)
        return found

    def assertConfigured(self, ip, gateway, prefix=16):
        network = ipaddress.ip_network(f"{ip}/{prefix}", strict=False)
        self.assertEqual(self.addresses(), {ip})
        self.assertEqual(self.routes(), {("0.0.0.0", gateway, "0.0.0.0"),
                                         (str(network.network_address), "0.0.0.0", str(network.netmask))})
        flags = int(self.sh("cat /sys/class/net/eth0/flags"), 16)
        self.assertTrue(flags & 1, "eth0 is not up")


class Network(Interface):
    def test_address_and_route(self):
        self.assertOk(self.configure())
        self.assertConfigured("10.99.0.5", "10.99.0.1")
        self.assertEqual(self.sh("cat /etc/resolv.conf"), "nameserver 1.1.1.1\nnameserver 8.8.8.8\n")

    def test_again(self):
        """The old address and route are gone."""
        self.assertOk(self.configure())
        self.assertOk(self.configure("192.168.7.9", "192.168.7.254", dns=["192.168.7.1"]))
        self.assertConfigured("192.168.7.9", "192.168.7.254")
        self.assertEqual(self.sh("cat /etc/resolv.conf"), "nameserver 192.168.7.1\n")
        self.assertOk(self.configure("192.168.7.9", "192.168.7.254", dns=[]))
        self.assertConfigured("192.168.7.9", "192.168.7.254")
        self.assertEqual(self.sh("cat /etc/resolv.conf"), "")

    def test_prefix(self):
        """Taken as agentiso means it: without one it is /16."""
        self.assertOk(self.configure("10.99.3.5/16", "10.99.0.1"))
        self.assertConfigured("10.99.3.5", "10.99.0.1")

    def test_refusals(self):
        """Before anything is changed."""
        self.assertOk(self.configure())
        for ip, gateway, more in (
                ("10.99.0.300", "10.99.0.1", {}), ("", "10.99.0.1", {}), ("eth0", "10.99.0.1", {}),
                ("10.99.0.5; reboot", "10.99.0.1", {}), ("10.99.0", "10.99.0.1", {}), (7, "10.99.0.1", {}),
                ("10.99.0.9", "", {}), ("10.99.0.9", "nowhere", {}), ("10.99.0.9", None, {}),
                ("10.99.0.9/33", "10.99.0.1", {}), ("10.99.0.9/x", "10.99.0.1", {}),
                ("10.99.0.9", "10.99.0.1", {"dns": ["x\nnameserver 6.6.6.6"]}),
                ("10.99.0.9", "10.99.0.1", {"dns": "1.1.1.1"}), ("10.99.0.9", "10.99.0.1", {"dns": [1]})):
            with self.subTest(ip=ip, gateway=gateway, **more):
                self.assertError(self.configure(ip, gateway, **more), "InvalidRequest")
        self.assertConfigured("10.99.0.5", "10.99.0.1")
        self.assertEqual(self.sh("cat /etc/resolv.conf"), "nameserver 1.1.1.1\nnameserver 8.8.8.8\n")


class Hostname(TestCase):
    BAD = ("", "x" * 64, "-x", "x-", "a b", "a.b", "a_b", "a/b", "\u00e9", "x\n", 7, None, ["x"])

    def test_hostname(self):
        for name in ("a", "worker-1", "0", "X" * 63):
            self.assertOk(self.ask("SetHostname", hostname=name))
            self.assertEqual(self.sh("cat /proc/sys/kernel/hostname"), name + "\n")
            self.assertEqual(self.sh("cat /etc/hostname"), name + "\n")

    def test_refusals(self):
        self.assertOk(self.ask("SetHostname", hostname="before"))
        for name in self.BAD:
            with self.subTest(name):
                self.fails("SetHostname", "InvalidRequest", hostname=name)
        self.fails("SetHostname", "InvalidRequest")
        self.assertEqual(self.sh("cat /proc/sys/kernel/hostname"), "before\n")


class Workspace(Interface):
    def workspace(self, **fields):
        return self.ask("ConfigureWorkspace", **{"ip_address": "10.99.0.77", "gateway": "10.99.0.1",
                                                 "hostname": "workspace-77", **fields})

    def test_all_of_it(self):
        self.assertOk(self.workspace(dns=["10.99.0.1", "9.9.9.9"]))
        self.assertConfigured("10.99.0.77", "10.99.0.1")
        self.assertEqual(self.sh("cat /proc/sys/kernel/hostname"), "workspace-77\n")
        self.assertEqual(self.sh("cat /etc/resolv.conf"), "nameserver 10.99.0.1\nnameserver 9.9.9.9\n")

    def test_all_or_nothing(self):
        self.assertOk(self.workspace())
        for fields in ({"hostname": "-"}, {"hostname": None}, {"ip_address": "x"}, {"gateway": "x"}, {"dns": [None]}):
            with self.subTest(fields):
                self.assertError(self.workspace(**{"ip_address": "10.99.0.1", "hostname": "other", **fields}),
                                 "InvalidRequest")
        self.assertConfigured("10.99.0.77", "10.99.0.1")
        self.assertEqual(self.sh("cat /proc/sys/kernel/hostname"), "workspace-77\n")
