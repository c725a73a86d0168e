"""The simulator: the same rules as the other drivers, one seed one history, and crashes that lose what a crash loses."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest

from apcore.drivers import Ports, run
from apcore.effects import (
    Call,
    Commit,
    Enqueue,
    Fetch,
    Get,
    Lease,
    Now,
    Op,
    Raised,
    RandomBytes,
    Returned,
    commit,
    gather,
)
from apcore.errors import (
    ConnectFailed,
    ContractError,
    DocumentError,
    FetchTimedOut,
    NameUnresolved,
    QueueUnavailable,
    StoreUnavailable,
)
from apcore.http import Request, Response, TransportLimits
from apcore.ports import Check, Increment, Message, Put
from apcore.testing.simulation import EPOCH, Faults, Odds, Simulation, SimulationFailed, swarm
from apcore.testing.simulation.__main__ import main
from apcore.testing.simulation.exchange import Rules, exchange
from kernel_operations import (
    GONE,
    PAGE,
    TABLE,
    Reads,
    calling_operation,
    every_effect,
    reading_coroutine,
    reading_plain,
)
from started_threads import ends_its_threads
from worlds import SteadyBlocking, Web, default_ports

HERE = "https://here.example"


def quiet(node) -> None:
    """A node that does nothing of its own."""


def page(request: Request) -> Op[Response]:
    yield from Now()
    return Response(200, {}, b"page")


def serving(serve):
    def boot(node) -> None:
        node.serve = serve

    return boot


def alone(seed: int = 0, faults: Faults | None = None):
    sim = Simulation(seed, faults=faults)
    return sim, sim.node(HERE, quiet)


def outcome_of(op: Op[object], seed: int = 0, faults: Faults | None = None):
    sim, node = alone(seed, faults)
    process = node.spawn(op)
    sim.run(for_s=3600)
    return process.outcome


# --- the fourth driver ----------------------------------------------------------------------------------------------


def ended(thunk) -> object:
    """What it returned, or which error with which words it raised."""
    try:
        return thunk()
    except SimulationFailed as failure:
        return type(failure.__cause__), str(failure.__cause__)
    except Exception as error:
        return type(error), str(error)


def simulated(op: Op[object], seed: int) -> object:
    sim = Simulation(seed)
    sim.node("https://a.example", quiet)
    process = sim.node(HERE, quiet).spawn(op)
    sim.run(for_s=3600)
    if isinstance(process.outcome, Raised):
        raise process.outcome.error
    assert process.outcome is not None
    return process.outcome.value


@pytest.mark.parametrize("op", [op for op in TABLE if op is not every_effect])
@pytest.mark.parametrize("seed", [0, 1])
def test_operations_end_as_under_the_other_drivers(op, seed):
    error = ConnectFailed("simulated: nothing listens at a.example")
    ports = default_ports() | {"transport": Web({PAGE.url: error, GONE.url: error})}
    expected = ended(lambda: run(op(), Ports(runtime=SteadyBlocking(), **ports)))
    assert ended(lambda: simulated(op(), seed)) == expected


def test_every_effect_is_answered():
    sim = Simulation(3)
    node = sim.node(HERE, quiet)
    sim.node("https://a.example", serving(page))
    process = node.spawn(every_effect())
    sim.run(for_s=3600)
    assert isinstance(process.outcome, Returned)
    [now, some, version, refused, entries, *_, page_, shared] = process.outcome.value
    assert EPOCH < now < EPOCH + timedelta(seconds=10)
    assert (len(some), len(version), refused, len(entries)) == (3, 16, False, 2)
    assert page_ == shared == Response(200, {}, b"page")


def test_handlers_of_all_colours_give_one_answer():
    def op(fn) -> Op[object]:
        yield from commit((), (Put(("k",), b"v"),))
        return (yield from Call(fn, "k", contexts_for=Reads()))

    assert outcome_of(op(reading_plain)) == outcome_of(op(reading_coroutine)) == Returned([b"v", None])
    assert outcome_of(calling_operation()) == Returned([[b"v", None], 4])


def test_a_coroutine_that_waits_for_anything_else_is_refused():
    class Elsewhere:
        def __await__(self):
            yield "a future"

    async def handler() -> None:
        await Elsewhere()

    def op() -> Op[None]:
        yield from Call(handler)

    with pytest.raises(SimulationFailed, match="waits for something other than its context: 'a future'"):
        outcome_of(op())


def test_a_blocking_face_belongs_to_its_thread():
    def handler(ctx: Reads) -> None:
        caught: list[BaseException] = []

        def elsewhere() -> None:
            try:
                ctx.read("k")
            except ContractError as error:
                caught.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        raise DocumentError(str(caught[0]))

    def op() -> Op[None]:
        yield from Call(handler, contexts_for=Reads())

    outcome = outcome_of(op())
    assert isinstance(outcome, Raised)
    assert "outside the worker thread" in str(outcome.error)


def test_members_interleave_and_keep_their_limit():
    under_way: set[int] = set()
    most = 0
    orders: set[tuple[int, ...]] = set()

    def member(number: int, order: list[int]) -> Op[int]:
        nonlocal most
        under_way.add(number)
        most = max(most, len(under_way))
        yield from Get((("k",),))
        order.append(number)
        yield from Get((("k",),))
        under_way.discard(number)
        return number

    for seed in range(5):
        order: list[int] = []
        outcome = outcome_of(gather(*[member(n, order) for n in range(6)], limit=3), seed)
        assert outcome == Returned(tuple(Returned(n) for n in range(6)))
        orders.add(tuple(order))
    assert most == 3
    assert len(orders) > 1


def test_many_steps_without_a_question_need_no_deep_stack():
    def silent() -> Op[int]:
        return 1
        yield from Now()

    def many() -> Op[int]:
        return len((yield from gather(*[silent() for _ in range(3000)])))

    def handler(ctx: Reads) -> int:
        return sum(ctx.run(silent()) for _ in range(3000))

    def op() -> Op[tuple[int, int]]:
        return ((yield from many()), (yield from Call(handler, contexts_for=Reads())))

    assert outcome_of(op()) == Returned((3000, 3000))


def test_a_bug_ends_the_simulation_and_names_the_seed():
    def buggy() -> Op[None]:
        yield from Now()
        raise ZeroDivisionError("a bug")

    with pytest.raises(SimulationFailed, match=r"seed 77, at .* a bug: ZeroDivisionError"):
        outcome_of(buggy(), seed=77)


def test_an_interrupt_in_a_handlers_thread_reaches_the_caller():
    def interrupted() -> None:
        raise KeyboardInterrupt

    def op() -> Op[None]:
        yield from Call(interrupted)

    with pytest.raises(KeyboardInterrupt):
        outcome_of(op())


def test_a_bug_of_a_server_ends_the_simulation():
    def serve(request: Request) -> Op[Response]:
        yield from Now()
        raise ZeroDivisionError("a bug")

    sim, node = alone()
    sim.node("https://there.example", serving(serve))
    node.spawn(ask(Fetch(PAGE_THERE)))
    with pytest.raises(SimulationFailed, match="a bug: ZeroDivisionError"):
        sim.run(for_s=60)


PAGE_THERE = Request("GET", "https://there.example/page")


def test_a_coroutine_called_with_arguments_that_it_does_not_take_raises_at_the_yield():
    def op() -> Op[str]:
        try:
            yield from Call(reading_coroutine)
        except TypeError as error:
            return str(error)
        return ""

    assert "missing" in outcome_of(op()).value


def test_wrong_arguments_are_a_bug():
    def op() -> Op[None]:
        yield from Get(((),))

    with pytest.raises(SimulationFailed, match="a key is a tuple"):
        outcome_of(op())


def test_an_end_is_demanded():
    sim = Simulation(0, steps_max=1000)

    def forever() -> Op[bool]:
        yield from Now()
        return True

    sim.node(HERE, lambda node: node.loop(forever, pause_s=1))
    with pytest.raises(SimulationFailed, match="no end after 1000 steps"):
        sim.run(for_s=10)


def test_what_is_not_reached_in_time_fails():
    sim, _ = alone()
    with pytest.raises(SimulationFailed, match="not reached within 5 s"):
        sim.run_until(lambda: False, within_s=5)


def test_two_nodes_have_two_origins():
    sim, _ = alone()
    with pytest.raises(ValueError, match=r"there is a node at 'https://here\.example' already"):
        sim.node(HERE, quiet)


def test_hours_pass_in_no_time():
    sim, node = alone()
    before = time.monotonic()
    sim.run(for_s=1e6)
    assert node.now() == EPOCH + timedelta(seconds=1e6)
    assert time.monotonic() - before < 60


# --- one seed, one history ------------------------------------------------------------------------------------------


def test_one_seed_is_one_history_and_two_are_two():
    assert exchange(5).digest == exchange(5).digest
    assert len({exchange(seed, for_s=50).digest for seed in range(8)}) == 8


def test_a_history_is_the_same_in_every_process():
    command = [sys.executable, "-m", "apcore.testing.simulation", "--seed", "5"]
    runs = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hashes}, capture_output=True, text=True, check=True
        )
        for hashes in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert f"seed 5: {exchange(5).digest}" in runs[0].stdout


# --- faults ---------------------------------------------------------------------------------------------------------


def faulty(kind, **odds: float) -> Faults:
    return Faults(by_kind={kind: Odds(**odds)})


GUARDED = Commit((Check(("k",), None),), (Put(("k",), b"v"),), token=b"t" * 16)
UNGUARDED = Commit((), (Increment(("n",), 1),), token=b"t" * 16)


def ask(effect) -> Op[object]:
    return (yield from effect)


@pytest.mark.parametrize(
    ("effect", "odds", "error", "known", "stored"),
    [
        pytest.param(GUARDED, "failed", StoreUnavailable, "nothing", None, id="commit-failed"),
        pytest.param(GUARDED, "lost", StoreUnavailable, "unknown", b"v", id="commit-lost-twice"),
        pytest.param(GUARDED, "late", StoreUnavailable, "unknown", b"v", id="commit-late-twice"),
        pytest.param(UNGUARDED, "lost", StoreUnavailable, "unknown", b"1", id="unguarded-lost"),
        pytest.param(UNGUARDED, "late", StoreUnavailable, "unknown", b"1", id="unguarded-late"),
    ],
)
def test_a_commit_and_its_fate(effect, odds, error, known, stored):
    sim, node = alone(faults=faulty(Commit, **{odds: 1.0}))
    process = node.spawn(ask(effect))
    sim.run(for_s=60)
    assert isinstance(process.outcome, Raised)
    assert (type(process.outcome.error), process.outcome.error.outcome) == (error, known)
    [entry] = node.store.get((effect.writes[0].key,))
    assert (entry and entry.value) == stored


def test_a_late_commit_happens_after_its_error_was_told():
    sim, node = alone(faults=faulty(Commit, late=1.0))
    process = node.spawn(ask(UNGUARDED))
    sim.run_until(lambda: process.outcome is not None, within_s=60)
    assert node.store.get((("n",),)) == [None]
    sim.run(for_s=60)
    assert node.store.get((("n",),)) != [None]


def test_a_lost_answer_to_a_guarded_commit_is_dealt_with():
    answers = set()
    for seed in range(30):
        sim, node = alone(seed, faulty(Commit, lost=0.4))
        process = node.spawn(ask(GUARDED))
        sim.run(for_s=60)
        answers.add(str(process.outcome))
        [entry] = node.store.get((("k",),))
        assert entry is not None
    assert any("True" in answer for answer in answers)
    assert not any("False" in answer for answer in answers)


@pytest.mark.parametrize("kind", [Enqueue, Lease])
def test_a_failing_queue(kind):
    effect = Enqueue((Message(b"m" * 16, "lane", b""),)) if kind is Enqueue else Lease(("lane",), limit=1, lease_s=9)
    outcome = outcome_of(ask(effect), faults=faulty(kind, failed=1.0))
    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, QueueUnavailable)


def fetched(faults: Faults | None = None, prepare=lambda sim: None, url: str = "https://there.example/page"):
    """What a fetch from here to there came to, and how often there was asked."""
    served: list[str] = []

    def serve(request: Request) -> Op[Response]:
        served.append(request.url)
        yield from Now()
        if request.url.endswith("/refused"):
            raise DocumentError("not JSON")
        return Response(200)

    sim, node = alone(faults=faults)
    sim.node("https://there.example", serving(serve))
    prepare(sim)
    process = node.spawn(ask(Fetch(Request("GET", url, limits=TransportLimits(deadline_s=10)))))
    sim.run(for_s=120)
    outcome = process.outcome
    return (outcome.value.status if isinstance(outcome, Returned) else type(outcome.error)), len(served)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        pytest.param(None, (200, 1), id="fine"),
        pytest.param(faulty(Fetch, failed=1), (ConnectFailed, 0), id="failed"),
        pytest.param(faulty(Fetch, lost=1), (FetchTimedOut, 1), id="lost"),
        pytest.param(faulty(Fetch, late=1), (FetchTimedOut, 1), id="late"),
        pytest.param(faulty(Fetch, twice=1), (200, 2), id="twice"),
    ],
)
def test_a_request_and_its_fate(faults, expected):
    assert fetched(faults) == expected


def test_a_request_to_nowhere_to_the_deaf_to_the_dead_and_across_a_cut():
    assert fetched(url="https://nowhere.example/") == (NameUnresolved, 0)
    assert fetched(prepare=lambda sim: sim.node("https://deaf.example", quiet), url="https://deaf.example/") == (
        ConnectFailed,
        0,
    )
    assert fetched(prepare=lambda sim: sim.nodes["https://there.example"].crash()) == (ConnectFailed, 0)
    assert fetched(prepare=lambda sim: sim.network.cut(HERE, "https://there.example")) == (FetchTimedOut, 0)


def test_a_refusal_is_an_answer():
    assert fetched(url="https://there.example/refused") == (422, 1)


def test_shared_fetches_are_joined():
    served: list[str] = []

    def serve(request: Request) -> Op[Response]:
        served.append(request.url)
        yield from Now()
        return Response(200)

    sim, node = alone()
    sim.node("https://there.example", serving(serve))
    fetch = Fetch(Request("GET", "https://there.example/page"), share="page")
    processes = [node.spawn(ask(fetch)) for _ in range(3)]
    sim.run(for_s=60)
    assert [process.outcome for process in processes] == [Returned(Response(200))] * 3
    assert len(served) == 1
    again = node.spawn(ask(fetch))
    sim.run(for_s=60)
    assert (again.outcome, len(served)) == (Returned(Response(200)), 2)


@pytest.mark.parametrize(
    "odds",
    [{"failed": -0.1}, {"lost": 1.1}, {"late": float("nan")}, {"failed": 0.6, "lost": 0.6}],
    ids=["negative", "over-one", "nan", "together"],
)
def test_odds_are_probabilities(odds):
    with pytest.raises(ValueError, match=r"probability from 0 to 1|at most 1 together"):
        Odds(**odds)


def test_each_swarm_has_faults_of_its_own_and_all_come_up():
    some = [swarm(seed) for seed in range(100)]
    assert swarm(7) == swarm(7)
    used = {name for faults in some for odds in faults.by_kind.values() for name in ODDS if getattr(odds, name)}
    spared = {name for faults in some for odds in faults.by_kind.values() for name in ODDS if not getattr(odds, name)}
    assert used == spared == ODDS


ODDS = {"failed", "lost", "late", "twice", "slow", "crashed_before", "crashed_after"}


# --- crashes --------------------------------------------------------------------------------------------------------


def writes(closed: list[str]) -> Op[None]:
    try:
        for number in range(100):
            yield from commit((), (Put((str(number),), b"v"),))
    except Exception:  # a crash tells nobody
        closed.append("told")
    finally:
        closed.append("closed")


@pytest.mark.parametrize(("odds", "most"), [("crashed_before", 0), ("crashed_after", 1)])
def test_a_crash_before_or_after_a_commit(odds, most):
    closed: list[str] = []
    sim, node = alone(faults=faulty(Commit, **{odds: 1.0}))
    process = node.spawn(writes(closed))
    sim.run(for_s=600)
    assert (process.outcome, closed, sim.crashes) == (None, ["closed"], 1)
    assert len(node.store.scan((), limit=9)) == most
    assert (node.is_up, node.boots) == (True, 2)


@pytest.mark.parametrize("kind", [Now, RandomBytes, Get])
def test_any_question_may_be_the_last(kind):
    effect = {Now: Now(), RandomBytes: RandomBytes(1), Get: Get((("k",),))}[kind]
    assert outcome_of(ask(effect), faults=faulty(kind, crashed_before=1.0)) is None
    assert outcome_of(ask(effect), faults=faulty(kind, crashed_after=1.0)) is None


def test_handlers_vanish_with_their_node():
    ended: list[str] = []

    def plain(ctx: Reads) -> None:
        try:
            ctx.read("k")
        except Exception:
            ended.append("told")
        finally:
            ended.append("plain")

    async def coroutine(ctx: Reads) -> None:
        try:
            await ctx.read("k")
        except Exception:
            ended.append("told")
        finally:
            ended.append("coroutine")
            await ctx.read("k")  # nobody answers: its machine is dead

    def op(fn) -> Op[None]:
        yield from Call(fn, contexts_for=Reads())

    with ends_its_threads():
        sim, node = alone(faults=faulty(Get, crashed_before=1.0))
        processes = [node.spawn(op(plain)), node.spawn(op(coroutine))]
        sim.run(for_s=600)
        assert [process.outcome for process in processes] == [None, None]
        assert sorted(ended) == ["coroutine", "plain"]


def test_a_handler_that_cannot_be_stopped_is_reported():
    def stubborn(ctx: Reads) -> None:
        for _ in range(1000):
            try:
                ctx.read("k")
            except BaseException:
                continue

    def op() -> Op[None]:
        yield from Call(stubborn, contexts_for=Reads())

    with pytest.raises(ContractError, match="cannot be stopped"):
        outcome_of(op(), faults=faulty(Get, crashed_before=1.0))


def test_loops_begin_again_after_a_crash_and_stay_within_boot():
    began: list[int] = []
    sim = Simulation(0)

    def boot(node) -> None:
        def tick() -> Op[None]:
            began.append(node.boots)
            yield from Now()

        node.loop(tick, pause_s=10)

    node = sim.node(HERE, boot)
    sim.run(for_s=100)
    sim.crash(node)
    with pytest.raises(ContractError, match="is down"):
        node.loop(lambda: ask(Now()), pause_s=1)
    assert node.spawn(ask(Now())).outcome is None
    sim.run(for_s=500)
    assert set(began) == {1, 2}
    assert began == sorted(began)


def test_a_lease_outlives_the_worker_that_took_it_until_it_ends():
    sim, node = alone()
    node.look(ask(Enqueue((Message(b"m" * 16, "lane", b""),))))
    taken = node.spawn(ask(Lease(("lane",), limit=1, lease_s=60)))
    sim.run(for_s=1)
    node.crash()
    node.start()
    assert len(taken.outcome.value) == 1
    assert node.look(ask(Lease(("lane",), limit=1, lease_s=60))) == []
    sim.run(for_s=60)
    [again] = node.look(ask(Lease(("lane",), limit=1, lease_s=60)))
    assert again.attempt == 2


@pytest.mark.parametrize(("atomic", "left"), [(True, 1), (False, 0)])
def test_a_crash_may_take_a_queue_that_is_not_the_store(atomic, left):
    sim = Simulation(0, faults=Faults(queue_loss=1.0))
    node = sim.node(HERE, quiet, atomic=atomic)
    node.look(ask(Enqueue((Message(b"m" * 16, "lane", b""),))))
    node.crash()
    node.start()
    assert node.queue.depth(("lane",)).ready == left


def test_clocks_differ_as_far_as_they_may():
    sim = Simulation(0, faults=Faults(skew_s_max=5))
    nodes = [sim.node(f"https://{number}.example", quiet) for number in range(20)]
    skews = [abs((node.now() - EPOCH).total_seconds()) for node in nodes]
    assert 1 < max(skews) <= 5


# --- a law ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_no_coin_is_lost_and_none_is_made(start):
    for seed in range(start, start + 20):
        exchange(seed, for_s=120)


def test_faults_and_crashes_do_come_up():
    sims = [exchange(seed, for_s=120) for seed in range(10)]
    assert sum(sim.crashes for sim in sims) > 5


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        pytest.param(Rules(remembers_ids=False), "does not hold: 300 coins are 3", id="coins-are-made"),
        pytest.param(Rules(fact_with_debit=False), "does not hold: 300 coins are 2", id="coins-are-lost"),
        pytest.param(Rules(reconciles=False), "not reached within 3600 s", id="coins-never-arrive"),
    ],
)
def test_each_rule_is_needed(rules, words):
    """A simulation that could not find these would prove nothing."""
    failures = []
    for seed in range(30):
        try:
            exchange(seed, rules=rules)
        except SimulationFailed as failure:
            failures.append(str(failure))
            break
    assert failures
    assert words in failures[0]
    assert failures[0].startswith(f"seed {seed},")


def test_the_program_prints_the_seed_that_fails(capsys):
    def lawless(seed: int, **options: object) -> Simulation:
        return exchange(seed, rules=Rules(remembers_ids=False))

    assert main(["--count", "30"], play=lawless) == 1
    assert capsys.readouterr().err.startswith("seed ")


@pytest.mark.parametrize(
    ("arguments", "seeds"),
    [
        ([], range(300)),
        (["--seed", "7"], [7]),
        (["--seed", "7", "--count", "3"], [7, 8, 9]),
        (["--count", "2"], [0, 1]),
    ],
    ids=["none", "seed", "both", "count"],
)
def test_the_program_plays_the_seeds_it_is_given(arguments, seeds, capsys):
    played: list[int] = []

    def brief(seed: int, **options: object) -> Simulation:
        played.append(seed)
        return Simulation(seed)

    assert main(arguments, play=brief) == 0
    assert played == list(seeds)
    assert f"{len(played)} histories, 0 steps, 0 crashes: the law held" in capsys.readouterr().out
