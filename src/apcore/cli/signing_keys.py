"""Where ``verify`` and ``sign`` get their keys: from a file, or from the server of whoever signed, as an inbox would.

What is fetched is told: every address that was asked and what it answered, because a key that cannot be had is the commonest reason why a good
signature is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import click
from attrs import field, frozen

from apcore.cli.output import plain
from apcore.effects import CallOutcome, Effect, Fetch, Returned
from apcore.errors import ApcoreError
from apcore.federation import Federation
from apcore.http import LOOPBACK_OPEN, PUBLIC_ONLY, redact_url
from apcore.node import Node
from apcore.remote import FetchPolicy, RemoteKey, remote_key
from apcore.signatures import (
    KeyMalformed,
    PrivateKey,
    PublicKey,
    SignatureStep,
    read_did_key,
    read_multikey,
    read_pem,
    read_private_pem,
)

__all__ = ["Fetched", "fetch_keys", "read_file", "read_private_key", "read_public_key"]

_KEY_BYTES_MAX: Final = 16 * 1024


def read_file(path: str, bytes_max: int, what: str) -> bytes:
    """Read a file, or standard input for ``-``, and one byte more than ``bytes_max`` at most.

    Raises:
        click.UsageError: It cannot be read.
    """
    try:
        with click.open_file(path, "rb") as file:
            data: bytes = file.read(bytes_max + 1)
            return data
    except OSError as error:
        raise click.UsageError(f"{what} {path} cannot be read: {error.strerror or error}") from error


def read_public_key(path: str) -> PublicKey:
    """Read a public key: PEM, a Multikey, or a private PEM of which the public half is taken.

    Raises:
        click.UsageError: It is none.
        KeyWeak: It is one that nobody should believe.
    """
    text = _text(path)
    try:
        if "PRIVATE KEY-----" in text:
            return read_private_pem(text, key_id="", owner="").public.renamed(source=f"--key {path}")
        if text.strip().startswith("z"):
            return read_multikey(text.strip(), key_id="", owner="", source=f"--key {path}")
        return read_pem(text, key_id="", owner="", source=f"--key {path}")
    except (KeyMalformed, ValueError) as error:
        raise click.UsageError(f"--key {path} is neither a PEM nor a Multikey of a key that is used here") from error


def read_private_key(path: str, key_id: str) -> PrivateKey:
    """Read a private key in PEM. `click.UsageError` for what is none; its words never hold any of it."""
    try:
        return read_private_pem(_text(path), key_id=key_id, owner=key_id.partition("#")[0])
    except ValueError as error:
        raise click.UsageError(
            f"--key {path} is no private key in PEM, not encrypted, that can be used here"
        ) from error


def _text(path: str) -> str:
    data = read_file(path, _KEY_BYTES_MAX, "--key")
    if len(data) > _KEY_BYTES_MAX:
        raise click.UsageError(f"--key {path} has more than {_KEY_BYTES_MAX} bytes")
    return data.decode("ascii", "replace")


# --- from where it says ---------------------------------------------------------------------------------------------


@frozen
class Fetched:
    """What came of asking for keys."""

    keys: dict[str, PublicKey] = field(factory=dict[str, PublicKey])
    """By the id that was asked for; ownership is proved in both directions."""
    asserting: set[str] = field(factory=set[str])
    """Those that their owners list in `assertionMethod`."""
    errors: dict[str, ApcoreError] = field(factory=dict[str, ApcoreError])
    steps: list[SignatureStep] = field(factory=list[SignatureStep])


def fetch_keys(key_ids: Sequence[str], *, allow_loopback: bool, user_agent: str) -> Fetched:
    """Ask for keys as an inbox does, unsigned, with nothing in the cache."""
    fetched = Fetched()
    asked = _Asked()
    addresses = LOOPBACK_OPEN if allow_loopback else PUBLIC_ONLY
    policy = FetchPolicy(addresses=addresses, user_agent=user_agent)
    with Node(Federation(), addresses=addresses, observer=asked) as node:
        for key_id in key_ids:
            asked.lines.clear()
            try:
                found = _fetch(key_id, node, policy)
            except ApcoreError as error:
                fetched.errors[key_id] = error
                detail = plain(f"{error.reason}: {error}")
            else:
                fetched.keys[key_id] = found.key
                if found.asserts:
                    fetched.asserting.add(key_id)
                detail = plain(f"{key_id} is owned by {found.key.owner}, and both say so")
            told = [detail, *asked.lines]
            fetched.steps.append(SignatureStep("fetch", key_id in fetched.keys, "\n".join(told)))
    return fetched


def _fetch(key_id: str, node: Node[Any], policy: FetchPolicy) -> RemoteKey:
    if key_id.startswith("did:key:"):
        return RemoteKey(read_did_key(key_id, source="the id itself"), cached=False, asserts=True)
    return node.run(remote_key(key_id, policy=policy))


class _Asked:
    """An observer that notes exchanges."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, effect: Effect[Any], _place: tuple[int, ...], /) -> Callable[[CallOutcome[Any]], None] | None:
        if not isinstance(effect, Fetch):
            return None
        what = f"{effect.request.method} {redact_url(effect.request.url)}"

        def answered(outcome: CallOutcome[Any], /) -> None:
            if isinstance(outcome, Returned):
                response = outcome.value
                media = response.headers.get("content-type") or "no media type"
                self.lines.append(plain(f"{what} -> {response.status}, {media[:100]}, {len(response.body)} bytes"))
            else:
                self.lines.append(plain(f"{what} -> {outcome.error}"))

        return answered
