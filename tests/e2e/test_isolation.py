"""Several users on one host: nobody reaches, sees, stops or misleads another's agent."""

import contextlib
import errno
import json
import os
import re
import select
import signal
import socket
import stat
import struct

from harness import *


def frame(message):
    payload = json.dumps(message).encode()
    return struct.pack(">I", len(payload)) + payload


def other_build(path, to):
    """The same program with another build's identity: as long, and told apart by it alone."""
    build = re.search(rb"build ([0-9a-f]{16})", system(path, "--version").encode()).group(1)
    with open(path, "rb") as file:
        text = file.read()
    flipped = bytes(b"fedcba9876543210"[b"0123456789abcdef".index(c)] for c in build)
    assert text.count(build) == 1
    with open(to, "wb") as file:
        file.write(text.replace(build, flipped))
    os.chmod(to, 0o755)
    return to


class Isolation(TestCase):
    def listing(self, user):
        """What `berth list --json` tells this user on the host."""
        done = user.run(self.berth_path, "list", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["sessions"]

    def carries(self, port, text=b"through"):
        self.assertEqual(exchange(port, text), text)

    @root_only
    def test_two_users_share_nothing(self):
        echo = self.server(Echo())
        for letter in "ab":
            user, port = self.user(letter), free_port()
            self.connected(user, "-L", f"{port}:127.0.0.1:{echo.port}", env=self.surroundings(letter))
            self.carries(port)
        a, b = self.user("a"), self.user("b")
        self.assertNotEqual(a.sockets()[0], b.sockets()[0])
        for user in a, b:
            status = os.lstat(user.sockets()[0])
            self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid), (0o600, user.uid))
            self.assertEqual(len(user.agents()), 1)
        self.assertNotEqual(self.listing(a)[0]["id"], self.listing(b)[0]["id"])
        self.assertEqual([len(self.listing(user)) for user in (a, b)], [1, 1])

    @root_only
    def test_another_user_reaches_nothing(self):
        echo, port, a = self.server(Echo()), free_port(), self.user("a")
        master = self.connected(a, "-L", f"{port}:127.0.0.1:{echo.port}", env=self.surroundings("a"))
        b, agent = self.user("b"), a.agents()[0]
        stop = b.run(self.berth_path, "stop", "--all")
        self.assertIn("nothing of yours runs here", stop.stderr)
        self.assertEqual(self.listing(b), [])
        code = ("import os, socket, sys\n"
                "try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
                "except PermissionError: print('connect refused')\n"
                "try: os.kill(int(sys.argv[2]), 15)\n"
                "except PermissionError: print('kill refused')\n")
        tried = b.run("python3", "-c", code, a.sockets()[0], str(agent))
        self.assertEqual(tried.stdout.split("\n")[:2], ["connect refused", "kill refused"], tried.stderr)
        self.assertEqual(a.agents(), [agent])
        self.carries(port)
        self.assertIsNone(master.process.poll())

    @root_only
    def test_an_open_socket_answers_its_owner_alone(self):
        a = self.user("a")
        self.connected(a, env=self.surroundings("a"))
        os.chmod(a.sockets()[0], 0o666)
        for request in ({"type": "List"}, {"type": "Stop"}, {"type": "Attach", "build": "x"}):
            code = ("import socket, sys\n"
                    "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
                    "try: s.sendall(bytes.fromhex(sys.argv[2])); print(s.recv(100))\n"
                    "except OSError: print(b'')\n")
            tried = self.user("b").run("python3", "-c", code, a.sockets()[0], frame(request).hex())
            self.assertEqual(tried.stdout.strip(), "b''", tried.stderr)
        self.assertEqual(len(self.listing(a)), 1)

    # ---- /tmp/berth-UID.sock in another's hands ----

    def squatted(self, make, remains):
        """Whatever holds the path is passed over, gets nothing, and stays; ~/.berth.sock serves."""
        a, echo, port = self.user("a"), self.server(Echo()), free_port()
        path = a.sockets()[0]
        make(path)
        self.addCleanup(remove, path)
        before = os.lstat(path)
        master = self.connected(a, "-L", f"{port}:127.0.0.1:{echo.port}")
        self.carries(port)
        after = os.lstat(path)
        self.assertEqual((before.st_ino, before.st_mode, before.st_uid),
                         (after.st_ino, after.st_mode, after.st_uid))
        status = os.lstat(a.sockets()[1])
        self.assertTrue(stat.S_ISSOCK(status.st_mode))
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid), (0o600, a.uid))
        self.assertEqual(len(self.listing(a)), 1)
        self.assertEqual(master.stop(), 0)
        a.run(self.berth_path, "stop")
        self.assertTrue(os.path.lexists(path))
        remains(path)

    @root_only
    def test_a_squatted_socket(self):
        squatter = socket.socket(socket.AF_UNIX)
        self.addCleanup(squatter.close)
        b = self.user("b")

        def listen(path):
            squatter.bind(path)
            squatter.listen(10)
            os.chown(path, b.uid, b.gid)
            os.chmod(path, 0o666)

        def untouched(path):
            squatter.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, _ = squatter.accept()
                    with connection:
                        connection.settimeout(DEADLINE)
                        self.assertEqual(connection.recv(100), b"", "the squatter was told something")

        self.squatted(listen, untouched)

    @root_only
    def test_a_squatting_symlink(self):
        b = self.user("b")
        trap = os.path.join(b.home, "trap.sock")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)

        def link(path):
            listener.bind(trap)
            listener.listen(10)
            os.chmod(b.home, 0o755)
            os.chmod(trap, 0o666)
            os.symlink(trap, path)
            os.lchown(path, b.uid, b.gid)

        def untouched(path):
            self.assertEqual(os.readlink(path), trap)
            listener.setblocking(False)
            with self.assertRaises(BlockingIOError):
                listener.accept()

        self.squatted(link, untouched)

    @root_only
    def test_a_squatting_directory(self):
        def make(path):
            os.mkdir(path, 0o777)
            os.chown(path, self.user("b").uid, 0)

        self.squatted(make, lambda path: self.assertEqual(os.listdir(path), []))

    @root_only
    def test_a_squatting_fifo(self):
        def make(path):
            os.mkfifo(path, 0o666)
            os.chmod(path, 0o666)
            os.chown(path, self.user("b").uid, 0)

        def untouched(path):
            fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            self.assertEqual(os.read(fifo, 100), b"")
            os.close(fifo)

        self.squatted(make, untouched)

    @root_only
    def test_a_squatted_lock(self):
        def make(path):
            with open(path + ".lock", "w"):
                pass
            os.chown(path + ".lock", self.user("b").uid, 0)
            os.chmod(path + ".lock", 0o666)
            os.mkdir(path)

        self.squatted(make, lambda path: self.assertEqual(os.path.getsize(path + ".lock"), 0))

    def test_a_stale_socket_of_ones_own_is_replaced(self):
        a = self.user("a")
        master = self.connected(a)
        os.kill(a.agents()[0], signal.SIGKILL)
        master.await_line("network lost")
        master.await_line("back")
        self.assertEqual(len(a.agents()), 1)
        self.assertEqual(len(self.listing(a)), 1)

    # ---- remote ports ----

    @root_only
    def test_a_port_of_another_user(self):
        taken, free = free_port(), free_port()
        echo = self.server(Echo())
        self.connected(self.user("a"), "-R", f"{taken}:127.0.0.1:{echo.port}", env=self.surroundings("a"))
        connect(taken).close()
        master = self.connected(self.user("b"), "-R", f"{taken}:127.0.0.1:{echo.port}",
                                "-R", f"{free}:127.0.0.1:{echo.port}", env=self.surroundings("b"))
        master.await_line(f"^Error: Remote port {taken} is already in use by another process\\.$")
        self.carries(free)
        forwards = self.listing(self.user("b"))[0]["forwards"]
        self.assertEqual([f["state"] for f in forwards], ["in use", "ok"])

    def test_a_port_of_another_program(self):
        echo, a = self.server(Echo()), self.user("a")
        master = self.connected(a, "-R", f"{echo.port}:127.0.0.1:1")
        master.await_line(f"^Error: Remote port {echo.port} is already in use by another process\\.$")

    def test_a_dead_session_of_ones_own_is_taken_over(self):
        """It ends where the new master remembers it; to one from elsewhere it loses its port."""
        first, second, a = self.server(Speaker("first")), self.server(Speaker("second")), self.user("a")
        for env, left in ((self.env(), 1), (self.surroundings("elsewhere"), 2)):
            with self.subTest(left=left):
                port = free_port()
                old = self.connected(a, "--no-restore", "-R", f"{port}:127.0.0.1:{first.port}")
                old.await_line(f"-R 127.0.0.1:{port}")
                self.assertEqual(read_all(connect(port)), b"first")
                old.signal(signal.SIGKILL)
                old.wait()
                new = self.connected(a, "--no-restore", "-R", f"{port}:127.0.0.1:{second.port}", env=env)
                new.await_line(f"-R 127.0.0.1:{port}")
                self.assertEqual(read_all(connect(port)), b"second")
                self.assertEqual(len(self.listing(a)), left)
                self.assertEqual(new.stop(), 0)

    def test_a_live_session_of_ones_own_is_not(self):
        first, port, a = self.server(Speaker("first")), free_port(), self.user("a")
        self.connected(a, "-R", f"{port}:127.0.0.1:{first.port}", env=self.surroundings("one"))
        new = self.connected(a, "-R", f"{port}:127.0.0.1:1", env=self.surroundings("two"))
        new.await_line(f"^Error: Remote port {port} is already in use by another session of yours\\.$")
        self.assertEqual(read_all(connect(port)), b"first")

    # ---- one agent ----

    def test_two_at_once_start_one_agent(self):
        a = self.user("a")
        self.connected(a).stop()  # the binary is there
        a.run(self.berth_path, "stop")
        self.assertEqual(a.agents(), [])
        masters = [self.master(a, env=self.surroundings(f"m{i}")) for i in range(6)]
        for master in masters:
            master.await_line("connected")
        self.assertEqual(len(a.agents()), 1)
        self.assertEqual(len(self.listing(a)), 6)

    def test_a_crowd_starts_one_agent(self):
        """As close together as a shell can start them; ssh would let each have its turn."""
        a = self.user("a")
        crowd = a.run("sh", "-c", 'for i in $(seq 20); do "$0" agent --attach </dev/null & done; wait', self.berth_path)
        self.assertEqual(crowd.stderr, "")
        self.assertEqual(len(a.agents()), 1)

    def test_an_idle_agent_of_another_version_is_replaced(self):
        a = self.user("a")
        self.connected(a).stop()
        old = a.agents()
        self.berth_path = other_build(self.world.berth, os.path.join(self.dir, "berth"))
        self.connected(a)
        self.assertEqual(len(a.agents()), 1)
        self.assertNotEqual(a.agents(), old)

    def test_a_live_agent_of_another_version_is_left_alone(self):
        a, echo, port = self.user("a"), self.server(Echo()), free_port()
        self.connected(a, "-L", f"{port}:127.0.0.1:{echo.port}", env=self.surroundings("old"))
        old = a.agents()
        self.berth_path = other_build(self.world.berth, os.path.join(self.dir, "berth"))
        self.connected(a, env=self.surroundings("new"))
        self.assertEqual(len(a.agents()), 2)
        self.assertIn(old[0], a.agents())
        self.carries(port)
        self.assertEqual(len(self.listing(a)), 2)
        for path in a.sockets():
            self.assertTrue(stat.S_ISSOCK(os.lstat(path).st_mode))

    # ---- its end ----

    def test_the_agent_ends_after_its_idle_timeout_and_not_before(self):
        a = self.user("a")
        config = self.ssh_config(a)
        master = self.connected(a, "--idle-timeout", "2s", config=config)
        agent = a.agents()[0]
        ended = os.pidfd_open(agent)
        self.addCleanup(os.close, ended)
        # Longer than the timeout, attached: it stays.
        self.assertFalse(wait(ended, 3), "the agent ended with its master attached")
        self.assertEqual(master.stop(), 0)
        # Shorter, without: a new master finds it.
        again = self.connected(a, "--idle-timeout", "2s", config=config)
        self.assertEqual(a.agents(), [agent])
        self.assertEqual(again.stop(), 0)
        self.assertTrue(wait(ended, DEADLINE), "the agent has not ended")
        for path in a.sockets():
            self.assertFalse(os.path.lexists(path), path)
        self.assertFalse(os.path.lexists(a.sockets()[0] + ".lock"))

    def test_a_session_ends_with_its_idle_timeout(self):
        a, echo, port = self.user("a"), self.server(Echo()), free_port()
        self.connected(a, env=self.surroundings("stays"))  # keeps the agent
        master = self.connected(a, "--idle-timeout", "1s", "-R", f"{port}:127.0.0.1:{echo.port}",
                                env=self.surroundings("goes"))
        self.carries(port)
        master.signal(signal.SIGKILL)
        until(lambda: len(self.listing(a)) == 1, "the end of the dead session")
        with self.assertRaises(OSError) as refused:
            socket.create_connection(("127.0.0.1", port))
        self.assertEqual(refused.exception.errno, errno.ECONNREFUSED)


def wait(pidfd, seconds):
    """Whether the process ended within that time."""
    return bool(select.select([pidfd], [], [], seconds)[0])


def remove(path):
    for each in path, path + ".lock":
        if os.path.isdir(each) and not os.path.islink(each):
            os.rmdir(each)
        elif os.path.lexists(each):
            os.unlink(each)
