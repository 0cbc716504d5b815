"""Users whom an OpenID Connect issuer knows: by tokens that OpenSSL has made."""

import json
import os
import time

from broker import Broker
from harness import *
from issuer import Issuer, Key, hmac_token, unsigned_token


class Oidc(TestCase):
    def setUp(self):
        super().setUp()
        self.keys = {alg: Key(self.dir, alg, f"key-{alg}") for alg in ("RS256", "ES256", "EdDSA")}
        self.issuer = self.server(Issuer(*self.keys.values()))

    def broker(self, *args):
        return Broker(self, "--oidc-issuer", self.issuer.url, "--limit", "none", *args)

    def me(self, broker, token):
        return broker.ask("GET", "/api/me", token)

    def test_each_algorithm(self):
        broker = self.broker("--oidc-audience", "berth")
        for alg, key in self.keys.items():
            reply = self.me(broker, key.token(self.issuer.claims(f"user_{alg}")))
            self.assertEqual((reply.status, reply.json.get("user")), (200, f"user_{alg}"), reply)
        self.assertEqual(self.issuer.asked, 1)

    def test_keys_from_a_file(self):
        path = os.path.join(self.dir, "keys.json")
        with open(path, "w") as file:
            json.dump({"keys": [self.keys["ES256"].jwk]}, file)
        broker = self.broker("--jwks-file", path)
        self.assertEqual(self.me(broker, self.keys["ES256"].token(self.issuer.claims())).status, 200)
        self.assertEqual(self.me(broker, self.keys["RS256"].token(self.issuer.claims())).status, 401)
        self.assertEqual(self.issuer.asked, 0)

    def test_what_proves_nothing(self):
        broker = self.broker("--oidc-audience", "berth")
        key, now, claims = self.keys["RS256"], int(time.time()), self.issuer.claims
        self.assertEqual(self.me(broker, key.token(claims())).status, 200)
        stranger = Key(self.dir, "RS256", "stranger")
        good = key.token(claims())
        tokens = {
            "expired": key.token(claims(exp=now - 120)),
            "without an end": key.token({k: v for k, v in claims().items() if k != "exp"}),
            "not yet valid": key.token(claims(nbf=now + 120)),
            "another issuer": key.token(claims(iss=self.issuer.url + "/")),
            "another audience": key.token(claims(aud="other")),
            "another party": key.token({k: v for k, v in claims(azp="other").items() if k != "aud"}),
            "none": unsigned_token(claims()),
            "HMAC with the public key": hmac_token(key.public, claims(), key.kid),
            "the signature cut": good[:-8],
            "another's signature": good.rpartition(".")[0] + "." + stranger.token(claims()).rpartition(".")[2],
            "another algorithm": key.token(claims(), alg="ES256"),
            "a key it brings along": stranger.token(claims(), jwk=stranger.jwk),
            "an unknown kid": stranger.token(claims()),
            "no subject": key.token({k: v for k, v in claims().items() if k != "sub"}),
            "no token": "a.b.c",
        }
        for what, token in tokens.items():
            with self.subTest(what):
                reply = self.me(broker, token)
                self.assertEqual((reply.status, reply.json["error"]), (401, "unauthorized"), reply)

    def test_leeway(self):
        broker, now = self.broker(), int(time.time())
        key = self.keys["ES256"]
        self.assertEqual(self.me(broker, key.token(self.issuer.claims(exp=now - 20, nbf=now + 20))).status, 200)

    def test_an_unknown_key_is_looked_up_once(self):
        """Not again within a minute, whoever asks: and what is withdrawn by then is gone."""
        broker = self.broker()
        first, old = self.keys["RS256"], self.keys["ES256"]
        self.assertEqual(self.me(broker, old.token(self.issuer.claims())).status, 200)
        newer = Key(self.dir, "ES256", "newer")
        self.issuer.keys = [first, newer]
        self.assertEqual(self.me(broker, newer.token(self.issuer.claims())).status, 200)
        self.assertEqual(self.issuer.asked, 2)
        self.assertEqual(self.me(broker, first.token(self.issuer.claims())).status, 200)
        self.assertEqual(self.me(broker, old.token(self.issuer.claims())).status, 401)
        newest = Key(self.dir, "ES256", "newest")
        self.issuer.keys.append(newest)
        for _ in range(3):
            self.assertEqual(self.me(broker, newest.token(self.issuer.claims())).status, 401)
        self.assertEqual(self.issuer.asked, 2)

    def test_users_of_an_issuer_are_their_own(self):
        """Whoever the issuer calls ann is not the ann with an API token."""
        broker = self.broker()
        ours = broker.user("ann")
        theirs = self.keys["ES256"].token(self.issuer.claims("ann"))
        other = self.keys["ES256"].token(self.issuer.claims("eve"))
        for token, name in ((ours, "a"), (theirs, "b"), (other, "c")):
            body = {"code": broker.code(token), "name": name, "public_key": f"{name}0" * 32}
            self.assertEqual(broker.ask("POST", "/api/agent/enroll", body=body).status, 200)
        for token, name in ((ours, "a"), (theirs, "b"), (other, "c")):
            listed = broker.ask("GET", "/api/agents", token).json["agents"]
            self.assertEqual([agent["name"] for agent in listed], [name])

    def test_the_issuer_is_away(self):
        issuer = self.issuer
        broker = self.broker()
        issuer.close()
        reply = self.me(broker, self.keys["ES256"].token(issuer.claims()))
        self.assertEqual((reply.status, reply.json["error"]), (401, "unauthorized"))
        self.assertIn("cannot be had now", reply.json["message"])
        broker.program.await_line(r"the keys of http")
        self.assertEqual(self.me(broker, broker.user("ann")).status, 200)

    def test_usage_errors(self):
        for words, says in ((["--jwks-file", "x"], "needs --oidc-issuer"),
                            (["--oidc-issuer", "http://issuer.example"], "not https"),
                            (["--oidc-issuer", "x"], "--oidc-issuer x"),
                            (["--oidc-issuer", "https://i", "--jwks-file", "/nowhere"], "/nowhere")):
            done = self.berth("broker", "--state", os.path.join(self.dir, "s"), "--listen",
                              f"127.0.0.1:{free_port()}", *words)
            self.assertIn(done.returncode, (1, 2))
            self.assertIn(says, done.stderr)
