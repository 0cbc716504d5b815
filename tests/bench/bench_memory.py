"""What a session costs in memory: the resident size of berth's agent and masters, and of ssh and sshd, idle
and with connections open that say nothing."""

import contextlib
import resource
import subprocess

import harness  # tests/e2e
from bench_tunnel import Bench, lines_of
from machine import Missing, state, until
from ways import LOAD, Berth, Ssh

MANY, CONNECTIONS = 10, 1000
CASES = "1 session, idle", f"{MANY} sessions, idle", f"1 session, {CONNECTIONS} idle connections"
SETTLED_KIB, SETTLED_POLLS = 16, 10


def resident(pids):
    """KiB."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    return total


def settled(sides):
    """Each side's size, once it stays as it is."""
    seen = []

    def steady():
        seen.append([resident(pids()) for pids in sides])
        last = seen[-SETTLED_POLLS:]
        return len(last) == SETTLED_POLLS and all(
            max(sizes) - min(sizes) <= SETTLED_KIB for sizes in zip(*last))

    with contextlib.suppress(Missing):
        until(steady, "end of the growth", 10)
    return seen[-1]


class BerthSide:
    def __init__(self, transport):
        self.name = f"berth, {transport}"
        self.heads = "master", "agent"
        self.transport = transport

    def way(self):
        return Berth(self.name, transport=self.transport)

    def sides(self, site, ways):
        """Over ssh there is ssh as well, which is not berth's."""
        return lambda: [way.master.pid for way in ways], site.user_there.agents


class SshSide:
    name = "ssh -L"
    heads = "ssh", "sshd"

    def way(self):
        return Ssh(self.name)

    def sides(self, site, ways):
        return lambda: [way.client.pid for way in ways], site.sshd.carriers


@contextlib.contextmanager
def a_site():
    bench = Bench()
    bench.setUp()
    try:
        bench.begin()
        yield bench
    finally:
        bench.doCleanups()


def opened(site, side, count):
    ways = [side.way() for _ in range(count)]
    for way in ways:
        site.open(way)
    return ways


def hold(site, way):
    """Connections that have each carried a byte both ways."""
    holder = site.start(LOAD, "hold", way.at["echo"], str(CONNECTIONS), stdin=subprocess.PIPE)
    until(lambda: holder.output or state(holder.pid) in ("Z", None), "open connections", 60)
    if not holder.output:
        raise Missing(f"{way.name}: no {CONNECTIONS} connections: {holder.text()}")


def measure(side):
    """{case: the sizes of both sides}"""
    found = {}
    with a_site() as site:
        ways = opened(site, side, 1)
        found[CASES[0]] = settled(side.sides(site, ways))
        hold(site, ways[0])
        found[CASES[2]] = settled(side.sides(site, ways))
    with a_site() as site:
        ways = opened(site, side, MANY)
        found[CASES[1]] = settled(side.sides(site, ways))
    return found


def table(found, sides):
    rows = []
    for case in CASES:
        share = MANY if case.startswith(f"{MANY} ") else 1
        for side in sides:
            here, there = found[side.name][case]
            rows.append([f"{case}: {side.name}", " + ".join(side.heads), f"{here:,}", f"{there:,}",
                         f"{(here + there) / share:,.0f}"])
    return lines_of(["processes", "here (KiB)", "there (KiB)", "both, per session (KiB)"], rows)


def section(*_):
    """What RESULTS.md says of it. One round is enough: it hardly varies."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sides = [BerthSide("quic"), BerthSide("ssh"), SshSide()]
    try:
        with harness.world():
            found = {side.name: measure(side) for side in sides}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return ("Resident sizes, as the kernel counts them for each process, shared pages and all. All sessions are "
            "one user's:\none agent serves them. Beside the master there is the user's own ssh, and sshd; the rows "
            f"of ssh -L say how much\nthat is.\n\n{table(found, sides)}\n")
