"""Apply received likes, boosts and replies to the collections of our objects, and take them back.

The author of an object decides who may interact with it: an actor that the author blocks may not, nor one that may not
see the object. Such an activity changes nothing, and the log says why. The listener gets it nevertheless.
"""

from __future__ import annotations

from apcore.effects import Now, Op
from apcore.federation.ignored_reasons import IgnoredReason
from apcore.federation.inbox.received_activity import Received
from apcore.federation.interactions.changes import (
    Membership,
    add_interactions,
    find_collection,
    find_interaction,
    find_object,
    remove_interaction,
    take_back,
)
from apcore.federation.interactions.contexts import find_context, first_object_of
from apcore.federation.interactions.polls import add_vote
from apcore.federation.interactions.statements import (
    COLLECTION_RULES,
    Interaction,
    object_collection,
    read_interactions,
    read_undone,
)
from apcore.federation.side_effect_rules import SideEffectRule
from apcore.federation.site import Site
from apcore.vocab import Activity, Announce, Document, EmojiReact, Like, Note, Question, read_document

__all__ = ["concerns_site", "count_vote", "record_interactions", "refresh_reply", "take_back_interaction"]


def concerns_site(site: Site, rule: SideEffectRule, document: Document, actor: str) -> bool:
    """Return whether the side effect of an activity can change anything at this site, judged by the activity alone.

    A Like of an object elsewhere changes nothing, for instance.
    """
    activity = Activity.over(document)
    if rule.inner in {Like, Announce, EmojiReact}:
        interactions = read_undone(activity, actor)
    elif rule.name == "vote" or rule.name in COLLECTION_RULES.values():
        interactions = read_interactions(document, actor, document.id or "")
    else:
        return True
    return any(_collection_of(site, interaction) is not None for interaction in interactions)


def record_interactions(received: Received) -> Op[None]:
    """Add a Like, an Announce or a reply to the collections of our objects.

    Effects: up to seven `Get`s for each object, and those of `find_context`.
    """
    additions: list[tuple[Interaction, list[Membership]]] = []
    for interaction in read_interactions(received.document, received.actor, received.id):
        if not received.site.federation.side_effects.is_default(interaction.rule):
            continue  # The emoji of a Like belongs to another row.
        memberships: list[Membership] = []
        collection = yield from find_collection(received.site, interaction, received.actor)
        context = yield from find_context(received.site, interaction, received.actor)
        # A refusal by the author of the answered object is also the reason why the reply joins no context.
        for address in dict.fromkeys((collection, context)):
            if isinstance(address, IgnoredReason):
                received.log_ignored(address, interaction.target)
            elif address is not None:
                memberships.append((address, interaction.member))
        if memberships:
            additions.append((interaction, memberships))
    received.scope.notes += yield from add_interactions(additions, received.actor)


def count_vote(received: Received) -> Op[None]:
    """Count a vote in a poll of ours. A Note that looks like a vote, and answers something else, is a reply.

    Effects: up to four `Get`s and `Now`, or those of `record_interactions`.
    """
    for interaction in read_interactions(received.document, received.actor, received.id):
        record = yield from find_object(received.site, interaction.target, received.actor)
        if isinstance(record, IgnoredReason):
            received.log_ignored(record, interaction.target)
            continue
        document = None if record is None else read_document(record.body, origin=received.site.origin)
        if document is None or not document.is_a(Question):
            if received.site.federation.side_effects.is_default("create"):
                yield from record_interactions(received)
            continue
        vote = None if received.activity.object is None else received.activity.object.claimed(Note)
        option = None if vote is None else vote.name
        now = yield from Now()
        result = yield from add_vote(interaction.target, document.view(Question), received.actor, option or "", now)
        if isinstance(result, IgnoredReason):
            received.log_ignored(result, interaction.target)
        else:
            received.scope.notes += result


def refresh_reply(received: Received) -> Op[None]:
    """Apply the Update of a reply: it may answer another object now, or be for fewer people.

    Effects: one `Get`, and those of `record_interactions`.
    """
    reference = received.activity.object
    record = None
    if (
        reference is not None
        and reference.uri is not None
        and received.site.federation.side_effects.is_default("create")
    ):
        record = yield from find_interaction(received.actor, reference.uri)
    if record is None or reference is None or reference.embedded is None or not reference.embedded.types:
        return
    if read_interactions(received.document, received.actor, received.id):
        yield from record_interactions(received)
    else:
        received.scope.notes += remove_interaction(record)


def take_back_interaction(received: Received) -> Op[bool]:
    """Take back what an Undo or a Delete names. Return whether there was anything to take back.

    Effects: one `Get`.
    """
    notes = yield from take_back(received.site, received.activity, received.actor)
    received.scope.notes += notes
    return bool(notes)


def _collection_of(site: Site, interaction: Interaction) -> str | None:
    if interaction.context is not None and first_object_of(site, interaction.context) is not None:
        return interaction.context
    return object_collection(site.federation.places, site.origin, interaction.target, interaction.collection)
