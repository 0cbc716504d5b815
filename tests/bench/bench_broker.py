"""What the broker's routing costs: a command, a key's echo, a file through it, beside ssh's to the same user on
the same machine, and beside a plain fork and exec; and how many requests it answers in a second.

Every round measures the ways one after the other; the tables have the medians of the rounds, and each round's
ratio enters the median of the ratios."""

import http.client
import json
import os
import re
import statistics
import subprocess
import time

import harness  # tests/e2e
from bench_guest import end, took_us
from bench_tunnel import lines_of
from broker import Broker
from machine import ROOT, Missing, until
from websocket import WebSocket

LOAD = os.path.join(ROOT, "build", "bench-http")
SIZE = 256 << 20  # bytes of the file
CONNECTIONS = 1, 16
KEYS = 300  # least of them


class Bench(harness.TestCase):
    def begin(self):
        self.user_there = self.user()
        self.config, control = self.ssh_config(self.user_there), os.path.join(self.dir, "control")
        self.ssh = ["ssh", "-F", self.config, "-o", f"ControlPath={control}"]
        self.scp = ["scp", "-O", "-q", "-F", self.config, "-o", f"ControlPath={control}"]
        master = subprocess.Popen([*self.ssh, "-o", "ControlMaster=yes", "-N", harness.HOST])
        self.addCleanup(end, master)
        until(lambda: os.path.exists(control), "shared ssh connection")
        self.broker = Broker(self, "--limit", "none")
        self.token = self.broker.user("measured")
        self.agent = self.broker.machine(self.token, "measured")
        done = subprocess.run([self.berth_path, "login", self.broker.url], input=self.token + "\n", text=True,
                              env=self.env(), check=False, capture_output=True)
        if done.returncode:
            raise Missing(done.stderr)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.broker.port, timeout=30)
        self.make_file()

    def make_file(self):
        """Here, at the agent's and at the ssh user's."""
        self.file = os.path.join(self.dir, "file")
        with open(self.file, "wb") as file:
            for _ in range(SIZE >> 20):
                file.write(os.urandom(1 << 20))
        self.there = f"{self.user_there.home}/file"
        self.quiet([*self.scp, self.file, f"{harness.HOST}:{self.there}"])
        self.quiet(self.curl("-T", self.file, self.url()))

    def quiet(self, argv):
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=self.env(), check=True)

    def url(self):
        return f"{self.broker.url}/api/files?path=file"

    def curl(self, *words):
        return ["curl", "-sSf", "--noproxy", "*", "-H", f"Authorization: Bearer {self.token}", *words]

    # ---- a command ----

    def exec_api(self):
        self.connection.request("POST", "/api/exec", json.dumps({"command": "true"}),
                                {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        answer = json.loads(self.connection.getresponse().read())
        if answer.get("exitCode") != 0:
            raise Missing(answer)

    def commands(self, seconds):
        return {
            "fork and exec": took_us(lambda: self.quiet(["/bin/sh", "-c", "true"]), 20, seconds / 4),
            "POST /api/exec": took_us(self.exec_api, 20, seconds / 4),
            "berth exec": took_us(lambda: self.quiet([self.berth_path, "exec", "-n", "true"]), 10, seconds / 4),
            "ssh, shared": took_us(lambda: self.quiet([*self.ssh, harness.HOST, "true"]), 10, seconds / 4),
        }

    # ---- a key ----

    def echo_broker(self, seconds):
        terminal = WebSocket(self.broker.port, "/api/terminal", {"Authorization": f"Bearer {self.token}"})
        said = b""

        def receive():
            while isinstance(message := terminal.receive(), str):
                pass
            return message

        terminal.send(b"stty raw -echo; echo $((40+2)); exec cat\n")
        while not re.search(rb"42\r?\n", said):
            said += receive()

        line = terminal.socket

        def key():
            """As frames, so that Python has as little to do with it as with ssh's pipe."""
            line.sendall(b"\x82\x81\0\0\0\0x")
            if line.recv(3) != b"\x82\1x":
                raise Missing("no echo")

        found = took_us(key, KEYS, seconds)
        terminal.close(4000)
        return found

    def echo_ssh(self, seconds):
        """On a connection of its own: one that is shared sends keys late."""
        ssh = subprocess.Popen(["ssh", "-q", "-F", self.config, "-tt", harness.HOST, "stty raw -echo; echo $((40+2)); exec cat"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        said = b""
        while not re.search(rb"42\r?\n", said):
            said += ssh.stdout.read(4096)

        def key():
            ssh.stdin.write(b"x")
            ssh.stdout.read(1)

        found = took_us(key, KEYS, seconds)
        end(ssh)
        return found

    # ---- a file ----

    def rate(self, argv, **more):
        """Megabytes a second."""
        began = time.monotonic()
        subprocess.run(argv, env=self.env(), check=True, **more)
        return SIZE / 1e6 / (time.monotonic() - began)

    def files(self):
        host, null = harness.HOST, subprocess.DEVNULL
        with open(self.file, "rb") as file:
            put_ssh = self.rate([*self.ssh, host, f"cat >{self.there}"], stdin=file)
        return {
            "read": {
                "broker": self.rate(self.curl("-o", "/dev/null", self.url())),
                "ssh cat": self.rate([*self.ssh, host, f"cat {self.there}"], stdin=null, stdout=null),
                "scp": self.rate([*self.scp, f"{host}:{self.there}", "/dev/null"]),
            },
            "written": {
                "broker": self.rate(self.curl("-T", self.file, self.url())),
                "ssh cat": put_ssh,
                "scp": self.rate([*self.scp, self.file, f"{host}:{self.there}"]),
            },
        }

    # ---- requests ----

    def requests(self, connections, seconds):
        """{what is asked: (a second, p50, p99)}"""
        found = {}
        fields = f"Host: 127.0.0.1\r\nAuthorization: Bearer {self.token}\r\n"
        body = json.dumps({"command": "true"})
        for name, text in {
            "GET /healthz": f"GET /healthz HTTP/1.1\r\n{fields}\r\n",
            "GET /api/me": f"GET /api/me HTTP/1.1\r\n{fields}\r\n",
            "POST /api/exec": f"POST /api/exec HTTP/1.1\r\n{fields}Content-Length: {len(body)}\r\n\r\n{body}",
        }.items():
            done = subprocess.run([LOAD, str(self.broker.port), str(connections), str(seconds)], input=text, text=True,
                                  stdout=subprocess.PIPE, check=True)
            found[name] = tuple(map(float, done.stdout.split()))
        return found


# ---- the tables ----

def median_of(rounds, *path):
    def value(found):
        for step in path:
            found = found[step]
        return found
    return statistics.median(value(found) for found in rounds)


def ratio_of(rounds, over, under):
    """Of each round's; the places of two figures."""
    return statistics.median(median_of([found], *over) / median_of([found], *under) for found in rounds)


def command_table(rounds):
    ways = list(rounds[0]["commands"])
    rows = [["µs", *(f"{median_of(rounds, 'commands', way):,.0f}" for way in ways)]]
    for other in "fork and exec", "ssh, shared":
        rows.append([f"/ {other}", *(f"{ratio_of(rounds, ('commands', way), ('commands', other)):.2f}" for way in ways)])
    return lines_of(ways, rows)


def other_table(rounds):
    rows = [["a key's echo in a terminal (µs)", *(f"{median_of(rounds, 'echo', way):,.0f}" for way in ("broker", "ssh")),
             "", f"{ratio_of(rounds, ('echo', 'broker'), ('echo', 'ssh')):.2f}"]]
    for what in "read", "written":
        best = [max(found["files"][what]["ssh cat"], found["files"][what]["scp"]) for found in rounds]
        own = [found["files"][what]["broker"] for found in rounds]
        rows.append([f"a file of {SIZE >> 20} MiB, {what} (MB/s)",
                     *(f"{median_of(rounds, 'files', what, way):,.0f}" for way in ("broker", "ssh cat", "scp")),
                     f"{statistics.median(a / b for a, b in zip(own, best)):.2f}"])
    return lines_of(["broker", "ssh", "scp", "broker / the best of ssh's"], rows)


def request_table(rounds):
    heads, rows = [], []
    for connections in CONNECTIONS:
        plural = "s" if connections > 1 else ""
        heads += [f"a second, {connections} connection{plural}", "p50 (µs)", "p99 (µs)"]
    for what in rounds[0]["requests"][CONNECTIONS[0]]:
        rows.append([what, *(f"{median_of(rounds, 'requests', connections, what, i):,.0f}"
                             for connections in CONNECTIONS for i in range(3))])
    return lines_of(heads, rows)


def measure(bench, seconds):
    return {
        "commands": bench.commands(seconds),
        "echo": {"broker": bench.echo_broker(seconds / 2), "ssh": bench.echo_ssh(seconds / 2)},
        "files": bench.files(),
        "requests": {count: bench.requests(count, seconds / 2) for count in CONNECTIONS},
    }


def section(count, seconds):
    """What RESULTS.md says of it."""
    with harness.world():
        bench = Bench()
        bench.setUp()
        rounds = []
        try:
            bench.begin()
            for i in range(count):
                rounds.append(measure(bench, seconds))
                print(f"broker: round {i + 1} of {count}", flush=True)
        finally:
            bench.doCleanups()
    return (f"Medians of {count} rounds of {seconds:g} s each; a ratio is the median of each round's. Broker, agent, sshd "
            f"and clients share the\nmachine's cores. `true` in a shell, until it is known to have ended: `berth exec` "
            f"and ssh are processes of their own each\ntime (ssh over a connection that is there), POST /api/exec is on "
            f"one connection; each is in the audit trail on disk before\nit begins.\n\n{command_table(rounds)}\n\n"
            f"A file that is written through the broker is on disk when that is answered; ssh's need not be.\n\n"
            f"{other_table(rounds)}\n\nRequests, over and over:\n\n{request_table(rounds)}\n")
