"""FileRead, FileWrite, FileUpload, FileDownload, EditFile, ListDir."""

import base64
import hashlib

from guest import base64_of
from harness import TestCase, quote

MIB = 1 << 20
FILE_LIMIT = 32 * MIB
ALL_BYTES = bytes(range(256)) * 3


def noise(size):
    """Bytes without a period; the same ones each time."""
    return hashlib.shake_128(b"noise").digest(size)


class Reading(TestCase):
    def read(self, path, **fields):
        answer = self.ask("FileRead", path=path, **fields)
        self.assertShape(answer, "FileContent", {"content", "size"})
        data = base64.b64decode(answer["content"], validate=True)
        self.assertEqual(answer["size"], len(data))
        self.assertNumber(answer["size"])
        return data

    def download(self, path):
        answer = self.ask("FileDownload", guest_path=path)
        self.assertShape(answer, "FileData", {"data", "size"})
        data = base64.b64decode(answer["data"], validate=True)
        self.assertEqual(answer["size"], len(data))
        return data

    def test_whole(self):
        for data in (b"", b"x", b"ab", b"abc", ALL_BYTES, "\u00e9\n".encode()):
            path = self.file("file", data)
            self.assertEqual(self.read(path), data)
            self.assertEqual(self.download(path), data)

    def test_slices(self):
        data = ALL_BYTES
        size = len(data)
        path = self.file("file", data)
        for offset in (0, 1, 255, size - 1, size, size + 1, 1 << 40, (1 << 63) - 1):
            self.assertEqual(self.read(path, offset=offset), data[offset:])
            for limit in (0, 1, 2, size - 1, size, size + 1, 1 << 40, (1 << 63) - 1):
                with self.subTest(offset=offset, limit=limit):
                    self.assertEqual(self.read(path, offset=offset, limit=limit), data[offset:offset + limit])
        self.assertEqual(self.read(path, limit=10), data[:10])
        self.assertEqual(self.read(path, limit=None, offset=None), data)

    def test_bad_slices(self):
        path = self.file("file", ALL_BYTES)
        for value in (-1, "1", 1.5, [], 1 << 70):
            with self.subTest(value):
                self.fails("FileRead", "InvalidRequest", path=path, offset=value)
                self.fails("FileRead", "InvalidRequest", path=path, limit=value)

    def test_more_than_a_usual_frame(self):
        """5 and 11 MiB: what agentiso's frames of 16 MiB hold."""
        for size in (5 * MIB, 11 * MIB):
            data = noise(size)
            path = self.file("file", data)
            self.assertEqual(self.read(path), data)
            self.assertEqual(self.download(path), data)

    def test_more_than_a_frame(self):
        """An Error says so, and the connection serves what is asked next: slices."""
        data = noise(FILE_LIMIT)
        path = self.file("file", data)
        with self.connect() as c:
            self.assertError(c.ask("FileRead", path=path))
            self.assertError(c.ask("FileDownload", guest_path=path))
            self.assertError(c.ask("FileRead", path=path, limit=13 * MIB))
            parts = [base64.b64decode(c.ask("FileRead", path=path, offset=at, limit=4 * MIB)["content"])
                     for at in range(0, FILE_LIMIT, 4 * MIB)]
        self.assertTrue(b"".join(parts) == data)

    def test_over_the_limit(self):
        path = self.path("file")
        self.sh(f"truncate -s {FILE_LIMIT + 1} {path}")
        self.fails("FileRead", "InvalidRequest", path=path)
        self.fails("FileRead", "InvalidRequest", path=path, offset=5, limit=5)
        self.fails("FileDownload", "InvalidRequest", guest_path=path)
        self.sh(f"truncate -s {FILE_LIMIT} {path}")
        self.assertEqual(self.read(path, offset=FILE_LIMIT - 3, limit=9), b"\0\0\0")

    def test_files_without_a_size(self):
        """Those of /proc say 0, and have something in them."""
        self.assertIn(b"Linux", self.read("/proc/version"))
        self.assertIn(b"Linux", self.download("/proc/version"))
        self.assertEqual(self.read("/proc/version", offset=2, limit=3), b"nux")


class Writing(TestCase):
    REQUESTS = {"FileWrite": ("path", "content"), "FileUpload": ("guest_path", "data")}

    def each(self):
        """The types, each with what writes data by it: bytes, or what is no base64."""
        def writer(type, path_key, data_key):
            return lambda path, data, **more: self.ask(type, **{
                path_key: path, data_key: base64_of(data) if isinstance(data, bytes) else data}, **more)

        return [(type, writer(type, *keys)) for type, keys in self.REQUESTS.items()]

    def mode(self, path):
        return int(self.sh(f"stat -c %a {quote(path)}"), 8)

    def test_content(self):
        for type, write in self.each():
            with self.subTest(type):
                for data in (b"", b"x", b"ab", ALL_BYTES, b"shorter"):
                    path = self.path(type)
                    self.assertOk(write(path, data))
                    self.assertEqual(self.guest.get(path), data)
        self.assertEqual(self.sh(f"ls -A {self.dir}").split(), sorted(self.REQUESTS))

    def test_large(self):
        data = noise(11 * MIB)
        for type, write in self.each():
            with self.subTest(type):
                self.assertOk(write(self.path(type), data))
                self.assertTrue(self.guest.get(self.path(type)) == data)

    def test_mode(self):
        for type, write in self.each():
            with self.subTest(type):
                for mode in (0o600, 0o755, 0o444, 0o4711, 0):
                    path = self.path(f"{type}-{mode:o}")
                    self.assertOk(write(path, b"x", mode=mode))
                    self.assertEqual(self.mode(path), mode)
                path = self.path(type)
                self.assertOk(write(path, b"x"))
                self.assertEqual(self.mode(path), 0o666 & ~int(self.sh("umask"), 8))
                self.sh(f"chmod 751 {path}")
                self.assertOk(write(path, b"y"))
                self.assertEqual(self.mode(path), 0o751, "the old file's")
                self.assertOk(write(path, b"y", mode=0o640))
                self.assertEqual(self.mode(path), 0o640)
                self.assertOk(write(path, b"y", mode=None))

    def test_bad_mode(self):
        for type, write in self.each():
            with self.subTest(type):
                for mode in (-1, "755", 1.5, 1 << 40):
                    self.assertError(write(self.path("new"), b"x", mode=mode), "InvalidRequest")
        self.assertFalse(self.guest.exists(self.path("new")))

    def test_folders_are_made(self):
        for type, write in self.each():
            with self.subTest(type):
                path = self.path(f"{type}/a/b/file")
                self.assertOk(write(path, b"deep"))
                self.assertEqual(self.guest.get(path), b"deep")

    def test_bad_base64(self):
        path = self.file("file", b"old")
        for type, write in self.each():
            with self.subTest(type):
                for text in ("!!!!", "YWJ", "YWJj=", "YW Jj", "YWJj\n", "Y", "=", "====", "YWI\u00e9", "YW==YW==",
                             "YWJ=YWJj", "_-_-", 7, None, ["YWJj"]):
                    self.assertError(write(path, text), "InvalidRequest")
                self.assertError(self.ask(type, **{self.REQUESTS[type][0]: path}), "InvalidRequest")
        self.assertEqual(self.guest.get(path), b"old")

    def test_full_disk(self):
        """Said, and the old file is still the old one."""
        try:
            self.sh(f"mkdir {self.dir}/small; mount -t tmpfs -o size=256k tmpfs {self.dir}/small")
        except AssertionError as error:
            self.skipTest(f"no file system can be mounted there: {error}")
        self.addCleanup(self.sh, f"umount {self.dir}/small")
        path = self.file("small/file", b"old")
        for type, write in self.each():
            with self.subTest(type):
                self.assertError(write(self.path("small/new"), noise(MIB)), "IoError")
        with self.connect() as c:
            c.request("FilePut", path=path, size=MIB)
            c.send(noise(MIB))
            self.assertError(c.answer(), "IoError")
        self.assertEqual(self.guest.get(path), b"old")


class Editing(TestCase):
    def edit(self, path, old, new):
        return self.ask("EditFile", path=path, old_string=old, new_string=new)

    def test_first_match(self):
        path = self.file("file", b"one two two two\n")
        self.assertOk(self.edit(path, "two", "2"))
        self.assertEqual(self.guest.get(path), b"one 2 two two\n")
        self.assertOk(self.edit(path, "two two\n", ""))
        self.assertEqual(self.guest.get(path), b"one 2 ")
        self.assertOk(self.edit(path, "one 2 ", "$1 \\1 &\n"))
        self.assertEqual(self.guest.get(path), b"$1 \\1 &\n")

    def test_overlapping(self):
        path = self.file("file", b"aaaab")
        self.assertOk(self.edit(path, "aab", "X"))
        self.assertEqual(self.guest.get(path), b"aaX")

    def test_lines_and_letters(self):
        path = self.file("file", "a\u00e9\r\nb\U0001f600\n".encode())
        self.assertOk(self.edit(path, "\u00e9\r\nb", "\n"))
        self.assertEqual(self.guest.get(path), "a\n\U0001f600\n".encode())

    def test_no_match(self):
        path = self.file("file", b"one two\n")
        for old in ("three", "One", "one two\n ", "two\r\n", "x" * MIB):
            self.fails("EditFile", "InvalidRequest", path=path, old_string=old, new_string="y")
        self.assertEqual(self.guest.get(path), b"one two\n")
        empty = self.file("empty")
        self.fails("EditFile", "InvalidRequest", path=empty, old_string="x", new_string="y")

    def test_nothing_to_look_for(self):
        """Refused, or put where the empty text first is: never anything else."""
        path = self.file("file", b"text")
        answer = self.edit(path, "", "new ")
        if answer["type"] == "Ok":
            self.assertEqual(self.guest.get(path), b"new text")
        else:
            self.assertError(answer, "InvalidRequest")
            self.assertEqual(self.guest.get(path), b"text")

    def test_binary(self):
        """Refused, or only the match is another one: never a byte lost."""
        data = b"\x7fELF\0\xff\xfe old \xc3 \0 old"
        path = self.file("file", data)
        answer = self.edit(path, "old", "new!")
        if answer["type"] == "Ok":
            self.assertEqual(self.guest.get(path), data.replace(b"old", b"new!", 1))
        else:
            self.assertError(answer, {"InvalidRequest", "IoError"})
            self.assertEqual(self.guest.get(path), data)

    def test_match_after_a_null(self):
        path = self.file("file", b"a\0b old")
        answer = self.edit(path, "old", "new")
        if answer["type"] == "Ok":
            self.assertEqual(self.guest.get(path), b"a\0b new")
        else:
            self.assertError(answer, {"InvalidRequest", "IoError"})

    def test_large(self):
        data = b"x" * (20 * MIB) + b"needle" + b"y" * (5 * MIB)
        path = self.file("file", data)
        self.assertOk(self.edit(path, "needle", "n" * 100000))
        self.assertTrue(self.guest.get(path) == data.replace(b"needle", b"n" * 100000))

    def test_over_the_limit(self):
        path = self.path("file")
        self.sh(f"echo old >{path}; truncate -s {FILE_LIMIT + 1} {path}")
        self.fails("EditFile", "InvalidRequest", path=path, old_string="old", new_string="new")

    def test_the_rest_of_the_file_stays(self):
        """Its mode and its owner."""
        path = self.file("file", b"old")
        self.sh(f"chmod 751 {path}; chown 1:2 {path} 2>/dev/null || true")
        before = self.sh(f"stat -c '%a %u %g' {path}")
        self.assertOk(self.edit(path, "old", "new"))
        self.assertEqual(self.sh(f"stat -c '%a %u %g' {path}"), before)

    def test_new_content_is_not_set_uid(self):
        """By whatever request it came, where none says so."""
        requests = {"EditFile": {"old_string": "old", "new_string": "new"}, "FileWrite": {"content": base64_of(b"new")}}
        for type, fields in requests.items():
            for mode in "4755", "2755", "1755", "7711":
                with self.subTest(type, mode=mode):
                    path = self.file("file", b"old")
                    self.sh(f"chmod {mode} {path}")
                    self.assertOk(self.ask(type, path=path, **fields))
                    self.assertEqual(self.sh(f"stat -c %a {path}; cat {path}"), f"{mode[1:]}\nnew")

    def test_fields(self):
        path = self.file("file", b"old")
        for fields in ({"old_string": "old"}, {"new_string": "x"}, {"old_string": 1, "new_string": "x"},
                       {"old_string": "old", "new_string": None}, {"old_string": ["old"], "new_string": "x"}):
            with self.subTest(fields):
                self.fails("EditFile", "InvalidRequest", path=path, **fields)
        self.assertEqual(self.guest.get(path), b"old")


class Listing(TestCase):
    def list(self, path):
        answer = self.ask("ListDir", path=path)
        self.assertShape(answer, "DirListing", {"entries"})
        for entry in answer["entries"]:
            self.assertEqual(set(entry) - {"modified"}, {"name", "kind", "size", "permissions"})
            self.assertIn(entry["kind"], ("file", "dir", "symlink"))
            self.assertRegex(entry["permissions"], "^([r-][w-][x-]){3}$")
            self.assertNumber(entry["size"])
        return answer["entries"]

    def test_empty(self):
        self.assertEqual(self.list(self.dir), [])

    def test_kinds(self):
        self.sh(f"""cd {self.dir}; umask 022; mkdir dir; printf 12345 >file; ln -s file link; ln -s none broken
                    ln -s dir to-dir; mkfifo fifo; ln file hard; printf x >.hidden""")
        entries = {entry["name"]: entry for entry in self.list(self.dir)}
        self.assertEqual({name: entry["kind"] for name, entry in entries.items()},
                         {"dir": "dir", "file": "file", "link": "symlink", "broken": "symlink",
                          "to-dir": "symlink", "fifo": "file", "hard": "file", ".hidden": "file"})
        self.assertEqual({name: entries[name]["size"] for name in ("file", "link", "broken", "fifo", ".hidden")},
                         {"file": 5, "link": 4, "broken": 4, "fifo": 0, ".hidden": 1})
        self.assertEqual(entries["link"]["permissions"], "rwxrwxrwx")
        self.assertEqual(entries["dir"]["permissions"], "rwxr-xr-x")

    def test_permissions(self):
        shown = {"644": "rw-r--r--", "755": "rwxr-xr-x", "000": "---------", "777": "rwxrwxrwx", "421": "r---w---x",
                 "4755": "rwxr-xr-x", "2070": "---rwx---", "1666": "rw-rw-rw-"}
        self.sh(f"cd {self.dir}; for mode in {' '.join(shown)}; do touch m$mode; chmod $mode m$mode; done")
        self.assertEqual({entry["name"][1:]: entry["permissions"] for entry in self.list(self.dir)}, shown)

    def test_modified(self):
        self.sh(f"cd {self.dir}; touch -d @1234567890 then; touch now")
        entries = {entry["name"]: entry for entry in self.list(self.dir)}
        self.assertEqual(entries["then"]["modified"], 1234567890)
        self.assertEqual(entries["now"]["modified"], int(self.sh(f"stat -c %Y {self.dir}/now")))

    def test_order(self):
        """By bytes, whatever the locale says."""
        names = ["b", "a", "B", "A", "\u00e9", "_", "a.b", "ab", "10", "9", ".x", "-", "\U0001f600", "\uffee", "z z"]
        self.sh("cd " + self.dir + "; touch -- " + " ".join(quote("./" + name) for name in names))
        listed = [entry["name"] for entry in self.list(self.dir)]
        self.assertEqual(listed, sorted(names, key=str.encode))

    def test_names_that_are_no_text(self):
        self.sh(f"cd {self.dir}; touch \"$(printf 'a\\377b')\" \"$(printf 'x\\ny')\"")
        self.assertEqual([entry["name"] for entry in self.list(self.dir)], ["a\ufffdb", "x\ny"])

    def test_many(self):
        self.sh(f"cd {self.dir}; seq 1 5000 | xargs touch")
        listed = [entry["name"] for entry in self.list(self.dir)]
        self.assertEqual(listed, sorted(map(str, range(1, 5001))))

    def test_too_many_for_a_frame(self):
        """Names that JSON makes six times as long."""
        script = (r"cd %s; name=$(printf '%%0240d' 0 | tr 0 '\001'); "
                  r'seq 10000 21999 | sed "s/^/$name/" | xargs touch')
        self.sh(script % self.dir)
        with self.connect() as c:
            self.assertError(c.ask("ListDir", path=self.dir))
            self.assertEqual(c.ask("Ping")["type"], "Pong")

    def test_large_sizes(self):
        self.sh(f"truncate -s 5368709120 {self.dir}/file")
        self.assertEqual(self.list(self.dir)[0]["size"], 5 << 30)
