"""What needs an agent of one's own: its beginning, its end, and one without privileges."""

import os
import pwd

from guest import base64_of, message
from harness import TestCase, until


def descriptors(pid):
    """What the process has open, as /proc names it."""
    folder = f"/proc/{pid}/fd"
    return [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]


class Private(TestCase):
    def agent(self, **more):
        agent = self.world.agent(**more)
        self.addCleanup(agent.program.kill)
        return agent


class Beginning(Private):
    def test_first_job(self):
        agent = self.agent()
        self.assertEqual([agent.ask("ExecBackground", command="true")["job_id"] for _ in range(3)], [1, 2, 3])

    def test_nothing_is_known_yet(self):
        agent = self.agent()
        self.assertEqual(agent.ask("PollDaemonResults"),
                         {"type": "DaemonResults", "results": [], "pending_tasks": 0})
        self.assertError(agent.ask("ExecPoll", job_id=1), "NotFound")
        self.assertLess(agent.ask("Ping")["uptime_secs"], 60)

    def test_no_network_sockets(self):
        """An agent on unix sockets has not one of TCP or UDP, either."""
        agent = self.agent()
        held = {link[8:-1] for link in descriptors(agent.pid) if link.startswith("socket:")}
        self.assertGreaterEqual(len(held), 2)
        for table in ("tcp", "tcp6", "udp", "udp6", "raw"):
            path = f"/proc/{agent.pid}/net/{table}"
            if os.path.exists(path):
                with open(path) as file:
                    self.assertEqual(held & {line.split()[9] for line in list(file)[1:]}, set(), table)


class End(Private):
    def test_what_runs_ends_with_it(self):
        agent = self.agent()
        job = agent.connect()
        job.request("Exec", command=f"echo $$ >>{self.dir}/pids; sleep 300")
        agent.ask("ExecBackground", command=f"echo $$ >>{self.dir}/pids; sleep 300")
        until(lambda: len(self.sh(f"cat {self.dir}/pids 2>/dev/null || true").split()) == 2, "two commands")
        self.assertEqual(agent.program.stop(), 0, agent.program.text())
        job.close()
        until(lambda: self.guest.gone(*self.sh(f"cat {self.dir}/pids").split()), "end of the commands")

    def test_temporary_files_end_with_it(self):
        agent = self.agent()
        with agent.connect() as c:
            c.request("FilePut", path=self.path("file"), size=1000)
            c.send(b"x" * 500)
            until(lambda: any(link.startswith(self.dir) for link in descriptors(agent.pid)), "temporary file")
            self.assertEqual(agent.program.stop(), 0)
        self.assertEqual(os.listdir(self.dir), [])


class Unprivileged(Private):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs root, to be somebody else")
        nobody = pwd.getpwnam("nobody")
        self.other = self.agent(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
        self.sh(f"chmod 755 {self.dir}; cd {self.dir}; umask 077; mkdir dir; echo secret >file; echo x >dir/file; "
                "chmod 644 dir/file")

    def test_permission_denied(self):
        refused = {
            "FileRead": {"path": self.path("file")}, "FileDownload": {"guest_path": self.path("file")},
            "FileGet": {"path": self.path("file")}, "ListDir": {"path": self.path("dir")},
            "FileWrite": {"path": self.path("file"), "content": base64_of(b"x")},
            "FileUpload": {"guest_path": self.path("new"), "data": base64_of(b"x")},
            "FilePut": {"path": self.path("new"), "size": 0},
            "EditFile": {"path": self.path("file"), "old_string": "secret", "new_string": "x"},
            "Exec": {"command": "true", "workdir": self.path("dir")},
            "ExecBackground": {"command": "true", "workdir": self.path("dir")},
        }
        for type, fields in refused.items():
            with self.subTest(type):
                self.assertError(self.other.ask(type, **fields), "PermissionDenied")
        self.assertError(self.other.ask("FileRead", path=self.path("dir/file")), "PermissionDenied")
        self.assertEqual(self.sh(f"ls -A {self.dir}; cat {self.dir}/file"), "dir\nfile\nsecret\n")

    def test_a_file_that_may_be_read_only(self):
        self.sh(f"chmod 644 {self.dir}/file")
        self.assertEqual(self.other.get(self.path("file")), b"secret\n")
        with self.other.connect() as c:
            c.send_frame(message("FilePut", path=self.path("file"), size=0))
            self.assertError(c.answer(), "PermissionDenied")
