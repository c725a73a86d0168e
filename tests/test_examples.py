"""The examples run, and the tutorial's commands do what it says, as a newcomer would type them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path

import pytest

from markdown_blocks import Block, blocks

pytest.importorskip("uvicorn")

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apcore import Federation, Node
from apcore.adapters.memory import MemoryStore
from apcore.cli.demo.servers import reserved_ports
from apcore.testing.signer import check_signer
from apcore.vocab import Person

HERE = Path(__file__).resolve().parents[1]
TUTORIAL = HERE / "docs" / "tutorial" / "server.md"
_CAPTION = re.compile(r":caption: (.+)\n\n")
PATIENCE_S = 60.0


# --- examples -------------------------------------------------------------------------------------------------------


def example(name: str):
    spec = spec_from_file_location(name, HERE / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class KeyService:
    """A key management service, as far as one function goes. Keys are real, and stay in here."""

    def __init__(self) -> None:
        self.keys = {}
        self.states = {}
        self.numbers = count()

    def __call__(self, operation: str, **asked):
        if operation == "create_key":
            assert asked["KeyUsage"] == "SIGN_VERIFY"
            rsa_key = asked["KeySpec"] == "RSA_2048"
            key = rsa.generate_private_key(65537, 2048) if rsa_key else ed25519.Ed25519PrivateKey.generate()
            key_id = f"key-{next(self.numbers)}"
            self.keys[key_id], self.states[key_id] = key, "Enabled"
            return {"KeyMetadata": {"KeyId": key_id}}
        key_id = asked["KeyId"]
        if key_id not in self.keys:
            raise OSError("NotFoundException")
        return getattr(self, operation)(key_id, asked)

    def get_public_key(self, key_id, asked):
        public = self.keys[key_id].public_key()
        return {"PublicKey": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)}

    def describe_key(self, key_id, asked):
        return {"KeyMetadata": {"KeyId": key_id, "KeyState": self.states[key_id]}}

    def schedule_key_deletion(self, key_id, asked):
        if self.states[key_id] != "Enabled":
            raise OSError("KMSInvalidStateException")
        self.states[key_id] = "PendingDeletion"
        return {}

    def sign(self, key_id, asked):
        if self.states[key_id] != "Enabled":
            raise OSError("KMSInvalidStateException")
        key, said = self.keys[key_id], (asked["SigningAlgorithm"], asked["MessageType"])
        if isinstance(key, rsa.RSAPrivateKey):
            assert said == ("RSASSA_PKCS1_V1_5_SHA_256", "DIGEST")
            return {"Signature": key.sign(asked["Message"], padding.PKCS1v15(), Prehashed(hashes.SHA256()))}
        assert said == ("ED25519_SHA_512", "RAW")
        return {"Signature": key.sign(asked["Message"])}


def test_a_key_service_is_a_signer():
    signer = example("kms_signer").KmsSigner
    services = {}

    def make(clock):
        made = signer(service := KeyService())
        services[id(made)] = service
        return made

    check_signer(make, reopen=lambda made: signer(services[id(made)]))


def test_a_node_signs_with_a_key_service_and_keeps_no_private_key():
    service, store = KeyService(), MemoryStore()
    federation = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    with Node(federation, "https://here.example", store, signer=example("kms_signer").KmsSigner(service)) as node:
        rotation = node.rotate_keys("alice")
    assert rotation.signs[0].endswith("#main-key-2")
    assert len(service.keys) == 4
    assert {entry.key[0] for entry in store.scan((), limit=100)}.isdisjoint({"private"})


def test_hello_is_a_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hello = example("hello")
    status, body = asyncio.run(ask(hello.app, "/users/alice"))
    assert (status, body["name"]) == (200, "Alice")
    status, body = asyncio.run(ask(hello.app, "/.well-known/webfinger", b"resource=acct:alice@hello.example"))
    assert (status, body["subject"]) == (200, "acct:alice@hello.example")


async def ask(app, path: str, query: bytes = b"") -> tuple[int, dict]:
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"hello.example"), (b"accept", b"*/*")]
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "query_string": query,
        "headers": headers,
    }
    await app(scope, receive, send)
    await app.node.aclose()
    return sent[0]["status"], json.loads(sent[1]["body"])


# --- the tutorial ---------------------------------------------------------------------------------------------------


class Newcomer:
    """Types what the tutorial shows, in three terminals, at ports that are free here."""

    def __init__(self, directory: Path, ports: list[int]) -> None:
        self.directory = directory
        self.ports = dict(zip(("8000", "8001"), map(str, ports), strict=True))
        self.servers: dict[str, subprocess.Popen] = {}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}

    def here(self, text: str) -> str:
        for shown, ours in self.ports.items():
            text = text.replace(shown, ours)
        return text

    def steps(self) -> list[tuple[str, str]]:
        """File name or terminal, and what is to be written there, in the order of the page."""
        found: list[Block] = [*blocks(TUTORIAL, "{code-block} python"), *blocks(TUTORIAL, "{code-block} shell")]
        steps = []
        for block in sorted(found, key=lambda block: block.line):
            caption = _CAPTION.match(block.text)
            assert caption is not None, f"the block at line {block.line} has no caption"
            steps.append((caption[1], self.here(block.text[caption.end() :])))
        return steps

    def open(self, terminal: str, command: str) -> None:
        with self.said_in(terminal).open("wb") as log:
            self.servers[terminal] = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.directory,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.until(lambda: "listening at" in self.said_in(terminal).read_text(), f"{command} serves")

    def said_in(self, terminal: str) -> Path:
        return self.directory / f"{terminal}.log"

    def type(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def until(self, holds, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            said = "".join(self.said_in(terminal).read_text() for terminal in self.servers)
            assert time.monotonic() < deadline, f"it never came to pass that {what}\n{said}"
            time.sleep(0.05)

    def close(self) -> None:
        for server in self.servers.values():
            server.terminate()
        for server in self.servers.values():
            server.wait(PATIENCE_S)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial shows curl, which is not installed")
def test_the_tutorial_leads_to_a_running_followed_server(tmp_path):
    with reserved_ports(2) as ports:
        follow_the_tutorial(Newcomer(tmp_path, ports))


def follow_the_tutorial(newcomer: Newcomer) -> None:
    sees = {
        "apcore check": "no mistakes found",
        "apcore lookup": newcomer.here("@alice@127.0.0.1:8000"),
        "followers/page": newcomer.here('"orderedItems":["http://127.0.0.1:8001/users/alice"]'),
        "outbox/page": "The bread is ready.",
    }
    try:
        for where, text in newcomer.steps():
            if where.endswith(".py"):
                (newcomer.directory / where).write_text(text, encoding="utf-8")
            elif where != "third terminal":
                newcomer.open(where, text)
            else:
                expected = [sees.pop(command) for command in list(sees) if command in text]
                said = newcomer.type(text)
                if not all(each in said for each in expected):  # a person is slower than a worker; we are not
                    newcomer.until(lambda text=text, expected=expected: expected[0] in newcomer.type(text), expected[0])
        assert not sees, "the page has lost these commands"
        arrived = newcomer.here("http://127.0.0.1:8000/users/alice wrote: <p>The bread is ready.</p>")
        newcomer.until(lambda: arrived in newcomer.said_in("second terminal").read_text(), arrived)
    finally:
        newcomer.close()
