"""An OpenID Connect issuer on loopback: its discovery document and its keys. OpenSSL makes and signs."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from machine import system

KINDS = {
    "RS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "EdDSA": ["ED25519"],
}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(value):
    return b64(json.dumps(value).encode())


class Key:
    def __init__(self, folder, alg, kid):
        self.alg, self.kid = alg, kid
        self.path = os.path.join(folder, f"{kid}.pem")
        system("openssl", "genpkey", "-algorithm", *KINDS[alg], "-out", self.path)
        self.public = system("openssl", "pkey", "-in", self.path, "-pubout")
        self.der = subprocess.run(["openssl", "pkey", "-in", self.path, "-pubout", "-outform", "DER"],
                                  capture_output=True, check=True).stdout

    @property
    def jwk(self):
        more = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        if self.alg == "EdDSA":
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(self.der[-32:]), **more}
        if self.alg == "ES256":
            return {"kty": "EC", "crv": "P-256", "x": b64(self.der[-64:-32]), "y": b64(self.der[-32:]), **more}
        modulus = system("openssl", "rsa", "-in", self.path, "-noout", "-modulus").strip().partition("=")[2]
        return {"kty": "RSA", "n": b64(bytes.fromhex(modulus)), "e": "AQAB", **more}

    def sign(self, data):
        message = self.path + ".message"
        with open(message, "wb") as file:
            file.write(data)
        how = ["-rawin"] if self.alg == "EdDSA" else ["-rawin", "-digest", "sha256"]
        made = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", self.path, *how, "-in", message],
                              capture_output=True, check=True).stdout
        return raw_of_der(made) if self.alg == "ES256" else made

    def token(self, claims, **header):
        header = {"typ": "JWT", "alg": self.alg, "kid": self.kid, **header}
        text = segment(header) + "." + segment(claims)
        return text + "." + b64(self.sign(text.encode()))


def raw_of_der(der):
    """SEQUENCE {r, s} as 2 × 32 bytes."""
    numbers, at = b"", 2
    for _ in range(2):
        length = der[at + 1]
        numbers += der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + length
    return numbers


def hmac_token(secret, claims, kid):
    text = segment({"alg": "HS256", "kid": kid}) + "." + segment(claims)
    return text + "." + b64(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())


def unsigned_token(claims):
    return segment({"alg": "none"}) + "." + segment(claims) + "."


class Issuer:
    """Serves the JWKS of `keys`, which may be changed; counts who asks for it."""

    def __init__(self, *keys):
        self.keys, self.asked = list(keys), 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = issuer.answer(self.path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/tenant"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path):
        if path == "/tenant/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": self.url + "/keys"}).encode()
        if path == "/tenant/keys":
            self.asked += 1
            return json.dumps({"keys": [key.jwk for key in self.keys]}).encode()
        return b""

    def claims(self, sub="user_1", **more):
        now = int(time.time())
        return {"iss": self.url, "sub": sub, "aud": "berth", "iat": now, "exp": now + 300, **more}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
