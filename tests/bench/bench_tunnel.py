"""`berth master -L`, over QUIC and over ssh, beside `ssh -L` and beside no tunnel, with the same sshd and
the same cipher under ssh; and beside its peers, where they are installed.

Every round measures the ways one after the other; the tables have the medians of the rounds, and each
round's ratio enters the median of the ratios."""

import statistics
import subprocess

import harness  # tests/e2e
from ways import Berth, Direct, Site, Ssh, left_out, peers, why_no_moshpf

DIRECT, SSH = Direct("direct"), Ssh("ssh -L")
BERTH = [Berth("berth, quic"), Berth("berth, ssh", transport="ssh")]


class Bench(Site, harness.TestCase):
    pass


def measure(site, way, seconds):
    echo, sink = way.at["echo"], way.at["sink"]
    p50, p99 = site.load("echo", echo, 3000)
    _, busy = site.load("mixed", echo, sink, seconds)
    return {
        "bulk, 1 stream (MB/s)": site.load("bulk", sink, 1, seconds)[0],
        "bulk, 8 streams (MB/s)": site.load("bulk", sink, 8, seconds)[0],
        "64 B echo p50 (µs)": p50,
        "64 B echo p99 (µs)": p99,
        "echo p99 under 1 bulk stream (µs)": busy,
        "connections a second": site.load("conns", echo, 8, seconds)[0],
    }


AIMS = {  # of quic, and of ssh
    "bulk, 1 stream (MB/s)": ("≥ 1.0", "≥ 0.95"),
    "bulk, 8 streams (MB/s)": ("≥ 1.0", "≥ 0.95"),
    "echo p99 under 1 bulk stream (µs)": ("≤ 0.2", "≤ 0.5"),
    "connections a second": ("", "≥ 2"),
}
PEER_AIMS = {"bulk, 1 stream (MB/s)": "≥ 1.5", "bulk, 8 streams (MB/s)": "≥ 1.5"}


def medians(rounds, ways, row):
    return [f"{statistics.median(r[way.name][row] for r in rounds):,.0f}" for way in ways]


def ratio(rounds, row, way, others):
    """To the best of the others in each round."""
    best = max if "(µs)" not in row else min
    return f"{statistics.median(r[way.name][row] / best(r[o.name][row] for o in others) for r in rounds):.2f}"


def lines_of(heads, rows):
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (
        ["", *heads], ["---"] + ["---:"] * len(heads), *rows))


def table(rounds):
    ways = [DIRECT, SSH, *BERTH]
    heads = [way.name for way in ways]
    for way in BERTH:
        heads += [f"{way.name} / ssh -L", "aim"]
    rows = []
    for name in rounds[0][SSH.name]:
        cells = [name, *medians(rounds, ways, name)]
        for way, aim in zip(BERTH, AIMS.get(name, ("", ""))):
            cells += [ratio(rounds, name, way, [SSH]), aim]
        rows.append(cells)
    return lines_of(heads, rows)


def peer_table(rounds, others):
    quic = [way for way in others if way.quic]
    heads = [way.name for way in (BERTH[0], *others)]
    heads += ["berth / the best QUIC peer", "aim"] if quic else []
    rows = []
    for name in rounds[0][SSH.name]:
        cells = [name, *medians(rounds, [BERTH[0], *others], name)]
        cells += [ratio(rounds, name, BERTH[0], quic), PEER_AIMS.get(name, "")] if quic else []
        rows.append(cells)
    return lines_of(heads, rows)


def cipher():
    done = subprocess.run(["ssh", "-G", "localhost"], stdout=subprocess.PIPE, text=True, check=True)
    ciphers = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ciphers ")]
    return ciphers[0].split(",")[0] if ciphers else "ssh's default"


def measure_all(site, ways, count, seconds):
    """Rounds of {a way's name: {a row's name: its figure}}; `ways` loses those that fail."""
    rounds = []
    for i in range(count):
        rounds.append(site.measured(ways, lambda way: measure(site, way, seconds)))
        print(f"tunnel: round {i + 1} of {count}", flush=True)
    return rounds


def section(count, seconds):
    """What RESULTS.md says of it."""
    with harness.world():
        bench = Bench()
        bench.setUp()
        try:
            bench.begin()
            ways = [way for way in (DIRECT, SSH, *BERTH, *peers()) if bench.open(way)]
            rounds = measure_all(bench, ways, count, seconds)
        finally:
            bench.doCleanups()
    others = [way for way in ways if way.peer]
    text = (f"Medians of {count} rounds of {seconds:g} s each; the ratio is the median of each round's. "
            f"{cipher()} under\nboth; the load's two ends, both tunnels' two ends and sshd share the machine's "
            f"cores.\n\n{table(rounds)}\n")
    if others:
        text += f"\nIts peers, in the same rounds:\n\n{peer_table(rounds, others)}\n"
    return text + left_out(bench, *why_no_moshpf())
