"""Each request that names a file, on each kind of path that is none of a regular file."""

from guest import base64_of
from harness import TestCase, quote

OLD, NEW = b"old text\n", b"new text\n"

READS = ("FileRead", "FileDownload", "FileGet", "EditFile")
WRITES = ("FileWrite", "FileUpload", "FilePut")


def fields(type, path):
    return {
        "FileRead": {"path": path}, "FileDownload": {"guest_path": path}, "FileGet": {"path": path},
        "EditFile": {"path": path, "old_string": "old", "new_string": "new"}, "ListDir": {"path": path},
        "FileWrite": {"path": path, "content": base64_of(NEW)}, "FilePut": {"path": path, "size": len(NEW)},
        "FileUpload": {"guest_path": path, "data": base64_of(NEW)},
    }[type]


class Paths(TestCase):
    def request(self, type, path):
        """The answer, with the body that the request may need."""
        with self.connect() as c:
            c.request(type, **fields(type, path))
            if type == "FilePut":
                c.send(NEW)
            return c.answer()

    def refused(self, types, path, codes=None, saying=None):
        for type in types:
            with self.subTest(type, path=str(path)[:80]):
                said = path.rpartition("/")[2] if saying is None else saying
                self.assertError(self.request(type, path), codes, said)

    def test_missing(self):
        self.refused((*READS, "ListDir"), self.path("none"), "NotFound")
        self.refused((*READS, "ListDir"), self.path("none/file"), "NotFound")
        self.refused(["FilePut"], self.path("none/file"), "NotFound")
        self.assertEqual(self.sh(f"ls -A {self.dir}"), "")

    def test_directory(self):
        self.sh(f"mkdir {self.dir}/dir")
        self.refused((*READS, *WRITES), self.path("dir"), {"InvalidRequest", "IoError"})
        self.refused(WRITES, self.path("dir/"), saying="dir")
        self.assertEqual(self.sh(f"ls -A {self.dir} {self.dir}/dir | grep -v :").split(), ["dir"])

    def test_fifo(self):
        """Nobody waits for its other end."""
        self.sh(f"mkfifo {self.dir}/fifo")
        self.refused((*READS, *WRITES), self.path("fifo"), {"InvalidRequest", "IoError"})
        self.refused(["ListDir"], self.path("fifo"))
        self.assertEqual(self.sh(f"[ -p {self.dir}/fifo ] && ls -A {self.dir}"), "fifo\n")

    def test_device(self):
        for device in ("/dev/zero", "/dev/null", "/dev/full", "/dev/tty"):
            look = f"stat -c '%F %a %u %g %t %T' {device}"
            before = self.sh(look)
            self.refused((*READS, *WRITES, "ListDir"), device)
            self.assertEqual(self.sh(look), before)

    def test_device_of_endless_zeros(self):
        self.refused(READS, "/dev/zero", {"InvalidRequest", "IoError"})

    def test_file_as_a_directory(self):
        path = self.file("file", OLD)
        self.refused((*READS, *WRITES, "ListDir"), path + "/below")
        self.refused(["ListDir"], path)
        self.assertEqual(self.guest.get(path), OLD)

    def test_symlink_to_nowhere(self):
        self.sh(f"ln -s {self.dir}/none {self.dir}/link")
        self.refused((*READS, "ListDir"), self.path("link"), "NotFound")
        self.refused(["FilePut"], self.path("link"))
        for type in ("FileWrite", "FileUpload"):  # refused, or done: then it is where the link says
            with self.subTest(type):
                answer = self.request(type, self.path("link"))
                if answer["type"] == "Ok":
                    self.assertEqual(self.guest.get(self.path("none")), NEW)
                    self.sh(f"rm {self.dir}/none")
                else:
                    self.assertError(answer)
        self.assertEqual(self.sh(f"readlink {self.dir}/link; ls -A {self.dir}"), f"{self.dir}/none\nlink\n")

    def test_symlink_to_itself(self):
        self.sh(f"ln -s loop {self.dir}/loop")
        self.refused((*READS, *WRITES, "ListDir"), self.path("loop"))
        self.assertEqual(self.sh(f"readlink {self.dir}/loop; ls -A {self.dir}"), "loop\nloop\n")

    def test_symlink_to_a_file(self):
        """It is followed, and stays."""
        path = self.file("file", OLD)
        link = self.path("link")
        self.sh(f"chmod 640 {path}; ln -s file {link}")
        self.assertEqual(self.guest.get(link), OLD)
        self.assertEqual(self.ask("FileRead", path=link)["content"], base64_of(OLD))
        self.assertEqual(self.ask("FileDownload", guest_path=link)["data"], base64_of(OLD))
        for type in (*WRITES, "EditFile"):
            with self.subTest(type):
                self.guest.put(path, OLD)
                self.assertOk(self.request(type, link))
                self.assertEqual(self.guest.get(path), NEW)
                self.assertEqual(self.sh(f"readlink {link}; stat -c %a {path}"), "file\n640\n")

    def test_symlink_to_a_directory(self):
        self.sh(f"mkdir {self.dir}/dir; touch {self.dir}/dir/inside; ln -s dir {self.dir}/link")
        self.refused((*READS, *WRITES), self.path("link"), {"InvalidRequest", "IoError"}, saying=self.dir)
        names = [entry["name"] for entry in self.ask("ListDir", path=self.path("link"))["entries"]]
        self.assertEqual(names, ["inside"])
        self.assertOk(self.request("FileWrite", self.path("link/inside")))
        self.assertEqual(self.guest.get(self.path("dir/inside")), NEW)

    def test_too_long(self):
        self.refused((*READS, *WRITES, "ListDir"), self.path("n" * 256), saying="")
        self.refused((*READS, *WRITES, "ListDir"), self.path("d/" * 3000 + "file"), saying="")
        self.refused((*READS, *WRITES, "ListDir"), self.path("x" * (1 << 20)), saying="")
        self.assertEqual(self.sh(f"ls -A {self.dir}"), "")

    def test_longest_name(self):
        """255 bytes: there is no room to add something to it for a temporary name."""
        path = self.path("n" * 255)
        for type in WRITES:
            with self.subTest(type):
                self.sh(f"printf 'old text\\n' >{path}")
                self.assertOk(self.request(type, path))
                self.assertEqual(self.guest.get(path), NEW)
        self.sh(f"printf 'old text\\n' >{path}")
        self.assertOk(self.request("EditFile", path))
        self.assertEqual(self.ask("FileRead", path=path)["content"], base64_of(NEW))
        self.assertEqual(self.sh(f"ls -A {self.dir} | wc -l").strip(), "1")

    def test_odd_names(self):
        for name in (" ", "-n", "a\nb", "'\"$(x)*", "\u00e9\U0001f600", "\\", "\x01\x7f", ".hidden", "...", "~"):
            for type in WRITES:
                with self.subTest(type, name=name):
                    self.assertOk(self.request(type, self.path(name)))
                    self.assertEqual(self.guest.get(self.path(name)), NEW)
                    self.assertEqual(self.sh(f"cd {self.dir}; cat ./{quote(name)}; rm ./{quote(name)}"), NEW.decode())

    def test_no_path(self):
        for path in ("", None, 7, ["/x"], "/tmp/a\u0000b"):
            self.refused((*READS, *WRITES, "ListDir"), path, "InvalidRequest", saying="")
        for type in (*READS, *WRITES, "ListDir"):
            with self.subTest(type):
                self.fails(type, "InvalidRequest")
