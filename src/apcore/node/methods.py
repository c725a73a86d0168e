"""Define the methods of nodes: those of handlers, for use outside of handlers, and those that look something up.

Each write is a commit of its own. When the method returns, it is stored. The methods are written as operations, and
`Node` and `AsyncNode` have them in their own kind; see `apcore.federation.waiting_methods`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from typing_extensions import override

from apcore.collections import PageItems, Thread, ThreadBounds, contains, count, read_thread
from apcore.effects import Op
from apcore.federation import relays
from apcore.federation.actors.actions import note_aliases, note_move
from apcore.federation.actors.handles import check_actors
from apcore.federation.actors.rotation import Rotation, rotate
from apcore.federation.context_lookups import LookUpMethods
from apcore.federation.dead_letters import dead_letter, dead_letters, drop_dead_letter, retry_dead_letter
from apcore.federation.findings import CheckFinding
from apcore.federation.moderation import Severity
from apcore.federation.outbox.addressing import VisibilityWord
from apcore.federation.outbox.immediate import SendResult, send_at_once
from apcore.federation.outbox.send import (
    act,
    commit_action,
    commit_change,
    commit_deletion,
    commit_follow,
    commit_notes,
)
from apcore.federation.refreshing import refresh_due
from apcore.federation.relations import actions
from apcore.federation.relations.actions import PAGE_MAX, member_ids
from apcore.federation.relays import RelayKind
from apcore.federation.reports import DeadLetter, DeadLetterKind
from apcore.federation.resolving_methods import resolver_by
from apcore.federation.site import Site
from apcore.federation.stored_rules import put_rule, remove_rule, rules_page
from apcore.federation.subscriptions.manage import (
    Subscription,
    read_subscription,
    subscribe,
    subscriptions_page,
    unsubscribe,
)
from apcore.federation.subscriptions.terms import SubscriptionTerms
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.waiting_methods import OperationVariant, waiting, waiting_without_data
from apcore.federation.write_notes import AddMember, PublishObject, RemoveMember, SendActivity
from apcore.http import parse_origin, parse_url
from apcore.node.binding import Bound, address_tuple
from apcore.ports import MadeKey
from apcore.remote import DocumentState, due_for_refresh, forget_copies
from apcore.vocab import Document, Reference, View

__all__ = ["NodeMethods", "NodeOperations"]


def forgotten_by(ident: str | None, actor: str | None, server: str | None) -> dict[str, str]:
    """Return the argument of `forget_copies` in its canonical form.

    Raises:
        ValueError: Not exactly one of the three is given.
        RequestError: The value is no http or https URL.
    """
    named = {name: text for name, text in (("uri", ident), ("owner", actor), ("origin", server)) if text is not None}
    if len(named) != 1:
        raise ValueError("name exactly one of id=, actor= and server=")
    [(name, text)] = named.items()
    return {name: str(parse_origin(text)) if name == "origin" else str(parse_url(text))}


class NodeMethods(LookUpMethods):
    """The methods that `Node` and `AsyncNode` share."""

    __slots__ = ()

    def _site(self, origin: str | None) -> Site:
        """Return the site of one origin of ours, the only one if None."""
        raise NotImplementedError

    def _site_of(self, collection: str) -> Site:
        """Return the site of a collection: that of its origin, or the only one."""
        raise NotImplementedError

    def _is_at_home(self, address: str) -> bool:
        """Return whether an address is on an origin of ours."""
        raise NotImplementedError

    def _pruning(self, documents_max: int | None, bytes_max: int | None, age_s_max: float | None) -> Op[int]:
        """Delete copies until the graph is within its bounds, which are by default those of the node."""
        raise NotImplementedError

    @waiting
    def resolve(self, reference: Reference | str, /, *, by: str | None = None) -> Op[Document]:
        """Return the document of a reference, as `reference` and `Pointer.resolve` do.

        Raises:
            ApcoreError: The document could not be loaded; see `apcore.remote.load`.
        """
        return resolver_by(self._scope, by).resolve(reference)

    @waiting
    def send(
        self,
        activity: View,
        /,
        *,
        by: str,
        to: str | Sequence[str] | None = None,
        visibility: VisibilityWord | None = None,
        origin: str | None = None,
    ) -> Op[str]:
        """Deliver an activity, and return its id; see `Context.send`. When this returns, the delivery is stored."""
        note = SendActivity(activity.document, by, address_tuple(to), visibility=visibility)
        [activity_id] = yield from act(self._site(origin), note)
        return activity_id

    @waiting
    def publish(
        self,
        object: View,  # noqa: A002 - the field's word
        /,
        *,
        by: str,
        to: str | Sequence[str] | None = None,
        visibility: VisibilityWord | None = None,
        push: bool | None = None,
        origin: str | None = None,
    ) -> Op[str]:
        """Store an object, announce it in the outbox, and deliver it, in one commit; see `Context.publish`.

        Return the id under which the object is served from now on.
        """
        note = PublishObject(object.document, by, address_tuple(to), visibility=visibility, push=push)
        [object_id] = yield from act(self._site(origin), note)
        return object_id

    @waiting
    def rotate_keys(
        self,
        identifier: str | None,
        /,
        *,
        announce: bool | None = None,
        keys: Sequence[MadeKey] | None = None,
        origin: str | None = None,
    ) -> Op[Rotation]:
        """Replace the keys of one of our actors, or of the instance actor if ``identifier`` is None.

        The returned keys sign from now on. The old keys stay published for `KeyPolicy.retire_after_s`; then a worker
        retires them. With ``announce``, which `KeyPolicy.announce` decides by default, followers receive an Update that
        is signed with the old key. With ``keys``, no keys are made. Pass one RSA and one Ed25519 key that the signer
        holds already: for example keys that came with the actor from another server.

        Raises:
            ActorUnknown: The actor does not exist, or is gone.
            ContractError: As many generations of its keys are published as `KeyPolicy.generations_max` allows.
            ValueError: ``keys`` are not one of each kind, or belonged to this actor before.
        """
        return rotate(self._site(origin), identifier, announce=announce, keys=keys)

    @waiting
    def follow(self, actor: str, /, *, by: str, origin: str | None = None) -> Op[str]:
        """Ask to follow ``actor`` as our actor ``by``, and return the id of the Follow."""
        return commit_follow(self._site(origin), actor, by)

    @waiting
    def unfollow(self, actor: str, /, *, by: str, origin: str | None = None) -> Op[str | None]:
        """Stop following ``actor``, or withdraw the request.

        Return the id of the Undo, or None if there is no request and no relation.
        """
        return commit_action(self._site(origin), actions.unfollow, actor, by)

    @waiting
    def accept_follow(self, actor: str, /, *, by: str, origin: str | None = None) -> Op[str | None]:
        """Accept the request of ``actor`` to follow ``by``.

        Return the id of the Accept, or None if ``actor`` follows already.

        Raises:
            ValueError: ``actor`` has not asked to follow.
            ContractError: ``by`` blocks ``actor``.
        """
        return commit_action(self._site(origin), actions.accept_follow, actor, by)

    @waiting
    def reject_follow(self, actor: str, /, *, by: str, origin: str | None = None) -> Op[str | None]:
        """Reject the request of ``actor`` to follow ``by``.

        Return the id of the Reject, or None if the request is rejected already.

        Raises:
            ValueError: ``actor`` has not asked to follow.
        """
        return commit_action(self._site(origin), actions.reject_follow, actor, by)

    @waiting
    def remove_follower(self, actor: str, /, *, by: str, origin: str | None = None) -> Op[str | None]:
        """Remove the follower ``actor`` of ``by``.

        Return the id of the Reject that tells its server, or None if ``actor`` does not follow.
        """
        return commit_action(self._site(origin), actions.remove_follower, actor, by)

    @waiting
    def block(self, actor: str, /, *, by: str, origin: str | None = None) -> Op[str | None]:
        """Block ``actor`` as our actor ``by``, which ends their relations in both directions.

        Return the id of the Block, or None if ``actor`` is blocked already. The Block is delivered to the actor, as
        Mastodon does, so that its server ends its side too.
        """
        return commit_action(self._site(origin), actions.block, actor, by)

    @waiting
    def unblock(self, actor: str, /, *, by: str, origin: str | None = None) -> Op[str | None]:
        """Undo the Block of ``actor``. Return the id of the Undo, or None if ``actor`` is not blocked."""
        return commit_action(self._site(origin), actions.unblock, actor, by)

    @waiting
    def pending_follows(
        self, identifier: str, /, *, cursor: str | None = None, limit: int = PAGE_MAX, origin: str | None = None
    ) -> Op[PageItems]:
        """Return a page of the requests (`FollowRequest`) that wait for our actor ``identifier``, newest first.

        ``cursor`` is the ``next`` of the page before. A page has 1 to 100 requests.
        """
        scope = unit_of_work_for(self._site(origin))
        return actions.pending_follows(scope, identifier, cursor=cursor, limit=limit)

    @waiting
    def check_actors(self, *identifiers: str, origin: str | None = None) -> Op[tuple[CheckFinding, ...]]:
        """Return a finding for each of these actors that other servers cannot find by its handle.

        Without identifiers, the actors that have keys in the store are checked. The handlers for usernames and actors
        are called.
        """
        return tuple((yield from check_actors(self._site(origin), identifiers)))

    @waiting
    def set_aliases(self, identifier: str, aliases: Sequence[str], /, *, origin: str | None = None) -> Op[str]:
        """Set the other accounts of our actor ``identifier``, and tell its followers by an Update.

        Return the id of the Update. The ids are served as `alsoKnownAs`, beside those of your handler. An account that
        moves here must be among them before its Move.

        Raises:
            ValueError: An alias is not the address of another actor, or there are more than 20.
        """
        return commit_change(self._site(origin), identifier, lambda scope: note_aliases(scope, identifier, aliases))

    @waiting
    def move_actor(self, identifier: str, target: str | None, /, *, origin: str | None = None) -> Op[str]:
        """Move our actor ``identifier`` to the account ``target``, and tell its followers.

        Return the id of the Move. ``target`` is then served as `movedTo`. With None, take a Move back: the followers
        get an Update without `movedTo`, whose id is returned.

        Raises:
            ValueError: ``target`` is not the address of another actor.
            ContractError: ``target`` does not name the actor in `alsoKnownAs`, or has moved itself.
            Unavailable: ``target`` cannot be loaded now.
        """
        return commit_change(self._site(origin), identifier, lambda scope: note_move(scope, identifier, target))

    @waiting
    def delete_actor(self, identifier: str, /, *, origin: str | None = None) -> Op[str | None]:
        """Delete our actor ``identifier`` for ever.

        Return the id of the Delete, or None if the actor is deleted already. It is served as a `Tombstone` from then
        on, and can send nothing more. Its followers, and the actors that it follows, get the Delete. Its keys are
        retired when the last delivery has ended. When this returns, all of this is stored.
        """
        return commit_deletion(self._site(origin), identifier)

    @waiting
    def join_relay(self, url: str, /, *, kind: RelayKind, origin: str | None = None) -> Op[str]:
        """Subscribe to a relay, and return the id of the Follow that the instance actor sends.

        ``url`` is the inbox of a relay of the ``mastodon`` kind, and the actor of one of the ``litepub`` kind.

        Raises:
            ValueError: ``url`` is no address, or ``kind`` is unknown.
            ContractError: The origin has a hundred relays already.
        """
        return commit_notes(self._site(origin), lambda scope: relays.note_join(scope, url, kind))

    @waiting
    def leave_relay(self, url: str, /, *, origin: str | None = None) -> Op[str | None]:
        """End the subscription to a relay. Return the id of the Undo, or None if there is no subscription."""
        return commit_notes(self._site(origin), lambda scope: relays.note_leave(scope, url))

    @waiting
    def relays(self, *, origin: str | None = None) -> Op[dict[str, str]]:
        """Return the state of each subscription to a relay: ``pending``, ``accepted``, ``rejected`` or ``none``."""
        return relays.relay_states(self._site(origin))

    @waiting
    def read_thread(
        self,
        post: str | Reference,
        /,
        *,
        bounds: ThreadBounds = ThreadBounds(),  # noqa: B008 - immutable
    ) -> Op[Thread]:
        """Read the posts above and below a post, each from its own origin, and cache them.

        Raises:
            ApcoreError: The post itself cannot be loaded. Others that cannot be loaded are left out.
        """
        scope = self._scope
        identity = yield from scope.load_identity()
        return (yield from read_thread(post, policy=scope.fetching, identity=identity, bounds=bounds))

    @waiting
    def subscribe(
        self,
        address: str,
        /,
        *,
        types: Iterable[type[View] | str] = (),
        by: str | None = None,
        since: datetime | None = None,
        history: int = 1,
        origin: str | None = None,
    ) -> Op[bool]:
        """Poll a collection of another server from now on, and return whether that is new.

        ``address`` is that of a collection, or of an actor, which stands for its outbox. A worker hands new activities
        to the listeners that get received ones, and each activity once, however it arrives first. Objects in a
        collection are handed over as their Create, and later versions as an Update.

        Args:
            address: The collection or actor.
            types: The wanted types of activities or objects; all by default.
            by: The identifier of our actor that signs the requests; the instance actor by default.
            since: The first poll hands over nothing that is older.
            history: The most pages of the first poll, from 1 to 1,000.
            origin: The origin of ours; needed if there are several.

        Raises:
            RequestError, ValueError: ``address`` is no http or https address, or is one of ours; or another argument is
                out of its range.
        """
        terms = SubscriptionTerms.of(address, types=types, by=by, since=since, history=history)
        if self._is_at_home(terms.address):
            raise ValueError(f"{terms.address} is one of ours, so it is not polled")
        return subscribe(self._site(origin), terms)

    @waiting
    def unsubscribe(self, address: str, /, *, origin: str | None = None) -> Op[bool]:
        """Stop polling a collection or actor, and return whether it was polled."""
        return unsubscribe(self._site(origin), address)

    @waiting
    def subscription(self, address: str, /, *, origin: str | None = None) -> Op[Subscription | None]:
        """Return the subscription to a collection or actor, with its state; None if there is none."""
        return read_subscription(self._site(origin), address)

    @waiting
    def subscriptions(
        self, *, cursor: str | None = None, limit: int = PAGE_MAX, origin: str | None = None
    ) -> Op[PageItems]:
        """Return a page of our subscriptions, each a `Subscription`, in no particular order.

        ``cursor`` is the ``next`` of the page before. A page has 1 to 100 subscriptions.
        """
        return subscriptions_page(self._site(origin), cursor=cursor, limit=limit)

    @waiting
    def append(self, collection: str, item: str, /, *, order: str | None = None) -> Op[None]:
        """Add an item (an id) to a managed collection. An item that is already there is not an error.

        A collection is listed by descending ``order``: by default the time of the addition, else 1 to 64 printable
        ASCII characters of yours.
        """
        _ = yield from act(self._site_of(collection), AddMember(collection, item, order=order))

    @waiting
    def remove(self, collection: str, item: str, /) -> Op[None]:
        """Remove an item from a managed collection. A missing item is not an error."""
        _ = yield from act(self._site_of(collection), RemoveMember(collection, item))

    @waiting_without_data
    def contains(self, collection: str, item: str, /) -> Op[bool]:
        """Return whether an item is in a managed collection."""
        [is_member] = yield from contains(collection, (item,))
        return is_member

    @waiting_without_data
    def count(self, collection: str, /) -> Op[int]:
        """Return the number of items in a managed collection."""
        return count(collection)

    @waiting_without_data
    def members(self, collection: str, /, *, cursor: str | None = None, limit: int = PAGE_MAX) -> Op[PageItems]:
        """Return a page of the ids in a managed collection, newest first.

        ``cursor`` is the ``next`` of the page before. A page has 1 to 100 ids.
        """
        return member_ids(collection, cursor=cursor, limit=limit)

    @waiting_without_data
    def block_domain(
        self, domain: str, /, *, severity: Severity = Severity.SUSPEND, reason: str | None = None
    ) -> Op[None]:
        """Store a rule for ``domain`` and its subdomains, in place of an earlier one.

        It is in force in all processes on this store at once: rules are read for each request. ``"*"`` stands for all
        domains without another rule. Relations stay: when you remove the rule, the domain is served again.

        Raises:
            ValueError: ``domain`` is no domain, or ``reason``, a note for people, is not 1 to 500 characters.
        """
        _ = yield from put_rule(domain, severity, reason)

    @waiting_without_data
    def unblock_domain(self, domain: str, /) -> Op[bool]:
        """Remove the stored rule for ``domain``, and return whether there was one.

        A rule in the code stays. To lift one, store a rule with `Severity.ALLOW`.
        """
        return remove_rule(domain)

    @waiting_without_data
    def domain_rules(self, *, cursor: str | None = None, limit: int = PAGE_MAX) -> Op[PageItems]:
        """Return a page of the stored rules (`DomainRule`), by domain.

        ``cursor`` is the ``next`` of the page before. A page has 1 to 100 rules.
        """
        return rules_page(cursor=cursor, limit=limit)

    @waiting_without_data
    def due_for_refresh(self, limit: int = PAGE_MAX, /) -> Op[tuple[DocumentState, ...]]:
        """Return up to ``limit`` (1 to 100) documents of other servers that are not fresh any more, stalest first."""
        return due_for_refresh(limit)

    @waiting
    def refresh_due(self, limit: int = PAGE_MAX, /, *, origin: str | None = None) -> Op[int]:
        """Have workers refresh up to ``limit`` (1 to 100) documents that are not fresh any more; return their number.

        Call it from time to time if your application shows documents that are not pushed. It asks each origin by a
        conditional request, and not before the retry time of a failure.
        """
        return refresh_due(self._site(origin).origin, limit=limit)

    @waiting_without_data
    def forget_documents(
        self,
        *,
        id: str | None = None,  # noqa: A002 - the field's word
        actor: str | None = None,
        server: str | None = None,
    ) -> Op[int]:
        """Delete the copies of one document, of all documents of an actor, or of all of a server's, for all viewers.

        Return the number of copies. Name exactly one of the three; ``server`` is an origin such as
        ``https://remote.example``. With ``id``, its failures and its tombstone are forgotten too, so that the document
        is asked for again.

        Raises:
            ValueError: Not exactly one of the three is given.
            RequestError: The value is no http or https URL.
        """
        return forget_copies(**forgotten_by(id, actor, server))

    @waiting_without_data
    def prune_documents(
        self, *, documents_max: int | None = None, bytes_max: int | None = None, age_s_max: float | None = None
    ) -> Op[int]:
        """Delete copies until the graph is within its bounds, and return the number of deleted copies.

        Copies older than ``age_s_max`` go first, then those that are stale the longest. Without an argument, the bounds
        are those of the node's `FetchPolicy`, to which the graph keeps by itself.
        """
        return self._pruning(documents_max, bytes_max, age_s_max)

    @waiting
    def send_now(
        self,
        activity: View,
        /,
        *,
        by: str,
        to: str | Sequence[str] | None = None,
        origin: str | None = None,
    ) -> Op[tuple[SendResult, ...]]:
        """Send an activity to actors of other servers at once, and return a result for each of them.

        Nothing is stored and nothing is retried, and the activity has no side effects here. Use `send` for all that
        must arrive. There are at most 100 recipients, and none is a collection.

        Raises:
            ValueError: The activity or a recipient is not valid, or a recipient is on this server.
        """
        return send_at_once(self._site(origin), SendActivity(activity.document, by, address_tuple(to)))

    @waiting_without_data
    def dead_letters(
        self, kind: DeadLetterKind | None = None, /, *, cursor: str | None = None, limit: int = PAGE_MAX
    ) -> Op[PageItems]:
        """Return a page of the dead letters (`DeadLetter`) of a kind, or of all kinds.

        The kinds are ``received``, ``planning`` and ``delivery``. ``cursor`` is the ``next`` of the page before. A page
        has 1 to 100 dead letters.
        """
        return dead_letters(kind, cursor=cursor, limit=limit)

    @waiting_without_data
    def dead_letter(self, ident: str, /) -> Op[DeadLetter | None]:
        """Return a dead letter with its document; None if there is none with this id.

        Raises:
            ValueError: ``ident`` is no id of a dead letter.
        """
        return dead_letter(ident)

    @waiting_without_data
    def retry_dead_letter(self, ident: str, /) -> Op[bool]:
        """Have the work of a dead letter tried again by a worker. Return whether there was such a dead letter.

        Attempts are counted anew. A received activity that is older than its retries may be gets one attempt.

        Raises:
            ValueError: ``ident`` is no id of a dead letter.
            ContractError: The activity is not stored any more. Activities that are sent are stored for 10 days.
        """
        return retry_dead_letter(ident)

    @waiting_without_data
    def drop_dead_letter(self, ident: str, /) -> Op[bool]:
        """Delete a dead letter, and return whether there was one.

        Raises:
            ValueError: ``ident`` is no id of a dead letter.
        """
        return drop_dead_letter(ident)


class NodeOperations(OperationVariant, NodeMethods):
    """The methods of a node as operations, with the application's data for one call."""

    __slots__ = ("_node", "_scope")

    def __init__(self, node: Bound[Any], data: Any) -> None:
        self._node = node
        self._scope = node.unit_of_work(data)

    @override
    def _site(self, origin: str | None) -> Site:
        return self._node.site(self._node.origins.pick(origin), self._scope.data)

    @override
    def _site_of(self, collection: str) -> Site:
        return self._site(self._node.own_origin_of(collection))

    @override
    def _is_at_home(self, address: str) -> bool:
        return self._node.own_origin_of(address) is not None

    @override
    def _pruning(self, documents_max: int | None, bytes_max: int | None, age_s_max: float | None) -> Op[int]:
        return self._node.pruning(documents_max, bytes_max, age_s_max)
