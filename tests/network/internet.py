"""A small internet: the prison's LAN and the box on one side, a relative's page behind NAT on the other.

phones 10.1.0.2 - 10.1.0.1 box 192.0.2.1 - 192.0.2.254 core - 198.51.100.1 home 192.168.1.1 - 192.168.1.2 page
                                                          |\\- 203.0.113.1 mobile 10.64.0.1 -- 10.64.0.2 page
 fd01::2 --- fd01::1 box 2001:db8:1::1 - 2001:db8:1::fe core - 2001:db8:2::fe -- 2001:db8:2::2 page6 (IPv6 alone)
"""

import contextlib
from typing import Self

from tests.network.networks import Network

PHONES, BOX_INSIDE, BOX_OUTSIDE, CORE = "10.1.0.2", "10.1.0.1", "192.0.2.1", "192.0.2.254"
HOME, MOBILE = "198.51.100.1", "203.0.113.1"
PHONES6, BOX_INSIDE6, BOX_OUTSIDE6, CORE6 = "fd01::2", "fd01::1", "2001:db8:1::1", "2001:db8:1::fe"
PAGE6 = "2001:db8:2::2"

_NAT = """table ip nat {
  chain leave { type nat hook postrouting priority 100; oifname "wan" masquerade random; }
}"""


class Access(Network):
    """A router with NAT between a page and the internet, as at home or of a mobile network."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.forward()
        self.treat()

    def treat(self, *, lost_percent: int = 0, udp: bool = True, barred: int = 0) -> None:
        """What becomes of what passes: a share of everything is lost, UDP is closed, one UDP port of the box is."""
        rules = []
        if not udp:
            rules.append("meta l4proto udp drop")
        if barred:
            rules.append(f"udp dport {barred} drop")
            rules.append(f"udp sport {barred} drop")
        if lost_percent:
            rules.append(f"numgen random mod 100 < {lost_percent} counter drop")
        self._filter(rules)

    def _filter(self, rules: list[str]) -> None:
        lines = "\n".join(["type filter hook forward priority 0;", *rules])
        self.rules(f"{_NAT}\ntable inet bad {{\nchain pass {{\n{lines}\n}}\n}}")

    def narrow(self, *, up_kbit_s: int = 0, down_kbit_s: int = 0) -> None:
        """What the link to the page carries, 0 for no limit."""
        self.rate("wan", up_kbit_s)
        self.rate("lan", down_kbit_s)

    def unplug(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self._filter(["drop"])


class Internet:
    """All of it; `close` takes it away."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as made:
            self.core = made.enter_context(Network("core"))
            self.box = made.enter_context(Network("box"))
            self.phones = made.enter_context(Network("phones"))
            self.page = made.enter_context(Network("page"))
            self.page6 = made.enter_context(Network("page6"))
            self.home = made.enter_context(Access("home"))
            self.mobile = made.enter_context(Access("mobile"))
            self._connect()
            self._closing = made.pop_all()

    def _connect(self) -> None:
        self.core.forward()
        self.box.link("lan", f"{BOX_INSIDE}/24", self.phones, "eth0", f"{PHONES}/24")
        self.box.link("wan", f"{BOX_OUTSIDE}/24", self.core, "box", f"{CORE}/24")
        self.box.route(CORE)
        for access, address, core, inner in (
            (self.home, HOME, "198.51.100.254", "192.168.1"),
            (self.mobile, MOBILE, "203.0.113.254", "10.64.0"),
        ):
            access.link("wan", f"{address}/24", self.core, access.name, f"{core}/24")
            access.route(core)
            access.link("lan", f"{inner}.1/24", self.page, access.name, f"{inner}.2/24")
        self.page.run("ip", "link", "set", "mobile", "down")
        self.page.route("192.168.1.1")
        self._connect_ipv6()

    def _connect_ipv6(self) -> None:
        self.box.address6("lan", f"{BOX_INSIDE6}/64")
        self.phones.address6("eth0", f"{PHONES6}/64")
        self.box.address6("wan", f"{BOX_OUTSIDE6}/64")
        self.core.address6("box", f"{CORE6}/64")
        self.box.route(CORE6)
        self.page6.cable("wan", self.core, "page6")
        self.page6.address6("wan", f"{PAGE6}/64")
        self.core.address6("page6", "2001:db8:2::fe/64")
        self.page6.route("2001:db8:2::fe")

    def go_mobile(self) -> None:
        """The page leaves the Wi-Fi; the mobile network takes over."""
        self.page.run("ip", "link", "set", "home", "down")
        self.page.run("ip", "link", "set", "mobile", "up")
        self.page.route("10.64.0.1")

    def go_home(self) -> None:
        """The other way round, and everything is well again."""
        for access in (self.home, self.mobile):
            access.treat()
            access.narrow()
        self.page.run("ip", "link", "set", "mobile", "down")
        self.page.run("ip", "link", "set", "home", "up")
        self.page.route("192.168.1.1")

    def close(self) -> None:
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
