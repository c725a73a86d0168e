"""Any program ends in the same way under every driver, asks the same in the same places, and leaves the same in the store.

Programs are data that hypothesis makes: questions, members beside each other, handlers of every colour, errors of every blame, and what
catches them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.adapters.memory import MemoryStore
from apcore.effects import Call, Commit, Fetch, Get, Now, Op, Returned, gather
from apcore.errors import ContractError, DocumentError, NameUnresolved, QueueUnavailable
from apcore.handlers import operation
from apcore.http import Request, Response
from apcore.ports import Increment
from apcore.testing.simulation import Simulation, SimulationFailed
from worlds import WORLDS, Web, verdict

Program: TypeAlias = tuple[Any, ...]

PAGE = Request("GET", "https://a.example/page")
GONE = Request("GET", "https://nowhere.example/")
ERRORS = {"theirs": DocumentError, "not-now": QueueUnavailable, "ours": ContractError, "bug": ZeroDivisionError}

LEAVES = st.sampled_from(
    [("now",), ("get",), ("add", 1), ("add", 2), ("page",), ("gone",), *[("raise", kind) for kind in ERRORS]]
)


def nesting(programs: st.SearchStrategy[Program], colours: list[str]) -> st.SearchStrategy[Program]:
    lists = st.lists(programs, max_size=3).map(tuple)
    return (
        st.tuples(st.just("sequence"), lists)
        | st.tuples(st.just("together"), lists, st.integers(1, 3))
        | st.tuples(st.just("call"), st.sampled_from(colours), programs)
        | st.tuples(st.just("catch"), programs)
    )


EVERYWHERE = st.recursive(LEAVES, lambda inner: nesting(inner, ["plain", "operation"]), max_leaves=10)
ON_LOOPS = st.recursive(LEAVES, lambda inner: nesting(inner, ["plain", "operation", "coroutine"]), max_leaves=10)


def op_of(program: Program) -> Op[Any]:
    match program:
        case ("now",):
            yield from Now()
            return "now"
        case ("get",):
            return len((yield from Get((("absent",),))))
        case ("add", amount):
            return (yield from Commit((), (Increment(("n",), amount),), token=b"t" * 16))
        case ("page" | "gone" as which,):
            return (yield from Fetch(PAGE if which == "page" else GONE)).status
        case ("raise", kind):
            raise ERRORS[kind](f"raised: {kind}")
        case ("sequence", programs):
            answers = []
            for inner in programs:
                answer = yield from op_of(inner)
                answers.append(answer)
            return answers
        case ("together", programs, limit):
            outcomes = yield from gather(*[op_of(inner) for inner in programs], limit=limit)
            return [one.value if isinstance(one, Returned) else type(one.error).__name__ for one in outcomes]
        case ("call", handler_kind, inner):
            return (yield from Call(HANDLERS[handler_kind], inner, contexts_for=Face()))
        case ("catch", inner):
            try:
                return (yield from op_of(inner))
            except Exception as error:
                return f"caught {type(error).__name__}: {error}"
        case _:
            raise AssertionError(program)


class Face:
    def blocking(self, run):
        return run

    def awaiting(self, run):
        return run

    def operation(self):
        return None


def plain(run, program: Program):
    return [run(op_of(("now",))), run(op_of(program))]


async def coroutine(run, program: Program):
    return [await run(op_of(("now",))), await run(op_of(program))]


@operation
def asking(face: None, program: Program) -> Op[Any]:
    return [(yield from op_of(("now",))), (yield from op_of(program))]


HANDLERS = {"plain": plain, "coroutine": coroutine, "operation": asking}


def end_under(world: str, program: Program) -> tuple[object, ...]:
    """How it ended, what it asked, and what is stored."""
    store = MemoryStore()
    gone = NameUnresolved("simulated: no server at nowhere.example")
    ports = {"store": store, "queue": store, "transport": Web({PAGE.url: Response(200), GONE.url: gone})}
    told = verdict(WORLDS[world], op_of(program), **ports)
    ended = told.returned if told.raised is None else (told.raised, told.words)
    # Of two commits at the same time, either may be the first to answer; so what was asked is compared, and answers by their effect.
    return ended, [(place, effect) for place, effect, _ in told.trace], counted(store)


def end_in_simulation(program: Program, seed: int) -> tuple[object, object]:
    sim = Simulation(seed)
    sim.node("https://a.example", serves)
    node = sim.node("https://here.example", lambda node: None)
    process = node.spawn(op_of(program))
    try:
        sim.run(for_s=1e5)
    except SimulationFailed as failure:
        return (type(failure.__cause__), str(failure.__cause__)), counted(node.store)
    outcome = process.outcome
    assert outcome is not None
    ended = outcome.value if isinstance(outcome, Returned) else (type(outcome.error), str(outcome.error))
    return ended, counted(node.store)


def serves(node) -> None:
    def serve(request: Request) -> Op[Response]:
        yield from Now()
        return Response(200)

    node.serve = serve


def counted(store: MemoryStore) -> object:
    return [entry.value for entry in store.scan((), limit=10)]


@given(EVERYWHERE)
@settings(max_examples=60, deadline=None)
def test_three_drivers_agree_on_everything(program):
    expected = end_under("blocking", program)
    assert end_under("asyncio", program) == expected
    assert end_under("trio", program) == expected


@given(ON_LOOPS)
@settings(max_examples=40, deadline=None)
def test_two_loops_agree_on_coroutines_too(program):
    assert end_under("asyncio", program) == end_under("trio", program)


@given(ON_LOOPS, st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_the_simulator_agrees_with_asyncio(program, seed):
    ended, _, stored = end_under("asyncio", program)
    assert end_in_simulation(program, seed) == (ended, stored)


def test_programs_can_fail_here():
    """The comparison sees differences: of verdict, of place and of store."""
    one, two = end_under("blocking", ("add", 1)), end_under("blocking", ("sequence", (("add", 2), ("now",))))
    assert all(a != b for a, b in zip(one, two, strict=True))
