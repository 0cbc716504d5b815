"""An agent's end of the bridge that does what a test wants: as much of yamux and of the protocol as that takes.
Keys and signatures are openssl's."""

import hashlib
import json
import os
import struct
import subprocess
import time

from websocket import WebSocket

DATA, WINDOW, PING = 0, 1, 2
SYN, ACK, FIN, RST = 1, 2, 4, 8


class Key:
    """A device's, in a file of its own."""

    def __init__(self, folder):
        self.path = os.path.join(folder, f"key{os.urandom(4).hex()}.pem")
        self._openssl("genpkey", "-algorithm", "ED25519", "-out", self.path)
        self.public = self._openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")[-32:]
        self.device = hashlib.sha256(self.public).hexdigest()[:32]

    def _openssl(self, *words):
        return subprocess.run(["openssl", *words], check=True, capture_output=True).stdout

    def sign(self, text):
        with open(f"{self.path}.text", "wb") as file:
            file.write(text)
        return self._openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in", f"{self.path}.text")


def frame(payload):
    return struct.pack("!I", len(payload)) + payload


def message(kind, **fields):
    return frame(json.dumps({"type": kind, **fields}).encode())


class Peer:
    """A connection to /api/bridge. `nonce` and `url` are the Challenge's; then join()."""

    def __init__(self, broker, query=""):
        self.socket = WebSocket(broker.port, f"/api/bridge?type=agent{query}")
        self.bytes, self.streams = b"", {}
        self.hello, challenge = self.next_message()
        self.nonce, self.url = bytes.fromhex(challenge["nonce"]), challenge["broker"]

    def send(self, kind, flags, stream, length, payload=b""):
        self.socket.send(struct.pack("!BBHII", 0, kind, flags, stream, length) + payload)

    def send_data(self, stream, payload, flags=0):
        self.send(DATA, flags, stream, len(payload), payload)

    def _take(self, count):
        while len(self.bytes) < count:
            self.bytes += self.socket.receive()
        taken, self.bytes = self.bytes[:count], self.bytes[count:]
        return taken

    def _read(self):
        """One of yamux's frames: the stream that got something, or None."""
        _, kind, flags, stream, length = struct.unpack("!BBHII", self._take(12))
        if kind == PING and flags & SYN:
            self.send(PING, ACK, 0, length)
        if kind not in (DATA, WINDOW):
            return None
        if flags & SYN:
            self.send(WINDOW, ACK, stream, 0)
            self.streams[stream] = b""
        if kind == DATA:
            self.streams[stream] = self.streams.get(stream, b"") + self._take(length)
        return stream if kind == DATA else None

    def answer_pings(self, end):
        """And nothing else, until then (time.monotonic())."""
        while time.monotonic() < end:
            self._read()

    def next_message(self):
        """(stream, message) of whichever stream has the next whole frame."""
        while True:
            stream = self._read()
            held = self.streams.get(stream, b"")
            if len(held) >= 4 and len(held) >= 4 + (size := int.from_bytes(held[:4], "big")):
                self.streams[stream] = held[4 + size:]
                return stream, json.loads(held[4:4 + size])

    def signature(self, key, nonce=None, url=None):
        text = b"berth-bridge-v1" + (nonce or self.nonce) + (url or self.url).encode() + key.device.encode()
        return key.sign(text).hex()

    def join(self, key, signature=None, **metadata):
        """What the broker answers."""
        self.send_data(self.hello, message("Join", device=key.device, signature=signature or self.signature(key),
                                           metadata={"type": "agent-metadata", **metadata}))
        return self.next_message()[1]
