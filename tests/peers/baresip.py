"""A SIP video phone: baresip 1.0 in a folder of its own, driven over its control socket."""

import json
import re
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.peers import assets
from tests.peers.media import Sound, read_wav
from tests.peers.ports import free_range
from tests.peers.processes import Process
from tests.peers.waiting import Feed, wait_until

ANSWER_TIMEOUT_S = 5.0


class Codec(NamedTuple):
    """How baresip knows an audio codec."""

    module: str
    account_name: str
    rate: int
    channels: int


CODECS = {
    "PCMA": Codec("g711", "PCMA", 8000, 1),
    "PCMU": Codec("g711", "PCMU", 8000, 1),
    "G722": Codec("g722", "G722/16000", 16000, 1),
    "opus": Codec("opus", "opus/48000/2", 48000, 2),
}


class Event(NamedTuple):
    """What baresip says happened: REGISTER_OK, CALL_RINGING, CALL_ESTABLISHED, CALL_CLOSED (why in `param`), …"""

    type: str
    param: str
    fields: dict[str, Any]


class Video(NamedTuple):
    """What the phone decoded since its call began."""

    frames: int
    keyframes: int
    width: int
    height: int


class Packets(NamedTuple):
    """RTP of a finished call's stream as its last RTCP reports told it."""

    received: int
    sent: int
    lost_received: int
    lost_sent: int
    jitter_ms: float


class BaresipPhone:
    """One phone with one account, at `address` of this machine.

    Methods block and are safe from any thread; on a reactor use `offreactor`.

    Its camera is the file `camera`; it speaks `sound`, a WAV of the first codec's rate and channels, and baresip ends
    the call where that file ends (`assets.talk` lasts 5 minutes). `codecs` is its preference among PCMA, PCMU, G722
    and opus. It knows H.264 in packetization-mode 0 only; with `every_video_codec` in mode 1 too, and H.263, MPEG-4
    and H.265. `auto_answer` lets it be called. Keep `folder` short-lived: it holds the password.
    """

    def __init__(
        self,
        folder: Path,
        *,
        user: str = "cell1",
        password: str = "",
        edge: str = "127.0.0.1:5060",
        address: str = "127.0.0.1",
        transport: str = "udp",
        register: bool = True,
        codecs: Sequence[str] = ("PCMA",),
        video: bool = True,
        every_video_codec: bool = False,
        camera: Path | None = None,
        sound: Path | None = None,
        auto_answer: bool = False,
        account_parameters: Sequence[str] = (),
        settings: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.user = user
        self._address = address
        first, last = free_range()
        self.sip_port = first  # and TLS on the next, as baresip has it
        self._control_port = first + 2
        self._rtp_ports = (first + 4, last)
        self.events: Feed[Event] = Feed(f"{user} (baresip)")
        first_codec = CODECS[codecs[0]]
        self._camera = camera or assets.movie("CELLULE")
        self._sound = sound or assets.talk("CELLULE", first_codec.rate, first_codec.channels)
        self._video = video
        self._process: Process | None = None
        self._answers: dict[str, tuple[threading.Event, list[dict[str, Any]]]] = {}
        self._tokens = 0
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        account = [
            f"<sip:{user}@{edge};transport={transport}>",
            f"regint={60 if register else 0}",
            f"audio_codecs={','.join(CODECS[codec].account_name for codec in codecs)}",
            *([] if every_video_codec else ["video_codecs=h264"]),
            f"answermode={'auto' if auto_answer else 'manual'}",
            *([f"auth_user={user}", f"auth_pass={password}"] if password else []),
            *account_parameters,
        ]
        (folder / "accounts").write_text(";".join(account) + "\n")
        (folder / "accounts").chmod(0o600)
        (folder / "contacts").write_text("")
        (folder / "config").write_text("\n".join([*self._config(codecs), *settings]) + "\n")

    def _config(self, codecs: Sequence[str]) -> list[str]:
        modules = dict.fromkeys([*(CODECS[codec].module for codec in codecs), "sndfile"])
        video = [
            "module avcodec.so",
            "module avformat.so",
            "module snapshot.so",
            "module fakevideo.so",
            "module swscale.so",
            f"video_source avformat,{self._camera}",
            "video_display fakevideo,nil",
            f"video_size {assets.SIZE}",
            "video_bitrate 800000",
            f"video_fps {assets.RATE}",
            "avcodec_h264enc libx264",
        ]
        return [
            "poll_method epoll",
            "statmode_default off",
            f"sip_listen {f'[{self._address}]' if ':' in self._address else self._address}:{self.sip_port}",
            "call_local_timeout 600",
            f"audio_source aufile,{self._sound}",
            f"rtp_ports {self._rtp_ports[0]}-{self._rtp_ports[1]}",
            "module_path /usr/lib/baresip/modules",
            *(f"module {module}.so" for module in modules),
            "module aufile.so",
            *(video if self._video else []),
            f"snd_path {self.folder}",
            "module_tmp account.so",
            "module_app menu.so",
            "module_app rtcpsummary.so",
            "module_app ctrl_tcp.so",
            f"ctrl_tcp_listen 127.0.0.1:{self._control_port}",
        ]

    # Life.

    def start(self) -> Self:
        """Run it; returns when it takes commands."""
        self._process = Process(
            ["baresip", "-f", self.folder, "-n", self._address],
            name=f"baresip {self.user}",
            cwd=self.folder,
            log=self.folder / "baresip.log",
        )
        self._process.wait_for_line("baresip is ready")
        self._socket = socket.create_connection(("127.0.0.1", self._control_port))
        self._reader = threading.Thread(target=self._read, name=f"control-{self.user}", daemon=True)
        self._reader.start()
        return self

    def stop(self) -> None:
        """End it; a running call is hung up by baresip itself."""
        if self._process:
            self._process.stop()
            self._reader.join()
            self._socket.close()

    @property
    def process(self) -> Process:
        if self._process is None:
            raise RuntimeError("the phone has not been started")
        return self._process

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What a person does.

    def wait_registered(self, timeout: float = 10.0) -> None:
        """Its log says so; the event of a quick registration comes before anybody listens for it."""
        self.process.wait_for_line(r"200 OK .*\[\d+ bindings?\]", timeout)

    def dial(self, number: str) -> None:
        """A number, or a whole SIP address. Returns at once; wait for CALL_ESTABLISHED or CALL_CLOSED."""
        self.command("dial", number)

    def hang_up(self) -> None:
        self.command("hangup")

    def hold(self) -> None:
        self.command("hold")

    def resume(self) -> None:
        self.command("resume")

    def press(self, digits: str) -> None:
        """DTMF, as telephone-event (RFC 4733)."""
        self.command("sndcode", digits)

    def toggle_mute(self) -> None:
        self.command("mute")

    def wait_event(self, type_: str, timeout: float = 10.0, since: int = 0) -> Event:
        """The first event of that type from mark `since` on (`events.mark()`)."""
        return self.events.wait(lambda event: event.type == type_, timeout, type_, since)

    def wait_established(self, timeout: float = 10.0, since: int = 0) -> None:
        self.wait_event("CALL_ESTABLISHED", timeout, since)

    def wait_closed(self, timeout: float = 10.0, since: int = 0) -> str:
        """Why the call closed, as baresip puts it."""
        return self.wait_event("CALL_CLOSED", timeout, since).param

    # What it sees and hears.

    def video(self) -> Video:
        """Counters of the running call; all zero where there is none or it has no picture."""
        text = self.command("video_debug")
        size = re.search(r"vidisp: \S+ (\d+) x (\d+) frames=(\d+)", text)
        keyframes = re.search(r"n_keyframes=(\d+)", text)
        if not size or not keyframes:
            return Video(0, 0, 0, 0)
        return Video(int(size[3]), int(keyframes[1]), int(size[1]), int(size[2]))

    def wait_frames(self, count: int, timeout: float = 15.0) -> Video:
        """Until `count` frames were decoded in the running call."""
        wait_until(lambda: self.video().frames >= count, timeout, f"{self.user}: {count} decoded frames")
        return self.video()

    def snapshot(self, name: str, timeout: float = 5.0) -> Path:
        """The picture that it decodes next, as `name`.png in its folder."""
        path = self.folder / f"{name}.png"
        self.command("snapshot_recv", str(path))
        wait_until(
            lambda: path.exists() and path.read_bytes().endswith(b"IEND\xaeB`\x82"),
            timeout,
            f"{self.user}: a picture",
        )
        return path

    def heard(self) -> Sound:
        """What it has decoded of the latest call until now; empty before the first packet."""
        dumps = sorted(self.folder.glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime_ns)
        return read_wav(dumps[-1]) if dumps else Sound.empty()

    def wait_heard(self, above_dbfs: float, timeout: float = 15.0, window_s: float = 0.5) -> float:
        """Until the last `window_s` were louder than `above_dbfs`; returns that level."""

        def level() -> float:
            return self.heard().level_dbfs(-window_s)

        wait_until(lambda: level() > above_dbfs, timeout, f"{self.user}: sound above {above_dbfs:g} dBFS", 0.1)
        return level()

    def packets(self) -> list[Packets]:
        """RTP of finished calls, stream by stream (audio, then video); empty without RTCP."""
        found = []
        for line in self.process.lines.items():
            match = re.search(r"PR=(\d+);PS=(\d+);PL=(-?\d+),(-?\d+);.*JI=([\d.]+),", line)
            if match:
                received, sent, lost_received, lost_sent = map(int, match.groups()[:4])
                found.append(Packets(received, sent, lost_received, lost_sent, float(match[5])))
        return found

    # The control socket: netstrings of JSON.

    def command(self, name: str, parameter: str = "") -> str:
        """Run a command of baresip's menu and return what it prints; RuntimeError when baresip refuses it."""
        with self._lock:
            self._tokens += 1
            token = str(self._tokens)
            arrived: tuple[threading.Event, list[dict[str, Any]]] = (threading.Event(), [])
            self._answers[token] = arrived
            message = json.dumps({"command": name, "token": token, **({"params": parameter} if parameter else {})})
            self._socket.sendall(b"%d:%s," % (len(message), message.encode()))
        if not arrived[0].wait(ANSWER_TIMEOUT_S) or not arrived[1]:
            raise RuntimeError(f"{self.user}: baresip did not answer {name!r}")
        answer = arrived[1][0]
        if not answer["ok"]:
            raise RuntimeError(f"{self.user}: baresip refused {name!r}: {answer.get('data')}")
        return str(answer.get("data") or "")

    def _read(self) -> None:
        buffer = b""
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            buffer += data
            while (colon := buffer.find(b":")) > 0 and len(buffer) >= (end := colon + 2 + int(buffer[:colon])):
                self._take(json.loads(buffer[colon + 1 : end - 1], strict=False))
                buffer = buffer[end:]
        self.events.close("baresip closed its control socket")
        for arrived, _ in list(self._answers.values()):
            arrived.set()

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("event"):
            self.events.add(Event(str(message.get("type")), str(message.get("param", "")), message))
        elif message.get("token") in self._answers:
            arrived, answer = self._answers.pop(message["token"])
            answer.append(message)
            arrived.set()
