"""Read a POST to an inbox, and check everything that needs no proof: the addressed actor, and the sender's domain.

The body and the signatures are parsed once. Then one read gets the entries that the rules for the delivery need. The
rules decide in a fixed order, each with its own entries: nothing that a rule guards happens before it has decided.
"""

from __future__ import annotations

from attrs import field, frozen

from apcore.effects import Now, Op
from apcore.errors import RemoteError
from apcore.federation.domain_checks import check_hosts, unchecked_hosts
from apcore.federation.inbox.addressee_rules import block_keys, local_actors_named
from apcore.federation.inbox.parse import IncomingActivity, read_incoming
from apcore.federation.inbox.recipients import check_recipient, recipient_key
from apcore.federation.moderation import Severity
from apcore.federation.request_signers import RequestSignatures, parse_signatures
from apcore.federation.site import Site
from apcore.federation.snapshot import Snapshot, read_snapshot
from apcore.federation.stored_rules import rule_keys
from apcore.http import Request
from apcore.ports import StoreKey
from apcore.remote import UnauthenticatedClient, lookup_key

__all__ = ["InboxRequest", "read_inbox_request"]


@frozen
class InboxRequest:
    """A request from a host that is not suspended, to an inbox that exists. Nothing in it is proved."""

    site: Site
    """With the entries that the next rules need, and with the hosts that the domain rules allow."""
    request: Request
    recipient: str | None
    """The identifier of the inbox's actor, None for the shared inbox."""
    incoming: IncomingActivity
    signatures: RequestSignatures
    actors_named: list[str] = field(repr=False)
    """The local actors that the activity names; see `local_actors_named`."""
    is_silenced: bool
    """Whether the host of the activity's actor is silenced."""


def read_inbox_request(site: Site, request: Request, recipient: str | None) -> Op[InboxRequest]:
    """Parse a request to an inbox, and apply the rules that need no proof.

    Effects: `Now` and one `Get`; those of `check_recipient`.

    Raises:
        ActorGone, ActorUnknown: The actor of the inbox is deleted, or does not exist.
        RemoteError: The body is no activity; see `read_incoming`.
        DomainSuspended: The host of the actor, or of a key that a signature names, is suspended.
    """
    now = yield from Now()
    try:
        incoming = read_incoming(site, request.body)
    except RemoteError:
        if recipient is not None:
            yield from check_recipient(site, recipient, Snapshot(now))
        raise
    signatures = parse_signatures(site, request, now)
    actors_named = local_actors_named(site, incoming)
    sender_hosts = (incoming.actor_host, *signatures.hosts)
    keys: list[StoreKey] = []
    for host in unchecked_hosts(site, sender_hosts):
        keys += rule_keys(host)
    keys += [lookup_key(signature.key_id) for signature in signatures.presented]
    if recipient is not None:
        keys.append(recipient_key(site, recipient))
    keys += block_keys(actors_named if recipient is None else [site.actor_uri(recipient)], incoming.actor)
    snapshot = yield from read_snapshot(now, keys)
    if recipient is not None:
        yield from check_recipient(site, recipient, snapshot)
    severities = yield from check_hosts(site, sender_hosts, snapshot)
    return InboxRequest(
        site.for_request(UnauthenticatedClient(request.client), snapshot, cleared_hosts=sender_hosts),
        request,
        recipient,
        incoming,
        signatures,
        actors_named,
        severities.get(incoming.actor_host) is Severity.SILENCE,
    )
