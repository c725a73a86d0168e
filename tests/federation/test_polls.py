"""Check polls: a vote counts once a voter, and the counts are in all documents that are served or sent."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from apcore.effects import commit_batch
from apcore.federation.interactions.polls import OPTIONS_MAX
from apcore.federation.interactions.records import POLL_VOTES, PollVoteKey, PollVoteRecord
from apcore.ports import Batch
from apcore.vocab import Note, Question, Update
from effects_fixture import ALICE, Servers
from inbox_fixture import BOB, NOON


class Poll(Servers):
    """A server with a poll of alice."""

    def __init__(self, *, several: bool = False, **members: Any) -> None:
        super().__init__()
        options = [Note(name="red"), Note(name="blue")]
        choices = {"any_of": options} if several else {"one_of": options}
        self.question = Question(content="?", voters_count=0, **choices, **members)
        self.poll = self.node.publish(self.question, by="alice")
        self.votes = 0

    def vote(self, voter: Any, option: str, **members: Any) -> None:
        self.votes += 1
        note = {"id": f"{voter.actor}/votes/{self.votes}", "type": "Note", "attributedTo": voter.actor, "name": option}
        create = voter.activity("Create", object={**note, "inReplyTo": self.poll, "to": [ALICE], **members})
        assert self.receive(voter, create) == 202

    def counts(self, document: dict[str, Any] | None = None) -> tuple[int, int, int]:
        """Return the votes for red, those for blue, and the number of voters."""
        poll = self.get(self.poll) if document is None else document
        red, blue = (option["replies"]["totalItems"] for option in poll.get("oneOf") or poll["anyOf"])
        return red, blue, poll["votersCount"]


def test_votes_are_counted_in_every_document_that_is_served():
    poll = Poll()
    assert poll.counts() == (0, 0, 0)
    poll.vote(poll.bob, "red")
    poll.vote(poll.carol, "blue")
    assert poll.counts() == (1, 1, 2)
    [create] = poll.get(f"{ALICE}/outbox/page/first")["orderedItems"]
    assert poll.counts(create["object"]) == (1, 1, 2)
    assert poll.counts(poll.get(create["id"])["object"]) == (1, 1, 2)
    own_document = Question.over(poll.node.reference(poll.poll).resolve())
    assert own_document.voters_count == 2


def test_voter_counts_once_in_a_poll_with_one_choice(caplog):
    caplog.set_level(logging.INFO, logger="apcore.inbox")
    poll = Poll()
    for option in ("red", "blue", "red"):
        poll.vote(poll.bob, option)
    assert poll.counts() == (1, 0, 1)
    assert sum(line.endswith(": already-voted") for line in caplog.messages) == 2


def test_voter_counts_once_for_each_option_of_several():
    poll = Poll(several=True)
    for option in ("red", "blue", "red"):
        poll.vote(poll.bob, option)
    assert poll.counts() == (1, 1, 1)


@pytest.mark.parametrize("members", [{"end_time": NOON + timedelta(hours=1)}, {"closed": NOON + timedelta(hours=1)}])
def test_vote_after_the_end_does_not_count(members, caplog):
    caplog.set_level(logging.INFO, logger="apcore.inbox")
    poll = Poll(**members)
    poll.vote(poll.bob, "red")
    poll.clock.pass_s(3600)
    poll.vote(poll.carol, "red")
    assert poll.counts() == (1, 0, 1)
    assert [line for line in caplog.messages if line.endswith(": poll-closed")]


def test_vote_for_an_unknown_option_does_not_count():
    poll = Poll()
    poll.vote(poll.bob, "green")
    assert poll.counts() == (0, 0, 0)
    poll.vote(poll.bob, "red")
    assert poll.counts() == (1, 0, 1)


def test_vote_of_a_blocked_actor_does_not_count():
    poll = Poll()
    _ = poll.node.block(poll.bob.actor, by="alice")
    note = {"id": f"{BOB}/votes/1", "type": "Note", "attributedTo": BOB, "name": "red", "inReplyTo": poll.poll}
    assert poll.bob.deliver(poll.node, poll.bob.activity("Create", object=note)).status == 202  # to the shared inbox
    poll.work()
    assert len(poll.heard) == 1
    assert poll.counts() == (0, 0, 0)


def test_vote_is_no_reply_and_an_answer_in_words_is_one():
    poll = Poll()
    poll.vote(poll.bob, "red")
    assert poll.node.count(f"{poll.poll}/replies") == 0
    poll.vote(poll.carol, "red", content="I like red")
    assert poll.counts() == (1, 0, 1)
    assert poll.node.count(f"{poll.poll}/replies") == 1


def test_note_with_a_name_that_answers_a_note_is_a_reply():
    poll = Poll()
    poll.poll = poll.publish()
    poll.vote(poll.bob, "a title")
    assert poll.node.count(f"{poll.poll}/replies") == 1


def test_update_that_is_sent_has_the_counts():
    poll = Poll()
    assert poll.receive(poll.bob, poll.bob.activity("Follow", object=ALICE)) == 202
    poll.vote(poll.bob, "red")
    choices = [Note(name="red"), Note(name="blue")]
    _ = poll.send(Update(object=Question(id=poll.poll, one_of=choices, voters_count=0)), to=f"{ALICE}/followers")
    poll.work()
    assert poll.counts(poll.bob.received[-1].activity["object"]) == (1, 0, 1)


def test_vote_of_our_own_actor_counts_when_it_is_delivered():
    poll = Poll()
    poll.network.join(poll.node)
    _ = poll.node.publish(Note(name="red", in_reply_to=poll.poll), by="dora", to=ALICE)
    poll.work()
    assert poll.counts() == (1, 0, 1)
    assert poll.node.count(f"{poll.poll}/replies") == 0


def test_options_above_the_limit_take_no_votes():
    poll = Poll()
    options = [Note(name=str(number)) for number in range(OPTIONS_MAX + 1)]
    poll.poll = poll.node.publish(Question(one_of=options, voters_count=0), by="alice")
    poll.vote(poll.bob, str(OPTIONS_MAX))
    assert poll.get(poll.poll)["votersCount"] == 0
    poll.vote(poll.bob, str(OPTIONS_MAX - 1))
    assert poll.get(poll.poll)["votersCount"] == 1


def test_vote_that_is_committed_meanwhile_is_the_one_that_counts():
    """Another worker commits a vote of bob between the decision about his second vote and its commit."""
    poll = Poll()
    record = PollVoteRecord(question=poll.poll, voter=BOB, options=("blue",))
    other_vote = Batch((), [POLL_VOTES.put(PollVoteKey.of(poll.poll, BOB), record)])
    poll.meanwhile.append(lambda: poll.node.run(commit_batch(other_vote)))
    poll.vote(poll.bob, "red")
    poll.clock.pass_s(10)
    poll.work()
    assert len(poll.heard) == 2  # the vote was processed again
    assert poll.counts() == (0, 0, 0)
