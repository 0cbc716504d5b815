"""A broker of a test's own, and what is asked of it over HTTP."""

import hashlib
import http.client
import json
import os
import signal

from machine import Missing, free_port, until


class Reply:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:500]!r}"


class Broker:
    """Runs `berth broker ARGS` with its state below the test's folder; started again, it is the same one. `by`: words
    before those."""

    def __init__(self, test, *args, state=None, port=None, start=True, by=()):
        self.test, self.args, self.by = test, args, by
        if "asan" in test.world.source:  # the leak checker traces the process
            self.args = (*args, "--unconfined")
        self.state = state or os.path.join(test.dir, f"broker{id(self)}")
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.program = None
        if start:
            self.start()

    def start(self, **more):
        self.program = self.test.start(*self.by, self.test.berth_path, "broker", "--state", self.state, "--listen",
                                       f"127.0.0.1:{self.port}", *self.args, **more)
        self.program.await_line(r"^berth broker: ")

    def stop(self):
        return self.program.stop()

    def kill(self):
        """As a crash would; its keeper ends by itself."""
        self.program.signal(signal.SIGKILL)
        self.program.process.wait()

    def memory(self):
        """Bytes of its own that it holds; 0 where a sanitizer keeps what was freed."""
        if "asan" in self.test.world.source:
            return 0
        with open(f"/proc/{self.program.pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["RssAnon"].split()[0]) * 1024

    # ---- users ----

    def admin(self, *words):
        """`berth broker WORDS`: what it printed."""
        done = self.test.berth("broker", *words, "--state", self.state)
        if done.returncode:
            raise Missing(f"berth broker {' '.join(words)}: {done.stderr}")
        return done.stdout.strip()

    def token(self, name):
        return self.admin("token", name)

    def revoke(self, name, token):
        self.admin("token", name, "revoke", hashlib.sha256(token.encode()).hexdigest()[:12])

    def user(self, name):
        """Makes a user; a token of theirs."""
        self.admin("user", "add", name)
        return self.token(name)

    # ---- HTTP ----

    def ask(self, method, path, token=None, body=None, headers=None, timeout=30):
        """One request on a connection of its own. What is not bytes goes as JSON."""
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def machine(self, token, name, *args, **more):
        """A machine that joins as that user's."""
        return Machine(self, token, name, *args, **more)

    def code(self, token):
        return self.ask("POST", "/api/agent/code", token).json["code"]

    def agents(self, token):
        """The connected ones, by name."""
        reply = self.ask("GET", "/api/agents", token)
        return {agent["name"]: agent for agent in reply.json["agents"] if agent["connected"]}

    def await_agent(self, token, name):
        return until(lambda: self.agents(token).get(name), f"agent {name}")


class Machine:
    """`berth agent --join` with a home of its own; started again, it is the same device."""

    def __init__(self, broker, token, name, *args, start=True):
        self.broker, self.token, self.name, self.args = broker, token, name, args
        self.home = os.path.join(broker.test.dir, "machines", name)
        os.makedirs(self.home, mode=0o700)
        self.program = None
        if start:
            self.start("--code", broker.code(token), "--name", name)

    def start(self, *args):
        test = self.broker.test
        env = {name: value for name, value in test.env(HOME=self.home, SHELL="/bin/sh").items()
               if not name.lower().endswith("_proxy")}
        self.program = test.start(test.berth_path, "agent", "--join", self.broker.url, *args, *self.args, env=env)
        self.broker.await_agent(self.token, self.name)

    def stop(self):
        return self.program.stop()

    def kill(self):
        """As a crash would; what it runs may outlive it."""
        self.program.signal(signal.SIGKILL)
        self.program.process.wait()

    def path(self, name):
        return os.path.join(self.home, name)
