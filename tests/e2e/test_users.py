"""Many users of one host: each agent has a UDP port of its own, where it knows its own user's sessions alone."""

import json
import os
import unittest

from harness import Speaker, connect, free_port, read_all, until
from network import OwnNetwork, udp_ports

USERS = 24
ASTRAY = 3  # of them


class Users(OwnNetwork):
    def setUp(self):
        super().setUp()
        self.users = [self.user(f"u{i}") for i in range(USERS)]
        self.ports = [free_port() for _ in self.users]
        for user in self.users:  # in a home that nobody else may enter
            path = os.path.join(user.home, "who")
            self.server(Speaker(user.name, path=path))
            os.chmod(path, 0o666)

    def begin_all(self):
        """On QUIC; the agents' ports."""
        forwards = [f"{port}:{user.home}/who" for user, port in zip(self.users, self.ports)]
        masters = [self.master(user, "--transport", "quic", "-L", forward, env=self.surroundings(user.name))
                   for user, forward in zip(self.users, forwards)]
        for master in masters:
            master.await_line(r"^berth: \S+: on quic ")
        agents = [pid for user in self.users for pid in user.agents()]
        self.assertEqual(len(agents), USERS)
        ports = [port for pid in agents for port in udp_ports(pid)]
        self.assertEqual((len(ports), len(set(ports))), (USERS, USERS))
        return ports

    def check_each_reaches_its_own(self):
        for user, port in zip(self.users, self.ports):
            self.assertEqual(read_all(connect(port)).decode(), user.name)

    def transports(self):
        """Of each agent's sessions, as it knows them; and the sessions' ids."""
        found, ids = [], []
        for user in self.users:
            sessions = json.loads(user.run(self.berth_path, "list", "--json").stdout)["sessions"]
            found.append(sorted(s["transport"] for s in sessions))
            ids += [s["id"] for s in sessions]
        self.assertEqual(len(ids), len(set(ids)))
        return found

    def await_transports(self, wanted):
        """One that is silent for a moment is on ssh until it is heard again."""
        until(lambda: self.transports() == wanted, "transports as they should be")

    def test_each_has_its_own(self):
        ports = self.begin_all()
        self.assertTrue(all(40000 <= port <= 50000 for port in ports), ports)
        self.check_each_reaches_its_own()
        self.await_transports([["quic"]] * USERS)
        # New masters are led to the next user's port: nobody lets them in, and nobody is disturbed.
        pairs = ", ".join(f"{port} : {ports[i - 1]}" for i, port in enumerate(ports[:ASTRAY]))
        self.nft(f"add rule inet test nat ip protocol udp counter redirect to : udp dport map {{ {pairs} }}")
        led_astray = [self.master(user, env=self.surroundings(f"{user.name}-astray")) for user in self.users[:ASTRAY]]
        for master in led_astray:
            master.await_line(r"UDP port \d+ does not get through: staying on ssh$")
        self.await_transports([["quic", "ssh"]] * ASTRAY + [["quic"]] * (USERS - ASTRAY))
        self.check_each_reaches_its_own()


if __name__ == "__main__":
    unittest.main()
