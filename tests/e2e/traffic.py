"""Streams that move much at once, checked byte for byte while they do; one thread for all of them."""

import contextlib
import random
import selectors
import socket
import threading
import time

from machine import DEADLINE, Missing, until

CHUNK = 1 << 18
PATTERN = random.Random(20).randbytes(1 << 20)
TWICE = PATTERN + PATTERN  # so that a chunk from anywhere in the pattern is one slice


class Way:
    """One direction of a connection: `length` bytes of the pattern, each way from a place of its own, and
    then the end."""

    def __init__(self, name, source, sink, length, start):
        self.name, self.source, self.sink, self.length, self.start = name, source, sink, length, start
        self.sent = self.got = 0
        self.ended = False

    def expect(self, at, length):
        place = (self.start + at) % len(PATTERN)
        return TWICE[place:place + length]

    def send(self):
        self.sent += self.source.send(self.expect(self.sent, min(CHUNK, self.length - self.sent)))
        if self.sent == self.length:
            self.source.shutdown(socket.SHUT_WR)

    def receive(self):
        """How much came."""
        data = self.sink.recv(CHUNK)
        if data != self.expect(self.got, len(data)):
            raise AssertionError(f"{self.name}: other bytes than were sent, after {self.got}")
        self.got += len(data)
        self.ended = not data
        if self.ended and self.got != self.length:
            raise AssertionError(f"{self.name}: ended after {self.got} of {self.length} bytes")
        return len(data)


class Traffic:
    """Moves the bytes of all its ways at once; `moved` counts those that have arrived."""

    def __init__(self):
        self.moved = self.total = 0
        self.left = 0
        self.failed = self.thread = None
        self.closed = False
        self.selector = selectors.DefaultSelector()
        self.ends = {}  # socket -> [way that it sends, way that it receives]

    def add(self, name, client, server, length):
        for at, (source, sink, which) in enumerate(((client, server, "up"), (server, client, "down"))):
            way = Way(f"{name} {which}", source, sink, length, len(self.ends) * 7919 + at)
            self.ends.setdefault(source, [None, None])[0] = way
            self.ends.setdefault(sink, [None, None])[1] = way
            self.total += length
            self.left += 1
        for end in client, server:
            end.setblocking(False)
            self.selector.register(end, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _ready(self, end, mask):
        sends, receives = self.ends[end]
        if mask & selectors.EVENT_WRITE:
            sends.send()
        if mask & selectors.EVENT_READ:
            self.moved += receives.receive()
            self.left -= receives.ended
        wanted = (0 if sends.sent == sends.length else selectors.EVENT_WRITE) | \
            (0 if receives.ended else selectors.EVENT_READ)
        if not wanted:
            self.selector.unregister(end)
        elif wanted != self.selector.get_key(end).events:
            self.selector.modify(end, wanted)

    def run(self):
        """Until everything has arrived, and every end."""
        silent_since = time.monotonic()
        while self.left and not self.closed:
            ready = self.selector.select(1)
            for key, mask in ready:
                with contextlib.suppress(BlockingIOError):
                    self._ready(key.fileobj, mask)
            if ready:
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > DEADLINE:
                raise Missing(f"nothing moves: {self.moved} of {self.total} bytes have arrived")

    def start(self):
        """run() in a thread of its own."""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.run()
        except (OSError, AssertionError) as error:
            self.failed = error

    def check(self):
        if self.failed:
            raise self.failed

    def await_moved(self, count):
        """Until so many bytes have arrived."""
        def there():
            self.check()
            return self.moved >= min(count, self.total)

        until(there, f"progress to {count} of {self.total} bytes", 10 * DEADLINE)

    def finish(self):
        self.thread.join()
        self.check()

    def close(self):
        self.closed = True
        if self.thread:
            self.thread.join()
        self.selector.close()
        for end in self.ends:
            end.close()
