"""Users' own machines, joined to a broker: what each asks for is done on theirs, as far as they allow it."""

import glob
import json
import os
import re
import signal
import subprocess
import threading

from broker import Broker
from guests import Terminal
from harness import *

ROUNDS = 20  # of commands by each user, all at once

# Names the machine, then becomes its user and the program.
ENTER = 'echo "$0" >/proc/sys/kernel/hostname && exec setpriv --reuid "$1" --regid "$2" --clear-groups "${@:3}"'


class Joined(TestCase):
    def setUp(self):
        super().setUp()
        self.broker = Broker(self)
        self.tokens = {}

    def machine(self, user, host, *words, name=None, code=True, url=None):
        """`berth agent --join` of that user on a machine of that name, enrolled unless it was."""
        if code:
            words = (*words, "--code", self.broker.code(self.token(user)), "--name", name or host)
        argv = [self.berth_path, "agent", "--join", url or self.broker.url, *words]
        env = self.env(HOME=user.home, USER=user.name, XDG_RUNTIME_DIR=os.path.join(user.home, "run"))
        if IS_ROOT:
            argv = ["unshare", "--uts", "bash", "-c", ENTER, host, str(user.uid), str(user.gid), *argv]
        return self.start(*argv, env=env)

    def joined(self, user, host, *words, **more):
        agent = self.machine(user, host, *words, **more)
        agent.await_line(r"^berth: joined as ")
        return agent

    def token(self, user):
        if user.name not in self.tokens:
            self.tokens[user.name] = self.broker.user(user.name)
        return self.tokens[user.name]

    def client(self, user):
        """The environment of somebody who has logged in as that user, elsewhere."""
        home = os.path.join(self.dir, f"client-{user.name}")
        env = self.env(HOME=home)
        if not os.path.isdir(home):
            os.mkdir(home, 0o700)
            self.login(env, self.token(user))
        return env

    def login(self, env, token, *words):
        done = self.run_berth("login", *words, self.broker.url, env=env, data=token + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(token, done.stdout + done.stderr)

    def run_berth(self, *words, env, data=None):
        return subprocess.run([self.berth_path, *words], env=env, input=data or "", text=True,
                              capture_output=True, timeout=DEADLINE)

    def exec(self, user, *words, data=None):
        return self.run_berth("exec", *words, env=self.client(user), data=data)

    def check(self, done, status, error=""):
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertIn(error, done.stderr)
        if error:
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    # ---- whose machine it is ----

    @root_only
    def test_each_user_sees_their_own(self):
        users = {"cellar": self.user("a"), "attic": self.user("b")}
        for host, user in users.items():
            self.joined(user, host)
            self.client(user)
        wrong = []

        def ask(host, user):
            for _ in range(ROUNDS):
                done = self.exec(user, "-n", "--", "sh", "-c", "whoami; hostname")
                if (done.returncode, done.stdout) != (0, f"{user.name}\n{host}\n"):
                    wrong.append((host, done))

        threads = [threading.Thread(target=ask, args=item) for item in users.items() for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    @root_only
    def test_nobody_reaches_another_users(self):
        ann, bob = self.user("a"), self.user("b")
        self.joined(ann, "cellar")
        self.check(self.exec(bob, "-n", "id"), 255, "No agent of yours is connected")
        self.check(self.exec(bob, "-n", "--on", "cellar", "id"), 255, "cellar")
        done = self.run_berth("list", "--broker", "--json", env=self.client(bob))
        self.assertEqual(json.loads(done.stdout), {"agents": []})

    def test_the_right_one_of_several(self):
        user = self.user()
        self.joined(user, "cellar")
        other = os.path.join(user.home, "other")
        os.mkdir(other)
        user.own(other, 0o700)
        home, user.home = user.home, other
        self.joined(user, "attic")
        user.home = home
        self.check(self.exec(user, "-n", "id"), 255, "Several")
        done = self.exec(user, "-n", "--on", "attic", "--", "sh", "-c", "echo $HOME")
        self.assertEqual(done.stdout, f"{other}\n")
        done = self.run_berth("list", "--broker", env=self.client(user))
        self.assertRegex(done.stdout, r"(?m)^attic +\S+@\S+ .*connected since \S+Z   exec,files,terminal,dial$")
        self.assertRegex(done.stdout, r"(?m)^cellar ")

    # ---- a command as if it ran here ----

    def test_a_command(self):
        user = self.user()
        self.joined(user, "cellar")
        done = self.exec(user, "--", "sh", "-c", "echo out; echo err >&2; cat; exit 7", data="in\n")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, "out\nin\n", "err\n"))
        done = self.exec(user, "-n", "--env", "A=b c", "--cwd", "/usr", "echo $A; pwd; wc -c")
        self.assertEqual((done.returncode, done.stdout), (0, "b c\n/usr\n0\n"))
        self.check(self.exec(user, "-n", "kill -TERM $$"), 128 + 15)
        self.check(self.exec(user, "-n", "/no/such/program", "x"), 127, "command not found")
        self.check(self.exec(user, "-n", "--timeout", "500ms", "sleep 1000"), 124, "timed out")
        self.check(self.exec(user, "-n", "--cwd", "/nowhere", "true"), 127, "/nowhere")

    def test_much_both_ways(self):
        user = self.user()
        self.joined(user, "cellar")
        data = os.urandom(3000000)
        done = subprocess.run([self.berth_path, "exec", "--", "cat"], env=self.client(user), input=data,
                              capture_output=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout == data)

    def test_an_interrupt_ends_it_there(self):
        user = self.user()
        self.joined(user, "cellar")
        command = self.start(self.berth_path, "exec", "--", "sh", "-c", "echo $$ >&2; exec sleep 1000",
                             env=self.client(user))
        pid = int(command.await_line(r"^(\d+)$")[1])
        self.assertNotIn(state(pid), (None, "Z"))
        command.signal(signal.SIGINT)
        self.assertEqual(command.wait(), 130)
        until(lambda: state(pid) in (None, "Z"), "end of the command")

    def test_a_terminal(self):
        user = self.user()
        self.joined(user, "cellar")
        env = dict(self.client(user), TERM="berth-test")
        terminal = Terminal([self.berth_path, "exec", "-t", "--", "env", "PS1=<ready> ", "/bin/sh"], env,
                            rows=31, cols=97)
        self.addCleanup(terminal.close)
        terminal.read_until("<ready> ")
        self.assertTrue(terminal.is_raw())
        terminal.type("tty && stty size && echo $TERM\n")
        self.assertRegex(terminal.read_until("berth-test\r\n"), r"/dev/pts/\d+\r\n31 97\r\n")
        terminal.read_until("<ready> ")
        terminal.resize(43, 132)
        until(lambda: self.size_there(terminal) == "43 132", "new size there")
        terminal.type("exit 42\n")
        self.assertEqual(terminal.wait(), 42)
        self.assertEqual(terminal.modes(), terminal.before)

    def size_there(self, terminal):
        terminal.type("echo now: $(stty size).\n")
        return re.search(r"now: (\d+ \d+)\.", terminal.read_until("<ready> "))[1]

    def test_not_logged_in(self):
        self.check(self.run_berth("exec", "true", env=self.env()), 255, "berth login URL")
        done = self.run_berth("login", self.broker.url, env=self.env(), data="berth_" + "x" * 43)
        self.check(done, 1, "does not accept the token")
        self.check(self.run_berth("list", "--broker", env=self.env()), 1, "berth login URL")

    # ---- what its owner allows ----

    def test_the_owner_allows_files_below_a_directory(self):
        user = self.user()
        root = user.make_dir("shared")
        user.write("shared/note", "hello")
        user.write("secret", "none of yours")
        os.symlink("../secret", os.path.join(root, "link"))
        os.symlink("..", os.path.join(root, "up"))
        agent = self.joined(user, "cellar", "--allow", "files", "--root", root)
        self.assertIn(f"may ask for: files; files only below {root}", agent.text())
        token = self.token(user)
        for path, status in (("note", 200), (f"{root}/note", 200), ("link", 403), ("up/secret", 403),
                             ("../secret", 403), (f"{user.home}/secret", 403), ("/proc/version", 403),
                             ("~/secret", 403)):
            reply = self.broker.ask("GET", f"/api/files?path={path}", token)
            self.assertEqual(reply.status, status, (path, reply))
            self.assertIn(b"hello" if status == 200 else b"owner", reply.body)
            if status != 200:
                reply = self.broker.ask("PUT", f"/api/files?path={path}", token, b"changed")
                self.assertEqual(reply.status, 403, (path, reply))
        with open(os.path.join(user.home, "secret")) as file:
            self.assertEqual(file.read(), "none of yours")
        self.assertEqual(self.broker.ask("PUT", "/api/files?path=new", token, b"new").status, 204)
        with open(os.path.join(root, "new")) as file:
            self.assertEqual(file.read(), "new")
        self.check(self.exec(user, "-n", "id"), 126, "owner does not allow exec")
        self.assertEqual(self.broker.agents(token)["cellar"]["allow"], ["files"])

    def test_what_was_allowed_is_remembered(self):
        user = self.user()
        root = user.make_dir("shared")
        agent = self.joined(user, "cellar", "--allow", "exec", "--root", root)
        self.assertEqual(self.exec(user, "-n", "pwd").stdout, f"{root}\n")
        agent.stop()
        agent = self.joined(user, "cellar", code=False)
        self.assertIn(f"may ask for: exec; files only below {root}", agent.text())
        self.check(self.exec(user, "-n", "--cwd", "/usr", "pwd"), 126, "outside of what this machine's owner allows")
        reply = self.broker.ask("GET", "/api/files?path=x", self.token(user))
        self.assertIn(b"does not allow files", reply.body)

    # ---- the connection ----

    def test_the_broker_dies_and_comes_back(self):
        user = self.user()
        agent = self.joined(user, "cellar")
        command = self.start(self.berth_path, "exec", "--", "sh", "-c", "echo $$ >&2; exec sleep 1000",
                             env=self.client(user))
        pid = int(command.await_line(r"^(\d+)$")[1])
        self.broker.kill()
        self.assertEqual(command.wait(), 255)
        agent.await_line("trying again$")
        until(lambda: state(pid) in (None, "Z"), "end of the command that nobody watches")
        self.broker.start()
        agent.await_line(r"^berth: joined as cellar for ")
        self.broker.await_agent(self.token(user), "cellar")
        self.assertEqual(self.exec(user, "-n", "echo back").stdout, "back\n")

    def test_the_agent_dies(self):
        user = self.user()
        agent = self.joined(user, "cellar")
        command = self.start(self.berth_path, "exec", "--", "sh", "-c", "echo $$ >&2; exec sleep 1000",
                             env=self.client(user))
        command.await_line(r"^(\d+)$")
        agent.signal(signal.SIGKILL)
        self.assertEqual(command.wait(), 255)
        self.assertIn("lost", command.text())

    def test_a_revoked_device_ends(self):
        user = self.user()
        agent = self.joined(user, "cellar")
        self.assertEqual(self.broker.ask("DELETE", "/api/agents/cellar", self.token(user)).status, 204)
        self.assertEqual(agent.wait(), 1)
        self.assertIn("not a device that this broker knows", agent.text())
        again = self.machine(user, "cellar", code=False)
        self.assertEqual(again.wait(), 1)
        self.assertNotIn("trying again", again.text())

    def test_a_device_that_somebody_else_enrolled(self):
        """A public key is no secret: who enrols it elsewhere, or after it was revoked, gets no machine by it."""
        user = self.user()
        agent = self.joined(user, "cellar")
        self.broker.ask("DELETE", "/api/agents/cellar", self.token(user))
        agent.wait()
        [path] = glob.glob(os.path.join(user.home, ".config/berth/device-*.key"))
        with open(path) as file:
            public = file.read().strip()[-64:]
        eve = self.broker.user("eve")
        reply = self.broker.ask("POST", "/api/agent/enroll",
                                body={"code": self.broker.code(eve), "name": "mine", "public_key": public})
        self.assertEqual(reply.json["user"], "eve")
        again = self.machine(user, "cellar", code=False)
        with self.assertRaises(Missing):  # it ends instead
            again.await_line(r"^berth: joined as ")
        self.assertEqual(again.wait(), 1)
        self.assertIn(f"this machine joined for {user.name}, and now it would for eve", again.text())
        until(lambda: not self.broker.agents(eve), "end of the connection")

    def test_told_to_end(self):
        user = self.user()
        agent = self.joined(user, "cellar")
        self.assertEqual(agent.stop(), 0)
        until(lambda: not self.broker.agents(self.token(user)), "broker that knows")

    def test_a_second_one_on_the_machine(self):
        user = self.user()
        self.joined(user, "cellar")
        other = self.machine(user, "cellar", code=False)
        self.assertEqual(other.wait(), 1)
        self.assertIn("has joined it already", other.text())

    def test_a_code_is_good_for_once(self):
        user = self.user()
        code = self.broker.code(self.token(user))
        self.joined(user, "cellar", "--code", code, code=False).stop()
        again = self.machine(user, "cellar", "--code", code, code=False)
        self.assertEqual(again.wait(), 1)
        self.assertIn("was not enrolled", again.text())

    def test_usage_errors(self):
        user = self.user()
        for words, says, status in (
                (["--join", "ftp://x"], "not a broker's URL", 2),
                (["--join", "http://192.0.2.1"], "--insecure-http", 2),
                (["--join", self.broker.url, "--allow", "everything"], "--allow everything", 2),
                (["--join", self.broker.url, "--pin", "00"], "--pin", 2),
                (["--join", self.broker.url, "--name", "x"], "--name goes with --code", 2),
                (["--join", self.broker.url, "--root", "/nowhere"], "--root /nowhere", 1),
                (["--code", "ABCD-EFGH"], "--join URL", 2)):
            done = user.run(self.berth_path, "agent", *words)
            self.check(done, status, says)

    # ---- TLS ----

    def test_a_pinned_certificate(self):
        user = self.user()
        self.broker.kill()
        self.broker.args = (*self.broker.args, "--tls-self-signed")
        self.broker.start()
        pin = re.search(r"SHA-256 is ([0-9a-f]{64})", self.broker.program.text())[1]
        url = f"https://127.0.0.1:{self.broker.port}"
        token = self.token(user)
        code = system("curl", "-sSk", "-XPOST", "-H", f"Authorization: Bearer {token}", f"{url}/api/agent/code")
        code = json.loads(code)["code"]
        refused = self.machine(user, "cellar", "--code", code, code=False, url=url)
        self.assertEqual(refused.wait(), 1)
        self.assertRegex(refused.text(), "certificate|authorit")
        self.joined(user, "cellar", "--code", code, "--pin", pin, code=False, url=url)
        self.broker.url = url
        env = self.env()
        self.login(env, token, "--pin", pin)
        self.assertEqual(self.run_berth("exec", "-n", "echo", "safe", env=env).stdout, "safe\n")


if __name__ == "__main__":
    import unittest
    unittest.main()
