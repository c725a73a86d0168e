"""Ask for signatures, and answer such requests: `Accept-Signature` (RFC 9421 §5).

A verifier that refuses a request may say which signature it would accept: per label a list of components, with
`created`, `nonce`, `tag` and other parameters. `challenge` writes that for a 401 response, from the policy that
refused.

In the other direction, a stranger chooses the components, and signing any list could produce a signature that serves
another purpose. So `answer` adds the components that apcore's own signatures always cover. It skips challenges that
name another key or algorithm, or components that the request does not have. Your code bounds how often a request is
tried again.
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
"""The most challenges in one response. More are a mistake or an attack."""
_COMPONENTS_MAX: Final = 32
_TEXT_MAX: Final = 256
_LIFETIME_S: Final = 300


@frozen(kw_only=True)
class Challenge:
    """One signature that a peer asks for."""

    label: str
    components: tuple[Item, ...] = field(converter=tuple[Item, ...])
    expires: bool = False
    """Whether the signature must have an expiry."""
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
    """Return the `Accept-Signature` value for a refused request: the least coverage that ``policy`` accepts.

    Where the policy has alternatives, the first one is asked for.

    Args:
        method: The method of the request.
        policy: The policy that refused it.
        has_body: Whether the request has a body.
        label: The label for the signature.
        nonce: A value to repeat in the signature, if you keep a list of nonces.
        tag: A value to repeat in the signature.

    Raises:
        ValueError: The policy does not accept RFC 9421, or a text does not fit in a structured field.
    """
    if "rfc9421" not in policy.schemes:
        raise ValueError(f"policy {policy.name} does not accept RFC 9421, so it cannot ask for a signature")
    groups = policy.coverage("rfc9421", method, has_body=has_body)
    names = dict.fromkeys(name for group in groups for name in sorted(group[0]))
    parameters: dict[str, BareItem] = {"created": True}
    parameters.update({name: text for name, text in (("nonce", nonce), ("tag", tag)) if text is not None})
    return serialize_dictionary({label: InnerList(tuple(Item(name) for name in names), parameters)})


def read_challenges(text: str) -> tuple[Challenge, ...]:
    """Parse an `Accept-Signature` field, without the members that are for responses or are invalid.

    Raises:
        SignatureMalformed: It is not a dictionary, or asks for more than `CHALLENGES_MAX` signatures.
    """
    try:
        members = parse_dictionary(text, duplicates="refuse")
    except RequestError as exc:
        raise SignatureMalformed(f"Accept-Signature: {exc}") from exc
    if len(members) > CHALLENGES_MAX:
        raise SignatureMalformed(f"Accept-Signature asks for {len(members)} signatures, at most {CHALLENGES_MAX}")
    read = [_challenge(label, member) for label, member in members.items() if isinstance(member, InnerList)]
    return tuple(challenge for challenge in read if challenge is not None)


def answer(
    request: Request,
    challenges: Sequence[Challenge],
    *,
    key_id: str,
    algorithm: Algorithm = "rsa-v1_5-sha256",
    now: datetime,
) -> Unsigned | None:
    """Prepare ``request`` for the first challenge that can and may be answered; None if there is none.

    The signature covers the components of the challenge and those that `rfc9421.prepare` covers by default.
    """
    for challenge in challenges:
        if challenge.algorithm not in {None, algorithm} or challenge.key_id not in {None, key_id}:
            continue
        may_have_body = bool(request.body) or request.method not in {"GET", "HEAD"}
        default_names = rfc9421.POST_COVERED if may_have_body else rfc9421.GET_COVERED
        covered_names = {item.value for item in challenge.components if not item.parameters}
        covered = (*challenge.components, *(Item(name) for name in default_names if name not in covered_names))
        try:
            return rfc9421.prepare(
                request,
                key_id=key_id,
                algorithm=algorithm,
                now=now,
                covered=covered,
                label=challenge.label,
                expires_s=_LIFETIME_S if challenge.expires else None,
                nonce=challenge.nonce,
                tag=challenge.tag,
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
