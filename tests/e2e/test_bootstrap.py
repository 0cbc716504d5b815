"""First contact with a host, whatever its login shell, its disks and its tools are like."""

import fcntl
import hashlib
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import termios

from harness import *

SHELLS = ["/bin/sh", "/bin/dash", "/bin/bash", "/bin/zsh", "/usr/bin/fish", "/bin/tcsh", "/bin/csh"]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def binaries(folder):
    """What there is but the agent's log."""
    return [name for name in os.listdir(folder) if name != "agent.log"]


class Bootstrap(TestCase):
    def binary(self, folder, source=None):
        """Where our binary belongs in a folder of the host."""
        return os.path.join(folder, "berth-" + sha256(source or self.berth_path)[:16])

    def assert_installed(self, folder):
        """The binary is there, whole and private, and nothing else is."""
        path = self.binary(folder)
        self.assertEqual(binaries(folder), [os.path.basename(path)])
        self.assertEqual(sha256(path), sha256(self.berth_path))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)

    def assert_carries(self, user, **more):
        """A connection goes through a new master to a server on the host; the master."""
        echo = self.server(Echo())
        port = free_port()
        master = self.connected(user, "-L", f"{port}:127.0.0.1:{echo.port}", **more)
        self.assertEqual(exchange(port, b"through the tunnel"), b"through the tunnel")
        return master

    def assert_fails(self, user, pattern, **more):
        """The master ends with one line, which says why."""
        master = self.master(user, **more)
        status = master.wait()
        self.assertEqual(len(master.lines), 1, master.text())
        self.assertRegex(master.lines[0], r"^berth: testhost: " + pattern)
        self.assertEqual(status, 1)
        return master

    def occupy_temp(self, user):
        """The place in /tmp is another user's."""
        os.mkdir(user.temp_bin, 0o755)


class FirstContact(Bootstrap):
    def test_one_connection_and_one_authentication(self):
        user = self.user()
        mark = self.sshd.mark()
        self.assert_carries(user)
        self.assert_installed(user.cache)
        self.assertEqual(self.sshd.connections(mark), 1)
        self.assertEqual(self.sshd.accepted(mark), 1)

    def test_second_contact_sends_nothing(self):
        user = self.user()
        self.assert_carries(user).stop()
        before = os.stat(self.binary(user.cache))
        wire = self.server(Wire(self.sshd.port))
        self.assert_carries(user, config=self.ssh_config(user, port=wire.port))
        after = os.stat(self.binary(user.cache))
        self.assertEqual((before.st_ino, before.st_mtime_ns), (after.st_ino, after.st_mtime_ns))
        self.assertLess(wire.passed, os.path.getsize(self.berth_path) / 4)

    def test_two_at_once(self):
        user = self.user()
        masters = [self.master(user) for _ in range(2)]
        for master in masters:
            master.await_line("connected")
        self.assert_installed(user.cache)

    def test_in_the_background(self):
        user = self.user()
        echo = self.server(Echo())
        port = free_port()
        starter = self.master(user, "-d", "-L", f"{port}:127.0.0.1:{echo.port}")
        self.assertEqual(starter.process.wait(DEADLINE), 0, starter.text())
        self.assertEqual(exchange(port), b"ping")
        self.assert_installed(user.cache)

    def test_settings_that_would_disturb(self):
        user = self.user()
        port = free_port()
        config = self.ssh_config(user, "RemoteCommand echo hello", f"LocalForward {port} localhost:9",
                                 "RequestTTY force", "ForwardX11 yes", "ForwardAgent yes")
        self.assert_carries(user, config=config)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))

    def test_a_connection_that_ssh_shares(self):
        user = self.user()
        config = self.ssh_config(user, "ControlMaster auto", f"ControlPath {self.dir}/shared",
                                 "ControlPersist 60")
        self.addCleanup(subprocess.run, ["ssh", "-F", config, "-O", "exit", "testhost"], check=False,
                        capture_output=True)
        mark = self.sshd.mark()
        self.assert_carries(user, config=config).stop()
        self.assert_carries(user, config=config).stop()
        self.assertEqual(self.sshd.connections(mark), 1)


class Terminal(Bootstrap):
    """A person sits in front of it."""

    transport = "ssh"

    def on_terminal(self, user, *args, config=None, shell=()):
        """A master whose controlling terminal is a pty of ours: it, and the pty's near end. `shell` is
        what starts it, if anything."""
        near, far = os.openpty()
        self.addCleanup(os.close, near)
        argv = [self.berth_path, "master", "-F", config or self.ssh_config(user), "--transport",
                self.transport, *args, "testhost"]
        master = self.start(*shell, *argv, stdin=far, stdout=far, stderr=far,
                            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(far)
        return master, near

    def shown(self, near, text):
        """What the terminal has shown once `text` is there."""
        got = b""
        while text not in got:
            if not select.select([near], [], [], DEADLINE)[0]:
                raise Missing(f"no {text!r} on the terminal; it shows {got!r}")
            got += os.read(near, 4096)
        return got

    def locked_config(self, user):
        key = os.path.join(self.dir, "key")
        shutil.copy(self.sshd.user_key, key)
        system("ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", key)
        return self.ssh_config(user, f"IdentityFile {key}", identity=False)

    def test_progress_bar(self):
        _, near = self.on_terminal(self.user())
        self.assertIn(b"100%", self.shown(near, b"connected"))

    def test_ssh_asks_for_a_passphrase(self):
        user = self.user()
        _, near = self.on_terminal(user, config=self.locked_config(user))
        self.shown(near, b"Enter passphrase")
        os.write(near, b"open sesame\n")
        self.assertNotIn(b"sesame", self.shown(near, b"connected"))

    def test_reconnecting_asks_nothing(self):
        user = self.user()
        _, near = self.on_terminal(user, config=self.locked_config(user))
        self.shown(near, b"Enter passphrase")
        os.write(near, b"open sesame\n")
        self.shown(near, b"connected")
        self.sshd.kill_connections()
        self.assertNotIn(b"Enter passphrase", self.shown(near, b"run `berth master testhost` again"))

    def test_ssh_asks_on_the_way_to_the_background(self):
        user = self.user()
        echo = self.server(Echo())
        port = free_port()
        starter, near = self.on_terminal(user, "-d", "-L", f"{port}:127.0.0.1:{echo.port}",
                                         config=self.locked_config(user))
        self.shown(near, b"Enter passphrase")
        os.write(near, b"open sesame\n")
        self.shown(near, b"connected")
        self.assertEqual(starter.process.wait(DEADLINE), 0)
        self.assertEqual(exchange(port), b"ping")

    def test_the_terminal_is_as_before_when_the_question_is_cut_short(self):
        user = self.user()
        # A terminal is hung up when what it was opened by ends; that is never a person's master.
        shell = ["/bin/sh", "-c", '"$@"; read line', "sh"]
        _, near = self.on_terminal(user, config=self.locked_config(user), shell=shell)
        self.shown(near, b"Enter passphrase")
        self.assertFalse(termios.tcgetattr(near)[3] & termios.ECHO)
        [master] = [pid for pid in each_process() if program(pid) == self.berth_path]
        [ssh] = [pid for pid in each_process() if parent(pid) == master]
        # ssh misses a signal that comes between its question and its waiting for the answer.
        until(lambda: state(ssh) == "S", "ssh that waits")
        os.kill(master, signal.SIGTERM)
        until(lambda: termios.tcgetattr(near)[3] & termios.ECHO, "terminal that echoes")


@root_only
class LoginShells(Bootstrap):
    def test_every_shell(self):
        for shell in SHELLS:
            with self.subTest(shell=shell):
                if not os.path.exists(shell):
                    self.skipTest("not installed")
                user = self.user(shell=shell)
                user.reset()
                self.assert_carries(user).stop()
                self.assert_carries(user).stop()
                self.assert_installed(user.cache)

    def test_every_shell_with_chatty_start_up_files(self):
        for shell, name in STARTUP.items():
            with self.subTest(shell=shell):
                user = self.user(shell=shell)
                user.reset()
                user.write(name, "echo 'Welcome to this host.'\n"
                                 "sh -c 'echo \"something is odd\" >&2'\n"
                                 "printf 'no newline here'\n")
                master = self.assert_carries(user)
                self.assert_installed(user.cache)
                self.assertIn("something is odd", master.text())
                master.stop()

    def test_a_flood_before_the_command(self):
        user = self.user(shell="/bin/bash")
        user.write(".bashrc", "head -c 3000000 /dev/zero\n")
        self.assert_fails(user, "its login shell prints too much: .*start-up files")

    def test_a_lot_before_the_command(self):
        user = self.user(shell="/bin/bash")
        user.write(".bashrc", "head -c 1000000 /dev/zero\n")
        self.assert_carries(user)

    def test_a_login_that_runs_nothing(self):
        user = self.user(shell="/usr/sbin/nologin")
        self.assert_fails(user, "its login shell did not start berth: .*not available")


@root_only
class Disks(Bootstrap):
    def test_noexec_home(self):
        user = self.user()
        self.mount_tmpfs(user.home, "noexec", f"uid={user.uid}", "mode=700")
        self.assert_carries(user)
        self.assert_installed(user.temp_bin)
        self.assertEqual(stat.S_IMODE(os.stat(user.temp_bin).st_mode), 0o700)
        self.assertEqual(binaries(user.cache), [])
        before = os.stat(self.binary(user.temp_bin)).st_ino
        self.assert_carries(user)
        self.assertEqual(os.stat(self.binary(user.temp_bin)).st_ino, before)

    def test_noexec_home_and_a_runtime_directory(self):
        user = self.user()
        runtime = os.path.join(self.dir, "host run")
        os.mkdir(runtime)
        user.own(runtime, 0o700)
        self.mount_tmpfs(user.home, "noexec", f"uid={user.uid}", "mode=700")
        user.environment(XDG_RUNTIME_DIR=runtime)
        self.assert_carries(user)
        self.assert_installed(os.path.join(runtime, "berth"))
        self.assertFalse(os.path.exists(user.temp_bin))

    def test_noexec_home_and_nowhere_to_go(self):
        user = self.user()
        self.mount_tmpfs(user.home, "noexec", f"uid={user.uid}", "mode=700")
        self.occupy_temp(user)
        self.assert_fails(user, f"nowhere to put the binary: {user.cache}: programs may not run there; "
                                f"{user.temp_bin}: not a directory of this user$")

    def test_full_home(self):
        user = self.user()
        self.mount_tmpfs(user.home, "size=64k", f"uid={user.uid}", "mode=700")
        self.assert_carries(user)
        self.assert_installed(user.temp_bin)
        self.assertEqual(binaries(user.cache), [])

    def test_full_home_and_nowhere_to_go(self):
        user = self.user()
        self.mount_tmpfs(user.home, "size=64k", f"uid={user.uid}", "mode=700")
        self.occupy_temp(user)
        self.assert_fails(user, f"nowhere to put the binary: {user.cache}: No space left on device; ")

    def test_home_that_cannot_be_written(self):
        user = self.user()
        user.own(user.home, 0o500)
        self.assert_carries(user)
        self.assert_installed(user.temp_bin)

    def test_a_link_in_the_way_is_not_followed(self):
        user, other = self.user(), self.user("b")
        user.own(user.home, 0o500)
        os.symlink(other.home, user.temp_bin)
        other.own(other.home, 0o777)
        self.assert_fails(user, "nowhere to put the binary: .*not a directory of this user$")
        self.assertEqual(os.listdir(other.home), [])

    def test_space_that_runs_out_on_the_way(self):
        user = self.user()
        real = shutil.which("head")
        user.write("bin/head", f'#!/bin/sh\n[ $# = 2 ] || exec {real} "$@"\n'
                               f'{real} -c 100000\necho "head: write error: No space left on device" >&2\n'
                               "exit 1\n", 0o700)
        user.environment(PATH=f"{user.home}/bin:/usr/bin:/bin")
        self.assert_fails(user, rf"no room for the \d+\.\d MiB binary in {user.cache}: "
                                "No space left on device$")
        self.assertEqual(binaries(user.cache), [])

    def test_damaged_binaries_are_replaced(self):
        user = self.user()
        with open(self.berth_path, "rb") as file:
            whole = file.read()
        damaged = {"cut": whole[:len(whole) // 2], "zeros": bytes(4096), "empty": b"", "head": whole[:64],
                   "text": b"touch ~/was-run\n", "flipped": whole[:-1] + bytes([whole[-1] ^ 1])}
        for name, content in damaged.items():
            with self.subTest(name):
                user.reset()
                user.write(os.path.relpath(self.binary(user.cache), user.home), content, 0o700)
                self.assert_carries(user).stop()
                self.assert_installed(user.cache)
                self.assertFalse(os.path.exists(os.path.join(user.home, "was-run")))


@root_only
class Hosts(Bootstrap):
    def pretend(self, user, says):
        """uname tells this of the host."""
        user.write("bin/uname", f"#!/bin/sh\necho {says}\n", 0o700)
        user.environment(PATH=f"{user.home}/bin:/usr/bin:/bin")

    def test_unsupported_architecture(self):
        user = self.user()
        self.pretend(user, "Linux riscv64")
        self.assert_fails(user, "it runs Linux riscv64; berth is built for Linux on x86_64 and aarch64$")
        self.assertFalse(os.path.exists(user.cache))

    def test_unsupported_system(self):
        user = self.user()
        self.pretend(user, "FreeBSD amd64")
        self.assert_fails(user, "it runs FreeBSD amd64; ")

    def other_architecture(self):
        return "aarch64" if os.uname().machine == "x86_64" else "x86_64"

    def test_no_binary_for_the_host(self):
        user = self.user()
        arch = self.other_architecture()
        alone = os.path.join(self.dir, "berth")
        shutil.copy(self.berth_path, alone)
        self.pretend(user, f"Linux {arch}")
        self.berth_path = alone
        self.assert_fails(user, f"no berth-{arch} beside {alone} to send$")

    def test_where_the_other_binary_is_found(self):
        """A stand-in that runs here: our own binary with something behind it."""
        user = self.user()
        arch = self.other_architecture()
        bin_dir = os.path.join(self.dir, "bin")
        os.mkdir(bin_dir)
        alone = shutil.copy(self.berth_path, os.path.join(bin_dir, "berth"))
        self.berth_path = alone
        for place in (bin_dir, os.path.join(self.dir, "lib/berth"), os.path.join(self.home, ".cache/berth")):
            with self.subTest(place):
                user.reset()
                self.pretend(user, f"Linux {arch}")
                os.makedirs(place, exist_ok=True)
                stand_in = shutil.copy(alone, os.path.join(place, f"berth-{arch}"))
                with open(stand_in, "ab") as file:
                    file.write(place.encode())
                self.connected(user).stop()
                self.assertEqual(binaries(user.cache),
                                 [os.path.basename(self.binary(user.cache, stand_in))])
                os.unlink(stand_in)

    def test_a_binary_that_cannot_run_there(self):
        user = self.user()
        arch = self.other_architecture()
        bin_dir = os.path.join(self.dir, "bin")
        os.mkdir(bin_dir)
        self.berth_path = shutil.copy(self.berth_path, os.path.join(bin_dir, "berth"))
        with open(os.path.join(bin_dir, f"berth-{arch}"), "wb") as file:
            file.write(b"\x7fELF" + bytes(100000))
        self.pretend(user, f"Linux {arch}")
        self.assert_fails(user, f"the binary arrived damaged, or cannot run, in {user.cache}$")
        self.assertEqual(binaries(user.cache), [])

    def test_hardly_any_tools(self):
        user = self.user()
        tools = user.make_dir("tools")
        for tool in TOOLS:
            os.symlink(shutil.which(tool), os.path.join(tools, tool))
        user.environment(PATH=tools)
        self.assert_carries(user)
        self.assert_installed(user.cache)

    def test_busybox_tools(self):
        if not shutil.which("busybox"):
            self.skipTest("busybox is not installed")
        user = self.user()
        tools = user.make_dir("tools")
        for tool in TOOLS:
            os.symlink(shutil.which("busybox"), os.path.join(tools, tool))
        user.environment(PATH=tools)
        self.assert_carries(user)
        self.assert_installed(user.cache)

    def test_no_tools_at_all(self):
        user = self.user()
        user.environment(PATH=user.make_dir("tools"))
        self.assert_fails(user, "it runs an unknown system; ")


class Refusals(Bootstrap):
    """ssh's own lines are passed on; the last one is ours."""

    def assert_last_line(self, master, pattern):
        self.assertEqual(master.wait(), 1)
        self.assertEqual([line for line in master.lines if line.startswith("berth: ")], master.lines[-1:])
        self.assertRegex(master.lines[-1], "^berth: testhost: " + pattern)

    def test_no_key(self):
        user = self.user()
        other = os.path.join(self.dir, "key")
        system("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other)
        config = self.ssh_config(user, f"IdentityFile {other}", identity=False)
        self.assert_last_line(self.master(user, config=config), r"\S+: Permission denied \(publickey\)")

    def test_nobody_listens(self):
        user = self.user()
        port = free_port()
        self.assert_last_line(self.master(user, config=self.ssh_config(user, port=port)),
                              f"connect to host 127.0.0.1 port {port}: Connection refused$")

    def test_unknown_host_key(self):
        user = self.user()
        config = self.ssh_config(user, "HostKeyAlias another")
        self.assert_last_line(self.master(user, config=config), "its host key is not known: ")

    def test_changed_host_key(self):
        user = self.user()
        known = os.path.join(self.dir, "known_hosts")
        with open(self.sshd.user_key + ".pub") as key, open(known, "w") as file:
            file.write("berth-test " + key.read())
        config = self.ssh_config(user, f"UserKnownHostsFile {known}")
        self.assert_last_line(self.master(user, config=config), "its host key has changed: ")

    def test_unknown_setting(self):
        user = self.user()
        self.assert_last_line(self.master(user, "-o", "Nonsense=1"), ".*Bad configuration option: nonsense$")

    def test_no_ssh_program(self):
        user = self.user()
        master = self.master(user, env=self.env(PATH=self.dir))
        self.assert_last_line(master, "there is no ssh program in PATH$")
        self.assertEqual(len(master.lines), 1)


class Reconnects(Bootstrap):
    transport = "ssh"

    def test_asks_nothing_and_says_so_once(self):
        user = self.user()
        key = os.path.join(self.dir, "key")
        shutil.copy(self.sshd.user_key, key)
        config = self.ssh_config(user, f"IdentityFile {key}", identity=False)
        master = self.assert_carries(user, config=config)
        os.rename(key, key + ".away")
        self.sshd.kill_connections()
        master.await_line("^berth: testhost: network lost, reconnecting$")
        master.await_line("^berth: testhost: a password or a confirmation is needed: "
                          "run `berth master testhost` again$")
        os.rename(key + ".away", key)
        master.await_line("^berth: testhost: back ")
        self.assertEqual(len(re.findall("a password", master.text())), 1)
        self.assertNotIn("Permission denied", master.text())

    def test_puts_the_binary_there_again(self):
        user = self.user()
        master = self.assert_carries(user)
        os.unlink(self.binary(user.cache))
        self.sshd.kill_connections()
        master.await_line("^berth: testhost: back ")
        self.assert_installed(user.cache)
