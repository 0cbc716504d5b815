"""A guest agent and what stands between it and its host: for the tests of `berth guest`."""

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

from harness import DEADLINE, Missing, TestCase, each_process, parent, state


def heed_signals():
    """In a child: what runs the tests may ignore some, as nohup and a shell's & do."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def receive(pipe, count=None):
    """So many bytes from a program's pipe (or a descriptor), or all up to its end."""
    fd = pipe if isinstance(pipe, int) else pipe.fileno()
    limit = time.monotonic() + DEADLINE
    data = b""
    while count is None or len(data) < count:
        if not select.select([fd], [], [], max(0, limit - time.monotonic()))[0]:
            raise Missing(f"no more than {len(data)} bytes came: {data[-100:]!r}")
        piece = os.read(fd, min(65536, (count or len(data) + 65536) - len(data)))
        if not piece:
            break
        data += piece
    return data


def child_of(pid, name):
    """The pid of its child that runs a program of that name; None: there is none."""
    for each in each_process():
        with contextlib.suppress(OSError):
            with open(f"/proc/{each}/comm") as file:
                if parent(each) == pid and file.read().strip() == name and state(each) != "Z":
                    return each
    return None


class Guest(TestCase):
    """A guest agent in a container's place: on a unix socket, its home a folder of the test's."""

    def setUp(self):
        super().setUp()
        self.inside = os.path.join(self.dir, "guest")
        os.mkdir(self.inside)
        self.socket = os.path.join(self.dir, "guest.sock")
        self.where = f"unix:{self.socket}"
        self.agent = self.start_agent()

    def start_agent(self):
        env = self.env(HOME=self.inside, SHELL="/bin/sh", FROM_THE_AGENT="yes")
        agent = self.start(self.berth_path, "guest-agent", "--listen", self.where, env=env)
        agent.await_line("listening on")
        return agent

    def words(self, *words, place=None):
        return [self.berth_path, "guest", *(place or ["--unix", self.socket]), *words]

    def guest(self, *words, place=None, data=None, env=None, text=True, **more):
        """`berth guest PLACE WORDS` to its end; `data` goes to its standard input."""
        given = {"input": data} if data is not None else {"stdin": subprocess.DEVNULL}
        given.update(stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        return subprocess.run(self.words(*words, place=place), text=text, timeout=2 * DEADLINE,
                              env=env or self.env(), **given)

    def popen(self, *words, place=None, **more):
        """The same, just started."""
        more = {"stdin": subprocess.DEVNULL, "preexec_fn": heed_signals, **more}
        process = subprocess.Popen(self.words(*words, place=place), env=self.env(), **more)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                self.addCleanup(pipe.close)
        return process

    def check(self, done, status, error=""):
        """That it ended like this, with that text in its one line of complaint, or with none."""
        self.assertEqual((done.returncode, done.stderr.count("\n")), (status, 1 if error else 0), done.stderr)
        self.assertIn(error, done.stderr)

    def file(self, name, data=b"", mode=0o644):
        """In the guest's home; its path."""
        return self.write(os.path.join(self.inside, name), data, mode)

    def local(self, name, data=b"", mode=0o644):
        return self.write(os.path.join(self.home, name), data, mode)

    @staticmethod
    def write(path, data, mode):
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode)
        return path

    def allowed_kib(self):
        """Memory that a client may have, whatever goes through it."""
        return (400 if "asan" in self.world.source else 16) * 1024

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def listen(self, name="other.sock"):
        """A unix socket that the test listens on."""
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(os.path.join(self.dir, name))
        listening.listen(16)
        listening.settimeout(DEADLINE)
        self.addCleanup(listening.close)
        return listening, os.path.join(self.dir, name)

    def answering(self, *answers):
        """Takes one connection for each of the answers, which it gives unasked and then ends;
        the place's words."""
        listening, path = self.listen()

        def serve():
            for answer in answers:
                with contextlib.suppress(OSError):
                    connection, _ = listening.accept()
                    with connection:
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):
                            pass

        threading.Thread(target=serve, daemon=True).start()
        return ["--unix", path]


class Monitor:
    """A machine monitor: the agent's unix socket behind a hybrid vsock socket, for one port."""

    def __init__(self, path, agent, port=5000):
        self.path, self.agent, self.port = path, agent, port
        self.asked = []  # the first reads of the connections
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listening.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with connection, socket.socket(socket.AF_UNIX) as inside, contextlib.suppress(OSError):
            self.asked.append(connection.recv(64))
            if self.asked[-1] != b"CONNECT %d\n" % self.port:
                return
            inside.connect(self.agent)
            for byte in b"OK 1073741824\n":  # in pieces, as a slow monitor might
                connection.sendall(bytes([byte]))
            self._relay(connection, inside)

    @staticmethod
    def _relay(one, two):
        other = {one: two, two: one}
        while other:
            for side in select.select(list(other), [], [])[0]:
                data = side.recv(65536)
                if data:
                    other[side].sendall(data)
                else:
                    other.pop(side).shutdown(socket.SHUT_WR)


class Terminal:
    """A program on a terminal of its own, as a person has it."""

    def __init__(self, argv, env, rows=24, cols=80):
        self.main, child = os.openpty()
        self.seen = b""
        self.resize(rows, cols)
        self.before = self.modes()
        self.process = subprocess.Popen(argv, stdin=child, stdout=child, stderr=child, env=env,
                                        start_new_session=True, preexec_fn=self._take)
        self.pid = self.process.pid
        self.child = child  # held, so that its modes can be seen when the program has ended

    @staticmethod
    def _take():
        heed_signals()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def close(self):
        self.process.kill()
        self.process.wait()
        for fd in (self.main, self.child):
            with contextlib.suppress(OSError):
                os.close(fd)

    def hang_up(self):
        os.close(self.child)
        os.close(self.main)

    def resize(self, rows, cols):
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def modes(self):
        return termios.tcgetattr(self.main)[:4]

    def is_raw(self):
        return not self.modes()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def type(self, text):
        os.write(self.main, text.encode())

    def read_until(self, text):
        """What came, up to and with that text."""
        limit = time.monotonic() + DEADLINE
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self.main], [], [], max(0, limit - time.monotonic()))
            if not ready:
                raise Missing(f"no {text!r}, but {self.seen!r}")
            self.seen += os.read(self.main, 65536)
        got, text, self.seen = self.seen.partition(text.encode())
        return (got + text).decode(errors="replace")

    def wait(self):
        """The exit status; what is still printed is read on, as a terminal does."""
        limit = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            if time.monotonic() > limit:
                raise Missing(f"it has not ended; it printed {self.seen!r}")
            if select.select([self.main], [], [], 0.02)[0]:
                self.seen += os.read(self.main, 65536)
        while select.select([self.main], [], [], 0)[0]:
            self.seen += os.read(self.main, 65536)
        return self.process.returncode
