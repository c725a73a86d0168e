"""Check reserved ports: they refuse connections until their server listens, and no other program gets them."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack, closing

import pytest

from apcore.cli.demo.servers import HOST, reserved_ports
from apcore.cli.web_server import listen_at

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a server bind beside a reservation")


def test_reserved_port_refuses_connections_until_its_server_listens():
    with reserved_ports(2) as [port, _]:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port))
        for _start in range(2):
            with closing(listen_at(HOST, port)):
                socket.create_connection((HOST, port)).close()


def test_reserved_port_is_given_to_no_other_program():
    with reserved_ports(1) as [port], ExitStack() as stack:
        others = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(200)]
        assert port not in {sock.getsockname()[1] for sock in others}
        with pytest.raises(OSError, match="Address already in use"), socket.socket() as sock:
            sock.bind((HOST, port))
