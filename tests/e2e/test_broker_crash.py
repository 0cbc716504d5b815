"""kill -9 of the broker at random moments under load: what it has acknowledged is there when it comes back, and
agents join again by themselves. BERTH_CRASHES says how often it is killed (4 where it is not set)."""

import contextlib
import http.client
import json
import os
import random
import re
import secrets
import threading
import time

from bridge_peer import message
from broker import Broker
from harness import *
from websocket import Closed, Refused, WebSocket

CRASHES = int(os.environ.get("BERTH_CRASHES", "4"))
REFUSED = (OSError, http.client.HTTPException, Missing, Closed, Refused)


class Work:
    """Does one thing again and again until it is told to stop; keeps what was acknowledged."""

    def __init__(self, do):
        self.do, self.acknowledged, self.error = do, [], None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended.is_set():
            with contextlib.suppress(*REFUSED):
                try:
                    self.acknowledged.append(self.do())
                except AssertionError as error:
                    if not isinstance(error, Missing):
                        self.error = error
                        return
                    raise

    def stop(self):
        self.ended.set()
        self.thread.join()
        if self.error:
            raise self.error
        return self.acknowledged


class Crash(TestCase):
    def setUp(self):
        super().setUp()
        self.broker = Broker(self, "--limit", "none")
        self.token = self.broker.user("ann")
        self.agent = self.start(self.berth_path, "agent", "--join", self.broker.url, "--code",
                                self.broker.code(self.token), "--name", "box")
        self.broker.await_agent(self.token, "box")
        self.number = 0
        self.owner = self.token  # whose the devices are
        self.seen = lambda: None  # what is done the moment that a client has the last of a command

    def add_user(self):
        self.number += 1
        name = f"user{self.number}"
        return name, self.broker.user(name)

    def enroll(self):
        key, name = secrets.token_hex(32), "d" + secrets.token_hex(6)
        reply = self.broker.ask("POST", "/api/agent/enroll",
                                body={"code": self.broker.code(self.owner), "name": name, "public_key": key})
        if reply.status != 200:
            raise Missing(reply)
        return name

    def exec(self):
        text = secrets.token_hex(8)
        reply = self.broker.ask("POST", "/api/exec", self.token,
                                body={"command": f"echo {text}", "agent": "box"})
        if reply.status != 200:
            raise Missing(reply)
        self.seen()
        self.assertEqual(reply.json["stdout"], text + "\n")
        return f"echo {text}"

    def exec_by_socket(self):
        """As berth exec does; its end is a whole frame of type Exited."""
        text = secrets.token_hex(8)
        client = WebSocket(self.broker.port, "/api/exec?agent=box", {"Authorization": f"Bearer {self.token}"})
        try:
            client.send(message("ExecStream", command=f"echo {text}"))
            heard = b""
            while not (end := re.search(rb"\0\0\0.(\{[^{}]*\"Exited\"[^{}]*\})", heard, re.DOTALL)):
                heard += client.receive()
            self.seen()
        finally:
            client.drop()
        self.assertEqual(json.loads(end.group(1))["exit_code"], 0)
        self.assertIn(text.encode(), heard)
        return f"echo {text}"

    def exec_by_events(self):
        text = secrets.token_hex(8)
        connection = http.client.HTTPConnection("127.0.0.1", self.broker.port, timeout=DEADLINE)
        try:
            connection.request("POST", "/api/exec", json.dumps({"command": f"echo {text}", "agent": "box"}),
                               {"Authorization": f"Bearer {self.token}", "Accept": "text/event-stream"})
            response, event = connection.getresponse(), None
            for line in response:
                name, _, value = line.decode().strip().partition(": ")
                if name == "data" and event == "exit":
                    self.seen()
                    self.assertEqual(json.loads(value)["exitCode"], 0)
                    return f"echo {text}"
                event = value if name == "event" else event
            raise Missing(f"no exit after {response.status}")
        finally:
            connection.close()

    def await_rejoin(self):
        began = time.monotonic()
        self.broker.await_agent(self.token, "box")
        return time.monotonic() - began

    def check(self, users, devices, commands):
        for name, token in users:
            self.assertEqual(self.broker.ask("GET", "/api/me", token).json.get("user"), name)
        listed = {agent["name"] for agent in self.broker.ask("GET", "/api/agents", self.owner).json["agents"]}
        self.assertLessEqual(set(devices), listed)
        rows = self.broker.ask("GET", "/api/activity?limit=1000", self.token).json["activity"]
        done = {row["what"]: row for row in rows if row["kind"] == "exec"}
        for command in commands:
            self.assertIn(command, done)
            self.assertEqual((done[command]["outcome"], done[command]["exitCode"]), ("ok", 0))
        self.assertEqual([row for row in rows if not row["outcome"]], [])

    def test_what_is_acknowledged_is_kept(self):
        slowest, acknowledged = 0, 0
        chance = random.Random(1)
        for number in range(CRASHES):
            self.owner = self.broker.user(f"owner{number}")  # as nobody may have more than some
            works = [Work(do) for do in (self.add_user, self.enroll, self.exec, self.exec_by_socket,
                                         self.exec_by_events)]
            until(lambda: all(work.acknowledged for work in works), "first answers")
            time.sleep(chance.uniform(0.05, 0.6))  # the random moment
            self.broker.kill()
            kept = [work.stop() for work in works]
            self.broker.start()
            slowest = max(slowest, self.await_rejoin())
            self.check(kept[0], kept[1], sum(kept[2:], []))
            acknowledged += sum(map(len, kept))
        print(f"{CRASHES} crashes, {acknowledged} acknowledged, slowest rejoin {slowest:.1f} s")

    def test_an_end_that_was_seen_is_kept(self):
        """Killed as soon as a client has the last of a command, in each form there is of it."""
        forms = [self.exec, self.exec_by_socket, self.exec_by_events]
        self.seen = self.broker.kill
        for number in range(2 * max(CRASHES, len(forms))):
            command = forms[number % len(forms)]()
            self.broker.start()
            self.check([], [], [command])
            self.await_rejoin()
