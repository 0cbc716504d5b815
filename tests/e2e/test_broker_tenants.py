"""Two users at once, each with a machine of their own: another uid and another host name. Whatever is asked, mixed and
many at a time, is answered by one's own. BERTH_EXECS says how often each asks (200 where it is not set)."""

import collections
import http.client
import json
import os
import queue
import threading

from broker import Broker
from harness import *

EXECS = int(os.environ.get("BERTH_EXECS", "200"))
AT_ONCE = 32
COMMAND = "whoami; hostname; id -u; echo "


class Tenants(TestCase):
    def machine(self, broker, letter):
        """A user of the broker, and their agent: a host of its own name. (token, what it says of itself)"""
        user, name = self.user(letter), f"{letter}-machine"
        token = broker.user(letter)
        agent = user.popen("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name,
                           "setpriv", "--reuid", str(user.uid), "--regid", str(user.gid), "--clear-groups",
                           self.berth_path, "agent", "--join", broker.url, "--code", broker.code(token),
                           user=0, group=0, stdin=-3, stdout=-3, stderr=-3)
        self.addCleanup(lambda: (agent.terminate(), agent.wait()))
        until(lambda: broker.agents(token), f"agent of {letter}")
        self.assertEqual([a["hostname"] for a in broker.agents(token).values()], [name])
        return token, f"{user.name}\n{name}\n{user.uid}\n"

    def ask_all(self, broker, todo, failures):
        connection = http.client.HTTPConnection("127.0.0.1", broker.port, timeout=120)
        while True:
            try:
                token, number, own = todo.get_nowait()
            except queue.Empty:
                return connection.close()
            connection.request("POST", "/api/exec", json.dumps({"command": COMMAND + str(number)}),
                               {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            if answer.get("stdout") != f"{own}{number}\n" or answer.get("exitCode") != 0:
                failures.append((number, answer))

    def trail(self, broker, token):
        """All of a user's commands with how they ended."""
        rows, before = [], ""
        while True:
            page = broker.ask("GET", f"/api/activity?limit=1000{before}", token).json["activity"]
            rows += [row for row in page if row["kind"] == "exec"]
            if not page:
                return rows
            before = "&before=" + page[-1]["id"]

    @root_only
    def test_no_answer_crosses(self):
        broker = Broker(self, "--limit", "none")
        both = [self.machine(broker, letter) for letter in "ab"]
        todo, failures = queue.SimpleQueue(), []
        for number in range(EXECS):
            for token, own in both:
                todo.put((token, number, own))
        threads = [threading.Thread(target=self.ask_all, args=[broker, todo, failures]) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures[:3], [])
        for token, own in both:
            rows = self.trail(broker, token)
            seen = collections.Counter(row["what"] for row in rows)
            self.assertEqual(seen, collections.Counter(COMMAND + str(number) for number in range(EXECS)))
            self.assertEqual({(row["outcome"], row["exitCode"]) for row in rows}, {("ok", 0)})
            self.assertEqual({row["hostname"] for row in rows}, {own.split("\n")[1]})
