"""Turn the document that a client posts to an outbox into a pending write (ActivityPub §6).

The application has authenticated the client before. A document is refused unless it is the actor's own: a client cannot
name another actor or another author.

- An object that is no activity is published with a Create (§6.2.1). So is the object of a posted Create. Both get the
  audience of both.
- An id of the activity, or of an object to be created, is replaced by a new one (§6).
- An Update may be partial: members that it leaves out stay, and a null removes a member (§6.3).
- An activity without recipients is stored and not delivered. A Follow, an Undo or an answer to a Follow reaches the
  actor that it is about.
"""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias, cast

from apcore.effects import Get, Op
from apcore.errors import Refused
from apcore.federation.outbox.addressing import OPEN_MEMBERS
from apcore.federation.outbox.records import OBJECTS, DigestKey, ObjectRecord
from apcore.federation.site import Site
from apcore.federation.write_notes import PublishObject, SendActivity
from apcore.remote import NotAnActivity
from apcore.vocab import (
    Accept,
    Activity,
    Create,
    Delete,
    Document,
    Follow,
    Kind,
    Question,
    Reject,
    Undo,
    Update,
    audience_of,
    kind_of,
    read_document,
)

__all__ = ["Submission", "read_submission"]

Submission: TypeAlias = SendActivity | PublishObject

_Members: TypeAlias = dict[str, Any]

_AUDIENCE: Final = (*OPEN_MEMBERS, "bto", "bcc")
_SIGNATURES: Final = ("proof", "signature")
_KEYS: Final = ("publicKey", "publicKeyPem", "publicKeyMultibase", "assertionMethod", "verificationMethod")


def read_submission(site: Site, document: Document, by: str) -> Op[Submission]:
    """Return the pending write for a document that a client of our actor ``by`` posts.

    Effects: one `Get` for an Update, a Delete or an Undo.

    Raises:
        NotAnActivity: The document has no type, or lacks what its type needs.
        Refused: It states another actor or author, or changes what is not published by this actor.
    """
    if not document.types:
        raise NotAnActivity("the document has no type")
    members = {name: value for name, value in document.to_json().items() if name != "id"}
    _check_unsigned(members)
    _check_keyless(members)
    _check_keyless(document.words)
    actor = site.actor_uri(by)
    if not _is_activity(document):
        return _publication(site, members, {}, by)
    _check_member(document, "actor", actor)
    members["actor"] = actor
    if document.is_a(Create):
        return _publication(site, _embedded_object(members), members, by)
    if document.is_a(Update):
        members = yield from _merge_update(site, document, members, actor)
    elif document.is_a(Delete):
        _ = yield from _own_record(_object_uri(document), actor)
    elif document.is_a(Undo):
        members = yield from _embed_undone(document, members, actor)
    activity = read_document(members, origin=site.origin)
    return SendActivity(activity, by, _default_recipients(activity), is_kept=True)


def _is_activity(document: Document) -> bool:
    if document.is_a(Question):
        return False  # A poll is published like a post.
    return document.is_a(Activity) or (not document.classes() and kind_of(document) is Kind.ACTIVITY)


def _check_unsigned(members: _Members) -> None:
    for holder in (members, members.get("object")):
        if isinstance(holder, dict) and not holder.keys().isdisjoint(_SIGNATURES):
            raise NotAnActivity("the document is signed: leave proof and signature out, the server signs what it sends")


def _check_keyless(value: Any) -> None:
    """Refuse a document with a key at any depth: peers would believe what that key signs."""
    if isinstance(value, list):
        for item in _list_of(value):
            _check_keyless(item)
    elif isinstance(value, dict):
        members = cast("_Members", value)
        if not members.keys().isdisjoint(_KEYS):
            raise Refused("the document has a key: clients cannot publish keys")
        for member in members.values():
            _check_keyless(member)


def _check_member(document: Document, name: str, actor: str) -> None:
    value = document.words.get(name, actor)
    if value not in (actor, [actor]):
        raise Refused(f"{name} is {value!r:.200}, but the client acts for {actor}")


# --- creating -------------------------------------------------------------------------------------------------------


def _publication(site: Site, object_members: _Members, create: _Members, by: str) -> PublishObject:
    """Return the publication of an object, with the audience of the object and of its Create."""
    context = object_members.get("@context", create.get("@context"))
    audience = {name: _join(create.get(name), object_members.get(name)) for name in _AUDIENCE}
    members = {name: value for name, value in object_members.items() if name not in {"@context", "id", *_AUDIENCE}}
    members |= {name: uris for name, uris in audience.items() if uris}
    document = read_document(({} if context is None else {"@context": context}) | members, origin=site.origin)
    _check_member(document, "attributedTo", site.actor_uri(by))
    return PublishObject(document, by, ())


def _embedded_object(create: _Members) -> _Members:
    object_ = create.get("object")
    if not isinstance(object_, dict):
        raise NotAnActivity("a Create embeds exactly one object, which gets its id from the server")
    _check_unsigned(cast("_Members", object_))
    return cast("_Members", object_)


def _list_of(value: Any) -> list[Any]:
    if value is None:
        return []
    return [*value] if isinstance(value, list) else [value]


def _join(*values: Any) -> list[Any]:
    """Return the addresses of several members, each once."""
    addresses: list[Any] = []
    for value in values:
        for address in _list_of(value):
            if address not in addresses:
                addresses.append(address)
    return addresses


# --- changing -------------------------------------------------------------------------------------------------------


def _object_uri(document: Document) -> str:
    objects = Activity.over(document).objects
    uri = objects[0].uri if len(objects) == 1 else None
    if uri is None:
        raise NotAnActivity(f"{' and '.join(document.types)} needs exactly one object with an id")
    return uri


def _own_record(uri: str, actor: str) -> Op[ObjectRecord]:
    """Return the record of what our ``actor`` published at ``uri``.

    Raises:
        Refused: The actor published nothing there.
    """
    [entry] = yield from Get((OBJECTS.key(DigestKey.of(uri)),))
    record = None if entry is None else OBJECTS.decode(entry.value)
    if record is None or record.uri != uri or record.owner != actor:
        raise Refused(f"{actor} has published nothing at {uri:.200}")
    return record


def _merge_update(site: Site, document: Document, members: _Members, actor: str) -> Op[_Members]:
    """Return a partial Update with the whole new version of its object."""
    changes = members.get("object")
    if not isinstance(changes, dict):
        raise NotAnActivity("an Update embeds its object: the id, and the members that change")
    record = yield from _own_record(_object_uri(document), actor)
    previous = cast("_Members", json.loads(record.body))
    previous_context = previous.pop("@context", None)
    stays = {name: value for name, value in previous.items() if name not in _AUDIENCE}
    merged = stays | cast("_Members", changes)
    embedded = read_document({"@context": previous_context} | merged, origin=site.origin)
    _check_member(embedded, "attributedTo", actor)
    context = members.get("@context", previous_context)
    return members | {"@context": context, "object": {n: value for n, value in merged.items() if value is not None}}


def _embed_undone(document: Document, members: _Members, actor: str) -> Op[_Members]:
    """Return an Undo with the activity that it undoes, which receivers may not know by its id."""
    undone = Activity.over(document).object
    if undone is not None and undone.embedded is not None:
        _check_member(undone.embedded, "actor", actor)
        return members
    record = yield from _own_record(_object_uri(document), actor)
    body = cast("_Members", json.loads(record.body))
    return members | {"object": {name: value for name, value in body.items() if name != "@context"}}


def _default_recipients(activity: Document) -> tuple[str, ...]:
    """Return the actor that an activity without an audience is about, for a Follow and what follows from it."""
    if audience_of(activity).everyone or audience_of(activity).is_public:
        return ()
    subject = _followed(activity)
    return () if subject is None else (subject,)


def _followed(activity: Document) -> str | None:
    reference = Activity.over(activity).object
    if reference is None:
        return None
    if activity.is_a(Follow):
        return reference.uri
    inner = reference.embedded
    if inner is None or not inner.is_a(Follow):
        return None
    follow = Activity.over(inner)
    party = follow.object if activity.is_a(Undo) else follow.actor
    is_answer = activity.is_a(Accept) or activity.is_a(Reject) or activity.is_a(Undo)
    return party.uri if is_answer and party is not None else None
