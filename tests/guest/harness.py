"""The base of the guest agent's tests, and where its agent is found.

GUEST_AT says which way: nothing starts agents of our own on this machine, on unix sockets; `hybrid:PATH` is
the hybrid vsock socket of a VM that runs; `vsock:CID` is AF_VSOCK, with CID 1 inside of the VM. In the latter
two the agent is shared by the whole run, and is what the VM has."""

import contextlib
import os
import shlex
import unittest

from guest import CODES, DEADLINE, FRAME_LIMIT, GUEST_PORT, RELAY_PORT, Guest, Missing, hybrid_way, until, vsock_way

__all__ = ["CODES", "DEADLINE", "FRAME_LIMIT", "GUEST_PORT", "RELAY_PORT", "Missing", "TestCase", "quote",
           "until", "world"]

quote = shlex.quote

_SHARED = "the agent is shared, and cannot be ended or started anew"
_HERE = "would change the network or the name of the machine that runs the tests"
_WHOLE = "the VM's vsock device passes on that a connection ends, but not that one side of it does"
_CREDIT = "the VM's vsock device may grant nothing any more when both directions of a connection are full"
# What cannot be done over a way, by the beginning of the test's id.
EXCEPT = {
    "test_private.": {"hybrid": _SHARED, "vsock": _SHARED},
    "test_frames.Requests.test_end_": {"hybrid": _WHOLE},
    "test_frames.Refusals.test_cut_short": {"hybrid": _WHOLE},
    "test_stream.Pipes.test_much_both_ways": {"hybrid": _CREDIT},
    "test_dial.HalfClosed": {"hybrid": _WHOLE},
    "test_network.": {"unix": _HERE},
    "test_power.": {"unix": "would end the machine that runs the tests",
                    "vsock": "would end the VM that runs the tests"},
}

# What a brief run leaves out, GUEST_BRIEF=1: amounts and waiting, which take an emulated machine minutes. Each
# request is still asked for what it does, for its errors and for those limits that are soon reached.
LONG = (
    "test_dial.Dial.test_after_other_requests", "test_exec.Ends.test_orphans", "test_exec.Ends.test_output_before",
    "test_exec.Output.test_more_than_is_kept", "test_exec.Output.test_nothing_is_kept", "test_exec.Output.test_text_that",
    "test_exec.Refusals.test_too_many", "test_files.Editing.test_large", "test_files.Listing.test_many",
    "test_files.Listing.test_too_many", "test_files.Reading.test_more_than_a", "test_files.Writing.test_large", "test_idle.",
    "test_jobs.Background.test_bounded_output", "test_jobs.Background.test_output_that_fits_no_frame", "test_jobs.Many.",
    "test_limits.Concurrency.", "test_paths.Paths.test_odd_names", "test_stream.Pipes.test_much",
    "test_stream.Pipes.test_slow_reader", "test_tasks.Tasks.test_many", "test_tasks.Tasks.test_much_output",
    "test_tasks.Tasks.test_no_more_than_a_thousand", "test_tasks.Tasks.test_output_that_json_makes_longer",
    "test_transfer.Get.test_reader_that_leaves", "test_transfer.Get.test_sparse", "test_transfer.Put.test_big",
)

_world = None


class Shared:
    """A VM's one agent."""

    def __init__(self, way, guest):
        self.way = way
        self.guest = guest
        self.dir = f"/tmp/berth-guest-{os.getpid()}"

    def take_reports(self):
        return ""

    def close(self):
        with contextlib.suppress(OSError, AssertionError):  # there may be nobody any more
            self.guest.sh(f"rm -rf {self.dir}")


def open_world():
    kind, _, rest = os.environ.get("GUEST_AT", "").partition(":")
    if kind == "hybrid":
        return Shared(kind, Guest(hybrid_way(rest), half_closes=False))
    if kind == "vsock":
        return Shared(kind, Guest(vsock_way(int(rest))))
    if kind:
        raise SystemExit(f"GUEST_AT={kind}: not hybrid:PATH or vsock:CID")
    import local  # the others have neither its needs nor its files
    return local.Local()


@contextlib.contextmanager
def world():
    global _world
    _world = open_world()
    try:
        _world.tests = 0
        _world.guest.sh(f"mkdir -p {_world.dir}")
        _world.descriptors = descriptors(_world.guest)
        yield _world
    finally:
        _world.close()


def descriptors(guest):
    return int(guest.sh("ls /proc/$PPID/fd | wc -l"))


class TestCase(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.world = _world
        for start, ways in EXCEPT.items():
            if self.id().startswith(start) and self.world.way in ways:
                self.skipTest(f"over {self.world.way}: {ways[self.world.way]}")
        if os.environ.get("GUEST_BRIEF") and self.id().startswith(LONG):
            self.skipTest("this run is a brief one")
        self.guest = self.world.guest
        self.world.tests += 1
        self.dir = f"{self.world.dir}/t{self.world.tests}"
        self.world.take_reports()
        self.addCleanup(self._check_reports)
        self.sh(f"mkdir {self.dir}")
        self.addCleanup(self.sh, f"rm -rf {self.dir}")
        self.addCleanup(self._check_descriptors)

    def _check_reports(self):
        self.assertEqual(self.world.take_reports(), "", "a sanitizer has something to say")

    def _check_descriptors(self):
        """Whatever a test has opened in the agent is closed again. The next test is not to blame for what is not."""
        was = self.world.descriptors
        try:
            until(lambda: descriptors(self.guest) <= was, "end of the agent's descriptors")
        except Missing as error:
            self.world.descriptors = descriptors(self.guest)
            raise Missing(f"{error}: {was} before, now:\n{self.sh('ls -l /proc/$PPID/fd')}") from None

    # ---- asking ----

    def ask(self, type, **fields):
        return self.guest.ask(type, **fields)

    def sh(self, script, **fields):
        return self.guest.sh(script, **fields)

    def connect(self, port=GUEST_PORT, seconds=None):
        """Closed with the test."""
        c = self.guest.connect(port, seconds)
        self.addCleanup(c.close)
        return c

    def path(self, name):
        return f"{self.dir}/{name}"

    def file(self, name, data=b""):
        """Path of a new file."""
        path = self.path(name)
        self.guest.put(path, data)
        return path

    # ---- looking at answers ----

    def assertShape(self, answer, type, keys, optional=()):
        """Exactly these fields, besides the type; what is null is absent."""
        self.assertEqual(answer.get("type"), type, answer)
        found = {key for key, value in answer.items() if value is not None or key not in optional}
        self.assertEqual(found - set(optional), {"type", *keys}, f"{type} has other fields")

    def assertOk(self, answer):
        self.assertEqual(answer, {"type": "Ok"})

    def assertError(self, answer, codes=None, saying=""):
        """An Error of the guest protocol; its message."""
        codes = {codes} if isinstance(codes, str) else codes or CODES
        self.assertShape(answer, "Error", {"code", "message"})
        self.assertIn(answer["code"], codes, answer["message"])
        self.assertIsInstance(answer["message"], str)
        self.assertNotEqual(answer["message"], "")
        self.assertIn(saying, answer["message"])
        return answer["message"]

    def fails(self, type, codes=None, saying="", **fields):
        return self.assertError(self.ask(type, **fields), codes, saying)

    def assertEnds(self, c, codes="InvalidRequest"):
        """One Error, then the end."""
        self.assertError(c.answer(), codes)
        c.end()

    def assertAlive(self):
        self.assertEqual(self.ask("Ping")["type"], "Pong")

    def assertNumber(self, value, least=0):
        self.assertIs(type(value), int)
        self.assertGreaterEqual(value, least)
