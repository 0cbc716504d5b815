#!/usr/bin/env python3
"""Many short connections, made by several processes at once.

storm.py serve FD WORKERS: answers on a listening socket until it is killed.

storm.py connect COUNT WORKERS PORT… -- PORT…: makes so many, to the first ports, where storm.py serves, in
every manner of ending; and now and then to the others, where a connection is to be reset. Ends with status 0
if every one went as it should."""

import ctypes
import os
import signal
import socket
import struct
import sys

ABORT = struct.pack("ii", 1, 0)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
SECONDS = 60  # in which a connection must come to its end


def serve(listener):
    while True:
        with listener.accept()[0] as connection:
            connection.settimeout(SECONDS)
            try:
                asked = connection.recv(64)
                connection.sendall(asked)
            except OSError:
                pass  # some clients do not wait


def opened(port):
    client = socket.socket()
    client.settimeout(SECONDS)
    client.connect(("127.0.0.1", port))
    return client


def answered(port, i, ends_first):
    with opened(port) as client:
        client.sendall(b"%8d" % i)
        if ends_first:
            client.shutdown(socket.SHUT_WR)
        got = client.recv(64)
        assert got == b"%8d" % i, got
        assert client.recv(64) == b""


def abandoned(port, i, by_reset):
    with opened(port) as client:
        client.sendall(b"%8d" % i)
        if by_reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)


def refused(port):
    try:
        with opened(port) as client:
            assert client.recv(64) is None
    except ConnectionResetError:
        pass


def connect(count, first, step, ports, refusing):
    for i in range(first, count, step):
        port = ports[i // step % len(ports)]
        match i // step % 16:
            case 1: refused(refusing[i // step // 16 % len(refusing)])
            case 2: abandoned(port, i, by_reset=True)
            case 3: abandoned(port, i, by_reset=False)
            case 4: answered(port, i, ends_first=True)
            case _: answered(port, i, ends_first=False)


def die_with_parent():
    """However that ends; nobody else would end one that serves."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def workers(count, work):
    """The statuses of so many processes, of which each one does its part."""
    pids = []
    for i in range(count):
        pid = os.fork()
        if not pid:
            die_with_parent()
            status = 1
            try:
                work(i)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    return [os.waitpid(pid, 0)[1] for pid in pids]


def main():
    what, number, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if what == "serve":
        listener = socket.socket(fileno=number)
        listener.setblocking(True)
        return any(workers(count, lambda i: serve(listener)))
    between = sys.argv.index("--")
    ports, refusing = (list(map(int, words)) for words in (sys.argv[4:between], sys.argv[between + 1:]))
    return any(workers(count, lambda i: connect(number, i, count, ports, refusing)))


if __name__ == "__main__":
    sys.exit(main())
