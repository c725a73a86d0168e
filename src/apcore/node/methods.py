"""Define the methods of nodes that change relations, managed collections and domain rules outside of handlers.

Each write is a commit of its own. When the method returns, it is stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from apcore.collections import PageItems, Thread, ThreadBounds, Traversal, TraversalBounds, contains, count
from apcore.effects import Op
from apcore.federation import relays
from apcore.federation.actors.actions import note_aliases, note_move
from apcore.federation.moderation import Severity
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
from apcore.federation.site import Site
from apcore.federation.stored_rules import put_rule, remove_rule, rules_page
from apcore.federation.subscriptions.manage import (
    Subscription,
    read_subscription,
    subscriptions_page,
    unsubscribe,
)
from apcore.federation.unit_setup import unit_of_work_for
from apcore.federation.write_notes import AddMember, RemoveMember
from apcore.http import parse_origin, parse_url
from apcore.node.binding import Bound, Data
from apcore.remote import DocumentState, due_for_refresh, forget_copies
from apcore.vocab import Reference, View

__all__ = ["AsyncNodeMethods", "NodeMethods"]

T = TypeVar("T")


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


class NodeMethods(Bound[Data], ABC):
    """The methods of `Node`."""

    @abstractmethod
    def run(self, op: Op[T], /) -> T:
        """Drive an operation to its end with this node's ports."""

    @abstractmethod
    def _run_for(self, origin: str | None, make_op: Callable[[Site], Op[T]], /) -> T:
        """Run an operation on the site of one origin of ours, with the application's data."""

    def follow(self, actor: str, /, *, by: str, origin: str | None = None) -> str:
        """Ask to follow ``actor`` as our actor ``by``, and return the id of the Follow."""
        return self._run_for(origin, lambda site: commit_follow(site, actor, by))

    def unfollow(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """Stop following ``actor``, or withdraw the request.

        Return the id of the Undo, or None if there is no request and no relation.
        """
        return self._run_for(origin, lambda site: commit_action(site, actions.unfollow, actor, by))

    def accept_follow(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """Accept the request of ``actor`` to follow ``by``.

        Return the id of the Accept, or None if ``actor`` follows already.

        Raises:
            ValueError: ``actor`` has not asked to follow.
            ContractError: ``by`` blocks ``actor``.
        """
        return self._run_for(origin, lambda site: commit_action(site, actions.accept_follow, actor, by))

    def reject_follow(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """Reject the request of ``actor`` to follow ``by``.

        Return the id of the Reject, or None if the request is rejected already.

        Raises:
            ValueError: ``actor`` has not asked to follow.
        """
        return self._run_for(origin, lambda site: commit_action(site, actions.reject_follow, actor, by))

    def remove_follower(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """Remove the follower ``actor`` of ``by``.

        Return the id of the Reject that tells its server, or None if ``actor`` does not follow.
        """
        return self._run_for(origin, lambda site: commit_action(site, actions.remove_follower, actor, by))

    def block(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """Block ``actor`` as our actor ``by``, which ends their relations in both directions.

        Return the id of the Block, or None if ``actor`` is blocked already. The Block is delivered to the actor, as
        Mastodon does, so that its server ends its side too.
        """
        return self._run_for(origin, lambda site: commit_action(site, actions.block, actor, by))

    def unblock(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """Undo the Block of ``actor``. Return the id of the Undo, or None if ``actor`` is not blocked."""
        return self._run_for(origin, lambda site: commit_action(site, actions.unblock, actor, by))

    def pending_follows(
        self, identifier: str, /, *, cursor: str | None = None, limit: int = PAGE_MAX, origin: str | None = None
    ) -> PageItems:
        """Return a page of the `FollowRequest`s that wait for our actor ``identifier``, newest first.

        ``cursor`` is the ``next`` of the page before. A page has 1 to 100 requests.
        """
        return self._run_for(
            origin,
            lambda site: actions.pending_follows(unit_of_work_for(site), identifier, cursor=cursor, limit=limit),
        )

    def set_aliases(self, identifier: str, aliases: Sequence[str], /, *, origin: str | None = None) -> str:
        """Set the other accounts of our actor ``identifier``, and tell its followers by an Update.

        Return the id of the Update. The ids are served as `alsoKnownAs`, beside those of your handler. An account that
        moves here must be among them before its Move.

        Raises:
            ValueError: An alias is not the address of another actor, or there are more than 20.
        """
        return self._run_for(
            origin, lambda site: commit_change(site, identifier, lambda scope: note_aliases(scope, identifier, aliases))
        )

    def move_actor(self, identifier: str, target: str | None, /, *, origin: str | None = None) -> str:
        """Move our actor ``identifier`` to the account ``target``, and tell its followers.

        Return the id of the Move. ``target`` is then served as `movedTo`. With None, take a Move back: the followers
        get an Update without `movedTo`, whose id is returned.

        Raises:
            ValueError: ``target`` is not the address of another actor.
            ContractError: ``target`` does not name the actor in `alsoKnownAs`, or has moved itself.
            Unavailable: ``target`` cannot be loaded now.
        """
        return self._run_for(
            origin, lambda site: commit_change(site, identifier, lambda scope: note_move(scope, identifier, target))
        )

    def delete_actor(self, identifier: str, /, *, origin: str | None = None) -> str | None:
        """Delete our actor ``identifier`` for ever.

        Return the id of the Delete, or None if the actor is deleted already. It is served as a `Tombstone` from then
        on, and can send nothing more. Its followers, and the actors that it follows, get the Delete. Its keys are
        retired when the last delivery has ended. When this returns, all of this is stored.
        """
        return self._run_for(origin, lambda site: commit_deletion(site, identifier))

    def join_relay(self, url: str, /, *, kind: RelayKind, origin: str | None = None) -> str:
        """Subscribe to a relay, and return the id of the Follow that the instance actor sends.

        ``url`` is the inbox of a relay of the ``mastodon`` kind, and the actor of one of the ``litepub`` kind.

        Raises:
            ValueError: ``url`` is no address, or ``kind`` is unknown.
            ContractError: The origin has a hundred relays already.
        """
        return self._run_for(origin, lambda site: commit_notes(site, lambda scope: relays.note_join(scope, url, kind)))

    def leave_relay(self, url: str, /, *, origin: str | None = None) -> str | None:
        """End the subscription to a relay. Return the id of the Undo, or None if there is no subscription."""
        return self._run_for(origin, lambda site: commit_notes(site, lambda scope: relays.note_leave(scope, url)))

    def relays(self, *, origin: str | None = None) -> dict[str, str]:
        """Return the state of each subscription to a relay: ``pending``, ``accepted``, ``rejected`` or ``none``."""
        return self._run_for(origin, relays.relay_states)

    def traverse(
        self,
        collection: str | Reference,
        /,
        *,
        bounds: TraversalBounds = TraversalBounds(),  # noqa: B008 - immutable
        since: datetime | str | Iterable[str] | None = None,
    ) -> Traversal:
        """Read a collection of another server page by page, newest items first in most cases.

        The requests are signed by the instance actor, if the node has an origin. With ``since``, only newer items are
        read: those before a known id, or those published at or after a date.

        Raises:
            ApcoreError: The collection cannot be loaded, or the address is that of something else. A page that cannot
                be loaded raises nothing: see `Traversal.ended`.
        """
        return self.run(self._traversing(collection, bounds, since))

    def read_thread(
        self,
        post: str | Reference,
        /,
        *,
        bounds: ThreadBounds = ThreadBounds(),  # noqa: B008 - immutable
    ) -> Thread:
        """Read the posts above and below a post, each from its own origin, and cache them.

        Raises:
            ApcoreError: The post itself cannot be loaded. Others that cannot be loaded are left out.
        """
        return self.run(self._reading_thread(post, bounds))

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
    ) -> bool:
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
        return self._run_for(
            origin,
            lambda site: self._subscribing(site, address, types=types, by=by, since=since, history=history),
        )

    def unsubscribe(self, address: str, /, *, origin: str | None = None) -> bool:
        """Stop polling a collection or actor, and return whether it was polled."""
        return self._run_for(origin, lambda site: unsubscribe(site, address))

    def subscription(self, address: str, /, *, origin: str | None = None) -> Subscription | None:
        """Return the subscription to a collection or actor, with its state; None if there is none."""
        return self._run_for(origin, lambda site: read_subscription(site, address))

    def subscriptions(
        self, *, cursor: str | None = None, limit: int = PAGE_MAX, origin: str | None = None
    ) -> PageItems:
        """Return a page of our `Subscription`s, in no particular order.

        ``cursor`` is the ``next`` of the page before. A page has 1 to 100 subscriptions.
        """
        return self._run_for(origin, lambda site: subscriptions_page(site, cursor=cursor, limit=limit))

    def append(self, collection: str, item: str, /, *, order: str | None = None) -> None:
        """Add an item (an id) to a managed collection. An item that is already there is not an error.

        A collection is listed by descending ``order``: by default the time of the addition, else 1 to 64 printable
        ASCII characters of yours.
        """
        _ = self._run_for(
            self._own_origin_of(collection), lambda site: act(site, AddMember(collection, item, order=order))
        )

    def remove(self, collection: str, item: str, /) -> None:
        """Remove an item from a managed collection. A missing item is not an error."""
        _ = self._run_for(self._own_origin_of(collection), lambda site: act(site, RemoveMember(collection, item)))

    def contains(self, collection: str, item: str, /) -> bool:
        """Return whether an item is in a managed collection."""
        return (self.run(contains(collection, (item,))))[0]

    def count(self, collection: str, /) -> int:
        """Return the number of items in a managed collection."""
        return self.run(count(collection))

    def members(self, collection: str, /, *, cursor: str | None = None, limit: int = PAGE_MAX) -> PageItems:
        """Return a page of the ids in a managed collection, newest first.

        ``cursor`` is the ``next`` of the page before. A page has 1 to 100 ids.
        """
        return self.run(member_ids(collection, cursor=cursor, limit=limit))

    def block_domain(self, domain: str, /, *, severity: Severity = Severity.SUSPEND, reason: str | None = None) -> None:
        """Store a rule for ``domain`` and its subdomains, in place of an earlier one.

        It is in force in all processes on this store at once: rules are read for each request. ``"*"`` stands for all
        domains without another rule. Relations stay: when you remove the rule, the domain is served again.

        Raises:
            ValueError: ``domain`` is no domain, or ``reason``, a note for people, is not 1 to 500 characters.
        """
        _ = self.run(put_rule(domain, severity, reason))

    def unblock_domain(self, domain: str, /) -> bool:
        """Remove the stored rule for ``domain``, and return whether there was one.

        A rule in the code stays. To lift one, store a rule with `Severity.ALLOW`.
        """
        return self.run(remove_rule(domain))

    def domain_rules(self, *, cursor: str | None = None, limit: int = PAGE_MAX) -> PageItems:
        """Return a page of the stored rules (`DomainRule`), by domain.

        ``cursor`` is the ``next`` of the page before. A page has 1 to 100 rules.
        """
        return self.run(rules_page(cursor=cursor, limit=limit))

    def due_for_refresh(self, limit: int = PAGE_MAX, /) -> tuple[DocumentState, ...]:
        """Return up to ``limit`` (1 to 100) documents of other servers that are not fresh any more, stalest first."""
        return self.run(due_for_refresh(limit))

    def refresh_due(self, limit: int = PAGE_MAX, /, *, origin: str | None = None) -> int:
        """Have workers refresh up to ``limit`` (1 to 100) documents that are not fresh any more; return their number.

        Call it from time to time if your application shows documents that are not pushed. It asks each origin by a
        conditional request, and not before the retry time of a failure.
        """
        return self._run_for(origin, lambda site: refresh_due(site.origin, limit=limit))

    def forget_documents(
        self,
        *,
        id: str | None = None,  # noqa: A002 - the field's word
        actor: str | None = None,
        server: str | None = None,
    ) -> int:
        """Delete the copies of one document, of all documents of an actor, or of all of a server's, for all viewers.

        Return the number of copies. Name exactly one of the three; ``server`` is an origin such as
        ``https://remote.example``. With ``id``, its failures and its tombstone are forgotten too, so that the document
        is asked for again.

        Raises:
            ValueError: Not exactly one of the three is given.
            RequestError: The value is no http or https URL.
        """
        return self.run(forget_copies(**forgotten_by(id, actor, server)))

    def prune_documents(
        self, *, documents_max: int | None = None, bytes_max: int | None = None, age_s_max: float | None = None
    ) -> int:
        """Delete copies until the graph is within its bounds, and return the number of deleted copies.

        Copies older than ``age_s_max`` go first, then those that are stale the longest. Without an argument, the bounds
        are those of the node's `FetchPolicy`, to which the graph keeps by itself.
        """
        return self.run(self._pruning(documents_max, bytes_max, age_s_max))


class AsyncNodeMethods(Bound[Data], ABC):
    """The methods of `AsyncNode`."""

    @abstractmethod
    async def run(self, op: Op[T], /) -> T:
        """Drive an operation to its end with this node's ports."""

    @abstractmethod
    async def _run_for(self, origin: str | None, make_op: Callable[[Site], Op[T]], /) -> T:
        """Run an operation on the site of one origin of ours, with the application's data."""

    async def follow(self, actor: str, /, *, by: str, origin: str | None = None) -> str:
        """See `Node.follow`."""
        return await self._run_for(origin, lambda site: commit_follow(site, actor, by))

    async def unfollow(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """See `Node.unfollow`."""
        return await self._run_for(origin, lambda site: commit_action(site, actions.unfollow, actor, by))

    async def accept_follow(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """See `Node.accept_follow`."""
        return await self._run_for(origin, lambda site: commit_action(site, actions.accept_follow, actor, by))

    async def reject_follow(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """See `Node.reject_follow`."""
        return await self._run_for(origin, lambda site: commit_action(site, actions.reject_follow, actor, by))

    async def remove_follower(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """See `Node.remove_follower`."""
        return await self._run_for(origin, lambda site: commit_action(site, actions.remove_follower, actor, by))

    async def block(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """See `Node.block`."""
        return await self._run_for(origin, lambda site: commit_action(site, actions.block, actor, by))

    async def unblock(self, actor: str, /, *, by: str, origin: str | None = None) -> str | None:
        """See `Node.unblock`."""
        return await self._run_for(origin, lambda site: commit_action(site, actions.unblock, actor, by))

    async def pending_follows(
        self, identifier: str, /, *, cursor: str | None = None, limit: int = PAGE_MAX, origin: str | None = None
    ) -> PageItems:
        """See `Node.pending_follows`."""
        return await self._run_for(
            origin,
            lambda site: actions.pending_follows(unit_of_work_for(site), identifier, cursor=cursor, limit=limit),
        )

    async def set_aliases(self, identifier: str, aliases: Sequence[str], /, *, origin: str | None = None) -> str:
        """See `Node.set_aliases`."""
        return await self._run_for(
            origin, lambda site: commit_change(site, identifier, lambda scope: note_aliases(scope, identifier, aliases))
        )

    async def move_actor(self, identifier: str, target: str | None, /, *, origin: str | None = None) -> str:
        """See `Node.move_actor`."""
        return await self._run_for(
            origin, lambda site: commit_change(site, identifier, lambda scope: note_move(scope, identifier, target))
        )

    async def delete_actor(self, identifier: str, /, *, origin: str | None = None) -> str | None:
        """See `Node.delete_actor`."""
        return await self._run_for(origin, lambda site: commit_deletion(site, identifier))

    async def join_relay(self, url: str, /, *, kind: RelayKind, origin: str | None = None) -> str:
        """See `Node.join_relay`."""
        return await self._run_for(
            origin, lambda site: commit_notes(site, lambda scope: relays.note_join(scope, url, kind))
        )

    async def leave_relay(self, url: str, /, *, origin: str | None = None) -> str | None:
        """See `Node.leave_relay`."""
        return await self._run_for(origin, lambda site: commit_notes(site, lambda scope: relays.note_leave(scope, url)))

    async def relays(self, *, origin: str | None = None) -> dict[str, str]:
        """See `Node.relays`."""
        return await self._run_for(origin, relays.relay_states)

    async def traverse(
        self,
        collection: str | Reference,
        /,
        *,
        bounds: TraversalBounds = TraversalBounds(),  # noqa: B008 - immutable
        since: datetime | str | Iterable[str] | None = None,
    ) -> Traversal:
        """See `Node.traverse`."""
        return await self.run(self._traversing(collection, bounds, since))

    async def read_thread(
        self,
        post: str | Reference,
        /,
        *,
        bounds: ThreadBounds = ThreadBounds(),  # noqa: B008 - immutable
    ) -> Thread:
        """See `Node.read_thread`."""
        return await self.run(self._reading_thread(post, bounds))

    async def subscribe(
        self,
        address: str,
        /,
        *,
        types: Iterable[type[View] | str] = (),
        by: str | None = None,
        since: datetime | None = None,
        history: int = 1,
        origin: str | None = None,
    ) -> bool:
        """See `Node.subscribe`."""
        return await self._run_for(
            origin,
            lambda site: self._subscribing(site, address, types=types, by=by, since=since, history=history),
        )

    async def unsubscribe(self, address: str, /, *, origin: str | None = None) -> bool:
        """See `Node.unsubscribe`."""
        return await self._run_for(origin, lambda site: unsubscribe(site, address))

    async def subscription(self, address: str, /, *, origin: str | None = None) -> Subscription | None:
        """See `Node.subscription`."""
        return await self._run_for(origin, lambda site: read_subscription(site, address))

    async def subscriptions(
        self, *, cursor: str | None = None, limit: int = PAGE_MAX, origin: str | None = None
    ) -> PageItems:
        """See `Node.subscriptions`."""
        return await self._run_for(origin, lambda site: subscriptions_page(site, cursor=cursor, limit=limit))

    async def append(self, collection: str, item: str, /, *, order: str | None = None) -> None:
        """See `Node.append`."""
        _ = await self._run_for(
            self._own_origin_of(collection), lambda site: act(site, AddMember(collection, item, order=order))
        )

    async def remove(self, collection: str, item: str, /) -> None:
        """See `Node.remove`."""
        _ = await self._run_for(self._own_origin_of(collection), lambda site: act(site, RemoveMember(collection, item)))

    async def contains(self, collection: str, item: str, /) -> bool:
        """See `Node.contains`."""
        return (await self.run(contains(collection, (item,))))[0]

    async def count(self, collection: str, /) -> int:
        """See `Node.count`."""
        return await self.run(count(collection))

    async def members(self, collection: str, /, *, cursor: str | None = None, limit: int = PAGE_MAX) -> PageItems:
        """See `Node.members`."""
        return await self.run(member_ids(collection, cursor=cursor, limit=limit))

    async def block_domain(
        self, domain: str, /, *, severity: Severity = Severity.SUSPEND, reason: str | None = None
    ) -> None:
        """See `Node.block_domain`."""
        _ = await self.run(put_rule(domain, severity, reason))

    async def unblock_domain(self, domain: str, /) -> bool:
        """See `Node.unblock_domain`."""
        return await self.run(remove_rule(domain))

    async def domain_rules(self, *, cursor: str | None = None, limit: int = PAGE_MAX) -> PageItems:
        """See `Node.domain_rules`."""
        return await self.run(rules_page(cursor=cursor, limit=limit))

    async def due_for_refresh(self, limit: int = PAGE_MAX, /) -> tuple[DocumentState, ...]:
        """See `Node.due_for_refresh`."""
        return await self.run(due_for_refresh(limit))

    async def refresh_due(self, limit: int = PAGE_MAX, /, *, origin: str | None = None) -> int:
        """See `Node.refresh_due`."""
        return await self._run_for(origin, lambda site: refresh_due(site.origin, limit=limit))

    async def forget_documents(
        self,
        *,
        id: str | None = None,  # noqa: A002 - the field's word
        actor: str | None = None,
        server: str | None = None,
    ) -> int:
        """See `Node.forget_documents`."""
        return await self.run(forget_copies(**forgotten_by(id, actor, server)))

    async def prune_documents(
        self, *, documents_max: int | None = None, bytes_max: int | None = None, age_s_max: float | None = None
    ) -> int:
        """See `Node.prune_documents`."""
        return await self.run(self._pruning(documents_max, bytes_max, age_s_max))
