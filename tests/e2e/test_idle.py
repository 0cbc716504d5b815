"""A connected pair at rest: how often it wakes the processor, which on a laptop is what its battery pays for.

BERTH_IDLE_SECONDS=60 tests/e2e/run idle measures a whole minute."""

import os
import select
import unittest

from harness import until
from network import OwnNetwork

SECONDS = int(os.environ.get("BERTH_IDLE_SECONDS", "5"))
AT_ONCE = 40  # wake-ups that a question and its answer may take: the more of them, the shorter the measure
A_MINUTE = 60


def wakes(pid):
    """How often a process has waited."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))


class Idle(OwnNetwork):
    def pair(self, letter, transport):
        """The ends of a session."""
        user = self.user(letter)
        master = self.connected(user, "--transport", transport, env=self.surroundings(transport))
        if transport == "quic":
            master.await_line(r"^berth: \S+: on quic ")
        agent, = user.agents()
        return {f"{transport}: master": master.pid, f"{transport}: agent": agent}

    def test_wake_ups(self):
        """Once what is said at the beginning has been, however long that takes."""
        pids = {**self.pair("a", "quic"), **self.pair("b", "ssh")}
        most = AT_ONCE + A_MINUTE * SECONDS // 60
        until(lambda: max(self.measured(pids).values()) <= most, "rest")

    def measured(self, pids):
        before = {name: wakes(pid) for name, pid in pids.items()}
        select.select([], [], [], SECONDS)
        counts = {name: wakes(pid) - before[name] for name, pid in pids.items()}
        print(f"\n    wake-ups in {SECONDS} s: {counts}", end=" ")
        return counts


if __name__ == "__main__":
    unittest.main()
