"""Get the keys of ``verify`` and ``sign``: from a file, or from the signer's server, as an inbox does.

The output lists each fetched address and its response: an unavailable key is the commonest reason to refuse a valid
signature.
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

__all__ = ["FetchedKeys", "fetch_keys", "read_file", "read_private_key", "read_public_key"]

_KEY_BYTES_MAX: Final = 16 * 1024


def read_file(path: str, bytes_max: int, description: str) -> bytes:
    """Read a file, or standard input for ``-``. At most ``bytes_max`` + 1 bytes are read, which shows an excess.

    Raises:
        click.UsageError: The file cannot be read.
    """
    try:
        with click.open_file(path, "rb") as file:
            data: bytes = file.read(bytes_max + 1)
            return data
    except OSError as error:
        raise click.UsageError(f"{description} {path} cannot be read: {error.strerror or error}") from error


def read_public_key(path: str) -> PublicKey:
    """Read a public key from a public PEM, a Multikey, or the public half of a private PEM.

    Raises:
        click.UsageError: The file does not contain such a key.
        KeyWeak: The key is too weak to be trusted.
    """
    text = _text(path)
    try:
        if "PRIVATE KEY-----" in text:
            return read_private_pem(text, key_id="", owner="").public.renamed(source=f"--key {path}")
        if text.strip().startswith("z"):
            return read_multikey(text.strip(), key_id="", owner="", source=f"--key {path}")
        return read_pem(text, key_id="", owner="", source=f"--key {path}")
    except (KeyMalformed, ValueError) as error:
        raise click.UsageError(f"--key {path} is neither a PEM nor a Multikey of a supported key") from error


def read_private_key(path: str, key_id: str) -> PrivateKey:
    """Read a private key in PEM.

    Raises:
        click.UsageError: The file does not contain such a key. The message never contains a part of the file.
    """
    try:
        return read_private_pem(_text(path), key_id=key_id, owner=key_id.partition("#")[0])
    except ValueError as error:
        raise click.UsageError(
            f"--key {path} is not a supported private key: use a PEM that is not encrypted"
        ) from error


def _text(path: str) -> str:
    data = read_file(path, _KEY_BYTES_MAX, "--key")
    if len(data) > _KEY_BYTES_MAX:
        raise click.UsageError(f"--key {path} has more than {_KEY_BYTES_MAX} bytes")
    return data.decode("ascii", "replace")


# --- fetching -------------------------------------------------------------------------------------------------------


@frozen
class FetchedKeys:
    """The results of fetching keys."""

    keys: dict[str, PublicKey] = field(factory=dict[str, PublicKey])
    """The keys by requested id. Key and owner refer to each other."""
    assertion_key_ids: set[str] = field(factory=set[str])
    """The ids of the keys that their owners list in `assertionMethod`."""
    errors: dict[str, ApcoreError] = field(factory=dict[str, ApcoreError])
    """The errors by requested id."""
    steps: list[SignatureStep] = field(factory=list[SignatureStep])
    """One step per requested id, with the HTTP exchanges."""


def fetch_keys(key_ids: Sequence[str], *, allow_loopback: bool, user_agent: str) -> FetchedKeys:
    """Fetch keys as an inbox does, but with unsigned requests and an empty cache."""
    fetched = FetchedKeys()
    exchanges = _ExchangeLog()
    addresses = LOOPBACK_OPEN if allow_loopback else PUBLIC_ONLY
    policy = FetchPolicy(addresses=addresses, user_agent=user_agent)
    with Node(Federation(), addresses=addresses, observer=exchanges) as node:
        for key_id in key_ids:
            exchanges.lines.clear()
            try:
                key = _fetch(key_id, node, policy)
            except ApcoreError as error:
                fetched.errors[key_id] = error
                detail = plain(f"{error.reason}: {error}")
            else:
                fetched.keys[key_id] = key.key
                if key.asserts:
                    fetched.assertion_key_ids.add(key_id)
                detail = plain(f"{key_id} is owned by {key.key.owner}, and both say so")
            fetched.steps.append(SignatureStep("fetch", key_id in fetched.keys, "\n".join([detail, *exchanges.lines])))
    return fetched


def _fetch(key_id: str, node: Node[Any], policy: FetchPolicy) -> RemoteKey:
    if key_id.startswith("did:key:"):
        return RemoteKey(read_did_key(key_id, source="the id itself"), cached=False, asserts=True)
    return node.run(remote_key(key_id, policy=policy))


class _ExchangeLog:
    """An observer that records HTTP exchanges, one line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, effect: Effect[Any], _place: tuple[int, ...], /) -> Callable[[CallOutcome[Any]], None] | None:
        if not isinstance(effect, Fetch):
            return None
        request = f"{effect.request.method} {redact_url(effect.request.url)}"

        def record(outcome: CallOutcome[Any], /) -> None:
            if isinstance(outcome, Returned):
                response = outcome.value
                media = response.headers.get("content-type") or "no media type"
                self.lines.append(plain(f"{request} -> {response.status}, {media[:100]}, {len(response.body)} bytes"))
            else:
                self.lines.append(plain(f"{request} -> {outcome.error}"))

        return record
