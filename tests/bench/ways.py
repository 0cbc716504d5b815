"""The ways that the benchmarks' load takes: without a tunnel, through ssh -L, through berth, and through
the peers that tests/bench/peers has installed.

A site is where both ends are: an end-to-end test case with

    start_far()   starts a program at the far end, as start() does at this one
    here()        a context in which what is started belongs to this end
    address       of the far end, as seen from here; own_address is the other way round
    config        of ssh, to the far end
"""

import contextlib
import os
import shutil
import subprocess

from harness import HOST, free_port, until
from machine import ROOT, Missing

LOAD = os.path.join(ROOT, "build", "bench-load")
PEERS = os.path.join(ROOT, "build", "peers")
SERVICES = "echo", "sink", "source"
PATIENCE = 90  # seconds that a measurement may take at most


class Absent(Exception):
    """Why a peer is not there."""


class Site:
    """What a test has at hand is what a benchmark needs too. Both ends are on this machine."""

    address = own_address = "127.0.0.1"

    def runTest(self):
        """Only to be one."""

    def begin(self):
        """The servers at the far end, and the user that ssh reaches there."""
        self.user_there = self.user()
        self.config = self.ssh_config(self.user_there)
        self.absent = {}
        servers = self.start_far(LOAD, "serve", *([] if self.address == "127.0.0.1" else ["0.0.0.0"]),
                           stdout=subprocess.PIPE)
        until(lambda: servers.output, "line of the servers")
        self.servers = dict(zip(SERVICES, servers.output[0].split()))

    def env(self, **more):
        """No proxy of this machine's is on the way."""
        return {name: value for name, value in super().env(**more).items()
                if not name.lower().endswith("_proxy")}

    def start_far(self, *argv, **more):
        return self.start(*argv, **more)

    def here(self):
        """What is started within belongs to this end."""
        return contextlib.nullcontext()

    def load(self, *words):
        """The numbers that the load prints, measured at this end."""
        with self.here():
            done = subprocess.run([LOAD, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True,
                                  timeout=PATIENCE)
        return [float(word) for word in done.stdout.split()]

    def open(self, way):
        """Starts it, and waits until it works."""
        try:
            way.start(self)
            until(lambda: self.works(way), f"answer through {way.name}")
        except (Absent, Missing, subprocess.SubprocessError) as why:
            self.drop(way, why)
            return False
        return True

    def drop(self, way, why):
        """A peer that does not do what it should is left out, with a word."""
        if not way.peer:
            raise why
        words = type(why).__name__ if isinstance(why, subprocess.SubprocessError) else str(why)
        self.absent[way.name] = words.partition(";")[0]
        print(f"{way.name} is left out: {why}", flush=True)

    def measured(self, ways, measure):
        """{a way's name: what is measured of it}; a peer that fails leaves `ways`."""
        found = {}
        for way in list(ways):
            try:
                found[way.name] = measure(way)
            except subprocess.SubprocessError as why:
                self.drop(way, why)
                ways.remove(way)
        return found

    def works(self, way):
        words = [LOAD, "echo", way.at["echo"], "1"]
        with self.here():
            return subprocess.run(words, capture_output=True, check=False,
                                  timeout=PATIENCE).returncode == 0


class Way:
    """`at` is where the load finds each service. `congestion` is what TCP between the two ends uses, where
    there is a choice; None: there is no TCP."""

    peer = quic = False

    def __init__(self, name, congestion=None):
        self.name, self.congestion = name, congestion

    def take_ports(self, site):
        """Port here, port there."""
        ports = [(free_port(), site.servers[service]) for service in SERVICES]
        self.at = dict(zip(SERVICES, (str(here) for here, _ in ports)))
        return ports

    def forwards(self, site):
        return [word for here, there in self.take_ports(site)
                for word in ("-L", f"{here}:127.0.0.1:{there}")]


class Direct(Way):
    def start(self, site):
        self.at = {service: f"{site.address}:{site.servers[service]}" for service in SERVICES}


class Ssh(Way):
    def start(self, site):
        self.client = site.start("ssh", "-F", site.config, "-N", *self.forwards(site), HOST)


class Berth(Way):
    """Over ssh where there is a choice of TCP's congestion control, or when told so; else over QUIC."""

    def __init__(self, name, congestion=None, transport=None):
        super().__init__(name, congestion)
        self.transport = transport or ("ssh" if congestion else "quic")

    def start(self, site):
        site.transport = self.transport
        self.master = site.connected(site.user_there, "--no-restore", *self.forwards(site),
                                     config=site.config)


# ---- peers ----

class Peer(Way):
    peer = True

    def program(self, name):
        """Where every user can run it."""
        path = os.path.join(PEERS, "bin", name)
        if os.path.exists(path):
            return path
        why = os.path.join(PEERS, f"{self.package}.why")
        if not os.path.exists(why):
            raise Absent("not installed: tests/bench/peers does")
        with open(why) as file:
            raise Absent(file.read().strip())


class Chisel(Peer):
    """ssh inside a WebSocket over TCP."""

    package = "chisel"

    def start(self, site):
        chisel, port = self.program("chisel"), free_port()
        server = site.start_far(chisel, "server", "--host", site.address, "--port", str(port))
        server.await_line("Listening on")
        site.start(chisel, "client", f"http://{site.address}:{port}",
                   *(f"127.0.0.1:{here}:127.0.0.1:{there}" for here, there in self.take_ports(site)))


FRPS = """bindAddr = "{address}"
bindPort = {port}
quicBindPort = {port}
proxyBindAddr = "127.0.0.1"
"""
FRPC = """serverAddr = "{address}"
serverPort = {port}
transport.protocol = "quic"
"""
FRPC_PROXY = """
[[proxies]]
name = "{there}"
type = "tcp"
localIP = "127.0.0.1"
localPort = {there}
remotePort = {here}
"""


class Frp(Peer):
    """Its server listens for the load, so it is at this end, and the client at the far one."""

    package, quic = "frp", True

    def start(self, site):
        where = {"address": site.own_address, "port": free_port()}
        proxies = "".join(FRPC_PROXY.format(here=here, there=there) for here, there in self.take_ports(site))
        texts = {"frps": FRPS.format(**where), "frpc": FRPC.format(**where) + proxies}
        for name, starts in ("frps", site.start), ("frpc", site.start_far):
            path = os.path.join(site.dir, name + ".toml")
            with open(path, "w") as file:
                file.write(texts[name])
            starts(self.program(name), "-c", path)


class Tssh(Peer):
    """tssh here, tsshd there; started over ssh, then UDP only."""

    package = "tssh"

    def __init__(self, name, *words):
        super().__init__(name)
        self.words, self.quic = words, "--kcp" not in words

    def start(self, site):
        server = os.path.join(site.world.bin, "tsshd")
        if not os.path.exists(server):
            shutil.copy(self.program("tsshd"), server)
        site.start(self.program("tssh"), "-F", site.config, "-o", "StrictHostKeyChecking=no", "-o",
                   f"UserKnownHostsFile={site.dir}/tssh_known_hosts", "--udp", *self.words, "--tsshd-path",
                   server, "-N", *self.forwards(site), HOST)


def peers(congestion=None):
    return [Frp("frp, quic"), Tssh("tssh, quic"), Tssh("tssh, kcp", "--kcp"), Chisel("chisel", congestion)]


def left_out(site, *more):
    """A sentence for the results."""
    words = [f"{name}: {why}" for name, why in {**site.absent, **dict(more)}.items()]
    return "\nLeft out: " + "; ".join(words) + ".\n" if words else ""


def why_no_moshpf():
    path = os.path.join(PEERS, "moshpf.why")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [("moshpf", file.read().strip())]
