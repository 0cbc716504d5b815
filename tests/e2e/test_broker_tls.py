"""The broker's TLS, as OpenSSL and curl see it: 1.2 and above alone, forward secrecy, AEAD suites."""

import os
import re
import stat
import subprocess

from broker import Broker
from harness import *

GOOD = r"^ECDHE-(ECDSA|RSA)-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)$"


class Tls(TestCase):
    def broker(self, *args):
        broker = Broker(self, *args)
        broker.url = f"https://127.0.0.1:{broker.port}"
        return broker

    def certificate(self, *kind):
        cert, key = (os.path.join(self.dir, name) for name in ("cert.pem", "key.pem"))
        system("openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-keyout", key, "-out", cert, "-days", "30",
               "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        return cert, key

    def s_client(self, broker, *args):
        """What OpenSSL says of a handshake; its client is allowed all that it knows."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{broker.port}", *args],
                              input=b"", capture_output=True, timeout=DEADLINE)
        return (done.stdout + done.stderr).decode(errors="replace")

    def suite(self, broker, *args):
        found = re.search(r"Cipher is (\S+)", self.s_client(broker, *args))
        return found and found[1] != "(NONE)" and found[1]

    def curl(self, broker, *args):
        return subprocess.run(["curl", "-sS", *args, f"{broker.url}/healthz"], capture_output=True, text=True,
                              timeout=DEADLINE)

    def check_suites(self, broker):
        self.assertRegex(self.suite(broker), GOOD)
        self.assertIn("Protocol  : TLSv1.2", self.s_client(broker))
        for version in "-tls1", "-tls1_1":
            self.assertFalse(self.suite(broker, version, "-cipher", "ALL:@SECLEVEL=0"), version)
        offered = system("openssl", "ciphers", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0").strip().split(":")
        self.assertGreater(len(offered), 50)
        bad = [name for name in offered if not re.match(GOOD, name) and not name.startswith("TLS_")]
        # All at once first: only where one of them is taken does it matter which.
        self.assertFalse(self.suite(broker, "-tls1_2", "-cipher", ":".join(bad) + ":@SECLEVEL=0"))

    def test_a_certificate_of_ones_own(self):
        for kind in (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["rsa:2048"]):
            with self.subTest(kind[0]):
                cert, key = self.certificate(*kind)
                broker = self.broker("--tls-cert", cert, "--tls-key", key)
                done = self.curl(broker, "--cacert", cert)
                self.assertEqual((done.returncode, done.stdout), (0, "ok\n"), done.stderr)
                self.assertEqual(self.curl(broker).returncode, 60)
                self.check_suites(broker)
                self.assertIn("Secure Renegotiation IS supported", self.s_client(broker))
                self.assertIn("Compression: NONE", self.s_client(broker))

    def test_self_signed(self):
        broker = self.broker("--tls-self-signed")
        path = os.path.join(broker.state, "tls.pem")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        found = re.search(r"certificate's SHA-256 is ([0-9a-f]{64})", broker.program.text())
        der = system("openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256").strip()
        self.assertEqual(found[1], der.partition("=")[2].replace(":", "").lower())
        self.assertEqual(self.curl(broker, "--cacert", path).stdout, "ok\n")
        self.check_suites(broker)
        broker.stop()
        broker.start()  # the same certificate
        self.assertIn(found[1], broker.program.text())

    def test_cookies_go_over_tls_alone(self):
        broker = self.broker("--tls-self-signed")
        token = broker.user("ann")
        done = subprocess.run(["curl", "-sSki", "-d", f'{{"token":"{token}"}}', f"{broker.url}/api/session"],
                              capture_output=True, text=True, timeout=DEADLINE)
        self.assertRegex(done.stdout, r"(?m)^Set-Cookie: __Host-berth=.*; Path=/; .*; Secure$")

    def test_sessions_are_resumed(self):
        broker = self.broker("--tls-self-signed")
        session = os.path.join(self.dir, "session")
        self.assertIn("\nNew, ", self.s_client(broker, "-tls1_2", "-no_ticket", "-sess_out", session))
        self.assertIn("\nReused, ", self.s_client(broker, "-tls1_2", "-no_ticket", "-sess_in", session))

    def test_what_is_no_tls(self):
        broker = self.broker("--tls-self-signed")
        with self.assertRaises(OSError):
            broker.ask("GET", "/healthz")
        self.assertEqual(self.curl(broker, "-k").stdout, "ok\n")

    def test_files_that_are_none(self):
        cert, key = self.certificate("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        other = os.path.join(self.dir, "other")
        with open(other, "w") as file:
            file.write("nothing\n")
        for a, b, says in ((other, key, other), (cert, other, other), ("/nowhere", key, "/nowhere")):
            done = self.berth("broker", "--state", os.path.join(self.dir, "s"), "--tls-cert", a, "--tls-key", b,
                              "--listen", f"127.0.0.1:{free_port()}")
            self.assertEqual(done.returncode, 1)
            self.assertIn(says, done.stderr)
