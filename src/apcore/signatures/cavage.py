"""Sign and verify draft-cavage-http-signatures-12, in the dialects of the fediverse.

There is one field, `Signature: keyId="...",algorithm="...",headers="...",signature="..."`, and one signing string: a
line `name: value` for each name in `headers`, in that order. The draft expired with its dialects unsettled. These are
accepted:

- `hs2019`, no `algorithm`, or one that fits the key: the key decides the algorithm. `hs2019` with an RSA key means PKCS
  #1 v1.5 with SHA-256, contrary to the draft's registry.
- `created` and `expires`, bare or quoted, integers only.
- `(request-target)` with the query, and on reading requests also without it, if the policy allows that.
- `Host` with and without its port.
- `content-digest` (RFC 9530) in the place of `digest`.

Ambiguous input is refused: a repeated parameter or name, two `Signature` fields, a name that the message does not have.
An absent `headers` means `(created)` or `date` (draft §2.1.6), which no preset accepts for a delivery.
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
    target_of,
)
from apcore.signatures.errors import (
    AlgorithmRefused,
    ComponentMissing,
    ExplainedError,
    Explanation,
    SchemeRefused,
    SignatureMalformed,
    SignatureMissing,
    redacted_base,
)
from apcore.signatures.keys import Algorithm, PrivateKey
from apcore.signatures.policy import SignaturePolicy
from apcore.signatures.presented import AUTHORIZATION_SCHEME, Base, Presented, Unsigned, has_authorization

__all__ = ["GET_COVERED", "POST_COVERED", "parse", "prepare", "sign"]

FIELD_CHARS_MAX: Final = 8192
"""Longer `Signature` fields are refused unparsed; an RSA-8192 signature has 1,368 characters."""

GET_COVERED: Final = ("(request-target)", "host", "date")
POST_COVERED: Final = ("(request-target)", "host", "date", "digest", "content-type")
"""The default coverage: every server that is known to be running accepts it."""

# The form that nearly every sender writes, as a whole; then single parameters, for other forms.
_USUAL: Final = re.compile(
    r'keyId="([^"\\]*)",algorithm="([^"\\]*)",headers="([^"\\]*)",signature="([^"\\]*)"',
)
_USUAL_NAMES: Final = ("keyid", "algorithm", "headers", "signature")
_PARAMETER: Final = re.compile(r'([A-Za-z]+)[ \t]*=[ \t]*(?:"([^"\\]*)"|([0-9]{1,15}))[ \t]*(,[ \t]*|$)')
_SECONDS: Final = re.compile(r"[0-9]{1,15}")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+|\((?:request-target|created|expires)\)")

# From the label on the wire, in lower case, to the algorithm. None: the key decides.
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
    """The parsed parameters of one `Signature` field, not yet checked."""

    key_id: str
    signature: bytes
    algorithm: str | None
    """The label on the wire, in lower case."""
    covered: tuple[str, ...]
    """In lower case; the draft's default if the field has no `headers`."""
    created: str | None
    """Digits, as in the signing string."""
    expires: str | None


# --- verifying ------------------------------------------------------------------------------------------------------


def parse(request: Request, policy: SignaturePolicy, now: datetime) -> Presented:
    """Parse the signature of ``request`` and check everything that needs no key.

    Args:
        request: As received: `url` as the sender saw it, `body` the raw bytes.
        policy: The rules for acceptance.
        now: The current time, with a time zone.

    Raises:
        SignatureMissing: There is no signature.
        SignatureMalformed, DigestMalformed: The signature, or the digest, is malformed.
        SchemeRefused, AlgorithmRefused, CoverageTooSmall, ComponentMissing: The policy refuses this kind of signature.
        SignatureFromFuture, SignatureExpired, SignatureTooOld, WrongHost, DigestMismatch: A signed value is wrong.
    """
    return present(request, policy, now)


def present(request: Request, policy: SignaturePolicy, now: datetime, *, compare: bool = True) -> Presented:
    """Parse a signature and check it against the policy, as `parse` does.

    Without ``compare``, `Host` and digests are not compared with the request: explanations compare them separately.
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
        return _check_against_policy(request, parameters, policy, now, compare=compare)
    except ExplainedError as exc:
        exc.explained(**_explanation_facts(request, parameters, now))
        raise


def read_parameters(text: str) -> Parameters:
    """Parse the value of a `Signature` field.

    Raises:
        SignatureMalformed: It cannot be parsed without guessing.
    """
    if len(text) > FIELD_CHARS_MAX:
        raise SignatureMalformed(f"Signature field of {len(text)} characters, at most {FIELD_CHARS_MAX}")
    usual = _USUAL.fullmatch(text)
    return _to_parameters(dict(zip(_USUAL_NAMES, usual.groups(), strict=True)) if usual else _one_by_one(text))


def _one_by_one(text: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    position = 0
    end = len(text)
    separator = ","
    while position < end:
        match = _PARAMETER.match(text, position)
        if match is None:
            raise SignatureMalformed(f"Signature field cannot be read at character {position}")
        name, quoted, bare, separator = match.groups()
        key = name.lower()
        if key in parameters:
            raise SignatureMalformed(f"Signature field has the parameter {name[:40]!r} twice")
        parameters[key] = bare if quoted is None else quoted
        position = match.end()
    if separator:
        raise SignatureMalformed("Signature field is empty or ends with a comma")
    return parameters


def _signature_field(request: Request, policy: SignaturePolicy) -> str:
    fields = request.headers.get_all("signature")
    if len(fields) > 1:
        raise SignatureMalformed(f"{len(fields)} Signature fields: expected one")
    if fields:
        return fields[0]
    if has_authorization(request):
        if policy.authorization:
            return (request.headers.get("authorization") or "")[len(AUTHORIZATION_SCHEME) :].strip(" \t")
        raise SignatureMissing(
            "the request is signed in Authorization, not in Signature",
            explanation=Explanation(rule=f"policy {policy.name}: authorization"),
        )
    raise SignatureMissing("the request is not signed")


def _to_parameters(raw_parameters: dict[str, str]) -> Parameters:
    try:
        key_id, encoded = raw_parameters["keyid"], raw_parameters["signature"]
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
        if name in raw_parameters and _SECONDS.fullmatch(raw_parameters[name]) is None:
            raise SignatureMalformed(f"{name} is not a whole number of seconds: {raw_parameters[name][:40]!r}")
    algorithm = raw_parameters["algorithm"].lower() if "algorithm" in raw_parameters else None
    return Parameters(
        key_id=check_key_id(key_id),
        signature=signature,
        algorithm=algorithm,
        covered=_covered(raw_parameters.get("headers"), algorithm),
        created=raw_parameters.get("created"),
        expires=raw_parameters.get("expires"),
    )


def _covered(text: str | None, algorithm: str | None) -> tuple[str, ...]:
    if text is None:
        # Draft §2.1.6, and the default of drafts before `(created)`.
        return ("(created)",) if algorithm in {None, "hs2019"} else ("date",)
    return _names(text)


# The servers of the world send a dozen different lists. Refused lists are not cached, and the cache is bounded.
@lru_cache(maxsize=128)
def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.lower().split(" "))
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise SignatureMalformed(f"{name[:40]!r} in headers is not a field name")
    if len(set(names)) != len(names):
        raise SignatureMalformed("headers lists a name twice")
    return names


def _check_against_policy(
    request: Request, parameters: Parameters, policy: SignaturePolicy, now: datetime, *, compare: bool
) -> Presented:
    """Check one signature against the policy, and return it. The key is checked later."""
    covered = parameters.covered
    if len(covered) > policy.covered_max:
        raise SignatureMalformed(f"{len(covered)} names in headers, at most {policy.covered_max}")
    algorithm = _algorithm(parameters, policy)
    policy.check_coverage(policy.coverage("cavage", request.method, has_body=bool(request.body)), covered)
    values = field_values(request)
    signed = _time_of_signing(parameters, values)
    expires = None if parameters.expires is None else int(parameters.expires)
    if signed is not None:
        policy.check_times(signed=signed, expires=expires, now_s=now.timestamp(), expires_signed="(expires)" in covered)
    target = target_of(request.url)
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
        # Draft §2.3: not with an algorithm that starts with rsa, hmac or ecdsa.
        raise AlgorithmRefused(
            f"(created) and (expires) cannot be used with the algorithm {named}",
            explanation=Explanation(rule=f"policy {policy.name}: pseudo_headers_any_algorithm"),
        )
    return _ALGORITHMS[named]


def _time_of_signing(parameters: Parameters, values: dict[str, str]) -> int | None:
    """Return the covered time of signing. `(created)` takes precedence over `Date`: the signer wrote it.

    None only under a custom policy that requires neither.
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
        # On a non-default port, Mastodon, Takahe and Pixelfed sign the bare host, Pleroma and Misskey host:port.
        other = target.authority if values["host"].lower() == target.bare_host else target.bare_host
        bases.append(Base(signing_string(method, whole, {**values, "host": other}, parameters), query_covered=True))
    if target.query and policy.query_optional and method in {"GET", "HEAD"}:
        bases.append(Base(signing_string(method, target.path, values, parameters), query_covered=False))
    return tuple(bases)


def signing_string(method: str, target: str, values: dict[str, str], parameters: Parameters) -> bytes:
    """Build the signing string (draft §2.3): lines joined by one LF, with none at the end.

    Raises:
        ComponentMissing: A listed name is not in ``values``, or its parameter is missing. An empty line would be
            forgeable.
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


def _explanation_facts(request: Request, parameters: Parameters, now: datetime) -> dict[str, object]:
    """Return the facts of a refused signature for its explanation."""
    facts: dict[str, object] = {
        "rule": "draft-cavage-12 §2.3",
        "scheme": "cavage",
        "key_id": parameters.key_id,
        "algorithm": parameters.algorithm,
        "covered": parameters.covered,
    }
    try:
        values, target = field_values(request), Target(request.url)
        facts["signing_string"] = redacted_base(
            signing_string(request.method, target.path + target.query, values, parameters)
        )
        signed = _time_of_signing(parameters, values)
    except ExplainedError:  # it covers a field that the message does not have, or an invalid date
        return facts
    return facts if signed is None else {**facts, "clock_offset_s": signed - int(now.timestamp())}


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
    """Prepare ``request`` for its signature: set `Date`, a missing `Host` and, if it may have a body, `Digest`.

    Args:
        request: The request to send.
        key_id: The address of the public key.
        algorithm: The algorithm that the signer will use. Every server accepts the default, `rsa-sha256` on the wire.
        now: The value of `Date`. Sign again for every attempt and every redirect.
        covered: Names in signing order. By default `POST_COVERED` or `GET_COVERED`, without names that the request
            lacks. With `(created)` or `(expires)`, the algorithm is announced as hs2019.
        expires_s: The lifetime for `(expires)`.

    Raises:
        ValueError: The draft has no name for the algorithm, or the request lacks a covered name.
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
    """Sign ``request`` with a local key. Arguments and errors are those of `prepare`."""
    key_algorithm = key.choose_algorithm(algorithm)
    unsigned = prepare(
        request, key_id=key.key_id, algorithm=key_algorithm, now=now, covered=covered, expires_s=expires_s
    )
    return unsigned.attach(key.sign(unsigned.data, key_algorithm, dss_der=True))


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
