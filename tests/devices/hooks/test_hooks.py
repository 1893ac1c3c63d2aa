"""The site's scripts: the daemon tells, the service runs them in a process of its own, and outcomes come back."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import pytest_twisted

from avisiod.config.hooks import Hooks
from avisiod.devices.hooks.teller import WAITING, HookTeller
from avisiod.hook_runner import EVENTS, Happening, environment, scripts
from avisiod.metrics.hooks import HookMetrics
from tests.devices.conftest import until
from tests.e2e.stage import ROOT
from tests.peers.authority import Authority
from tests.peers.ports import free_port
from tests.peers.processes import Process
from tests.peers.waiting import wait_until


class Metrics:
    def __init__(self) -> None:
        self.events: list = []
        self.results: list = []

    def told(self, event, result):
        self.events.append(result)

    def ran(self, result):
        self.results.append(result)


class Scene:
    def __init__(self, folder: Path, timeout: float = 30.0) -> None:
        from twisted.internet import reactor

        self.folder = folder / "hooks"
        self.folder.mkdir()
        self.socket = folder / "socket"
        self.metrics = Metrics()
        settings = Hooks(socket_file=str(self.socket), silent=("phone-online",))
        self.teller = HookTeller(reactor, settings, self.metrics)
        self.timeout = timeout
        self.process: Process | None = None

    def start(self) -> None:
        self.process = Process(
            [sys.executable, "-m", "avisiod.hook_runner", "--folder", self.folder, "--socket", self.socket,
             "--timeout", str(self.timeout)],
            name="hooks",
            env={"PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(self.folder), "SECRET": "not to be seen"},
        )  # fmt: skip

    def hook(self, event: str, name: str, text: str, mode: int = 0o755) -> Path:
        path = self.folder / f"{event}.d" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(mode)
        return path

    async def tell(self, event: str, results: int = 1, **facts: str) -> None:
        await until(self.listens, "the socket")
        before = len(self.metrics.results)
        self.teller.happened(event, facts)
        await until(lambda: len(self.metrics.results) >= before + results, "what came of it")

    def listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def said(self) -> str:
        return "\n".join(self.process.lines.items())


@pytest.fixture
def scene(tmp_path):
    made = []

    def make(**options):
        made.append(Scene(tmp_path, **options))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.teller.stop()
        each.process.stop(5)


@pytest_twisted.ensureDeferred
async def test_scripts_run_by_name_with_the_facts_and_nothing_else_in_their_environment(scene, tmp_path):
    s = scene()
    for name in ("20-second", "10-first"):
        s.hook("phone-offline", name, f"echo {name}; env | sort >>{tmp_path}/env")
    s.hook("phone-offline", "not.this", f"touch {tmp_path}/ran")
    s.hook("call-ended", "10-other", f"touch {tmp_path}/ran")
    await s.tell("phone-offline", 2, phone="cell1", building="A", cell="A 101")
    assert s.metrics.results == ["done", "done"]
    said = s.said()
    assert said.index("10-first (phone-offline): 10-first") < said.index("20-second (phone-offline): 20-second")
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    ours = {"AVISIOD_EVENT", "AVISIOD_PHONE", "AVISIOD_BUILDING", "AVISIOD_CELL"}
    assert names - {"PWD", "_", "SHLVL", "OLDPWD"} == ours | {"PATH", "LC_ALL", "STATE_DIRECTORY"}
    assert not (tmp_path / "ran").exists()


@pytest_twisted.ensureDeferred
async def test_a_script_that_fails_or_does_not_end_is_counted_and_the_next_one_runs(scene, tmp_path):
    s = scene(timeout=0.5)
    s.hook("modem-lost", "10-fails", "echo oh; exit 3")
    s.hook("modem-lost", "20-hangs", f"sleep 300 & echo $! >{tmp_path}/child; wait")
    s.hook("modem-lost", "30-no-program", "", 0o755).write_text("#!/nowhere\n")
    s.hook("modem-lost", "40-floods", "head -c 1000000 /dev/zero | tr '\\0' x")
    await s.tell("modem-lost", 4, route="modem")
    assert s.metrics.results == ["failed", "late", "failed", "done"]
    said = s.said()
    assert "10-fails (modem-lost): oh" in said
    assert "10-fails (modem-lost) ended with 3" in said
    assert "20-hangs (modem-lost) took longer than" in said
    assert max(map(len, said.splitlines())) < 5000
    child = int((tmp_path / "child").read_text())
    await until(lambda: not _lives(child), "the end of what it had started")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.mark.parametrize("wrong", ["file", "folder", "target"])
@pytest_twisted.ensureDeferred
async def test_a_script_that_others_could_have_written_is_not_run(scene, tmp_path, wrong):
    s = scene()
    hook = s.hook("board-lost", "10-it", f"touch {tmp_path}/ran")
    if wrong == "file":
        hook.chmod(0o777)
    elif wrong == "folder":
        hook.parent.chmod(0o777)
    else:
        elsewhere = tmp_path / "elsewhere"
        hook.rename(elsewhere)
        elsewhere.chmod(0o757)
        hook.symlink_to(elsewhere)
    await s.tell("board-lost", board="guard")
    assert s.metrics.results == ["refused"]
    assert not (tmp_path / "ran").exists()


@pytest_twisted.ensureDeferred
async def test_what_is_no_event_runs_nothing(scene, tmp_path):
    s = scene()
    s.hook("call-ended", "10-it", f"touch {tmp_path}/ran")
    await until(s.listens, "the socket")
    with socket.socket(socket.AF_UNIX) as liar:
        liar.connect(str(s.socket))
        for line in (
            b"{}", b"garbage", b'{"event": "../../etc"}', b'{"event": "call-ended", "facts": {"ld_preload=x": "y"}}',
            b'{"event": "call-ended", "facts": {"call": "a\\nb"}}', b'{"event": "call-ended", "more": 1}',
            b"x" * 100_000,
        ):  # fmt: skip
            liar.sendall(line + b"\n")
    s.hook("modem-lost", "10-it", "true")
    await s.tell("modem-lost", route="m")
    assert not (tmp_path / "ran").exists()


@pytest_twisted.ensureDeferred
async def test_the_daemon_goes_on_without_the_service_and_tells_it_again_when_it_is_back(scene):
    s = scene()
    s.hook("modem-lost", "10-it", "true")
    await s.tell("modem-lost")
    s.process.stop(5)
    s.socket.unlink()
    await until(lambda: s.teller._line is None, "the loss")
    s.teller.happened("modem-lost", {})
    assert s.metrics.events == ["told", "dropped"]
    s.start()
    await s.tell("modem-lost")
    assert s.metrics.results == ["done", "done"]


def test_a_flood_is_dropped_and_silent_events_are_not_told(tmp_path):
    from twisted.internet import reactor

    metrics = Metrics()
    (tmp_path / "socket").touch()
    settings = Hooks(socket_file=str(tmp_path / "socket"), silent=("phone-online",))
    teller = HookTeller(reactor, settings, metrics)
    teller._connecting = True
    teller.happened("phone-online", {})
    for _ in range(WAITING + 3):
        teller.happened("phone-offline", {"phone": "cell1"})
    assert metrics.events == ["dropped"] * 3
    with pytest.raises(ValueError, match="not an event"):
        teller.happened("nonsense", {})


def test_scripts_are_found_as_run_parts_finds_them(tmp_path):
    assert scripts(tmp_path, "call-ended", os.getuid()) == ([], [])
    for event in EVENTS:
        assert environment(Happening(event=event, facts={"phone": "x"}))["AVISIOD_PHONE"] == "x"
    with pytest.raises(ValueError, match="no such event"):
        environment(Happening(event="other"))


# What is shipped, against real peers.

SHIPPED = ROOT / "firmware-hooks" / "outgoing"


def shipped(name: str, folder: Path, **facts: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    environment |= {"STATE_DIRECTORY": str(folder), "CONFIGURATION_DIRECTORY": str(folder)}
    environment |= {f"AVISIOD_{key.upper()}": value for key, value in facts.items()}
    return subprocess.run([SHIPPED / name], env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def switch(tmp_path):
    """snmpd of Debian with the power of two ports as it would be in a switch."""
    port, oid = free_port(), ".1.3.6.1.2.1.105.1.1.1.3.1"
    (tmp_path / "snmpd.conf").write_text(
        f"agentaddress udp:127.0.0.1:{port}\nrwcommunity secret-word 127.0.0.1\n"
        f"override -rw {oid}.7 integer 1\noverride -rw {oid}.8 integer 1\n"
    )
    (tmp_path / "snmp").mkdir()
    (tmp_path / "snmp" / "snmp.conf").write_text("defVersion 2c\ndefCommunity secret-word\n")
    process = Process(
        ["/usr/sbin/snmpd", "-f", "-Lo", "-C", "-c", tmp_path / "snmpd.conf", "-DNONE", "-p", tmp_path / "pid"],
        name="snmpd",
        env={"SNMP_PERSISTENT_DIR": str(tmp_path / "persistent"), "MIBS": ""},
    )

    def power(place: int) -> str:
        command = ["snmpget", "-m", "", "-Oqv", "-v2c", "-c", "secret-word", f"127.0.0.1:{port}", f"{oid}.{place}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()

    end = time.monotonic() + 20
    while power(7) != "1" and time.monotonic() < end:
        pass
    yield f"127.0.0.1:{port}", power
    process.stop(5)


@pytest.mark.peer
def test_a_port_loses_its_power_and_gets_it_back_once_in_a_while(switch, tmp_path):
    address, power = switch
    (tmp_path / "poe-ports").write_text(f"cell2 {address} 1.8\ncell1 {address} 1.7\n")
    (tmp_path / "restart-poe-port.conf").write_text("OFF_S=1\n")
    done = shipped("restart-poe-port", tmp_path, event="phone-offline", phone="cell1")
    assert (done.returncode, done.stdout) == (0, "the port of cell1 was without power for 1 s\n")
    assert (power(7), power(8)) == ("1", "1")
    again = shipped("restart-poe-port", tmp_path, event="phone-offline", phone="cell1")
    assert again.returncode == 0
    assert "left alone" in again.stdout
    other = shipped("restart-poe-port", tmp_path, event="phone-offline", phone="cell9")
    assert other.stdout == "no port is listed for cell9\n"


@pytest.mark.peer
def test_the_power_is_off_meanwhile_and_comes_back_though_the_script_is_ended(switch, tmp_path):
    address, power = switch
    (tmp_path / "poe-ports").write_text(f"cell1 {address} 1.7\n")
    (tmp_path / "restart-poe-port.conf").write_text("OFF_S=60\n")
    environment = {"PATH": os.environ["PATH"], "AVISIOD_PHONE": "cell1", "STATE_DIRECTORY": str(tmp_path)}
    environment["CONFIGURATION_DIRECTORY"] = str(tmp_path)
    script = subprocess.Popen([SHIPPED / "restart-poe-port"], env=environment, start_new_session=True)
    end = time.monotonic() + 20
    while power(7) != "2" and time.monotonic() < end:
        pass
    assert power(7) == "2"
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert "secret-word" not in process.read_text() or "snmpget" in process.read_text()
        except OSError:
            continue
    os.killpg(script.pid, signal.SIGTERM)
    script.wait(20)
    assert power(7) == "1"


@pytest.mark.peer
def test_a_switch_that_does_not_answer_is_a_failure(tmp_path):
    (tmp_path / "snmp").mkdir()
    (tmp_path / "snmp" / "snmp.conf").write_text("defVersion 2c\ndefCommunity secret-word\n")
    (tmp_path / "poe-ports").write_text("cell1 127.0.0.1:9 1.7\n")
    (tmp_path / "restart-poe-port.conf").write_text("OFF_S=0\n")
    assert shipped("restart-poe-port", tmp_path, event="phone-offline", phone="cell1").returncode != 0


@pytest.fixture
def web_switch(tmp_path):
    """The interface of a switch over TLS: what was asked of it, and statuses that it answers first."""
    asked, statuses = [], []

    class Port(BaseHTTPRequestHandler):
        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            good = self.headers["Authorization"] == "Bearer secret-word"
            asked.append((self.path, json.loads(body)["enabled"]))
            self.send_response((statuses.pop(0) if statuses else 204) if good else 401)
            self.send_header("Location", "https://127.0.0.1/elsewhere")
            self.end_headers()

        do_GET = do_PUT  # noqa: N815 - as above

        def log_message(self, *_):
            pass

    authority = Authority(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("switch", "127.0.0.1"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "poe-ports").write_text(f"cell2 nowhere 8\ncell1 127.0.0.1:{server.server_port} 1/0/7\n")
    (tmp_path / "poe-http.conf").write_text(
        f"""[request]
url = https://{{switch}}/ports/{{port}}/poe
off = {{"enabled": false}}
on = {{"enabled": true}}
ca_file = {authority.file}
off_s = 0.1   ; seconds
[headers]
Content-Type = application/json
Authorization = Bearer secret-word
"""
    )
    yield asked, statuses
    server.shutdown()
    thread.join()
    server.server_close()


OFF, ON = ("/ports/1%2F0%2F7/poe", False), ("/ports/1%2F0%2F7/poe", True)


@pytest.mark.peer
def test_a_port_is_restarted_by_http_once_in_a_while(web_switch, tmp_path):
    asked, _ = web_switch
    done = shipped("restart-poe-port-http", tmp_path, event="phone-offline", phone="cell1")
    assert (done.returncode, done.stdout, asked) == (0, "the port of cell1 was without power for 0.1 s\n", [OFF, ON])
    assert "left alone" in shipped("restart-poe-port-http", tmp_path, event="phone-offline", phone="cell1").stdout
    other = shipped("restart-poe-port-http", tmp_path, event="phone-offline", phone="cell9")
    assert (other.stdout, asked) == ("no port is listed for cell9\n", [OFF, ON])


@pytest.mark.peer
@pytest.mark.parametrize(
    ("statuses", "code", "expected"),
    [([204, 500, 503], 0, [OFF, ON, ON, ON]), ([500], 1, [OFF, ON]), ([302], 1, [OFF, ON])],
    ids=["the power comes back though the switch stumbles", "refused", "elsewhere"],
)
def test_a_switch_that_refuses_is_a_failure_and_the_power_is_given_back(
    web_switch, tmp_path, statuses, code, expected
):
    asked, answers = web_switch
    answers += statuses
    done = shipped("restart-poe-port-http", tmp_path, event="phone-offline", phone="cell1")
    assert (done.returncode, asked) == (code, expected), done.stdout
    assert "secret-word" not in done.stdout + done.stderr


@pytest.mark.peer
@pytest.mark.parametrize(
    "change", [("https://", "http://"), ("ca_file = ", "ca = "), ("[request]", "[asked]"), ("secret-word", "other")]
)
def test_a_switch_that_cannot_be_asked_safely_gets_no_order(web_switch, tmp_path, change):
    asked, _ = web_switch
    file = tmp_path / "poe-http.conf"
    file.write_text(file.read_text().replace(*change))
    done = shipped("restart-poe-port-http", tmp_path, event="phone-offline", phone="cell1")
    assert done.returncode == 1
    assert done.stdout
    assert not asked or change[0] == "secret-word"


@pytest.mark.peer
def test_the_power_comes_back_by_http_though_the_script_is_ended(web_switch, tmp_path):
    asked, _ = web_switch
    file = tmp_path / "poe-http.conf"
    file.write_text(file.read_text().replace("off_s = 0.1", "off_s = 60"))
    environment = {"PATH": os.environ["PATH"], "AVISIOD_PHONE": "cell1", "STATE_DIRECTORY": str(tmp_path)}
    environment["CONFIGURATION_DIRECTORY"] = str(tmp_path)
    script = subprocess.Popen([SHIPPED / "restart-poe-port-http"], env=environment)
    wait_until(lambda: asked == [OFF], 20, "the power is off")
    script.terminate()
    assert script.wait(20) == 143
    assert asked == [OFF, ON]


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_events_fall_silent_and_speak_again_with_a_reload(tmp_path):
    from twisted.internet import reactor

    metrics = Metrics()
    teller = HookTeller(reactor, Hooks(socket_file=str(tmp_path / "nowhere")), metrics)
    teller.happened("phone-online", {})
    teller.adopt(Hooks(socket_file="/elsewhere", silent=("phone-online",)))
    teller.happened("phone-online", {})
    teller.happened("phone-offline", {})
    teller.adopt(Hooks())
    teller.happened("phone-online", {})
    assert metrics.events == ["dropped"] * 3, "nobody listens; what is silent is not even tried"


@pytest.fixture
def post(tmp_path):
    """A mail server that keeps what it gets."""
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Message

    class Keeper(Message):
        kept: list = []  # noqa: RUF012

        def handle_message(self, message):
            self.kept.append(message)

    keeper = Keeper()
    keeper.kept.clear()
    port = free_port()
    controller = Controller(keeper, hostname="127.0.0.1", port=port)
    controller.start()
    (tmp_path / "mail.conf").write_text(
        f"[mail]\nserver = 127.0.0.1\nport = {port}\nencryption = none\nfrom = box@example.org\nto = t@example.org\n"
    )
    yield keeper.kept
    controller.stop()


@pytest.mark.peer
def test_the_technician_gets_one_mail_with_the_facts(post, tmp_path):
    facts = {"event": "phone-offline", "phone": "cell1", "building": "A", "state": "unregistered"}
    assert shipped("mail-technician", tmp_path, **facts).returncode == 0
    assert "a moment ago" in shipped("mail-technician", tmp_path, **facts).stdout
    assert shipped("mail-technician", tmp_path, event="modem-lost", route="modem").returncode == 0
    first, second = post
    assert (first["Subject"], first["To"]) == ("avisiod: phone-offline cell1", "t@example.org")
    assert "state: unregistered" in first.get_payload()
    assert second["Subject"] == "avisiod: modem-lost modem"


@pytest.mark.peer
@pytest.mark.parametrize(
    "change", [("none", "starttls"), ("none", "tls"), ("none", "perhaps"), ("127.0.0.1", "127.0.0.9")]
)
def test_a_mail_that_cannot_be_sent_safely_is_a_failure(post, tmp_path, change):
    file = tmp_path / "mail.conf"
    file.write_text(file.read_text().replace(*change))
    done = shipped("mail-technician", tmp_path, event="board-lost", board="guard")
    assert (done.returncode, post) == (1, [])
    assert "no mail was sent" in done.stdout


def test_the_metrics_have_every_result():
    from prometheus_client import CollectorRegistry

    metrics = HookMetrics(CollectorRegistry())
    for result in ("done", "failed", "late", "refused"):
        metrics.ran(result)
    metrics.told("call-ended", "told")
