"""The broker as its owner and its users see it, before any agent has joined."""

import hashlib
import os
import re
import socket
import stat
from datetime import datetime, timedelta

from broker import Broker
from harness import *
from machine import owner

KEY = "ab" * 32


class Start(TestCase):
    def test_says_how_to_go_on(self):
        broker = Broker(self)
        until(lambda: len(broker.program.lines) >= 3, "its lines")
        text = broker.program.text()
        self.assertIn(f"berth broker: {broker.url}, state in {broker.state}", text)
        self.assertIn("berth broker user add NAME", text)
        self.assertEqual(broker.stop(), 0)

    def test_its_state_is_its_own(self):
        broker = Broker(self)
        broker.user("ann")
        self.assertEqual(stat.S_IMODE(os.stat(broker.state).st_mode), 0o700)
        for name in os.listdir(broker.state):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(broker.state, name)).st_mode), 0o600, name)

    def test_one_broker_for_a_state(self):
        broker = Broker(self)
        done = self.berth("broker", "--state", broker.state, "--listen", f"127.0.0.1:{free_port()}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("broker.db", done.stderr)
        self.assertEqual(broker.ask("GET", "/healthz").body, b"ok\n")

    def test_a_port_that_is_taken(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
            s.listen()
            done = self.berth("broker", "--state", os.path.join(self.dir, "s"), "--listen", f"127.0.0.1:{port}")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, f"127.0.0.1:{port}: Address (already )?in use")

    def test_beyond_loopback_only_with_tls(self):
        done = self.berth("broker", "--state", os.path.join(self.dir, "s"), "--listen", "0.0.0.0:0")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"in the clear.*--insecure-http")
        self.assertFalse(os.path.exists(os.path.join(self.dir, "s")))

    def test_usage_errors(self):
        for words, says in (
                (["--limit", "exec=0:1"], "--limit exec=0:1"),
                (["--limit", "more=1:1"], "--limit more=1:1"),
                (["--tls-cert", "x"], "one does not go without the other"),
                (["--listen", "nowhere"], "--listen nowhere"),
                (["--url", "ftp://x"], "--url ftp://x"),
                (["user", "add"], "berth broker user add"),
                (["user", "frob", "ann"], "berth broker user add"),
                (["token", "ann", "--days", "0"], "--days 0"),
                (["token", "ann", "frob"], "token NAME list or"),
                (["token", "ann", "revoke"], "token NAME revoke ID"),
                (["token", "ann", "list", "x"], "token NAME list or"),
                (["a", "b", "c", "d", "e"], "what is e?")):
            done = self.berth("broker", *words, "--state", os.path.join(self.dir, "s"))
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(says, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_no_broker_here(self):
        done = self.berth("broker", "user", "list", "--state", os.path.join(self.dir, "s"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("no broker runs here", done.stderr)

    def processes(self, broker):
        children = [pid for pid in each_process() if parent(pid) == broker.program.pid]
        self.assertEqual(len(children), 1)
        return broker.program.pid, children[0]

    def status(self, pid):
        with open(f"/proc/{pid}/status") as file:
            return {name: value.strip() for name, value in (line.split(":", 1) for line in file)}

    @root_only
    def test_gives_up_what_it_can(self):
        """The front is nobody's uid without any capability or group; it has no new privileges, and a filter."""
        broker = Broker(self, start=False)
        broker.start(extra_groups=[4, 27])
        front, keeper = self.processes(broker)
        self.assertTrue(61184 <= owner(front) <= 65519, owner(front))
        self.assertEqual(owner(keeper), 0)
        self.assertEqual(os.stat(broker.state).st_uid, owner(front))
        status = self.status(front)
        for name in "CapEff", "CapPrm":
            self.assertEqual(int(status[name], 16), 0)
        self.assertEqual(self.status(keeper)["Groups"], "4 27")
        self.assertEqual(status["Groups"], "")
        if "asan" not in self.world.source:
            self.assertEqual(status["Seccomp"], "2")
        broker.stop()
        broker.start()
        self.assertEqual(owner(broker.program.pid), os.stat(broker.state).st_uid)
        self.assertEqual(broker.admin("user", "list"), "")

    def test_front_and_keeper_end_together(self):
        broker = Broker(self)
        front, keeper = self.processes(broker)
        broker.kill()
        until(lambda: state(keeper) in ("Z", None), "end of the keeper")
        broker.start()
        front, keeper = self.processes(broker)
        end([keeper])
        self.assertEqual(broker.program.wait(), 1)
        self.assertIn("the keeper has ended", broker.program.text())


class Users(TestCase):
    def test_add_list_remove(self):
        broker = Broker(self)
        for name in "bob", "ann", "Carla.2":
            broker.admin("user", "add", name)
        self.assertEqual(broker.admin("user", "list").split(), ["Carla.2", "ann", "bob"])
        for words, says in ((["user", "add", "ann"], "there is a user of that name"),
                            (["user", "add", "a/b"], "a user's name has"),
                            (["user", "remove", "eve"], "there is no such user"),
                            (["token", "eve"], "there is no such user")):
            done = self.berth("broker", *words, "--state", broker.state)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn(says, done.stderr)
        broker.admin("user", "remove", "ann")
        self.assertEqual(broker.admin("user", "list").split(), ["Carla.2", "bob"])

    def test_a_token_proves_its_user(self):
        broker = Broker(self)
        ann, bob = broker.user("ann"), broker.user("bob")
        self.assertRegex(ann, r"^berth_[\w-]{43}$")
        self.assertEqual(broker.ask("GET", "/api/me", ann).json["user"], "ann")
        self.assertEqual(broker.ask("GET", "/api/me", bob).json["user"], "bob")
        broker.admin("user", "remove", "ann")
        self.assertEqual(broker.ask("GET", "/api/me", ann).status, 401)
        broker.admin("user", "add", "ann")  # another one of that name
        self.assertEqual(broker.ask("GET", "/api/me", ann).status, 401)

    def test_tokens_are_listed_and_revoked(self):
        broker = Broker(self)
        first, bob = broker.user("ann"), broker.user("bob")
        second = broker.admin("token", "ann", "--days", "1")
        row = re.compile(r"([0-9a-f]{12})  made (\S+Z)  expires (\S+Z)")
        rows = {}
        for line in broker.admin("token", "ann", "list").splitlines():
            found, made, expires = row.fullmatch(line).groups()
            rows[found] = datetime.fromisoformat(expires[:-1]) - datetime.fromisoformat(made[:-1])
        mine = hashlib.sha256(first.encode()).hexdigest()[:12]
        other = hashlib.sha256(second.encode()).hexdigest()[:12]
        self.assertEqual(rows, {mine: timedelta(days=90), other: timedelta(days=1)})

        for words, says in ((["bob", "revoke", mine], "the user has no token of that id"),
                            (["ann", "revoke", "0" * 12], "the user has no token of that id"),
                            (["eve", "revoke", mine], "there is no such user"),
                            (["eve", "list"], "there is no such user")):
            done = self.berth("broker", "token", *words, "--state", broker.state)
            self.assertEqual((done.returncode, done.stdout), (1, ""), words)
            self.assertIn(says, done.stderr)
        self.assertEqual(broker.admin("token", "ann", "revoke", mine), "")
        self.assertEqual([broker.ask("GET", "/api/me", token).status for token in (first, second, bob)],
                         [401, 200, 200])
        self.assertEqual(broker.admin("token", "ann", "list").split()[0], other)
        broker.admin("token", "ann", "revoke", other[:8])
        done = self.berth("broker", "token", "ann", "list", "--state", broker.state)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertIn("the user has no token", done.stderr)

    def test_a_token_is_kept_as_a_hash(self):
        broker = Broker(self)
        token = broker.user("ann").encode()
        broker.stop()
        for name in os.listdir(broker.state):
            path = os.path.join(broker.state, name)
            if stat.S_ISREG(os.stat(path).st_mode):
                with open(path, "rb") as file:
                    self.assertNotIn(token[6:], file.read(), name)

    def test_survives_a_restart(self):
        broker = Broker(self)
        token = broker.user("ann")
        broker.kill()
        broker.start()
        self.assertEqual(broker.ask("GET", "/api/me", token).json["user"], "ann")

    @root_only
    def test_the_control_socket_is_its_owners(self):
        broker = Broker(self)
        user = self.user()
        done = user.run(self.berth_path, "broker", "user", "list", "--state", broker.state)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Permission denied", done.stderr)


class Http(TestCase):
    def setUp(self):
        super().setUp()
        self.broker = Broker(self)
        self.token = self.broker.user("ann")

    def refused(self, reply, status, error):
        self.assertEqual((reply.status, reply.json["error"]), (status, error), reply)
        self.assertTrue(reply.json["message"])
        self.assertEqual(reply.headers["Content-Type"], "application/json")
        self.assertEqual(reply.headers["Cache-Control"], "no-store")

    def test_who_proves_nothing(self):
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {self.token}"},
                        {"Authorization": f"Bearer {self.token[:-1]}"}, {"Cookie": "berth=x"},
                        {"Cookie": f"other={self.token}"}):
            reply = self.broker.ask("GET", "/api/me", headers=headers)
            self.refused(reply, 401, "unauthorized")
            self.assertEqual(reply.headers["WWW-Authenticate"], 'Bearer realm="berth"')

    def test_what_is_not_there(self):
        ask = self.broker.ask
        self.refused(ask("GET", "/api/nothing", self.token), 404, "not_found")
        self.refused(ask("GET", "/api/me/", self.token), 404, "not_found")
        self.refused(ask("DELETE", "/api/agents/a/b", self.token), 404, "not_found")
        self.refused(ask("PUT", "/api/me", self.token), 405, "method_not_allowed")
        self.refused(ask("OPTIONS", "/api/me", headers={"Origin": "http://evil.example"}), 405,
                     "method_not_allowed")
        self.refused(ask("DELETE", "/api/agents/nobody", self.token), 404, "not_found")

    def test_bodies(self):
        def enroll(body, **more):
            return self.broker.ask("POST", "/api/agent/enroll", body=body, **more)

        good = {"code": "AAAA-AAAA", "name": "x", "public_key": KEY}
        self.refused(enroll(good), 401, "unauthorized")
        for body in b"", b"[]", b"{", b"nonsense", b'"text"':
            self.refused(enroll(body), 400, "invalid_request")
        for name in good:
            self.refused(enroll({k: v for k, v in good.items() if k != name}), 400, "invalid_request")
            self.refused(enroll({**good, name: 7}), 400, "invalid_request")
        self.refused(enroll({**good, "public_key": KEY[:-1]}), 400, "invalid_request")
        self.refused(enroll(b"{" + b" " * (1 << 20)), 413, "payload_too_large")

    def test_a_session_of_a_browser(self):
        ask = self.broker.ask
        self.refused(ask("POST", "/api/session", body={"token": "berth_" + "x" * 43}), 401, "unauthorized")
        reply = ask("POST", "/api/session", body={"token": self.token})
        self.assertEqual((reply.status, reply.json), (200, {"user": "ann"}))
        cookie = reply.headers["Set-Cookie"]
        self.assertRegex(cookie, "^berth=[^;]+; Path=/; HttpOnly; SameSite=Strict; Max-Age=\\d+$")
        mine = {"Cookie": "a=b; " + cookie.partition(";")[0] + "; c=d"}
        self.assertEqual(ask("GET", "/api/me", headers=mine).json["user"], "ann")
        gone = ask("DELETE", "/api/session", headers=mine)
        self.assertEqual(gone.status, 204)
        self.assertIn("berth=;", gone.headers["Set-Cookie"])
        self.assertIn("Max-Age=0", gone.headers["Set-Cookie"])

    def test_a_cookie_counts_from_our_own_page_alone(self):
        host = f"127.0.0.1:{self.broker.port}"

        def code(**headers):
            more = {name.replace("_", "-"): value for name, value in headers.items()}
            return self.broker.ask("POST", "/api/agent/code", headers={"Cookie": f"berth={self.token}", **more})

        self.assertEqual(code(Origin=f"http://{host}").status, 200)
        self.assertEqual(code().status, 200)
        self.assertEqual(code(Sec_Fetch_Site="same-origin").status, 200)
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"http://{host}0"},
                        {"Origin": f"http://evil.example/{host}"}, {"Sec_Fetch_Site": "cross-site"},
                        {"Sec_Fetch_Site": "same-site"}):
            self.refused(code(**headers), 403, "forbidden")

    def test_codes(self):
        reply = self.broker.ask("POST", "/api/agent/code", self.token).json
        self.assertRegex(reply["code"], r"^[A-Z2-9]{4}-[A-Z2-9]{4}$")
        self.assertRegex(reply["expiresAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(reply["command"], f"curl -fsS {self.broker.url}/install.sh | sh -s -- {reply['code']}")
        enrolled = self.broker.ask("POST", "/api/agent/enroll",
                                   body={"code": reply["code"].lower(), "name": "box", "public_key": KEY})
        self.assertEqual((enrolled.json["agent"], enrolled.json["user"]), ("box", "ann"))
        agents = self.broker.ask("GET", "/api/agents", self.token).json["agents"]
        self.assertEqual([(a["name"], a["connected"], a["since"]) for a in agents], [("box", False, None)])
        self.assertEqual(self.broker.ask("DELETE", "/api/agents/box", self.token).status, 204)
        self.assertEqual(self.broker.ask("GET", "/api/agents", self.token).json, {"agents": []})

    def test_limits(self):
        broker = Broker(self, "--limit", "default=1:5,nobody=1:3")
        ann, bob = broker.user("ann"), broker.user("bob")
        for _ in range(5):
            self.assertEqual(broker.ask("GET", "/api/me", ann).status, 200)
        reply = broker.ask("GET", "/api/me", ann)
        self.refused(reply, 429, "rate_limited")
        self.assertRegex(reply.headers["Retry-After"], r"^[1-6]?\d$")
        self.assertEqual(broker.ask("GET", "/api/me", bob).status, 200)
        statuses = [broker.ask("GET", "/api/me", "wrong").status for _ in range(4)]
        self.assertEqual(statuses, [401, 401, 401, 429])

    def test_the_page(self):
        reply = self.broker.ask("GET", "/", headers={"Accept-Encoding": "gzip"})
        self.assertEqual((reply.status, reply.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", reply.headers["Content-Security-Policy"])
        self.assertEqual(self.broker.ask("GET", "/?x=1", headers={"Accept-Encoding": "gzip"}).body, reply.body)
        self.assertEqual(self.broker.ask("GET", "/page/nothing").status, 404)

    def test_browsers_cannot_join(self):
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        reply = self.broker.ask("GET", "/api/bridge?type=agent", headers={**upgrade, "Origin": self.broker.url})
        self.refused(reply, 403, "forbidden")
        self.assertIn(self.broker.ask("GET", "/api/bridge?type=agent").status, (400, 426))


class Download(TestCase):
    def test_berth_itself(self):
        broker = Broker(self)
        arch = os.uname().machine
        reply = broker.ask("GET", f"/api/agent/download?arch={arch}")
        with open(self.berth_path, "rb") as file:
            binary = file.read()
        self.assertTrue(reply.body == binary)
        self.assertEqual(reply.headers["X-Berth-Sha256"], hashlib.sha256(binary).hexdigest())
        head = broker.ask("HEAD", f"/api/agent/download?arch={arch}")
        self.assertEqual((head.status, head.headers["Content-Length"], head.body), (200, str(len(binary)), b""))
        self.assertEqual(broker.ask("GET", "/api/agent/download?arch=vax").status, 404)
        self.assertEqual(broker.ask("GET", "/api/agent/download").status, 400)

    def test_the_script(self):
        broker = Broker(self, "--url", "https://berth.example/base")
        script = broker.ask("GET", "/install.sh", headers={"Host": "evil.example"})
        self.assertIn(b"https://berth.example/base", script.body)
        self.assertNotIn(b"evil", script.body)
        token = broker.user("ann")
        self.assertIn("https://berth.example/base/install.sh",
                      broker.ask("POST", "/api/agent/code", token).json["command"])


class Removed(TestCase):
    def test_a_users_agents_go_with_the_user(self):
        broker = Broker(self)
        ann, bob = broker.user("ann"), broker.user("bob")
        agents = {}
        for token, name in ((ann, "a"), (bob, "b")):
            agents[name] = self.start(self.berth_path, "agent", "--join", broker.url, "--code", broker.code(token),
                                      "--name", name, env=self.env(XDG_CONFIG_HOME=os.path.join(self.dir, name)))
            broker.await_agent(token, name)
        broker.admin("user", "remove", "ann")
        self.assertEqual(agents["a"].wait(), 1)
        self.assertEqual(broker.ask("GET", "/api/agents", ann).status, 401)
        self.assertEqual(set(broker.agents(bob)), {"b"})
        broker.admin("user", "add", "ann")  # another one: inherits nothing
        self.assertEqual(broker.ask("GET", "/api/agents", broker.token("ann")).json, {"agents": []})
