"""Check the three kinds of context: they give the same answers, and their writes are only planned."""

import asyncio

import pytest

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.collections import Member, add_member
from apcore.drivers import Ports, async_ports, run, run_async
from apcore.effects import Call, commit
from apcore.errors import ContractError
from apcore.federation.context import UnitContexts
from apcore.federation.registration import Federation
from apcore.federation.unit_of_work import UnitOfWork
from apcore.federation.write_notes import AddMember, RemoveMember
from apcore.handlers import operation
from apcore.http import parse_origin
from apcore.vocab import Note, Person

FOLLOWERS = "https://ours.example/users/alice/followers"
BOB = "https://remote.example/users/bob"
CAROL = "https://remote.example/users/carol"


def scope(**changes) -> UnitOfWork[str]:
    federation: Federation[str] = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    federation.object(Note, "/notes/{number}")(lambda ctx, number: None)
    return UnitOfWork(
        **({"places": federation.places, "origin": parse_origin("https://ours.example"), "data": "mine"} | changes)
    )


def plain(ctx, answers):
    answers += [ctx.contains(FOLLOWERS, BOB), ctx.contains(FOLLOWERS, CAROL)]
    ctx.append(FOLLOWERS, CAROL)
    ctx.remove(FOLLOWERS, BOB)
    answers += [ctx.contains(FOLLOWERS, BOB), ctx.contains(FOLLOWERS, CAROL)]


async def coroutine(ctx, answers):
    answers += [await ctx.contains(FOLLOWERS, BOB), await ctx.contains(FOLLOWERS, CAROL)]
    ctx.append(FOLLOWERS, CAROL)
    ctx.remove(FOLLOWERS, BOB)
    answers += [await ctx.contains(FOLLOWERS, BOB), await ctx.contains(FOLLOWERS, CAROL)]


@operation
def op(ctx, answers):
    answers += [(yield from ctx.contains(FOLLOWERS, BOB)), (yield from ctx.contains(FOLLOWERS, CAROL))]
    ctx.append(FOLLOWERS, CAROL)
    ctx.remove(FOLLOWERS, BOB)
    answers += [(yield from ctx.contains(FOLLOWERS, BOB)), (yield from ctx.contains(FOLLOWERS, CAROL))]


@pytest.mark.parametrize(
    ("handler", "asynchronous"),
    [(plain, False), (op, False), (plain, True), (op, True), (coroutine, True)],
    ids=["plain-blocking", "operation-blocking", "plain-asyncio", "operation-asyncio", "coroutine-asyncio"],
)
def test_every_context_reads_its_planned_writes_and_stores_nothing(handler, asynchronous: bool) -> None:
    store = MemoryStore()
    ports = Ports(runtime=BlockingRuntime(), store=store)
    change = add_member(FOLLOWERS, Member(BOB), order="1")
    assert run(commit(change.checks, change.writes), ports)
    entries_before = list_entries(store)

    unit, answers = scope(), []

    def calls():
        yield from Call(handler, answers, contexts_for=UnitContexts(unit))

    if asynchronous:
        asyncio.run(run_async(calls(), async_ports(runtime=AsyncioRuntime(), store=store)))
    else:
        run(calls(), ports)
    assert answers == [True, False, False, True]
    assert unit.notes == [AddMember(FOLLOWERS, CAROL), RemoveMember(FOLLOWERS, BOB)]
    assert list_entries(store) == entries_before


def list_entries(store: MemoryStore):
    return [(entry.key, entry.version) for entry in store.scan((), limit=1000)]


def test_uris_are_computed_from_the_routes() -> None:
    ctx = UnitContexts(scope()).operation()
    assert ctx.origin == "https://ours.example"
    assert ctx.data == "mine"
    assert ctx.actor_uri("alice") == "https://ours.example/users/alice"
    assert ctx.inbox_uri() == "https://ours.example/inbox"
    assert ctx.inbox_uri("alice") == "https://ours.example/users/alice/inbox"
    assert ctx.collection_uri("followers", "alice") == FOLLOWERS
    assert ctx.object_uri(Note, number="7") == "https://ours.example/notes/7"
    place = ctx.parse_uri("https://ours.example/notes/7")
    assert place is not None
    assert place.values == {"number": "7"}
    assert ctx.parse_uri("https://remote.example/notes/7") is None


def test_context_without_an_origin_computes_no_uris() -> None:
    ctx = UnitContexts(scope(origin=None)).operation()
    assert ctx.parse_uri("https://ours.example/notes/7") is None
    with pytest.raises(ContractError, match="no origin"):
        ctx.actor_uri("alice")
    with pytest.raises(ContractError, match="no origin"):
        _ = ctx.origin


def test_context_describes_its_job() -> None:
    ctx = UnitContexts(
        scope(activity_id="https://remote.example/1", attempt=3, recipient="alice", is_silenced=True)
    ).operation()
    assert (ctx.activity_id, ctx.attempt, ctx.recipient, ctx.is_silenced) == (
        "https://remote.example/1",
        3,
        "alice",
        True,
    )
