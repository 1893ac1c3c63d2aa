"""The plain side of a call: sockets and SDP of a SIP phone, without SIP."""

import re
import socket

from tests.bench.load.pump import Pump
from tests.peers.ports import free_range

Remote = tuple[str, int, int, list[int]]
"""Address, RTP port, RTCP port, payload types."""

PAYLOAD_TYPES = {"audio": 8, "video": 96}


_firsts = (start for first, last in iter(free_range, None) for start in range(first, last, 4))


def parse(sdp: str) -> dict[str, Remote]:
    """The audio and the video line of a plain SDP."""
    found: dict[str, Remote] = {}
    connection, kind = "127.0.0.1", ""
    for line in sdp.splitlines():
        if media := re.match(r"m=(audio|video) (\d+)(?:/\d+)? \S+ (.*)", line):
            kind, port = media[1], int(media[2])
            found[kind] = (connection, port, port + 1, [int(each) for each in media[3].split()])
        elif line.startswith("c=IN IP4 "):
            connection = line.split()[2] if not kind else connection
            if kind:
                found[kind] = (line.split()[2], *found[kind][1:])
        elif line.startswith("a=rtcp:") and kind:
            host, port, _, types = found[kind]
            found[kind] = (host, port, int(line[7:].split()[0]), types)
    return found


class Phone:
    """PCMA and H.264."""

    def __init__(self) -> None:
        first = next(_firsts)
        self.remote: dict[str, Remote] = {}
        self._sockets = {"audio": (_bound(first), _bound(first + 1)), "video": (_bound(first + 2), _bound(first + 3))}

    def port(self, kind: str) -> int:
        return int(self._sockets[kind][0].getsockname()[1])

    def sdp(self, session: int = 1) -> str:
        audio, video = PAYLOAD_TYPES["audio"], PAYLOAD_TYPES["video"]
        lines = [
            *("v=0", f"o=phone {session} 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"),
            *(f"m=audio {self.port('audio')} RTP/AVP {audio}", f"a=rtpmap:{audio} PCMA/8000", "a=ptime:20"),
            *(f"a=rtcp:{self.port('audio') + 1}", "a=sendrecv"),
            *(f"m=video {self.port('video')} RTP/AVP {video}", f"a=rtpmap:{video} H264/90000"),
            f"a=fmtp:{video} profile-level-id=42e01f;packetization-mode=1",
            *(f"a=rtcp:{self.port('video') + 1}", "a=sendrecv"),
        ]
        return "\r\n".join(lines) + "\r\n"

    def answer(self, offer: str, session: int = 1) -> str:
        """Take the gateway's plain offer; the phone's answer."""
        self.set_remote(offer)
        for kind, payload_type in PAYLOAD_TYPES.items():
            if payload_type not in self.remote[kind][3]:
                raise RuntimeError(f"the gateway's offer lacks {payload_type}: {self.remote}")
        return self.sdp(session)

    def set_remote(self, sdp: str) -> None:
        self.remote = parse(sdp)

    def handover(self, pump: Pump) -> dict[str, tuple[int, int]]:
        """Give the sockets to the generator; the numbers of those for RTP and RTCP."""
        out = {}
        for kind, (media, control) in self._sockets.items():
            host, port, rtcp_port, _ = self.remote[kind]
            out[kind] = (
                pump.sock(media.fileno(), (host, port)),
                pump.sock(control.fileno(), (host, rtcp_port)),
            )
        return out

    def send(self, kind: str, packet: bytes) -> None:
        """One RTP packet to the gateway."""
        host, port, _, _ = self.remote[kind]
        self._sockets[kind][0].sendto(packet, (host, port))

    def close(self) -> None:
        for pair in self._sockets.values():
            for each in pair:
                each.close()


def _bound(port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setblocking(False)
    one.bind(("127.0.0.1", port))
    return one
