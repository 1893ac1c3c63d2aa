"""The portal serves on the socket that systemd opened for it, and on no other."""

import socket
import subprocess
import sys

TAKE = """
import os, sys
port, number = int(sys.argv[1]), int(sys.argv[2])
if number:
    os.dup2(number, 3)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
from avisiod.web import inherited
found = inherited.take(port)
if found is None:
    sys.exit(3)
found.setblocking(True)
connection, _ = found.accept()
connection.sendall(b"served")
"""
"""Takes the socket as systemd hands it over: as descriptor 3, and told for whom it is."""


def taking(port: int, listening: socket.socket | None) -> subprocess.Popen[bytes]:
    handed = [listening.fileno()] if listening else []
    argv = [sys.executable, "-c", TAKE, str(port), str(*handed or [0])]
    return subprocess.Popen(argv, pass_fds=handed, stderr=subprocess.PIPE)


def test_a_socket_that_systemd_opened_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = taking(port, listening)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as page:
        assert page.recv(100) == b"served"
    assert process.wait(30) == 0


def test_a_socket_on_another_port_is_not_used_and_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = taking(listening.getsockname()[1] ^ 1, listening)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert b"portal.port" in said


def test_without_systemd_nothing_is_taken() -> None:
    assert taking(443, None).wait(30) == 3
