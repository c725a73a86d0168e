"""The blocking driver, asyncio and trio: same verdicts, same questions in the same places."""

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


def web() -> Web:
    return Web({PAGE.url: Response(200, {}, b"page"), GONE.url: ConnectFailed("nobody there")})


@pytest.mark.parametrize("op", TABLE)
@in_each_loop
def test_every_driver_gives_the_same_verdict_and_the_same_trace(op, world):
    here = verdict(lambda op, ports: run(op, Ports(runtime=_blocking_runtime(), **ports)), op(), transport=web())
    there = verdict(world, op(), transport=web())
    assert here == there
    assert here.trace or op in (of_nobody, raises_at_once)


def _blocking_runtime():
    from worlds import SteadyBlocking

    return SteadyBlocking()


@pytest.mark.parametrize("op", RETURNS)
@in_each_world
def test_results(op, world):
    assert verdict(world, op(), transport=web()).returned == RETURNS[op]


@pytest.mark.parametrize("op", RAISES)
@in_each_world
def test_errors(op, world):
    assert verdict(world, op(), transport=web()).raised is RAISES[op]


@in_each_world
def test_every_effect_has_its_answer(world):
    [now, some, version, refused, entries, scanned, leased, lost, unsettled, signature, keys, page, shared] = verdict(
        world, every_effect(), transport=web()
    ).returned
    assert (now, some, version, refused) == (NOON, b"\x07" * 3, TOKEN, False)
    assert [entry and entry.value for entry in entries] == [b"v", None]
    assert [(entry.key, entry.value) for entry in scanned] == [(("n",), b"5"), (("k",), b"v")]
    assert [(one.message, one.attempt) for one in leased] == [(message(1), 1), (message(2), 1)]
    assert (list(lost), list(unsettled)) == ([], [])
    made = MadeKey("a ed25519 key", "ed25519", b"public")
    assert (signature, keys) == (b"key:data", [made, made, False])
    assert page == shared == Response(200, {}, b"page")


class Dropping(Keyring):
    """A signer that can forget."""

    def __init__(self) -> None:
        self.dropped: list[str] = []

    def drop_key(self, key_name: str, /) -> bool:
        self.dropped.append(key_name)
        return True


@in_each_world
def test_a_signer_that_can_forgets(world):
    def op() -> Op[bool]:
        return (yield from DropKey("key"))

    signer = Dropping()
    assert verdict(world, op(), signer=signer).returned is True
    assert signer.dropped == ["key"]


@in_each_world
def test_places_number_the_questions_of_members_and_calls(world):
    def op() -> Op[None]:
        yield from Now()
        yield from gather(leaf(1), leaf(2))
        yield from Call(reading_plain, "k", contexts_for=Reads())
        yield from Call(reading_operation, "k", contexts_for=Reads())

    places = [place for place, _, _ in verdict(world, op()).trace]
    assert places == [(0,), (1,), (1, 0, 0), (1, 1, 0), (2,), (2, 0, 0), (2, 1, 0), (3,), (3, 0), (3, 1)]


@in_each_loop
def test_coroutines_stand_where_plain_functions_stand(world):
    def op(fn) -> Op[list[object]]:
        return (yield from Call(fn, "k", contexts_for=Reads()))

    awaited, waited = verdict(world, op(reading_coroutine)), verdict(world, op(reading_plain))
    assert awaited.returned == waited.returned == [None, None]
    assert [place for place, _, _ in awaited.trace] == [place for place, _, _ in waited.trace]


# --- what goes wrong ------------------------------------------------------------------------------------------------


class BrokenStore(MemoryStore):
    """A store with a bug."""

    def get(self, keys, /):
        raise KeyError("a bug in the port")


class TornStore(MemoryStore):
    """A store that is never there."""

    def get(self, keys, /):
        raise StoreUnavailable("no store today", retry_after_s=7)


@in_each_world
def test_a_bug_of_a_port_closes_the_operation_and_reaches_the_caller(world):
    closed = []

    def op() -> Op[None]:
        try:
            yield from Get((("k",),))
        except Exception:  # a bug is not the operation's to catch
            closed.append("caught")
        finally:
            closed.append("closed")

    told = verdict(world, op(), store=BrokenStore())
    assert (told.raised, closed) == (KeyError, ["closed"])
    assert [outcome for _, _, outcome in told.trace] == ["Raised(error=KeyError('a bug in the port'))"]


@in_each_world
def test_wrong_arguments_reach_the_caller_too(world):
    def op() -> Op[None]:
        yield from Get(((),))

    assert verdict(world, op()).raised is ValueError


@in_each_world
def test_unavailable_is_thrown_in_where_the_operation_asked(world):
    def op() -> Op[float | None]:
        try:
            yield from Get((("k",),))
        except StoreUnavailable as error:
            return error.retry_after_s
        return None

    assert verdict(world, op(), store=TornStore()).returned == 7


@in_each_world
def test_an_error_dealt_with_leaves_no_trace_in_the_next_one(world):
    def op() -> Op[None]:
        with contextlib.suppress(StoreUnavailable):
            yield from Get((("k",),))
        raise DocumentError("of its own")

    recorded = []

    def ends() -> Op[None]:
        try:
            yield from op()
        except DocumentError as error:
            recorded.append(error.__context__)

    verdict(world, ends(), store=TornStore())
    assert recorded == [None]


def test_an_error_raised_while_handling_another_is_chained_to_it():
    class Missing(Keyring):
        def sign(self, key_name, data, /):
            raise SignerUnavailable("no key")

    def op() -> Op[None]:
        try:
            yield from Sign("key", b"")
        except SignerUnavailable as error:
            raise DocumentError("cannot sign") from error

    with pytest.raises(DocumentError) as raised:
        run(op(), Ports(runtime=_blocking_runtime(), signer=Missing()))
    assert isinstance(raised.value.__cause__, SignerUnavailable)


ASKS = {
    "store": [Get(()), Scan((), limit=1), Commit((), (), token=TOKEN)],
    "queue": [Enqueue(()), Lease(("l",), limit=1, lease_s=1), Extend((), lease_s=1), Settle(())],
    "transport": [Fetch(PAGE), Fetch(PAGE, share=1)],
    "signer": [Sign("k", b""), MakeKey("rsa-2048"), DropKey("k")],
}


@pytest.mark.parametrize(
    ("effect", "port"),
    [(effect, port) for port, effects in ASKS.items() for effect in effects],
    ids=lambda x: type(x).__name__,
)
@in_each_world
def test_a_port_that_is_not_there_is_named(world, effect, port):
    def op() -> Op[object]:
        return (yield from effect)

    told = verdict(world, op(), **{port: None})
    assert (told.raised, told.words) == (ContractError, f"this operation needs a {port}, and none was given")


# --- together -------------------------------------------------------------------------------------------------------


@in_each_world
def test_a_bug_in_a_member_is_raised_after_the_others_have_ended(world):
    ended = []

    def sound(name: str) -> Op[None]:
        yield from Get(((name,),))
        ended.append(name)

    def buggy() -> Op[None]:
        yield from Now()
        raise ZeroDivisionError("a bug")

    def op() -> Op[None]:
        yield from gather(buggy(), sound("a"), sound("b"), limit=1)

    told = verdict(world, op())
    assert (told.raised, ended) == (ZeroDivisionError, ["a", "b"])


@in_each_world
def test_a_missing_port_is_not_a_member_with_bad_luck(world):
    def op() -> Op[object]:
        return (yield from gather(leaf(1), leaf(2)))

    assert verdict(world, op(), store=None).raised is ContractError


@pytest.mark.parametrize(("limit", "overlap_max", "most"), [(1, 8, 1), (3, 8, 3), (8, 2, 2), (50, 8, 8)])
@in_each_world
def test_no_more_are_under_way_than_the_limit_says(world, limit, overlap_max, most):
    under_way: set[int] = set()
    seen = []

    def counted(number: int) -> Op[None]:
        under_way.add(number)
        seen.append(len(under_way))
        yield from Fetch(PAGE)
        seen.append(len(under_way))
        under_way.discard(number)

    def op() -> Op[int]:
        return len((yield from gather(*[counted(n) for n in range(20)], limit=limit)))

    told = verdict(world, op(), transport=web(), overlap_max=overlap_max)
    assert (told.returned, len(seen)) == (20, 40)
    assert max(seen) <= most


@in_each_world
def test_members_do_overlap(world):
    """Two members that wait for each other end only if both are under way."""
    from threading import Barrier

    meet = Barrier(2, timeout=20)

    class Meeting(Web):
        def send(self, request, /):
            meet.wait()
            return Response(200)

    def fetches() -> Op[int]:
        return (yield from Fetch(PAGE)).status

    def op() -> Op[object]:
        return (yield from gather(fetches(), fetches(), limit=2))

    assert verdict(world, op(), transport=Meeting({})).returned == (Returned(200), Returned(200))


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused_when_made(limit):
    with pytest.raises(ValueError, match=f"at least 1, not {limit}"):
        gather(leaf(1), limit=limit)


@in_each_world
def test_outcomes_keep_the_order_of_the_members(world):
    def op() -> Op[object]:
        return (yield from gather(*[leaf(n) for n in range(30)]))

    assert verdict(world, op()).returned == tuple(Returned(n) for n in range(30))


@in_each_world
def test_an_unavailable_member_is_an_outcome(world):
    def op() -> Op[object]:
        return (yield from gather(leaf(1), forgiving(), unforgiving()))

    [one, two, three] = verdict(world, op(), transport=web()).returned
    assert (one, two) == (Returned(1), Returned("forgave: nobody there"))
    assert isinstance(three, Raised)
    assert isinstance(three.error, ConnectFailed)
