"""ExecStream: commands with their input and output as they come, and terminals; Dial."""

import json
import struct
import threading

from guest import STDERR, STDIN, STDOUT, data_frame, is_message
from harness import Missing, TestCase, until
from test_exec import REFUSED, TIMEOUTS, filler


class Run:
    """An ExecStream under way."""

    def __init__(self, connection, **fields):
        self.c = connection
        self.started = connection.ask("ExecStream", **fields)
        self.output = {STDOUT: b"", STDERR: b""}
        self.ended = []  # channels, in the order of their ends
        self.last = None  # Exited or Error

    def write(self, data):
        self.c.send(data_frame(STDIN, data))

    def end_input(self):
        self.c.send(data_frame(STDIN))

    def resize(self, rows, cols):
        self.c.request("Resize", rows=rows, cols=cols)

    def step(self):
        """Takes one frame; False at the end, which is where the last message is."""
        if self.last:
            self.c.end()
            return False
        payload = self.c.read_frame()
        if payload is None:
            raise Missing("the end came without Exited")
        if is_message(payload):
            self.last = json.loads(payload)
        elif payload[0] in self.ended:
            raise AssertionError(f"data on channel {payload[0]} after its end")
        elif len(payload) == 1:
            self.ended.append(payload[0])
        else:
            self.output[payload[0]] += payload[1:]
        return True

    def until(self, text, channel=STDOUT):
        while text not in self.output[channel]:
            if not self.step():
                raise Missing(f"no {text!r} in {self.output}")

    def finish(self):
        while self.step():
            pass
        return self.last


class Streams(TestCase):
    def run_command(self, command, **fields):
        run = Run(self.connect(), command=command, **fields)
        self.assertShape(run.started, "Started", {"pid"})
        self.assertNumber(run.started["pid"], 2)
        return run

    def assertExited(self, run, code, signal=None):
        last = run.finish()
        self.assertShape(last, "Exited", {"exit_code", "duration_ms"}, {"signal"})
        self.assertNumber(last["duration_ms"])
        if signal is None:
            self.assertEqual((last["exit_code"], last.get("signal")), (code, None), run.output)
        else:
            self.assertEqual(last["signal"].removeprefix("SIG"), signal)


class Pipes(Streams):
    def test_output(self):
        run = self.run_command("echo out; echo err >&2; exit 3")
        self.assertExited(run, 3)
        self.assertEqual(run.output, {STDOUT: b"out\n", STDERR: b"err\n"})
        self.assertEqual(sorted(run.ended), [STDOUT, STDERR])

    def test_arguments(self):
        run = self.run_command("printf", args=["%s|", "$HOME", "\u00e9", "a b"], env={"A": "1"}, workdir="/")
        self.assertExited(run, 0)
        self.assertEqual(run.output[STDOUT].decode(), "$HOME|\u00e9|a b|")

    def test_pid(self):
        run = self.run_command("echo $$; exec sleep 300")
        run.until(b"\n")
        self.assertEqual(int(run.output[STDOUT]), run.started["pid"])

    def test_output_comes_as_it_is_written(self):
        run = self.run_command("echo one; read x; echo two; read x; echo three", stdin=True)
        run.until(b"one\n")
        self.assertTrue(run.c.waits())
        run.write(b"\n")
        run.until(b"two\n")
        run.write(b"\n")
        self.assertExited(run, 0)
        self.assertEqual(run.output[STDOUT], b"one\ntwo\nthree\n")

    def test_channel_ends(self):
        run = self.run_command("exec >&-; echo still >&2; read x; exit 4", stdin=True)
        run.until(b"still\n", STDERR)
        until(lambda: run.ended == [STDOUT] or run.step() and False, "end of standard output")
        run.write(b"\n")
        self.assertExited(run, 4)

    def test_no_input(self):
        run = self.run_command("cat; readlink /proc/self/fd/0")
        self.assertExited(run, 0)
        self.assertEqual(run.output[STDOUT], b"/dev/null\n")
        run = self.run_command("cat", stdin=False)
        self.assertExited(run, 0)

    def test_input(self):
        run = self.run_command("cat; echo end", stdin=True)
        for part in (b"a", b"\0\xff{", b"x" * 70000):
            run.write(part)
            run.until(part)
        run.end_input()
        self.assertExited(run, 0)
        self.assertEqual(run.output[STDOUT], b"a\0\xff{" + b"x" * 70000 + b"end\n")

    def test_input_that_nobody_reads(self):
        run = self.run_command("exec <&-; echo closed; sleep 0.1; exit 5", stdin=True)
        run.until(b"closed")
        run.write(b"x" * 200000)
        self.assertExited(run, 5)

    def test_much_both_ways(self):
        data = bytes(range(256)) * (8 << 12)  # 8 MiB, of which a third is in one frame
        run = self.run_command("cat", stdin=True)

        def feed():
            run.write(data[:3 << 20])
            for at in range(3 << 20, len(data), 100_000):
                run.write(data[at:at + 100_000])
            run.end_input()

        feeder = threading.Thread(target=feed)
        feeder.start()
        self.assertExited(run, 0)
        feeder.join()
        self.assertEqual(run.output[STDOUT], data)

    def test_frames_over_the_usual_limit(self):
        """16 MiB is the limit here for these, too."""
        data = b"x" * (5 << 20)
        run = self.run_command("wc -c", stdin=True)
        run.write(data)
        run.end_input()
        self.assertExited(run, 0)
        self.assertEqual(int(run.output[STDOUT]), len(data))

    def test_much_on_both_outputs(self):
        run = self.run_command(f"{filler(10 << 20, 'o')} & {filler(10 << 20, 'e')} >&2; wait")
        self.assertExited(run, 0)
        self.assertEqual(run.output[STDOUT], b"o" * (10 << 20))
        self.assertEqual(run.output[STDERR], b"e" * (10 << 20))

    def test_slow_reader(self):
        """While nothing is taken, nothing piles up."""
        self.guest.memory(reset=True)
        before = self.guest.memory()
        run = self.run_command("head -c 50000000 /dev/zero; echo")
        for _ in range(20):
            self.assertAlive()
        self.assertLess(self.guest.memory() - before, 24 << 20)
        self.assertFalse(self.guest.gone(run.started["pid"]), "who took all that?")
        size = 0
        while run.step():
            size += len(run.output[STDOUT])
            run.output[STDOUT] = b""
        self.assertEqual(size, 50000001)

    def test_daemon(self):
        run = self.run_command("sleep 300 & echo $!")
        self.assertExited(run, 0)
        pid = int(run.output[STDOUT])
        self.assertFalse(self.guest.gone(pid))
        self.sh(f"kill {pid}")

    def test_signals(self):
        for name, number in (("KILL", 9), ("TERM", 15), ("SEGV", 11), ("HUP", 1), ("USR1", 10)):
            with self.subTest(name):
                run = self.run_command(f"kill -{number} $$")
                self.assertExited(run, None, signal=name)

    def test_timeout(self):
        for seconds in TIMEOUTS:
            run = self.run_command("trap '' TERM HUP; sleep 300 & echo $!; wait; sleep 300", timeout_secs=seconds)
            last = run.finish()
            self.assertEqual(self.assertError(last, "Timeout"), f"command timed out after {seconds}s")
            child = run.output[STDOUT].split()
            until(lambda: self.guest.gone(run.started["pid"], *child), "end of the group")
            if child:
                return
        self.fail("a command that does not get on with it")

    def test_no_timeout_of_its_own(self):
        run = self.run_command("read x; echo on", stdin=True, timeout_secs=0)
        self.assertAlive()
        self.assertTrue(run.c.waits())
        run.write(b"\n")
        self.assertExited(run, 0)

    def test_hang_up(self):
        for setting in ("", "trap '' HUP TERM; "):
            with self.subTest(setting):
                run = self.run_command(f"{setting}sleep 300 & echo $!; wait; sleep 300", stdin=True)
                run.until(b"\n")
                run.c.close()
                pids = [run.started["pid"], int(run.output[STDOUT])]
                until(lambda: self.guest.gone(*pids), "end of the group")

    def test_hang_up_is_a_hang_up(self):
        """The command may clean up first."""
        run = self.run_command(f"trap 'echo hung up >{self.dir}/said; exit' HUP; sleep 300 & "
                               "echo ready; wait")
        run.until(b"ready")
        run.c.close()
        until(lambda: self.sh(f"cat {self.dir}/said 2>/dev/null || true") == "hung up\n", "trap")


class Refusals(Streams):
    def test_requests(self):
        for fields in ({}, {"command": 1}, {"command": "true", "args": "x"}, {"command": "true", "stdin": 1},
                       {"command": "true", "pty": 1}, {"command": "true", "pty": {"rows": 0, "cols": 80}},
                       {"command": "true", "pty": {"rows": 24, "cols": 65536}},
                       {"command": "true", "pty": {"rows": "24", "cols": 80}},
                       {"command": "true", "timeout_secs": -1}, {"command": "true", "env": {"A": 1}},
                       *({"command": "true", "env": {name: "x"}} for name in REFUSED)):
            with self.subTest(fields):
                self.fails("ExecStream", "InvalidRequest", **fields)
        self.fails("ExecStream", "NotFound", command="true", workdir="/none")
        self.fails("ExecStream", {"NotFound", "IoError"}, command="/no/such", args=["x"])

    def broken_by(self, sent, **fields):
        run = self.run_command("sleep 300", **fields)
        with self.subTest(sent[:40]):
            run.c.send(sent)
            self.assertError(run.finish(), "InvalidRequest")
            until(lambda: self.guest.gone(run.started["pid"]), "end of the command")

    def test_frames(self):
        for channel in (1, 2, 3, 255):
            self.broken_by(data_frame(channel, b"x"), stdin=True)
        self.broken_by(b'\0\0\0\x0f{"type":"Ping"}', stdin=True)
        self.broken_by(b'\0\0\0\x02{x', stdin=True)
        self.broken_by(b"\0\0\0\0", stdin=True)
        self.broken_by(struct.pack(">I", 0xffffffff), stdin=True)

    def test_resize(self):
        for size in ({"rows": 0, "cols": 80}, {"rows": 24, "cols": 70000}, {"rows": "1", "cols": 80}):
            with self.subTest(size):
                run = self.run_command("sleep 300", pty={"rows": 24, "cols": 80})
                run.c.request("Resize", **size)
                self.assertError(run.finish(), "InvalidRequest")


class Terminals(Streams):
    def terminal(self, command, rows=24, cols=80, **fields):
        return self.run_command(command, pty={"rows": rows, "cols": cols, **fields})

    def test_it_is_one(self):
        run = self.terminal("stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && tty; echo $TERM; echo err >&2",
                            33, 121, term="xterm-berth")
        self.assertExited(run, 0)
        size, tty, *rest = run.output[STDOUT].decode().split("\r\n")
        self.assertEqual(size, "33 121")
        self.assertRegex(tty, "^/dev/pts/[0-9]+$")
        self.assertEqual(rest, ["xterm-berth", "err", ""])
        self.assertEqual(run.output[STDERR], b"")

    def test_resize(self):
        run = self.terminal("stty size; read x; stty size")
        run.until(b"24 80\r\n")
        run.resize(50, 132)
        run.write(b"\n")
        self.assertExited(run, 0)
        self.assertIn(b"\r\n50 132\r\n", run.output[STDOUT])

    def test_resize_is_a_signal(self):
        run = self.terminal("trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.05; done")
        run.until(b"ready\r\n")
        run.resize(200, 300)
        self.assertExited(run, 7)
        self.assertIn(b"200 300\r\n", run.output[STDOUT])

    def test_echo_and_input(self):
        run = self.terminal("read x; echo \"got $x\"")
        run.write(b"typed\r")
        self.assertExited(run, 0)
        self.assertIn(b"typed\r\ngot typed\r\n", run.output[STDOUT])

    def test_interrupt(self):
        run = self.terminal("echo ready; exec sleep 300")
        run.until(b"ready\r\n")
        run.write(b"\x03")
        self.assertExited(run, None, signal="INT")

    def test_end_of_input(self):
        run = self.terminal("echo ready; cat; echo end")
        run.until(b"ready\r\n")
        run.write(b"\x04")
        self.assertExited(run, 0)
        self.assertIn(b"end\r\n", run.output[STDOUT])

    def test_hang_up(self):
        run = self.terminal("sleep 300 & echo $!; wait; sleep 300")
        run.until(b"\r\n")
        run.c.close()
        pids = [run.started["pid"], int(run.output[STDOUT])]
        until(lambda: self.guest.gone(*pids), "end of the group")

    def test_much(self):
        """All of it comes, though nobody reads the terminal any more when the command ends."""
        run = self.terminal(f"{filler(1 << 20, 'x')}")
        self.assertExited(run, 0)
        self.assertEqual(len(run.output[STDOUT]), 1 << 20)
