"""QUIC where it can be had, ssh where it cannot, and what a person is told of it."""

import json
import os
import random
import shutil
import signal
import socket
import stat
import unittest

from datagrams import udp_socket
from harness import HOST, Echo, connect, exchange, free_port, read_exactly, system, until
from network import Capture, OwnNetwork, udp_ports
from paths import rest

# A login shell whose programs can make no UDP socket, as in a container with such a filter: socket(AF_INET or
# AF_INET6, SOCK_DGRAM) is refused, by classic BPF over struct seccomp_data.
NO_UDP_SHELL = """#!/usr/bin/python3
import ctypes, os, platform, struct, sys
LOAD, JEQ, JGT, AND, RETURN = 0x20, 0x15, 0x25, 0x54, 0x06
SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]
REFUSE, ALLOW = 0x00050000 | 13, 0x7fff0000
rules = [(LOAD, 0, 0, 0), (JEQ, 0, 6, SOCKET), (LOAD, 0, 0, 16), (JEQ, 1, 0, 2), (JEQ, 0, 3, 10),
         (LOAD, 0, 0, 24), (AND, 0, 0, 15), (JEQ, 1, 0, 2), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
    sys.exit("no filter: " + os.strerror(ctypes.get_errno()))
os.execv("/bin/sh", ["sh"] + sys.argv[1:])
"""


class Transport(OwnNetwork):
    def setUp(self):
        super().setUp()
        self.remote_user = self.user()
        self.echo = self.server(Echo())

    def agent(self):
        pid, = self.remote_user.agents()
        return pid

    def agent_port(self):
        ports = udp_ports(self.agent())
        self.assertEqual(len(ports), 1, ports)
        return ports.pop()

    def listings(self, env=None):
        """What `berth list` says on either side: as JSON, and as text."""
        for run in lambda *words: self.berth(*words, env=env), self.remote_user.run:
            words = [self.berth_path] if run == self.remote_user.run else []
            done = [run(*words, "list", *more) for more in (["--json"], [])]
            self.assertEqual([each.returncode for each in done], [0, 0])
            yield json.loads(done[0].stdout)["sessions"], done[1].stdout

    def check_listings(self, transport):
        for sessions, text in self.listings():
            self.assertEqual([(s["transport"], s["state"]) for s in sessions], [(transport, "up")])
            self.assertRegex(text, rf"^Session: 127\.0\.0\.1 -> 127\.0\.0\.1   {transport}   up \d")

    def count(self, master, text):
        return sum(text in line for line in master.lines)


class Choice(Transport):
    def test_auto_and_quic(self):
        for transport in "auto", "quic":
            with self.subTest(transport):
                port = free_port()
                master = self.on_quic("--transport", transport, "-L", f"{port}:127.0.0.1:{self.echo.port}")
                self.assertEqual(exchange(port), b"ping")
                self.check_listings("quic")
                self.assertTrue(40000 <= self.agent_port() <= 50000)
                self.assertEqual(master.stop(), 0)

    def test_ssh(self):
        port = free_port()
        master = self.connected(self.remote_user, "--transport", "ssh", "-L", f"{port}:127.0.0.1:{self.echo.port}")
        self.assertEqual(exchange(port), b"ping")
        self.check_listings("ssh")
        self.assertEqual((udp_ports(self.agent()), udp_ports(master.pid)), (set(), set()))
        # A session that wants QUIC gets it beside the other, from the same agent.
        self.on_quic(env=self.surroundings("other"))
        self.assertEqual((self.agent_port(), udp_ports(master.pid)), (self.agent_port(), set()))
        remote = json.loads(self.remote_user.run(self.berth_path, "list", "--json").stdout)["sessions"]
        self.assertEqual(sorted(s["transport"] for s in remote), ["quic", "ssh"])
        self.assertEqual(self.count(master, "quic"), 0, master.text())

    def test_bad_values(self):
        for words, why in (
                (["--transport", "udp"], "--transport udp: it is auto, quic or ssh"),
                (["--transport", ""], "--transport : it is auto, quic or ssh"),
                *((["--udp-ports", bad], f"--udp-ports {bad}: give a range such as 40000-50000, from 1024 to 65535")
                  for bad in ("", "-", "80-90", "1023-2000", "50000-40000", "40000-", "-50000", "40000-65536", "many",
                              "40000-50000,60000", "!40000-50000", "40000 - 50000", "0"))):
            done = self.berth("master", *words, HOST)
            self.assertEqual((done.returncode, done.stderr), (2, f"berth: {why}\n"))


class Ports(Transport):
    def taken(self, *ports):
        return [self.server(udp_socket("0.0.0.0", port)) for port in ports]

    def start_in(self, ports):
        self.on_quic("--udp-ports", ports, "--transport", "quic")
        return self.agent_port()

    def test_range(self):
        self.assertIn(self.start_in("41000-41003"), range(41000, 41004))

    def test_one_port(self):
        self.assertEqual(self.start_in("41000"), 41000)

    def test_one_is_left(self):
        """However small the range and whichever it is."""
        left = random.randrange(41000, 41010)
        self.taken(*(port for port in range(41000, 41010) if port != left))
        self.assertEqual(self.start_in("41000-41009"), left)

    def test_none_is_left(self):
        self.taken(41000, 41001, 41002)
        self.assertNotIn(self.start_in("41000-41002"), range(41000, 41003))

    def test_first_session_decides(self):
        port = self.start_in("41000-41001")
        self.on_quic("--udp-ports", "42000-42001", env=self.surroundings("other"))
        self.assertEqual(self.agent_port(), port)


class WithoutUdp(Transport):
    """Where it cannot be had the session runs over ssh, and one line says so."""

    def forwarded(self, *args, **more):
        self.port = free_port()
        return self.connected(self.remote_user, *args, "-L", f"{self.port}:127.0.0.1:{self.echo.port}", **more)

    def no_udp_shell(self):
        path = os.path.join(self.dir, "no_udp_shell")
        with open(path, "w") as file:
            file.write(NO_UDP_SHELL)
        os.chmod(path, 0o755)
        self.remote_user.use_shell(path)

    def test_agent_can_open_none(self):
        self.no_udp_shell()
        master = self.forwarded()
        master.await_line(r"^berth: testhost: the agent has no UDP port: staying on ssh$")
        self.assertEqual(exchange(self.port), b"ping")
        self.check_listings("ssh")
        self.sshd.kill_connections()
        master.await_line(r"^berth: testhost: back \(ssh, ")
        self.assertEqual(exchange(self.port), b"ping")
        self.assertEqual(self.count(master, "UDP"), 1, master.text())

    def test_agent_can_open_none_and_quic_is_asked_for(self):
        self.no_udp_shell()
        master = self.forwarded("--transport", "quic")
        master.await_line(r"^berth: testhost: the agent has no UDP port$")
        master.await_line(r"^berth: testhost: QUIC cannot be had, and --transport quic asks for it$")
        self.assertEqual(master.wait(), 1)

    def test_blocked(self):
        self.nft("add rule inet test input udp dport 40000-50000 counter drop")
        demanding = self.master(self.user("b"), "--transport", "quic", env=self.surroundings("demanding"))
        master = self.forwarded()
        master.await_line(r"^berth: testhost: UDP port \d+ does not get through: staying on ssh$")
        self.assertEqual(exchange(self.port), b"ping")
        self.check_listings("ssh")
        demanding.await_line(r"^berth: testhost: UDP port \d+ does not get through$")
        demanding.await_line(r"^berth: testhost: QUIC cannot be had, and --transport quic asks for it$")
        self.assertEqual(demanding.wait(), 1)
        # Another network, with another address: it is tried again there, and gets through.
        self.nft("flush chain inet test input")
        self.ip("addr", "add", "10.77.0.1/32", "dev", "lo")
        master.await_line(r"^berth: testhost: on quic ")
        self.check_listings("quic")
        self.assertEqual(self.count(master, "get through"), 1, master.text())


class Tunnel(Transport):
    def tunnel(self, *args):
        self.port, self.back = free_port(), free_port()
        master = self.on_quic("-L", f"{self.port}:127.0.0.1:{self.echo.port}",
                              "-R", f"{self.back}:127.0.0.1:{self.echo.port}", *args)
        for port in self.port, self.back:
            self.assertEqual(exchange(port), b"ping")
        return master

    def opened(self, port):
        connection = self.server(connect(port))
        connection.sendall(b"before")
        self.assertEqual(read_exactly(connection, 6), b"before")
        return connection



class Changes(Tunnel):
    """Ssh and UDP come and go; what is open goes on."""

    def lose_ssh(self, master, sshd):
        sshd.kill_connections()
        master.await_line(r"^berth: testhost: the ssh connection is gone, going on over quic$")
        for port in self.port, self.back:
            self.assertEqual(exchange(port), b"ping")
        self.check_listings("quic")

    def lose_udp(self, master):
        self.nft("add rule inet test input meta l4proto udp drop")
        self.client.sendall(b"during")
        master.await_line(r"^berth: testhost: network lost, reconnecting$")

    def test_both_go_and_udp_comes_back(self):
        master, sshd = self.tunnel(), self.sshd
        self.client = self.opened(self.port)
        self.lose_ssh(master, sshd)
        sshd.stop()
        self.lose_udp(master)
        self.nft("flush chain inet test input")
        master.await_line(r"^berth: testhost: back \(quic, \d+ ms\)$")
        self.assertEqual(read_exactly(self.client, 6), b"during")
        for port in self.port, self.back:
            self.assertEqual(exchange(port), b"ping")
        self.assertEqual(self.count(master, "lost the session"), 0, master.text())

    def test_both_go_and_ssh_comes_back(self):
        master = self.tunnel()
        self.client = self.opened(self.port)
        self.lose_ssh(master, self.sshd)
        self.lose_udp(master)
        master.await_line(r"^berth: testhost: back \(ssh, \d+ ms\)$")
        for port in self.port, self.back:
            self.assertEqual(exchange(port), b"ping")
        self.check_listings("ssh")
        self.nft("flush chain inet test input")
        master.await_line(r"^berth: testhost: on quic \(\d+ ms\)$")
        self.assertEqual(read_exactly(self.client, 6), b"during")
        self.assertEqual(self.count(master, "lost the session"), 0, master.text())


class Ends(Tunnel):
    """On QUIC, however a side ends: the other notices, and nothing is left."""

    def check_gone(self, *pids):
        until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "end of the processes")
        for port in self.port, self.back:
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))


    def test_agent_is_killed(self):
        master = self.tunnel()
        agent = self.agent()
        open_ones = [self.opened(port) for port in (self.port, self.back)]
        os.kill(agent, signal.SIGKILL)
        self.assertEqual(rest(open_ones[1])[0], b"")  # by the kernel, as for any program
        master.await_line(r"the agent has lost the session: .*open connections are reset$")
        self.assertEqual(rest(open_ones[0]), (b"", "reset"))
        master.await_line(r"^berth: testhost: back ")
        master.await_line(r"^berth: testhost: on quic ")
        for port in self.port, self.back:
            self.assertEqual(exchange(port), b"ping")
        self.assertNotEqual(self.agent(), agent)
        self.check_listings("quic")

    def test_master_is_killed(self):
        master = self.tunnel("--idle-timeout", "1s")
        agent = self.agent()
        local, back = (self.opened(port) for port in (self.port, self.back))
        master.signal(signal.SIGKILL)
        self.assertEqual(rest(local)[0], b"")  # by the kernel, as for any program
        self.assertEqual(rest(back), (b"", "reset"))
        self.check_gone(agent)
        self.assertEqual([path for path in self.remote_user.sockets() if os.path.lexists(path)], [])

    def test_stopped_here(self):
        for words in ["stop"], ["stop", "--all"]:
            master = self.tunnel()
            back = self.opened(self.back)
            done = self.berth(*words)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(master.wait(), 0)
            self.assertEqual(rest(back), (b"", "reset"))
            self.check_gone(master.pid)
            self.assertIn("No sessions. An agent", self.remote_user.run(self.berth_path, "list").stdout)

    def test_stopped_there(self):
        master = self.tunnel()
        agent, local = self.agent(), self.opened(self.port)
        done = self.remote_user.run(self.berth_path, "stop")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        master.await_line(r"^berth: testhost: the session was ended: ")
        self.assertEqual(master.wait(), 1)
        self.assertEqual(rest(local), (b"", "reset"))
        self.check_gone(master.pid, agent)

    def test_one_session_is_stopped_there(self):
        master = self.tunnel()
        other = self.on_quic(env=self.surroundings("other"))
        ids = {s["id"] for (sessions, _), in [list(self.listings())[:1]] for s in sessions}
        self.assertEqual(self.remote_user.run(self.berth_path, "stop", ids.pop()).returncode, 0)
        self.assertEqual(master.wait(), 1)
        self.assertIsNone(other.process.poll())
        (_, _), (remote, _) = self.listings()
        self.assertEqual([s["transport"] for s in remote], ["quic"])


class Keys(Transport):
    """SSLKEYLOGFILE, on both sides."""

    TEXT = b"what nobody on the path may read"

    def session(self):
        """Some bytes through a session that was captured; the master's key log."""
        log, port = os.path.join(self.dir, "keys"), free_port()
        self.there = os.path.join(self.remote_user.home, "keys")
        self.remote_user.environment(SSLKEYLOGFILE=self.there)
        self.ip("link", "set", "lo", "gso_max_segs", "1")  # packets leave as they would on a wire
        self.capture = self.server(Capture())
        self.on_quic("-L", f"{port}:127.0.0.1:{self.echo.port}", env=self.env(SSLKEYLOGFILE=log))
        self.assertEqual(exchange(port, self.TEXT), self.TEXT)
        until(lambda: list(self.capture.datagrams(self.agent_port())), "captured packets")
        return log

    def test_files(self):
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        log = self.session()
        texts = []
        for path, owner in (log, os.getuid()), (self.there, self.remote_user.uid):
            status = os.stat(path)
            self.assertEqual((oct(stat.S_IMODE(status.st_mode)), status.st_uid), (oct(0o600), owner))
            with open(path) as file:
                texts.append(file.read())
        for text in texts:
            self.assertRegex(text, r"(?m)^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]{64}$")
        self.assertEqual(set(texts[0].split("\n")), set(texts[1].split("\n")))

    @unittest.skipUnless(shutil.which("tshark"), "NOT TESTED: there is no tshark")
    def test_another_reader(self):
        """With the keys, a reader of QUIC that is not ours makes out all of it."""
        log, pcap = self.session(), os.path.join(self.dir, "pcap")
        port = self.agent_port()
        self.capture.close()
        self.capture.save(pcap)
        self.assertFalse(any(self.TEXT in data for _, data in self.capture.datagrams(port)))
        fields = ["frame.protocols", "tls.handshake.extensions_alpn_str", "quic.stream_data", "quic.decryption_failed"]
        seen = system("tshark", "-r", pcap, "-o", f"tls.keylog_file:{log}", "-d", f"udp.port=={port},quic",
                      "-Y", f"udp.port=={port}", "-T", "fields", *(word for f in fields for word in ("-e", f)),
                      env=self.env())
        rows = [line.split("\t") for line in seen.splitlines()]
        protocols, alpn, data, failed = zip(*rows)
        self.assertEqual({"quic" in each.split(":") for each in protocols}, {True})
        self.assertEqual({each for each in alpn if each}, {"berth/1"})
        self.assertIn(self.TEXT.hex(), "".join(data).replace(":", ""))
        self.assertEqual(set(failed), {""})


if __name__ == "__main__":
    unittest.main()
