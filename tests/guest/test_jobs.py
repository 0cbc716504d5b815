"""ExecBackground, ExecPoll, ExecKill; SetEnv."""

from guest import frame, message
from harness import TestCase, until
from test_exec import REFUSED, filler

JOBS = 1000
KEPT = 2 << 20


class TestJobs(TestCase):
    def start(self, command, **fields):
        answer = self.ask("ExecBackground", command=command, **fields)
        self.assertShape(answer, "BackgroundStarted", {"job_id"})
        self.assertNumber(answer["job_id"], 1)
        return answer["job_id"]

    def poll(self, job):
        answer = self.ask("ExecPoll", job_id=job)
        self.assertShape(answer, "BackgroundStatus", {"running", "stdout", "stderr"},
                         {"exit_code", "stdout_truncated", "stderr_truncated"})
        self.assertIs(type(answer["running"]), bool)
        if answer["running"]:
            self.assertIsNone(answer.get("exit_code"))
        return answer

    def result(self, job):
        """Once it has ended; it is forgotten then."""
        def ended():
            answer = self.poll(job)
            return None if answer["running"] else answer
        return until(ended, f"end of job {job}")

    def kill(self, job, **fields):
        self.assertOk(self.ask("ExecKill", job_id=job, **fields))


class Background(TestJobs):
    def test_result(self):
        job = self.start("echo out; echo err >&2; exit 3")
        answer = self.result(job)
        self.assertEqual((answer["exit_code"], answer["stdout"], answer["stderr"]), (3, "out\n", "err\n"))
        self.fails("ExecPoll", "NotFound", job_id=job)
        self.fails("ExecKill", "NotFound", job_id=job)

    def test_numbers(self):
        """Each job has one of its own, higher than those before."""
        jobs = [self.start("true") for _ in range(5)]
        self.assertEqual(jobs, sorted(set(jobs)))
        for job in reversed(jobs):
            self.assertEqual(self.result(job)["exit_code"], 0)
        later = self.start("true")
        self.assertGreater(later, jobs[-1])
        self.result(later)

    def test_running(self):
        self.sh(f"mkfifo {self.dir}/gate")
        job = self.start(f"echo begun; cat {self.dir}/gate")
        for _ in range(3):
            self.assertTrue(self.poll(job)["running"])
        self.sh(f"echo on >{self.dir}/gate")
        answer = self.result(job)
        self.assertEqual((answer["exit_code"], answer["stdout"]), (0, "begun\non\n"))

    def test_started_at_once(self):
        """The answer does not wait for the job, nor the next request."""
        with self.connect() as c:
            c.send(frame(message("ExecBackground", command="sleep 300")) + frame(message("Ping")))
            job = c.answer()["job_id"]
            self.assertEqual(c.answer()["type"], "Pong")
            self.assertTrue(c.ask("ExecPoll", job_id=job)["running"])
            self.assertOk(c.ask("ExecKill", job_id=job))
        self.result(job)

    def test_environment_and_directory(self):
        job = self.start("echo $A; pwd -P", env={"A": "x y"}, workdir=self.dir)
        self.assertEqual(self.result(job)["stdout"], "x y\n" + self.sh(f"cd {self.dir}; pwd -P"))
        job = self.start("cat; readlink /proc/self/fd/0", env=None, workdir=None)
        self.assertEqual(self.result(job)["stdout"], "/dev/null\n")

    def test_refusals(self):
        for name in REFUSED:
            with self.subTest(name):
                self.fails("ExecBackground", "InvalidRequest", command="true", env={name: "x"})
        for fields in ({}, {"command": 1}, {"command": ""}, {"command": "true", "env": []},
                       {"command": "true", "env": {"A": 1}}, {"command": "true", "workdir": 1}):
            with self.subTest(fields):
                self.fails("ExecBackground", "InvalidRequest", **fields)
        self.fails("ExecBackground", "NotFound", command="true", workdir=self.path("none"))

    def test_unknown_job(self):
        for job in (0, 1 << 31, (1 << 32) - 1):
            for type in ("ExecPoll", "ExecKill"):
                with self.subTest(type, job=job):
                    self.fails(type, "NotFound", job_id=job)
        for job in (None, "1", -1, 1.5, 1 << 32, [1]):
            for type in ("ExecPoll", "ExecKill"):
                with self.subTest(type, job=job):
                    self.fails(type, {"InvalidRequest", "NotFound"} if job in (-1, 1 << 32) else "InvalidRequest",
                               job_id=job)

    def test_bounded_output(self):
        """10 MiB on both: it does not stall, and not all of it is kept."""
        self.guest.memory(reset=True)
        before = self.guest.memory()
        job = self.start(f"{filler(10 << 20, 'o')} & {filler(10 << 20, 'e')} >&2; wait; exit 4")
        answer = self.result(job)
        self.assertEqual(answer["exit_code"], 4)
        for key, letter in (("stdout", "o"), ("stderr", "e")):
            self.assertEqual(set(answer[key]), {letter})
            self.assertLessEqual(len(answer[key]), KEPT)
            self.assertGreater(len(answer[key]), 60_000)
        self.assertLess(self.guest.memory() - before, 64 << 20)

    def test_output_that_fits_no_frame(self):
        job = self.start("head -c 2000000 /dev/zero; head -c 2000000 /dev/zero >&2")
        answer = self.result(job)
        self.assertEqual(answer["exit_code"], 0)
        self.assertEqual(set(answer["stdout"] + answer["stderr"]), {"\0"})

    def test_daemon(self):
        """The job has ended when its command has, though a child holds the pipe."""
        job = self.start("sleep 300 & echo $!")
        pid = int(self.result(job)["stdout"])
        self.assertFalse(self.guest.gone(pid))
        self.sh(f"kill {pid}")


class Kill(TestJobs):
    def test_the_whole_group(self):
        job = self.start(f"trap '' HUP TERM INT; sleep 300 & echo $$ $! >{self.dir}/pids; "
                         f"sh -c 'echo $$ >>{self.dir}/pids; exec sleep 300'")
        pids = until(lambda: (found := self.sh(f"cat {self.dir}/pids 2>/dev/null || true").split())[2:] and found,
                     "three processes")
        self.kill(job)
        self.assertIn(self.result(job).get("exit_code"), (None, -1))
        until(lambda: self.guest.gone(*pids), "end of the group")

    def test_signal(self):
        job = self.start(f"trap 'echo caught; exit 9' TERM; touch {self.dir}/ready; while :; do sleep 0.05; done")
        until(lambda: self.guest.exists(f"{self.dir}/ready"), "trap")
        self.kill(job, signal=15)
        answer = self.result(job)
        self.assertEqual((answer["exit_code"], answer["stdout"]), (9, "caught\n"))

    def test_ended_job(self):
        """One that has ended and was not polled yet is still known."""
        job = self.start(f"echo $$ >{self.dir}/pid; echo said")
        until(lambda: self.sh(f"cat {self.dir}/pid 2>/dev/null || true"), "pid")
        until(lambda: self.guest.gone(int(self.sh(f"cat {self.dir}/pid"))), "end")
        self.kill(job)
        answer = self.result(job)
        self.assertEqual((answer["exit_code"], answer["stdout"]), (0, "said\n"))

    def test_no_signal(self):
        job = self.start("sleep 300")
        for number in (-1, -9, 65, 1000, 1 << 31, "KILL", 1.5):
            with self.subTest(number):
                self.fails("ExecKill", "InvalidRequest", job_id=job, signal=number)
        self.assertTrue(self.poll(job)["running"])
        self.kill(job, signal=None)
        self.result(job)


class Many(TestJobs):
    def forget(self, jobs):
        """Whatever is left of them."""
        with self.connect() as c:
            for job in jobs:
                c.ask("ExecKill", job_id=job)
                until(lambda: not c.ask("ExecPoll", job_id=job).get("running"), f"end of job {job}")

    def test_a_thousand(self):
        """And one more is refused; when one has been polled to its end, there is room again."""
        jobs = []
        self.addCleanup(self.forget, jobs)
        with self.connect() as c:
            request = frame(message("ExecBackground", command="exec sleep 3000"))
            for _ in range(JOBS // 50):
                c.send(request * 50)
                for _ in range(50):
                    answer = c.answer()
                    self.assertEqual(answer["type"], "BackgroundStarted", answer)
                    jobs.append(answer["job_id"])
            self.assertEqual(len(set(jobs)), JOBS)
            self.assertError(c.ask("ExecBackground", command="true"), {"InvalidRequest", "Internal"})
            self.assertAlive()
            self.assertOk(c.ask("ExecKill", job_id=jobs[500]))
            self.result(jobs[500])
            jobs[500] = c.ask("ExecBackground", command="exec sleep 3000")["job_id"]
            for job in jobs:
                c.request("ExecKill", job_id=job)
                self.assertOk(c.answer())
            while jobs:
                self.result(jobs.pop())
            job = c.ask("ExecBackground", command="echo again")["job_id"]
            self.assertEqual(self.result(job)["stdout"], "again\n")


class Environment(TestJobs):
    """SetEnv; what it sets stays, so each test has names of its own."""

    def set(self, **variables):
        answer = self.ask("SetEnv", vars=variables)
        self.assertShape(answer, "SetEnvResult", {"count"})
        return answer["count"]

    def test_set(self):
        self.assertEqual(self.set(SUITE_A="1", suite_b="x y\n\u00e9", _SUITE=""), 3)
        expected = "1|x y\n\u00e9||x\n"
        command = 'echo "$SUITE_A|$suite_b|$_SUITE|${_SUITE+x}"'
        self.assertEqual(self.sh(command), expected)
        self.assertEqual(self.ask("Exec", command="sh", args=["-c", command])["stdout"], expected)
        self.assertEqual(self.result(self.start(command))["stdout"], expected)
        with self.connect() as c:
            self.assertEqual(c.ask("ExecStream", command=command)["type"], "Started")
            self.assertEqual(c.read_frame(), b"\x01" + expected.encode())

    def test_again(self):
        self.assertEqual(self.set(SUITE_C="old", SUITE_D="kept"), 2)
        self.assertEqual(self.set(SUITE_C="new"), 1)
        self.assertEqual(self.sh("echo $SUITE_C $SUITE_D"), "new kept\n")

    def test_under_a_request(self):
        self.set(SUITE_E="set")
        self.assertEqual(self.sh("echo $SUITE_E", env={"SUITE_E": "asked"}), "asked\n")
        self.assertEqual(self.result(self.start("echo $SUITE_E", env={"SUITE_E": "asked"}))["stdout"], "asked\n")
        self.assertEqual(self.sh("echo $SUITE_E"), "set\n")

    def test_nothing(self):
        self.assertEqual(self.set(), 0)

    def test_refusals(self):
        """All or nothing."""
        for name in REFUSED:
            with self.subTest(name):
                self.fails("SetEnv", "InvalidRequest", vars={"SUITE_F": "set", name: "x", "SUITE_G": "set"})
        for fields in ({}, {"vars": []}, {"vars": "A=1"}, {"vars": {"SUITE_F": 1}}, {"vars": {"SUITE_F": None}},
                       {"vars": {"SUITE_F": "a\u0000b"}}):
            with self.subTest(fields):
                self.fails("SetEnv", "InvalidRequest", **fields)
        self.assertEqual(self.sh("echo $SUITE_F$SUITE_G"), "\n")
