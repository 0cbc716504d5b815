"""A path of 50 ms there and back, with and without loss: what berth, ssh -L, plain TCP and berth's peers make
of it, all through one link emulator (tests/wan) in the same rounds.

Bulk comes from the far end. A way's TCP has the congestion control that stands behind its name; QUIC and
KCP have their own. Between two measurements the path runs empty."""

import itertools
import math
import statistics
import time

import afar  # tests/wan
import harness  # tests/e2e
from bench_tunnel import lines_of
from hosts import why_not
from machine import Missing, until
from ways import Berth, Direct, Site, Ssh, left_out, peers

DELAY, RATE, QUEUE = "25ms", "200mbit", "50ms"
LOSSES = ("0%", "1%", "3%")
CONTROLS = ("cubic", "bbr")
BUFFERS = {"tcp_rmem": "4096 131072 6291456", "tcp_wmem": "4096 16384 4194304"}  # Linux' own
QUIET_BYTES, QUIET_SECONDS = 20000, 0.2  # idle tunnels say less than so much in that time
SETTLE_SECONDS = 10  # ssh may have megabytes on the way, and take minutes for them
STREAMS, WORKERS = 8, 8

DIRECT = [Direct(f"direct, {control}", control) for control in CONTROLS]
SSH = [Ssh(f"ssh -L, {control}", control) for control in CONTROLS]
QUIC = Berth("berth, quic")
BERTH = [QUIC, *(Berth(f"berth, ssh, {control}", control) for control in CONTROLS)]

ROWS = {  # what is measured: its heading and how it is printed
    "bulk": ("bulk, 1 stream (MB/s)", "{:,.1f}"),
    "slow": ("until 9/10 of that (ms)", "{:,.0f}"),
    "bulk8": (f"{STREAMS} streams (MB/s)", "{:,.1f}"),
    "p50": ("echo beside them, p50 (ms)", "{:,.0f}"),
    "p99": ("p99 (ms)", "{:,.0f}"),
    "conns": ("connections a second", "{:,.0f}"),
    "first": ("first byte, p50 (ms)", "{:,.0f}"),
}


class Bench(Site, afar.TestCase):
    """Here and there are two hosts."""

    @property
    def address(self):
        return self.path.there.v4

    @property
    def own_address(self):
        return self.path.here.v4

    def here(self):
        return self.path.here.entered()

    def start_far(self, *argv, **more):
        with self.path.there.entered():
            return harness.TestCase.start(self, *argv, **more)

    def begin(self):
        self.join(delay=DELAY, rate=f"{RATE} queue {QUEUE}")
        for host, (name, value) in itertools.product((self.path.here, self.path.there), BUFFERS.items()):
            host.sysctl(f"net.ipv4.{name}", value)
        super().begin()

    def open(self, way):
        self.path.control(way.congestion)
        return super().open(way)

    def passed(self):
        stats = self.path.stats()
        return stats["up"]["out_bytes"] + stats["down"]["out_bytes"]

    def quiet(self):
        before = self.passed()
        time.sleep(QUIET_SECONDS)
        return self.passed() - before < QUIET_BYTES

    def settle(self):
        """What a measurement has left behind is through."""
        try:
            until(self.quiet, "end of the traffic", SETTLE_SECONDS)
        except Missing as why:
            print(f"wan: {why}", flush=True)

    def measure(self, way, seconds):
        """Plain TCP connects anew each time, so its route tells it how."""
        self.path.control(way.congestion)
        at, found = way.at, {}
        found["bulk"], found["slow"] = self.load("fetch", at["source"], 1, 1.5 * seconds)
        self.settle()
        p50, p99, found["bulk8"] = self.load("beside", at["echo"], at["source"], STREAMS, seconds)
        found["p50"], found["p99"] = p50 / 1000, p99 / 1000
        self.settle()
        if not way.peer:
            found["conns"], first, _ = self.load("conns", at["echo"], WORKERS, seconds / 2)
            found["first"] = first / 1000
        return found


# ---- tables ----

def median(rounds, loss, way, row):
    found = [r[loss][way.name][row] for r in rounds if row in r[loss][way.name]]
    return statistics.median(found) if found else None


def table(rounds, loss, ways):
    rows = []
    for way in ways:
        figures = {row: median(rounds, loss, way, row) for row in ROWS}
        rows.append([way.name] + ["" if figures[row] is None else form.format(figures[row])
                                  for row, (_, form) in ROWS.items()])
    return lines_of([head for head, _ in ROWS.values()], rows)


def ratio(rounds, loss, row, others):
    """berth over QUIC to the best of the others, in each round."""
    best = min if row in ("p50", "p99", "slow", "first") else max
    found = []
    for r in rounds:
        other = best(r[loss][other.name][row] for other in others)
        found.append(r[loss][QUIC.name][row] / other if other else math.inf)
    return statistics.median(found)


def aims(rounds, ways):
    cubic, bbr = SSH
    quic_peers = [way for way in ways if way.quic]
    wanted = [("bulk, 1 stream / ssh -L, cubic", "bulk", [cubic], "≥ 5 at 1 %"),
              (f"{STREAMS} streams / ssh -L, cubic", "bulk8", [cubic], "≥ 5 at 1 %"),
              ("bulk, 1 stream / ssh -L, bbr", "bulk", [bbr], ""),
              ("echo p99 / ssh -L, cubic", "p99", [cubic], "≤ 0.2"),
              ("echo p99 / ssh -L, bbr", "p99", [bbr], "≤ 0.2")]
    if quic_peers:
        wanted += [("bulk, 1 stream / the best QUIC peer", "bulk", quic_peers, "≥ 1.5"),
                   (f"{STREAMS} streams / the best QUIC peer", "bulk8", quic_peers, "≥ 1.5"),
                   ("echo p99 / the best QUIC peer", "p99", quic_peers, "")]
    rows = [[name, *(f"{ratio(rounds, loss, row, others):.2f}".replace("inf", "∞") for loss in LOSSES), aim]
            for name, row, others, aim in wanted]
    return lines_of([*(f"{loss} loss" for loss in LOSSES), "aim"], rows)


def measure_all(bench, ways, count, seconds):
    """Rounds of {loss: {a way's name: {row: its figure}}}; `ways` loses those that fail."""
    rounds = []
    for i in range(count):
        rounds.append({})
        for loss in LOSSES:
            bench.path.set(loss=loss)
            rounds[-1][loss] = bench.measured(ways, lambda way: bench.measure(way, seconds))
        print(f"wan: round {i + 1} of {count}", flush=True)
    return rounds


def section(count, seconds):
    """What RESULTS.md says of it. It takes half as many rounds as the others: they are long."""
    missing = why_not()
    if missing:
        return f"Not measured: {missing}.\n"
    count = max(1, count // 2)
    with harness.world():
        bench = Bench()
        bench.setUp()
        try:
            bench.begin()
            ways = [way for way in (*DIRECT, *SSH, *BERTH, *peers("bbr")) if bench.open(way)]
            rounds = measure_all(bench, ways, count, seconds)
        finally:
            bench.doCleanups()
    text = (f"Medians of {count} rounds. {DELAY} each way, {RATE[:-4]} Mbit/s with a queue of {QUEUE}, both "
            f"ways. Bulk comes from the far\nend: the second half of {1.5 * seconds:g} s, and how long it took to get "
            f"there. Echoes: 64 bytes on 16 connections, 5 s at most, beside {STREAMS}\nstreams. Connections: {WORKERS} at once, "
            "each with one byte there and back; without a tunnel that is two round\ntrips. The ratios are of "
            f"berth over QUIC, the medians of each round's.\n\n{aims(rounds, ways)}\n")
    for loss in LOSSES:
        text += f"\n{loss.removesuffix('%')} % loss:\n\n{table(rounds, loss, ways)}\n"
    return text + left_out(bench)
