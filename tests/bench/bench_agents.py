"""Ten thousand joined agents on one broker: what each costs it in memory, and what a command costs beside them."""

import http.client
import json
import os
import resource
import statistics
import time

import harness  # tests/e2e
from bench_memory import resident
from bench_tunnel import lines_of
from broker import Broker
from machine import ROOT, Missing, until

LOAD = os.path.join(ROOT, "build", "bench-agents")
COUNTS = 0, 1000, 10000
PROCESSES = 2  # each agent costs its process three descriptors
USERS = 100
EXECS = 500


class Bench(harness.TestCase):
    pass


class Commands:
    """One client's, on one connection, for an agent of its own."""

    def __init__(self, bench, broker):
        self.broker, self.token = broker, broker.user("measured")
        bench.start(bench.berth_path, "agent", "--join", broker.url, "--code", broker.code(self.token))
        until(lambda: broker.agents(self.token), "the measured agent")
        self.connection = http.client.HTTPConnection("127.0.0.1", broker.port, timeout=30)

    def one(self):
        began = time.perf_counter()
        self.connection.request("POST", "/api/exec", json.dumps({"command": "true"}),
                                {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        answer = json.loads(self.connection.getresponse().read())
        if answer.get("exitCode") != 0:
            raise Missing(answer)
        return (time.perf_counter() - began) * 1e6

    def measure(self, count):
        """p50 and p99 in microseconds."""
        self.one()
        cuts = statistics.quantiles([self.one() for _ in range(count)], n=100)
        return cuts[49], cuts[98]


def join(bench, broker, tokens, count):
    """Programs that hold that many agents, joined."""
    loads = []
    for i in range(PROCESSES):
        with open(os.path.join(bench.dir, f"tokens{count}-{i}"), "w+") as file:
            file.write("".join(f"{token}\n" for token in tokens[i::PROCESSES]))
            file.seek(0)
            loads.append(bench.start(LOAD, broker.url, str(count // PROCESSES), stdin=file))
    for load in loads:
        until(lambda: load.output or load.process.poll() is not None, "agents", 300)
        if not load.output:
            raise Missing(load.text())
    return loads


def measure(bench):
    """{count: (bytes of the broker's, p50, p99)}"""
    broker = Broker(bench, "--limit", "none")
    tokens = [broker.user(f"user{i}") for i in range(USERS)]
    commands = Commands(bench, broker)
    found = {}
    commands.measure(EXECS)  # warm
    for count in COUNTS:
        loads = join(bench, broker, tokens, count) if count else []
        size = resident([broker.program.pid])
        found[count] = (size, *commands.measure(EXECS))
        for load in loads:
            load.stop()
        for token in tokens if count else []:
            until(lambda: not broker.agents(token), "end of the agents", 60)
        tokens = [broker.user(f"user{count}-{i}") for i in range(USERS)]
    return found


def table(found):
    base = found[0]
    rows = []
    for count, (size, p50, p99) in found.items():
        each = f"{(size - base[0]) / count:.1f}" if count else ""
        rows.append([f"{count:,} agents", f"{size:,}", each, f"{p50:,.0f}", f"{p50 / base[1]:.2f}", f"{p99:,.0f}",
                     f"{p99 / base[2]:.2f}"])
    return lines_of(["broker (KiB)", "for each agent (KiB)", "exec p50 (µs)", "/ none", "exec p99 (µs)", "/ none"],
                    rows)


def section(*_):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    bench = Bench()
    try:
        with harness.world():
            bench.setUp()
            try:
                found = measure(bench)
            finally:
                bench.doCleanups()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return ("Agents that tests/bench/agents.c joins over loopback, each by a device key of its own, over http; beside "
            f"them {EXECS}\ncommands (`true`) one after the other by `POST /api/exec`, on one more agent. The audit trail "
            f"is written through\nbefore each.\n\n{table(found)}\n")
