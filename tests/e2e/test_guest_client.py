"""`berth guest` against a guest agent: each verb, and how it fails."""

import array
import fcntl
import os
import re
import select
import signal
import socket
import stat
import subprocess
import threading

from guests import Guest, Monitor, child_of, receive
from harness import *

PING = b'\0\0\0\x0f{"type":"Ping"}'
MIB = 1 << 20


def frame(text):
    return len(text).to_bytes(4, "big") + text


def peak_kib(pid):
    """The most memory that a process has had; 0 once it has ended."""
    with open(f"/proc/{pid}/status") as file:
        found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
    return int(found.group(1)) if found else 0


def bytes_read(pid):
    with open(f"/proc/{pid}/io") as file:
        return int(re.search(r"rchar: (\d+)", file.read()).group(1))


def is_over(pid):
    return state(pid) in (None, "Z")


class Asking(Guest):
    def test_ping(self):
        done = self.guest("ping")
        self.check(done, 0)
        self.assertRegex(done.stdout, rf"^{self.where}: version \d+\.\d+\.\d+, up \d+ s, answered in \d+\.\d+ ms\n$")

    def test_sync(self):
        done = self.guest("sync")
        self.check(done, 0)
        self.assertEqual(done.stdout, "")

    def test_hybrid(self):
        """Every verb, through a machine monitor's socket."""
        path = os.path.join(self.dir, "vm.sock")
        monitor = self.server(Monitor(path, self.socket, 5007))
        place = ["--uds", path, "--port", "5007"]
        data = os.urandom(3 * MIB)
        name = self.local("name", data)
        self.check(self.guest("ping", place=place), 0)
        self.check(self.guest("sync", place=place), 0)
        self.check(self.guest("put", name, "there", place=place), 0)
        done = self.guest("get", "there", place=place, text=False)
        self.assertEqual((done.returncode, done.stdout), (0, data))
        done = self.guest("exec", "-i", "cat; exit 9", data="in", place=place)
        self.assertEqual((done.returncode, done.stdout), (9, "in"))
        done = self.guest("connect", place=place, data=PING.decode())
        self.assertIn("Pong", done.stdout)
        self.assertEqual(set(monitor.asked), {b"CONNECT 5007\n"})
        self.check(self.guest("ping", place=["--uds", path]), 1, f"unix:{path}:5000: Connection refused (is the VM up")

    def test_nobody(self):
        self.agent.signal(signal.SIGKILL)
        self.agent.wait()
        for words, status in ((["ping"], 1), (["exec", "true"], 125), (["sync"], 1), (["connect"], 1),
                              (["get", "/etc/passwd", "x"], 1), (["put", "/etc/passwd", "x"], 1)):
            self.check(self.guest(*words), status, f"cannot reach the guest agent at {self.where}: Connection "
                       "refused (nobody listens there: is berth guest-agent up?)")
        os.unlink(self.socket)
        self.check(self.guest("ping"), 1, "No such file or directory (is the guest up")
        self.check(self.guest("ping", place=["--unix", "/" + "x" * 200]), 1, "name too long")
        self.assertEqual(os.listdir(self.home), [])

    def test_no_such_cid(self):
        """This machine's own, where it has no loopback: nothing leads there."""
        own = array.array("I", [0])
        try:
            with open("/dev/vsock", "rb") as file:
                fcntl.ioctl(file, 0x7b9, own)  # IOCTL_VM_SOCKETS_GET_LOCAL_CID
        except OSError as error:
            self.skipTest(f"no vsock here: {error}")
        if own[0] in (1, 0xffffffff):
            self.skipTest("no vsock transport here")
        self.check(self.guest("ping", place=["--cid", str(own[0]), "--port", "59999"]), 1,
                   f"cannot reach the guest agent at vsock:{own[0]}:59999: ")

    def test_what_is_no_guest_agent(self):
        local = self.local("file", b"x")
        for garbage in (b"HTTP/1.1 400 Bad Request\r\n\r\n", frame(b'{"type":"Hello"}'), frame(b"{"), frame(b"\x07x"),
                        b"\0\0\0\0", b"\xff\xff\xff\xff"):
            for words, status in ((["ping"], 1), (["exec", "true"], 125), (["sync"], 1), (["get", "x"], 1),
                                  (["put", local, "x"], 1)):
                with self.subTest(garbage=garbage, words=words):
                    place = self.answering(garbage)
                    self.check(self.guest(*words, place=place), status, "not a guest agent's answer")
                    os.unlink(place[1])

    def test_an_end_before_the_answer(self):
        local = self.local("file", b"x")
        for words, status in ((["ping"], 1), (["exec", "true"], 125), (["get", "x"], 1), (["put", local, "x"], 1)):
            for start in (b"", b"\0\0\0", PING[:-1]):
                place = self.answering(start)
                self.check(self.guest(*words, place=place), status, f"the connection broke before {words[0]} was done")
                os.unlink(place[1])

    def test_no_hybrid(self):
        for answer, why in ((b"HTTP/1.1 400\r\n", "no hybrid vsock socket"), (b"OK 12", "no hybrid vsock socket"),
                            (b"", "Connection refused (is the VM up")):
            place = ["--uds", self.answering(answer)[1]]
            self.check(self.guest("ping", place=place), 1, why)
            os.unlink(place[1])

    def test_wrong_usage(self):
        place = ["--unix", self.socket]
        for words, why in (
                ([], "what is to be done?"),
                (["ping"], "which guest?"),
                (["--cid", "3", *place, "ping"], "which guest?"),
                (["--cid", "0", "ping"], "--cid 0"),
                (["--cid", "4294967295", "ping"], "--cid 4294967295"),
                (["--cid", "three", "ping"], "--cid three"),
                (["--uds", "/x", "--port", "0", "ping"], "--port 0"),
                ([*place, "--port", "1", "ping"], "--unix and --port"),
                ([*place, "dance"], "dance is nothing"),
                ([*place, "--fast", "ping"], "unknown option --fast"),
                ([*place, "ping", "now"], "too many words"),
                ([*place, "sync", "--all"], "unknown option --all"),
                ([*place, "connect", "x"], "too many words"),
                ([*place, "get"], "too few words"),
                ([*place, "get", "a", "b", "c"], "too many words"),
                ([*place, "get", b"\xff"], "not UTF-8"),
                ([*place, "put"], "too few words"),
                ([*place, "put", "a", b"\xff"], "not UTF-8"),
                ([*place, "exec"], "which command?"),
                ([*place, "exec", "-i", "--"], "which command?"),
                ([*place, "exec", "-x", "true"], "unknown option -x"),
                ([*place, "exec", "-e", "A", "true"], "not NAME=VALUE"),
                ([*place, "exec", "-e", "=1", "true"], "not NAME=VALUE"),
                ([*place, "exec", "-e", b"A=\xff", "true"], "not UTF-8"),
                ([*place, "exec", "-C", b"\xff", "true"], "not UTF-8"),
                ([*place, "exec", "-t", "soon", "true"], "-t soon"),
                ([*place, "exec", "-t", "0", "true"], "-t 0"),
                ([*place, "exec", "-t", "25h", "true"], "-t 25h"),
                ([*place, "exec", "echo", b"\xff"], "not UTF-8"),
                ([*place, "shell", "-i"], "-i is for exec")):
            with self.subTest(words=words):
                self.check(self.berth("guest", *words), 2, why)

    def test_help(self):
        page = self.berth("guest", "--help").stdout
        for words in (["-h"], *([verb, "--help"] for verb in ("ping", "exec", "shell", "get", "put", "sync", "connect"))):
            done = self.berth("guest", *words)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, page, ""))
        for verb in ("ping", "exec", "shell", "get", "put", "sync", "connect"):
            self.assertRegex(page, rf"(?m)^  {verb} ")


class Connecting(Guest):
    def test_connect(self):
        done = self.guest("connect", data=PING.decode() * 2)
        self.check(done, 0)
        self.assertEqual(done.stdout.count('"Pong"'), 2)

    def test_as_it_comes(self):
        process = self.popen("connect", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(3):
            process.stdin.write(PING)
            process.stdin.flush()
            length = int.from_bytes(receive(process.stdout, 4), "big")
            self.assertIn(b"Pong", receive(process.stdout, length))
        process.stdin.close()
        self.assertEqual(receive(process.stdout), b"")
        self.assertEqual(process.wait(DEADLINE), 0)

    def test_the_agent_ends(self):
        process = self.popen("connect", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(PING)
        process.stdin.flush()
        receive(process.stdout, 4)
        self.agent.signal(signal.SIGKILL)
        self.assertEqual(process.wait(DEADLINE), 0)

    def test_much(self):
        """Both ways at once, against an echo that half-closes after us."""
        listening, path = self.listen()
        data = os.urandom(8 * MIB)

        def echo():
            connection, _ = listening.accept()
            with connection:
                while piece := connection.recv(65536):
                    connection.sendall(piece)

        threading.Thread(target=echo, daemon=True).start()
        done = self.guest("connect", place=["--unix", path], data=data, text=False)
        self.assertEqual((done.returncode, done.stdout == data), (0, True), done.stderr)

    def test_an_end_before_all_was_taken(self):
        data = os.urandom(200000)
        process = self.popen("connect", place=self.answering(data), stdout=subprocess.PIPE)
        until(lambda: bytes_read(process.pid) >= len(data), "bytes")
        self.assertEqual(receive(process.stdout), data)
        self.assertEqual(process.wait(DEADLINE), 0)


class Executing(Guest):
    def test_output_and_status(self):
        done = self.guest("exec", "echo out; echo err >&2; exit 7")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, "out\n", "err\n"))

    def test_words_as_they_are(self):
        words = ["", " ", "a  b", "$HOME", "'", '"', "\\", "*", "--", "-e", "ü\n", "\x01"]
        done = self.guest("exec", "--", "printf", "<%s>", *words)
        self.assertEqual((done.returncode, done.stdout), (0, "".join(f"<{word}>" for word in words)))
        done = self.guest("exec", "printf", "%s.", "-i", "--", "-t")
        self.assertEqual(done.stdout, "-i.--.-t.")

    def test_one_word_is_a_line(self):
        self.assertEqual(self.guest("exec", "--", "echo $FROM_THE_AGENT | tr y Y").stdout, "Yes\n")

    def test_what_cannot_be_run(self):
        self.check(self.guest("exec", "no-such-command", "x"), 127, f"{self.where}: no-such-command: command not found")
        self.check(self.guest("exec", "/etc/passwd", "x"), 126, "/etc/passwd: Permission denied")
        self.check(self.guest("exec", "-C", "/no/such", "true"), 127, "/no/such: No such file")
        self.check(self.guest("exec", "-e", "LD_PRELOAD=x", "true"), 125, "LD_PRELOAD")

    def test_where_and_with_what(self):
        done = self.guest("exec", "-e", "A=1", "--env=B=x = y", "-e", "A=2", "-C", "/", "--directory", "/usr",
                          'echo "$A $B $FROM_THE_AGENT"; pwd')
        self.assertEqual(done.stdout, "2 x = y yes\n/usr\n")
        self.assertEqual(self.guest("exec", "pwd").stdout, self.inside + "\n")

    def test_killed(self):
        self.check(self.guest("exec", "kill -KILL $$"), 137)
        self.check(self.guest("exec", "kill -TERM $$"), 143)

    def test_timeout(self):
        done = self.guest("exec", "-t", "500ms", "echo before; sleep 1000")
        self.assertEqual((done.returncode, done.stdout), (124, "before\n"))
        self.assertIn("command timed out after 1s", done.stderr)

    def test_input(self):
        data = os.urandom(5 * MIB)
        done = self.guest("exec", "-i", "cat", data=data, text=False)
        self.assertEqual((done.returncode, done.stdout == data), (0, True))
        self.assertEqual(self.guest("exec", "cat", data="not read").stdout, "")
        self.assertEqual(self.guest("exec", "-i", "cat").stdout, "")
        with open(self.local("file", b"skipped\nread\n"), "rb") as file:
            file.seek(8)
            done = subprocess.run(self.words("exec", "--interactive", "cat"), stdin=file, capture_output=True,
                                  env=self.env(), timeout=DEADLINE)
        self.assertEqual(done.stdout, b"read\n")

    def test_input_is_not_touched(self):
        """Not without -i, and not when there is no command."""
        loop = 'while read line; do "$@"; echo "<$line>"; done'
        for words, lines in ((["true"], "<1>\n<2>\n<3>\n"), (["-i", "--", "no-such-command", "x"], "<1>\n<2>\n<3>\n")):
            done = subprocess.run(["sh", "-c", loop, "sh", *self.words("exec", *words)], input="1\n2\n3\n",
                                  capture_output=True, text=True, timeout=DEADLINE, env=self.env())
            self.assertEqual(done.stdout, lines)

    def test_input_that_nobody_reads(self):
        done = self.guest("exec", "-i", "head -c 3", data=b"x" * (20 * MIB), text=False)
        self.assertEqual((done.returncode, done.stdout), (0, b"xxx"))

    def test_input_from_a_named_pipe(self):
        path = os.path.join(self.dir, "fifo")
        os.mkfifo(path)
        done = subprocess.run(["sh", "-c", f'printf hello >{path} & exec "$@" <{path}', "sh",
                               *self.words("exec", "-i", "cat")], capture_output=True, text=True, timeout=DEADLINE,
                              env=self.env())
        self.assertEqual((done.returncode, done.stdout), (0, "hello"))

    def test_much_output(self):
        done = self.guest("exec", "head -c 10485760 /dev/zero & head -c 10485760 /dev/zero >&2; wait", text=False)
        self.assertEqual((done.returncode, len(done.stdout), len(done.stderr)), (0, 10 * MIB, 10 * MIB))

    def test_large_frames(self):
        """As large as an agent of another make may send them; a larger one is none."""
        for size, status in ((16 * MIB, 4), (16 * MIB + 1, 125)):
            place = self.answering(frame(b'{"type":"Started","pid":1}') + frame(b"\1" + b"x" * (size - 1))
                                   + frame(b'{"type":"Exited","exit_code":4,"duration_ms":1}'))
            done = self.guest("exec", "true", place=place)
            self.assertEqual((done.returncode, len(done.stdout)), (status, size - 1 if status == 4 else 0))
            os.unlink(place[1])

    def test_an_output_that_is_closed(self):
        """The end of the command's output is the end of ours, though the command goes on."""
        stop = os.path.join(self.inside, "stop")
        process = self.popen("exec", f"echo x; exec >&-; while [ ! -e {stop} ]; do sleep 0.05; done; exit 3",
                             stdout=subprocess.PIPE)
        self.assertEqual(receive(process.stdout), b"x\n")
        self.assertIsNone(process.poll())
        self.file("stop")
        self.assertEqual(process.wait(DEADLINE), 3)

    def test_a_reader_that_stalls(self):
        """Holds the command up, and nothing grows meanwhile."""
        process = self.popen("exec", "exec yes", stdout=subprocess.PIPE)
        receive(process.stdout, MIB)
        writer = until(lambda: self.child_of_agent("yes"), "command")
        until(lambda: self.settled(process), "standstill")
        process.stdout.close()
        self.assertEqual(process.wait(DEADLINE), 141)
        until(lambda: is_over(writer), "end of the command")

    def test_a_command_that_reads_nothing(self):
        """Holds its input up likewise."""
        with open("/dev/zero", "rb") as zeros:
            process = self.popen("exec", "-i", f"while [ ! -e {self.inside}/stop ]; do sleep 0.05; done", stdin=zeros)
        until(lambda: self.settled(process) and bytes_read(process.pid) > MIB // 8, "standstill")
        self.file("stop")
        self.assertEqual(process.wait(DEADLINE), 0)

    def test_a_full_disk(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(self.words("exec", "echo x; sleep 1000"), stdout=full, stderr=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, text=True, env=self.env(), timeout=DEADLINE)
        self.check(done, 125, "standard output: No space left on device")

    def test_signals(self):
        """What ends the client ends the command."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.popen("exec", "exec sleep 1000", stderr=subprocess.PIPE)
            command = until(lambda: self.child_of_agent("sleep"), "command")
            process.send_signal(number)
            self.assertEqual(process.wait(DEADLINE), 128 + number)
            self.assertEqual(receive(process.stderr), b"")
            until(lambda: is_over(command), "end of the command")

    def test_a_signal_that_is_ignored(self):
        process = self.popen("exec", "-i", "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.stdin.write(b"x")
        process.stdin.flush()
        self.assertEqual(receive(process.stdout, 1), b"x")
        process.send_signal(signal.SIGHUP)
        process.stdin.close()
        self.assertEqual(process.wait(DEADLINE), 0)

    def test_the_agent_dies(self):
        process = self.popen("exec", "echo x; exec sleep 1000", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(receive(process.stdout, 2), b"x\n")
        command = until(lambda: self.child_of_agent("sleep"), "command")
        self.agent.signal(signal.SIGKILL)
        self.assertEqual(process.wait(DEADLINE), 125)
        self.assertRegex(receive(process.stderr).decode(), "^berth: .*: the connection broke before exec was done: .*\n$")
        end([command])

    def test_shared_descriptors_stay_as_they_are(self):
        """Neither while it runs nor afterwards does anybody else's pipe or socket become non-blocking."""
        ours, theirs = os.pipe()
        pair = socket.socketpair()
        for fd in (ours, theirs):
            self.addCleanup(os.close, fd)
        for end_ in pair:
            self.addCleanup(end_.close)
        pair[1].setblocking(True)
        process = self.popen("exec", "-i", "cat; echo done >&2", stdin=pair[1].fileno(), stdout=theirs, stderr=theirs)
        pair[0].sendall(b"x")
        self.assertEqual(receive(ours, 1), b"x")
        self.assertFalse(fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK)
        pair[0].shutdown(socket.SHUT_WR)
        self.assertEqual(process.wait(DEADLINE), 0)
        self.assertEqual(receive(ours, 5), b"done\n")
        self.assertFalse(fcntl.fcntl(pair[1].fileno(), fcntl.F_GETFL) & os.O_NONBLOCK)

    # ---- looking at processes ----

    def child_of_agent(self, name):
        return child_of(self.agent.pid, name)

    def settled(self, process):
        """Whether nothing goes through it for a while; in little memory."""
        before = bytes_read(process.pid)
        select.select([], [], [], 0.2)
        self.assertLess(peak_kib(process.pid), self.allowed_kib())
        return bytes_read(process.pid) == before


class Files(Guest):
    def mode(self, path):
        return stat.S_IMODE(os.stat(path).st_mode)

    def check_bounded(self, *words, **more):
        """That it does it, in little memory."""
        process = self.popen(*words, **more)
        most = 0
        while process.poll() is None:
            most = max(most, peak_kib(process.pid))
            select.select([], [], [], 0.02)
        self.assertEqual(process.returncode, 0)
        self.assertLess(most, self.allowed_kib())
        self.assertGreater(most, 0)

    def test_get(self):
        data = os.urandom(MIB + 5)
        there = self.file("there", data, 0o775)
        here = os.path.join(self.home, "here")
        self.check(self.guest("get", there, here, umask=0o022), 0)
        self.assertEqual((self.read(here), self.mode(here)), (data, 0o755))
        self.check(self.guest("get", "there", ".", cwd=self.home), 0)
        self.assertEqual(self.read(os.path.join(self.home, "there")), data)
        self.check(self.guest("get", "there", self.home + "/"), 0)
        for words in (["get", there], ["get", there, "-"], ["get", "--", there]):
            done = self.guest(*words, text=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, data, b""))
        self.assertEqual(sorted(os.listdir(self.home)), ["here", "there"])

    def test_get_replaces(self):
        """The content alone, and what a symlink points at."""
        here = self.local("here", b"old", 0o600)
        link = os.path.join(self.home, "link")
        os.symlink("here", link)
        there = self.file("there", b"new", 0o755)
        self.check(self.guest("get", there, link), 0)
        self.assertTrue(os.path.islink(link))
        self.assertEqual((self.read(here), self.mode(here)), (b"new", 0o600))

    def test_get_empty(self):
        there, here = self.file("there"), os.path.join(self.home, "here")
        self.check(self.guest("get", there, here), 0)
        self.assertEqual(self.read(here), b"")
        self.check(self.guest("get", there), 0)

    def test_get_what_is_not_to_be_had(self):
        os.mkfifo(os.path.join(self.inside, "fifo"))
        here = self.local("here", b"old")
        for path, why in (("no/such", "No such file"), ("/", "not a regular file"), ("fifo", "not a regular file"),
                          ("/dev/null", "not a regular file"), ("x" * 300, "name too long")):
            self.check(self.guest("get", path, here), 1, why)
        self.assertEqual(self.read(here), b"old")
        self.assertEqual(os.listdir(self.home), ["here"])

    def test_get_to_where_it_cannot_go(self):
        there = self.file("there", b"x")
        os.symlink("nowhere", os.path.join(self.home, "dangling"))
        for path, why in (("/dev/null", "/dev/null: not a regular file"), ("no/such/file", "No such file"),
                          ("dangling", "dangling: No such file")):
            self.check(self.guest("get", there, path, cwd=self.home), 1, why)
        self.assertEqual(os.listdir(self.home), ["dangling"])
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))

    def test_get_to_a_full_disk(self):
        there = self.file("there", os.urandom(4 * MIB))
        full = os.path.join(self.home, "full")
        os.mkdir(full)
        self.mount_tmpfs(full, "size=1m")
        self.check(self.guest("get", there, full), 1, f"{full}/there: No space left on device")
        self.assertEqual(os.listdir(full), [])

    def test_put_with_a_full_disk_to_spool(self):
        full = os.path.join(self.home, "full")
        os.mkdir(full)
        self.mount_tmpfs(full, "size=1m")
        done = self.guest("put", "there", data=os.urandom(4 * MIB), text=False, env=self.env(TMPDIR=full))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.decode(), f"berth: standard input cannot be kept in {full} up to its end: "
                         "No space left on device\n")
        self.assertEqual(os.listdir(full) + os.listdir(self.inside), [])

    def test_get_a_file_that_gets_shorter(self):
        there = self.file("there", b"x" * (8 * MIB))
        process = self.popen("get", there, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        receive(process.stdout, 1)
        os.truncate(there, 10)
        self.assertLess(len(receive(process.stdout)), 8 * MIB)
        self.assertEqual(process.wait(DEADLINE), 1)
        self.assertRegex(receive(process.stderr).decode(), rf"got shorter: \d+ of {8 * MIB} bytes came")

    def test_get_interrupted(self):
        """Whoever goes, guest or host: the old file stays, and nothing else."""
        here = self.local("here", b"old")
        big = os.path.join(self.inside, "big")
        with open(big, "wb") as file:
            file.truncate(1 << 40)
        for stop in (lambda process: process.send_signal(signal.SIGINT), lambda process: process.kill(),
                     lambda process: self.agent.signal(signal.SIGKILL)):
            process = self.popen("get", big, here, stderr=subprocess.PIPE)
            until(lambda: bytes_read(process.pid) > MIB, "bytes")
            stop(process)
            self.assertIn(process.wait(DEADLINE), (130, -signal.SIGKILL, 1))
            self.assertEqual(self.read(here), b"old")
            self.assertEqual(os.listdir(self.home), ["here"])
        self.assertRegex(receive(process.stderr).decode(), r"\d+ of 1099511627776 bytes came")

    def test_put(self):
        data = os.urandom(MIB + 5)
        here = self.local("here", data, 0o750)
        self.check(self.guest("put", here, "there"), 0)
        there = os.path.join(self.inside, "there")
        self.assertEqual((self.read(there), self.mode(there)), (data, 0o750))
        self.check(self.guest("put", self.local("empty"), "there"), 0)
        self.assertEqual((self.read(there), self.mode(there)), (b"", 0o644))

    def test_put_standard_input(self):
        there = self.file("there", b"old", 0o600)
        for words in (["put", there], ["put", "-", there]):
            data = os.urandom(3 * MIB + 1)
            done = self.guest(*words, data=data, text=False)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertEqual((self.read(there), self.mode(there)), (data, 0o600))
        with open(self.local("file", b"skipped, and read"), "rb") as file:
            file.seek(9)
            self.assertEqual(subprocess.run(self.words("put", there), stdin=file, env=self.env(), timeout=DEADLINE)
                             .returncode, 0)
        self.assertEqual(self.read(there), b"and read")
        self.check(self.guest("put", there), 0)
        self.assertEqual(self.read(there), b"")

    def test_put_without_room_to_spool(self):
        done = self.guest("put", "there", data="x", env=self.env(TMPDIR="/no/such"))
        self.check(done, 1, "kept in /no/such up to its end: No such file or directory")
        self.assertEqual(os.listdir(self.inside), [])

    def test_put_what_is_not_to_be_had(self):
        os.mkfifo(os.path.join(self.home, "fifo"))
        for path, why in (("no/such", "no/such: No such file"), (".", "not a regular file (- reads"),
                          ("fifo", "not a regular file (- reads")):
            self.check(self.guest("put", path, "there", cwd=self.home), 1, why)
        self.assertEqual(os.listdir(self.inside), [])

    def test_put_to_where_it_cannot_go(self):
        here, old = self.local("here", b"x" * (4 * MIB)), self.file("old", b"old")
        os.mkdir(os.path.join(self.inside, "folder"))
        for path, why in (("folder", "not a regular file"), ("no/such/file", "No such file"),
                          ("/dev/full", "not a regular file"), ("old/x", "Not a directory")):
            self.check(self.guest("put", here, path), 1, why)
        self.assertEqual(sorted(os.listdir(self.inside)), ["folder", "old"])
        self.assertEqual(self.read(old), b"old")

    def test_put_a_file_that_gets_shorter(self):
        """Found out, and the old one stays."""
        here, there = self.local("here"), self.file("there", b"old")
        listening, path = self.listen()
        os.truncate(here, 1 << 40)
        process = self.popen("put", here, there, place=["--unix", path], stderr=subprocess.PIPE)
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(DEADLINE)
            connection.recv(10)
            os.truncate(here, 1)
            while connection.recv(MIB):
                pass
        self.assertEqual(process.wait(DEADLINE), 1)
        self.assertIn(f"{here}: it got shorter", receive(process.stderr).decode())

    def test_put_that_is_answered_too_soon(self):
        """An agent that has not read all cannot have written it."""
        here = self.local("here")
        os.truncate(here, 1 << 40)
        done = self.guest("put", here, "there", place=self.answering(frame(b'{"type":"Ok"}')))
        self.check(done, 1, "not a guest agent's answer")

    def test_put_interrupted(self):
        here, there = self.local("here"), self.file("there", b"old")
        os.truncate(here, 1 << 40)
        for stop in (lambda process: process.send_signal(signal.SIGTERM), lambda process: process.kill(),
                     lambda process: self.agent.signal(signal.SIGKILL)):
            process = self.popen("put", here, there, stderr=subprocess.PIPE)
            until(lambda: bytes_read(process.pid) > MIB, "bytes")
            stop(process)
            self.assertIn(process.wait(DEADLINE), (143, -signal.SIGKILL, 1))
            until(lambda: os.listdir(self.inside) == ["there"], "end of it there")
            self.assertEqual(self.read(there), b"old")

    def test_large_ones_in_bounded_memory(self):
        size = 1 << 30
        here, there = self.local("here"), os.path.join(self.inside, "there")
        with open(here, "r+b") as file:
            file.truncate(size)
            for at in (0, size // 3, size - 5):
                file.seek(at)
                file.write(b"mark!")
        for words in (["put", here, there], ["get", there, os.path.join(self.home, "back")]):
            self.check_bounded(*words)
        back = os.path.join(self.home, "back")
        self.assertLess(os.stat(back).st_blocks * 512, MIB, "the holes stay holes")
        system("cmp", here, back)
        with open("/dev/null", "wb") as null:
            self.check_bounded("get", there, stdout=null)
