"""openapi.json: what it says is what the broker does."""

import base64
import json
import os
import re
import socket
import sys
import threading

try:
    import jsonschema
except ImportError:  # Debian's package is another python's
    sys.path.append("/usr/lib/python3/dist-packages")
    import jsonschema

from broker import Broker
from harness import *

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
METHODS = ["get", "put", "post", "delete"]


def refs(node):
    """Every $ref below."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "$ref" else refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


class Described(TestCase):
    @classmethod
    def setUpClass(cls):
        with open(os.path.join(ROOT, "applets/broker/page/openapi.json")) as file:
            cls.api = json.load(file)

    def find(self, ref):
        node = self.api
        for part in ref.removeprefix("#/").split("/"):
            node = node[part.replace("~1", "/")]
        return node

    def resolved(self, node):
        return self.find(node["$ref"]) if "$ref" in node else node

    def operations(self):
        for path, item in self.api["paths"].items():
            for method in METHODS:
                if method in item:
                    yield method, path, item[method], item.get("parameters", []) + item[method].get("parameters", [])

    def validator(self, schema):
        return jsonschema.Draft202012Validator({**schema, "components": self.api["components"]},
                                               format_checker=jsonschema.FormatChecker())

    # ---- by itself ----

    def test_is_consistent(self):
        for ref in refs(self.api):
            self.find(ref)
        ids = [operation["operationId"] for _, _, operation, _ in self.operations()]
        self.assertEqual(len(ids), len(set(ids)))
        tags = {tag["name"] for tag in self.api["tags"]}
        for method, path, operation, parameters in self.operations():
            self.assertLessEqual(set(operation["tags"]), tags)
            named = {p["name"] for p in map(self.resolved, parameters) if p["in"] == "path"}
            self.assertEqual(named, set(re.findall(r"\{(\w+)\}", path)))
        for name, schema in self.api["components"]["schemas"].items():
            with self.subTest(name):
                jsonschema.Draft202012Validator.check_schema(schema)

    def test_has_every_route(self):
        """But for the page, and for what is not for users."""
        with open(os.path.join(ROOT, "applets/broker/routes.c")) as file:
            routes = set(re.findall(r'\{"([A-Z]+)", "([^"]+)"', file.read()))
        routes -= {("GET", "/"), ("GET", "/page/*"), ("GET", "/metrics")}
        described = {(method.upper(), re.sub(r"\{\w+\}", "*", path)) for method, path, _, _ in self.operations()}
        self.assertEqual(described, routes)

    # ---- against the broker ----

    def setUp(self):
        super().setUp()
        self.broker = Broker(self)
        self.token = self.broker.user("ann")
        self.called = set()

    def joined(self, name="box"):
        home = os.path.join(self.dir, name)
        os.mkdir(home)
        agent = self.start(self.berth_path, "agent", "--join", self.broker.url, "--code", self.broker.code(self.token),
                           "--name", name, env=self.env(HOME=home))
        self.broker.await_agent(self.token, name)
        return agent

    def check(self, method, path, reply):
        """An answer, against what is said of the operation."""
        said = self.api["paths"][path][method]["responses"]
        response = self.resolved(said.get(str(reply.status)) or said["default"])
        content = response.get("content", {})
        for name, header in response.get("headers", {}).items():
            self.validator(header["schema"]).validate(reply.headers[name])
        if not content:
            self.assertEqual(reply.body, b"")
            return
        kind = reply.headers["Content-Type"].split(";")[0]
        self.assertIn(kind, content)
        schema = content[kind].get("schema")
        if schema:
            self.validator(schema).validate(reply.json if kind == "application/json" else reply.body.decode())

    def call(self, method, path, status, query="", token="", **more):
        """Calls `path` as it is described: {name} is "box"."""
        token = self.token if token == "" else token
        reply = self.broker.ask(method.upper(), path.replace("{name}", "box") + query, token, **more)
        self.assertEqual(reply.status, status, reply)
        self.check(method, path, reply)
        self.called.add((method, path, str(status)))
        return reply

    def upgrade(self, path, status, query="", headers=()):
        """The status of a WebSocket's request, which has no further answer."""
        wanted = ["Host: a", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                  "Sec-WebSocket-Key: " + base64.b64encode(bytes(16)).decode(), f"Authorization: Bearer {self.token}"]
        with socket.create_connection(("127.0.0.1", self.broker.port), timeout=DEADLINE) as connection:
            connection.sendall("\r\n".join([f"GET {path}{query} HTTP/1.1", *wanted, *headers, "", ""]).encode())
            line = connection.makefile("rb").readline().decode()
        self.assertEqual(line.split()[1], str(status), line)
        self.called.add(("get", path, str(status)))

    def test_is_what_is_served(self):
        self.assertEqual(self.call("get", "/openapi.json", 200, token=None).json, self.api)

    def test_answers(self):
        """Each answer that is described by its status is given, and as described."""
        call, upgrade = self.call, self.upgrade
        call("get", "/openapi.json", 200, token=None)
        call("get", "/healthz", 200, token=None)
        call("get", "/install.sh", 200, token=None)
        call("post", "/api/session", 200, token=None, body={"token": self.token})
        call("post", "/api/session", 401, token=None, body={"token": "berth_" + "x" * 43})
        call("post", "/api/session", 400, token=None, body={})
        call("delete", "/api/session", 204, token=None)
        call("get", "/api/me", 200)
        call("get", "/api/me", 401, token=None)
        call("get", "/api/agents", 200)
        call("get", "/api/agents", 401, token=None)
        code = call("post", "/api/agent/code", 200).json["code"]
        call("post", "/api/agent/enroll", 401, token=None, body={"code": "AAAA-AAAA", "public_key": "ab" * 32, "name": "x"})
        call("post", "/api/agent/enroll", 200, token=None, body={"code": code, "public_key": "ab" * 32, "name": "other"})
        code = call("post", "/api/agent/code", 200).json["code"]
        call("post", "/api/agent/enroll", 409, token=None, body={"code": code, "public_key": "cd" * 32, "name": "other"})
        machine = os.uname().machine
        call("get", "/api/agent/download", 200, query=f"?arch={machine}", token=None)
        call("get", "/api/agent/download", 404, query="?arch=riscv64", token=None)
        call("get", "/api/agent/download", 400, token=None)

        # Without an agent.
        call("post", "/api/exec", 409, body={"command": "true"})
        call("get", "/api/files", 409, query="?path=/etc/hostname")
        call("put", "/api/files", 409, query="?path=/tmp/x", body=b"")
        upgrade("/api/exec", 409)
        upgrade("/api/terminal", 409)

        # With one.
        self.joined()
        found = {a["name"]: a for a in call("get", "/api/agents", 200).json["agents"]}
        self.assertEqual({name: a["connected"] for name, a in found.items()}, {"box": True, "other": False})
        result = call("post", "/api/exec", 200, body={"command": "echo out; echo err >&2; exit 3", "cwd": "/", "env": {"A": "b"}}).json
        self.assertEqual((result["exitCode"], result["stdout"], result["stderr"]), (3, "out\n", "err\n"))
        call("post", "/api/exec", 504, body={"command": "sleep 1000", "timeoutMs": 1})
        call("post", "/api/exec", 400, body={"command": 1})
        path = os.path.join(self.dir, "file")
        call("put", "/api/files", 204, query=f"?path={path}", body=b"content")
        self.assertEqual(call("get", "/api/files", 200, query=f"?path={path}").body, b"content")
        call("get", "/api/files", 206, query=f"?path={path}", headers={"Range": "bytes=0-2"})
        call("get", "/api/files", 416, query=f"?path={path}", headers={"Range": "bytes=100-"})
        call("get", "/api/files", 404, query=f"?path={path}-none")
        call("get", "/api/activity", 200, query="?limit=3")
        call("get", "/api/activity", 400, query="?limit=0")
        upgrade("/api/exec", 101)
        upgrade("/api/terminal", 101, query="?rows=24&cols=80")
        upgrade("/api/bridge", 101, query="?type=agent")
        upgrade("/api/bridge", 403, headers=["Origin: https://elsewhere.example"])

        self.revoke_while_it_runs()
        call("delete", "/api/agents/{name}", 404)
        self.assert_all_called()

    def revoke_while_it_runs(self):
        """The end of an agent in the middle of a command, and all that is in the trail then."""
        replies = []
        thread = threading.Thread(target=lambda: replies.append(
            self.broker.ask("POST", "/api/exec", self.token, {"command": "sleep 1000"})))
        thread.start()
        until(lambda: any(row["what"] == "sleep 1000" and row["outcome"] is None
                          for row in self.call("get", "/api/activity", 200).json["activity"]), "the command's row")
        self.call("delete", "/api/agents/{name}", 204)
        thread.join()
        self.assertEqual(replies[0].status, 502)
        self.check("post", "/api/exec", replies[0])
        self.called.add(("post", "/api/exec", "502"))
        kinds = set(self.api["components"]["schemas"]["Activity"]["properties"]["kind"]["enum"])
        until(lambda: {row["kind"] for row in self.call("get", "/api/activity", 200, query="?limit=1000").json["activity"]}
              == kinds, "row of each kind")

    def assert_all_called(self):
        described = {(method, path, status) for method, path, operation, _ in self.operations()
                     for status in operation["responses"] if status != "default"}
        self.assertEqual(described - self.called, set())

    def test_events(self):
        """What comes as events is as it is described."""
        self.joined()
        reply = self.broker.ask("POST", "/api/exec", self.token, {"command": r"echo out; printf '\377' >&2; exit 3"},
                                headers={"Accept": "text/event-stream"})
        self.check("post", "/api/exec", reply)
        events = re.findall(r"event: (\w+)\ndata: (.*)\n", reply.body.decode())
        self.assertEqual(sorted({name for name, _ in events}), ["exit", "stderr", "stdout"])
        for name, data in events:
            schema = {"$ref": "#/components/schemas/" + ("Exit" if name == "exit" else "Output")}
            self.validator(schema).validate(json.loads(data))
        self.assertEqual(json.loads(events[-1][1])["exitCode"], 3)
