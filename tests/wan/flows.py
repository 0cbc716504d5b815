"""Traffic over a path, to see what the path does to it."""

import contextlib
import re
import secrets
import select
import socket
import threading
import time

from machine import DEADLINE, until

CHUNK = 1 << 18
SO_RCVBUFFORCE = 33


def ping(end, target, count, *more, interval=0.02):
    """Round trips in milliseconds, by sequence number; lost ones are missing."""
    done = end.run("ping", "-n", "-c", str(count), "-i", str(interval), "-W", "2", *more, target,
                   timeout=count * interval + DEADLINE)
    return {int(n): float(ms) for n, ms in re.findall(r"icmp_seq=(\d+) .*time=([\d.]+) ms", done.stdout)}


def bound(end, address, kind=socket.SOCK_STREAM):
    """A socket of that host at that address and any port."""
    with end.entered():
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    s.settimeout(DEADLINE)
    if kind == socket.SOCK_DGRAM:
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
    s.bind((address, 0))
    return s


def connection(path, v6=False):
    """TCP's two ends: here's, there's."""
    source, target = ((end.v6 if v6 else end.v4) for end in (path.here, path.there))
    with bound(path.there, target) as listener:
        listener.listen()
        here = bound(path.here, source)
        here.connect(listener.getsockname()[:2])
        there, _ = listener.accept()
    there.settimeout(DEADLINE)
    return here, there


@contextlib.contextmanager
def flood(source):
    """Sends over TCP what it takes, until the end of the block."""
    over = threading.Event()

    def send():
        block = bytes(CHUNK)
        with contextlib.suppress(OSError):
            while not over.is_set():
                source.send(block)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RDWR)
        thread.join()


def receive(sink, seconds):
    """Bytes a second that come meanwhile."""
    buffer = bytearray(CHUNK)
    total, start = 0, time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        total += sink.recv_into(buffer)
    return total / (now - start)


def sockets(path, v6=False):
    """UDP's two ends: here's, there's."""
    return [bound(end, end.v6 if v6 else end.v4, socket.SOCK_DGRAM) for end in (path.here, path.there)]


def exchange(source, sink, seconds=DEADLINE):
    """Sends a datagram; the address that it came from, or None when it does not come."""
    word = secrets.token_bytes(8)
    source.sendto(word, sink.getsockname()[:2])
    sink.settimeout(seconds)
    try:
        while True:
            data, sender = sink.recvfrom(100)
            if data == word:
                return sender[:2]
    except TimeoutError:
        return None
    finally:
        sink.settimeout(DEADLINE)


def datagrams(path, count, gap=0.0, size=100):
    """Sends numbered datagrams from here; the numbers that came, in the order they did."""
    source, sink = sockets(path)
    target, got = sink.getsockname(), []
    with source, sink:
        for number in range(count):
            source.sendto(number.to_bytes(4, "big") + bytes(size - 4), target)
            if gap:
                select.select([], [], [], gap)
        until(lambda: not path.stats()["up"]["queued"] + path.stats()["up"]["flying"], "end of the flight")
        sink.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                got.append(int.from_bytes(sink.recv(size)[:4], "big"))
    return got
