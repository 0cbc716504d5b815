"""What strangers get out of a running agent by its UDP port: nothing, and they leave nothing behind.

They send by raw sockets, from whatever address they like; the network's own counters say what the agent sent
back. What the server makes of a flood by itself is tried in tests/unit/quic_flood_test.c."""

import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import unittest

from harness import Echo, exchange, free_port, until
from machine import resident
from network import Capture, OwnNetwork, udp_ports
from paths import instrumented

SEED = 9
AT_ONCE = 50  # datagrams, until the agent has read them
KEPT = 96 << 10  # bytes of the agent's memory: what the allocator does not give back
SOURCES = "198.18.0.0/15"  # for benchmarks (RFC 2544): nobody's

# In front of the user's ssh: the key that the agent is told is not the one that the master has.
WRONG_KEY_SSH = """#!/usr/bin/python3
import os, re, select, subprocess, sys
ssh = subprocess.Popen(["%s", *sys.argv[1:]], stdin=subprocess.PIPE)
while select.select([0], [], []) and (data := os.read(0, 1 << 16)):
    data = re.sub(rb'("psk":")([0-9a-f])', lambda m: m[1] + (b"0" if m[2] != b"0" else b"1"), data)
    os.write(ssh.stdin.fileno(), data)
ssh.stdin.close()
sys.exit(ssh.wait())
"""


class Strangers(OwnNetwork):
    def setUp(self):
        super().setUp()
        self.chance = random.Random(SEED)
        self.remote_user, self.echo = self.user(), self.server(Echo())
        self.ip("route", "add", "local", SOURCES, "dev", "lo")
        self.ip("link", "set", "lo", "gso_max_segs", "1")  # packets leave as they would on a wire
        self.capture = self.server(Capture())
        self.raw = self.server(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
        self.forwarded = free_port()
        self.owner = self.on_quic("-L", f"{self.forwarded}:127.0.0.1:{self.echo.port}")
        self.agent, = self.remote_user.agents()
        self.port, = udp_ports(self.agent)
        self.masters_port, = udp_ports(self.owner.pid)
        for chain, ours, theirs in ("input", "dport", "sport"), ("output", "sport", "dport"):
            self.nft(f"add counter inet test {chain}")
            self.nft(f"add rule inet test {chain} udp {ours} {self.port} udp {theirs} != {self.masters_port}"
                     f" counter name {chain}")
        self.flood(self.initial() for _ in range(200))  # everything was done once

    def use(self):
        """The session works."""
        data = random.randbytes(100_000)
        self.assertEqual(exchange(self.forwarded, data), data)

    # ---- what they send ----

    def send(self, data, source=None):
        source = source or (f"198.{self.chance.randrange(18, 20)}.{self.chance.randrange(256)}."
                            f"{self.chance.randrange(1, 255)}", self.chance.randrange(1024, 30000))
        udp = struct.pack("!4H", source[1], self.port, 8 + len(data), 0) + data
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0,
                             socket.inet_aton(source[0]), socket.inet_aton("127.0.0.1"))
        self.raw.sendto(header + udp, ("127.0.0.1", 0))

    def queue(self):
        """Bytes that the agent has not read, and datagrams for which there was no room."""
        with open(f"/proc/{self.agent}/net/udp6") as file:
            row = next(line.split() for line in file if f":{self.port:04X} " in line)
        return int(row[4].split(":")[1], 16), int(row[-1])

    def flood(self, datagrams):
        for i, data in enumerate(datagrams):
            self.send(data)
            if i % AT_ONCE == 0:
                until(lambda: self.queue()[0] == 0, "end of the queue")
        until(lambda: self.queue()[0] == 0, "end of the queue")
        self.sessions()  # the agent has come round to what came later

    def counted(self, chain):
        """Packets and bytes of theirs, IP headers included."""
        counter, = (each["counter"] for each in json.loads(self.nft("-j", "list", "counter", "inet", "test", chain))
                    ["nftables"] if "counter" in each)
        return counter["packets"], counter["bytes"]

    def measured(self):
        with open(f"/proc/{self.agent}/stat") as file:
            ticks = sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
        return {"in": self.counted("input"), "out": self.counted("output"), "memory": resident(self.agent),
                "ms": ticks * 1000 // os.sysconf("SC_CLK_TCK"), "drops": self.queue()[1]}

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.agent}/fd"))

    def check(self, what, act, answer=0):
        """Does it; at most so many times the bytes that came go out, and nothing stays for long."""
        before, held = self.measured(), self.descriptors()
        act()
        until(lambda: self.descriptors() <= held, f"return to {held} descriptors after {what}")
        if not instrumented(self):
            until(lambda: resident(self.agent) - before["memory"] < KEPT, f"return of the memory for {what}")
        after = self.measured()
        came, went = ([b - a for a, b in zip(before[way], after[way])] for way in ("in", "out"))
        print(f"\n    {what}: {came[0]} datagrams, {came[1]} bytes; answered by {went[1]} bytes; memory "
              f"{after['memory'] - before['memory']:+} bytes, {after['ms'] - before['ms']} ms of the processor",
              end="")
        self.assertGreater(came[0], 0, what)
        self.assertEqual(after["drops"], before["drops"], what)
        self.assertLessEqual(went[1], answer * came[1], what)
        return came, went

    def flights(self):
        """What masters have sent first, as it was captured."""
        return [data for port, data in self.capture.datagrams(self.port)
                if data[0] & 0xF0 == 0xC0 and len(data) >= 1200 and port > 30000]

    # ---- the cases ----

    def initial(self):
        """What looks like a first packet, as anybody can make it."""
        cid = self.chance.randbytes(18)
        head = b"\xc3\0\0\0\1" + bytes([len(cid)]) + cid + b"\0\0" + struct.pack("!H", 0x4000 | 1200)
        return head + self.chance.randbytes(1200)

    def mangled(self, flight):
        """A genuine one, cut short, longer, and with a byte or bit changed anywhere."""
        for cut in range(1, len(flight), 9):
            yield flight[:cut]
        for at in [*range(64), *range(64, len(flight), 23)]:
            yield flight[:at] + bytes([flight[at] ^ 1 << self.chance.randrange(8)]) + flight[at + 1:]
        yield flight + bytes(200)

    def garbage(self, count):
        for i in range(count):
            data = self.chance.randbytes(self.chance.randrange(1, 1472))
            version = self.chance.choice([b"\0\0\0\0", b"\0\0\0\1", b"\x6b\x33\x43\xcf", b"\x1a\x2a\x3a\x4a"])
            yield data if i % 2 else b"\xc0" + version + b"\x08" + data + bytes(1200)

    def test_nothing_is_said_and_nothing_stays(self):
        flight = self.flights()[0]
        self.check("Initials of random keys", lambda: self.flood(self.initial() for _ in range(3000)))
        self.check("the live session's first flight", lambda: self.flood([flight] * 1000))
        self.check("the same, mangled", lambda: self.flood(self.mangled(flight)))
        self.check("garbage", lambda: self.flood(self.garbage(2000)))
        gone = self.on_quic(env=self.surroundings("gone"))
        late = self.flights()[-1]
        self.assertNotEqual(late, flight)
        self.assertEqual(gone.stop(), 0)
        until(lambda: self.sessions() == ["quic"], "end of the second session")
        self.check("an unknown session's first flight", lambda: self.flood([late] * 500))
        self.assertEqual(udp_ports(self.owner.pid), {self.masters_port})
        self.assertEqual(len(self.owner.lines), len(set(self.owner.lines)))

    def sessions(self):
        done = self.remote_user.run(self.berth_path, "list", "--json")
        return [s["transport"] for s in json.loads(done.stdout)["sessions"]]

    def test_wrong_key(self):
        """Whoever knows a session's name and not its key is refused, by no more than three times what came."""
        tools = os.path.join(self.dir, "tools")
        os.mkdir(tools)
        shim = os.path.join(tools, "ssh")
        with open(shim, "w") as file:
            file.write(WRONG_KEY_SSH % shutil.which("ssh"))
        os.chmod(shim, 0o755)

        def act():
            env = self.surroundings("wrong")
            other = self.connected(self.remote_user, env={**env, "PATH": f"{tools}:{env['PATH']}"})
            other.await_line(r"UDP port \d+ does not get through: staying on ssh$")
            self.assertEqual(other.stop(), 0)
            until(lambda: self.sessions() == ["quic"], "end of the other session")
        self.check("a wrong key", act, answer=3)
        self.use()

    def test_first_flight_on_its_way(self):
        """One that is held up and then sent on by strangers: one of them is answered, three times at most."""
        before = len(self.flights())
        self.nft(f"insert rule inet test input udp dport {self.port} udp sport != {self.masters_port} drop")
        late = self.connected(self.remote_user, env=self.surroundings("late"))
        until(lambda: len(self.flights()) > before, "first flight")
        late.signal(signal.SIGKILL)
        late.wait()
        flight = self.flights()[before]
        self.nft(f"delete rule inet test input handle {self.handle('drop')}")
        came, went = self.check("a first flight on its way", lambda: self.flood([flight] * 300), answer=3)
        self.assertLessEqual(went[1], 3 * (28 + len(flight)))
        self.assertGreater(went[1], 0)

    def handle(self, text):
        listing = self.nft("-a", "list", "chain", "inet", "test", "input")
        return re.search(rf"{text} # handle (\d+)", listing).group(1)


if __name__ == "__main__":
    unittest.main()
