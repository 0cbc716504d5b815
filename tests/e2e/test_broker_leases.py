"""What a token has opened ends with it: when it is revoked, when it expires, when its user is removed."""

import http.client
import json
import os
import subprocess
import threading
import time

from broker import Broker
from harness import *
from issuer import Issuer, Key
from test_broker_exec import events
from test_broker_terminal import Terminal

LIFE = 15  # seconds that an issuer's token has left, of its leeway


class Case(TestCase):
    def begin(self, *args):
        self.broker = Broker(self, "--limit", "none", *args)
        self.token = self.broker.user("ann")
        self.other = self.broker.token("ann")  # of the same user's
        self.machine = self.broker.machine(self.other, "laptop")

    def revoke(self):
        self.broker.revoke("ann", self.token)

    def remove(self):
        self.broker.admin("user", "remove", "ann")

    def terminal(self, token, query=""):
        found = Terminal(self.broker, token, query)
        self.addCleanup(found.socket.drop)
        return found

    def shell(self, terminal):
        """The pid of the shell."""
        terminal.type("echo pid=$$=\n")
        return int(terminal.until(r"pid=(\d+)=").group(1))

    def gone(self, pid):
        until(lambda: state(pid) in (None, "Z"), "end of what ran")

    def sent_away(self, terminal, why):
        """The terminal's client is."""
        told = terminal.hear()
        self.assertEqual(told["error"], "unauthorized")
        self.assertIn(why, told["message"])
        self.assertEqual(terminal.end(), 1008)

    def request(self, method, path, token, body=None, **headers):
        """A connection, on which that was asked."""
        connection = http.client.HTTPConnection("127.0.0.1", self.broker.port, timeout=2 * DEADLINE)
        self.addCleanup(connection.close)
        connection.request(method, path, json.dumps(body) if body else None,
                           {"Authorization": f"Bearer {token}", "Connection": "close", **headers})
        return connection

    def follow(self, path, token, body=None):
        """The events that come."""
        connection = self.request("POST" if body else "GET", path, token, body, Accept="text/event-stream")
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        return events(response)

    def outcomes(self, kind, token):
        rows = self.broker.ask("GET", "/api/activity", token).json["activity"]
        return [row["outcome"] for row in rows if row["kind"] == kind]


class Revoked(Case):
    def setUp(self):
        super().setUp()
        self.begin()

    def test_a_terminal(self):
        mine, others = self.terminal(self.token), self.terminal(self.other)
        shell = self.shell(mine)
        self.revoke()
        self.sent_away(mine, "revoked")
        self.gone(shell)
        self.shell(others)
        until(lambda: self.outcomes("terminal", self.other) == [None, "interrupted"], "outcome")

    def test_a_terminal_that_nobody_looks_at(self):
        left, taken = self.terminal(self.token), self.terminal(self.token)
        shell = self.shell(left)
        left.socket.close(1001)
        again = self.terminal(self.other, f"?session={taken.session}")
        self.revoke()
        self.gone(shell)
        self.assertEqual(self.terminal(self.other, f"?session={left.session}").first["error"], "not_found")
        self.shell(again)  # which is another token's by now

    def test_events(self):
        activity = self.follow("/api/activity", self.token)
        others = self.follow("/api/activity", self.other)
        run = self.follow("/api/exec", self.token, {"command": "echo $$; while echo; do sleep 0.1; done"})
        pid = int(next(run)[2]["text"])
        self.revoke()
        heard = list(run)
        self.assertEqual({name for _, name, _ in heard[:-1]} - {"stdout"}, set())
        _, name, told = heard[-1]
        self.assertEqual((name, told["error"]), ("error", "unauthorized"))
        self.assertIn("revoked", told["message"])
        self.gone(pid)
        self.assertLessEqual(len(list(activity)), 2)  # it ends
        self.assertEqual(next(others)[2]["outcome"], None)
        self.assertEqual(next(others)[2]["outcome"], "interrupted")

    def test_a_command_with_one_answer(self):
        path = self.machine.path("pid")
        connection = self.request("POST", "/api/exec", self.token, {"command": f"echo $$ >{path}; exec sleep 1000"})
        until(lambda: os.path.exists(path) and os.path.getsize(path), "the command")
        with open(path) as file:
            pid = int(file.read())
        self.revoke()
        response = connection.getresponse()
        self.assertEqual((response.status, json.load(response)["error"]), (401, "unauthorized"))
        self.gone(pid)
        until(lambda: self.outcomes("exec", self.other) == ["interrupted"], "outcome")

    def test_berth_exec(self):
        env = self.env(XDG_CONFIG_HOME=os.path.join(self.dir, "config"))
        done = subprocess.run([self.berth_path, "login", self.broker.url], env=env, input=self.token + "\n",
                              capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        command = self.start(self.berth_path, "exec", "--", "sh", "-c", "echo $$ >&2; exec sleep 1000", env=env)
        pid = int(command.await_line(r"^(\d+)$")[1])
        self.revoke()
        self.assertEqual(command.wait(), 126)
        self.assertIn("the token was revoked", command.text())
        self.gone(pid)

    def test_files(self):
        with open(self.machine.path("large"), "wb") as file:
            file.truncate(1 << 30)
        download = self.request("GET", "/api/files?path=large", self.token).getresponse()
        self.assertEqual((download.status, len(download.read(1 << 20))), (200, 1 << 20))
        upload = http.client.HTTPConnection("127.0.0.1", self.broker.port, timeout=DEADLINE)
        self.addCleanup(upload.close)
        upload.putrequest("PUT", "/api/files?path=new")
        for name, value in (("Authorization", f"Bearer {self.token}"), ("Content-Length", str(1 << 20))):
            upload.putheader(name, value)
        upload.endheaders(b"x" * 65536)
        until(lambda: self.outcomes("file-write", self.other) == [None], "the upload")
        self.revoke()
        answer = upload.getresponse()
        self.assertEqual((answer.status, json.load(answer)["error"]), (401, "unauthorized"))
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            while piece := download.read1(1 << 20):
                self.assertFalse(piece.strip(b"\0"))  # the file's alone
        for kind in "file-read", "file-write":
            until(lambda: self.outcomes(kind, self.other) == ["interrupted"], f"outcome of {kind}")
        self.assertFalse(os.path.exists(self.machine.path("new")))


class Removed(Case):
    def test_all_that_a_user_has_open(self):
        self.begin()
        eve = self.broker.user("eve")
        others = self.follow("/api/activity", eve)
        seen, left = self.terminal(self.token), self.terminal(self.other)
        shells = self.shell(seen), self.shell(left)
        left.socket.close(1001)
        activity = self.follow("/api/activity", self.token)
        run = self.follow("/api/exec", self.other, {"command": "echo $$; exec sleep 1000"})
        pid = int(next(run)[2]["text"])
        self.remove()
        self.sent_away(seen, "its user removed")
        for each in *shells, pid:
            self.gone(each)
        self.assertEqual([told["error"] for _, _, told in run], ["unauthorized"])
        list(activity)
        self.broker.machine(eve, "hers")
        self.assertEqual([next(others)[2]["kind"] for _ in range(2)], ["enroll", "join"])


class Expired(Case):
    def setUp(self):
        super().setUp()
        self.key = Key(self.dir, "ES256", "key")
        self.issuer = self.server(Issuer(self.key))
        self.begin("--oidc-issuer", self.issuer.url)
        self.long = self.jwt(300)
        self.broker.machine(self.long, "theirs")

    def jwt(self, life):
        return self.key.token(self.issuer.claims("user_1", exp=int(time.time()) + life))

    def test_what_it_has_opened(self):
        """A terminal waits for who comes back with another token, and what was asked for once is answered."""
        flag = os.path.join(self.dir, "flag")
        replies = []
        short = self.jwt(LIFE - 60)
        terminal = self.terminal(short)
        shell = self.shell(terminal)
        activity = self.follow("/api/activity", short)
        run = self.follow("/api/exec", short, {"command": "echo $$; exec sleep 1000"})
        pid = int(next(run)[2]["text"])
        once = {"command": f"while [ ! -e {flag} ]; do sleep 0.1; done; echo done"}
        asking = threading.Thread(target=lambda: replies.append(
            self.broker.ask("POST", "/api/exec", short, once, timeout=3 * DEADLINE)))
        asking.start()
        until(lambda: self.outcomes("exec", self.long) == [None, None], "both commands")

        self.sent_away(terminal, "expired")
        self.assertEqual([told["error"] for _, _, told in run], ["unauthorized"])
        self.gone(pid)
        list(activity)
        self.assertEqual(self.broker.ask("GET", "/api/me", short).status, 401)
        again = self.terminal(self.long, f"?session={terminal.session}")
        self.assertEqual(self.shell(again), shell)
        with open(flag, "w"):
            pass
        asking.join()
        self.assertEqual((replies[0].status, replies[0].json["stdout"]), (200, "done\n"))
