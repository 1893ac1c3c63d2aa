"""The portal serves on the socket that systemd opened for it, and on no other."""

import socket
import subprocess
import sys

TAKE = """
import fcntl, os, sys
port, numbers = int(sys.argv[1]), [int(each) for each in sys.argv[2:]]
kept = [fcntl.fcntl(each, fcntl.F_DUPFD, 100) for each in numbers]
for place, each in enumerate(kept):
    os.dup2(each, 3 + place)
if kept:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)))
from avisiod.web import inherited
found = inherited.take(port)
if not found:
    sys.exit(3)
for each in found:
    each.setblocking(True)
    connection, _ = each.accept()
    connection.sendall(b"served")
"""
"""Takes sockets as systemd hands them over: as descriptors 3 and on, and told for whom they are."""


def taking(port: int, *listening: socket.socket) -> subprocess.Popen[bytes]:
    handed = [each.fileno() for each in listening]
    argv = [sys.executable, "-c", TAKE, str(port), *map(str, handed)]
    return subprocess.Popen(argv, pass_fds=handed, stderr=subprocess.PIPE)


def test_a_socket_that_systemd_opened_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = taking(port, listening)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as page:
        assert page.recv(100) == b"served"
    assert process.wait(30) == 0


def test_each_address_that_systemd_opened_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with socket.create_server(("::1", port), family=socket.AF_INET6) as second:
            process = taking(port, first, second)
    for address in ("127.0.0.1", "::1"):
        with socket.create_connection((address, port), timeout=30) as page:
            assert page.recv(100) == b"served"
    assert process.wait(30) == 0


def test_a_socket_on_another_port_is_not_used_and_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = taking(listening.getsockname()[1] ^ 1, listening)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert b"portal.port" in said


def test_without_systemd_nothing_is_taken() -> None:
    assert taking(443).wait(30) == 3
