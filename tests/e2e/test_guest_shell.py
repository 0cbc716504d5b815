"""`berth guest shell`: a terminal here joined with one in the guest."""

import hashlib
import os
import re
import signal
import threading

from guests import Guest, Terminal, child_of
from harness import *


class Shell(Guest):
    def shell(self, *words, env=None, command=("env", "PS1=<ready> ", "/bin/sh"), **more):
        """One that has printed its prompt."""
        terminal = Terminal(self.words("shell", *words, "--", *command), env or self.env(), **more)
        self.addCleanup(terminal.close)
        terminal.read_until("<ready> ")
        return terminal

    def inner(self, terminal):
        """The pid of the shell in the guest."""
        terminal.type("echo pid=$$=\n")
        return int(re.search(r"pid=(\d+)=", terminal.read_until("<ready> ")).group(1))

    def gone(self, terminal, pid, status):
        self.assertEqual(terminal.wait(), status)
        self.assertEqual(terminal.modes(), terminal.before)
        until(lambda: state(pid) in (None, "Z"), "end of the shell in the guest")

    def test_a_terminal(self):
        terminal = self.shell(env=self.env(TERM="berth-test"), rows=31, cols=97)
        self.assertTrue(terminal.is_raw())
        terminal.type("tty && stty size && echo $TERM.$FROM_THE_AGENT\n")
        said = terminal.read_until("yes")
        self.assertRegex(said, r"/dev/pts/\d+\r\n31 97\r\nberth-test\.yes")
        terminal.type("exit 42\n")
        self.assertEqual(terminal.wait(), 42)
        self.assertEqual(terminal.modes(), terminal.before)

    def test_the_login_shell(self):
        terminal = Terminal(self.words("shell", "-e", "WORD=said", "-C", "/usr"), self.env())
        self.addCleanup(terminal.close)
        terminal.type("echo $0 $WORD; pwd\n")
        terminal.read_until("-sh said\r\n/usr\r\n")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)

    def test_keys_go_through(self):
        """^C is for the program there, not for ours."""
        terminal = self.shell()
        inner = self.inner(terminal)
        terminal.type("sleep 1000\n")
        until(lambda: child_of(inner, "sleep"), "command")
        terminal.type("\x03")
        terminal.read_until("<ready> ")
        terminal.type("echo =$?=\n")
        terminal.read_until("=130=")
        self.assertTrue(terminal.is_raw())

    def test_resized(self):
        terminal = self.shell(rows=20, cols=70)
        terminal.resize(43, 132)
        until(lambda: self.size_there(terminal) == "43 132", "new size there")

    def size_there(self, terminal):
        terminal.type("echo now: $(stty size).\n")
        return re.search(r"now: (\d+ \d+)\.", terminal.read_until("<ready> ")).group(1)

    def test_restored_when_told_to_end(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            terminal = self.shell()
            inner = self.inner(terminal)
            terminal.process.send_signal(number)
            self.gone(terminal, inner, 128 + number)

    def test_restored_when_it_crashes(self):
        for number in (signal.SIGABRT, signal.SIGSEGV):
            terminal = self.shell()
            inner = self.inner(terminal)
            terminal.process.send_signal(number)
            self.gone(terminal, inner, -number)

    def test_restored_when_the_agent_dies(self):
        terminal = self.shell()
        inner = self.inner(terminal)
        self.agent.signal(signal.SIGKILL)
        self.gone(terminal, inner, 125)
        self.assertIn(b"the connection broke before shell was done", terminal.seen)
        self.assertIn(b"\r\n", terminal.seen)  # in a terminal that makes that of a newline again

    def test_the_terminal_goes(self):
        terminal = self.shell()
        inner = self.inner(terminal)
        terminal.hang_up()
        self.assertIn(terminal.process.wait(DEADLINE), (129, 0))
        until(lambda: state(inner) in (None, "Z"), "end of the shell in the guest")

    def test_stopped_and_continued(self):
        terminal = self.shell()
        terminal.process.send_signal(signal.SIGTSTP)
        until(lambda: state(terminal.pid) == "T", "stop")
        self.assertEqual(terminal.modes(), terminal.before)
        terminal.resize(50, 111)
        terminal.process.send_signal(signal.SIGCONT)
        until(terminal.is_raw, "raw mode")
        until(lambda: self.size_there(terminal) == "50 111", "new size there")
        terminal.type("exit 5\n")
        self.assertEqual(terminal.wait(), 5)

    def test_a_command(self):
        terminal = Terminal(self.words("shell", "printf", "<%s>", "a  b"), self.env())
        self.addCleanup(terminal.close)
        self.assertEqual(terminal.wait(), 0)
        self.assertIn(b"<a  b>", terminal.seen)

    def test_a_command_that_is_not_there(self):
        terminal = Terminal(self.words("shell", "no-such-command", "x"), self.env())
        self.addCleanup(terminal.close)
        self.assertEqual(terminal.wait(), 127)
        self.assertEqual(terminal.modes(), terminal.before)

    def test_much_output(self):
        terminal = self.shell()
        terminal.type("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo END\n")
        said = terminal.read_until("\r\nEND\r\n<ready> ")
        self.assertIn("\n" + 3000000 * "x" + "\r\n", said)

    def test_much_input(self):
        """A paste: as much as the guest's terminal takes, and no faster."""
        terminal = self.shell(command=("sh", "-c", "stty raw -echo; printf '<ready> '; head -c 500000 | md5sum"))
        data = "0123456789abcdef" * 31250
        threading.Thread(target=self.paste, args=[terminal, data], daemon=True).start()
        terminal.read_until(hashlib.md5(data.encode()).hexdigest())
        self.assertEqual(terminal.wait(), 0)

    @staticmethod
    def paste(terminal, data):
        data = data.encode()
        while data:
            data = data[os.write(terminal.main, data[:1000]):]

    def test_no_terminal(self):
        self.check(self.guest("shell"), 125, "standard input is no terminal")
