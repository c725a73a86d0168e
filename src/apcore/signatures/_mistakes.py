"""Try the mistakes that implementations really make, alone and in pairs, until a signature holds.

Each mistake is a sentence and a change: of the signing string, of the body under a digest, or of the fields that a
message lost. A match is a diagnosis for a developer, and never a reason to accept a signature.

At most `TRIES_MAX` verifications are made per signature, so that explaining the worst message takes a second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import combinations, permutations, product
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

from attrs import evolve

from apcore.errors import ApcoreError
from apcore.http.digest import make_content_digest, make_digest
from apcore.http.messages import Request
from apcore.signatures._parts import Target, field_values
from apcore.signatures.errors import BadSignature, SignatureMalformed
from apcore.signatures.keys import ALGORITHMS, Algorithm, PublicKey
from apcore.signatures.presented import Presented

__all__ = ["find_body", "find_mistake", "restored"]

TRIES_MAX: Final = 2000
_LINES_PERMUTED_MAX: Final = 5
_JSON_BYTES_MAX: Final = 256 * 1024

_Change: TypeAlias = Callable[[bytes], bytes]
_Mistake: TypeAlias = tuple[str, _Change]

_MEDIA_TYPES: Final = (
    "application/activity+json",
    'application/ld+json; profile="https://www.w3.org/ns/activitystreams"',
    "application/activity+json; charset=utf-8",
    "application/ld+json",
    "application/json",
)


def find_mistake(request: Request, presented: Presented, key: PublicKey) -> str | None:
    """Return the mistake under which the signature would hold; None if no known mistake explains it."""
    algorithms = _algorithms(presented, key)
    own, base = algorithms[0], presented.bases[0].data
    tried = {base}
    for words, data in _changed(request, presented):
        if data in tried:
            continue
        if len(tried) > TRIES_MAX:
            return None
        tried.add(data)
        if _holds(presented, key, data, own):
            return f"it would hold if {words}: the sender builds the string that way"
    for other in algorithms[1:] if presented.algorithm in algorithms else algorithms:
        if _holds(presented, key, base, other):
            return f"it holds by {other}, but the sender names {presented.algorithm or 'no algorithm'}"
    if _holds(presented, key, base, own, dss_der=presented.scheme != "cavage"):
        return "it holds in the other form of ECDSA: DER is for draft-cavage, r and s side by side for RFC 9421"
    return None


def _algorithms(presented: Presented, key: PublicKey) -> list[Algorithm]:
    """Return the algorithms that the key can be used with, the named one first."""
    own = key.choose_algorithm()
    first = presented.algorithm if presented.algorithm is not None and _fits(key, presented.algorithm) else own
    others: list[Algorithm] = [algorithm for algorithm in ALGORITHMS if algorithm != first and _fits(key, algorithm)]
    return [first, *sorted(others)]


def _fits(key: PublicKey, algorithm: Algorithm) -> bool:
    try:
        return key.choose_algorithm(algorithm) == algorithm
    except ApcoreError:
        return False


def _holds(
    presented: Presented, key: PublicKey, data: bytes, algorithm: Algorithm, *, dss_der: bool | None = None
) -> bool:
    der = presented.scheme == "cavage" if dss_der is None else dss_der
    try:
        key.verify(presented.signature, data, algorithm, dss_der=der)
    except BadSignature:
        return False
    return True


def _changed(request: Request, presented: Presented) -> Iterator[tuple[str, bytes]]:
    """Yield the strings that may have been signed instead: with one mistake, in another order, with two mistakes."""
    base = presented.bases[0].data
    effective = _one_by_one(request, presented)
    for words, change in effective:
        yield words, change(base)
    lines = base.split(b"\n")
    last = [] if presented.scheme == "cavage" else [lines.pop()]
    if len(lines) <= _LINES_PERMUTED_MAX:
        for order in permutations(lines):
            names = " ".join(line.partition(b": ")[0].decode("latin-1") for line in order)
            yield f"the lines were in the order {names}", b"\n".join([*order, *last])
    for (one, change), (other, change_too) in combinations(effective, 2):
        yield f"{one}, and {other}", change_too(change(base))


def _one_by_one(request: Request, presented: Presented) -> list[_Mistake]:
    """Return the mistakes that make a difference to this string."""
    base = presented.bases[0].data
    tried = [*_of_lines(request, presented), *_OF_THE_STRING]
    return [(words, change) for words, change in tried if change(base) != base]


# --- mistakes in the whole string -----------------------------------------------------------------------------------


def _capitals(base: bytes) -> bytes:
    return re.sub(rb"(?m)^[a-z-]+(?=: )", lambda name: name[0].title(), base)


_OF_THE_STRING: Final[tuple[_Mistake, ...]] = (
    ("the string ends with a line feed", lambda base: base + b"\n"),
    ("lines end with CR LF", lambda base: base.replace(b"\n", b"\r\n")),
    ("lines are joined by a backslash and an n", lambda base: base.replace(b"\n", b"\\n")),
    ("lines are joined by blanks", lambda base: base.replace(b"\n", b" ")),
    ("lines are joined without a blank after the colon", lambda base: re.sub(rb"(?m)^([^:\n]*): ", rb"\1:", base)),
    ("names keep their capitals", _capitals),
    ("names have no quotation marks", lambda base: re.sub(rb'(?m)^"([^"\n]+)"(?=: )', rb"\1", base)),
    ("the string is hashed before it is signed, which hashes it twice", lambda base: sha256(base).digest()),
    ("the hexadecimal hash of the string is signed", lambda base: sha256(base).hexdigest().encode()),
)


# --- mistakes in a line ---------------------------------------------------------------------------------------------


_METHOD: Final = rb"(?m)^(\(request-target\): )\S+"
# The components, and the parameters after them.
_PARAMETERS: Final = rb'(?m)^("@signature-params": \([^)\n]*\))(.*)$'


def _line(name: str, value: str) -> _Change:
    """Return the change that sets the value of one line."""
    pattern = re.compile(rb'(?m)^("?' + re.escape(name.encode("latin-1")) + rb'"?): .*$')
    encoded_value = value.encode("latin-1", "replace")
    return lambda base: pattern.sub(lambda line: line[1] + b": " + encoded_value, base)


def _replaced(pattern: bytes, replacement: bytes) -> _Change:
    compiled = re.compile(pattern)
    return lambda base: compiled.sub(replacement, base)


def _without(name: str) -> _Change:
    start = name.encode("latin-1") + b": "
    return lambda base: b"\n".join(line for line in base.split(b"\n") if not line.replace(b'"', b"").startswith(start))


def _of_lines(request: Request, presented: Presented) -> Iterator[_Mistake]:
    target = Target(request.url)
    plain = [name.strip('"') for name in presented.covered]
    if presented.scheme == "cavage":
        yield from _of_the_target(request, target)
        for name in ("(created)", "(expires)"):
            yield f"the value of {name} is left empty", _line(name, "")
            yield (
                f"{name} is in quotation marks",
                _replaced(rb"(?m)^(" + re.escape(name.encode()) + rb"): (.*)$", rb'\1: "\2"'),
            )
    else:
        yield from _of_the_components(target)
    yield from _of_the_host(request, target)
    yield from _of_the_fields(request, plain)
    for name in plain if len(plain) > 1 else ():
        yield f"the line of {name} is left out", _without(name)


def _of_the_target(request: Request, target: Target) -> Iterator[_Mistake]:
    path, query, method = target.path, target.query, request.method.lower()
    other_paths = {
        "the target has no query": path,
        "the target has a question mark without a query": f"{path}?",
        "the target ends with a slash": f"{path}/{query}",
        "the target has no slash at its end": f"{path.rstrip('/')}{query}",
        "the target is percent-decoded": unquote(path) + unquote(query),
        "the target is percent-encoded again": quote(path) + quote(query, safe="?=&"),
        "the target is the whole URL": f"{target.prefix}{path}{query}",
        "the target is the whole URL, over http": f"http://{target.authority}{path}{query}",
        "the target begins with the host": f"{target.authority}{path}{query}",
        "the target is in lower case": f"{path}{query}".lower(),
        "the target has no slash in front": f"{path}{query}".lstrip("/"),
        "the target is /": "/",
        "the target is /inbox": "/inbox",
    }
    # Target and method are changed independently, so that both can be wrong.
    for words, other in other_paths.items():
        encoded_target = other.encode("latin-1", "replace").replace(b"\\", b"\\\\")
        yield words, _replaced(rb"(?m)^(\(request-target\): \S+ ).*$", rb"\g<1>" + encoded_target)
    yield "the method keeps its capitals", _replaced(_METHOD, rb"\g<1>" + request.method.encode())
    for other_method in ("get", "post", "put", "delete", "head"):
        if other_method != method:
            yield (
                f"(request-target) is for {other_method.upper()}",
                _replaced(_METHOD, rb"\g<1>" + other_method.encode()),
            )
    yield "(request-target) has no method", _replaced(rb"(?m)^(\(request-target\): )\S+ ", rb"\1")


def _of_the_components(target: Target) -> Iterator[_Mistake]:
    path, query, authority = target.path, target.query, target.authority
    yield (
        "the method is in lower case",
        lambda base: re.sub(rb'(?m)^("@method": )(\S+)', lambda line: line[1] + line[2].lower(), base),
    )
    yield "the target has no query", _line("@target-uri", f"{target.prefix}{path}")
    yield "the scheme of the target is http", _line("@target-uri", f"http://{authority}{path}{query}")
    yield "the scheme of the target is https", _line("@target-uri", f"https://{authority}{path}{query}")
    yield "the target is the path", _line("@target-uri", f"{path}{query}")
    yield "@query has no question mark", _line("@query", query.removeprefix("?"))
    yield "@query is empty", _line("@query", "")
    yield "@path has the query", _line("@path", f"{path}{query}")
    yield "@request-target has the method", _line("@request-target", f"{path}{query}")
    yield "the last line, @signature-params, is missing", lambda base: base.rpartition(b"\n")[0]
    yield "the last line has no parameters", _replaced(_PARAMETERS, rb"\1")
    for name in (b"alg", b"expires", b"nonce", b"tag"):
        one = rb'(?m)^("@signature-params": .*?);' + name + rb'=(?:"[^"\n]*"|[^;\n]*)'
        yield f"the last line has no {name.decode()}", _replaced(one, rb"\1")
    yield "the last line has its parameters in the order of the alphabet", _sorted_parameters


def _sorted_parameters(base: bytes) -> bytes:
    def in_order(line: re.Match[bytes]) -> bytes:
        return line[1] + b"".join(b";" + parameter for parameter in sorted(line[2].split(b";")[1:]))

    return re.sub(_PARAMETERS, in_order, base)


def _of_the_host(request: Request, target: Target) -> Iterator[_Mistake]:
    port = {"https": "443", "http": "80"}.get(target.scheme, "443")
    hosts = {
        f"the host has the port :{port}": f"{target.bare_host}:{port}",
        "the host has no port": target.bare_host,
        "the host is the one that the request was sent to": target.authority,
        "the host begins with www.": f"www.{target.authority}",
        "the host has no www.": target.authority.removeprefix("www."),
    }
    for field in ("x-forwarded-host", "x-original-host"):
        field_value = request.headers.get(field)
        if field_value is not None:
            hosts[f"the host is that of {field}"] = field_value
    for words, host in hosts.items():
        yield words, _line("host", host)
        yield words.replace("the host", "@authority", 1), _line("@authority", host)


def _of_the_fields(request: Request, covered: list[str]) -> Iterator[_Mistake]:
    for name in covered:
        lines = request.headers.get_all(name)
        if len(lines) > 1:
            for number, value in enumerate(lines, 1):
                yield f"{name} had only the value of its field number {number}", _line(name, value)
            yield f"the values of {name} are joined without a blank", _line(name, ",".join(lines))
    date = request.headers.get("date")
    if date is not None:
        yield "Date is written with +0000", _line("date", date.replace("GMT", "+0000"))
        yield "Date is written with UTC", _line("date", date.replace("GMT", "UTC"))
    for other in ("x-date", "x-original-date", "original-date"):
        if (moved := request.headers.get(other)) is not None:
            yield f"Date had the value of {other}", _line("date", moved)
    digest, content = make_digest(request.body), make_content_digest(request.body)
    yield "Digest were that of the received body", _line("digest", digest)
    yield "Digest were written sha-256=", _line("digest", digest.replace("SHA-256", "sha-256"))
    yield "Digest were that of no body", _line("digest", make_digest(b""))
    yield "Content-Digest were that of the received body", _line("content-digest", content)
    yield "Content-Length were that of the received body", _line("content-length", str(len(request.body)))
    yield "Content-Length were 0", _line("content-length", "0")
    content_type = request.headers.get("content-type") or ""
    for media in dict.fromkeys((content_type.partition(";")[0], *_MEDIA_TYPES)):
        yield f"Content-Type were {media}", _line("content-type", media)


# --- the body under a digest ----------------------------------------------------------------------------------------


def find_body(body: bytes, fits: Callable[[bytes], bool]) -> str | None:
    """Return the change under which the body would match its digest; None if no known change explains it."""
    for words, other in _other_bodies(body):
        if other != body and fits(other):
            return f"it would fit if {words}"
    return None


def _other_bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    yield "the body ended without its final line feed", body.removesuffix(b"\n")
    yield "the body ended without its final CR LF", body.removesuffix(b"\r\n")
    yield "the body had no white space around it", body.strip()
    yield "the body ended with a line feed", body + b"\n"
    yield "the body ended with CR LF", body + b"\r\n"
    yield "the lines of the body ended with LF", body.replace(b"\r\n", b"\n")
    yield "the lines of the body ended with CR LF", re.sub(rb"\r?\n", b"\r\n", body)
    yield "the body had no byte order mark", body.removeprefix(b"\xef\xbb\xbf")
    yield "there were no body", b""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        yield "the body were UTF-8 instead of ISO 8859-1", body.decode("latin-1").encode("utf-8")
        return
    latin = text.encode("latin-1", "replace")
    try:
        _ = latin.decode("utf-8")
    except UnicodeDecodeError:
        yield "the body were ISO 8859-1 instead of UTF-8", latin
    else:
        yield "the body were not encoded as UTF-8 twice", latin
    yield from _other_json(text)


def _other_json(text: str) -> Iterator[tuple[str, bytes]]:
    if len(text) > _JSON_BYTES_MAX:
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    prefix = "the body were parsed and written again: JSON "
    spaced = {"without white space": (",", ":"), "with blanks after commas and colons": (", ", ": ")}
    for (how, separators), escaped, ordered in product(spaced.items(), (False, True), (False, True)):
        words = f"{prefix}{how}{', ASCII only' if escaped else ''}{', its members sorted' if ordered else ''}"
        try:
            encoded_json = json.dumps(value, separators=separators, ensure_ascii=escaped, sort_keys=ordered)
            yield words, encoded_json.encode("utf-8")
            yield f"{words}, slashes escaped", encoded_json.replace("/", "\\/").encode("utf-8")
        except (ValueError, RecursionError):
            return


# --- fields that were lost ------------------------------------------------------------------------------------------


def restored(request: Request, covered: tuple[str, ...]) -> Iterator[tuple[str, Request]]:
    """Yield the request as it may have been before fields were lost or doubled in transit.

    Yields nothing if that cannot be guessed.
    """
    names = [component.strip('"') for component in covered]
    dates = request.headers.get_all("date") if "date" in names else ()
    for value in dates if len(dates) > 1 else ():
        yield f"had only the Date {value}", evolve(request, headers=request.headers.with_set("date", value))
    have = field_values(request)
    lost_fields = [name for name in names if name[:1] not in {"(", "@"} and name not in have]
    usual = _usual(request, have)
    if not lost_fields or any(not usual.get(name) for name in lost_fields):
        return
    for values in product(*(usual[name] for name in lost_fields)):
        headers = request.headers
        for name, value in zip(lost_fields, values, strict=True):
            headers = headers.with_set(name, value)
        words = ", ".join(f"{name}: {value}" for name, value in zip(lost_fields, values, strict=True))
        yield f"still had {words}", evolve(request, headers=headers)


def _usual(request: Request, have: dict[str, str]) -> dict[str, tuple[str, ...]]:
    try:
        authority: tuple[str, ...] = (Target(request.url).authority,)
    except SignatureMalformed:
        authority = ()
    return {
        "host": authority,
        "digest": (make_digest(request.body),),
        "content-digest": (make_content_digest(request.body),),
        "content-type": _MEDIA_TYPES,
        "accept": (*_MEDIA_TYPES, "application/activity+json, application/ld+json", "*/*"),
        "date": tuple(value for name in ("x-date", "x-original-date") if (value := have.get(name)) is not None),
    }
