"""Exec: commands run to their end."""

from harness import TestCase, until

KEPT = 2 << 20  # bytes of each output
TIMEOUTS = (1, 5, 20)  # seconds; the first is enough where the machine is not busy
REFUSED = ("PATH", "IFS", "ENV", "BASH_ENV", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_", "LD_X",
           "", "1A", "A-B", "A B", "A=B", "A.B", "\u00e9", "A\n", "A\u0000B")


def filler(size, letter):
    """A command that prints so many bytes of it."""
    return f"head -c {size} /dev/zero | tr '\\0' {letter}"


class Results(TestCase):
    def exec(self, command, **fields):
        answer = self.ask("Exec", command=command, **fields)
        self.assertShape(answer, "ExecResult", {"exit_code", "stdout", "stderr"})
        return answer["exit_code"], answer["stdout"], answer["stderr"]

    def test_shell(self):
        self.assertEqual(self.exec("echo out; echo err >&2; exit 3"), (3, "out\n", "err\n"))
        self.assertEqual(self.exec("echo $0 $((6 * 7)) | tr 4 5", args=[])[1].split()[-1], "52")

    def test_arguments(self):
        """No shell sees them."""
        words = ["$HOME", "*", "a b", "", ";", "\u00e9", "'\"\\", "-n", "line\nline"]
        self.assertEqual(self.exec("printf", args=["%s|"] + words), (0, "|".join(words) + "|", ""))
        self.assertEqual(self.exec("/bin/sh", args=["-c", "exit 7"]), (7, "", ""))

    def test_exit_codes(self):
        for code in (0, 1, 2, 42, 126, 127, 128, 255):
            self.assertEqual(self.exec(f"exit {code}"), (code, "", ""))

    def test_killed_by_a_signal(self):
        for number in (9, 15, 6, 11):
            self.assertEqual(self.exec(f"kill -{number} $$")[0], -1)

    def test_no_such_command(self):
        self.assertEqual(self.exec("berth-has-no-such-command")[0], 127)
        self.fails("Exec", {"NotFound", "IoError"}, "no-such", command="berth-has-no-such-command", args=["x"])
        self.fails("Exec", {"NotFound", "IoError"}, "/no/such", command="/no/such", args=["x"])
        self.fails("Exec", {"PermissionDenied", "IoError"}, command=self.file("text"), args=["x"])
        self.fails("Exec", {"PermissionDenied", "IoError"}, command="/", args=["x"])

    def test_input_is_empty(self):
        self.assertEqual(self.exec("cat; readlink /proc/self/fd/0"), (0, "/dev/null\n", ""))

    def test_what_it_inherits(self):
        """Three descriptors, no signal blocked or ignored, a group of its own."""
        script = "for fd in /proc/$$/fd/*; do [ ! -e $fd ] || readlink $fd; done | grep -c socket: || true"
        self.assertEqual(self.exec(script)[1], "0\n", "a socket of the agent's")
        self.assertEqual(self.exec("readlink", args=[f"/proc/self/fd/{n}" for n in range(3, 64)])[1], "")
        status = self.exec("cat", args=["/proc/self/status"])[1]
        fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
        for name in ("SigBlk", "SigIgn"):
            self.assertEqual(int(fields[name], 16) & 0x7fffffff, 0, name)
        pid, group = self.exec("echo $$; sed 's/.*) //' /proc/$$/stat | cut -d ' ' -f 3")[1].split()
        self.assertEqual(pid, group)

    def test_environment(self):
        self.assertEqual(self.exec("echo \"$A|$b_2|$_X|$C\"",
                                   env={"A": "1 \"'$x", "b_2": "", "_X": "\u00e9\n", "path": "x"}),
                         (0, "1 \"'$x||\u00e9\n|\n", ""))
        self.assertEqual(self.exec("echo $A")[1], "\n", "it was for that one command")
        self.assertNotEqual(self.exec("echo $PATH")[1], "\n")

    def test_working_directory(self):
        self.assertEqual(self.exec("pwd -P", workdir=self.dir)[1], self.sh(f"cd {self.dir}; pwd -P"))
        self.assertEqual(self.exec("pwd", args=["-P"], workdir="/")[1], "/\n")

    def test_invalid_text(self):
        self.assertEqual(self.exec(r"printf 'a\377b\303\251\303'; printf '\200' >&2"),
                         (0, "a\ufffdb\u00e9\ufffd", "\ufffd"))
        self.assertEqual(self.exec(r"printf 'a\000\001\033\\'")[1], "a\0\1\33\\")


class Refusals(TestCase):
    def refuse(self, saying="", **fields):
        with self.subTest(**fields):
            self.fails("Exec", "InvalidRequest", saying, **fields)

    def test_environment(self):
        for name in REFUSED:
            self.refuse(command=f"touch {self.dir}/ran", env={"FINE": "1", name: "x"})
        self.refuse(command="true", env={"A": 1})
        self.refuse(command="true", env={"A": None})
        self.refuse(command="true", env={"A": "x\u0000y"})
        self.refuse(command="true", env=["A=1"])
        self.assertFalse(self.guest.exists(f"{self.dir}/ran"))

    def test_fields(self):
        self.refuse()
        for command in ("", 7, ["true"], "tr\u0000ue"):
            self.refuse(command=command)
        for args in ("x", [1], [None], {"0": "x"}, ["a\u0000b"]):
            self.refuse(command="true", args=args)
        for seconds in (-1, "5", 1.5, [], 1 << 70):
            self.refuse(command="true", timeout_secs=seconds)
        self.refuse(command="true", workdir=7)

    def test_working_directory(self):
        self.fails("Exec", "NotFound", self.path("none"), command="true", workdir=self.path("none"))
        path = self.file("file")
        self.fails("Exec", {"NotFound", "InvalidRequest", "IoError"}, path, command="true", workdir=path)

    def test_too_many_arguments(self):
        """More than the kernel takes: an Error, not an agent that is gone."""
        self.fails("Exec", command="true", args=["x" * (1 << 20)])
        self.fails("Exec", command="true", args=["x" * 4000] * 3000)
        self.fails("Exec", command="true", env={"A": "x" * (1 << 20)})
        self.fails("Exec", command="x" * (8 << 20))
        self.assertAlive()


class Output(TestCase):
    def test_more_than_is_kept(self):
        """10 MiB on both, at once: no stall, and 2 MiB of each are answered."""
        command = f"({filler(10 << 20, 'o')}) & ({filler(10 << 20, 'e')}) >&2 & wait; exit 5"
        answer = self.ask("Exec", command=command)
        self.assertShape(answer, "ExecResult", {"exit_code", "stdout", "stderr"},
                         {"stdout_truncated", "stderr_truncated"})
        self.assertEqual(answer["exit_code"], 5)
        for key, letter in (("stdout", "o"), ("stderr", "e")):
            self.assertEqual(set(answer[key]), {letter})
            self.assertEqual(len(answer[key]), KEPT, key)

    def test_one_after_the_other(self):
        """A pipe that is full must not hold up the other one."""
        answer = self.ask("Exec", command=f"{filler(1 << 20, 'e')} >&2; {filler(1 << 20, 'o')}; "
                                          f"{filler(1 << 20, 'e')} >&2")
        self.assertEqual((len(answer["stdout"]), len(answer["stderr"])), (1 << 20, KEPT))

    def test_exactly_the_limit(self):
        answer = self.ask("Exec", command=filler(KEPT, "o"))
        self.assertShape(answer, "ExecResult", {"exit_code", "stdout", "stderr"})
        self.assertEqual(len(answer["stdout"]), KEPT)

    def test_text_that_json_makes_longer(self):
        """Six bytes for each: both do not fit into a frame, and an answer comes all the same."""
        answer = self.ask("Exec", command="head -c 2000000 /dev/zero; head -c 2000000 /dev/zero >&2")
        self.assertEqual(answer["type"], "ExecResult", answer)
        for key in ("stdout", "stderr"):
            self.assertEqual(set(answer[key]), {"\0"})
            self.assertGreater(len(answer[key]), 500_000)

    def test_nothing_is_kept_of_what_is_dropped(self):
        self.guest.memory(reset=True)
        before = self.guest.memory()
        self.ask("Exec", command="head -c 50000000 /dev/zero")
        self.assertLess(self.guest.memory() - before, 64 << 20)


class Ends(TestCase):
    def pids(self, name="pids", count=1):
        """What a command has written there, once all of it is."""
        def read():
            found = self.sh(f"cat {self.dir}/{name} 2>/dev/null || true").split()
            return found if len(found) >= count else None
        return until(read, f"{count} processes")

    def assertGone(self, *pids):
        until(lambda: self.guest.gone(*pids), f"end of {pids}")

    def test_daemon(self):
        """A child that holds the pipe is not waited for, nor killed."""
        for start in ("sleep 300 & echo $!", "(trap '' HUP; sleep 300) & echo $!",
                      f"setsid sh -c 'echo $$; touch {self.dir}/said; exec sleep 300' & "
                      f"until [ -e {self.dir}/said ]; do sleep 0.05; done"):
            with self.subTest(start):
                answer = self.ask("Exec", command=start)
                self.assertEqual((answer["exit_code"], answer["stderr"]), (0, ""))
                pid = int(answer["stdout"])
                self.assertFalse(self.guest.gone(pid), "the daemon has ended")
                self.sh(f"kill {pid}; pkill -P {pid} 2>/dev/null || true")

    def test_output_before_the_end(self):
        """What was written before the command's end is there, though a child holds the pipe."""
        for _ in range(20):
            answer = self.ask("Exec", command=f"sleep 300 & echo $! >{self.dir}/pid; {filler(100000, 'x')}")
            self.sh(f"kill $(cat {self.dir}/pid)")
            self.assertEqual(len(answer["stdout"]), 100000)

    def test_timeout(self):
        """Kills all that the command has started by then: three processes, as soon as there is time for them."""
        for seconds in TIMEOUTS:
            command = (f"echo $$ >{self.dir}/pids; trap '' TERM HUP INT; "
                       f"sh -c 'echo $$ >>{self.dir}/pids; sleep 300 & echo $! >>{self.dir}/pids; wait'")
            self.assertEqual(self.fails("Exec", "Timeout", command=command, timeout_secs=seconds),
                             f"command timed out after {seconds}s")
            pids = self.sh(f"cat {self.dir}/pids 2>/dev/null || true").split()
            self.assertGone(*pids)
            if len(pids) == 3:
                return
        self.fail("a command that does not get on with it")

    def test_timeout_of_arguments(self):
        self.assertEqual(self.fails("Exec", "Timeout", command="sleep", args=["300"], timeout_secs=1),
                         "command timed out after 1s")

    def test_the_next_after_a_timeout(self):
        with self.connect() as c:
            self.assertError(c.ask("Exec", command="sleep 300", timeout_secs=1), "Timeout")
            self.assertEqual(c.ask("Exec", command="echo on")["stdout"], "on\n")

    def test_hang_up(self):
        """Nobody waits any more: the group is killed, whatever it ignores."""
        command = f"trap '' HUP TERM; sleep 300 & echo $$ $! >{self.dir}/pids; wait; sleep 300"
        with self.connect() as c:
            c.request("Exec", command=command)
            pids = self.pids(count=2)
        self.assertGone(*pids)

    def test_hang_up_with_more_asked(self):
        """What is not read yet, behind the request, does not hide the end; and is not begun any more."""
        for i in range(3):
            with self.connect() as c:
                c.request("Exec", command=f"echo $$ >{self.dir}/pids; exec sleep 300")
                c.request("Exec", command=f"touch {self.dir}/next")
                pids = self.pids()
            self.assertGone(*pids)
            self.sh(f"rm {self.dir}/pids")
        self.assertFalse(self.guest.exists(f"{self.dir}/next"))

    def test_orphans(self):
        """Many, and none is left as a zombie of the agent."""
        self.sh("for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.01 & ) ; (exit 3) & done; wait")
        for _ in range(20):
            self.ask("Exec", command="true &")

        def zombies():
            return self.sh("for s in /proc/[0-9]*/stat; do sed 's/.*) //' $s 2>/dev/null; done "
                           "| awk -v agent=$PPID '$1 == \"Z\" && $2 == agent'")

        until(lambda: not zombies(), "end of the agent's zombies")
