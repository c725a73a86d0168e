"""Fedify's signatures in a process of their own: `fedify_signatures.mjs`, asked one line at a time."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from apcore.http import Request
from apcore.signatures import PrivateKey

SCRIPT = Path(__file__).with_suffix(".mjs")


class FedifySignatures:
    """One Fedify, which knows our keys and may fetch what is in ``served``.

    Args:
        modules: The directory `node_modules` in which npm has put Fedify; it is not changed. Its own `node` is taken, if it has one.
        rsa: Signs requests and Linked Data Signatures.
        ed25519: Signs proofs.
        served: Address -> JSON document.
    """

    def __init__(self, modules: Path, *, rsa: PrivateKey, ed25519: PrivateKey, served: Mapping[str, Any]) -> None:
        if not (modules / "@fedify" / "fedify").is_dir():
            raise FileNotFoundError(f"no @fedify/fedify in {modules}")
        node = shutil.which("node", path=str(modules / ".bin")) or shutil.which("node")
        if node is None:
            raise FileNotFoundError("no node, neither among the modules nor on the path")
        self._place = TemporaryDirectory(prefix="apcore-fedify-")
        # Modules are looked up from where the file lies, so it has to lie beside them.
        script = shutil.copy(SCRIPT, self._place.name)
        (Path(self._place.name) / "node_modules").symlink_to(modules.resolve())
        self._process = subprocess.Popen([node, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        keys = {name: _key(key) for name, key in (("rsa", rsa), ("ed25519", ed25519))}
        self.node_version: str = self.ask("keys", **keys, served=dict(served))["node"]
        package = modules / "@fedify" / "fedify" / "package.json"
        self.version: str = json.loads(package.read_text("utf-8"))["version"]

    def ask(self, task: str, **given: Any) -> dict[str, Any]:
        """Have a task done; what goes wrong there is in the answer, as `why`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": task, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"Fedify's process has ended, asked to {task}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def seconds(self, task: str, calls: int, **given: Any) -> float:
        """Seconds that one of ``calls`` took, by Fedify's own clock."""
        answer = self.ask(task, calls=calls, **given)
        if "us" not in answer or answer.get("holds") is False:
            raise RuntimeError(f"Fedify could not {task}: {answer}")
        return float(answer["us"]) / 1e6

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()
        self._place.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def as_json(request: Request) -> dict[str, Any]:
    """A request as the tasks take it."""
    return {
        "method": request.method,
        "url": request.url,
        "headers": [list(pair) for pair in request.headers.pairs],
        "body": b64encode(request.body).decode() if request.body else None,
    }


def _key(key: PrivateKey) -> dict[str, str]:
    return {
        "id": key.key_id,
        "pkcs8": b64encode(key.der()).decode(),
        "spki": b64encode(key.public.spki).decode(),
    }
