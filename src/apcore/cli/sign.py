"""``apcore sign``: sign a request, and print it as bytes for a server or for ``apcore verify``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from apcore.cli import exit_codes
from apcore.cli.capture import ready_to_sign, write_request
from apcore.cli.output import plain
from apcore.cli.signing_keys import read_private_key
from apcore.cli.timestamps import parse_time
from apcore.cli.verify import read_request
from apcore.errors import ApcoreError
from apcore.http import InnerList, Item, Request, parse_list
from apcore.signatures import PrivateKey, Unsigned, cavage, display_base, rfc9421

__all__ = ["command"]


@click.command("sign", short_help="Sign a request.")
@click.argument("request_file", metavar="REQUEST-FILE")
@click.option("--key", "key_file", required=True, metavar="FILE", help="The private key, in PEM.")
@click.option("--key-id", required=True, metavar="URI", help="The id under which peers find the public half.")
@click.option(
    "--scheme",
    type=click.Choice(["cavage", "rfc9421"]),
    default="cavage",
    show_default=True,
    help="The signature scheme.",
)
@click.option(
    "--components",
    metavar="NAMES",
    help="The covered components, in order, separated by blanks.  [default: those that every server accepts]",
)
@click.option(
    "--expires", "expires_s", type=click.IntRange(1), metavar="SECONDS", help="The lifetime of the signature."
)
@click.option("--now", metavar="TIME", callback=parse_time, help="The time of the signature.  [default: now]")
@click.option("--origin", metavar="URL", help="The receiving origin.  [default: https and the Host of the request]")
@click.option("--explain", "explain", is_flag=True, help="Show the signing string on standard error.")
def command(
    *,
    request_file: str,
    key_file: str,
    key_id: str,
    scheme: str,
    components: str | None,
    expires_s: int | None,
    now: datetime | None,
    origin: str | None,
    explain: bool,
) -> int:
    """Sign a raw HTTP/1.1 request, and print it with its signature, ready to be sent. Use - for standard input.

    Date, Host, Digest or Content-Digest are added if the scheme needs them. Existing signatures are removed. Standard
    output contains the request with all its headers, also secret ones. With --explain, the signing string is printed
    without the values of secret headers.
    """
    captured = ready_to_sign(read_request(request_file, origin=origin, scheme="https"))
    key = read_private_key(key_file, key_id)
    signing_time = datetime.now(UTC) if now is None else now
    try:
        unsigned, signature = _sign(
            captured.request, key, scheme=scheme, components=components, now=signing_time, expires_s=expires_s
        )
    except (ValueError, ApcoreError) as error:
        raise click.UsageError(plain(f"the request cannot be signed with these options: {error}")) from error
    if explain:
        for line in display_base(unsigned.data):
            click.echo(line, err=True)
    signed = unsigned.attach(signature)
    _ = sys.stdout.buffer.write(write_request(captured, signed))
    sys.stdout.buffer.flush()
    return exit_codes.DONE


def _sign(
    request: Request,
    key: PrivateKey,
    *,
    scheme: str,
    components: str | None,
    now: datetime,
    expires_s: int | None,
) -> tuple[Unsigned, bytes]:
    algorithm = key.choose_algorithm()
    if scheme == "cavage":
        unsigned = cavage.prepare(
            request,
            key_id=key.key_id,
            algorithm=algorithm,
            now=now,
            covered=None if components is None else tuple(components.lower().replace(",", " ").split()),
            expires_s=expires_s,
        )
        return unsigned, key.sign(unsigned.data, algorithm, dss_der=True)
    unsigned = rfc9421.prepare(
        request,
        key_id=key.key_id,
        algorithm=algorithm,
        now=now,
        covered=None if components is None else _components(components),
        expires_s=expires_s,
    )
    return unsigned, key.sign(unsigned.data, algorithm)


def _components(text: str) -> tuple[str | Item, ...]:
    """Read names separated by blanks, or an inner list as in Signature-Input, for components with parameters."""
    if not text.startswith("("):
        return tuple(name.strip('"') for name in text.lower().replace(",", " ").split())
    members = parse_list(text)
    if len(members) != 1 or not isinstance(members[0], InnerList):
        raise ValueError("--components begins with a parenthesis, but is not one inner list")
    return members[0].items
