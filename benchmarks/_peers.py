"""Run the servers that a benchmark compares, each in a process of its own, and measure them from outside."""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import IO, cast

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


class PeerProcess:
    """A process that prints ``ready`` when it has started, and then takes a command on each line of its input."""

    def __init__(self, command: list[str], *, source: Path | None = None) -> None:
        environment = dict(os.environ) if source is None else os.environ | {"PYTHONPATH": str(source.resolve())}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._input = cast("IO[str]", self._process.stdin)
        output = cast("IO[str]", self._process.stdout)
        for line in output:
            if line.strip() == "ready":
                break
        else:
            raise SystemExit(f"{' '.join(command)} ended before it was ready")
        Thread(target=output.read, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, command: str) -> None:
        self._input.write(f"{command}\n")
        self._input.flush()

    @property
    def cpu_s(self) -> float:
        """The processor time that the process has used, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def end(self) -> None:
        self._input.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def python_peer(module: str, *arguments: object, source: Path | None = None) -> PeerProcess:
    """Start ``python -m MODULE ARGUMENTS``, with the packages in the directory ``source`` if there is one."""
    return PeerProcess([sys.executable, "-m", module, *map(str, arguments)], source=source)


def fedify_peer(script: str, modules: Path | None, *arguments: object) -> PeerProcess | None:
    """Start a script of ``benchmarks/fedify``; None without its modules or without Node."""
    node = None if modules is None else next(iter(modules.glob("node/bin/node")), None) or shutil.which("node")
    if modules is None or node is None:
        return None
    return PeerProcess([str(node), str(HERE / "fedify" / script), str(modules.resolve()), *map(str, arguments)])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# --- the sink -------------------------------------------------------------------------------------------------------


class _SinkConnection(asyncio.Protocol):
    """Answer 202 to every POST, and the number of POSTs since the last ``/reset`` to every GET."""

    posts = 0

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._data) < end + 4 + length:
                return
            self._data = self._data[end + 4 + length :]
            if head.startswith(b"post"):
                _SinkConnection.posts += 1
                self._transport.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
                continue
            if b"/reset" in head.split(b"\r\n")[0]:
                _SinkConnection.posts = 0
            body = b"%d" % _SinkConnection.posts
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


async def _serve_sink(port: int) -> None:
    # On all addresses, so that each of 127.0.0.0/8 is an origin of its own.
    server = await asyncio.get_running_loop().create_server(_SinkConnection, "0.0.0.0", port, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()


class Sink:
    """A server that counts the POSTs to it, at ``port`` of every loopback address."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = python_peer("benchmarks._peers", self.port)
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port)

    def count(self, path: str = "/count") -> int:
        self._connection.request("GET", path)
        return int(self._connection.getresponse().read())

    def reset(self) -> None:
        self.count("/reset")

    def end(self) -> None:
        self._connection.close()
        os.kill(self._process.pid, 15)


def loopback_host(number: int) -> str:
    """Return a loopback address of its own for each number up to 60,000."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


if __name__ == "__main__":
    asyncio.run(_serve_sink(int(sys.argv[1])))
