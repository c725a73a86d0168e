"""``apcore keygen``: create a key pair for a signer outside of the store. Servers create their own keys themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from apcore.cli import exit_codes
from apcore.ports import KeyKind
from apcore.signatures import PrivateKey, generate_key

__all__ = ["command"]

_KINDS: tuple[KeyKind, ...] = ("ed25519", "rsa-2048")


@click.command("keygen", short_help="Create a key pair.")
@click.option("--kind", type=click.Choice(_KINDS), default="ed25519", show_default=True, help="The kind of the keys.")
@click.option(
    "--out", metavar="FILE", help="Write the private half to this new file (mode 0600) instead of printing it."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, kind: KeyKind, out: str | None, as_json: bool) -> int:
    """Create a key pair: the private half in PEM (PKCS #8), the public half in PEM and as a Multikey."""
    key = generate_key(kind, key_id="", owner="")
    if out is not None:
        _write(Path(out), key)
    members = {
        "kind": kind,
        "publicKeyPem": key.public.pem,
        "publicKeyMultibase": key.public.multibase,
        **({"privateKeyPem": key.pem()} if out is None else {"privateKeyFile": out}),
    }
    if as_json:
        click.echo(json.dumps(members, indent=2))
    else:
        click.echo(key.public.pem.rstrip("\n") if out is not None else f"{key.pem()}{key.public.pem}".rstrip("\n"))
        click.echo(key.public.multibase)
    return exit_codes.DONE


def _write(path: Path, key: PrivateKey) -> None:
    """Write the private half to a new file that only its owner can read. An existing file is never overwritten."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from error
    with os.fdopen(handle, "w", encoding="ascii") as file:
        _ = file.write(key.pem())
