"""Commands through the broker's HTTP API: as one answer, as events, and what the audit trail has of them."""

import http.client
import json
import os
import signal
import threading

from broker import Broker
from harness import *


def events(response):
    """Of a stream of server-sent events: (id, event, data) one after the other."""
    fields = {}
    for line in response:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:
            yield fields.get("id"), fields.get("event"), json.loads(fields["data"])
            fields = {}


class Case(TestCase):
    def setUp(self):
        super().setUp()
        self.broker = Broker(self)
        self.token = self.broker.user("ann")

    def join(self, name="box", *words):
        agent = self.start(self.berth_path, "agent", "--join", self.broker.url, "--code",
                           self.broker.code(self.token), "--name", name, *words,
                           env=self.env(XDG_CONFIG_HOME=os.path.join(self.dir, name)))
        self.broker.await_agent(self.token, name)
        return agent

    def exec(self, command, **more):
        return self.broker.ask("POST", "/api/exec", self.token, {"command": command, **more}, timeout=DEADLINE)

    def follow(self, path, body=None, **headers):
        """The events that come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.broker.port, timeout=DEADLINE)
        self.addCleanup(connection.close)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None,
                           {"Authorization": f"Bearer {self.token}", "Accept": "text/event-stream",
                            "Connection": "close", **headers})
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        return response, events(response)

    def trail(self, query=""):
        return self.broker.ask("GET", f"/api/activity{query}", self.token).json["activity"]

    def newest(self):
        return self.trail("?limit=1")[0]

    def await_outcome(self, outcome):
        until(lambda: self.newest()["outcome"] == outcome, f"outcome {outcome}")

    def refused(self, reply, status, error, says=""):
        self.assertEqual((reply.status, reply.json["error"]), (status, error), reply)
        self.assertIn(says, reply.json["message"])


class Exec(Case):
    def test_a_command(self):
        self.join()
        reply = self.exec("echo out; echo err >&2; echo $A; pwd; exit 3", cwd="/usr", env={"A": "b c"})
        self.assertEqual(reply.status, 200)
        answer = reply.json
        self.assertGreaterEqual(answer.pop("durationMs"), 0)
        self.assertEqual(answer, {"exitCode": 3, "stdout": "out\nb c\n/usr\n", "stderr": "err\n", "agent": "box",
                                  "hostname": os.uname().nodename})

    def test_no_agent_and_several(self):
        self.refused(self.exec("id"), 409, "agent_not_connected", "/install.sh")
        self.join("one")
        self.join("two")
        self.refused(self.exec("id"), 409, "agent_ambiguous")
        self.refused(self.exec("id", agent="three"), 409, "agent_not_connected", "three")
        self.assertEqual(self.exec("id", agent="two").json["agent"], "two")

    def test_what_takes_too_long(self):
        self.join()
        self.refused(self.exec("sleep 1000", timeoutMs=100), 504, "timeout")
        self.assertEqual(self.newest()["outcome"], "timeout")

    def test_what_the_owner_does_not_allow(self):
        self.join("box", "--allow", "files")
        self.refused(self.exec("id"), 403, "forbidden", "owner does not allow exec")
        self.assertEqual(self.newest()["outcome"], "refused")

    def test_events(self):
        self.join()
        fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(fifo)
        _, heard = self.follow("/api/exec", {"command": f"echo one; cat {fifo}; printf '\\377' >&2; exit 4"})
        self.assertEqual(next(heard)[1:], ("stdout", {"text": "one\n"}))
        with open(fifo, "w") as file:  # it runs still, and waits for this
            file.write("two")
        self.assertEqual(next(heard)[1:], ("stdout", {"text": "two"}))
        self.assertEqual(next(heard)[1:], ("stderr", {"base64": "/w=="}))
        _, name, last = next(heard)
        self.assertEqual((name, last["exitCode"], last["agent"]), ("exit", 4, "box"))

    def test_a_client_that_goes_away_ends_its_command(self):
        self.join()
        response, heard = self.follow("/api/exec", {"command": "echo $$; while echo; do sleep 0.1; done"})
        pid = int(next(heard)[2]["text"])
        response.close()
        until(lambda: state(pid) in (None, "Z"), "end of the command")
        self.await_outcome("interrupted")

    def test_an_agent_that_is_lost(self):
        agent = self.join()
        replies = []
        asking = threading.Thread(target=lambda: replies.append(self.exec("sleep 1000")))
        asking.start()
        until(lambda: self.newest()["what"] == "sleep 1000", "the command")
        agent.signal(signal.SIGKILL)
        asking.join()
        self.refused(replies[0], 502, "agent_disconnected", "box")
        until(lambda: [r["outcome"] for r in self.trail() if r["kind"] == "exec"] == ["lost"], "outcome")


class Trail(Case):
    def test_all_that_happens(self):
        agent = self.join()
        self.exec("true")
        self.exec("exit 9")
        agent.stop()
        until(lambda: self.newest()["kind"] == "leave", "its leaving")
        self.broker.ask("DELETE", "/api/agents/box", self.token)
        rows = [(row["kind"], row["agent"], row["what"], row["outcome"], row["exitCode"]) for row in self.trail()]
        self.assertEqual(rows, [
            ("revoke", "box", None, "ok", None), ("leave", "box", None, "ok", None),
            ("exec", "box", "exit 9", "failed", 9), ("exec", "box", "true", "ok", 0),
            ("join", "box", None, "ok", None), ("enroll", "box", None, "ok", None)])
        ids = [row["id"] for row in self.trail()]
        self.assertEqual(ids, sorted(ids, reverse=True))
        self.assertEqual([row["id"] for row in self.trail(f"?limit=2&before={ids[2]}")], ids[3:5])

    def test_it_goes_on_in_events(self):
        self.join()
        _, heard = self.follow("/api/activity")
        self.exec("echo one")
        first, second = next(heard), next(heard)
        self.assertEqual((first[1], first[2]["what"], first[2]["outcome"]), ("activity", "echo one", None))
        self.assertEqual((second[2]["id"], second[2]["outcome"]), (first[2]["id"], "ok"))
        self.exec("echo two")
        self.exec("echo three")
        _, again = self.follow("/api/activity", Last_Event_ID=second[0])
        self.assertEqual([next(again)[2]["what"] for _ in range(2)], ["echo two", "echo three"])

    def test_what_a_killed_broker_left(self):
        agent = self.join()
        asking = threading.Thread(target=lambda: self.assertRaises(OSError, self.exec, "sleep 1000"))
        asking.start()
        until(lambda: self.newest()["what"] == "sleep 1000", "the command")
        self.assertIsNone(self.newest()["outcome"])
        self.broker.kill()
        asking.join()
        self.broker.start()
        row = next(row for row in self.trail() if row["kind"] == "exec")
        self.assertEqual((row["what"], row["outcome"]), ("sleep 1000", "interrupted"))
        agent.stop()


class Metrics(Case):
    def test_what_is_counted(self):
        self.join()
        self.exec("exit 1")
        self.broker.ask("GET", "/api/me", "wrong")
        text = self.broker.ask("GET", "/metrics").body.decode()
        for line in ("berth_agents 1", 'berth_activity_total{kind="exec",outcome="failed"} 1',
                     'berth_requests_total{method="POST",path="/api/exec",status="2xx"} 1',
                     'berth_requests_total{method="GET",path="/api/me",status="4xx"} 1'):
            self.assertIn(f"\n{line}\n", text)
        proxied = {"X-Forwarded-For": "192.0.2.1"}
        self.assertEqual(self.broker.ask("GET", "/metrics", headers=proxied).status, 401)
        self.assertEqual(self.broker.ask("GET", "/metrics", self.token, headers=proxied).status, 200)
