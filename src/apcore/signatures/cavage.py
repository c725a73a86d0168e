"""draft-cavage-http-signatures-12, as the fediverse speaks it.

One field, `Signature: keyId="...",algorithm="...",headers="...",signature="..."`, and one signing string: a line `name: value` for each name in
`headers`, in that order. The draft expired with its dialects unsettled; these are read:

- `hs2019`, no `algorithm` at all, or one that fits the key: the key decides what is checked. `hs2019` with an RSA key means PKCS #1 v1.5 with
  SHA-256, whatever the draft's registry says.
- `created` and `expires`, bare or quoted, integers only.
- `(request-target)` with the query, and on reading requests also without it, where the policy allows.
- `Host` with and without its port.
- `content-digest` (RFC 9530) in the place of `digest`.

What is ambiguous is refused: a parameter or a name twice, two `Signature` fields, a name that the message does not have. An absent `headers`
means `(created)` or `date` (draft §2.1.6), which no policy takes for a delivery.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from datetime import datetime
from functools import lru_cache
from typing import Final

from attrs import evolve, frozen

from apcore.errors import RequestError
from apcore.http.dates import format_http_date, parse_http_date
from apcore.http.digest import make_digest
from apcore.http.messages import Request
from apcore.signatures._parts import (
    Target,
    check_content_digest_field,
    check_digest_field,
    check_key_id,
    check_own_key_id,
    field_values,
)
from apcore.signatures.errors import (
    AlgorithmRefused,
    ComponentMissing,
    Explained,
    Explanation,
    SchemeRefused,
    SignatureMalformed,
    SignatureMissing,
    redacted_base,
)
from apcore.signatures.keys import Algorithm, PrivateKey
from apcore.signatures.policy import SignaturePolicy
from apcore.signatures.presented import Base, Presented, Unsigned

__all__ = ["GET_COVERED", "POST_COVERED", "Parameters", "parse", "prepare", "read_parameters", "sign", "signing_string"]

FIELD_CHARS_MAX: Final = 8192
"""Longer `Signature` fields are refused unread; an RSA-8192 signature has 1,368 characters."""

GET_COVERED: Final = ("(request-target)", "host", "date")
POST_COVERED: Final = ("(request-target)", "host", "date", "digest", "content-type")
"""What we cover: every server that is known to be running accepts it."""

# What nearly every sender writes, whole; the parameters one by one, for whoever writes them otherwise.
_USUAL: Final = re.compile(
    r'keyId="([^"\\]*)",algorithm="([^"\\]*)",headers="([^"\\]*)",signature="([^"\\]*)"',
)
_USUAL_NAMES: Final = ("keyid", "algorithm", "headers", "signature")
_PARAMETER: Final = re.compile(r'([A-Za-z]+)[ \t]*=[ \t]*(?:"([^"\\]*)"|([0-9]{1,15}))[ \t]*(,[ \t]*|$)')
_SECONDS: Final = re.compile(r"[0-9]{1,15}")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+|\((?:request-target|created|expires)\)")

# The label of the wire, in lower case, to what it means. None: the key decides.
_ALGORITHMS: Final[dict[str, Algorithm | None]] = {
    "hs2019": None,
    "rsa-sha256": "rsa-v1_5-sha256",
    "rsa-sha512": "rsa-v1_5-sha512",
    "ed25519": "ed25519",
    "ecdsa-sha256": "ecdsa-p256-sha256",
}
_LABELS: Final[dict[Algorithm, str]] = {
    "rsa-v1_5-sha256": "rsa-sha256",
    "rsa-v1_5-sha512": "rsa-sha512",
    "ed25519": "hs2019",
    "ecdsa-p256-sha256": "hs2019",
    "ecdsa-p384-sha384": "hs2019",
}
_PSEUDO: Final = frozenset({"(created)", "(expires)"})


@frozen(kw_only=True)
class Parameters:
    """The parameters of one `Signature` field, read and not judged."""

    key_id: str
    signature: bytes
    algorithm: str | None
    """In lower case, as the wire has it."""
    covered: tuple[str, ...]
    """In lower case; the draft's default where the field has none."""
    created: str | None
    """Digits, as they are in the signing string."""
    expires: str | None


# --- verifying ------------------------------------------------------------------------------------------------------


def parse(request: Request, policy: SignaturePolicy, now: datetime) -> Presented:
    """Read the signature of ``request`` and hold it against everything but the key.

    Args:
        request: As received: `url` as the sender saw it, `body` the raw bytes.
        policy: What is accepted.
        now: Our clock, with a time zone.

    Raises:
        SignatureMissing: There is none.
        SignatureMalformed, DigestMalformed: It, or the digest, cannot be read.
        SchemeRefused, AlgorithmRefused, CoverageTooSmall, ComponentMissing: What it is, is not accepted.
        SignatureFromFuture, SignatureExpired, SignatureTooOld, WrongHost, DigestMismatch: What it says is not so.
    """
    return present(request, policy, now)


def present(request: Request, policy: SignaturePolicy, now: datetime, *, compare: bool = True) -> Presented:
    """Read and hold a signature as `parse` does.

    Without ``compare``, the values of `Host` and the digests are taken as they stand: explanations compare them.
    """
    try:
        parameters = read_parameters(_signature_field(request, policy))
    except SignatureMalformed as exc:
        exc.explained(scheme="cavage", rule="draft-cavage-12 §4.1")
        raise
    try:
        if "cavage" not in policy.schemes:
            raise SchemeRefused(
                "draft-cavage signatures are not accepted",
                explanation=Explanation(rule=f"policy {policy.name}: schemes"),
            )
        return _hold(request, parameters, policy, now, compare=compare)
    except Explained as exc:
        exc.explained(**_known(request, parameters, now))
        raise


def read_parameters(text: str) -> Parameters:
    """Read the value of a `Signature` field.

    Raises:
        SignatureMalformed: It cannot be read without guessing.
    """
    if len(text) > FIELD_CHARS_MAX:
        raise SignatureMalformed(f"Signature field of {len(text)} characters, at most {FIELD_CHARS_MAX}")
    usual = _USUAL.fullmatch(text)
    return _to_parameters(dict(zip(_USUAL_NAMES, usual.groups(), strict=True)) if usual else _one_by_one(text))


def _one_by_one(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    end = len(text)
    separator = ","
    while position < end:
        match = _PARAMETER.match(text, position)
        if match is None:
            raise SignatureMalformed(f"Signature field cannot be read at character {position}")
        name, quoted, bare, separator = match.groups()
        key = name.lower()
        if key in found:
            raise SignatureMalformed(f"Signature field has the parameter {name[:40]!r} twice")
        found[key] = bare if quoted is None else quoted
        position = match.end()
    if separator:
        raise SignatureMalformed("Signature field is empty or ends with a comma")
    return found


def _signature_field(request: Request, policy: SignaturePolicy) -> str:
    fields = request.headers.get_all("signature")
    if len(fields) > 1:
        raise SignatureMalformed(f"{len(fields)} Signature fields: which one counts is anybody's guess")
    if fields:
        return fields[0]
    authorization = request.headers.get("authorization") or ""
    if authorization[:10].lower() == "signature ":
        if policy.authorization:
            return authorization[10:].strip(" \t")
        raise SignatureMissing(
            "the request is signed in Authorization alone, and not in Signature",
            explanation=Explanation(rule=f"policy {policy.name}: authorization"),
        )
    raise SignatureMissing("the request is not signed")


def _to_parameters(found: dict[str, str]) -> Parameters:
    try:
        key_id, encoded = found["keyid"], found["signature"]
    except KeyError as exc:
        raise SignatureMalformed(f"Signature field without {exc.args[0]}") from None
    if " " in encoded or "\t" in encoded:
        # Some senders fold the long value with white space.
        encoded = encoded.replace(" ", "").replace("\t", "")
    try:
        signature = a2b_base64(encoded, strict_mode=True)
    except (Base64Error, ValueError) as exc:
        raise SignatureMalformed(f"the signature is not padded base64: {exc}") from exc
    if not signature:
        raise SignatureMalformed("the signature is empty")
    for name in ("created", "expires"):
        if name in found and _SECONDS.fullmatch(found[name]) is None:
            raise SignatureMalformed(f"{name} is not a whole number of seconds: {found[name][:40]!r}")
    algorithm = found["algorithm"].lower() if "algorithm" in found else None
    return Parameters(
        key_id=check_key_id(key_id),
        signature=signature,
        algorithm=algorithm,
        covered=_covered(found.get("headers"), algorithm),
        created=found.get("created"),
        expires=found.get("expires"),
    )


def _covered(text: str | None, algorithm: str | None) -> tuple[str, ...]:
    if text is None:
        # Draft §2.1.6, and what drafts before `(created)` had.
        return ("(created)",) if algorithm in {None, "hs2019"} else ("date",)
    return _names(text)


# The servers of the world send a dozen different lists. What cannot be read is not kept, and the bound keeps the rest small.
@lru_cache(maxsize=128)
def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.lower().split(" "))
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise SignatureMalformed(f"{name[:40]!r} in headers is no field name")
    if len(set(names)) != len(names):
        raise SignatureMalformed("headers lists a name twice")
    return names


def _hold(
    request: Request, parameters: Parameters, policy: SignaturePolicy, now: datetime, *, compare: bool
) -> Presented:
    covered = parameters.covered
    if len(covered) > policy.covered_max:
        raise SignatureMalformed(f"{len(covered)} names in headers, at most {policy.covered_max}")
    algorithm = _algorithm(parameters, policy)
    policy.check_coverage(policy.coverage("cavage", request.method, has_body=bool(request.body)), covered)
    values = field_values(request)
    signed = _signed(parameters, values)
    expires = None if parameters.expires is None else int(parameters.expires)
    if signed is not None:
        policy.check_times(signed=signed, expires=expires, now_s=now.timestamp(), expires_signed="(expires)" in covered)
    target = Target(request.url)
    if compare and "host" in covered and "host" in values:
        target.check_host(values["host"])
    if compare and "digest" in covered and "digest" in values:
        check_digest_field(values["digest"], request.body)
    if compare and "content-digest" in covered and "content-digest" in values:
        check_content_digest_field(values["content-digest"], request.body)
    return Presented(
        scheme="cavage",
        key_id=parameters.key_id,
        algorithm=algorithm,
        covered=covered,
        signed=signed,
        expires=expires,
        signature=parameters.signature,
        bases=_bases(request.method, target, values, parameters, policy),
        policy=policy,
        now=now,
    )


def _algorithm(parameters: Parameters, policy: SignaturePolicy) -> Algorithm | None:
    named = parameters.algorithm
    if named is None:
        return None
    if named not in _ALGORITHMS:
        raise AlgorithmRefused(
            f"algorithm {named[:40]!r} is none of {', '.join(_ALGORITHMS)}",
            explanation=Explanation(rule="algorithms by the key, not by the label"),
        )
    if named != "hs2019" and not policy.pseudo_headers_any_algorithm and _PSEUDO.intersection(parameters.covered):
        # Draft §2.3: not where the algorithm starts with rsa, hmac or ecdsa.
        raise AlgorithmRefused(
            f"(created) and (expires) are not for the algorithm {named}",
            explanation=Explanation(rule=f"policy {policy.name}: pseudo_headers_any_algorithm"),
        )
    return _ALGORITHMS[named]


def _signed(parameters: Parameters, values: dict[str, str]) -> int | None:
    """Find when it was signed, from what is covered. Where both are, `(created)` counts: it was written by whoever signed.

    None only under a policy of the caller's own that asks for neither.
    """
    if "(created)" in parameters.covered and parameters.created is not None:
        return int(parameters.created)
    if "date" in parameters.covered and "date" in values:
        try:
            return int(parse_http_date(values["date"]).timestamp())
        except RequestError as exc:
            raise SignatureMalformed(str(exc)) from exc
    if {"date", "(created)"}.isdisjoint(parameters.covered):
        return None
    missing = "the parameter created" if "(created)" in parameters.covered else "a Date field"
    raise ComponentMissing(f"the signature covers {missing}, which the message does not have")


def _bases(
    method: str, target: Target, values: dict[str, str], parameters: Parameters, policy: SignaturePolicy
) -> tuple[Base, ...]:
    whole = target.path + target.query
    bases = [Base(signing_string(method, whole, values, parameters), query_covered=True)]
    if "(request-target)" not in parameters.covered:
        return (Base(bases[0].data, query_covered=not target.query),)
    if "host" in parameters.covered and target.authority != target.bare_host:
        # On another port than the default: Mastodon, Takahe and Pixelfed sign the bare host, Pleroma and Misskey host:port.
        other = target.authority if values["host"].lower() == target.bare_host else target.bare_host
        bases.append(Base(signing_string(method, whole, {**values, "host": other}, parameters), query_covered=True))
    if target.query and policy.query_optional and method in {"GET", "HEAD"}:
        bases.append(Base(signing_string(method, target.path, values, parameters), query_covered=False))
    return tuple(bases)


def signing_string(method: str, target: str, values: dict[str, str], parameters: Parameters) -> bytes:
    """Build the string that is signed (draft §2.3): lines joined by one LF, with none at the end.

    Raises:
        ComponentMissing: A listed name is not in ``values``, or its parameter is missing. An empty line would be forgeable.
    """
    lines: list[str] = []
    for name in parameters.covered:
        if name == "(request-target)":
            value: str | None = f"{method.lower()} {target}"
        elif name == "(created)":
            value = parameters.created
        elif name == "(expires)":
            value = parameters.expires
        else:
            value = values.get(name)
        if value is None:
            raise ComponentMissing(f"the signature covers {name}, which the message does not have")
        lines.append(f"{name}: {value}")
    return "\n".join(lines).encode("latin-1")


def _known(request: Request, parameters: Parameters, now: datetime) -> dict[str, object]:
    """Give what an explanation can tell of a signature that was read and refused."""
    known: dict[str, object] = {
        "rule": "draft-cavage-12 §2.3",
        "scheme": "cavage",
        "key_id": parameters.key_id,
        "algorithm": parameters.algorithm,
        "covered": parameters.covered,
    }
    try:
        values, target = field_values(request), Target(request.url)
        known["signing_string"] = redacted_base(
            signing_string(request.method, target.path + target.query, values, parameters)
        )
        signed = _signed(parameters, values)
    except Explained:  # it covers what the message does not have, or a date that is none
        return known
    return known if signed is None else {**known, "clock_offset_s": signed - int(now.timestamp())}


# --- signing --------------------------------------------------------------------------------------------------------


def prepare(
    request: Request,
    *,
    key_id: str,
    algorithm: Algorithm = "rsa-v1_5-sha256",
    now: datetime,
    covered: tuple[str, ...] | None = None,
    expires_s: int | None = None,
) -> Unsigned:
    """Get ``request`` ready for its signature: a fresh `Date`, a `Host` and, with a body or a method that may have one, a `Digest`.

    Args:
        request: What is to be sent.
        key_id: Where peers find the public half.
        algorithm: What the signer will sign with; `rsa-sha256` is understood by everyone.
        now: Goes into `Date`. Sign anew for every attempt and every redirect.
        covered: Names in signing order; by default `POST_COVERED` or `GET_COVERED`, of which those are left out that the request lacks.
            With `(created)` or `(expires)`, the algorithm is announced as hs2019.
        expires_s: The lifetime that `(expires)` tells.

    Raises:
        ValueError: An algorithm without a name in the draft, a covered name that the request does not have.
    """
    if algorithm not in _LABELS:
        raise ValueError(f"draft-cavage has no name for {algorithm}")
    check_own_key_id(key_id)
    headers = request.headers.with_set("date", format_http_date(now))
    target = Target(request.url)
    if "host" not in headers:
        headers = headers.with_set("host", target.authority)
    if request.body or request.method not in {"GET", "HEAD"}:
        headers = headers.with_set("digest", make_digest(request.body))
    ready = evolve(request, headers=headers)
    values = field_values(ready)
    usual = POST_COVERED if "digest" in values else GET_COVERED
    names = covered or tuple(name for name in usual if name[0] == "(" or name in values)
    created = int(now.timestamp())
    parameters = Parameters(
        key_id=key_id,
        signature=b"",
        algorithm="hs2019" if _PSEUDO.intersection(names) else _LABELS[algorithm],
        covered=names,
        created=str(created) if "(created)" in names else None,
        expires=str(created + expires_s) if "(expires)" in names and expires_s is not None else None,
    )
    try:
        data = signing_string(request.method, target.path + target.query, values, parameters)
    except ComponentMissing as exc:
        raise ValueError(str(exc)) from exc
    return Unsigned(request=ready, data=data, prefix=_field_prefix(parameters), suffix='"')


def sign(
    request: Request,
    key: PrivateKey,
    *,
    now: datetime,
    algorithm: Algorithm | None = None,
    covered: tuple[str, ...] | None = None,
    expires_s: int | None = None,
) -> Request:
    """Sign ``request`` with a key at hand; arguments and errors as `prepare`."""
    chosen = key.choose_algorithm(algorithm)
    unsigned = prepare(request, key_id=key.key_id, algorithm=chosen, now=now, covered=covered, expires_s=expires_s)
    return unsigned.attach(key.sign(unsigned.data, chosen, dss_der=True))


def _field_prefix(parameters: Parameters) -> str:
    times = "".join(
        f",{name}={value}"
        for name, value in (("created", parameters.created), ("expires", parameters.expires))
        if value is not None
    )
    return (
        f'keyId="{parameters.key_id}",algorithm="{parameters.algorithm}"{times}'
        f',headers="{" ".join(parameters.covered)}",signature="'
    )
