"""What somebody would try who means ill, from another site, as another user, or as nobody."""

from broker import Broker
from harness import *


class Browser(TestCase):
    """What a browser sends along that another site made ask."""

    def setUp(self):
        super().setUp()
        self.broker = Broker(self)
        self.token = self.broker.user("ann")

    def sign_in(self, **headers):
        """As a form does it, which needs nobody's leave: <form enctype=text/plain>."""
        body = b'{"token": "%s", "x": "="}\r\n' % self.token.encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.broker.ask("POST", "/api/session", body=body, headers={"Content-Type": "text/plain", **headers})

    def test_signs_nobody_in_elsewhere(self):
        """Who was signed in as the attacker would join their machines for them."""
        own = self.broker.url
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": own + "0"},
                        {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}):
            reply = self.sign_in(**headers)
            self.assertEqual((reply.status, reply.json["error"]), (403, "forbidden"), headers)
            self.assertNotIn("Set-Cookie", reply.headers)
        for headers in {}, {"Origin": own}, {"Sec_Fetch_Site": "same-origin"}:
            self.assertIn("Set-Cookie", self.sign_in(**headers).headers)

    def test_signs_nobody_out_elsewhere(self):
        self.assertEqual(self.broker.ask("DELETE", "/api/session", headers={"Origin": "http://evil.example"}).status,
                         403)
        self.assertEqual(self.broker.ask("DELETE", "/api/session", headers={"Origin": self.broker.url}).status, 204)

    def test_http_is_another_site_than_https(self):
        """Whoever stands in between can be http://HOST, though not https://HOST."""
        broker = Broker(self, "--url", "https://broker.example")
        cookie = {"Cookie": f"berth={broker.user('ann')}", "Host": "broker.example"}
        for scheme, status in ("http", 403), ("https", 200):
            reply = broker.ask("POST", "/api/agent/code", body={}, headers={**cookie, "Origin": f"{scheme}://broker.example"})
            self.assertEqual(reply.status, status, reply)
