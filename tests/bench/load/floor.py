"""The least that relaying can cost in ordinary Python: protocols on uvloop, pylibsrtp, and nothing else."""

import asyncio
import os
import sys
from typing import Any

import uvloop
from pylibsrtp import Policy, Session

PCMA = 8


def session(key: bytes, kind: int) -> Session:
    policy = Policy(key=key, ssrc_type=kind)
    policy.allow_repeat_tx = True
    policy.window_size = 1024
    return Session(policy)


class FromPhone(asyncio.DatagramProtocol):
    """One of the four plain sockets of a call."""

    def __init__(self, call: "Call") -> None:
        self.call = call

    def datagram_received(self, data: bytes, addr: Any) -> None:
        call = self.call
        protect = call.tx.protect_rtcp if 192 <= data[1] <= 223 else call.tx.protect
        call.browser.sendto(protect(data), call.browser_address)


class FromBrowser(asyncio.DatagramProtocol):
    """The bundled socket."""

    def __init__(self, call: "Call") -> None:
        self.call = call

    def datagram_received(self, data: bytes, addr: Any) -> None:
        call = self.call
        if not 128 <= data[0] <= 191:
            return
        if 192 <= data[1] <= 223:
            data, n = call.rx.unprotect_rtcp(data), 1
        else:
            data = call.rx.unprotect(data)
            n = 0 if data[1] & 127 == PCMA else 2
        call.phone[n].sendto(data, call.phone_addresses[n])


class Call:
    """Five sockets."""

    def __init__(self, line: str) -> None:
        *ports, to_browser, from_browser = line.split()
        self.own = [int(each) for each in ports[:5]]
        self.phone_addresses = [("127.0.0.1", int(each)) for each in ports[5:9]]
        self.browser_address = ("127.0.0.1", int(ports[9]))
        self.tx = session(bytes.fromhex(to_browser), Policy.SSRC_ANY_OUTBOUND)
        self.rx = session(bytes.fromhex(from_browser), Policy.SSRC_ANY_INBOUND)
        self.phone: list[Any] = []
        self.browser: Any = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for port in self.own[:4]:
            transport, _ = await loop.create_datagram_endpoint(lambda: FromPhone(self), ("127.0.0.1", port))
            self.phone.append(transport)
        self.browser, _ = await loop.create_datagram_endpoint(lambda: FromBrowser(self), ("127.0.0.1", self.own[4]))


async def relay() -> None:
    loop = asyncio.get_running_loop()
    calls = []
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        calls.append(Call(line))
        await calls[-1].open()
        os.write(1, b"ok\n")


uvloop.run(relay())
