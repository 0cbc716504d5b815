"""`berth master -L`, over QUIC and over ssh, beside `ssh -L` and beside no tunnel, with the same sshd and
the same cipher under ssh.

Every round measures the ways one after the other; the table has the medians of the rounds, and each
round's ratio to ssh -L enters the median of the ratios."""

import os
import statistics
import subprocess

import harness  # tests/e2e
from harness import HOST, free_port, until
from machine import ROOT

LOAD = os.path.join(ROOT, "build", "bench-load")
BERTH = {"berth, quic": "quic", "berth, ssh": "ssh"}
WAYS = ("direct", "ssh -L", *BERTH)


class Bench(harness.TestCase):
    """What a test has at hand is what a benchmark needs too."""

    def runTest(self):
        user = self.user()
        config = self.ssh_config(user)
        servers = subprocess.Popen([LOAD, "serve"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(servers.wait)
        self.addCleanup(servers.kill)
        self.ports = {"direct": [int(word) for word in servers.stdout.readline().split()]}
        for way in WAYS[1:]:
            self.ports[way] = [free_port(), free_port()]
        forwards = {way: [word for here, there in zip(self.ports[way], self.ports["direct"])
                          for word in ("-L", f"{here}:127.0.0.1:{there}")] for way in WAYS[1:]}
        self.start("ssh", "-F", config, "-N", *forwards["ssh -L"], HOST)
        for way, self.transport in BERTH.items():
            self.connected(user, "--no-restore", *forwards[way], config=config)
        for way in WAYS:
            until(lambda way=way: self.works(way), f"answer through {way}")

    def works(self, way):
        return subprocess.run([LOAD, "echo", str(self.ports[way][0]), "1"], capture_output=True,
                              check=False).returncode == 0


def load(*words):
    done = subprocess.run([LOAD, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def measure(ports, seconds):
    echo, sink = ports
    p50, p99 = load("echo", echo, 3000)
    _, busy = load("mixed", echo, sink, seconds)
    return {
        "bulk, 1 stream (MB/s)": load("bulk", sink, 1, seconds)[0],
        "bulk, 8 streams (MB/s)": load("bulk", sink, 8, seconds)[0],
        "64 B echo p50 (µs)": p50,
        "64 B echo p99 (µs)": p99,
        "echo p99 under 1 bulk stream (µs)": busy,
        "connections a second": load("conns", echo, 8, seconds)[0],
    }


AIMS = {  # of quic, and of ssh
    "bulk, 1 stream (MB/s)": ("≥ 1.0", "≥ 0.95"),
    "bulk, 8 streams (MB/s)": ("≥ 1.0", "≥ 0.95"),
    "echo p99 under 1 bulk stream (µs)": ("≤ 0.2", "≤ 0.5"),
    "connections a second": ("", "≥ 2"),
}


def table(rounds):
    heads = [*WAYS, *(word for way in BERTH for word in (f"{way} / ssh -L", "aim"))]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for name in rounds[0]["direct"]:
        medians = [statistics.median(r[way][name] for r in rounds) for way in WAYS]
        cells = [f"{m:,.0f}" for m in medians]
        for way, aim in zip(BERTH, AIMS.get(name, ("", ""))):
            ratio = statistics.median(r[way][name] / r["ssh -L"][name] for r in rounds)
            cells += [f"{ratio:.2f}", aim]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cipher():
    done = subprocess.run(["ssh", "-G", "localhost"], stdout=subprocess.PIPE, text=True, check=True)
    ciphers = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ciphers ")]
    return ciphers[0].split(",")[0] if ciphers else "ssh's default"


def section(count, seconds):
    """What RESULTS.md says of it."""
    rounds = []
    with harness.world():
        bench = Bench()
        bench.setUp()
        try:
            bench.runTest()
            for i in range(count):
                rounds.append({way: measure(bench.ports[way], seconds) for way in WAYS})
                print(f"tunnel: round {i + 1} of {count}", flush=True)
        finally:
            bench.doCleanups()
    return (f"Medians of {count} rounds of {seconds:g} s each; the ratio is the median of each round's. "
            f"{cipher()} under\nboth; the load's two ends, both tunnels' two ends and sshd share the machine's "
            f"cores.\n\n{table(rounds)}\n")
