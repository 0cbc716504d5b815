"""`berth doctor`: what it says of hosts that are well, and of those that are not."""

import os
import re
import shutil
import signal
import socket

from harness import *

LINE = re.compile(r"(ok|\?|warn|FAIL) +([a-z ]+?)  +(\S.*)")
REMEDY = re.compile(r" {21}-> \S")


class Doctor(TestCase):
    def examine(self, user, *args, status=0, config=None):
        """What it printed: {name: (level, text)}."""
        self.done = self.berth("doctor", "-F", config or self.ssh_config(user), *args, "testhost")
        printed = self.done.stdout
        self.assertEqual(self.done.stderr, "")
        *lines, verdict = printed.splitlines()
        checks = {}
        for line, below in zip(lines, [*lines[1:], verdict]):
            if REMEDY.match(line):
                continue
            level, name, text = LINE.fullmatch(line).groups()
            self.assertEqual((line.index(name), line.index(text)), (6, 21), line)
            self.assertEqual(level in ("warn", "FAIL"), bool(REMEDY.match(below)), line)
            checks[name] = (level, text)
        failed = any(level == "FAIL" for level, text in checks.values())
        self.assertIn("testhost is not ready" if failed else "testhost is ready", verdict)
        self.assertEqual(self.done.returncode, status, printed)
        return checks

    def assert_check(self, checks, name, level, pattern="."):
        self.assertIn(name, checks)
        self.assertEqual(checks[name][0], level, checks[name])
        self.assertRegex(checks[name][1], pattern)

    def squat(self, user, path):
        """Something of another user's at that path."""
        squatter = self.user("b")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
        os.chown(path, squatter.uid, squatter.gid)
        return squatter


class Healthy(Doctor):
    def test_every_line(self):
        user = self.user()
        mark = self.sshd.mark()
        checks = self.examine(user)
        self.assertEqual([name for name, (level, text) in checks.items() if level != "ok"], ["udp path"])
        self.assert_check(checks, "udp path", "?", "^not tried: ")
        self.assert_check(checks, "ssh", "ok", r"^connects, \d+ ms, without a prompt$")
        self.assert_check(checks, "architecture", "ok", f"^Linux {os.uname().machine}$")
        self.assert_check(checks, "kernel", "ok", "^" + re.escape(os.uname().release) + "$")
        self.assert_check(checks, "binary", "ok", f"^goes to {user.cache}: .* free, .* needed$")
        self.assert_check(checks, "agent socket", "ok", f"^/tmp/berth-{user.uid}.sock is free$")
        self.assert_check(checks, "version", "ok", "none there yet")
        self.assertEqual(self.sshd.connections(mark), 1)

    def test_nothing_is_left(self):
        user = self.user()
        self.examine(user)
        self.assertEqual(os.listdir(user.home), [])
        self.assertEqual([name for name in os.listdir("/tmp")
                          if IS_ROOT and os.lstat(f"/tmp/{name}").st_uid == user.uid], [])
        self.assertFalse(os.path.exists(user.temp_bin))

    def test_while_a_session_is_up(self):
        user = self.user()
        self.connected(user)
        checks = self.examine(user)
        self.assert_check(checks, "binary", "ok", f"^is in {user.cache}$")
        self.assert_check(checks, "agent socket", "ok", f"^your agent is at /tmp/berth-{user.uid}.sock$")
        self.assert_check(checks, "version", "ok", "as your agent there$")
        self.assert_check(checks, "udp path", "ok", r"^gets through to 127\.0\.0\.1, port \d+, in \S+ ms")

    def test_after_a_session(self):
        user = self.user()
        self.connected(user).stop()
        end(user.agents())
        self.assert_check(self.examine(user), "version", "ok", ", here and there$")

    @root_only
    def test_every_shell_however_chatty(self):
        for shell, name in STARTUP.items():
            with self.subTest(shell=shell):
                user = self.user(shell=shell)
                user.reset()
                self.assert_check(self.examine(user), "login shell", "ok")
                user.write(name, "echo 'Welcome to this host.'\nprintf 'no newline'\n")
                checks = self.examine(user)
                self.assert_check(checks, "login shell", "warn", "^prints 32 bytes .*: Welcome to this host.$")
                self.assert_check(checks, "memory", "ok")

    @root_only
    def test_hardly_any_tools(self):
        for program in (None, "busybox"):
            with self.subTest(busybox=bool(program)):
                user = self.user()
                user.reset()
                tools = user.make_dir("tools")
                for tool in TOOLS:
                    os.symlink(shutil.which(program or tool), os.path.join(tools, tool))
                user.environment(PATH=tools)
                checks = self.examine(user)
                self.assert_check(checks, "agent socket", "?", "^unknown")
                self.assert_check(checks, "binary", "ok", f"^goes to {user.cache}$")
                self.assertEqual(sorted(os.listdir(user.home)), [".ssh", "tools"])


@root_only
class Ailing(Doctor):
    def pretend(self, user, **says):
        answers = "".join(f"-{option}) echo '{word}' ;; " for option, word in says.items())
        user.write("bin/uname", f"#!/bin/sh\ncase $1 in {answers}esac\n", 0o700)
        user.environment(PATH=f"{user.home}/bin:/usr/bin:/bin")

    def test_noexec_home(self):
        user = self.user()
        self.mount_tmpfs(user.home, "noexec", f"uid={user.uid}", "mode=700")
        checks = self.examine(user)
        self.assert_check(checks, "home", "warn",
                          f"^{user.home} is mounted noexec: the binary goes to {user.temp_bin}$")
        self.assertEqual(os.listdir(user.home), [])
        self.connected(user).stop()
        self.assert_check(self.examine(user), "home", "warn", f"the binary is in {user.temp_bin}$")

    def test_noexec_home_and_nowhere_to_go(self):
        user = self.user()
        self.mount_tmpfs(user.home, "noexec", f"uid={user.uid}", "mode=700")
        os.mkdir(user.temp_bin, 0o755)
        checks = self.examine(user, status=1)
        self.assert_check(checks, "binary", "FAIL", f"{user.home} is mounted noexec; "
                                                    f"{user.temp_bin}: not a directory of this user$")

    def test_full_home(self):
        user = self.user()
        self.mount_tmpfs(user.home, "size=64k", f"uid={user.uid}", "mode=700")
        checks = self.examine(user)
        self.assert_check(checks, "home", "warn", f"^{user.cache}: No space left on device "
                                                  rf"\(64 KiB free\): the binary goes to {user.temp_bin}$")

    def test_full_everywhere(self):
        user = self.user()
        self.mount_tmpfs(user.home, "size=64k", f"uid={user.uid}", "mode=700")
        os.mkdir(user.temp_bin)
        user.own(user.temp_bin, 0o700)
        self.mount_tmpfs(user.temp_bin, "size=32k", f"uid={user.uid}", "mode=700")
        checks = self.examine(user, status=1)
        self.assert_check(checks, "space", "FAIL", r"64 KiB free\); .*32 KiB free\)$")
        self.assertEqual(os.listdir(user.home) + os.listdir(user.temp_bin), [])

    def test_home_that_cannot_be_written(self):
        user = self.user()
        user.own(user.home, 0o500)
        self.assert_check(self.examine(user), "home", "warn", f"^{user.cache}: Permission denied: ")

    def test_squatted_socket(self):
        user = self.user()
        path, instead = user.sockets()
        squatter = self.squat(user, path)
        checks = self.examine(user)
        self.assert_check(checks, "agent socket", "warn",
                          f"^{path} is held by {squatter.name}, but {instead} is free$")
        self.assertTrue(os.path.exists(path))
        self.connected(user)
        self.assert_check(self.examine(user), "agent socket", "warn", f"but your agent is at {instead}$")

    def test_both_sockets_squatted(self):
        user = self.user()
        for path in user.sockets():
            self.squat(user, path)
        self.assert_check(self.examine(user, status=1), "agent socket", "FAIL", "is held by .*; .* is held by ")

    def test_squatted_lock(self):
        user = self.user()
        path = user.sockets()[0]
        squatter = self.squat(user, path + ".lock")
        self.assert_check(self.examine(user), "agent socket", "warn",
                          f"^{path}.lock is held by {squatter.name}, but ")

    def test_socket_that_was_left_behind(self):
        user = self.user()
        self.connected(user).kill()
        agents = user.agents()
        for agent in agents:
            os.kill(agent, signal.SIGKILL)
        end(agents)
        self.assert_check(self.examine(user), "agent socket", "ok", "was left behind")

    def test_agent_of_another_build(self):
        user = self.user()
        build = re.search(r"build ([0-9a-f]{16})", self.berth("--version").stdout)[1]
        with open(self.berth_path, "rb") as file:
            other = file.read().replace(build.encode(), b"0123456789abcdef")
        path = user.write(".cache/berth/berth-0000111122223333", other, 0o700)
        checks = self.examine(user)
        self.assert_check(checks, "version", "ok", "there is berth .* 0123456789abcdef.*, this one will be sent$")
        agent = user.popen("berth", "agent", "--daemon", "0", executable=path, stdout=-1)
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        self.addCleanup(agent.stdout.close)
        self.assertEqual(agent.stdout.readline(), b"ready\n")
        checks = self.examine(user)
        self.assert_check(checks, "version", "warn", rf"{build}\), but an agent there is berth .* 0123456789abcdef")

    def test_unsupported_hosts(self):
        user = self.user()
        self.pretend(user, s="FreeBSD", m="amd64", r="14.0")
        checks = self.examine(user, status=1)
        self.assert_check(checks, "architecture", "FAIL", "^FreeBSD amd64: ")
        self.assertNotIn("kernel", checks)

    def test_old_kernel(self):
        user = self.user()
        self.pretend(user, s="Linux", m=os.uname().machine, r="4.18.0-553.el8")
        self.assert_check(self.examine(user, status=1), "kernel", "FAIL", "^4.18.0-553.el8: berth needs Linux 5.4$")

    def test_no_binary_for_the_host(self):
        user = self.user()
        arch = "aarch64" if os.uname().machine == "x86_64" else "x86_64"
        self.pretend(user, s="Linux", m=arch, r="6.1")
        self.berth_path = shutil.copy(self.berth_path, os.path.join(self.dir, "berth"))
        self.assert_check(self.examine(user, status=1), "architecture", "FAIL", f"here is no berth-{arch} to send$")

    def test_no_tools_at_all(self):
        user = self.user()
        user.environment(PATH=user.make_dir("tools"))
        checks = self.examine(user, status=1)
        self.assert_check(checks, "tools", "FAIL", "^not there: uname head chmod mv mkdir$")
        self.assert_check(checks, "architecture", "?")

    def test_few_open_files(self):
        user = self.user(shell="/bin/bash")
        user.write(".bashrc", "ulimit -n 200\n")
        self.assert_check(self.examine(user), "open files", "warn", "^at most 200")

    def test_a_flood_before_the_command(self):
        user = self.user(shell="/bin/bash")
        user.write(".bashrc", "head -c 3000000 /dev/zero\n")
        self.assert_check(self.examine(user, status=1), "login shell", "FAIL", "over 1 MiB")

    def test_a_login_that_runs_nothing(self):
        user = self.user(shell="/usr/sbin/nologin")
        checks = self.examine(user, status=1)
        self.assert_check(checks, "ssh", "ok")
        self.assert_check(checks, "login shell", "FAIL", "^runs no command: .*not available")

    def test_a_start_up_file_that_reads(self):
        user = self.user(shell="/bin/bash")
        user.write(".bashrc", "read -r answer\n")
        self.assert_check(self.examine(user), "login shell", "ok")


class Unreachable(Doctor):
    def test_nobody_listens(self):
        user = self.user()
        port = free_port()
        checks = self.examine(user, config=self.ssh_config(user, port=port), status=1)
        self.assertEqual(list(checks), ["ssh"])
        self.assert_check(checks, "ssh", "FAIL", f"port {port}: Connection refused$")

    def test_port_option(self):
        user = self.user()
        self.assertEqual(list(self.examine(user, "-p", str(free_port()), status=1)), ["ssh"])

    def test_somebody_listens_and_says_nothing(self):
        user = self.user()
        sink = self.server(Sink())
        checks = self.examine(user, "-o", "ConnectTimeout=1", config=self.ssh_config(user, port=sink.port),
                              status=1)
        self.assert_check(checks, "ssh", "FAIL", "timed out")

    def test_no_key(self):
        user = self.user()
        config = self.ssh_config(user, "PubkeyAuthentication no")
        self.assert_check(self.examine(user, config=config, status=1), "ssh", "FAIL",
                          r"^takes none of your keys: .*Permission denied \(publickey\)")
        self.assertIn("ssh-copy-id testhost", self.done.stdout)

    def test_unknown_host_key(self):
        user = self.user()
        config = self.ssh_config(user, "HostKeyAlias another")
        done = self.berth("doctor", "-F", config, "testhost")
        self.assertRegex(done.stdout, "^FAIL  ssh            its host key is not known: run `ssh testhost`")
        self.assertEqual(done.returncode, 1)

    def test_unknown_setting(self):
        user = self.user()
        checks = self.examine(user, "-o", "Nonsense=1", status=1)
        self.assert_check(checks, "ssh", "FAIL", "Bad configuration option: nonsense$")

    def test_no_ssh_program(self):
        done = self.berth("doctor", "testhost", env=self.env(PATH=self.dir))
        self.assertRegex(done.stdout, "^FAIL  ssh            there is no ssh program in PATH\n")
        self.assertEqual(done.returncode, 1)


class Usage(Doctor):
    def test_wrong_words(self):
        for words in ([], ["--nonsense", "h"], ["-p"], ["a", "b"], [""], ["--", "-h"], ["--", "a", "b"]):
            with self.subTest(words):
                done = self.berth("doctor", *words)
                self.assertEqual(done.returncode, 2)
                self.assertEqual(done.stdout, "")
                self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_help(self):
        done = self.berth("doctor", "--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("usage: berth doctor", done.stdout)
        self.assertRegex(self.berth().stdout, r"berth doctor +\S")
