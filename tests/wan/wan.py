"""A path between two hosts of our own, with the delay, loss, rate, … of a real one.

    with Path(delay="25ms", loss="1%", up={"rate": "10mbit queue 64k"}) as path:
        path.there.start("some-server", path.there.v4)
        path.here.run("ping", "-c", "1", path.there.v6)
        path.cut()

What is said of a path holds for both ways, and delays are one way: 25ms make a round trip of 50. `up` is
from here to there. The words behind each setting are those of command.c."""

import itertools
import json
import os
import socket
import subprocess

from hosts import Host, why_not
from machine import DEADLINE, ROOT, Missing, end

EMULATOR = os.path.join(ROOT, "build", "wan")

_numbers = itertools.count()


class Refused(Exception):
    """The emulator does not do what was said."""


class Emulator:
    """The process between two devices, and the socket it is told through."""

    def __init__(self, near, far, device, seed):
        if not os.path.exists(EMULATOR):
            raise SystemExit(f"{EMULATOR}: no such file; make build/wan")
        self.path = os.path.join(near.run_of.dir, f"{device}.sock")
        self.process = subprocess.Popen(
            [EMULATOR, self.path, near.netns, device, far.netns, device, str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        if self.process.stdout.readline() != b"ready\n":
            self.close()
            raise RuntimeError("the emulator does not start")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(self.path)
        self.answers = self.socket.makefile("r")

    def tell(self, line):
        """What it answers; from then on it is so."""
        self.socket.sendall(line.encode() + b"\n")
        answer = self.answers.readline().rstrip("\n")
        if answer.startswith("error: "):
            raise Refused(f"{line}: {answer.removeprefix('error: ')}")
        if not answer:
            raise Missing("the emulator has ended")
        return answer

    def close(self):
        if hasattr(self, "socket"):
            self.answers.close()
            self.socket.close()
        self.process.stdin.close()
        end([self.process.pid])
        self.process.wait()
        self.process.stdout.close()


class End:
    """Where a path meets a host: a device with an address of each family. It has what the host has, too.

    Even numbers are here, odd ones there, in a network that both have; so an end may take others."""

    def __init__(self, host, device, networks, number, gateway=None, congestion=None):
        self.host, self.device, self.networks, self.number, self.gateway = host, device, networks, number, gateway
        self.metric = 100 + int("".join(filter(str.isdigit, device)))
        self.congestion = congestion
        self.leads_out = True  # to whatever has no route of its own

    def __getattr__(self, name):
        return getattr(self.host, name)

    @property
    def v4(self):
        return f"{self.networks[0]}.{self.number}"

    @property
    def v6(self):
        return f"{self.networks[1]}::{self.number:x}"

    def _addresses(self, verb):
        return [f"addr {verb} {self.v4}/24 dev {self.device} noprefixroute",
                f"addr {verb} {self.v6}/64 dev {self.device} noprefixroute nodad"]

    def _route(self, target, *more, gateway=None):
        """The route decides about congestion control as well: the setting of a whole namespace may be only
        what the machine allows everyone."""
        via = f"via {gateway.v6 if ':' in target else gateway.v4}" if gateway else ""
        control = f"congctl {self.congestion}" if self.congestion else ""
        return " ".join(["route replace", target, via, "dev", self.device, *more, control])

    def _routes(self):
        near, everything = (f"{self.networks[0]}.0/24", f"{self.networks[1]}::/64"), ("0.0.0.0/0", "::/0")
        return [self._route(target, f"metric {self.metric}") for target in near] + \
            [self._route(target, f"metric {self.metric}", gateway=self.gateway) for target in everything
             if self.leads_out]

    def configure(self):
        self.sysctl(f"net.ipv6.conf.{self.device}.router_solicitations", 0)
        self.sysctl(f"net.ipv6.conf.{self.device}.addr_gen_mode", 1)  # no link-local address
        self.ip_batch(f"link set {self.device} up", *self._addresses("add"), *self._routes())

    def renumber(self):
        """Other addresses instead of those it had, as in another network: first the old ones go."""
        old = self._addresses("del")
        self.number = (self.number + 2) % 250 or 2
        self.ip_batch(*old, *self._addresses("add"), *self._routes())

    def route(self, far):
        """What this host sends to that end goes this way."""
        self.ip_batch(*(self._route(target, f"src {source}", gateway=self.gateway)
                        for target, source in ((far.v4, self.v4), (far.v6, self.v6))))


NAT_RULES = """
table inet {device} {{
    chain out {{
        type nat hook postrouting priority srcnat
    }}
    chain in {{
        type filter hook input priority filter
        iifname "{device}" meta l4proto {{ tcp, udp }} drop
    }}
    chain through {{
        type filter hook forward priority filter
        iifname "{device}" ct state new,invalid drop
    }}
}}
"""


class Nat(End):
    """The outer end of a host between here and the path that lends its address to what passes."""

    def __init__(self, host, device, networks, number):
        super().__init__(host, device, networks, number)
        host.sysctl("net.ipv4.ip_forward", 1)
        host.sysctl("net.ipv6.conf.all.forwarding", 1)
        host.nft(NAT_RULES.format(device=device))
        self.rebind()

    def renumber(self):
        """Also forgets what it translates, at once: the kernel drops what went by the old addresses too, but
        when it finds the time, and until then packets still leave by them."""
        super().renumber()
        self.system("conntrack", "-F")

    def rebind(self, keep=False):
        """Forgets what it translates: a flow of UDP that goes on gets another port; TCP breaks. From now on
        ports are chosen by chance, or `keep` their numbers."""
        chain, how = f"chain inet {self.device} out", "" if keep else "fully-random"
        self.nft(f"""
            flush {chain}
            add rule inet {self.device} out oifname "{self.device}" meta l4proto {{ tcp, udp }} masquerade {how}
            add rule inet {self.device} out oifname "{self.device}" masquerade""")
        self.system("conntrack", "-F")


class Path:
    """Between `here` and `there`, or new hosts; with `nat`, a third host translates between here and the
    path. `congestion` names the control of TCP at both ends. Closes what it has made."""

    def __init__(self, here=None, there=None, nat=False, congestion=None, seed=1, up=None, down=None,
                 **both):
        missing = why_not()
        if missing:
            raise RuntimeError(missing)
        self.number = 1 + next(_numbers) % 250
        self.device = f"wan{self.number}"
        self.congestion = congestion
        self._made = []
        try:
            self._build(here, there, nat, seed)
            self.set(**both)
            self.set_up(**(up or {}))
            self.set_down(**(down or {}))
        except BaseException:
            self.close()
            raise

    def _build(self, here, there, nat, seed):
        here, there = (self._make(host, what) for host, what in ((here, "here"), (there, "there")))
        near = self._make(None, "nat") if nat else here
        self.emulator = Emulator(near, there, self.device, seed)
        self._made.append(self.emulator)
        networks = f"10.77.{self.number}", f"fd77:{self.number:x}"
        self.there = End(there, self.device, networks, 1, congestion=self.congestion)
        self.there.configure()
        if not nat:
            self.nat = None
            self.here = End(here, self.device, networks, 2, congestion=self.congestion)
        else:
            self.nat = Nat(near, self.device, networks, 2)
            self.nat.configure()
            self.here = self._join(here, near)
        self.here.configure()

    def _make(self, host, what):
        host = getattr(host, "host", host)
        if not host:
            host = Host(what)
            self._made.append(host)
        return host

    def _join(self, here, nat):
        """The network behind the NAT; its end here."""
        lan, networks = f"lan{self.number}", (f"192.168.{self.number}", f"fd78:{self.number:x}")
        here.ip("link", "add", lan, "type", "veth", "peer", "name", lan, "netns", nat.name)
        gateway = End(nat, lan, networks, 1)
        gateway.leads_out = False
        gateway.configure()
        return End(here, lan, networks, 2, gateway, self.congestion)

    # ---- while it runs ----

    def tell(self, line):
        return self.emulator.tell(line)

    def _set(self, way, shape):
        for verb, words in shape.items():
            self.tell(f"{way} {verb} {words}")

    def set(self, **shape):
        self._set("both", shape)

    def set_up(self, **shape):
        self._set("up", shape)

    def set_down(self, **shape):
        self._set("down", shape)

    def cut(self):
        """Nothing passes, and what was on its way is lost."""
        self.tell("cut")

    def join(self):
        self.tell("join")

    def block(self, protocol):
        """udp, tcp or icmp vanish without a word."""
        self.tell(f"block {protocol}")

    def unblock(self, protocol):
        self.tell(f"unblock {protocol}")

    def stats(self):
        """The counters of direction.h for "up" and "down", and `overrun`: what came too fast for the
        emulator, which is none of the model."""
        stats = json.loads(self.tell("stats"))
        for way, source in (("up", self.nat or self.here), ("down", self.there)):
            stats[way]["overrun"] = source.overruns(self.device)
        return stats

    def control(self, congestion):
        """The congestion control of both ends' new connections of TCP; None: the machine's own."""
        for end in self.here, self.there:
            end.congestion = congestion
            end.ip_batch(*end._routes())

    def carry(self, other):
        """What goes between the hosts of another path goes over this one now, from this one's address; as
        when a machine changes networks."""
        self.here.route(other.there)

    def close(self):
        while self._made:
            self._made.pop().close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
