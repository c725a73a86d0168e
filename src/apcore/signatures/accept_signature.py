"""`Accept-Signature` (RFC 9421 §5): asking for a signature, and being asked.

A verifier that refuses a request may say what it would accept: per label a list of components, with `created`, `nonce`, `tag` and their kind.
`challenge` writes that for an answer of 401, from the policy that refused.

The other way round, the asking is a stranger's, and signing whatever a stranger lists is how signatures are obtained for other purposes. So
`answer` adds to what is asked whatever our own signatures always cover, and passes over a challenge that names another key or another
algorithm than ours, or components that the request does not have. How often a request is tried again is for the caller to bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import field, frozen

from apcore.errors import RequestError
from apcore.http.fields import BareItem, InnerList, Item, parse_dictionary, serialize_dictionary
from apcore.http.messages import Request
from apcore.signatures import rfc9421
from apcore.signatures.errors import SignatureMalformed
from apcore.signatures.keys import Algorithm
from apcore.signatures.policy import DEFAULT, SignaturePolicy
from apcore.signatures.presented import Unsigned

__all__ = ["CHALLENGES_MAX", "Challenge", "answer", "challenge", "read_challenges"]

CHALLENGES_MAX: Final = 8
"""Challenges in one answer that are read; more are a peer's mistake or a peer's game."""
_COMPONENTS_MAX: Final = 32
_TEXT_MAX: Final = 256
_LIFETIME_S: Final = 300


@frozen(kw_only=True)
class Challenge:
    """One signature that a peer asks for."""

    label: str
    components: tuple[Item, ...] = field(converter=tuple[Item, ...])
    expires: bool = False
    """It is to carry an expiry."""
    nonce: str | None = None
    algorithm: str | None = None
    key_id: str | None = None
    tag: str | None = None


def challenge(
    method: str,
    *,
    policy: SignaturePolicy = DEFAULT,
    has_body: bool = False,
    label: str = "sig1",
    nonce: str | None = None,
    tag: str | None = None,
) -> str:
    """Write the `Accept-Signature` for a request that was refused: the least that ``policy`` accepts, by the first way to cover each part.

    Args:
        method: Of the request.
        policy: That refused it.
        has_body: Whether it has one.
        label: The name that the signature is to have.
        nonce: To be repeated in the signature, by whoever wants to keep a list of nonces.
        tag: To be repeated in the signature.

    Raises:
        ValueError: A policy that does not accept RFC 9421, or text that cannot stand in a structured field.
    """
    if "rfc9421" not in policy.schemes:
        raise ValueError(f"policy {policy.name} does not accept RFC 9421, so nothing can be asked for")
    groups = policy.coverage("rfc9421", method, has_body=has_body)
    names = dict.fromkeys(name for group in groups for name in sorted(group[0]))
    parameters: dict[str, BareItem] = {"created": True}
    parameters.update({name: text for name, text in (("nonce", nonce), ("tag", tag)) if text is not None})
    return serialize_dictionary({label: InnerList(tuple(Item(name) for name in names), parameters)})


def read_challenges(text: str) -> tuple[Challenge, ...]:
    """Read an `Accept-Signature` field; those that are for responses or that cannot be meant are left out.

    Raises:
        SignatureMalformed: It is no dictionary, or asks for more than `CHALLENGES_MAX` signatures.
    """
    try:
        members = parse_dictionary(text, duplicates="refuse")
    except RequestError as exc:
        raise SignatureMalformed(f"Accept-Signature: {exc}") from exc
    if len(members) > CHALLENGES_MAX:
        raise SignatureMalformed(f"Accept-Signature asks for {len(members)} signatures, at most {CHALLENGES_MAX}")
    read = [_challenge(label, member) for label, member in members.items() if isinstance(member, InnerList)]
    return tuple(asked for asked in read if asked is not None)


def answer(
    request: Request,
    challenges: Sequence[Challenge],
    *,
    key_id: str,
    algorithm: Algorithm = "rsa-v1_5-sha256",
    now: datetime,
) -> Unsigned | None:
    """Get ``request`` ready for the first challenge that we can and may meet; None if there is none.

    The signature covers what is asked and what `rfc9421.prepare` covers by default, whatever was asked.
    """
    for asked in challenges:
        if asked.algorithm not in {None, algorithm} or asked.key_id not in {None, key_id}:
            continue
        writing = bool(request.body) or request.method not in {"GET", "HEAD"}
        usual = rfc9421.POST_COVERED if writing else rfc9421.GET_COVERED
        have = {item.value for item in asked.components if not item.parameters}
        covered = (*asked.components, *(Item(name) for name in usual if name not in have))
        try:
            return rfc9421.prepare(
                request,
                key_id=key_id,
                algorithm=algorithm,
                now=now,
                covered=covered,
                label=asked.label,
                expires_s=_LIFETIME_S if asked.expires else None,
                nonce=asked.nonce,
                tag=asked.tag,
            )
        except ValueError:  # a component that this request does not have
            continue
    return None


def _challenge(label: str, member: InnerList) -> Challenge | None:
    items, parameters = member.items, member.parameters
    names = {(item.value, frozenset(item.parameters.items())) for item in items}
    if len(items) > _COMPONENTS_MAX or len(names) != len(items) or any(item.value == "@status" for item in items):
        return None
    texts: dict[str, str] = {}
    for name in ("nonce", "alg", "keyid", "tag"):
        value = parameters.get(name)
        if isinstance(value, str) and len(value) <= _TEXT_MAX:
            texts[name] = value
        elif value is not None:
            return None
    return Challenge(
        label=label,
        components=items,
        expires=parameters.get("expires") is True,
        nonce=texts.get("nonce"),
        algorithm=texts.get("alg"),
        key_id=texts.get("keyid"),
        tag=texts.get("tag"),
    )
