"""A network of a test's own: its loopback, its ports and its firewall, with nobody else's packets on it.

    class Blocked(OwnNetwork):
        def test_udp(self):
            self.nft("add rule inet test input meta l4proto udp drop")

The thread of the test is in it, with what it starts and the sockets that it makes; so is sshd meanwhile."""

import contextlib
import ctypes
import os
import shutil
import socket
import struct
import threading
import time
import unittest

from harness import IS_ROOT, TestCase, system

CLONE_NEWNET = 0x40000000
PATH = "/usr/sbin:/sbin:" + os.environ.get("PATH", "/usr/bin:/bin")
TABLE = ("table inet test { chain input { type filter hook input priority 0; };"
         " chain output { type filter hook output priority 0; };"
         " chain nat { type nat hook output priority -100; }; }")
ETH_P_IP = 0x0800
# Classic BPF over an Ethernet frame with IPv4: its protocol is UDP.
ONLY_UDP = b"".join(struct.pack("HBBI", *rule) for rule in
                    ((0x30, 0, 0, 23), (0x15, 0, 1, socket.IPPROTO_UDP), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)))
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
PCAP_ETHERNET = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)

libc = ctypes.CDLL(None, use_errno=True)


def why_not():
    if not IS_ROOT:
        return "it needs root"
    missing = [tool for tool in ("ip", "nft") if not shutil.which(tool, path=PATH)]
    return f"there is no {missing[0]}" if missing else None


def check(result):
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@unittest.skipIf(why_not(), f"NOT TESTED: {why_not()}")
class OwnNetwork(TestCase):
    def setUp(self):
        super().setUp()
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.sshd.stop()  # which starts again where it is asked for
        check(libc.unshare(CLONE_NEWNET))
        self.addCleanup(self._leave, home)
        self.ip("link", "set", "lo", "up")
        self.nft(TABLE)

    def _leave(self, home):
        self.sshd.kill_connections()
        self.sshd.stop()
        check(libc.setns(home, CLONE_NEWNET))
        os.close(home)

    def on_quic(self, *args, **more):
        """A master of self.remote_user's that has QUIC."""
        master = self.connected(self.remote_user, *args, **more)
        master.await_line(r"^berth: testhost: on quic \(\d+ ms\)$")
        return master

    def ip(self, *words):
        return system("ip", *words, env={**os.environ, "PATH": PATH})

    def nft(self, *words):
        return system("nft", *words, env={**os.environ, "PATH": PATH})


def udp_ports(pid):
    """Those of the UDP sockets that a process holds."""
    held = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            held.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    ports = set()
    for table in "udp", "udp6":
        with open(f"/proc/{pid}/net/{table}") as file:
            rows = [line.split() for line in list(file)[1:]]
        ports |= {int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in held}
    return ports


class Capture:
    """Every datagram over IPv4 on the loopback since now, as (time, Ethernet frame)."""

    def __init__(self):
        rules = ctypes.create_string_buffer(ONLY_UDP, len(ONLY_UDP))
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                               struct.pack("HxxxxxxQ", len(ONLY_UDP) // 8, ctypes.addressof(rules)))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self.socket.bind(("lo", ETH_P_IP))  # as it arrives there: with ETH_P_ALL it comes twice
        self.socket.settimeout(0.05)
        self.packets = []
        self.closed = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while not self.closed:
            with contextlib.suppress(TimeoutError):
                self.packets.append((time.time(), self.socket.recv(1 << 17)))

    def datagrams(self, port):
        """What was sent to a UDP port over IPv4, in order, each with its source's port."""
        for _, frame in list(self.packets):
            udp = 14 + (frame[14] & 15) * 4
            source, target = struct.unpack("!HH", frame[udp:udp + 4])
            if target == port:
                yield source, frame[udp + 8:]

    def save(self, path):
        with open(path, "wb") as file:
            file.write(PCAP_ETHERNET)
            for at, frame in self.packets:
                file.write(struct.pack("<IIII", int(at), int(at % 1 * 1e6), len(frame), len(frame)) + frame)

    def close(self):
        if not self.closed:
            self.closed = True
            self.thread.join()
            self.socket.close()
