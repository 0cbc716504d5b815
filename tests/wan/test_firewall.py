"""What berth makes of a host's firewall, held against what becomes of real datagrams.

Every case has a host with rules by the real nft, iptables, ufw or firewalld, asks berth there whether UDP gets in, and
sends it some. A remedy that is offered is typed in, and must work."""

import os
import shutil
import socket
import subprocess
import unittest

import harness
from hosts import ADMIN_PATH, Host
from machine import DEADLINE
from wan import why_not

NEAR, FAR = ("10.77.0.1", "fd77::1"), ("10.77.0.2", "fd77::2")
ECHO_SECONDS = 60
SILENCE = 0.2  # seconds without an answer: what was dropped does not come later on a wire this short
TABLE = "table inet filter { chain input { type filter hook input priority 0; policy %s; %s\n}\n}"
DROP = TABLE.replace("%s", "drop", 1)
ACCEPT = TABLE.replace("%s", "accept", 1)


def there_is(*programs):
    return all(shutil.which(program, path=ADMIN_PATH) for program in programs)


def nft(*rules, table=DROP):
    return [["nft", table % "\n".join(rules)]]


def iptables(*rules, program="iptables-nft", policy="DROP"):
    # The echo's own neighbour discovery has to get in, whatever else does.
    six = program.replace("iptables", "ip6tables")
    words = [[six, "-A", "INPUT", "-p", "ipv6-icmp", "-j", "ACCEPT"]]
    for each in (program, six):
        words += [[each, "-P", "INPUT", policy]] + [[each, *rule.split()] for rule in rules]
    return words


NDP = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept"
OURS = "udp dport 40000-50000 accept"
IPT = "-A INPUT -p udp --dport 40000:50000 -j ACCEPT"

# Rules, what berth must say ("open", "closed", "unknown", or those over IPv4 and IPv6), and where.
CASES = {
    "nothing": ([], "open", "its own rules let"),
    "policy drop": (nft(NDP), "closed", "nftables blocks UDP 40000-50000 in chain inet filter input"),
    "policy drop and the range": (nft(NDP, OURS), "open", ""),
    "policy drop and a set": (nft(NDP, "udp dport { 53, 40000-45000, 45001-50000 } accept"), "open", ""),
    "policy drop and a part": (nft(NDP, "udp dport 40000-44999 accept"), "part", "blocks part of"),
    "policy drop and TCP alone": (nft(NDP, "tcp dport 40000-50000 accept"), "closed", ""),
    "policy drop and loopback": (nft(NDP, 'iifname "lo" accept'), "closed", ""),
    "policy drop and the interface": (nft(NDP, 'iifname "wire" accept'), "open", ""),
    "policy drop and another interface": (nft(NDP, 'iifname "eth*" accept'), "closed", ""),
    "policy drop and established": (nft(NDP, "ct state established,related accept"), "closed", ""),
    "policy drop and new": (nft(NDP, "ct state vmap { established : accept, new : accept, invalid : drop }"),
                            "open", ""),
    "policy drop and the peer": (nft(NDP, "ip saddr 10.77.0.0/24 accept"), "v4", "over IPv6"),
    "policy drop and another peer": (nft(NDP, "ip saddr 192.0.2.0/24 accept"), "closed", ""),
    "policy drop and not another peer": (nft(NDP, "ip saddr != 192.0.2.0/24 accept", "ip6 saddr fd77::/64 accept"),
                                         "open", ""),
    "policy drop and IPv6 alone": (nft(NDP, "meta nfproto ipv6 accept"), "v6", "over IPv4"),
    "policy drop and a protocol": (nft(NDP, "meta l4proto { tcp, udp } accept"), "open", ""),
    "policy drop and the transport": (nft(NDP, "meta l4proto { tcp, udp } th dport 40000-50000 accept"), "open", ""),
    "policy drop and a local address": (nft(NDP, "fib daddr type local accept"), "open", ""),
    "policy drop and not too much": (nft(NDP, "udp dport 40000-50000 limit rate 100/second accept"), "unknown", ""),
    "policy drop and a mark": (nft(NDP, "meta mark 7 accept"), "unknown", "may block"),
    "a drop behind an accept": (nft(OURS, "udp dport 1-65535 drop", table=ACCEPT), "open", ""),
    "an accept behind a drop": (nft("udp dport 40000-65535 drop", OURS, table=ACCEPT), "closed", ""),
    "a reject": (nft("meta l4proto udp reject", table=ACCEPT), "closed", ""),
    "a drop of other ports": (nft("udp dport != { 53, 40000-50000 } drop", table=ACCEPT), "open", ""),
    "a drop of high ports": (nft("udp dport >= 1024 drop", table=ACCEPT), "closed", ""),
    "a verdict map": (nft(NDP, "udp dport vmap { 53 : drop, 40000-50000 : accept }"), "open", ""),
    "jump": (nft(NDP, "jump ours", table="table inet filter { chain ours { tcp dport 22 accept; " + OURS + "; }; " +
                                         DROP[len("table inet filter {"):]), "open", ""),
    "goto that comes back to the policy": (
        nft(NDP, "goto ours", OURS, table="table inet filter { chain ours { tcp dport 22 accept; }; " +
                                          DROP[len("table inet filter {"):]), "closed", ""),
    "return from a jump": (
        nft(NDP, "jump ours", OURS, table="table inet filter { chain ours { meta l4proto udp return; drop; }; " +
                                          DROP[len("table inet filter {"):]), "open", ""),
    "a named set": (nft(NDP, "udp dport @ports accept",
                        table="table inet filter { set ports { type inet_service; flags interval; "
                              "elements = { 22, 40000-50000 } }; " + DROP[len("table inet filter {"):]), "open", ""),
    "a named map": (nft(NDP, "udp dport vmap @ports",
                        table="table inet filter { map ports { type inet_service : verdict; flags interval; "
                              "elements = { 40000-50000 : accept } }; " + DROP[len("table inet filter {"):]),
                    "open", ""),
    "banned addresses": (nft("ip saddr @banned drop", table="table inet filter { set banned { type ipv4_addr; elements = "
                                                            "{ 192.0.2.1, 192.0.2.7 } }; " +
                                                            ACCEPT[len("table inet filter {"):]), "open", ""),
    "two tables": (nft(NDP, OURS) + [["nft", "table inet other { chain in { type filter hook input priority 10; "
                                             "policy drop; }; }"]], "closed", "chain inet other in"),
    "before routing": ([["nft", "table inet early { chain pre { type filter hook prerouting priority -300; "
                                "udp dport 40000-50000 drop; }; }"]], "closed", "chain inet early pre"),
    "at the device": ([["nft", "table netdev dev { chain in { type filter hook ingress device wire priority 0; "
                               "udp dport 30000-60000 drop; }; }"]], "closed", "chain netdev dev in"),
    "what goes out": ([["nft", "table inet out { chain out { type filter hook forward priority 0; policy drop; }; }"]],
                      "open", ""),
    "redirected": ([["nft", "table inet nat { chain pre { type nat hook prerouting priority -100; "
                            "udp dport 40000-50000 redirect to :9; }; }"]], "unknown", ""),
}
for kind in ("iptables-nft", "iptables-legacy"):
    CASES |= {f"{kind}: {name}": (iptables(*rules, program=kind, policy=policy), verdict, seen)
              for name, rules, policy, verdict, seen in [
        ("policy", [], "DROP", "closed", "iptables blocks UDP 40000-50000 in chain INPUT"),
        ("the range", [IPT], "DROP", "open", ""),
        ("the range by multiport", ["-A INPUT -p udp -m multiport --dports 53,40000:50000 -m comment --comment x -j ACCEPT"],
         "DROP", "open", ""),
        ("established", ["-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"], "DROP", "closed", ""),
        ("new", ["-A INPUT -m state --state NEW -j ACCEPT"], "DROP", "open", ""),
        ("loopback", ["-A INPUT -i lo -j ACCEPT"], "DROP", "closed", ""),
        ("not loopback", ["-A INPUT ! -i lo -p udp -j ACCEPT"], "DROP", "open", ""),
        ("reject", ["-A INPUT -p udp -m udp --dport 1024:65535 -j REJECT", IPT], "ACCEPT", "closed", ""),
        ("log and jump", ["-N mine", "-A mine -p tcp -j ACCEPT", "-A mine -p udp --dport 40000:50000 -j ACCEPT",
                          "-A INPUT -j LOG --log-level debug", "-A INPUT -j mine"], "DROP", "open", ""),
        ("local", ["-A INPUT -m addrtype --dst-type LOCAL -j ACCEPT"], "DROP", "open", ""),
        ("raw", ["-t raw -A PREROUTING -p udp --dport 45000 -j DROP"], "ACCEPT", "part", "table raw"),
        ("recent", ["-A INPUT -p udp -m recent --name x --rcheck -j ACCEPT"], "DROP", "unknown", ""),
    ]}


OWN_ETC = """
cp -a /etc/{0} /run/etc-{0}-$$; mount -t tmpfs none /mnt; mv /run/etc-{0}-$$ /mnt/etc; mount --bind /mnt/etc /etc/{0}
"""
FIREWALLD = """
mount -t tmpfs none /run; mkdir -p /run/dbus /run/lock
dbus-daemon --system --fork --nopidfile
firewalld --nofork --nopid >/mnt/log 2>&1 &
until firewall-cmd --state; do kill -0 $!; sleep 0.1; done
"""
LINES = """
echo READY
while read -r line; do eval "$line"; echo READY; done
"""


@unittest.skipIf(why_not(), f"NOT TESTED: {why_not()}")
class Firewall(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.near, self.far = Host("near"), Host("far")
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)
        self.near.ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", self.far.name)
        for host, addresses in (self.near, NEAR), (self.far, FAR):
            for address in addresses:
                host.ip("addr", "add", address + ("/64" if ":" in address else "/24"), "dev", "wire",
                        *(["nodad"] if ":" in address else []))
            host.ip("link", "set", "wire", "up")

    def clear(self):
        self.far.system("nft", "flush", "ruleset")
        for program in ("iptables-legacy", "ip6tables-legacy"):
            if there_is(program):
                for table in ("filter", "raw"):
                    for words in ("-P INPUT ACCEPT", "-F", "-X"):
                        if table == "filter" or "-P" not in words:
                            self.far.system(program, "-t", table, *words.split())

    def question(self, address, port, token):
        """A socket that has sent 1200 bytes to be answered."""
        with self.near.entered():
            s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(token + b"Q\0" + bytes(1200 - 18), (address, port))
        return s

    def is_answered(self, s, token, patience):
        """By as much as was sent."""
        with s:
            s.settimeout(patience)
            try:
                return s.recv(2000) == token + b"A\0" + bytes(1200 - 18)
            except TimeoutError:
                return False

    def echo(self):
        env = {**os.environ, "SSH_CONNECTION": f"{NEAR[0]} 4711 {FAR[0]} 22", "PATH": ADMIN_PATH}
        with self.far.entered():
            return subprocess.Popen([self.berth_path, "agent", f"--udp-echo={ECHO_SECONDS}"], env=env,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def ask(self):
        """What berth says there, and whether UDP gets in over IPv4 and over IPv6."""
        says = {}
        with self.echo() as echo:
            while "firewall_remedy" not in says:
                key, value = echo.stdout.readline().rstrip("\n").split("=", 1)
                says.setdefault(key, value)
            port, token = says["udp"].split()
            seen, families = says["firewall_seen"], {"open": (1, 1), "closed": (0, 0)}
            hopes = families.get(says["firewall"], (0, 0))
            hopes = (1, 0) if "over IPv6" in seen else (0, 1) if "over IPv4" in seen else hopes
            token = bytes.fromhex(token)
            asking = [self.question(address, int(port), token) for address in FAR]
            got = [self.is_answered(s, token, DEADLINE if hope else SILENCE) for s, hope in zip(asking, hopes)]
            echo.stdout.close()  # which ends it
        return says["firewall"], seen, says["firewall_remedy"], got

    def check(self, verdict, pattern):
        """The remedy."""
        got_verdict, seen, remedy, got = self.ask()
        said = f"{got_verdict}: {seen} -> {remedy}; IPv4, IPv6: {got}"
        self.assertRegex(seen, pattern or ".", said)
        if verdict == "part":
            self.assertEqual(got_verdict, "closed", said)
        elif verdict in ("v4", "v6"):
            self.assertEqual((got_verdict, got), ("closed", [verdict == "v4", verdict == "v6"]), said)
        elif verdict == "unknown":
            self.assertEqual(got_verdict, "unknown", said)
        else:
            self.assertEqual((got_verdict, got), (verdict, [verdict == "open"] * 2), said)
        return remedy

    def check_remedy(self, remedy, run):
        run(remedy.replace("sudo ", ""))
        self.check("open", "its own rules let UDP 40000-50000 in")

    def in_shell(self, line):
        self.far.system("sh", "-ec", line)

    def test_table(self):
        for name, (words, verdict, pattern) in CASES.items():
            if words and not all(there_is(command[0]) for command in words):
                continue
            with self.subTest(name):
                self.clear()
                for command in words:
                    self.far.system(*command)
                remedy = self.check(verdict, pattern)
                if verdict == "closed":
                    self.check_remedy(remedy, self.in_shell)

    def keeper(self, script):
        """A shell with the far host's network, processes and mounts of its own, which says "ready", then runs
        lines."""
        with self.far.entered():
            shell = subprocess.Popen(
                ["unshare", "-mp", "--fork", "--mount-proc", "--kill-child", "bash", "-ec", script + LINES],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PATH": ADMIN_PATH})
        self.addCleanup(shell.wait)
        self.addCleanup(shell.kill)
        self.addCleanup(shell.stdout.close)
        self.addCleanup(shell.stdin.close)

        def await_ready():
            for line in shell.stdout:
                if line == "READY\n":
                    return
            self.fail("it ended")

        def run(line):
            shell.stdin.write(line + "\n")
            shell.stdin.flush()
            await_ready()

        await_ready()
        return run

    def test_echo_of_strangers(self):
        """Only who has the token is answered, with as much as they sent, and not for ever."""
        with self.echo() as echo:
            says = {}
            while "firewall_remedy" not in says:
                key, value = echo.stdout.readline().rstrip("\n").split("=", 1)
                says.setdefault(key, value)
            port, token = says["udp"].split()
            token = bytes.fromhex(token)
            with self.near.entered():
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with s:
                s.connect((FAR[0], int(port)))
                s.settimeout(DEADLINE)
                for stranger in (b"", b"Q", token, bytes(32), token[:-1] + b"\0Q\0" + bytes(20), token + b"A\0" + bytes(20),
                                 token + b"Q\0" + bytes(13), token + b"Q\0" + bytes(1183)):
                    s.send(stranger)
                for n in range(64):
                    s.send(token + b"Q" + bytes([n]) + bytes(14 + n))
                    self.assertEqual(s.recv(2000), token + b"A" + bytes([n]) + bytes(14 + n))
                s.settimeout(SILENCE)
                s.send(token + b"Q\0" + bytes(20))
                self.assertRaises(TimeoutError, s.recv, 2000)
                s.send(token + b"B\0" + bytes(20))
                self.assertEqual(echo.wait(DEADLINE), 0)

    @unittest.skipUnless(there_is("ufw"), "NOT TESTED: there is no ufw")
    def test_ufw(self):
        run = self.keeper(OWN_ETC.format("ufw") + "ufw --force enable\n")
        remedy = self.check("closed", "^ufw blocks UDP 40000-50000$")
        self.assertEqual(remedy, "sudo ufw allow 40000:50000/udp")
        self.check_remedy(remedy, run)
        run("ufw deny 45000/udp")
        run("ufw delete allow 40000:50000/udp")
        run("ufw allow from 10.77.0.0/24")
        self.check("part", "^ufw blocks part of UDP 40000-50000$")

    @unittest.skipUnless(there_is("firewalld", "dbus-daemon"), "NOT TESTED: there is no firewalld")
    def test_firewalld(self):
        run = self.keeper(OWN_ETC.format("firewalld") + FIREWALLD)
        remedy = self.check("closed", "^firewalld blocks UDP 40000-50000$")
        self.assertEqual(remedy, "sudo firewall-cmd --permanent --add-port=40000-50000/udp && "
                                 "sudo firewall-cmd --reload")
        self.check_remedy(remedy, run)


if __name__ == "__main__":
    unittest.main()
