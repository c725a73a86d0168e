"""Check that the blocking, asyncio and trio drivers agree: same verdicts, same effects in the same places."""

from __future__ import annotations

import contextlib

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.drivers import Ports, run
from apcore.effects import (
    Call,
    Commit,
    DropKey,
    Enqueue,
    Extend,
    Fetch,
    Get,
    Lease,
    MakeKey,
    Now,
    Op,
    Raised,
    Returned,
    Scan,
    Settle,
    Sign,
    gather,
)
from apcore.errors import (
    ConnectFailed,
    ContractError,
    DocumentError,
    SignerUnavailable,
    StoreUnavailable,
)
from apcore.http import Response
from apcore.ports import MadeKey
from kernel_operations import (
    GONE,
    PAGE,
    RAISES,
    RETURNS,
    TABLE,
    TOKEN,
    Reads,
    every_effect,
    forgiving,
    leaf,
    message,
    of_nobody,
    raises_at_once,
    reading_coroutine,
    reading_operation,
    reading_plain,
    unforgiving,
)
from worlds import NOON, Keyring, Web, in_each_loop, in_each_world, verdict


def build_web() -> Web:
    return Web({PAGE.url: Response(200, {}, b"page"), GONE.url: ConnectFailed("nobody there")})


@pytest.mark.parametrize("op", TABLE)
@in_each_loop
def test_every_driver_gives_the_same_verdict_and_trace(op, world):
    blocking_verdict = verdict(
        lambda op, ports: run(op, Ports(runtime=_blocking_runtime(), **ports)), op(), transport=build_web()
    )
    world_verdict = verdict(world, op(), transport=build_web())
    assert blocking_verdict == world_verdict
    assert blocking_verdict.trace or op in (of_nobody, raises_at_once)


def _blocking_runtime():
    from worlds import SteadyBlocking

    return SteadyBlocking()


@pytest.mark.parametrize("op", RETURNS)
@in_each_world
def test_operation_returns_its_result_under_every_driver(op, world):
    assert verdict(world, op(), transport=build_web()).returned == RETURNS[op]


@pytest.mark.parametrize("op", RAISES)
@in_each_world
def test_operation_raises_its_error_under_every_driver(op, world):
    assert verdict(world, op(), transport=build_web()).raised is RAISES[op]


@in_each_world
def test_every_effect_has_its_answer(world):
    [
        now,
        random,
        version,
        refused,
        entries,
        scanned,
        leased,
        lost_leases,
        unsettled_leases,
        signature,
        keys,
        page,
        shared,
    ] = verdict(world, every_effect(), transport=build_web()).returned
    assert (now, random, version, refused) == (NOON, b"\x07" * 3, TOKEN, False)
    assert [entry and entry.value for entry in entries] == [b"v", None]
    assert [(entry.key, entry.value) for entry in scanned] == [(("n",), b"5"), (("k",), b"v")]
    assert [(lease.message, lease.attempt) for lease in leased] == [(message(1), 1), (message(2), 1)]
    assert (list(lost_leases), list(unsettled_leases)) == ([], [])
    key = MadeKey("a ed25519 key", "ed25519", b"public")
    assert (signature, keys) == (b"key:data", [key, key, False])
    assert page == shared == Response(200, {}, b"page")


class DroppingKeyring(Keyring):
    """A signer that can drop keys."""

    def __init__(self) -> None:
        self.dropped: list[str] = []

    def drop_key(self, key_name: str, /) -> bool:
        self.dropped.append(key_name)
        return True


@in_each_world
def test_drop_key_is_passed_to_a_signer_that_supports_it(world):
    def op() -> Op[bool]:
        return (yield from DropKey("key"))

    signer = DroppingKeyring()
    assert verdict(world, op(), signer=signer).returned is True
    assert signer.dropped == ["key"]


@in_each_world
def test_places_number_the_effects_of_members_and_calls(world):
    def op() -> Op[None]:
        yield from Now()
        yield from gather(leaf(1), leaf(2))
        yield from Call(reading_plain, "k", contexts_for=Reads())
        yield from Call(reading_operation, "k", contexts_for=Reads())

    places = [place for place, _, _ in verdict(world, op()).trace]
    assert places == [(0,), (1,), (1, 0, 0), (1, 1, 0), (2,), (2, 0, 0), (2, 1, 0), (3,), (3, 0), (3, 1)]


@in_each_loop
def test_coroutine_and_plain_function_have_the_same_trace(world):
    def op(fn) -> Op[list[object]]:
        return (yield from Call(fn, "k", contexts_for=Reads()))

    coroutine_verdict, plain_verdict = verdict(world, op(reading_coroutine)), verdict(world, op(reading_plain))
    assert coroutine_verdict.returned == plain_verdict.returned == [None, None]
    assert [place for place, _, _ in coroutine_verdict.trace] == [place for place, _, _ in plain_verdict.trace]


# --- errors ---------------------------------------------------------------------------------------------------------


class BrokenStore(MemoryStore):
    """A store with a bug."""

    def get(self, keys, /):
        raise KeyError("a bug in the port")


class UnavailableStore(MemoryStore):
    """A store that is never available."""

    def get(self, keys, /):
        raise StoreUnavailable("no store today", retry_after_s=7)


@in_each_world
def test_bug_of_a_port_closes_the_operation_and_reaches_the_caller(world):
    closed = []

    def op() -> Op[None]:
        try:
            yield from Get((("k",),))
        except Exception:  # a bug must not be caught here
            closed.append("caught")
        finally:
            closed.append("closed")

    outcome = verdict(world, op(), store=BrokenStore())
    assert (outcome.raised, closed) == (KeyError, ["closed"])

    assert [end for _, _, end in outcome.trace] == ["Raised(error=KeyError('a bug in the port'))"]


@in_each_world
def test_value_error_of_a_port_reaches_the_caller(world):
    def op() -> Op[None]:
        yield from Get(((),))

    assert verdict(world, op()).raised is ValueError


@in_each_world
def test_unavailable_is_thrown_into_the_operation_at_its_effect(world):
    def op() -> Op[float | None]:
        try:
            yield from Get((("k",),))
        except StoreUnavailable as error:
            return error.retry_after_s
        return None

    assert verdict(world, op(), store=UnavailableStore()).returned == 7


@in_each_world
def test_handled_error_is_not_the_context_of_a_later_error(world):
    def op() -> Op[None]:
        with contextlib.suppress(StoreUnavailable):
            yield from Get((("k",),))
        raise DocumentError("of its own")

    contexts = []

    def record_context() -> Op[None]:
        try:
            yield from op()
        except DocumentError as error:
            contexts.append(error.__context__)

    verdict(world, record_context(), store=UnavailableStore())
    assert contexts == [None]


def test_error_raised_from_another_keeps_its_cause():
    class EmptyKeyring(Keyring):
        def sign(self, key_name, data, /):
            raise SignerUnavailable("no key")

    def op() -> Op[None]:
        try:
            yield from Sign("key", b"")
        except SignerUnavailable as error:
            raise DocumentError("cannot sign") from error

    with pytest.raises(DocumentError) as raised:
        run(op(), Ports(runtime=_blocking_runtime(), signer=EmptyKeyring()))
    assert isinstance(raised.value.__cause__, SignerUnavailable)


EFFECTS_BY_PORT = {
    "store": [Get(()), Scan((), limit=1), Commit((), (), token=TOKEN)],
    "queue": [Enqueue(()), Lease(("l",), limit=1, lease_s=1), Extend((), lease_s=1), Settle(())],
    "transport": [Fetch(PAGE), Fetch(PAGE, share=1)],
    "signer": [Sign("k", b""), MakeKey("rsa-2048"), DropKey("k")],
}


@pytest.mark.parametrize(
    ("effect", "port"),
    [(effect, port) for port, effects in EFFECTS_BY_PORT.items() for effect in effects],
    ids=lambda x: type(x).__name__,
)
@in_each_world
def test_missing_port_is_named_in_the_error(world, effect, port):
    def op() -> Op[object]:
        return (yield from effect)

    outcome = verdict(world, op(), **{port: None})
    assert (outcome.raised, outcome.words) == (ContractError, f"this operation needs a {port}, and none was given")


# --- gather ---------------------------------------------------------------------------------------------------------


@in_each_world
def test_bug_in_a_member_is_raised_after_the_others_have_ended(world):
    ended_members = []

    def sound(name: str) -> Op[None]:
        yield from Get(((name,),))
        ended_members.append(name)

    def buggy() -> Op[None]:
        yield from Now()
        raise ZeroDivisionError("a bug")

    def op() -> Op[None]:
        yield from gather(buggy(), sound("a"), sound("b"), limit=1)

    outcome = verdict(world, op())
    assert (outcome.raised, ended_members) == (ZeroDivisionError, ["a", "b"])


@in_each_world
def test_missing_port_in_a_member_is_raised_to_the_caller(world):
    def op() -> Op[object]:
        return (yield from gather(leaf(1), leaf(2)))

    assert verdict(world, op(), store=None).raised is ContractError


@pytest.mark.parametrize(("limit", "overlap_max", "members_max"), [(1, 8, 1), (3, 8, 3), (8, 2, 2), (50, 8, 8)])
@in_each_world
def test_members_under_way_never_exceed_the_limit(world, limit, overlap_max, members_max):
    under_way: set[int] = set()
    counts = []

    def counted(number: int) -> Op[None]:
        under_way.add(number)
        counts.append(len(under_way))
        yield from Fetch(PAGE)
        counts.append(len(under_way))
        under_way.discard(number)

    def op() -> Op[int]:
        return len((yield from gather(*[counted(n) for n in range(20)], limit=limit)))

    outcome = verdict(world, op(), transport=build_web(), overlap_max=overlap_max)
    assert (outcome.returned, len(counts)) == (20, 40)
    assert max(counts) <= members_max


@in_each_world
def test_members_overlap(world):
    """Gather two members that wait for each other: they end only if both are under way."""
    from threading import Barrier

    barrier = Barrier(2, timeout=20)

    class BarrierWeb(Web):
        def send(self, request, /):
            barrier.wait()
            return Response(200)

    def fetches() -> Op[int]:
        return (yield from Fetch(PAGE)).status

    def op() -> Op[object]:
        return (yield from gather(fetches(), fetches(), limit=2))

    assert verdict(world, op(), transport=BarrierWeb({})).returned == (Returned(200), Returned(200))


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_below_one_is_refused_at_construction(limit):
    with pytest.raises(ValueError, match=f"at least 1, not {limit}"):
        gather(leaf(1), limit=limit)


@in_each_world
def test_outcomes_keep_the_order_of_the_members(world):
    def op() -> Op[object]:
        return (yield from gather(*[leaf(n) for n in range(30)]))

    assert verdict(world, op()).returned == tuple(Returned(n) for n in range(30))


@in_each_world
def test_unavailable_error_of_a_member_is_an_outcome(world):
    def op() -> Op[object]:
        return (yield from gather(leaf(1), forgiving(), unforgiving()))

    [first, second, third] = verdict(world, op(), transport=build_web()).returned
    assert (first, second) == (Returned(1), Returned("forgave: nobody there"))
    assert isinstance(third, Raised)
    assert isinstance(third.error, ConnectFailed)
