"""Where the agent is: its addresses change, one family is dead, or it never was there."""

import os
import unittest

from roam import LONG, LOST, ON_QUIC, TestCase

STREAMS = 20
NAME = "far.test"  # as the hosts file has it


class FarSide(TestCase):
    # ---- a name for the far host, which only the master here knows ----

    def name_config(self, *lines):
        """ssh's, with a name for the far host; and the file that says what it stands for."""
        self.hosts = os.path.join(self.dir, "hosts")
        return self.ssh_config(self.remote, *lines, f"HostName {NAME}")

    def point(self, *addresses):
        with open(self.hosts, "w") as file:
            file.writelines(f"{address} {NAME}\n" for address in ("127.0.0.1 localhost", *addresses))

    def start(self, *argv, **more):
        hosts = getattr(self, "hosts", None)
        if hosts:
            argv = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts, *argv]
        return super().start(*argv, **more)

    # ---- addresses ----

    def test_renumbered(self):
        """The master finds it again by the name that ssh is given."""
        self.prepare(delay="15ms")
        config = self.name_config()
        self.point(self.path.there.v4)
        self.begin(config=config)
        self.open_streams(STREAMS)
        for _ in range(2 if LONG else 1):
            self.path.there.renumber()
            self.point(self.path.there.v4)
            self.streams.await_all()
            self.exchange()
            self.session.await_line(LOST)
            self.session.await_line(ON_QUIC)
            self.assert_transport("quic")
        self.finish()

    def test_another_address_of_its_own(self):
        """It has two from the start; the one in use goes."""
        self.prepare(delay="15ms")
        other = f"{self.path.there.networks[0]}.101"
        self.path.there.ip("addr", "add", f"{other}/24", "dev", self.path.device, "noprefixroute")
        self.begin()
        self.open_streams(STREAMS)
        self.path.there.ip("addr", "del", f"{self.path.there.v4}/24", "dev", self.path.device)
        self.streams.await_all()
        self.assert_transport("quic")
        self.finish()

    # ---- families ----

    def drop(self, family, what=""):
        """It vanishes at the far host, both ways."""
        for chain, at in ("input", "iifname"), ("output", "oifname"):
            self.path.there.nft(f"""table {family} gone {{
                chain {chain} {{
                    type filter hook {chain} priority filter
                    {at} {self.path.device} {what} drop
                }}
            }}""")

    def test_v6_only(self):
        self.prepare(delay="15ms")
        for end in self.path.here, self.path.there:
            end.ip("-4", "addr", "flush", "dev", self.path.device)
        self.begin(config=self.ssh_config(self.remote, v6=True))
        self.open_streams(STREAMS)
        self.assert_transport("quic")
        self.finish()

    def test_v6_is_a_black_hole(self):
        self.prepare(delay="15ms")
        self.drop("ip6")
        self.begin()
        self.open_streams(STREAMS)
        self.assert_transport("quic")
        self.finish()

    def test_v4_is_a_black_hole_for_udp(self):
        self.prepare(delay="15ms")
        self.drop("ip", "meta l4proto udp")
        self.begin()
        self.open_streams(STREAMS)
        self.assert_transport("quic")
        self.finish()

    def test_the_family_in_use_dies(self):
        self.prepare(delay="15ms")
        self.begin()
        self.open_streams(STREAMS)
        for family in "ip", "ip6":
            self.drop(family)
            self.streams.await_all()
            self.path.there.nft(f"delete table {family} gone")
        self.finish()


if __name__ == "__main__":
    unittest.main()
