"""Janus with its NoSIP plugin, driven through its HTTP API."""

import asyncio
import json
import random
import urllib.request
from pathlib import Path
from typing import Any

from tests.bench.load.browsers import Browser
from tests.bench.load.gateways.base import Gateway, installed
from tests.bench.load.phones import Phone
from tests.bench.load.pump import build
from tests.peers.ports import free_port

FOLDERS = ("/usr/lib/x86_64-linux-gnu/janus", "/usr/lib/aarch64-linux-gnu/janus", "/usr/lib/janus")

MAIN = """general: {{
  plugins_folder = "{lib}/plugins"
  transports_folder = "{lib}/transports"
  events_folder = "{lib}/none"
  loggers_folder = "{lib}/none"
  debug_level = 3
  debug_colors = false
  session_timeout = 0
{extra}
}}
nat: {{ ice_enforce_list = "127.0.0.1" }}
plugins: {{ disable = "{other_plugins}" }}
transports: {{ disable = "{other_transports}" }}
"""
NOSIP = 'general: { local_ip = "127.0.0.1"\n rtp_port_range = "20000-30000" }\n'
HTTP = """general: {{ json = "compact"
 base_path = "/janus"
 http = true
 port = {port}
 ip = "127.0.0.1"
 https = false }}
admin: {{ admin_http = false }}
"""


class JanusGateway(Gateway):
    """Option `event_loops=N`: as Janus's own. `libraries=FOLDER`: where another libsrtp2.so.1 lies."""

    name = "janus"

    def start(self) -> None:
        lib = Path(next(each for each in FOLDERS if Path(each).is_dir()))
        configuration = self.folder / "configuration"
        configuration.mkdir()
        loops = self.options.get("event_loops")
        port = free_port()
        main = MAIN.format(
            lib=lib,
            extra=f"  event_loops = {loops}" if loops else "",
            other_plugins=_others(lib / "plugins", "libjanus_nosip.so"),
            other_transports=_others(lib / "transports", "libjanus_http.so"),
        )
        (configuration / "janus.jcfg").write_text(main)
        (configuration / "janus.plugin.nosip.jcfg").write_text(NOSIP)
        (configuration / "janus.transport.http.jcfg").write_text(HTTP.format(port=port))
        env = {"LD_PRELOAD": str(build("lo.so", "shim/lo.c", "-shared", "-fPIC", "-ldl"))}
        if "libraries" in self.options:
            env["LD_LIBRARY_PATH"] = self.options["libraries"]
        self.launch(["janus", "-F", str(configuration), "-o"], env=env)
        self._url = f"http://127.0.0.1:{port}/janus"
        self._handles: dict[int, tuple[int, int]] = {}

    def version(self) -> str:
        return installed("janus")

    async def ready(self) -> None:
        for _ in range(100):
            try:
                await asyncio.to_thread(_http, "GET", self._url + "/info")
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return
        raise RuntimeError("janus does not answer")

    async def connect(self, i: int, browser: Browser, phone: Phone) -> None:
        made, _ = await self._post("", janus="create")
        session = made["data"]["id"]
        attached, _ = await self._post(f"/{session}", janus="attach", plugin="janus.plugin.nosip")
        self._handles[i] = session, attached["data"]["id"]
        offer = {"type": "offer", "sdp": await browser.offer(), "trickle": False}
        data, _ = await self._ask(i, {"request": "generate"}, jsep=offer)
        answer = phone.answer(data["result"]["sdp"], i + 1)
        _, jsep = await self._ask(i, {"request": "process", "type": "answer", "sdp": answer})
        await browser.accept(jsep["sdp"])

    async def record(self, i: int) -> None:
        what = dict.fromkeys(("audio", "video", "peer_audio", "peer_video"), True)
        name = str(self.recordings / f"call{i}")
        await self._ask(i, {"request": "recording", "action": "start", "filename": name, **what})

    async def _post(self, path: str, **message: Any) -> tuple[dict[str, Any], str]:
        message["transaction"] = transaction = f"{random.getrandbits(60):x}"
        reply = await asyncio.to_thread(_http, "POST", self._url + path, message)
        if reply["janus"] == "error":
            raise RuntimeError(reply)
        return reply, transaction

    async def _ask(self, i: int, body: dict[str, Any], **message: Any) -> tuple[dict[str, Any], Any]:
        session, handle = self._handles[i]
        reply, transaction = await self._post(f"/{session}/{handle}", janus="message", body=body, **message)
        for _ in range(20):
            if reply["janus"] == "event" and reply.get("transaction") == transaction:
                data = reply["plugindata"]["data"]
                if "error" in data:
                    raise RuntimeError(data)
                return data, reply.get("jsep")
            reply = await asyncio.to_thread(_http, "GET", f"{self._url}/{session}")
        raise RuntimeError(f"no answer to {body['request']}")


def _others(folder: Path, kept: str) -> str:
    return ",".join(sorted(each.name for each in folder.glob("*.so") if each.name != kept))


def _http(method: str, url: str, body: Any = None) -> dict[str, Any]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=15) as reply:
        return json.load(reply)
