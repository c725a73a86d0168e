"""``apcore keygen``: a key pair, for whoever keeps keys outside of the store. Servers make their own without being asked."""

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


@click.command("keygen", short_help="Make a key pair.")
@click.option("--kind", type=click.Choice(_KINDS), default="ed25519", show_default=True, help="What to make.")
@click.option(
    "--out", metavar="FILE", help="Write the private half here (a new file, mode 0600), instead of printing it."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, kind: KeyKind, out: str | None, as_json: bool) -> int:
    """Make a key pair: the private half in PEM (PKCS #8), the public one in PEM and as a Multikey."""
    key = generate_key(kind, key_id="", owner="")
    if out is not None:
        _write(Path(out), key)
    told = {
        "kind": kind,
        "publicKeyPem": key.public.pem,
        "publicKeyMultibase": key.public.multibase,
        **({"privateKeyPem": key.pem()} if out is None else {"privateKeyFile": out}),
    }
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(key.public.pem.rstrip("\n") if out is not None else f"{key.pem()}{key.public.pem}".rstrip("\n"))
        click.echo(key.public.multibase)
    return exit_codes.DONE


def _write(path: Path, key: PrivateKey) -> None:
    """Write a secret where nobody else can read it, and over nothing."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from error
    with os.fdopen(handle, "w", encoding="ascii") as file:
        _ = file.write(key.pem())
