"""Check failure injection: each effect fails exactly once, under every driver."""

from __future__ import annotations

from contextlib import suppress

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.effects import All, Get, Now, Op, commit, gather
from apcore.errors import StoreUnavailable, Unavailable
from apcore.ports import Check, Message, Put
from apcore.testing.simulation import InjectedFailure, fault_loop, inject_failure
from kernel_operations import TABLE, every_effect, of_nobody
from worlds import WORLDS, Web, default_ports, in_each_world, verdict

FALLIBLE_IN_EVERY_EFFECT = [
    *("Commit", "Commit", "Get", "Scan", "Enqueue", "Lease", "Extend", "Settle", "Sign", "MakeKey", "MakeKey"),
    *("DropKey", "Fetch", "Fetch"),
]


def web() -> Web:
    from apcore.http import Response
    from kernel_operations import PAGE

    return Web({PAGE.url: Response(200, {}, b"page")})


@pytest.mark.parametrize("when", ["before", "after"])
@in_each_world
def test_each_fallible_effect_fails_once(world, when):
    failed = []
    for sabotage in fault_loop(when=when):
        result = verdict(world, inject_failure(every_effect(), sabotage), transport=web())
        if sabotage.failed is None:
            assert result.raised is None
        else:
            assert issubclass(result.raised, Unavailable)
            assert f"question {sabotage.number} failed" in result.words
            failed.append(type(sabotage.failed).__name__)
    assert failed == FALLIBLE_IN_EVERY_EFFECT


@pytest.mark.parametrize("op", TABLE)
def test_wrapping_without_a_failure_changes_nothing(op):
    plain = verdict(WORLDS["blocking"], op(), transport=web())
    wrapped = verdict(WORLDS["blocking"], inject_failure(op(), InjectedFailure(1000)), transport=web())
    assert (plain.returned, plain.raised, plain.words) == (wrapped.returned, wrapped.raised, wrapped.words)


def test_effects_of_members_fail_too():
    def member(number: int) -> Op[int]:
        yield from Get(((str(number),),))
        return number

    def gather_members() -> Op[list[object]]:
        outcomes = yield from gather(member(1), member(2), limit=1)
        return [getattr(outcome, "value", None) for outcome in outcomes]

    answers = [
        verdict(WORLDS["blocking"], inject_failure(gather_members(), failure)).returned for failure in fault_loop()
    ]
    assert answers == [[None, 2], [1, None], [1, 2]]
    assert not isinstance(InjectedFailure(1).failed, All)


def test_injected_error_has_the_outcome():
    def commits() -> Op[str]:
        try:
            yield from commit((), (Put(("k",), b"v"),))
        except StoreUnavailable as error:
            return error.outcome
        return "done"

    for when, expected, stored in (("before", "nothing", None), ("after", "unknown", b"v")):
        store = MemoryStore()
        assert (
            verdict(WORLDS["blocking"], inject_failure(commits(), InjectedFailure(1, when)), store=store).returned
            == expected
        )
        [entry] = store.get((("k",),))
        assert (entry and entry.value) == stored


def test_atomic_transfer_keeps_the_sum_at_every_failure():
    """Debit and credit are one commit, so their sum stays the same, whichever effect fails."""

    def move() -> Op[None]:
        [first, second] = yield from Get((("one",), ("two",)))
        checks = (Check(first.key, first.version), Check(second.key, second.version))
        writes = (Put(first.key, b"%d" % (int(first.value) - 1)), Put(second.key, b"%d" % (int(second.value) + 1)))
        yield from commit(checks, writes, messages=(Message(b"m" * 16, "lane", b""),))

    for when in ("before", "after"):
        rounds = 0
        for sabotage in fault_loop(when=when):
            ports = default_ports()
            ports["store"].commit((), (Put(("one",), b"5"), Put(("two",), b"5")), token=b"0" * 16)
            with suppress(Unavailable):
                WORLDS["blocking"](inject_failure(move(), sabotage), ports)
            assert sum(int(entry.value) for entry in ports["store"].get((("one",), ("two",)))) == 10
            rounds += 1
        assert rounds == 3


def test_operation_without_effects_needs_one_round():
    rounds = [verdict(WORLDS["blocking"], inject_failure(of_nobody(), failure)) for failure in fault_loop()]
    assert len(rounds) == 1


def long_winded() -> Op[None]:
    for _ in range(30):
        with suppress(StoreUnavailable):
            yield from Get((("k",),))


def all_rounds(op, number_max: int = 1000, *, only_the_first: bool = False) -> None:
    for sabotage in fault_loop(number_max=number_max):
        if sabotage.number == 1 or not only_the_first:
            verdict(WORLDS["blocking"], inject_failure(op(), sabotage))


def test_number_of_rounds_is_bounded():
    all_rounds(long_winded, 31)
    with pytest.raises(AssertionError, match="more than 20 questions"):
        all_rounds(long_winded, 20)


def test_round_without_injection_is_reported():
    with pytest.raises(AssertionError, match=r"round 2 made no effect: was inject_failure\(\) used\?"):
        all_rounds(long_winded, only_the_first=True)


def test_closing_closes_the_wrapped_operation():
    closed = []

    def operation() -> Op[None]:
        try:
            yield from Now()
        finally:
            closed.append(True)

    op = inject_failure(operation(), InjectedFailure(1))
    assert next(op) == Now()
    op.close()
    assert closed == [True]
