"""What scripts/mkinitramfs bakes: see kernel.org's buffer-format.rst for the archive."""

import gzip
import os
import re
import subprocess

from machine import IS_ROOT, system  # tests/e2e
from vm import ROOT, TestCase, mkinitramfs, module, modules_dir

VSOCK = "net/vmw_vsock/"


def records(data):
    """(name, fields, content) of each; the fields are those of the header, from the inode on."""
    at = 0
    while True:
        header = data[at:at + 110].decode()
        fields = [int(header[6 + 8 * i:14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110:at + 110 + name_size - 1].decode()
        at += (110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            assert not data[at:].strip(b"\0"), "something after the end"
            return
        yield name, fields, data[at:at + size]
        at += (size + 3) & ~3


class Initramfs(TestCase):
    def bake(self, *words, **more):
        """The archive's bytes, not compressed."""
        out = self.path("out")
        done = mkinitramfs("--berth", self.shared_run.berth, "--compress", "none", *words, "-o", out, **more)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        with open(out, "rb") as file:
            return file.read()

    def fails(self, *words, saying, status=1):
        out = self.path("out")
        done = mkinitramfs("--berth", self.shared_run.berth, *words, "-o", out)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertRegex(done.stderr, r"\Amkinitramfs: .*\n\Z")
        self.assertIn(saying, done.stderr)
        self.assertFalse(os.path.exists(out))

    def tree(self):
        """Some files, and a link."""
        tree = self.folder()
        for name in "b", "a", "c/d", "c/with space ", "é":
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            with open(os.path.join(tree, name), "w") as file:
                file.write(name)
        os.symlink("../a", os.path.join(tree, "c", "link"))
        return tree

    def test_same_input_same_bytes(self):
        tree = self.tree()
        words = ["--modules", modules_dir(), "--add", f"{tree}:/tree"]
        first = self.bake(*words)
        os.utime(os.path.join(tree, "a"), (1, 1))
        copy = self.folder()
        system("cp", "-rP", f"{tree}/.", copy)
        self.assertEqual(self.bake(*words), first)
        self.assertEqual(self.bake("--add", f"{copy}:/tree", *words[:2], umask=0o77), first)
        packed = self.path("packed")
        for _ in range(2):
            mkinitramfs("--berth", self.shared_run.berth, *words, "-o", packed)
            with open(packed, "rb") as file:
                self.assertEqual(gzip.decompress(file.read()), first)

    def test_same_bytes_for_everybody(self):
        if not IS_ROOT:
            return self.skipTest("needs root, to be somebody else")
        words = ["--modules", modules_dir(), "--compress", "gzip"]
        os.chmod(self.shared_run.dir, 0o755)
        files = []
        for more in {}, {"user": 65534, "group": 65534, "extra_groups": []}:
            folder = self.folder()
            os.chmod(folder, 0o777)
            done = mkinitramfs("--berth", self.shared_run.berth, *words, "-o", f"{folder}/out", **more)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(f"{folder}/out", "rb") as file:
                files.append(file.read())
        self.assertEqual(*files)

    def test_content(self):
        found = {name: (fields, content) for name, fields, content in
                 records(self.bake("--modules", modules_dir(), "--add", f"{self.tree()}:/tree"))}
        names = list(found)
        self.assertEqual(names, sorted(names, key=os.fsencode))
        self.assertEqual([fields[0] for fields, _ in found.values()], list(range(1, len(found) + 1)))
        for name, (fields, _) in found.items():
            self.assertEqual(fields[2:4] + fields[5:6], [0, 0, 0], f"{name}: root's, and without a time")
            self.assertTrue(os.path.dirname(name) in found or "/" not in name, name)
        with open(self.shared_run.berth, "rb") as file:
            self.assertEqual(found["init"][1], file.read())
        self.assertEqual(found["init"][0][1], 0o100755)
        self.assertEqual(found["tmp"][0][1], 0o41777)
        self.assertEqual(found["dev/console"][0][1], 0o20600)
        self.assertEqual(found["dev/console"][0][9:11], [5, 1])
        self.assertEqual(found["tree/c/link"][0][1], 0o120777)
        self.assertEqual(found["tree/c/link"][1], b"../a")
        self.assertEqual(found["tree/c/with space "][1], b"c/with space ")

    def test_modules_and_what_they_need(self):
        names = {name for name, _, _ in records(self.bake("--modules", modules_dir()))}
        version = os.path.basename(modules_dir())
        modules = {os.path.basename(name) for name in names if name.endswith(".ko")}
        with open(os.path.join(ROOT, "applets", "guest-agent", "module_names.h")) as file:
            wanted = set(re.findall(r"X\(MODULES_\w+, (\w+),", file.read()))
        self.assertGreater(len(wanted), 10)
        self.assertEqual({name[:-3].replace("-", "_") for name in modules}, wanted)
        self.assertIn(f"lib/modules/{version}/kernel/{VSOCK}vsock.ko", names)

    def test_packed_modules_are_unpacked(self):
        kernel = self.folder()
        folder = f"{kernel}/lib/modules/1.2.3/kernel/x"
        os.makedirs(folder)
        for name, tool in (VSOCK + "vsock", ["gzip"]), (VSOCK + "vmw_vsock_virtio_transport", ["xz"]), (
                VSOCK + "vmw_vsock_virtio_transport_common", ["zstd", "-q"]), ("drivers/virtio/virtio_ring", None):
            with open(module(name), "rb") as file:
                data = file.read()
            base = os.path.join(folder, os.path.basename(name).replace("_", "-") + ".ko")
            if tool:
                base += {"gzip": ".gz", "xz": ".xz", "zstd": ".zst"}[tool[0]]
                data = subprocess.run([*tool, "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
            with open(base, "wb") as file:
                file.write(data)
        found = {name: content for name, _, content in records(self.bake("--modules", kernel))}
        for name in "vsock", "vmw_vsock_virtio_transport", "vmw_vsock_virtio_transport_common":
            with open(module(VSOCK + name), "rb") as file:
                self.assertEqual(found[f"lib/modules/1.2.3/kernel/x/{name.replace('_', '-')}.ko"], file.read())

    def test_built_in_modules_are_not_missed(self):
        tree = f"{self.folder()}/1.2.3"
        os.makedirs(f"{tree}/kernel")
        self.fails("--modules", tree, saying="has no module vsock")
        with open(f"{tree}/modules.builtin", "w") as file:
            file.write("kernel/net/vsock.ko\nkernel/net/vmw-vsock-virtio-transport.ko\n")
        self.bake("--modules", tree)

    def test_errors(self):
        several = self.folder()
        for version in "1", "2":
            os.makedirs(f"{several}/{version}/kernel")
        fifo = self.folder()
        os.mkfifo(f"{fifo}/fifo")
        for words, saying, status in (
                (["--modules", "/no/such"], "/no/such: no such folder", 1),
                (["--modules", self.folder()], "lib/modules/VERSION/kernel", 1),
                (["--modules", several], "several kernels", 1),
                (["--add", "/no/such:/x"], "/no/such: no such file", 1),
                (["--add", f"{fifo}:/x"], "neither file nor folder nor link", 1),
                (["--add", "/bin/sh:/init"], "/init is given twice", 1),
                (["--add", "/bin/sh"], "FILE:/PATH", 2),
                (["--add", "/bin/sh:/a/../../b"], "'.' or '..'", 2),
                (["--berth", "/no/such"], "/no/such: no such file", 1),
                (["--compress", "lzma"], "gzip or none", 2),
                (["--what"], "unknown word --what", 2)):
            with self.subTest(words=words):
                self.fails(*words, saying=saying, status=status)
        self.assertEqual(mkinitramfs("-o").returncode, 2)
        self.assertEqual(mkinitramfs().returncode, 2)
        done = mkinitramfs("--berth", self.shared_run.berth, "-o", "/no/such/folder/out")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/no/such/folder/out", done.stderr)

    def test_help(self):
        done = mkinitramfs("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("--modules DIR", done.stdout)
