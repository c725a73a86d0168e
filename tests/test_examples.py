"""Check that the examples run, and that the commands of the tutorial have the effects that it shows."""

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
    """A key management service behind one function, with real keys that never leave it."""

    def __init__(self) -> None:
        self.keys = {}
        self.states = {}
        self.numbers = count()

    def __call__(self, operation: str, **arguments):
        if operation == "create_key":
            assert arguments["KeyUsage"] == "SIGN_VERIFY"
            rsa_key = arguments["KeySpec"] == "RSA_2048"
            key = rsa.generate_private_key(65537, 2048) if rsa_key else ed25519.Ed25519PrivateKey.generate()
            key_id = f"key-{next(self.numbers)}"
            self.keys[key_id], self.states[key_id] = key, "Enabled"
            return {"KeyMetadata": {"KeyId": key_id}}
        key_id = arguments["KeyId"]
        if key_id not in self.keys:
            raise OSError("NotFoundException")
        return getattr(self, operation)(key_id, arguments)

    def get_public_key(self, key_id, arguments):
        public = self.keys[key_id].public_key()
        return {"PublicKey": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)}

    def describe_key(self, key_id, arguments):
        return {"KeyMetadata": {"KeyId": key_id, "KeyState": self.states[key_id]}}

    def schedule_key_deletion(self, key_id, arguments):
        if self.states[key_id] != "Enabled":
            raise OSError("KMSInvalidStateException")
        self.states[key_id] = "PendingDeletion"
        return {}

    def sign(self, key_id, arguments):
        if self.states[key_id] != "Enabled":
            raise OSError("KMSInvalidStateException")
        key, algorithm_and_type = self.keys[key_id], (arguments["SigningAlgorithm"], arguments["MessageType"])
        if isinstance(key, rsa.RSAPrivateKey):
            assert algorithm_and_type == ("RSASSA_PKCS1_V1_5_SHA_256", "DIGEST")
            return {"Signature": key.sign(arguments["Message"], padding.PKCS1v15(), Prehashed(hashes.SHA256()))}
        assert algorithm_and_type == ("ED25519_SHA_512", "RAW")
        return {"Signature": key.sign(arguments["Message"])}


def test_key_service_is_a_valid_signer():
    signer = example("kms_signer").KmsSigner
    services = {}

    def make(clock):
        signer_on_service = signer(service := KeyService())
        services[id(signer_on_service)] = service
        return signer_on_service

    check_signer(make, reopen=lambda signer_on_service: signer(services[id(signer_on_service)]))


def test_node_with_a_key_service_stores_no_private_key():
    service, store = KeyService(), MemoryStore()
    federation = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    with Node(federation, "https://here.example", store, signer=example("kms_signer").KmsSigner(service)) as node:
        rotation = node.rotate_keys("alice")
    assert rotation.signs[0].endswith("#main-key-2")
    assert len(service.keys) == 4
    assert {entry.key[0] for entry in store.scan((), limit=100)}.isdisjoint({"private"})


def test_hello_example_is_a_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hello = example("hello")
    status, body = asyncio.run(ask(hello.app, "/users/alice"))
    assert (status, body["name"]) == (200, "Alice")
    status, body = asyncio.run(ask(hello.app, "/.well-known/webfinger", b"resource=acct:alice@hello.example"))
    assert (status, body["subject"]) == (200, "acct:alice@hello.example")


async def ask(app, path: str, query: bytes = b"") -> tuple[int, dict]:
    messages = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        messages.append(message)

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
    return messages[0]["status"], json.loads(messages[1]["body"])


# --- the tutorial ---------------------------------------------------------------------------------------------------


class Newcomer:
    """A reader of the tutorial that types its commands in three terminals, at free ports of this machine."""

    def __init__(self, directory: Path, ports: list[int]) -> None:
        self.directory = directory
        self.ports = dict(zip(("8000", "8001"), map(str, ports), strict=True))
        self.servers: dict[str, subprocess.Popen] = {}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}

    def here(self, text: str) -> str:
        for page_port, free_port in self.ports.items():
            text = text.replace(page_port, free_port)
        return text

    def steps(self) -> list[tuple[str, str]]:
        """Return each file name or terminal with the text to write there, in the order of the page."""
        page_blocks: list[Block] = [*blocks(TUTORIAL, "{code-block} python"), *blocks(TUTORIAL, "{code-block} shell")]
        steps = []
        for block in sorted(page_blocks, key=lambda block: block.line):
            caption = _CAPTION.match(block.text)
            assert caption is not None, f"the block at line {block.line} has no caption"
            steps.append((caption[1], self.here(block.text[caption.end() :])))
        return steps

    def open(self, terminal: str, command: str) -> None:
        with self.log_of(terminal).open("wb") as log:
            self.servers[terminal] = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.directory,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.until(lambda: "listening at" in self.log_of(terminal).read_text(), f"{command} serves")

    def log_of(self, terminal: str) -> Path:
        return self.directory / f"{terminal}.log"

    def type(self, command: str) -> str:
        process = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, f"{command}: {process.stdout}{process.stderr}"
        return process.stdout

    def until(self, holds, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            output = "".join(self.log_of(terminal).read_text() for terminal in self.servers)
            assert time.monotonic() < deadline, f"it never came to pass that {what}\n{output}"
            time.sleep(0.05)

    def close(self) -> None:
        for server in self.servers.values():
            server.terminate()
        for server in self.servers.values():
            server.wait(PATIENCE_S)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial shows curl, which is not installed")
def test_tutorial_leads_to_a_running_server_with_a_follower(tmp_path):
    with reserved_ports(2) as ports:
        follow_the_tutorial(Newcomer(tmp_path, ports))


def follow_the_tutorial(newcomer: Newcomer) -> None:
    expected_outputs = {
        "apcore check": "no mistakes found",
        "apcore lookup": newcomer.here("@alice@127.0.0.1:8000"),
        "followers/page": newcomer.here('"orderedItems":["http://127.0.0.1:8001/users/alice"]'),
        "outbox/page": "The bread is ready.",
    }
    try:
        for place, text in newcomer.steps():
            if place.endswith(".py"):
                (newcomer.directory / place).write_text(text, encoding="utf-8")
            elif place != "third terminal":
                newcomer.open(place, text)
            else:
                expected = [expected_outputs.pop(command) for command in list(expected_outputs) if command in text]
                output = newcomer.type(text)
                # A person is slower than the worker, but this test is not.
                if not all(text_part in output for text_part in expected):
                    newcomer.until(lambda text=text, expected=expected: expected[0] in newcomer.type(text), expected[0])
        assert not expected_outputs, "the page has lost these commands"
        received_note = newcomer.here("http://127.0.0.1:8000/users/alice wrote: <p>The bread is ready.</p>")
        newcomer.until(lambda: received_note in newcomer.log_of("second terminal").read_text(), received_note)
    finally:
        newcomer.close()
