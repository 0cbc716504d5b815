"""The script that a machine is joined with, under the shells and with the tools that machines have."""

import contextlib
import hashlib
import http.server
import json
import os
import shutil
import signal
import ssl
import subprocess
import threading
import unittest

from broker import Broker as RealBroker
from harness import DEADLINE, TestCase, system, until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CODE = "ABCD-EFGH"
BASICS = ["uname", "mkdir", "rm", "mv", "chmod", "printf"]

# What stands for berth: says how it was called.
BINARY = b"""#!/bin/sh
case $1 in --version) echo "berth 9.9" ;; *) printf '<%s>' "$@"; read -r line || echo; esac
"""


class Broker:
    """Serves the script as a broker does, and a binary."""

    def __init__(self, tls=None):
        self.asked = []
        self.answer = (200, BINARY)
        broker = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                broker.asked.append(self.path)
                status, body = (200, broker.script.encode()) if self.path == "/install.sh" else broker.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_address[1]}"
        self.sums = {"x86_64": hashlib.sha256(BINARY).hexdigest(), "aarch64": hashlib.sha256(BINARY).hexdigest()}
        self.pin = ""
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def script(self):
        with open(os.path.join(ROOT, "applets/broker/install.sh")) as file:
            text = file.read()
        for name, value in {"URL": self.url, "PIN": self.pin, **self.sums}.items():
            text = text.replace(f"@{name}@", f"'{value}'")
        return text

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def have(*programs):
    return unittest.skipUnless(all(shutil.which(program) for program in programs), f"needs {' and '.join(programs)}")


class Install(TestCase):
    def setUp(self):
        super().setUp()
        self.broker = self.server(Broker())
        self.place = os.path.join(self.home, ".local/bin")
        self.berth_there = os.path.join(self.place, "berth")

    def tools(self, *names, **fakes):
        """A PATH with these programs alone; `fakes` are shell scripts. busybox-NAME is busybox's."""
        path = os.path.join(self.dir, f"tools{len(os.listdir(self.dir))}")
        os.mkdir(path)
        for name in names:
            own = name.removeprefix("busybox-")
            os.symlink(shutil.which("busybox" if own != name else name), os.path.join(path, own))
        for name, script in fakes.items():
            with open(os.path.join(path, name), "w", opener=lambda p, f: os.open(p, f, 0o755)) as file:
                file.write("#!/bin/sh\n" + script + "\n")
        return path

    def run_script(self, *words, shell=("dash",), path=None, script=None, **env):
        """As `curl … | sh -s -- WORDS` does."""
        env = {"HOME": self.home, "PATH": path or self.tools(*BASICS, "sh", "curl", "sha256sum"), **env}
        return subprocess.run([shutil.which(shell[0]), *shell[1:], "-s", "--", *words], env=env, text=True,
                              input=self.broker.script if script is None else script, capture_output=True)

    def assert_installed(self, done, *options):
        self.assertEqual(done.returncode, 0, done.stderr)
        words = ["agent", "--join", self.broker.url, "--code", CODE, *options]
        self.assertEqual(done.stdout, "".join(f"<{word}>" for word in words) + "\n")
        with open(self.berth_there, "rb") as file:
            self.assertEqual(file.read(), BINARY)
        self.assertEqual(os.stat(self.berth_there).st_mode & 0o777, 0o755)
        self.assertEqual(os.listdir(self.place), ["berth"])

    def assert_fails(self, done, *texts):
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, "")
        for text in texts:
            self.assertIn(text, done.stderr)
        if os.path.isdir(self.place):
            self.assertEqual([name for name in os.listdir(self.place) if name != "berth"], [])

    # ---- how it is done well ----

    def test_shells(self):
        for shell in [("dash",), ("bash", "--posix"), ("busybox", "sh"), ("zsh", "--emulate", "sh")]:
            with self.subTest(shell=shell):
                shutil.rmtree(self.place, ignore_errors=True)
                self.assert_installed(self.run_script(CODE, shell=shell))

    def test_tools(self):
        for tools in [["curl", "openssl"], ["curl", "shasum", "perl"], ["wget", "sha256sum"]]:
            with self.subTest(tools=tools):
                shutil.rmtree(self.place, ignore_errors=True)
                self.assert_installed(self.run_script(CODE, path=self.tools(*BASICS, "sh", *tools)))

    def test_busybox_alone(self):
        tools = self.tools(*("busybox-" + name for name in [*BASICS, "sh", "wget", "sha256sum"]))
        self.assert_installed(self.run_script(CODE, shell=("busybox", "sh"), path=tools))

    def test_options_are_the_agents(self):
        self.assert_installed(self.run_script(CODE, "--name", "it's a box", "--allow", "exec,files"),
                              "--name", "it's a box", "--allow", "exec,files")

    def test_its_own_architecture_is_asked_for(self):
        for machine, arch in [("x86_64", "x86_64"), ("amd64", "x86_64"), ("aarch64", "aarch64"), ("arm64", "aarch64")]:
            fake = f'case $1 in -m) echo {machine} ;; *) echo Linux ;; esac'
            path = self.tools("mkdir", "rm", "mv", "chmod", "printf", "sh", "curl", "sha256sum", uname=fake)
            self.assert_installed(self.run_script(CODE, path=path))
            self.assertEqual(self.broker.asked.pop(), f"/api/agent/download?arch={arch}")

    def test_another_place(self):
        self.place = os.path.join(self.dir, "a place's")
        self.berth_there = os.path.join(self.place, "berth")
        done = self.run_script(CODE, BERTH_DIR=self.place)
        self.assert_installed(done)
        self.assertIn("is not in your PATH", done.stderr)

    def test_what_was_there_is_replaced_while_it_runs(self):
        self.assert_installed(self.run_script(CODE))
        with open(self.berth_there, "rb") as running:
            self.assert_installed(self.run_script(CODE))
            self.assertNotEqual(os.fstat(running.fileno()).st_ino, os.stat(self.berth_there).st_ino)

    # ---- how it is refused ----

    def test_another_sum(self):
        for there in [False, True]:
            self.broker.answer = (200, BINARY)
            if there:
                self.assert_installed(self.run_script(CODE))
            self.broker.answer = (200, BINARY + b"# and more\n")
            self.assert_fails(self.run_script(CODE), "not what the broker has")
            self.assertEqual(os.path.exists(self.berth_there), there)
            if there:
                with open(self.berth_there, "rb") as file:
                    self.assertEqual(file.read(), BINARY)

    def test_no_code(self):
        for words in [(), ("",), ("--name", "box")]:
            self.assert_fails(self.run_script(*words), "no code", self.broker.url)
        self.assertEqual(self.broker.asked, [])

    def test_no_way_to_fetch(self):
        self.assert_fails(self.run_script(CODE, path=self.tools(*BASICS, "sh", "sha256sum")), "neither curl nor wget")

    def test_no_way_to_check(self):
        done = self.run_script(CODE, path=self.tools(*BASICS, "sh", "curl"))
        self.assert_fails(done, "none of sha256sum")
        self.assertFalse(os.path.exists(self.berth_there))

    def test_other_machines(self):
        for kind, machine in [("Linux", "riscv64"), ("Darwin", "arm64")]:
            fake = f'case $1 in -m) echo {machine} ;; *) echo {kind} ;; esac'
            path = self.tools("mkdir", "rm", "mv", "chmod", "printf", "sh", "curl", "sha256sum", uname=fake)
            self.assert_fails(self.run_script(CODE, path=path), machine if kind == "Linux" else kind)
        self.assertEqual(self.broker.asked, [])

    def test_an_architecture_that_the_broker_has_not(self):
        self.broker.sums = {"x86_64": "", "aarch64": ""}
        self.assert_fails(self.run_script(CODE), "has no berth for")
        self.assertEqual(self.broker.asked, [])

    def test_an_answer_that_is_an_error(self):
        self.broker.answer = (404, b"{}")
        for fetcher in ["curl", "wget", "busybox-wget"]:
            path = self.tools(*BASICS, "sh", fetcher, "sha256sum")
            self.assert_fails(self.run_script(CODE, path=path), "the download from")

    def test_nobody_answers(self):
        script = self.broker.script
        self.broker.close()
        self.broker.close = lambda: None
        self.assert_fails(self.run_script(CODE, script=script), "the download from")

    def test_a_place_that_is_none(self):
        with open(os.path.join(self.dir, "file"), "w"):
            pass
        self.assert_fails(self.run_script(CODE, BERTH_DIR=os.path.join(self.dir, "file/bin")), "BERTH_DIR")

    def test_a_place_that_cannot_be_written_to(self):
        os.makedirs(self.place)
        self.mount_tmpfs(self.place, "ro")
        self.assert_fails(self.run_script(CODE), "cannot write to", "BERTH_DIR")

    def test_a_place_without_programs(self):
        os.makedirs(self.place)
        self.mount_tmpfs(self.place, "noexec")
        self.assert_fails(self.run_script(CODE), "noexec")
        self.assertEqual(os.listdir(self.place), [])

    def test_a_script_that_was_cut_off(self):
        script = self.broker.script
        for cut in range(0, len(script) - 11, 97):
            self.run_script(CODE, script=script[:cut])
        self.assertEqual(self.broker.asked, [])
        self.assertFalse(os.path.exists(self.place))


@have("openssl")
class Pinned(Install):
    """A broker whose certificate no authority vouches for. What holds without TLS holds here too."""

    def setUp(self):
        super().setUp()
        self.broker.close()
        self.cert = os.path.join(self.dir, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", self.cert, "-out", self.cert + ".crt", "-subj", "/CN=box", "-days", "2"],
                       check=True, capture_output=True)
        with open(self.cert, "a") as key, open(self.cert + ".crt") as cert:
            key.write(cert.read())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert)
        self.broker = self.server(Broker(context))
        self.broker.pin = "ab" * 32

    def assert_installed(self, done, *options):
        super().assert_installed(done, "--pin", self.broker.pin, *options)

    def test_busybox_alone(self):
        self.skipTest("the TLS of busybox's own wget is not enough for a server of today")

    def command(self, key):
        """The line to paste, as the broker writes it."""
        return f"curl -fsSk --pinnedpubkey sha256//{key} {self.broker.url}/install.sh | sh -s -- {CODE}"

    def key(self):
        return subprocess.run(f"openssl x509 -in {self.cert} -noout -pubkey | openssl pkey -pubin -outform der | "
                              "openssl dgst -sha256 -binary | base64", shell=True, check=True, capture_output=True,
                              text=True).stdout.strip()

    def test_the_line_to_paste(self):
        env = {"HOME": self.home, "PATH": os.environ["PATH"]}
        done = subprocess.run(["sh", "-c", self.command(self.key())], env=env, capture_output=True, text=True)
        self.assert_installed(done)

    def test_the_line_to_paste_at_another_key(self):
        env = {"HOME": self.home, "PATH": os.environ["PATH"]}
        other = self.key()
        other = ("B" if other[0] == "A" else "A") + other[1:]
        done = subprocess.run(["sh", "-c", self.command(other)], env=env, capture_output=True, text=True)
        self.assertIn("public key", done.stderr)
        self.assertFalse(os.path.exists(self.place))
        self.assertEqual(self.broker.asked, [])


class SelfSigned(TestCase):
    """The broker itself, with a certificate of its own making."""

    def command(self, broker, token):
        said = system("curl", "-sSk", "-X", "POST", "-H", f"Authorization: Bearer {token}", "-d", "{}",
                      f"https://127.0.0.1:{broker.port}/api/agent/code")
        return json.loads(said)["command"]

    def end_group(self, program):
        """A pipeline is more than the shell that has begun it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGTERM)
        until(lambda: program.ended == 2, "end of the agent")

    def test_the_line_to_paste(self):
        broker = RealBroker(self, "--tls-self-signed")
        token = broker.user("ann")
        env = self.env(HOME=self.home)
        agent = self.start("sh", "-c", self.command(broker, token), env=env)
        self.addCleanup(self.end_group, agent)
        agent.await_line(r"^berth: installed berth .* as .*/\.local/bin/berth$")
        agent.await_line(r"^berth: joined as ")
        self.end_group(agent)
        again = self.start(os.path.join(self.home, ".local/bin/berth"), "agent", "--join",
                           f"https://127.0.0.1:{broker.port}", env=env)
        again.await_line(r"^berth: joined as ")

    def test_the_line_to_paste_at_an_impostor(self):
        broker = RealBroker(self, "--tls-self-signed")
        command = self.command(broker, broker.user("ann"))
        broker.stop()
        RealBroker(self, "--tls-self-signed", port=broker.port)
        done = subprocess.run(["sh", "-c", command], env=self.env(HOME=self.home), capture_output=True, text=True,
                              timeout=DEADLINE)
        self.assertIn("public key", done.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.home, ".local")))
