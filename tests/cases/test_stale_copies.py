"""Try copies of documents that public bug reports call stale, and references to suspended domains."""

from __future__ import annotations

from typing import Any

import pytest

from apcore import DomainRules, Federation
from apcore.federation import DomainSuspended
from apcore.remote import Gone
from apcore.vocab import Announce, Note
from local_server import BOB, CAROL, PUBLIC_URI, REMOTE, LocalServer

NOTE: dict[str, Any] = {
    "@context": "https://www.w3.org/ns/activitystreams",
    "id": f"{REMOTE}/notes/7",
    "type": "Note",
    "attributedTo": BOB,
    "content": "first text",
    "to": [PUBLIC_URI],
}


# toddsundsted/ktistec#112, bookwyrm-social/bookwyrm#3523
@pytest.mark.parametrize("embeds", [True, False])
def test_update_and_delete_by_the_owner_end_the_cached_copy(embeds: bool) -> None:
    server = LocalServer()
    bob = server.bob
    bob.serve(NOTE["id"], NOTE)
    assert server.node.reference(NOTE["id"]).resolve().view(Note).content == "first text"

    changed = NOTE | {"content": "second text"}
    bob.serve(NOTE["id"], changed)
    server.receive(bob, bob.activity("Update", object=changed if embeds else NOTE["id"]), to=None)
    assert server.node.reference(NOTE["id"]).resolve().view(Note).content == "second text"

    bob.serve(NOTE["id"], {"@context": NOTE["@context"], "id": NOTE["id"], "type": "Tombstone"}, status=410)
    server.receive(bob, bob.activity("Delete", object=NOTE["id"]), to=None)
    with pytest.raises(Gone):
        server.node.reference(NOTE["id"]).resolve()


# superseriousbusiness/gotosocial#1889, jointakahe/takahe#613
def test_boost_by_a_third_server_never_asks_the_suspended_one() -> None:
    refusals: list[type[Exception]] = []

    def register(federation: Federation[None]) -> None:
        @federation.on(Announce)
        def announced(ctx: Any, announce: Announce) -> None:
            try:
                ctx.resolve(announce.object)
            except Exception as error:
                refusals.append(type(error))

    server = LocalServer(rules=DomainRules.suspending(["remote.example"]), register=register)
    carol = server.network.peer(CAROL)
    server.bob.serve(NOTE["id"], NOTE)
    server.receive(carol, carol.activity("Announce", object=NOTE["id"]), to=None)
    with pytest.raises(DomainSuspended):
        server.node.reference(NOTE["id"]).resolve()
    assert refusals == [DomainSuspended]
    assert [exchange.url for exchange in server.network.exchanges if exchange.url.startswith(REMOTE)] == []
