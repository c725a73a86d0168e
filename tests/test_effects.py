"""Check effects as values: their validation, their repr, and the effects that helper operations yield."""

from __future__ import annotations

import pytest
from attrs.exceptions import FrozenInstanceError

from apcore import effects
from apcore.drivers import Stepper
from apcore.effects import (
    All,
    Call,
    Commit,
    Effect,
    Fetch,
    Get,
    Now,
    Op,
    RandomBytes,
    Sign,
    commit,
    commit_batch,
    gather,
)
from apcore.errors import ConfigurationError
from apcore.handlers import HandlerKind
from apcore.http import Request
from apcore.ports import Batch, Check, Done, Increment, LeasedMessage, Message, Put

KINDS = {
    *("Fetch", "Get", "Scan", "Commit", "Enqueue", "Lease", "Extend", "Settle", "Sign", "MakeKey", "DropKey"),
    *("Now", "RandomBytes", "Call", "All"),
}


def test_list_of_effects_is_closed():
    assert {kind.__name__ for kind in Effect.__subclasses__()} == KINDS
    assert set(effects.__all__) >= KINDS


def test_iterating_yields_the_effect_and_returns_the_answer():
    effect = Now()
    iterator = iter(effect)
    assert next(iterator) is effect
    with pytest.raises(StopIteration) as stop:
        iterator.send("the answer")
    assert stop.value.value == "the answer"


def test_effects_are_immutable_values():
    assert Get((("k",),)) == Get((("k",),)) != Get((("l",),))
    assert hash(RandomBytes(4)) == hash(RandomBytes(4))
    with pytest.raises(FrozenInstanceError):
        RandomBytes(4).count = 5


def test_repr_never_shows_secrets():
    texts = [
        repr(Sign("key", b"secret")),
        repr(
            Commit(
                (),
                (Put(("k",), b"secret"),),
                token=b"secret".ljust(16),
                messages=(Message(b"i" * 16, "lane", b"secret"),),
            )
        ),
        repr(Fetch(Request("GET", "https://a.example/?secret", {"authorization": "secret"}, b"secret"))),
    ]
    assert not [text for text in texts if "secret" in text]


async def coroutine(): ...


@pytest.mark.parametrize(("fn", "handler_kind"), [(len, HandlerKind.PLAIN), (coroutine, HandlerKind.COROUTINE)])
def test_call_has_the_kind_of_its_handler(fn, handler_kind):
    call = Call(fn, 1, 2)
    assert (call.fn, call.args, call.contexts_for, call.handler_kind) == (
        fn,
        (1, 2),
        None,
        handler_kind,
    )


def unmarked():
    yield


@pytest.mark.parametrize("fn", [unmarked, dict, None], ids=["unmarked", "class", "none"])
def test_call_of_an_invalid_handler_is_refused_at_construction(fn):
    with pytest.raises(ConfigurationError):
        Call(fn)


def test_gather_yields_one_effect_for_all_members():
    def member() -> Op[int]:
        return (yield from Now())

    step = Stepper(gather(member(), member(), limit=2))
    assert isinstance(step.wants, All)
    assert (len(step.wants.members), step.wants.limit) == (2, 2)
    step.resume(("one", "two"))
    assert step.result == ("one", "two")


@pytest.mark.parametrize(("answer", "result"), [(True, b"t" * 16), (False, False)])
def test_commit_uses_a_fresh_token(answer, result):
    checks, writes, messages = (Check(("k",), None),), (Put(("k",), b"v"),), (Message(b"i" * 16, "lane", b""),)
    step = Stepper(commit(checks, writes, messages=messages))
    assert step.wants == RandomBytes(16)
    step.resume(b"t" * 16)
    assert step.wants == Commit(checks, writes, token=b"t" * 16, messages=messages)
    step.resume(answer)
    assert step.result == result


def test_batch_is_committed_with_each_check_once_and_one_write_per_key():
    part = Batch([Check(("k",), None)], [Increment(("k",), 1)], [Message(b"i" * 16, "lane", b"")])
    settlement = Done(LeasedMessage(Message(b"l" * 16, "lane", b""), b"f" * 16, 1))
    step = Stepper(commit_batch(part + part, settles=(settlement,)))
    step.resume(b"t" * 16)
    assert step.wants == Commit(
        part.checks,
        (Increment(("k",), 2),),
        token=b"t" * 16,
        messages=part.messages * 2,
        settles=(settlement,),
    )
    step.resume(True)
    assert step.result == b"t" * 16
