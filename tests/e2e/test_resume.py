"""The session outlives its ssh connections: they are killed and held up in every way, and what goes
through the tunnel does not notice."""

import contextlib
import os
import random
import select
import signal
import socket
import unittest

from harness import (DEADLINE, Echo, Server, TestCase, connect, each_process, exchange, free_port, program,
                     read_exactly, until)
from machine import parent
from paths import Ways, instrumented, rest
from socks import Socks
from traffic import Traffic

STREAMS = 50
LENGTH = 20_000_000  # bytes of each stream, each way
KILLS = 20
SEED = 4


def children(pid):
    return [child for child in each_process() if parent(child) == pid]


def ssh_of(master):
    """The master's ssh, once there is one."""
    def find():
        with contextlib.suppress(OSError):
            for pid in children(master.pid):
                if os.path.basename(program(pid)) == "ssh":
                    return pid
        return None

    return until(find, "ssh process")


def listener_of(port):
    """The one socket that listens on a loopback port: its inode, or None."""
    with open("/proc/net/tcp") as file:
        for line in list(file)[1:]:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
                return fields[9]
    return None


class Resume(TestCase):
    transport = "ssh"

    def setUp(self):
        super().setUp()
        self.host = self.sshd  # which starts it wherever it is not running

    def kill_ssh(self, master):
        os.kill(ssh_of(master), signal.SIGKILL)

    @contextlib.contextmanager
    def silence(self, master):
        """Nothing comes from the host any more, and nothing says so. The ssh that is given up ends, though
        it hears nothing either."""
        ssh, *carriers = (os.pidfd_open(pid) for pid in (ssh_of(master), *self.host.carriers()))
        for handle in ssh, *carriers:
            self.addCleanup(os.close, handle)
        try:
            for handle in carriers:
                signal.pidfd_send_signal(handle, signal.SIGSTOP)
            yield
            ended, _, _ = select.select([ssh], [], [], DEADLINE)
            self.assertTrue(ended, "the ssh that was given up is still there")
        finally:
            for handle in carriers:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGCONT)

    def await_loss(self, master):
        master.await_line(r"^berth: testhost: network lost, reconnecting$")

    def await_return(self, master):
        master.await_line(r"^berth: testhost: back \(ssh, \d+ ms\)$")

    def count(self, master, text):
        return sum(text in line for line in master.lines)


class Kills(Resume):
    def break_it(self, master, chance):
        """One of the ways in which a connection ends; now and then the next one is hit as well, while it
        is being made."""
        way = chance.choice(["ssh", "ssh", "sshd", "twice"])
        if way == "sshd":
            self.host.kill_connections()
        else:
            self.kill_ssh(master)
        self.await_loss(master)
        if way == "twice":
            self.kill_ssh(master)
        self.await_return(master)

    def test_every_byte_arrives_whatever_is_killed(self):
        chance = random.Random(SEED)
        ways = Ways(self, self.user())
        ports = [path.where[1] for path in (ways.local, ways.remote)]
        listeners = [listener_of(port) for port in ports]
        self.assertNotIn(None, listeners)
        traffic = Traffic()
        self.addCleanup(traffic.close)
        for i in range(STREAMS):
            path = (ways.local, ways.remote)[i % 2]
            traffic.add(f"{path.name} {i}", path.connect(), path.accept(),
                        LENGTH // (10 if instrumented(self) else 1))
        moments = sorted(chance.randrange(traffic.total // 50, traffic.total * 9 // 10) for _ in range(KILLS))
        silent = chance.randrange(KILLS)
        traffic.start()
        for i, moment in enumerate(moments):
            traffic.await_moved(moment)
            if i == silent:
                with self.silence(ways.master):
                    self.await_loss(ways.master)
                    self.await_return(ways.master)
            else:
                self.break_it(ways.master, chance)
        traffic.finish()
        self.assertEqual(traffic.moved, traffic.total)
        self.assertEqual([listener_of(port) for port in ports], listeners)
        self.assertEqual(self.count(ways.master, "network lost"), KILLS)
        self.assertEqual(self.count(ways.master, "back ("), KILLS)
        self.assertEqual(self.count(ways.master, "lost the session"), 0)


class Outage(Resume):
    def setUp(self):
        super().setUp()
        self.remote_user = self.user()
        self.echo = self.server(Echo())
        self.local, self.remote, self.proxy = (free_port() for _ in range(3))

    def tunnel(self, **more):
        master = self.connected(self.remote_user, "-L", f"{self.local}:127.0.0.1:{self.echo.port}",
                                "-R", f"{self.remote}:127.0.0.1:{self.echo.port}", "-D", str(self.proxy),
                                **more)
        for port in self.local, self.remote:
            self.assertEqual(exchange(port), b"ping")
        return master

    def cut_off(self, master):
        """No session, and no way to one."""
        self.host.stop()
        self.kill_ssh(master)
        self.await_loss(master)

    def test_new_connections_wait_for_the_session(self):
        master = self.tunnel()
        self.cut_off(master)
        waiting = [connect(port) for port in (self.local, self.remote, self.local)]
        with Socks(self.proxy) as through_proxy:
            through_proxy.send_v4("127.0.0.1", self.echo.port)
            for client in waiting[:2]:
                client.sendall(b"early")
                client.shutdown(socket.SHUT_WR)
            self.host.start()
            self.await_return(master)
            for client in waiting[:2]:
                self.assertEqual(rest(client), (b"early", "end"))
            waiting[2].sendall(b"late")
            self.assertEqual(read_exactly(waiting[2], 4), b"late")
            self.assertEqual(through_proxy.reply(), 0)
            through_proxy.socket.sendall(b"proxied")
            self.assertEqual(read_exactly(through_proxy.socket, 7), b"proxied")
        for client in waiting:
            client.close()

    def test_new_connections_are_reset_at_last(self):
        """Those to the master's own listeners, after 10 s without a session."""
        master = self.tunnel()
        self.cut_off(master)
        with connect(self.local) as silent, connect(self.local) as spoken, Socks(self.proxy) as proxied:
            spoken.sendall(b"hello")
            spoken.shutdown(socket.SHUT_WR)
            proxied.send_v4("127.0.0.1", self.echo.port)
            for client in silent, spoken, proxied.socket:
                self.assertEqual(rest(client), (b"", "reset"))
        before = self.echo.accepted
        self.host.start()
        self.await_return(master)
        self.assertEqual(exchange(self.local), b"ping")
        self.assertEqual(self.echo.accepted, before + 1)

    def test_silence_is_noticed(self):
        """With bytes waiting here: their stream goes on afterwards, and so does one that was idle."""
        master = self.tunnel()
        with connect(self.local) as busy, connect(self.local) as idle:
            for client in busy, idle:
                client.sendall(b"before")
                self.assertEqual(read_exactly(client, 6), b"before")
            with self.silence(master):
                busy.sendall(b"into the silence")
                self.await_loss(master)
                self.await_return(master)
                self.assertEqual(read_exactly(busy, 16), b"into the silence")
            idle.sendall(b"after")
            self.assertEqual(read_exactly(idle, 5), b"after")

    def test_agent_is_killed(self):
        """What it held is lost, and said to be: old connections are reset, and new ones go through a new
        agent, by the same ports."""
        master = self.tunnel()
        agent, = self.remote_user.agents()
        with connect(self.local) as old:
            old.sendall(b"before")
            self.assertEqual(read_exactly(old, 6), b"before")
            os.kill(agent, signal.SIGKILL)
            self.await_loss(master)
            master.await_line(r"^berth: testhost: the agent has lost the session: .*connections are reset")
            self.assertEqual(rest(old), (b"", "reset"))
        self.await_return(master)
        for port in self.local, self.remote:
            self.assertEqual(exchange(port), b"ping")
        with Socks(self.proxy) as client:
            self.assertEqual(client.ask_v4("127.0.0.1", self.echo.port), 0)
        successor, = self.remote_user.agents()
        self.assertNotEqual(successor, agent)

    def test_sshd_is_down_for_a_while(self):
        """Two tries fail, and then there is a host again: nobody has to do anything."""
        master = self.tunnel()
        with connect(self.local) as client:
            self.cut_off(master)
            client.sendall(b"patience")
            stand_in = self.server(Hangup(port=self.host.port))
            until(lambda: stand_in.accepted >= 2, "second try")
            stand_in.close()
            self.host.start()
            self.await_return(master)
            self.assertEqual(read_exactly(client, 8), b"patience")
        self.assertEqual(self.count(master, "network lost"), 1)

    def test_host_key_changes(self):
        """One line says so, and only one; the master goes on trying, and comes back when it can."""
        known = os.path.join(self.dir, "known_hosts")
        right, wrong = (f"berth-test {self.public(key)}" for key in (self.host.host_key, self.host.user_key))
        self.write(known, right)
        config = self.ssh_config(self.remote_user, f"UserKnownHostsFile {known}")
        master = self.tunnel(config=config)
        self.write(known, wrong)
        mark = self.host.mark()
        self.kill_ssh(master)
        self.await_loss(master)
        master.await_line(r"^berth: testhost: its host key has changed: ")
        until(lambda: self.host.connections(mark) >= 3, "third try")
        self.write(known, right)
        self.await_return(master)
        self.assertEqual(self.count(master, "host key has changed"), 1, master.text())
        self.assertEqual(exchange(self.local), b"ping")

    def public(self, key):
        with open(key + ".pub") as file:
            return file.read()

    def write(self, path, text):
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)


class Hangup(Server):
    """Closes every connection at once."""

    def serve(self, connection):
        pass


if __name__ == "__main__":
    unittest.main()
