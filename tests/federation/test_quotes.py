"""Check quotes with approval (FEP-044f): requests are answered, stamps are served, and stamps of others are checked."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from apcore.errors import ContractError
from apcore.vocab import (
    PUBLIC,
    Accept,
    Approved,
    Delete,
    InteractionPolicy,
    InteractionRule,
    Note,
    QuoteRequest,
)
from effects_fixture import ALICE, AS2, Servers
from inbox_fixture import BOB, CAROL

FEP = "https://w3id.org/fep/044f#"
GTS = "https://gotosocial.org/ns#"
CONTEXT = [
    AS2,
    {
        "QuoteRequest": f"{FEP}QuoteRequest",
        "QuoteAuthorization": f"{FEP}QuoteAuthorization",
        "interactingObject": {"@id": f"{GTS}interactingObject", "@type": "@id"},
        "interactionTarget": {"@id": f"{GTS}interactionTarget", "@type": "@id"},
    },
]
QUOTE = f"{BOB}/notes/quote"
POST = f"{BOB}/notes/1"
STAMP = f"{BOB}/stamps/1"


class Quotes(Servers):
    """A server with a post of alice, and a policy about quotes of it."""

    def __init__(self, rule: InteractionRule | None = None) -> None:
        super().__init__()
        note = Note(content="quote me")
        policy = None if rule is None else InteractionPolicy(can_quote=rule)
        post = note if policy is None else Approved.over(note.document).evolve(interaction_policy=policy)
        self.post_id = self.node.publish(post, by="alice")

    def ask(self, sender: Any = None, **members: Any) -> list[dict[str, Any]]:
        """Deliver a request of bob, and return the activities that he gets."""
        peer = sender or self.bob
        count = len(peer.received)
        request = {"@context": CONTEXT, "object": self.post_id, "instrument": QUOTE, **members}
        assert self.receive(peer, peer.activity("QuoteRequest", **request)) == 202
        return [delivered.activity for delivered in peer.received[count:]]

    def published_quote(self) -> str:
        return self.publish(quote=POST)

    def accept(self, quote: str, *, sender: Any = None, stamp: str = STAMP, **members: Any) -> None:
        peer = sender or self.bob
        document = {
            "@context": CONTEXT,
            "id": STAMP,
            "type": "QuoteAuthorization",
            "attributedTo": BOB,
            "interactingObject": quote,
            "interactionTarget": POST,
            **members,
        }
        self.bob.serve(STAMP, document)
        request = {"type": "QuoteRequest", "actor": ALICE, "object": POST, "instrument": quote}
        accept = peer.activity("Accept", **{"@context": CONTEXT, "object": request, "result": stamp})
        assert self.receive(peer, accept) == 202


# --- requests to quote our posts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [InteractionRule(automatic_approval=[PUBLIC]), InteractionRule(always=[PUBLIC]), InteractionRule(always=[BOB])],
)
def test_request_that_the_policy_allows_is_accepted_with_a_stamp(rule):
    quotes = Quotes(rule)
    [accept] = quotes.ask()
    assert (accept["type"], accept["actor"], accept["object"]["instrument"]) == ("Accept", ALICE, QUOTE)
    stamp = quotes.get(accept["result"])
    assert stamp["type"] == "QuoteAuthorization"
    assert (stamp["attributedTo"], stamp["interactingObject"], stamp["interactionTarget"]) == (
        ALICE,
        QUOTE,
        quotes.post_id,
    )


def test_repeated_request_gets_the_same_stamp():
    quotes = Quotes(InteractionRule(automatic_approval=[PUBLIC]))
    [first], [second] = quotes.ask(), quotes.ask()
    assert first["result"] == second["result"]
    assert quotes.node.members(f"{quotes.post_id}#stamps").items == (first["result"],)


def test_request_that_the_policy_does_not_allow_is_rejected():
    quotes = Quotes(InteractionRule(automatic_approval=[CAROL]))
    [reject] = quotes.ask()
    assert (reject["type"], reject["object"]["object"]) == ("Reject", quotes.post_id)


def test_followers_may_quote_if_the_policy_names_them():
    quotes = Quotes(InteractionRule(automatic_approval=[f"{ALICE}/followers"]))
    assert [answer["type"] for answer in quotes.ask()] == ["Reject"]
    assert quotes.receive(quotes.bob, quotes.bob.activity("Follow", object=ALICE)) == 202
    assert [answer["type"] for answer in quotes.ask(instrument=f"{QUOTE}2")] == ["Accept"]


@pytest.mark.parametrize("rule", [None, InteractionRule(manual_approval=[PUBLIC])])
def test_author_decides_without_a_policy_or_by_hand(rule):
    quotes = Quotes(rule)
    assert quotes.ask() == []
    request = QuoteRequest(id=f"{BOB}#1", actor=BOB, object=quotes.post_id, instrument=QUOTE)
    _ = quotes.send(Accept(object=request), to=BOB)
    quotes.work()
    accept = quotes.bob.received[-1].activity
    assert quotes.get(accept["result"])["interactingObject"] == QUOTE


def test_accept_of_a_quote_of_another_actors_post_is_refused():
    quotes = Quotes()
    for object_id in (quotes.post_id, f"{ALICE}/objects/nothing"):
        request = QuoteRequest(actor=BOB, object=object_id, instrument=QUOTE)
        with pytest.raises(ContractError, match="no published object of its own"):
            _ = quotes.send(Accept(object=request), by="dora", to=BOB)
    with pytest.raises(ContractError, match="set instrument and actor"):
        _ = quotes.send(Accept(object=QuoteRequest(object=quotes.post_id)), to=BOB)


@pytest.mark.parametrize(
    "members",
    [
        {"instrument": f"{CAROL}/notes/1"},
        {"instrument": {"id": QUOTE, "type": "Note", "attributedTo": "https://remote.example/users/eve"}},
        {"instrument": None},
        {"object": f"{ALICE}/objects/nothing"},
    ],
)
def test_request_for_the_quote_of_another_actor_or_of_nothing_is_not_answered(members, caplog):
    caplog.set_level(logging.INFO, logger="apcore.inbox")
    quotes = Quotes(InteractionRule(automatic_approval=[PUBLIC]))
    assert quotes.ask(**members) == []
    assert [line for line in caplog.messages if line.startswith("no effect of QuoteRequest")]


def test_withdrawn_stamp_is_gone():
    quotes = Quotes(InteractionRule(automatic_approval=[PUBLIC]))
    [accept] = quotes.ask()
    _ = quotes.send(Delete(object=accept["result"]), to=BOB)
    assert quotes.status(accept["result"]) == 410


# --- answers to our requests ----------------------------------------------------------------------------------------


def test_stamp_of_the_author_is_stored_with_our_quote_and_sent():
    quotes = Quotes()
    quote = quotes.published_quote()
    assert quotes.receive(quotes.bob, quotes.bob.activity("Follow", object=ALICE)) == 202
    quotes.accept(quote)
    assert quotes.get(quote)["quoteAuthorization"] == STAMP
    update = quotes.bob.received[-1].activity
    assert (update["type"], update["object"]["quoteAuthorization"]) == ("Update", STAMP)


@pytest.mark.parametrize(
    "members",
    [
        {"attributedTo": "https://remote.example/users/eve"},
        {"interactingObject": f"{ALICE}/objects/other"},
        {"interactionTarget": f"{BOB}/notes/2"},
        {"type": "Note"},
        {"stamp": f"{CAROL}/stamps/1"},
        {"stamp": f"{BOB}/stamps/nothing"},
    ],
)
def test_stamp_that_is_not_the_authors_or_for_other_posts_changes_nothing(members):
    quotes = Quotes()
    quote = quotes.published_quote()
    quotes.accept(quote, **members)
    assert "quoteAuthorization" not in quotes.get(quote)


def test_accept_of_another_actor_changes_nothing():
    quotes = Quotes()
    quote = quotes.published_quote()
    quotes.accept(quote, sender=quotes.carol)
    assert "quoteAuthorization" not in quotes.get(quote)


def test_note_that_does_not_quote_the_post_gets_no_stamp():
    quotes = Quotes()
    note = quotes.publish()
    quotes.accept(note)
    assert "quoteAuthorization" not in quotes.get(note)


def test_quote_loses_the_stamp_that_its_author_withdraws():
    quotes = Quotes()
    quote = quotes.published_quote()
    quotes.accept(quote)
    assert quotes.receive(quotes.carol, quotes.carol.activity("Delete", object=STAMP)) == 403
    assert quotes.get(quote)["quoteAuthorization"] == STAMP
    assert quotes.receive(quotes.bob, quotes.bob.activity("Delete", object=STAMP)) == 202
    assert "quoteAuthorization" not in quotes.get(quote)
