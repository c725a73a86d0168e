"""Decide the audience and the recipients of everything that leaves.

An activity and the object in it have the same audience (ActivityPub 6.2), and all of its members get the activity
(7.1.1). Actors in ``bto`` and ``bcc`` get it at their own inbox, and neither document names them.

Each of the four words for a visibility is one way to name `PUBLIC` and the followers:

=============  =====================  =====================  ========================
word           ``to``                 ``cc``                 reaches
=============  =====================  =====================  ========================
``public``     `PUBLIC`               followers              everyone, and is listed
``unlisted``   followers              `PUBLIC`               all clients with the id
``followers``  followers              empty                  followers
``direct``     actors that you name   actors that you name   these actors
=============  =====================  =====================  ========================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from attrs import evolve, frozen

from apcore.errors import ContractError
from apcore.vocab import (
    PUBLIC,
    PUBLIC_FORMS,
    Activity,
    Actor,
    Audience,
    Create,
    Delete,
    Document,
    Undo,
    Update,
    audience_of,
)

__all__ = [
    "OPEN_MEMBERS",
    "RECIPIENTS_MAX",
    "Addressing",
    "VisibilityWord",
    "addressing_of",
    "embedded_objects",
    "is_carrier",
    "stated_audiences",
    "states_audience",
    "with_addressing",
]

VisibilityWord: TypeAlias = Literal["public", "unlisted", "followers", "direct"]

RECIPIENTS_MAX: Final = 1_000
"""The most addresses that one activity or object may name. More recipients belong in a collection."""
OPEN_MEMBERS: Final = ("to", "cc", "audience")
_MEMBERS: Final = (*OPEN_MEMBERS, "bto", "bcc")
_SIGNATURES: Final = frozenset({"proof", "signature"})
_WORDS: Final = ("public", "unlisted", "followers", "direct")


@frozen
class Addressing:
    """The audience of an activity and of the object in it, and the addresses to deliver to."""

    audience: Audience
    recipients: tuple[str, ...]
    """All addresses to deliver to, each once, without `PUBLIC`. The documents need not name them all."""

    @property
    def members(self) -> dict[str, list[str]]:
        """The members of both documents: ``to`` and ``cc``, and ``audience`` if there is one."""
        members = {"to": list(self.audience.to), "cc": list(self.audience.cc)}
        return members | ({"audience": list(self.audience.audience)} if self.audience.audience else {})

    @property
    def is_named(self) -> bool:
        """Whether the documents name an address."""
        return bool(self.audience.to or self.audience.cc or self.audience.audience)

    @property
    def is_listed(self) -> bool:
        """Whether the outbox lists it. It shows the number of its items to everyone, so it holds public ones only."""
        return PUBLIC in self.audience.to


def addressing_of(
    audiences: Sequence[Audience],
    to: Sequence[str] | None,
    *,
    followers: str,
    visibility: VisibilityWord | None = None,
    is_publication: bool = False,
    is_inherited: bool = False,
    is_new_version: bool = False,
) -> Addressing:
    """Return the addressing for documents with ``audiences`` that go ``to`` further addresses.

    - With ``visibility``, the documents name `PUBLIC` and ``followers`` as this word demands, and all of ``to``.
    - If the documents name an audience, it counts. A publication names the addresses in ``to`` as well. An activity
      that is sent does not: they get it at their own inboxes. The same holds if the audience is inherited and empty.
    - If the documents name no audience, they name the addresses in ``to``. A publication without ``to`` is public.

    A publication with `PUBLIC` in ``to`` goes to ``followers`` too, and so does an Update with a new version of a post,
    and an activity that is sent to `PUBLIC` by the argument.

    Raises:
        ValueError: The documents or ``to`` contradict ``visibility``; or they name more than `RECIPIENTS_MAX`
            addresses.
        ContractError: The documents contradict each other; ``to`` adds `PUBLIC` to documents that have an audience and
            are not public; or `PUBLIC` is in ``bto`` or ``bcc``, where it makes nothing public.
    """
    addresses = tuple(dict.fromkeys(PUBLIC if address in PUBLIC_FORMS else address for address in to or ()))
    audience = _join(audiences)
    _check_count((*audience.everyone, *addresses))
    _check_agreement(audiences, followers)
    if PUBLIC in (*audience.bto, *audience.bcc):
        raise ContractError("PUBLIC is in bto or bcc of the object, where it makes nothing public: move it to to or cc")
    is_addressed = bool(audience.everyone) or audience.is_public or is_inherited
    if visibility is not None:
        audience = _apply_word(audience, addresses, visibility, followers)
    elif not is_addressed:
        audience = Audience(to=(PUBLIC,) if to is None and is_publication else addresses)
    else:
        _check_public_addition(audience, addresses)
        if is_publication:
            audience = _add_to(audience, addresses)
    if PUBLIC in audience.to and (is_publication or is_new_version or not is_addressed):
        audience = _add_cc(audience, followers)
    recipients = dict.fromkeys((*audience.everyone, *(address for address in addresses if address != PUBLIC)))
    return Addressing(audience, tuple(recipients))


def stated_audiences(activity: Document, actor: str) -> list[Audience]:
    """Return the audiences that an activity of ``actor`` and the objects in it state.

    A Delete or an Undo with an audience of its own keeps it. The actors that its object names get it too, in secret.
    """
    audience = audience_of(activity)
    object_audiences = [audience_of(document) for document in embedded_objects(activity, actor)]
    if states_audience(activity) and not is_carrier(activity):
        object_audiences = [Audience(bcc=object_audience.everyone) for object_audience in object_audiences]
    return [audience, *object_audiences]


def states_audience(document: Document) -> bool:
    """Return whether a document has one of ``to``, ``cc`` and ``audience``, even without an address in it."""
    return not set(OPEN_MEMBERS).isdisjoint(document.words)


def is_carrier(activity: Document) -> bool:
    """Return whether the object of an activity must have the same audience as the activity, see `embedded_objects`."""
    return activity.is_a(Create) or activity.is_a(Update)


def embedded_objects(activity: Document, actor: str) -> list[Document]:
    """Return the objects of ``actor`` that one of its own activities embeds, and that have its audience.

    These are the posts in a Create or an Update, and the thing that a Delete or an Undo takes back. An Update describes
    an actor to the whole audience, so an actor itself has none.
    """
    if not (is_carrier(activity) or activity.is_a(Delete) or activity.is_a(Undo)):
        return []
    references = Activity.over(activity).objects
    documents = [reference.embedded for reference in references if reference.embedded is not None]
    return [document for document in documents if not document.is_a(Actor) and _is_by(document, actor)]


def with_addressing(members: dict[str, Any], activity: Document, actor: str, addressing: Addressing) -> dict[str, Any]:
    """Return the ``members`` of an activity of ``actor`` with its audience, and a post in it with the same audience.

    A document with a signature of its own stays as it is.
    """
    members = _readdress(members, addressing)
    object_ = members.get("object")
    if isinstance(object_, dict) and is_carrier(activity) and embedded_objects(activity, actor):
        members["object"] = _readdress(cast("dict[str, Any]", object_), addressing)
    return members


# --- leaves ---------------------------------------------------------------------------------------------------------


def _readdress(members: dict[str, Any], addressing: Addressing) -> dict[str, Any]:
    if not _SIGNATURES.isdisjoint(members):
        return members
    address_members = {name: uris for name, uris in addressing.members.items() if uris or name in members}
    return {name: value for name, value in members.items() if name not in OPEN_MEMBERS} | address_members


def _is_by(document: Document, actor: str) -> bool:
    return all(document.words.get(name) in (None, actor, [actor]) for name in ("actor", "attributedTo"))


def _join(audiences: Iterable[Audience]) -> Audience:
    """Return the audience that names all addresses of ``audiences``, each in its member."""
    addresses: dict[str, dict[str, None]] = {name: {} for name in _MEMBERS}
    for audience in audiences:
        for name in _MEMBERS:
            addresses[name] |= dict.fromkeys(getattr(audience, name))
    return Audience(**{name: tuple(uris) for name, uris in addresses.items()})


def _check_count(addresses: Iterable[str]) -> None:
    count = len(dict.fromkeys(addresses))
    if count > RECIPIENTS_MAX:
        raise ValueError(
            f"the audience has {count} addresses, but at most {RECIPIENTS_MAX} (RECIPIENTS_MAX) may be named: "
            "address a collection"
        )


def _word_of(audience: Audience, followers: str) -> VisibilityWord | None:
    """Return the word for the visibility that the documents state.

    None if they state none: actors that only ``cc``, ``bto`` or ``bcc`` names fit every word.
    """
    if PUBLIC in audience.to:
        return "public"
    if audience.is_public:
        return "unlisted"
    if followers in (*audience.to, *audience.cc, *audience.audience):
        return "followers"
    return "direct" if audience.to else None


def _check_agreement(audiences: Sequence[Audience], followers: str) -> None:
    words = {word: None for audience in audiences if (word := _word_of(audience, followers)) is not None}
    if len(words) > 1:
        raise ContractError(
            f"the activity is {' and its object '.join(words)}, but both have one audience: "
            "name it once, and leave it out of the other"
        )


def _check_public_addition(audience: Audience, addresses: Sequence[str]) -> None:
    if PUBLIC in addresses and not audience.is_public:
        raise ContractError(
            f"to= adds PUBLIC to an object that is addressed to {', '.join(audience.everyone)[:200] or 'none'}: "
            "leave out to=, or name PUBLIC in the object"
        )


def _apply_word(audience: Audience, addresses: Sequence[str], word: VisibilityWord, followers: str) -> Audience:
    """Return ``audience`` with `PUBLIC` and ``followers`` as ``word`` demands, and with ``addresses`` in ``to``."""
    if word not in _WORDS:
        raise ValueError(f"visibility={word!r:.60} is none of {', '.join(_WORDS)}")
    stated_word = _word_of(audience, followers)
    if stated_word not in {None, word}:
        raise ValueError(
            f"visibility={word!r} contradicts the to and cc of the document, which say {stated_word!r}: leave one of "
            "them out, and name further actors in cc or by the argument to="
        )
    if (PUBLIC in addresses and word != "public") or (followers in addresses and word == "direct"):
        raise ValueError(f"visibility={word!r} contradicts to=: leave PUBLIC and the followers out of it")
    if word == "public":
        return _add_cc(_add_to(evolve(audience, to=_with(PUBLIC, audience.to)), addresses), followers)
    if word != "direct" and followers not in audience.everyone:
        audience = evolve(audience, to=(followers, *audience.to))
    if word == "unlisted" and not audience.is_public:
        audience = evolve(audience, cc=(PUBLIC, *audience.cc))
    audience = _add_to(audience, addresses)
    if word == "direct" and not audience.everyone:
        raise ValueError("visibility='direct' needs at least one actor in to or cc")
    return audience


def _with(address: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
    return addresses if address in addresses else (address, *addresses)


def _add_to(audience: Audience, addresses: Iterable[str]) -> Audience:
    """Return ``audience`` with those of ``addresses`` in ``to`` that it does not name yet."""
    named = {*audience.to, *audience.cc, *audience.audience, *audience.bto, *audience.bcc}
    return evolve(audience, to=(*audience.to, *(address for address in addresses if address not in named)))


def _add_cc(audience: Audience, followers: str) -> Audience:
    # Followers in bto or bcc get the object already, and must not appear in cc.
    return audience if followers in audience.everyone else evolve(audience, cc=(*audience.cc, followers))
