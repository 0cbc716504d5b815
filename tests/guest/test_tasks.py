"""Tasks: assigned by TeamMessage on the relay's port, their results polled on the guest's."""

import json

from harness import RELAY_PORT, TestCase, until
from test_exec import TIMEOUTS

RESULT = {"task_id", "success", "exit_code", "stdout", "stderr", "elapsed_secs", "source_message_id"}
TRUNCATED = {"stdout_truncated", "stderr_truncated"}  # said where something was cut
AT_ONCE = 4
MOST = 1000


class Tasks(TestCase):
    def setUp(self):
        super().setUp()
        until(lambda: self.poll()["pending_tasks"] == 0, "end of the tasks before")
        while self.poll()["results"]:
            pass

    def assign(self, task, command="true", message_id=None, **fields):
        content = json.dumps({"task_id": task, "command": command, "workdir": self.dir, **fields})
        self.send(content, message_id if message_id is not None else f"message-{task}")

    def send(self, content, message_id="m"):
        self.assertOk(self.ask("TeamMessage", port=RELAY_PORT, to="worker", content=content,
                               message_type="task_assignment", message_id=message_id, **{"from": "lead"}))

    def poll(self, **fields):
        answer = self.ask("PollDaemonResults", **fields)
        self.assertShape(answer, "DaemonResults", {"results", "pending_tasks"})
        self.assertNumber(answer["pending_tasks"])
        for result in answer["results"]:
            self.assertEqual(set(result) - TRUNCATED, RESULT)
            self.assertIs(type(result["success"]), bool)
            self.assertNumber(result["exit_code"], -255)
            self.assertNumber(result["elapsed_secs"])
        return answer

    def results(self, count):
        """So many results, in their order."""
        found = []

        def all_there():
            found.extend(self.poll()["results"])
            return len(found) >= count

        until(all_there, f"{count} results")
        self.assertEqual(len(found), count)
        return found

    def result(self):
        return self.results(1)[0]

    def test_nothing(self):
        self.assertEqual(self.poll(), {"type": "DaemonResults", "results": [], "pending_tasks": 0})

    def test_result(self):
        self.assign("one", "echo out; echo err >&2; exit 3", message_id="the-message")
        result = self.result()
        self.assertLess(result.pop("elapsed_secs"), 60)
        self.assertEqual(result, {"task_id": "one", "success": False, "exit_code": 3, "stdout": "out\n",
                                  "stderr": "err\n", "source_message_id": "the-message"})
        self.assertEqual(self.poll()["results"], [], "it was given already")

    def test_success(self):
        self.assign("\u00e9 two", "pwd -P; echo $A; cat; readlink /proc/self/fd/0", env={"A": "x y"})
        result = self.result()
        self.assertEqual((result["success"], result["exit_code"], result["task_id"]), (True, 0, "\u00e9 two"))
        self.assertEqual(result["stdout"], self.sh(f"cd {self.dir}; pwd -P") + "x y\n/dev/null\n")

    def test_killed_by_a_signal(self):
        self.assign("killed", "kill -9 $$")
        result = self.result()
        self.assertEqual((result["success"], result["exit_code"]), (False, -1))

    def test_timeout(self):
        for seconds in TIMEOUTS:
            self.assign("slow", "echo $$ >pids; trap '' TERM; sleep 300 & echo $! >>pids; wait; sleep 300",
                        timeout_secs=seconds)
            result = self.result()
            self.assertEqual((result["success"], result["exit_code"]), (False, -1))
            self.assertIn(f"timed out after {seconds}s", result["stderr"])
            pids = self.sh(f"cat {self.dir}/pids 2>/dev/null || true").split()
            until(lambda: self.guest.gone(*pids), "end of the group")
            if len(pids) == 2:
                return
        self.fail("a task that does not get on with it")

    def test_that_cannot_run(self):
        self.assign("nowhere", workdir=self.path("none"))
        self.assign("refused", env={"LD_PRELOAD": "x"})
        for result in self.results(2):
            with self.subTest(result["task_id"]):
                self.assertFalse(result["success"])
                self.assertNotEqual(result["exit_code"], 0)
                self.assertNotEqual(result["stderr"], "")

    def test_malformed(self):
        """The message has arrived; that it is no task is its result."""
        contents = ["", "no json{{{", "[]", "7", json.dumps({"task_id": "x"}), json.dumps({"command": "true"}),
                    json.dumps({"task_id": 1, "command": "true"}),
                    json.dumps({"task_id": "x", "command": "true", "env": 1}),
                    json.dumps({"task_id": "x", "command": "true", "timeout_secs": -1}), "x" * 100_000]
        for i, content in enumerate(contents):
            with self.subTest(content[:60]):
                self.send(content, f"malformed-{i}")
                result = self.result()
                self.assertEqual((result["success"], result["stdout"]), (False, ""))
                self.assertIn(result["task_id"], ("unknown", "x"))
                self.assertLess(result["exit_code"], 0)
                self.assertEqual(result["source_message_id"], f"malformed-{i}")
                self.assertNotEqual(result["stderr"], "")
                self.assertLess(len(result["stderr"]), 2000)

    def test_other_messages_are_no_tasks(self):
        self.assertOk(self.ask("TeamMessage", port=RELAY_PORT, to="w",
                               content=json.dumps({"task_id": "x", "command": f"touch {self.dir}/ran"})))
        self.assign("after")
        self.assertEqual(self.result()["task_id"], "after")
        self.assertFalse(self.guest.exists(f"{self.dir}/ran"))

    def test_four_at_once(self):
        """The rest wait their turn; what is asked meanwhile is answered."""
        self.sh(f"mkfifo {self.dir}/gate5 {self.dir}/gate6; for i in 1 2 3 4; do mkfifo {self.dir}/gate$i; done")
        for i in range(1, 7):
            self.assign(f"t{i}", f"echo {i} >>begun; read x <gate{i}; echo done $x")
        begun = lambda: self.sh(f"cat {self.dir}/begun 2>/dev/null || true").split()
        until(lambda: len(begun()) >= AT_ONCE, "four tasks")
        for _ in range(20):
            pending = self.poll()["pending_tasks"]
            self.assertIn(pending, (AT_ONCE, 6))
        self.assertEqual(sorted(begun()), ["1", "2", "3", "4"])
        self.sh(f"echo 3 >{self.dir}/gate3")
        self.assertEqual(self.result()["task_id"], "t3")
        until(lambda: len(begun()) >= 5, "fifth task")
        self.assertEqual(sorted(begun()), ["1", "2", "3", "4", "5"])
        self.sh(f"echo 1 >{self.dir}/gate1")
        self.assertEqual(self.result()["task_id"], "t1")
        for i in (6, 2, 5, 4):
            self.sh(f"echo {i} >{self.dir}/gate{i}")
            self.assertEqual(self.result()["stdout"], f"done {i}\n")
        self.assertEqual(self.poll()["pending_tasks"], 0)

    def test_limit(self):
        """The oldest first; 20 if nothing is said."""
        for i in range(25):
            self.assign(f"t{i}", f"echo {i}")
            until(lambda: self.poll(limit=0)["pending_tasks"] == 0, "end of the task")
        self.assertEqual(self.poll(limit=0)["results"], [])
        first = self.poll(limit=3)["results"]
        more = self.poll()["results"]
        rest = self.poll(limit=1000)["results"]
        self.assertEqual([len(first), len(more), len(rest)], [3, 20, 2])
        self.assertEqual([result["task_id"] for result in first + more + rest], [f"t{i}" for i in range(25)])

    def test_bad_limit(self):
        for limit in (-1, "5", 1.5, []):
            with self.subTest(limit):
                self.fails("PollDaemonResults", "InvalidRequest", limit=limit)

    def test_much_output(self):
        """Of each 2 MiB at most; results that fit no frame together come one after the other."""
        for i in range(6):
            self.assign(f"big{i}", "head -c 3000000 /dev/zero | tr '\\0' o; head -c 3000000 /dev/zero | tr '\\0' e >&2")
        found = self.results(6)
        self.assertEqual(sorted(result["task_id"] for result in found), [f"big{i}" for i in range(6)])
        for result in found:
            for key, letter in (("stdout", "o"), ("stderr", "e")):
                self.assertIn(set(result[key].partition("\n")[0]), ({letter},))
                self.assertGreater(len(result[key]), 60_000)
                self.assertLess(len(result[key]), (2 << 20) + 100)

    def test_output_that_json_makes_longer(self):
        self.assign("nulls", "head -c 2000000 /dev/zero; head -c 2000000 /dev/zero >&2")
        self.assign("after")
        self.assertEqual({result["task_id"] for result in self.results(2)}, {"nulls", "after"})

    def test_no_more_than_a_thousand(self):
        """Those that wait to be fetched among them."""
        with self.connect(RELAY_PORT) as c:
            def assign():
                return c.ask("TeamMessage", to="w", content="no task", message_type="task_assignment")

            for _ in range(MOST):
                self.assertOk(assign())
            self.assertError(assign(), "InvalidRequest", f"too many tasks ({MOST}, of which {MOST} are to be fetched")
            self.assertEqual(c.ask("Ping")["type"], "Pong")
            self.assertEqual(len(self.poll(limit=1)["results"]), 1)
            self.assertOk(assign())
            self.assertError(assign(), "InvalidRequest", "too many tasks")
        self.assertEqual(len(self.results(MOST)), MOST)
        self.assign("after")
        self.assertEqual(self.result()["task_id"], "after")

    def test_many(self):
        for i in range(100):
            self.assign(f"t{i}", f"echo {i}")
        found = self.results(100)
        self.assertEqual(sorted(int(result["stdout"]) for result in found), list(range(100)))
