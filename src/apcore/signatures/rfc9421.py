"""Sign and verify requests with HTTP Message Signatures (RFC 9421).

There are two dictionaries: `Signature-Input` lists per label the covered components and the parameters, and `Signature`
holds the value of the same label. The signature base has one line per covered component, in order, and ends with the
parameters themselves, so that no part of a signature can be changed. Parsing is strict, so the canonical form of the
parsed input is the form that the sender signed.

A message may have several signatures (a proxy adds its own). Each is checked against the policy on its own. The
accepted ones are returned in order, and each authenticates its own `keyid` only. An unusable signature does not affect
the others.

The RFC requires no coverage at all. The policy does: method, target and, if there may be a body, `content-digest`,
which is compared with the body; and the parameters `created` and `keyid`.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeVar

from attrs import evolve, frozen

from apcore.errors import RequestError
from apcore.http.digest import make_content_digest
from apcore.http.fields import FIELD_LENGTH_MAX, BareItem, InnerList, Item, parse_dictionary, serialize_parameters
from apcore.http.messages import Request
from apcore.signatures._components import Message, counted_names, identifier
from apcore.signatures._parts import check_content_digest_field, check_digest_field, check_key_id, check_own_key_id
from apcore.signatures.errors import (
    AlgorithmRefused,
    ComponentMissing,
    CoverageTooSmall,
    ExplainedError,
    Explanation,
    SchemeRefused,
    SignatureMalformed,
    SignatureMissing,
    redacted_base,
)
from apcore.signatures.keys import ALGORITHMS, Algorithm, PrivateKey
from apcore.signatures.policy import SignaturePolicy
from apcore.signatures.presented import Base, Presented, Unsigned

__all__ = ["GET_COVERED", "POST_COVERED", "parse", "prepare", "sign"]

GET_COVERED: Final = ("@method", "@target-uri", "@authority")
POST_COVERED: Final = (*GET_COVERED, "content-digest")
"""The default coverage: Mastodon's requirements, and the authority, which costs nothing. It has nothing that a hop may
change.
"""

# Used under draft-cavage, but not registered for RFC 9421 (§6.2.2): other servers do not know the name.
_UNREGISTERED: Final = frozenset({"rsa-v1_5-sha512"})

# RFC 9651 §3.1.2.
_LABEL: Final = re.compile(r"[a-z*][a-z0-9_.*-]*")

T = TypeVar("T", str, int)


# --- verifying ------------------------------------------------------------------------------------------------------


def parse(request: Request, policy: SignaturePolicy, now: datetime) -> tuple[Presented, ...]:
    """Parse the signatures of ``request`` and check everything of each that needs no key.

    Args:
        request: As received: `url` as the sender saw it, `body` the raw bytes.
        policy: The rules for acceptance.
        now: The current time, with a time zone.

    Returns:
        The signatures that the policy accepts, in the order of `Signature-Input`; at least one.

    Raises:
        SignatureMissing: There is no signature.
        SignatureMalformed, DigestMalformed: The fields, or the digest, are malformed.
        SchemeRefused, AlgorithmRefused, CoverageTooSmall, ComponentMissing: The policy refuses this kind of signature.
        SignatureFromFuture, SignatureExpired, SignatureTooOld, WrongHost, DigestMismatch: A signed value is wrong. With
            several signatures, the error is that of the first.
    """
    examined = examine(request, policy, now)
    accepted = tuple(one for one in examined if isinstance(one, Presented))
    if not accepted:
        raise next(one for one in examined if isinstance(one, ExplainedError))
    return accepted


def examine(
    request: Request, policy: SignaturePolicy, now: datetime, *, compare: bool = True
) -> tuple[Presented | ExplainedError, ...]:
    """Parse like `parse`, and return refusals too, in the order of the signatures.

    Without ``compare``, `Host` and digests are not compared with the request: explanations compare them separately.
    """
    try:
        inputs, signatures = _read_fields(request)
        message = Message(request)
        _check_count(inputs, policy)
    except SignatureMalformed as exc:
        exc.explained(scheme="rfc9421", rule="RFC 9421 §4")
        raise
    examined: list[Presented | ExplainedError] = []
    for label, signature_input in inputs.items():
        try:
            _check_scheme(policy)
            one = _check_against_policy(
                message, label, signature_input, signatures.get(label), policy=policy, now=now, compare=compare
            )
            examined.append(one)
        except ExplainedError as exc:
            exc.explained(
                scheme="rfc9421", label=label, rule="RFC 9421 §2", **_explanation_facts(message, signature_input, now)
            )
            examined.append(exc)
    return tuple(examined)


def signature_base(message: Message, components: tuple[Item, ...], parameters: Mapping[str, BareItem]) -> bytes:
    """Build the signature base (§2.5).

    Raises:
        SignatureMalformed, ComponentMissing: A component does not exist, or the message does not have it.
    """
    return _base(message, components, _inner_list(components, parameters))


def _base(message: Message, components: tuple[Item, ...], parameters_line: str) -> bytes:
    lines = [message.line(component) for component in components]
    lines.append(f'"@signature-params": {parameters_line}')
    try:
        return "\n".join(lines).encode("ascii")
    except UnicodeEncodeError:
        # §2.5: the signature base is ASCII. Other bytes can be covered in base64, with the flag `bs`.
        raise SignatureMalformed("the signature covers a value that is not ASCII, without the flag bs") from None


# --- reading the two fields -----------------------------------------------------------------------------------------

# One signature in canonical form, components without parameters: the common case. Matching text is its own canonical
# serialisation, so the last line of the signature base can be taken from it unchanged. Other text goes to the general
# parser.
_PLAIN_INPUT: Final = re.compile(
    r"([a-z*][a-z0-9_.*-]*)="
    r"(\(((?:\"@?[a-z0-9-]+\"(?: \"@?[a-z0-9-]+\")*)?)\)"
    r"((?:;[a-z*][a-z0-9_.*-]*=(?:\"[ !#-\[\]-~]*\"|0|[1-9][0-9]{0,14}))*))"
)
_PLAIN_PARAMETER: Final = re.compile(r";([^=]+)=(?:\"([^\"]*)\"|([0-9]+))")
_PLAIN_STRING: Final = re.compile(r"[ !#-\[\]-~]*")
_PLAIN_SIGNATURE: Final = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]+={0,2}):")


@frozen
class _Input:
    """One member of `Signature-Input`."""

    components: tuple[Item, ...]
    parameters: Mapping[str, BareItem]
    line: str
    """In canonical form, as at the end of the signature base."""


def _read_fields(request: Request) -> tuple[dict[str, _Input | None], dict[str, bytes]]:
    """Return the inputs and the signatures, by label.

    An input is None if it is not an inner list. Signatures that are not byte sequences are left out.
    """
    input_field, signature_field = request.headers.get("signature-input"), request.headers.get("signature")
    if input_field is None:
        raise SignatureMissing("the request has no Signature-Input")
    if signature_field is None:
        raise SignatureMalformed("the request has Signature-Input but no Signature")
    try:
        inputs = _plain_input(input_field) or _read_inputs(input_field)
        signatures = _plain_signature(signature_field) or _read_signatures(signature_field)
    except RequestError as exc:
        raise SignatureMalformed(f"Signature-Input or Signature: {exc}") from exc
    if not inputs:
        raise SignatureMalformed("Signature-Input is empty")
    return inputs, signatures


def _read_inputs(text: str) -> dict[str, _Input | None]:
    return {
        label: _Input(member.items, member.parameters, _inner_list(member.items, member.parameters))
        if isinstance(member, InnerList)
        else None
        for label, member in parse_dictionary(text, duplicates="refuse").items()
    }


def _read_signatures(text: str) -> dict[str, bytes]:
    return {
        label: member.value
        for label, member in parse_dictionary(text, duplicates="refuse").items()
        if isinstance(member, Item) and isinstance(member.value, bytes)
    }


def _plain_input(text: str) -> dict[str, _Input | None] | None:
    match = _PLAIN_INPUT.fullmatch(text)
    if match is None or len(text) > FIELD_LENGTH_MAX:
        return None
    label, line, names, tail = match.groups()
    parameters: dict[str, BareItem] = {}
    for name, quoted, digits in _PLAIN_PARAMETER.findall(tail):
        if name in parameters:
            return None  # the general parser reports the error
        parameters[name] = int(digits) if digits else quoted
    return {label: _Input(_plain_components(names), parameters, line)}


# A handful of lists is in use; the bound protects against peers that vary theirs.
@lru_cache(maxsize=128)
def _plain_components(names: str) -> tuple[Item, ...]:
    return tuple(Item(name[1:-1]) for name in names.split(" ")) if names else ()


def _plain_signature(text: str) -> dict[str, bytes] | None:
    match = _PLAIN_SIGNATURE.fullmatch(text)
    if match is None:
        return None
    try:
        return {match[1]: a2b_base64(match[2], strict_mode=True)}
    except Base64Error:
        return None


# --- checking one signature against the policy ----------------------------------------------------------------------


def _check_against_policy(
    message: Message,
    label: str,
    signature_input: _Input | None,
    signature: bytes | None,
    *,
    policy: SignaturePolicy,
    now: datetime,
    compare: bool,
) -> Presented:
    """Check one signature against the policy, and return it. The key is checked later."""
    if signature_input is None:
        raise SignatureMalformed(f"Signature-Input {label[:40]} is not an inner list")
    if not signature:
        raise SignatureMalformed(f"Signature has no byte sequence for the label {label[:40]}")
    components, parameters = signature_input.components, signature_input.parameters
    _check_unique(components, policy)
    key_id = _parameter(parameters, "keyid", str)
    signed = _parameter(parameters, "created", int)
    if key_id is None or signed is None:
        raise CoverageTooSmall(
            f"the signature has no parameter {'keyid' if key_id is None else 'created'}",
            explanation=Explanation(rule="keyid and created are required of every signature"),
        )
    check_key_id(key_id)
    algorithm = _algorithm(parameters)
    expires = _parameter(parameters, "expires", int)
    _check_coverage(message, components, policy)
    policy.check_times(signed=signed, expires=expires, now_s=now.timestamp())
    base = _base(message, components, signature_input.line)
    if compare:
        _check_covered_values(message, components)
    return Presented(
        scheme="rfc9421",
        key_id=key_id,
        algorithm=algorithm,
        label=label,
        covered=tuple(identifier(component) for component in components),
        signed=signed,
        expires=expires,
        nonce=_parameter(parameters, "nonce", str),
        tag=_parameter(parameters, "tag", str),
        signature=signature,
        bases=(Base(base, query_covered=_binds_query(message, components)),),
        policy=policy,
        now=now,
    )


def _check_count(inputs: Mapping[str, _Input | None], policy: SignaturePolicy) -> None:
    if len(inputs) > policy.labels_max:
        raise SignatureMalformed(
            f"{len(inputs)} signatures, at most {policy.labels_max} are accepted",
            explanation=Explanation(rule=f"policy {policy.name}: labels_max"),
        )


def _check_scheme(policy: SignaturePolicy) -> None:
    if "rfc9421" not in policy.schemes:
        raise SchemeRefused(
            "RFC 9421 signatures are not accepted", explanation=Explanation(rule=f"policy {policy.name}: schemes")
        )


def _check_unique(components: tuple[Item, ...], policy: SignaturePolicy) -> None:
    if len(components) > policy.covered_max:
        raise SignatureMalformed(f"{len(components)} covered components, at most {policy.covered_max}")
    # §2: compared by name and parameters, regardless of their order.
    unique_components = {(component.value, frozenset(component.parameters.items())) for component in components}
    if len(unique_components) != len(components):
        raise SignatureMalformed("a covered component is repeated")


def _parameter(parameters: Mapping[str, BareItem], name: str, kind: type[T]) -> T | None:
    value = parameters.get(name)
    if value is None:
        return None
    # A boolean is an int in Python.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SignatureMalformed(f"signature parameter {name} is not {'an integer' if kind is int else 'a string'}")
    return value


def _algorithm(parameters: Mapping[str, BareItem]) -> Algorithm | None:
    named = _parameter(parameters, "alg", str)
    if named is None:
        return None
    if named not in ALGORITHMS or named in _UNREGISTERED:
        raise AlgorithmRefused(
            f"algorithm {named[:40]!r} is none of {', '.join(sorted(ALGORITHMS - _UNREGISTERED))}",
            explanation=Explanation(rule="RFC 9421 §6.2.2, and no shared secrets between servers"),
        )
    return named


def _check_coverage(message: Message, components: tuple[Item, ...], policy: SignaturePolicy) -> None:
    counted = counted_names(components)
    if not message.target.query:
        counted.append("@query")
    request = message.request
    policy.check_coverage(policy.coverage("rfc9421", request.method, has_body=bool(request.body)), counted)


def _check_covered_values(message: Message, components: tuple[Item, ...]) -> None:
    names = {component.value for component in components}
    if "host" in names:
        message.target.check_host(message.values["host"])
    if "content-digest" in names:
        check_content_digest_field(message.values["content-digest"], message.request.body)
    if "digest" in names:
        check_digest_field(message.values["digest"], message.request.body)


def _binds_query(message: Message, components: tuple[Item, ...]) -> bool:
    names = {component.value for component in components}
    return not message.target.query or not names.isdisjoint({"@target-uri", "@request-target", "@query"})


def _inner_list(components: tuple[Item, ...], parameters: Mapping[str, BareItem]) -> str:
    return f"({' '.join([identifier(component) for component in components])}){_parameters_text(parameters)}"


def _parameters_text(parameters: Mapping[str, BareItem]) -> str:
    text = ""
    for name, value in parameters.items():
        if type(value) is int and 0 <= value < 10**15:
            text += f";{name}={value}"
        elif type(value) is str and _PLAIN_STRING.fullmatch(value):
            text += f';{name}="{value}"'
        else:
            return serialize_parameters(parameters)
    return text


def _explanation_facts(message: Message, signature_input: _Input | None, now: datetime) -> dict[str, object]:
    """Return the facts of a refused signature for its explanation."""
    if signature_input is None:
        return {}
    named = {"key_id": signature_input.parameters.get("keyid"), "algorithm": signature_input.parameters.get("alg")}
    facts: dict[str, object] = {name: value for name, value in named.items() if isinstance(value, str)}
    facts["covered"] = tuple(
        identifier(item) if item.parameters else str(item.value) for item in signature_input.components
    )
    created = signature_input.parameters.get("created")
    if isinstance(created, int) and not isinstance(created, bool):
        facts["clock_offset_s"] = created - int(now.timestamp())
    with suppress(ExplainedError):  # it may cover a component that the message does not have
        facts["signing_string"] = redacted_base(_base(message, signature_input.components, signature_input.line))
    return facts


# --- signing --------------------------------------------------------------------------------------------------------


def prepare(
    request: Request,
    *,
    key_id: str,
    algorithm: Algorithm = "rsa-v1_5-sha256",
    now: datetime,
    covered: tuple[str | Item, ...] | None = None,
    label: str = "sig1",
    expires_s: int | None = None,
    nonce: str | None = None,
    tag: str | None = None,
) -> Unsigned:
    """Prepare ``request`` for its signature, with a `Content-Digest` if it may have a body.

    Args:
        request: The request to send. Earlier signatures on it are dropped.
        key_id: The address of the public key.
        algorithm: The algorithm that the signer will use; it is announced in `alg`.
        now: The value of `created`. Sign again for every attempt and every redirect.
        covered: Components in signing order; by default `POST_COVERED` or `GET_COVERED`.
        label: The name of the signature in both fields.
        expires_s: The lifetime of the signature.
        nonce: Against replay, if the peer asks for one.
        tag: The application, if the peer asks for one.

    Raises:
        ValueError: An unregistered algorithm, a text that does not fit in a structured field, or a component that the
            request does not have.
    """
    if algorithm in _UNREGISTERED:
        raise ValueError(f"RFC 9421 has no name for {algorithm}")
    if _LABEL.fullmatch(label) is None:
        raise ValueError(f"label {label[:40]!r} is not a key of a structured field")
    check_own_key_id(key_id)
    headers = request.headers.without("signature", "signature-input")
    may_have_body = bool(request.body) or request.method not in {"GET", "HEAD"}
    if may_have_body:
        headers = headers.with_set("content-digest", make_content_digest(request.body))
    names = covered if covered is not None else POST_COVERED if may_have_body else GET_COVERED
    components = tuple(Item(name) if isinstance(name, str) else name for name in names)
    created = int(now.timestamp())
    # In this order: some verifiers build the last line themselves, and ignore the received one.
    parameters: dict[str, BareItem] = {"created": created, "alg": algorithm, "keyid": key_id}
    if expires_s is not None:
        parameters["expires"] = created + expires_s
    parameters.update({name: value for name, value in (("nonce", nonce), ("tag", tag)) if value is not None})
    try:
        line = _inner_list(components, parameters)
        ready = evolve(request, headers=headers.with_set("signature-input", f"{label}={line}"))
        data = _base(Message(ready), components, line)
    except (ComponentMissing, SignatureMalformed) as exc:
        raise ValueError(str(exc)) from exc
    return Unsigned(
        request=ready,
        data=data,
        prefix=f"{label}=:",
        suffix=":",
    )


def sign(
    request: Request,
    key: PrivateKey,
    *,
    now: datetime,
    algorithm: Algorithm | None = None,
    covered: tuple[str | Item, ...] | None = None,
    label: str = "sig1",
    expires_s: int | None = None,
    nonce: str | None = None,
    tag: str | None = None,
) -> Request:
    """Sign ``request`` with a local key. Arguments and errors are those of `prepare`."""
    key_algorithm = key.choose_algorithm(algorithm)
    unsigned = prepare(
        request,
        key_id=key.key_id,
        algorithm=key_algorithm,
        now=now,
        covered=covered,
        label=label,
        expires_s=expires_s,
        nonce=nonce,
        tag=tag,
    )
    return unsigned.attach(key.sign(unsigned.data, key_algorithm))
