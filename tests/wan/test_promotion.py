"""From ssh to QUIC and back: what new connections take, what is said of it, and that it is true."""

import unittest

from harness import until
from roam import LONG, LOST, ON_QUIC, ON_SSH, TestCase

STREAMS = 20


class Promotion(TestCase):
    def blocked(self):
        return self.path.stats()["up"]["blocked"]

    def await_try(self, seconds):
        before = self.blocked()
        until(lambda: self.blocked() > before, "try by UDP", seconds)

    def test_udp_blocked_from_the_start(self):
        """It is said once, however often it is tried in vain. When UDP opens, streams that are there stay
        where they are, and others take QUIC."""
        path = self.tunnel(delay="10ms", blocked=["udp"])
        self.open_streams(STREAMS)
        self.assert_transport("ssh")
        self.stir()
        self.await_try(5)
        self.pass_time(6)  # until that one is given up
        if LONG:
            self.await_try(70)
            self.pass_time(6)
        path.unblock("udp")
        self.stir()
        self.session.await_line(ON_QUIC)
        self.assertEqual(self.said("does not get through"), 1, self.session.text())
        self.assert_transport("quic")
        path.block("tcp")
        until(self.stands_still, "end of what had passed")
        marks = self.marks()
        self.open_streams(STREAMS)
        self.assertEqual(self.moved_since(marks), 0)
        self.streams.await_all()  # ssh is given up, and what it carried goes on over QUIC
        self.assertEqual(self.said("network lost"), 0, self.session.text())
        path.unblock("tcp")
        self.exchange()
        self.finish()

    @unittest.skipUnless(LONG, "with --long")
    def test_without_being_told(self):
        """Each minute it is tried again."""
        path = self.tunnel(delay="10ms", blocked=["udp"])
        self.open_streams(STREAMS)
        path.unblock("udp")
        self.session.await_line(ON_QUIC, 70)
        self.finish()

    def test_udp_goes_and_comes(self):
        path = self.tunnel(delay="10ms")
        for _ in range(2):
            self.open_streams(STREAMS)
            path.block("udp")
            self.session.await_line(ON_SSH)
            self.assert_transport("ssh")
            self.open_streams(STREAMS)
            path.unblock("udp")
            self.session.await_line(ON_QUIC)
            self.assert_transport("quic")
            self.streams.await_all()
        self.assertEqual(self.said("network lost"), 0, self.session.text())
        self.finish()

    def test_both_go(self):
        """ssh comes first: the session goes on with it, and QUIC is found when it is there."""
        path = self.tunnel(delay="10ms")
        self.open_streams(STREAMS)
        path.block("udp")
        path.block("tcp")
        self.session.await_line(LOST)
        self.assertNotIn(("quic", "up"), self.transports())
        path.unblock("tcp")
        self.session.await_line(r"^berth: testhost: back \(ssh, \d+ ms\)$", 60)
        self.assert_transport("ssh")
        self.open_streams(STREAMS)
        path.unblock("udp")
        self.session.await_line(ON_QUIC)
        self.streams.await_all()
        self.finish()


if __name__ == "__main__":
    unittest.main()
