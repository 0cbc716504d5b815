"""What must hold of a broker, each attack by its name: from other users, from their agents, from browsers, from
whoever has a socket."""

import json
import os
import random
import secrets
import socket
import struct
import subprocess
import threading

from bridge_peer import DATA, FIN, RST, SYN, Key, Peer, frame, message
from broker import Broker
from harness import *
from websocket import Closed, Refused, WebSocket

RESULT = {"exit_code": 0, "stderr": ""}


class Case(TestCase):
    limits = "none"

    def setUp(self):
        super().setUp()
        self.broker = Broker(self, "--limit", self.limits)
        self.ann, self.bob = self.broker.user("ann"), self.broker.user("bob")

    def enrol(self, token, name="box"):
        key = Key(self.dir)
        reply = self.enrol_with(self.broker.code(token), key, name)
        self.assertEqual(reply.status, 200, reply)
        return key

    def enrol_with(self, code, key, name="box"):
        return self.broker.ask("POST", "/api/agent/enroll",
                               body={"code": code, "public_key": key.public.hex(), "name": name})

    def joined(self, token, name="box"):
        """A peer that has joined for that user."""
        key = self.enrol(token, name)
        peer = Peer(self.broker)
        self.assertEqual(peer.join(key)["type"], "Joined")
        self.broker.await_agent(token, name)
        return peer

    def agent(self, token, name="box"):
        """The real one."""
        started = self.start(self.berth_path, "agent", "--join", self.broker.url, "--code", self.broker.code(token),
                             "--name", name, env=self.env(XDG_CONFIG_HOME=os.path.join(self.dir, name)))
        self.broker.await_agent(token, name)
        return started

    def exec(self, token, command, **more):
        return self.broker.ask("POST", "/api/exec", token, {"command": command, **more}, timeout=DEADLINE)

    def later(self, token, command):
        """The same in a thread: where its answer will be, once that was joined."""
        replies = []
        thread = threading.Thread(target=lambda: replies.append(self.exec(token, command)))
        thread.start()
        return thread, replies

    def trail(self, token):
        return self.broker.ask("GET", "/api/activity", token).json["activity"]

    def alive(self):
        """Nothing of it was harmed."""
        self.assertEqual(self.broker.ask("GET", "/healthz").body, b"ok\n")
        self.assertIsNone(self.broker.program.process.poll())
        self.assertEqual(self.broker.ask("GET", "/api/me", self.ann).json["user"], "ann")

    def refused(self, reply, status, error):
        self.assertEqual((reply.status, reply.json["error"]), (status, error), reply)


class OtherUsers(Case):
    def test_bs_token_on_as_agent(self):
        """By name, without one, by every way there is."""
        self.agent(self.ann)
        self.refused(self.exec(self.bob, "id"), 409, "agent_not_connected")
        self.refused(self.exec(self.bob, "id", agent="box"), 409, "agent_not_connected")
        for path in "/api/files?path=/etc/hostname&agent=box", "/api/files?path=/etc/hostname":
            self.refused(self.broker.ask("GET", path, self.bob), 409, "agent_not_connected")
            self.refused(self.broker.ask("PUT", path, self.bob, b"x"), 409, "agent_not_connected")
        for path in "/api/exec?agent=box", "/api/terminal?agent=box":
            with self.assertRaises(Refused) as refused:
                WebSocket(self.broker.port, path, {"Authorization": f"Bearer {self.bob}"})
            self.assertEqual(refused.exception.status, 409)
        self.refused(self.broker.ask("DELETE", "/api/agents/box", self.bob), 404, "not_found")
        self.assertEqual(self.broker.ask("GET", "/api/agents", self.bob).json, {"agents": []})
        self.assertEqual(self.trail(self.bob), [])
        self.assertEqual(self.exec(self.ann, "echo mine").json["stdout"], "mine\n")

    def test_a_name_that_says_who_one_is(self):
        """Nothing but the token does, whatever else is sent along."""
        self.agent(self.ann)
        ann = self.broker.ask("GET", "/api/me", self.ann).json["user"]
        for headers in {"X-User": ann}, {"X-User-Id": ann}, {"Cookie": f"user={ann}"}, {"X-Forwarded-User": ann}:
            reply = self.broker.ask("POST", "/api/exec", self.bob, {"command": "id", "user": ann, "userId": ann},
                                    headers)
            self.refused(reply, 409, "agent_not_connected")
            self.assertEqual(self.broker.ask("GET", f"/api/me?userId={ann}", self.bob, headers=headers).json["user"],
                             "bob")

    def test_names_that_lead_elsewhere(self):
        self.agent(self.ann)
        self.assertEqual(self.exec(self.ann, "true").status, 200)
        for name in "../box", "ann/box", "%2e%2e/box", "box/", "*", "box\n", "box ":
            self.refused(self.exec(self.bob, "id", agent=name), 409, "agent_not_connected")
        rows = self.trail(self.ann)
        for before in "../ann", "%2e%2e%2f", "0" * 15 + "/":
            self.refused(self.broker.ask("GET", f"/api/activity?before={before}", self.bob), 400, "invalid_request")
        reply = self.broker.ask("GET", f"/api/activity?before={rows[0]['id']}", self.bob)
        self.assertEqual(reply.json, {"activity": []})


class Agents(Case):
    def test_a_forged_user_id(self):
        """userId is only held against what the key has proven."""
        key = self.enrol(self.bob)
        answer = Peer(self.broker, "&userId=ann").join(key)
        self.assertEqual((answer["type"], answer["code"]), ("Error", "PermissionDenied"))
        self.assertEqual(self.broker.agents(self.ann), {})
        self.assertEqual(self.broker.agents(self.bob), {})
        self.assertEqual(Peer(self.broker, "&userId=bob").join(key), {"type": "Joined", "user": "bob", "agent": "box"})

    def test_a_replayed_signature(self):
        """Good on its own connection, it is nothing on the next one, also while that one lasts."""
        key = self.enrol(self.ann)
        first = Peer(self.broker)
        signature = first.signature(key)
        self.assertEqual(first.join(key, signature)["type"], "Joined")
        second = Peer(self.broker)
        self.assertNotEqual(second.nonce, first.nonce)
        self.assertEqual(second.join(key, signature)["code"], "PermissionDenied")
        self.assertEqual(set(self.broker.agents(self.ann)), {"box"})

    def test_a_signature_for_another_broker(self):
        key = self.enrol(self.ann)
        peer = Peer(self.broker)
        answer = peer.join(key, peer.signature(key, url="https://evil.example"))
        self.assertEqual(answer["code"], "PermissionDenied")

    def test_another_devices_name(self):
        """Bob's key cannot say that it is ann's device."""
        ann, bob = self.enrol(self.ann), self.enrol(self.bob)
        peer = Peer(self.broker)
        bob.device = ann.device
        self.assertEqual(peer.join(bob)["code"], "PermissionDenied")

    def test_a_stolen_code_used_twice(self):
        code = self.broker.code(self.ann)
        self.assertEqual(self.enrol_with(code, Key(self.dir)).status, 200)
        thief = Key(self.dir)
        self.refused(self.enrol_with(code, thief, "thief"), 401, "unauthorized")
        self.assertEqual(Peer(self.broker).join(thief)["code"], "PermissionDenied")
        self.assertEqual([a["name"] for a in self.broker.ask("GET", "/api/agents", self.ann).json["agents"]], ["box"])

    def test_a_code_that_many_use_at_once(self):
        code, statuses = self.broker.code(self.ann), []
        keys = [Key(self.dir) for _ in range(8)]
        threads = [threading.Thread(target=lambda i=i: statuses.append(
            self.enrol_with(code, keys[i], f"box{i}").status)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(statuses), [200] + [401] * 7)

    def test_a_key_that_is_anothers(self):
        key = self.enrol(self.ann)
        self.refused(self.enrol_with(self.broker.code(self.bob), key, "mine"), 409, "conflict")
        self.assertEqual(Peer(self.broker).join(key)["user"], "ann")

    def test_an_answer_to_a_request_that_went_to_another_connection(self):
        """Bob's agent answers all that it was never asked; ann's answer is from ann's."""
        ann, bob = self.joined(self.ann), self.joined(self.bob)
        thread, replies = self.later(self.ann, "whoami")
        stream, asked = ann.next_message()
        self.assertEqual((asked["type"], asked["command"]), ("Exec", "whoami"))
        forged = message("ExecResult", stdout="bob was here", **RESULT)
        try:
            for guess in range(1, 64):
                bob.send_data(guess, forged, FIN)
                bob.send_data(guess, forged, SYN | FIN)
        except OSError:
            pass  # that is no way to behave: the connection may be over
        self.alive()
        ann.send_data(stream, message("ExecResult", stdout="ann", **RESULT))
        thread.join()
        self.assertEqual((replies[0].status, replies[0].json["stdout"]), (200, "ann"))

    def test_an_answer_after_the_request_is_over(self):
        """It is nobody's then, not the next one's."""
        peer = self.joined(self.ann)
        late = []
        for number in range(3):
            thread, replies = self.later(self.ann, f"echo {number}")
            stream, asked = peer.next_message()
            self.assertEqual(asked["command"], f"echo {number}")
            for old in late:
                peer.send_data(old, message("ExecResult", stdout="late", **RESULT))
            peer.send_data(stream, message("ExecResult", stdout=f"{number}", **RESULT))
            late.append(stream)
            thread.join()
            self.assertEqual(replies[0].json["stdout"], f"{number}")

    def test_a_device_that_was_revoked(self):
        key = self.enrol(self.ann)
        peer = Peer(self.broker)
        peer.join(key)
        self.broker.await_agent(self.ann, "box")
        self.assertEqual(self.broker.ask("DELETE", "/api/agents/box", self.ann).status, 204)
        with self.assertRaises((Closed, OSError)):
            while True:
                peer.next_message()
        self.assertEqual(Peer(self.broker).join(key)["code"], "PermissionDenied")

    def test_an_agent_that_opens_streams(self):
        """Only the broker asks: there is nothing that an agent could ask of it."""
        peer = self.joined(self.bob)
        peer.send_data(1, message("Exec", command="touch /tmp/never"), SYN)
        self.alive()
        thread, replies = self.later(self.bob, "echo")
        stream, _ = peer.next_message()
        peer.send_data(stream, message("ExecResult", stdout="x", **RESULT))
        thread.join()
        self.assertEqual(replies[0].status, 200)

    def test_answers_that_are_none(self):
        """An error for who has asked, whatever the agent says."""
        peer = self.joined(self.ann)
        answers = [b"\0\0\0\0", b"\xff\xff\xff\xff", frame(b"{"), frame(b"x" * 100), message("Pong"), message("Exec"),
                   message("ExecResult"), message("ExecResult", exit_code="0", stdout=[], stderr={}),
                   frame(b'{"type":"ExecResult"' + b"[" * 5000), message("Error", code=7, message=7),
                   secrets.token_bytes(1000)]
        for answer in answers:
            thread, replies = self.later(self.ann, "id")
            stream, _ = peer.next_message()
            peer.send_data(stream, answer, FIN)
            thread.join()
            self.assertEqual(replies[0].status, 502, replies[0])
            self.assertIn(replies[0].json["error"], ("agent_error", "agent_disconnected"))
        self.alive()


class Browsers(Case):
    def test_a_cross_origin_request(self):
        """With the user's cookie, from another site: what changes something is refused, and nothing is readable."""
        self.agent(self.ann)
        cookie = {"Cookie": f"berth={self.ann}"}
        evil = {**cookie, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        asked = [("POST", "/api/exec", {"command": "id"}), ("POST", "/api/agent/code", None),
                 ("DELETE", "/api/agents/box", None), ("PUT", "/api/files?path=/tmp/x", b"x")]
        for method, path, body in asked:
            self.refused(self.broker.ask(method, path, body=body, headers=evil), 403, "forbidden")
            self.refused(self.broker.ask(method, path, body=body, headers={**cookie, "Origin": "null"}), 403,
                         "forbidden")
        for path in "/api/terminal", "/api/exec":
            with self.assertRaises(Refused) as refused:
                WebSocket(self.broker.port, path, evil)
            self.assertEqual(refused.exception.status, 403)
        for method, path in ("GET", "/api/me"), ("OPTIONS", "/api/exec"), ("GET", "/api/agents"):
            reply = self.broker.ask(method, path, headers=evil)
            self.assertEqual([name for name in reply.headers if name.lower().startswith("access-control")], [])
        self.assertEqual([row for row in self.trail(self.ann) if row["kind"] == "exec"], [])
        own = {**cookie, "Origin": self.broker.url, "Sec-Fetch-Site": "same-origin"}
        self.assertEqual(self.broker.ask("POST", "/api/exec", body={"command": "true"}, headers=own).status, 200)

    def test_a_form_of_another_site(self):
        """As text, which needs no preflight."""
        self.agent(self.ann)
        headers = {"Cookie": f"berth={self.ann}", "Content-Type": "text/plain", "Origin": "https://evil.example"}
        self.refused(self.broker.ask("POST", "/api/exec", body=b'{"command":"id","x":"="}', headers=headers), 403,
                     "forbidden")


class Sessions(TestCase):
    """What a browser sends along that another site made ask."""

    def setUp(self):
        super().setUp()
        self.broker = Broker(self)
        self.token = self.broker.user("ann")

    def sign_in(self, **headers):
        """As a form does it, which needs nobody's leave: <form enctype=text/plain>."""
        body = b'{"token": "%s", "x": "="}\r\n' % self.token.encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.broker.ask("POST", "/api/session", body=body, headers={"Content-Type": "text/plain", **headers})

    def test_signs_nobody_in_elsewhere(self):
        """Who was signed in as the attacker would join their machines for them."""
        own = self.broker.url
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": own + "0"},
                        {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}):
            reply = self.sign_in(**headers)
            self.assertEqual((reply.status, reply.json["error"]), (403, "forbidden"), headers)
            self.assertNotIn("Set-Cookie", reply.headers)
        for headers in {}, {"Origin": own}, {"Sec_Fetch_Site": "same-origin"}:
            self.assertIn("Set-Cookie", self.sign_in(**headers).headers)

    def test_signs_nobody_out_elsewhere(self):
        self.assertEqual(self.broker.ask("DELETE", "/api/session", headers={"Origin": "http://evil.example"}).status,
                         403)
        self.assertEqual(self.broker.ask("DELETE", "/api/session", headers={"Origin": self.broker.url}).status, 204)

    def test_http_is_another_site_than_https(self):
        """Whoever stands in between can be http://HOST, though not https://HOST."""
        broker = Broker(self, "--url", "https://broker.example")
        cookie = {"Cookie": f"__Host-berth={broker.user('ann')}", "Host": "broker.example"}
        for scheme, status in ("http", 403), ("https", 200):
            reply = broker.ask("POST", "/api/agent/code", body={},
                               headers={**cookie, "Origin": f"{scheme}://broker.example"})
            self.assertEqual(reply.status, status, reply)


class Malformed(Case):
    def throw(self, data):
        """All of it at the broker; what came back."""
        with socket.create_connection(("127.0.0.1", self.broker.port), timeout=DEADLINE) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: s.recv(65536), b""))
            except (ConnectionResetError, BrokenPipeError):
                return b""

    def test_http(self):
        token = f"Authorization: Bearer {self.ann}\r\n".encode()
        host = b"Host: x\r\n"
        for data in (
                b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10000 + b"\r\n", b"GET / HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + host + host + b"\r\n",
                b"POST /api/exec HTTP/1.1\r\n" + host + token + b"Content-Length: -1\r\n\r\n",
                b"POST /api/exec HTTP/1.1\r\n" + host + token + b"Content-Length: 99999999999999999999\r\n\r\n",
                b"POST /api/exec HTTP/1.1\r\n" + host + token + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
                b"POST /api/exec HTTP/1.1\r\n" + host + token +
                b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
                b"POST /api/exec HTTP/1.1\r\n" + host + token + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
                b"GET /api/me HTTP/1.1\r\n" + host + b"Authorization: Bearer " + b"x" * 8000 + b"\r\n\r\n",
                b"GET /api/me HTTP/1.1\r\n" + host + b"Cookie: " + b"berth=;" * 1000 + b"\r\n\r\n",
                b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\n" + host + b"\r\n"):
            answer = self.throw(data)
            self.assertRegex(answer[:13], rb"^(HTTP/1.1 4..|$)", data[:100])
            self.assertNotIn(b"root:", answer)
        self.alive()

    def test_json(self):
        for body in (b"", b"\xff\xfe", b"[" * 100000, b'{"command":' * 50000, b'{"command":"\\ud800"}',
                     b'{"command":"\0"}',
                     b'{"command":1e9999}', b"nul", b'{"command":"id"' + b" " * (1 << 20)):
            reply = self.broker.ask("POST", "/api/exec", self.ann, body)
            self.assertIn((reply.status, reply.json["error"]),
                          ((400, "invalid_request"), (413, "payload_too_large")), body[:50])
        self.alive()

    def test_websockets(self):
        """To the bridge, which anybody can reach."""
        for data in (b"\x82\x05hello", b"\xff" * 100, b"\x82\xff" + b"\xff" * 12, b"\x81\x85aaaa\xff\xff\xff\xff\xff",
                     b"\x89\xfe\x01\x00aaaa" + b"a" * 256, b"\x80\x80aaaa", secrets.token_bytes(5000)):
            peer = Peer(self.broker)
            peer.socket.socket.sendall(data)
            with self.assertRaises((Closed, OSError, struct.error, AssertionError)):
                while True:
                    peer.next_message()
        self.alive()

    def test_yamux(self):
        rng = random.Random(7)
        key = self.enrol(self.bob)
        for joined in False, True:
            for number in range(40):
                peer = Peer(self.broker)
                if joined:
                    self.assertEqual(peer.join(key)["type"], "Joined")
                if number % 2:
                    peer.socket.send(rng.randbytes(rng.randrange(1, 2000)))
                else:
                    for _ in range(20):
                        peer.send(rng.randrange(5), rng.randrange(16), rng.randrange(6), rng.randrange(1 << 32))
                peer.socket.drop()
        peer = Peer(self.broker)
        peer.send(DATA, SYN | RST, 2, 0xffffffff)
        peer.socket.drop()
        self.alive()

    def test_exec_frames(self):
        """What is no ExecStream does not come near the agent."""
        peer = self.joined(self.ann)
        for data in (b"\0\0\0\0", b"\xff\xff\xff\xff", frame(b"{"), frame(b"\0x"), message("Exec", command="id"),
                     message("FileGet", path="/etc/shadow"), message("Dial", target="127.0.0.1:22"),
                     message("ExecBackground", command="id"), message("Ping")):
            ours = WebSocket(self.broker.port, "/api/exec", {"Authorization": f"Bearer {self.ann}"})
            ours.send(data)
            answer = b""
            with self.assertRaises(Closed):
                while True:
                    answer += ours.receive()
            self.assertEqual(json.loads(answer[4:])["code"], "InvalidRequest")
        ours = WebSocket(self.broker.port, "/api/exec", {"Authorization": f"Bearer {self.ann}"})
        ours.send(message("ExecStream", command="the only one"))
        _, asked = peer.next_message()
        self.assertEqual((asked["type"], asked["command"]), ("ExecStream", "the only one"))


class Limits(Case):
    limits = "exec=1:3,nobody=1:4"

    def test_by_user_with_retry_after(self):
        self.assertEqual([self.exec(self.ann, "id").status for _ in range(3)], [409] * 3)
        reply = self.exec(self.ann, "id")
        self.refused(reply, 429, "rate_limited")
        self.assertRegex(reply.headers["Retry-After"], r"^\d+$")
        for path in "/api/exec", "/api/terminal":
            with self.assertRaises(Refused) as refused:
                WebSocket(self.broker.port, path, {"Authorization": f"Bearer {self.ann}"})
            self.assertEqual(refused.exception.status, 429)
        self.assertEqual(self.exec(self.bob, "id").status, 409)
        self.assertEqual(self.broker.ask("GET", "/api/me", self.ann).status, 200)

    def test_guesses_of_a_code(self):
        statuses = [self.enrol_with("AAAA-AAAA", Key(self.dir)).status for _ in range(5)]
        self.assertEqual(statuses, [401] * 4 + [429])


class Networks(TestCase):
    ENTER = """ip link set lo up
        for a in 1:1::1 1:1::2 1:1::3 1:2::1; do ip address add 2001:db8:$a/64 dev lo nodad; done
        exec "$@" """

    @root_only
    def test_many_addresses_of_one_network(self):
        """Somebody with one IPv6 address has 2^64 of them."""
        broker = self.start("unshare", "--net", "sh", "-ec", self.ENTER, "sh", self.berth_path, "broker",
                            "--state", os.path.join(self.dir, "state"), "--limit", "nobody=1:3", "--insecure-http",
                            "--listen", "[2001:db8:1:1::1]:3000")
        broker.await_line(r"^berth broker: ")

        def ask(address):
            done = subprocess.run(["nsenter", "--net", "-t", str(broker.pid), "curl", "-sS", "-o", "/dev/null", "-w",
                                   "%{http_code}", "--noproxy", "*", "--interface", address,
                                   "http://[2001:db8:1:1::1]:3000/api/me"],
                                  capture_output=True, text=True, timeout=DEADLINE)
            return done.stdout or done.stderr

        self.assertEqual([ask(f"2001:db8:1:1::{n}") for n in (1, 2, 3, 1, 2, 3)], ["401"] * 3 + ["429"] * 3)
        self.assertEqual(ask("2001:db8:1:2::1"), "401")


class Audit(Case):
    def test_it_is_kept_before_it_starts(self):
        """The command's first act is the broker's death: what it was is in the trail all the same."""
        self.agent(self.ann)
        command = f"kill -9 {self.broker.program.pid}"
        with self.assertRaises(Exception):
            self.exec(self.ann, command)
        self.broker.program.process.wait()
        self.broker.start()
        rows = [row for row in self.trail(self.ann) if row["kind"] == "exec"]
        self.assertEqual([(row["what"], row["outcome"]) for row in rows], [(command, "interrupted")])

    def test_it_is_kept_with_its_outcome(self):
        self.agent(self.ann)
        self.exec(self.ann, "exit 7")
        row = self.trail(self.ann)[0]
        self.assertEqual((row["what"], row["outcome"], row["exitCode"], row["agent"]), ("exit 7", "failed", 7, "box"))
        self.assertEqual(self.trail(self.bob), [])


class Removed(TestCase):
    def test_a_code_goes_with_its_user(self):
        """Else the machine would join for nobody, and stay."""
        broker = Broker(self)
        ann, bob = broker.user("ann"), broker.user("bob")
        codes = [broker.code(ann), broker.code(ann), broker.code(bob)]
        broker.admin("user", "remove", "ann")
        answers = [broker.ask("POST", "/api/agent/enroll",
                              body={"code": code, "public_key": f"{i:064x}", "name": "x"}).status
                   for i, code in enumerate(codes)]
        self.assertEqual(answers, [401, 401, 200])
