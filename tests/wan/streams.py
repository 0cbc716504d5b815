"""Streams that move a little data all the time, both ways, each byte checked; one thread for all of them."""

import contextlib
import selectors
import socket
import threading
import time

from machine import DEADLINE, until
from traffic import Way

TICK = 0.1          # seconds from one piece of each way to the next
PIECE = 1 << 11     # bytes
AHEAD = 1 << 16     # bytes that may be on their way
ENDLESS = 1 << 62


class Streams:
    """Connections move until finish(), which sees to it that everything sent has come, once and in order."""

    def __init__(self):
        self.ways = []
        self.ends = {}  # socket -> the way that it receives
        self.lock = threading.Lock()
        self.selector = selectors.DefaultSelector()
        self.failed = None
        self.closed = False
        self.first = {}  # when something came by "up" and by "down", since watch()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def add(self, name, here, there):
        """A connection's two ends; what goes from here to there is called up."""
        for end in here, there:
            end.setblocking(False)
        with self.lock:
            for source, sink, which in (here, there, "up"), (there, here, "down"):
                way = Way(f"{name} {which}", source, sink, ENDLESS, len(self.ways) * 7919)
                way.which = which
                self.ways.append(way)
                self.ends[sink] = way
                self.selector.register(sink, selectors.EVENT_READ)

    def __len__(self):
        return len(self.ends) // 2

    @property
    def moved(self):
        with self.lock:
            return sum(way.got for way in self.ways)

    # ---- the thread ----

    def _run(self):
        try:
            due = time.monotonic()
            while not self.closed:
                for key, _ in self.selector.select(max(0, due - time.monotonic())):
                    with self.lock:
                        self._receive(key.fileobj)
                if time.monotonic() >= due:
                    due = time.monotonic() + TICK
                    with self.lock:
                        self._send()
        except (OSError, AssertionError) as error:
            self.failed = error

    def _receive(self, sink):
        way = self.ends[sink]
        try:
            got = way.receive()
        except BlockingIOError:
            return
        except OSError as error:
            raise AssertionError(f"{way.name}: {error} after {way.got} bytes") from error
        self.first.setdefault(way.which, time.monotonic())
        if not got:
            self.selector.unregister(sink)

    def _send(self):
        for way in self.ways:
            if way.length == ENDLESS and way.sent - way.got < AHEAD:
                with contextlib.suppress(BlockingIOError):
                    way.sent += way.source.send(way.expect(way.sent, PIECE))

    # ---- what is asked of it ----

    def check(self):
        if self.failed:
            raise self.failed

    def watch(self):
        """Forgets `first`: from now on it tells when the next byte comes."""
        with self.lock:
            self.first.clear()

    def await_all(self, since=0, seconds=2 * DEADLINE):
        """Until every way has carried what was not yet sent when this began; or the ways of the streams
        that were added since there were so many."""
        with self.lock:
            marks = [(way, way.sent) for way in self.ways[2 * since:]]
            asked = len(marks)

        def come():
            self.check()
            with self.lock:
                marks[:] = [(way, mark) for way, mark in marks if way.got <= mark]
            return not marks

        try:
            until(come, "bytes", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error} on {len(marks)} of {asked} ways; {marks[0][0].name}: "
                                 f"{marks[0][0].got} of {marks[0][0].sent} bytes have come") from None

    def finish(self, seconds=2 * DEADLINE):
        """Each way ends; how many bytes arrived in all."""
        with self.lock:
            for way in self.ways:
                way.length = way.sent
                way.source.shutdown(socket.SHUT_WR)

        def ended():
            self.check()
            with self.lock:
                return all(way.ended for way in self.ways)

        until(ended, "end of all streams", seconds)
        return self.moved

    def close(self):
        self.closed = True
        self.thread.join()
        self.selector.close()
        for end in self.ends:
            end.close()
