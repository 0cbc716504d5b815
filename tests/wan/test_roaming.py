"""What befalls a session while streams move: nothing of it is to be seen in them."""

import functools
import os
import random
import signal
import unittest

from harness import until
from roam import LEFT_SSH, LONG, LOST, ON_QUIC, ON_SSH, TestCase

STREAMS = 100


class Roaming(TestCase):
    def moving(self, *args, **path):
        """A session over QUIC, and all the streams on it."""
        self.tunnel(*args, **{"delay": "15ms", **path})
        self.open_streams(STREAMS)
        self.assert_transport("quic")
        return self.path

    def test_cut(self):
        """Short enough for nobody to notice; long enough for both ways to be given up."""
        path = self.moving()
        for seconds in (1, 30, 300) if LONG else (1, 7):
            path.cut()
            self.pass_time(seconds)
            path.join()
            self.streams.await_all()
        self.session.await_line(r"^berth: testhost: back \(quic, \d+ ms\)$")
        self.exchange()
        self.finish()

    def test_other_addresses(self):
        """Some changes come before the last one has been dealt with."""
        path = self.moving()
        for i in range(50):
            path.here.renumber()
            self.pass_time(0.05 * (i % 5))
            if i % 10 == 0:
                self.streams.await_all()
        self.exchange()
        self.finish()

    def test_nat(self):
        """Forgets its flows, which keep their ports or get others, and gets another address itself."""
        path = self.moving(nat=True)
        forget = functools.partial(path.nat.rebind, keep=True)
        for change in forget, forget, path.nat.rebind, path.nat.renumber, path.nat.rebind:
            change()
            self.streams.await_all()
        self.exchange()
        self.finish()

    def test_udp_blocked_and_unblocked(self):
        """New connections go over ssh; those on QUIC wait, and go on."""
        path = self.moving()
        path.block("udp")
        self.session.await_line(ON_SSH)
        self.assert_transport("ssh")
        self.exchange()
        marks = self.marks()
        self.open_streams(STREAMS)
        self.assertEqual(self.moved_since(marks), 0)
        path.unblock("udp")
        self.session.await_line(ON_QUIC)
        self.assert_transport("quic")
        self.streams.await_all()
        self.exchange()
        self.finish()

    def test_ssh_killed(self):
        """QUIC carries everything, and nobody asks for ssh: until UDP is gone as well."""
        path = self.moving()
        mark = self.sshd.mark()
        self.kill_ssh()
        self.session.await_line(LEFT_SSH)
        self.streams.await_all()
        self.exchange()
        self.pass_time(3)
        self.assertEqual(self.sshd.connections(mark), 0)
        self.assertEqual(self.ssh_pids(), [])
        path.block("udp")
        self.session.await_line(LOST)
        self.session.await_line(r"^berth: testhost: back \(ssh, \d+ ms\)$")
        self.assert_transport("ssh")
        self.exchange()
        path.unblock("udp")
        self.session.await_line(ON_QUIC)
        self.assertEqual(self.sshd.connections(mark), 1)
        self.finish()

    def test_stopped(self):
        """The master, then the agent, stands still: as a laptop that sleeps, or a host that is frozen."""
        self.moving()
        agent, = self.remote.agents()
        for pid in self.session.pid, agent:
            os.kill(pid, signal.SIGSTOP)
            try:
                until(self.stands_still, "end of what was under way")
                self.pass_time(60 if LONG else 8)
            finally:
                os.kill(pid, signal.SIGCONT)
            self.streams.await_all()
            self.exchange()
        self.finish()

    def test_everything(self):
        """BERTH_SEED repeats what has failed."""
        seed = int(os.environ.get("BERTH_SEED") or random.randrange(1 << 32))
        print(f"seed {seed} ... ", end="", flush=True)
        chance = random.Random(seed)
        path = self.moving(nat=True, loss="0.5%", jitter="3ms")
        events = [path.here.renumber, path.nat.renumber, path.nat.rebind, self.kill_ssh,
                  path.cut, path.join, path.join, lambda: path.block("udp"), lambda: path.unblock("udp"),
                  lambda: path.unblock("udp"), self.sshd.kill_connections]
        for _ in range(300 if LONG else 25):
            chance.choice(events)()
            self.pass_time(chance.expovariate(2))
        path.join()
        path.unblock("udp")
        self.exchange()
        self.finish()


if __name__ == "__main__":
    unittest.main()
