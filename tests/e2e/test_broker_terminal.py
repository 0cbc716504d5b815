"""A terminal on a user's own machine, through the broker's WebSocket."""

import json
import os
import re
import select
import signal
import time

from broker import Broker
from harness import *
from websocket import BINARY, TEXT, Closed, Refused, WebSocket

TAKEN_OVER, DONE = 4001, 4000
KEPT = 12 << 20  # bytes the broker may hold for who takes nothing: a stream's window, 4 MiB, in storage that may be
                 # half used, and what is on its way before and behind it


def kernel_room():
    """Bytes that the two ends of a TCP connection may hold."""
    sizes = []
    for name in "tcp_wmem", "tcp_rmem":
        with open(f"/proc/sys/net/ipv4/{name}") as file:
            sizes.append(int(file.read().split()[2]))
    return sum(sizes)


class Terminal:
    """What a page does: collects what is shown and told."""

    def __init__(self, broker, token, query="", fields=None, **more):
        self.shown, self.told = "", []
        self.socket = WebSocket(broker.port, f"/api/terminal{query}",
                                fields or {"Authorization": f"Bearer {token}"}, **more)
        self.first = self.hear()
        self.session = self.first.get("session")

    def hear(self):
        """Up to the next text."""
        while True:
            message = self.socket.receive()
            if isinstance(message, str):
                self.told.append(json.loads(message))
                return self.told[-1]
            self.shown += message.decode(errors="replace")

    def until(self, pattern):
        """Reads until that was shown; the match."""
        while not (found := re.search(pattern, self.shown)):
            message = self.socket.receive()
            if isinstance(message, str):
                raise Missing(f"no {pattern!r} but {message} after {self.shown[-2000:]!r}")
            self.shown += message.decode(errors="replace")
        self.shown = self.shown[found.end():]
        return found

    def type(self, text):
        self.socket.send(text.encode())

    def resize(self, rows, cols):
        self.socket.send(json.dumps({"resize": {"rows": rows, "cols": cols}}))

    def end(self):
        """The code of its close."""
        try:
            while True:
                self.hear()
        except Closed as closed:
            return closed.code


class Terminals(TestCase):
    def begin(self, *args):
        self.broker = Broker(self, *args)
        self.token = self.broker.user("ann")
        self.machine = self.broker.machine(self.token, "laptop")

    def terminal(self, query="", **more):
        found = Terminal(self.broker, self.token, query, **more)
        self.addCleanup(found.socket.drop)
        return found

    def shell(self, terminal):
        """The pid of the shell."""
        terminal.type("echo pid=$$=\n")
        return int(terminal.until(r"pid=(\d+)=").group(1))

    def gone(self, pid):
        until(lambda: state(pid) in (None, "Z"), "end of the shell")

    def test_type_resize_and_exit(self):
        self.begin()
        terminal = self.terminal("?agent=laptop&rows=31&cols=97")
        self.assertEqual(terminal.first, {"session": terminal.session, "agent": "laptop",
                                          "hostname": os.uname().nodename})
        self.assertRegex(terminal.session, r"^[0-9a-f]{32}$")
        terminal.type("tty && stty size && echo $0 $TERM. && pwd\n")
        terminal.until(rf"/dev/pts/\d+\r\n31 97\r\n-sh xterm-256color\.\r\n{self.machine.home}\r\n")
        terminal.resize(43, 132)
        terminal.type("stty size\n")
        terminal.until("43 132\r\n")
        terminal.type("sh -c 'echo r$((1+1))n; exec sleep 1000'\n")
        terminal.until("r2n\r\n")  # from the foreground, to which a ^C is told
        terminal.type("\x03")
        terminal.type("echo =$?=\n")
        terminal.until("=130=")
        terminal.type("exit 7\n")
        self.assertEqual(terminal.hear(), {"exit": 7})
        self.assertEqual(terminal.end(), 1000)

    def test_a_reload(self):
        self.begin()
        terminal = self.terminal()
        shell = self.shell(terminal)
        terminal.type("echo one; sleep 0.3; echo two; sleep 0.3; echo three\n")
        terminal.until("one\r\n")
        terminal.socket.close(1001)
        again = self.terminal(f"?session={terminal.session}")
        self.assertEqual(again.first, terminal.first)
        again.until(r"one\r\n(two\r\n)?")
        again.until("three\r\n")
        self.assertEqual(self.shell(again), shell)
        again.socket.drop()  # as a crash
        third = self.terminal(f"?session={terminal.session}&rows=12&cols=34")
        third.until("three\r\n")
        third.type("stty size\n")
        third.until("12 34\r\n")

    def test_the_last_64_kib(self):
        self.begin()
        terminal = self.terminal()
        terminal.type("stty -echo; PS1=; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line$i; done; echo e$((1+1))d\n")
        terminal.until("line1\r\n")
        terminal.socket.drop()
        again = None

        def came():
            nonlocal again
            again = self.terminal(f"?session={terminal.session}")
            message = again.socket.receive()
            again.shown = message.decode()
            return "e2d\r\n" in again.shown

        until(came, "end of the output")
        self.assertLessEqual(len(again.shown), 65536)
        self.assertGreater(len(again.shown), 60000)
        lines = again.shown.split("\r\n")
        first = int(re.fullmatch(r"line(\d+)", lines[0]).group(1))  # not in the middle of one
        self.assertEqual(lines[:20001 - first], [f"line{n}" for n in range(first, 20001)])

    def test_taken_over(self):
        self.begin()
        first = self.terminal()
        shell = self.shell(first)
        second = self.terminal(f"?session={first.session}")
        self.assertEqual(first.end(), TAKEN_OVER)
        self.assertEqual(self.shell(second), shell)

    def test_another_users(self):
        self.begin()
        terminal = self.terminal()
        eve = self.broker.user("eve")
        self.broker.machine(eve, "hers")
        for session in terminal.session, "0" * 32, "", "x" * 5000, "../" + terminal.session:
            stranger = Terminal(self.broker, eve, f"?session={session}")
            self.assertEqual(stranger.first["error"], "not_found")
            self.assertEqual(stranger.end(), 1011)
        self.shell(terminal)  # which nobody has taken
        with self.assertRaises(Refused) as refused:
            Terminal(self.broker, eve, "?agent=laptop")
        self.assertEqual(refused.exception.status, 409)

    def test_who_may_not(self):
        self.begin()
        for fields, status in (({}, 401), ({"Authorization": "Bearer berth_" + "x" * 43}, 401),
                               ({"Cookie": f"berth={self.token}", "Origin": "https://evil.example"}, 403)):
            with self.assertRaises(Refused) as refused:
                WebSocket(self.broker.port, "/api/terminal", fields)
            self.assertEqual(refused.exception.status, status)
        own = {"Cookie": f"berth={self.token}", "Origin": f"http://127.0.0.1:{self.broker.port}"}
        self.shell(Terminal(self.broker, None, fields=own))

    def test_ended_by_its_client(self):
        self.begin()
        terminal = self.terminal()
        shell = self.shell(terminal)
        terminal.socket.close(DONE)
        self.gone(shell)
        again = self.terminal(f"?session={terminal.session}")
        self.assertEqual(again.first["error"], "not_found")

    def test_the_agent_dies(self):
        self.begin()
        terminal = self.terminal()
        shell = self.shell(terminal)
        self.machine.kill()
        self.assertEqual(terminal.hear()["error"], "agent_disconnected")
        self.assertEqual(terminal.end(), 1011)
        self.gone(shell)  # its terminal has gone with the agent
        with self.assertRaises(Refused) as refused:
            self.terminal()
        self.assertEqual(refused.exception.status, 409)
        self.assertIn(b"agent_not_connected", refused.exception.body)

    def test_the_broker_dies(self):
        self.begin()
        terminal = self.terminal()
        shell = self.shell(terminal)
        self.broker.kill()
        self.gone(shell)

    def test_revoked(self):
        self.begin()
        terminal = self.terminal()
        shell = self.shell(terminal)
        self.assertEqual(self.broker.ask("DELETE", "/api/agents/laptop", self.token).status, 204)
        self.assertEqual(terminal.hear()["error"], "agent_disconnected")
        self.gone(shell)

    def test_only_what_the_owner_allows(self):
        self.begin()
        self.machine.stop()
        self.machine.start("--allow", "exec,files")
        terminal = self.terminal()
        told = terminal.hear()
        self.assertEqual(told["error"], "forbidden")
        self.assertIn("terminal", told["message"])
        self.assertEqual(terminal.end(), 1011)

    def test_so_many_and_no_more(self):
        self.begin("--limit", "none")
        terminals = [self.terminal() for _ in range(32)]
        with self.assertRaises(Refused) as refused:
            self.terminal()
        self.assertEqual((refused.exception.status, b"conflict" in refused.exception.body), (409, True))
        terminals[0].socket.close(DONE)
        self.shell(self.terminal())
        self.assertEqual(self.terminal(f"?session={terminals[1].session}").session, terminals[1].session)

    def test_a_client_that_reads_nothing(self):
        """Holds the command up and grows nobody; then it has missed nothing."""
        self.begin()
        terminal = self.terminal(receive_buffer=16384)
        marker = self.machine.path("over")
        count = 3_000_000
        terminal.type(f"stty -echo -opost; PS1=; seq {count}; touch {marker}; echo =$((1+1))=\n")
        terminal.until("1\n2\n3\n")
        before = self.broker.memory()
        for _ in range(20):  # as long as it takes all that lies between to fill
            time.sleep(0.1)
        self.assertFalse(os.path.exists(marker))
        self.assertLess(self.broker.memory() - before, KEPT)
        expected = 4
        while expected <= count:
            lines = terminal.shown.split("\n")
            whole = lines[:min(len(lines) - 1, count + 1 - expected)]
            terminal.shown = "\n".join(lines[len(whole):])
            for line in whole:
                if int(line) != expected:
                    self.fail(f"{line} came, not {expected}")
                expected += 1
            if expected <= count:
                terminal.shown += terminal.socket.receive().decode()
        terminal.until("=2=")

    def test_a_paste_that_nothing_reads(self):
        self.begin()
        terminal = self.terminal()
        flag = self.machine.path("now")
        size = 3 << 20
        terminal.type(f"stty raw -echo; echo ready; while [ ! -e {flag} ]; do sleep 0.05; done; "
                      f"head -c {size} | cksum; stty sane\n")
        terminal.until("ready\r?\n")
        before = self.broker.memory()
        terminal.socket.socket.setblocking(False)
        frame = b"\x82\xfe\xff\xff\0\0\0\0" + b"x" * 65535
        sent, limit = 0, kernel_room() + KEPT
        while sent < limit and select.select([], [terminal.socket.socket], [], 0.2)[1]:
            sent += terminal.socket.socket.send(frame[sent % len(frame):])
        self.assertLess(sent, limit)
        self.assertLess(self.broker.memory() - before, KEPT)
        terminal.socket.socket.settimeout(DEADLINE)
        with open(flag, "w"):
            pass
        while sent < size * 65543 // 65535 + 65543 or sent % len(frame):
            sent += terminal.socket.socket.send(frame[sent % len(frame):])
        terminal.until(rf"\d+ {size}")

    def test_nonsense(self):
        self.begin()
        terminal = self.terminal()
        shell = self.shell(terminal)
        for text in "", "[]", "{", '{"resize":{"rows":0,"cols":1}}', "x" * 2000:
            terminal.socket.send(text)
            self.assertEqual(terminal.hear()["error"], "invalid_request")
            self.assertEqual(terminal.end(), 1008)
            terminal = self.terminal(f"?session={terminal.session}")
        terminal.socket.send('{"resize":null,"more":[]}')
        self.assertEqual(self.shell(terminal), shell)
        terminal.socket.send_frame(TEXT, b"\xff\xfe")
        self.assertEqual(terminal.end(), 1007)
        terminal = self.terminal(f"?session={terminal.session}")
        terminal.socket.send_frame(BINARY, b"")
        self.assertEqual(self.shell(terminal), shell)

    def test_the_audit_trail(self):
        self.begin()
        ended, left = self.terminal(), self.terminal()
        ended.type("exit 3\n")
        self.assertEqual(ended.hear(), {"exit": 3})
        left.socket.close(DONE)

        def rows():
            told = self.broker.ask("GET", "/api/activity", self.token).json["activity"]
            return [(row["outcome"], row["exitCode"]) for row in told if row["kind"] == "terminal"]

        until(lambda: sorted(rows(), key=str) == [("interrupted", None), ("ok", 3)], "rows")

    def test_stopped_in_order(self):
        self.begin()
        terminal = self.terminal()
        shell = self.shell(terminal)
        self.broker.program.signal(signal.SIGTERM)
        self.assertEqual(terminal.end(), 1001)
        self.assertEqual(self.broker.program.wait(), 0)
        self.gone(shell)
