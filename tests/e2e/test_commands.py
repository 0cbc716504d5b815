"""The commands as a person types them: what they do, print and return."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess

from harness import *
from harness import HOST


class Commands(TestCase):
    def sessions(self):
        done = self.berth("list", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["sessions"]

    def forwards(self):
        return [(f["kind"], f["bind"], f.get("target"), f["origin"]) for f in self.sessions()[0]["forwards"]]

    def remembered(self):
        with open(os.path.join(self.home, ".config/berth/forwards.json")) as file:
            return json.load(file)["hosts"][HOST]

    # ---- the program itself ----

    def test_applets(self):
        names = self.berth("--list").stdout.split()
        self.assertEqual(names[:11], ["master", "agent", "guest-agent", "guest", "broker", "login", "exec", "list",
                                      "stop", "forward", "close"])
        overview = self.berth().stdout
        for name in names:
            self.assertIn(f"berth {name} ", overview)
            page = self.berth(name, "--help")
            self.assertEqual((page.returncode, page.stderr), (0, ""))
            self.assertIn(f"usage: berth {name}", page.stdout)
            self.assertGreaterEqual(page.stdout.count(f"berth {name}") + page.stdout.count("berth stop"), 2)
        self.assertRegex(self.berth("--version").stdout, r"^berth \d+\.\d+\.\d+ \(build [0-9a-f]{16}\)$")

    def test_links(self):
        for flags in ([], ["-s"]):
            folder = os.path.join(self.world.bin, "links" + "".join(flags))
            os.mkdir(folder)
            for _ in range(2):  # again changes nothing
                done = self.berth("--install", *flags, folder)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(sorted(os.listdir(folder)),
                             sorted(f"berth-{name}" for name in self.berth("--list").stdout.split()))
            done = subprocess.run([os.path.join(folder, "berth-list"), "--help"], capture_output=True, text=True)
            self.assertIn("usage: berth list", done.stdout)
        os.symlink(self.berth_path, os.path.join(folder, "list"))
        done = subprocess.run([os.path.join(folder, "list"), "--help"], capture_output=True, text=True)
        self.assertIn("usage: berth list", done.stdout)
        with open(os.path.join(folder, "berth-stop.mine"), "w"):
            pass
        os.replace(os.path.join(folder, "berth-stop.mine"), os.path.join(folder, "berth-stop"))
        done = self.berth("--install", folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn("berth-stop: File exists", done.stderr)
        self.assertEqual(os.path.getsize(os.path.join(folder, "berth-stop")), 0)

    @root_only
    def test_an_empty_chroot(self):
        if "asan" in self.world.source:
            self.skipTest("the instrumented binary needs its libraries")
        root = os.path.join(self.dir, "root")
        os.mkdir(root)
        shutil.copy(self.berth_path, root)
        self.assertNotRegex(system("readelf", "-ld", self.berth_path), r"INTERP|NEEDED")
        self.assertLessEqual(os.path.getsize(self.berth_path), 3 << 19)
        for words in (["--version"], ["master", "--help"], ["list"]):
            done = subprocess.run(["chroot", root, "/berth", *words], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(done.stdout)

    def test_usage_errors(self):
        """One line each, and status 2."""
        for words, says in (
                (["nonsense"], "no applet nonsense"),
                (["--install"], "usage"),
                (["master"], "which host"),
                (["master", ""], "not a host"),
                (["master", "one", "two"], "one host at a time"),
                (["master", "--bogus", "h"], "unknown option --bogus"),
                (["master", "h", "-L"], "needs a value"),
                (["master", "-L", "0", "h"], "-L 0: "),
                (["master", "-L", "99999", "h"], "-L 99999: "),
                (["master", "-L", "a:b:c", "h"], "-L a:b:c: "),
                (["master", "-L", "::1:80:localhost:80", "h"], "-L ::1:80:localhost:80: "),
                (["master", "-R", "80:[::1:80", "h"], "-R 80:[::1:80: "),
                (["master", "-L", "udp:53:/run/x", "h"], "UDP"),
                (["master", "-D", "x", "h"], "-D x: "),
                (["master", "--auto=80", "h"], "--auto=80: "),
                (["master", "--auto=3000-2000", "h"], "--auto=3000-2000: "),
                (["master", "--transport", "tcp", "h"], "auto, quic or ssh"),
                (["master", "--udp-ports", "50000-40000", "h"], "range"),
                (["master", "--udp-ports", "40000-50000x", "h"], "range"),
                (["master", "--idle-timeout", "soon", "h"], "--idle-timeout soon: "),
                (["master", "-d", "h", "--", "true"], "exclude"),
                (["master", "h", "--"], "a command must follow"),
                (["agent"], "started by"),
                (["agent", "--daemon", "7"], "--daemon"),
                (["agent", "--check-sha256", "xyz"], "64 hex digits"),
                (["list", "x"], "takes no x"),
                (["stop", "a", "b"], "one session"),
                (["stop", "--all", "a"], "exclude"),
                (["forward"], "which port"),
                (["forward", "70000"], "70000: "),
                (["close"], "which port"),
                (["close", "x"], "one port"),
        ):
            with self.subTest(words=words):
                done = self.berth(*words)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertTrue(done.stderr.startswith("berth: "), done.stderr)
                self.assertIn(says, done.stderr)

    def test_nothing_is_there(self):
        self.assertEqual(self.berth("list").stdout, "No sessions, and no agent of yours here.\n")
        self.assertEqual(self.sessions(), [])
        for words, status, says in ((["stop"], 0, "nothing of yours runs here"),
                                    (["stop", "x"], 1, "no session x"),
                                    (["forward", "80"], 1, "no agent of yours"),
                                    (["close", "80"], 1, "no session of yours")):
            done = self.berth(*words)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (status, 1), done.stderr)
            self.assertIn(says, done.stderr)

    # ---- list and stop ----

    def test_list_on_both_sides(self):
        echo, a = self.server(Echo()), self.user("a")
        local, remote, socks = free_port(), free_port(), free_port()
        master = self.connected(a, "-L", f"{local}:localhost:{echo.port}", "-R", f"{remote}:127.0.0.1:{echo.port}",
                                "-D", f"{socks}")
        master.await_line("-D")
        with connect(local) as held:
            held.sendall(b"x")
            self.assertEqual(read_exactly(held, 1), b"x")
            here, there = self.berth("list").stdout, a.run(self.berth_path, "list").stdout
        for text in (here, there):
            lines = text.splitlines()
            self.assertRegex(lines[0], r"^Session: 127\.0\.0\.1 -> 127\.0\.0\.1   (ssh|quic)   up \d+s   rtt [\d.]+ ms   "
                                       r"testhost   id [0-9a-f]{8}$")
            self.assertRegex(lines[1], rf"^  -L 127\.0\.0\.1:{local} -> localhost:{echo.port} +ok +manual +1 open")
            self.assertRegex(lines[2], rf"^  -R 127\.0\.0\.1:{remote} -> 127\.0\.0\.1:{echo.port} +ok +manual +0 open")
            self.assertRegex(lines[3], rf"^  -D 127\.0\.0\.1:{socks} +ok +manual +0 open")
            self.assertEqual(len(lines), 4)

    def test_a_refused_target_is_listed(self):
        a, dead, port = self.user("a"), free_port(), free_port()
        self.connected(a, "-L", f"{port}:localhost:{dead}")
        with connect(port) as s, self.assertRaises(ConnectionResetError):
            read_all(s)
        self.assertIn("refused", self.berth("list").stdout)

    def test_stop_here(self):
        a = self.user("a")
        master = self.connected(a)
        agent = a.agents()
        done = self.berth("stop")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(master.wait(), 0)
        self.assertEqual(a.agents(), agent, "the agent outlives its master for a while")
        self.assertEqual(self.sessions(), [])

    def test_stop_there(self):
        a = self.user("a")
        master = self.connected(a)
        done = a.run(self.berth_path, "stop")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(a.agents(), [])
        self.assertEqual(master.wait(), 1)
        self.assertIn("testhost: the session was ended: the agent was stopped", master.text())
        self.assertFalse(os.path.lexists(a.sockets()[0]))

    def test_stop_one_of_several(self):
        a = self.user("a")
        one, two = self.connected(a), self.connected(a)
        done = self.berth("stop")
        self.assertEqual(done.returncode, 1)
        self.assertIn("several sessions", done.stderr)
        first, second = self.sessions()
        self.assertEqual(self.berth("stop", first["id"][:8]).returncode, 0)
        left = self.sessions()
        self.assertEqual([s["id"] for s in left], [second["id"]])
        self.assertEqual(self.berth("stop", "--all").returncode, 0)
        self.assertEqual((one.wait(), two.wait()), (0, 0))

    def test_signals_end_it_in_order(self):
        a = self.user("a")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            master = self.connected(a)
            master.signal(number)
            self.assertEqual(master.wait(), 0)
            self.assertEqual(json.loads(a.run(self.berth_path, "list", "--json").stdout)["sessions"], [])

    # ---- forward and close ----

    def test_forward_and_close(self):
        echo, a = self.server(Echo()), self.user("a")
        self.connected(a)
        for words in ([f"{echo.port}:{{}}"], [f"127.0.0.1:{echo.port}:{{}}"]):
            port = free_port()
            done = a.run(self.berth_path, "forward", *(word.format(port) for word in words))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"127.0.0.1:{port}", done.stderr)
            self.assertEqual(exchange(port), b"ping")
            with connect(port) as held:
                held.sendall(b"x")
                read_exactly(held, 1)
                closer = a.run if words[0][0].isdigit() and "." not in words[0] else None
                done = closer(self.berth_path, "close", str(port)) if closer else self.berth("close", str(port))
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                held.sendall(b"y")  # what was open goes on
                self.assertEqual(read_exactly(held, 1), b"y")
            with self.assertRaises(ConnectionRefusedError):
                socket_connect(port)
        done = a.run(self.berth_path, "close", "9")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no forward has that port", done.stderr)

    def test_a_forward_to_a_port_that_is_taken(self):
        echo, a = self.server(Echo()), self.user("a")
        self.connected(a)
        done = a.run(self.berth_path, "forward", str(echo.port))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "Address (already )?in use")
        done = a.run(self.berth_path, "forward", "80")
        self.assertEqual(done.returncode, 1)
        self.assertIn("1024 to 65535", done.stderr)

    def test_no_remote_requests(self):
        a = self.user("a")
        self.connected(a, "--no-remote-requests")
        done = a.run(self.berth_path, "forward", str(free_port()))
        self.assertEqual(done.returncode, 1)
        self.assertIn("no master that takes requests", done.stderr)

    # ---- what is remembered ----

    def test_forwards_are_restored(self):
        echo, a = self.server(Echo()), self.user("a")
        one, two, three = free_port(), free_port(), free_port()
        self.connected(a, "-L", f"{one}:127.0.0.1:{echo.port}", "-R", f"{two}:127.0.0.1:{echo.port}").await_line("-R")
        self.assertEqual(a.run(self.berth_path, "forward", f"{echo.port}:{three}").returncode, 0)
        path = os.path.join(self.home, ".config/berth/forwards.json")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.berth("stop")
        self.connected(a).await_line(f"127.0.0.1:{three}")
        for port in one, two, three:
            self.assertEqual(exchange(port), b"ping")
        self.assertEqual(self.berth("close", str(two)).returncode, 0)
        self.berth("stop")
        self.connected(a).await_line(f"127.0.0.1:{three}")
        self.assertEqual([bind for _, bind, _, _ in self.forwards()],
                         [f"127.0.0.1:{one}", f"127.0.0.1:{three}"])
        self.berth("stop")
        self.connected(a, "--no-restore")
        self.assertEqual(self.forwards(), [])

    def test_a_damaged_memory_is_left_alone(self):
        a, port = self.user("a"), free_port()
        folder = os.path.join(self.home, ".config/berth")
        os.makedirs(folder, mode=0o700)
        for text in ("{", "[]", '{"hosts": 3}'):
            with open(os.path.join(folder, "forwards.json"), "w") as file:
                file.write(text)
            master = self.connected(a, "-L", f"{port}:localhost:1")
            self.assertIn("not a file of berth's", master.text())
            master.stop()
            with open(os.path.join(folder, "forwards.json")) as file:
                self.assertEqual(file.read(), text)

    def test_a_local_port_that_is_taken(self):
        echo, a, port = self.server(Echo()), self.user("a"), free_port()
        master = self.connected(a, "-L", f"{echo.port}:localhost:1", "-L", f"{port}:127.0.0.1:{echo.port}")
        self.assertRegex(master.text(), f"cannot listen on 127.0.0.1:{echo.port}: Address (already )?in use")
        self.assertEqual(exchange(port), b"ping")

    # ---- --auto ----

    def listener(self, user, port=None):
        """A server of that user's on the host; its port."""
        code = "import socket,sys; s=socket.create_server(('127.0.0.1',int(sys.argv[1]))); " \
               "print(s.getsockname()[1],flush=True)\n" \
               "while True: c,_=s.accept(); c.sendall(b'here'); c.close()"
        process = user.popen("python3", "-c", code, str(port or 0), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process, int(process.stdout.readline())

    def test_auto(self):
        a = self.user("a")
        master = self.connected(a, "--auto")
        server, port = self.listener(a)
        # This machine is both sides: the same port is taken here, so another one leads there.
        found = master.await_line(rf"port {port} is forwarded from 127\.0\.0\.1:(\d+) \(python3")
        local = int(found.group(1))
        self.assertEqual(read_all(connect(local)), b"here")
        self.assertIn(("L", f"127.0.0.1:{local}", f"localhost:{port}", "auto"), self.forwards())
        self.assertRegex(self.berth("list").stdout, rf"auto +0 open.*python3\S* \({server.pid}\)")
        server.kill()
        master.await_line(rf"port {port} is not listened on any more")
        self.assertEqual(self.forwards(), [])
        self.assertEqual(self.remembered()["forwards"], [])

    def test_auto_leaves_out(self):
        a = self.user("a")
        low, kept = sorted((free_port(), free_port()))
        user_made = free_port()
        server, made = self.listener(a)
        master = self.connected(a, f"--auto={kept},{made}", "-L", f"{user_made}:localhost:{made}")
        self.listener(a, low)
        self.listener(a, kept)
        master.await_line(rf"port {kept} is forwarded")
        self.assertEqual([target for _, _, target, _ in self.forwards()], [f"localhost:{made}", f"localhost:{kept}"])

    @root_only
    def test_auto_sees_ones_own_alone(self):
        a = self.user("a")
        master = self.connected(a, "--auto")
        _, others = self.listener(self.user("b"))
        _, own = self.listener(a)
        master.await_line(rf"port {own} is forwarded")
        self.assertNotIn(str(others), master.text())

    def test_auto_does_not_reopen_what_was_closed_by_hand(self):
        a = self.user("a")
        master = self.connected(a, "--auto")
        server, port = self.listener(a)
        local = int(master.await_line(rf"port {port} is forwarded from 127\.0\.0\.1:(\d+)").group(1))
        self.assertEqual(self.berth("close", str(local)).returncode, 0)
        server.kill()
        server.wait()
        self.listener(a, port)
        _, other = self.listener(a)
        master.await_line(rf"port {other} is forwarded")
        self.assertNotIn(f"localhost:{port}", [target for _, _, target, _ in self.forwards()])
        self.assertEqual(self.remembered()["closed"], [port])

    # ---- a command, and the background ----

    def test_a_command(self):
        echo, a, port = self.server(Speaker("from there")), self.user("a"), free_port()
        script = f"import socket; print(socket.create_connection(('127.0.0.1', {port})).recv(100).decode()); exit(7)"
        master = self.master(a, "-L", f"{port}:127.0.0.1:{echo.port}", command=["python3", "-c", script])
        self.assertEqual(master.wait(), 7)
        self.assertEqual(master.output, ["from there"])

    def test_a_command_that_is_not_there(self):
        master = self.master(self.user("a"), command=["/no/such/program"])
        self.assertEqual(master.wait(), 127)
        self.assertIn("/no/such/program: No such file or directory", master.text())

    def test_a_command_killed_by_a_signal(self):
        master = self.master(self.user("a"), command=["sh", "-c", "kill -TERM $$"])
        self.assertEqual(master.wait(), 128 + signal.SIGTERM)

    def test_the_background(self):
        echo, a, port = self.server(Echo()), self.user("a"), free_port()
        master = self.master(a, "-d", "-L", f"{port}:127.0.0.1:{echo.port}")
        self.assertEqual(master.wait(), 0)
        self.assertEqual(exchange(port), b"ping")
        self.assertEqual(len(self.sessions()), 1)
        with connect(port) as held:
            held.sendall(b"x")
            read_exactly(held, 1)
        self.assertEqual(self.berth("stop").returncode, 0)
        self.assertEqual(self.sessions(), [])

    def test_the_background_that_cannot_be(self):
        a = self.user("a")
        config = self.ssh_config(a, port=free_port())
        master = self.master(a, "-d", config=config)
        self.assertEqual(master.wait(), 1)
        self.assertIn("Connection refused", master.text())


def socket_connect(port):

    socket.create_connection(("127.0.0.1", port)).close()
