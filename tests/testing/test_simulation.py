"""Check the simulator: it behaves like the other drivers, a seed is a history, and crashes lose unsaved state."""

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


def boot_idle(node) -> None:
    """Boot a node that runs nothing by itself."""


def page(request: Request) -> Op[Response]:
    yield from Now()
    return Response(200, {}, b"page")


def boot_server(serve):
    def boot(node) -> None:
        node.serve = serve

    return boot


def single_node(seed: int = 0, faults: Faults | None = None):
    sim = Simulation(seed, faults=faults)
    return sim, sim.node(HERE, boot_idle)


def outcome_of(op: Op[object], seed: int = 0, faults: Faults | None = None):
    sim, node = single_node(seed, faults)
    process = node.spawn(op)
    sim.run(for_s=3600)
    return process.outcome


# --- the fourth driver ----------------------------------------------------------------------------------------------


def result_or_error(thunk) -> object:
    """Return the result of ``thunk``, or the type and words of its error."""
    try:
        return thunk()
    except SimulationFailed as failure:
        return type(failure.__cause__), str(failure.__cause__)
    except Exception as error:
        return type(error), str(error)


def run_simulated(op: Op[object], seed: int) -> object:
    sim = Simulation(seed)
    sim.node("https://a.example", boot_idle)
    process = sim.node(HERE, boot_idle).spawn(op)
    sim.run(for_s=3600)
    if isinstance(process.outcome, Raised):
        raise process.outcome.error
    assert process.outcome is not None
    return process.outcome.value


@pytest.mark.parametrize("op", [op for op in TABLE if op is not every_effect])
@pytest.mark.parametrize("seed", [0, 1])
def test_operation_ends_as_under_the_other_drivers(op, seed):
    error = ConnectFailed("simulated: nothing listens at a.example")
    ports = default_ports() | {"transport": Web({PAGE.url: error, GONE.url: error})}
    expected = result_or_error(lambda: run(op(), Ports(runtime=SteadyBlocking(), **ports)))
    assert result_or_error(lambda: run_simulated(op(), seed)) == expected


def test_every_effect_is_answered_by_the_simulator():
    sim = Simulation(3)
    node = sim.node(HERE, boot_idle)
    sim.node("https://a.example", boot_server(page))
    process = node.spawn(every_effect())
    sim.run(for_s=3600)
    assert isinstance(process.outcome, Returned)
    [now, random_bytes, version, committed, entries, *_, page_, shared] = process.outcome.value
    assert EPOCH < now < EPOCH + timedelta(seconds=10)
    assert (len(random_bytes), len(version), committed, len(entries)) == (3, 16, False, 2)
    assert page_ == shared == Response(200, {}, b"page")


def test_plain_and_coroutine_handlers_agree():
    def op(fn) -> Op[object]:
        yield from commit((), (Put(("k",), b"v"),))
        return (yield from Call(fn, "k", contexts_for=Reads()))

    assert outcome_of(op(reading_plain)) == outcome_of(op(reading_coroutine)) == Returned([b"v", None])
    assert outcome_of(calling_operation()) == Returned([[b"v", None], 4])


def test_coroutine_handler_may_await_only_its_context():
    class Elsewhere:
        def __await__(self):
            yield "a future"

    async def handler() -> None:
        await Elsewhere()

    def op() -> Op[None]:
        yield from Call(handler)

    with pytest.raises(SimulationFailed, match="waits for something other than its context: 'a future'"):
        outcome_of(op())


def test_blocking_context_belongs_to_its_thread():
    def handler(ctx: Reads) -> None:
        errors: list[BaseException] = []

        def read_in_other_thread() -> None:
            try:
                ctx.read("k")
            except ContractError as error:
                errors.append(error)

        thread = threading.Thread(target=read_in_other_thread)
        thread.start()
        thread.join()
        raise DocumentError(str(errors[0]))

    def op() -> Op[None]:
        yield from Call(handler, contexts_for=Reads())

    outcome = outcome_of(op())
    assert isinstance(outcome, Raised)
    assert "outside the worker thread" in str(outcome.error)


def test_members_interleave_within_their_limit():
    running: set[int] = set()
    running_max = 0
    orders: set[tuple[int, ...]] = set()

    def member(number: int, order: list[int]) -> Op[int]:
        nonlocal running_max
        running.add(number)
        running_max = max(running_max, len(running))
        yield from Get((("k",),))
        order.append(number)
        yield from Get((("k",),))
        running.discard(number)
        return number

    for seed in range(5):
        order: list[int] = []
        outcome = outcome_of(gather(*[member(n, order) for n in range(6)], limit=3), seed)
        assert outcome == Returned(tuple(Returned(n) for n in range(6)))
        orders.add(tuple(order))
    assert running_max == 3
    assert len(orders) > 1


def test_many_operations_without_effects_need_no_deep_stack():
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


def test_bug_ends_the_simulation_and_names_the_seed():
    def buggy() -> Op[None]:
        yield from Now()
        raise ZeroDivisionError("a bug")

    with pytest.raises(SimulationFailed, match=r"seed 77, at .* a bug: ZeroDivisionError"):
        outcome_of(buggy(), seed=77)


def test_interrupt_in_a_handler_thread_reaches_the_caller():
    def interrupt() -> None:
        raise KeyboardInterrupt

    def op() -> Op[None]:
        yield from Call(interrupt)

    with pytest.raises(KeyboardInterrupt):
        outcome_of(op())


def test_bug_of_a_server_ends_the_simulation():
    def serve(request: Request) -> Op[Response]:
        yield from Now()
        raise ZeroDivisionError("a bug")

    sim, node = single_node()
    sim.node("https://there.example", boot_server(serve))
    node.spawn(ask(Fetch(PAGE_THERE)))
    with pytest.raises(SimulationFailed, match="a bug: ZeroDivisionError"):
        sim.run(for_s=60)


PAGE_THERE = Request("GET", "https://there.example/page")


def test_coroutine_handler_with_missing_arguments_raises_at_the_yield():
    def op() -> Op[str]:
        try:
            yield from Call(reading_coroutine)
        except TypeError as error:
            return str(error)
        return ""

    assert "missing" in outcome_of(op()).value


def test_wrong_effect_arguments_are_a_bug():
    def op() -> Op[None]:
        yield from Get(((),))

    with pytest.raises(SimulationFailed, match="a key is a tuple"):
        outcome_of(op())


def test_number_of_steps_is_bounded():
    sim = Simulation(0, steps_max=1000)

    def forever() -> Op[bool]:
        yield from Now()
        return True

    sim.node(HERE, lambda node: node.loop(forever, pause_s=1))
    with pytest.raises(SimulationFailed, match="no end after 1000 steps"):
        sim.run(for_s=10)


def test_run_until_fails_if_its_condition_is_not_reached():
    sim, _ = single_node()
    with pytest.raises(SimulationFailed, match="not reached within 5 s"):
        sim.run_until(lambda: False, within_s=5)


def test_second_node_of_an_origin_is_refused():
    sim, _ = single_node()
    with pytest.raises(ValueError, match=r"there is a node at 'https://here\.example' already"):
        sim.node(HERE, boot_idle)


def test_simulated_hours_pass_without_waiting():
    sim, node = single_node()
    before = time.monotonic()
    sim.run(for_s=1e6)
    assert node.now() == EPOCH + timedelta(seconds=1e6)
    assert time.monotonic() - before < 60


# --- one seed, one history ------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_histories():
    assert exchange(5).digest == exchange(5).digest
    assert len({exchange(seed, for_s=50).digest for seed in range(8)}) == 8


def test_history_is_the_same_in_every_process():
    command = [sys.executable, "-m", "apcore.testing.simulation", "--seed", "5"]
    runs = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        )
        for hash_seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert f"seed 5: {exchange(5).digest}" in runs[0].stdout


# --- faults ---------------------------------------------------------------------------------------------------------


def faults_of(kind, **odds: float) -> Faults:
    return Faults(by_kind={kind: Odds(**odds)})


GUARDED = Commit((Check(("k",), None),), (Put(("k",), b"v"),), token=b"t" * 16)
UNGUARDED = Commit((), (Increment(("n",), 1),), token=b"t" * 16)


def ask(effect) -> Op[object]:
    return (yield from effect)


@pytest.mark.parametrize(
    ("effect", "odds", "error", "outcome", "stored"),
    [
        pytest.param(GUARDED, "failed", StoreUnavailable, "nothing", None, id="commit-failed"),
        pytest.param(GUARDED, "lost", StoreUnavailable, "unknown", b"v", id="commit-lost-twice"),
        pytest.param(GUARDED, "late", StoreUnavailable, "unknown", b"v", id="commit-late-twice"),
        pytest.param(UNGUARDED, "lost", StoreUnavailable, "unknown", b"1", id="unguarded-lost"),
        pytest.param(UNGUARDED, "late", StoreUnavailable, "unknown", b"1", id="unguarded-late"),
    ],
)
def test_failed_commit_reports_its_outcome(effect, odds, error, outcome, stored):
    sim, node = single_node(faults=faults_of(Commit, **{odds: 1.0}))
    process = node.spawn(ask(effect))
    sim.run(for_s=60)
    assert isinstance(process.outcome, Raised)
    assert (type(process.outcome.error), process.outcome.error.outcome) == (error, outcome)
    [entry] = node.store.get((effect.writes[0].key,))
    assert (entry and entry.value) == stored


def test_late_commit_happens_after_its_error():
    sim, node = single_node(faults=faults_of(Commit, late=1.0))
    process = node.spawn(ask(UNGUARDED))
    sim.run_until(lambda: process.outcome is not None, within_s=60)
    assert node.store.get((("n",),)) == [None]
    sim.run(for_s=60)
    assert node.store.get((("n",),)) != [None]


def test_lost_answer_to_a_guarded_commit_is_recovered():
    answers = set()
    for seed in range(30):
        sim, node = single_node(seed, faults_of(Commit, lost=0.4))
        process = node.spawn(ask(GUARDED))
        sim.run(for_s=60)
        answers.add(str(process.outcome))
        [entry] = node.store.get((("k",),))
        assert entry is not None
    assert any("True" in answer for answer in answers)
    assert not any("False" in answer for answer in answers)


@pytest.mark.parametrize("kind", [Enqueue, Lease])
def test_failing_queue_raises_queue_unavailable(kind):
    effect = Enqueue((Message(b"m" * 16, "lane", b""),)) if kind is Enqueue else Lease(("lane",), limit=1, lease_s=9)
    outcome = outcome_of(ask(effect), faults=faults_of(kind, failed=1.0))
    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, QueueUnavailable)


def fetch_once(faults: Faults | None = None, prepare=lambda sim: None, url: str = "https://there.example/page"):
    """Fetch once and return the status or error, with the number of requests that the server received."""
    served: list[str] = []

    def serve(request: Request) -> Op[Response]:
        served.append(request.url)
        yield from Now()
        if request.url.endswith("/refused"):
            raise DocumentError("not JSON")
        return Response(200)

    sim, node = single_node(faults=faults)
    sim.node("https://there.example", boot_server(serve))
    prepare(sim)
    process = node.spawn(ask(Fetch(Request("GET", url, limits=TransportLimits(deadline_s=10)))))
    sim.run(for_s=120)
    outcome = process.outcome
    return (outcome.value.status if isinstance(outcome, Returned) else type(outcome.error)), len(served)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        pytest.param(None, (200, 1), id="fine"),
        pytest.param(faults_of(Fetch, failed=1), (ConnectFailed, 0), id="failed"),
        pytest.param(faults_of(Fetch, lost=1), (FetchTimedOut, 1), id="lost"),
        pytest.param(faults_of(Fetch, late=1), (FetchTimedOut, 1), id="late"),
        pytest.param(faults_of(Fetch, twice=1), (200, 2), id="twice"),
    ],
)
def test_request_has_its_fate(faults, expected):
    assert fetch_once(faults) == expected


def test_request_to_an_unreachable_server_fails():
    assert fetch_once(url="https://nowhere.example/") == (NameUnresolved, 0)
    assert fetch_once(prepare=lambda sim: sim.node("https://deaf.example", boot_idle), url="https://deaf.example/") == (
        ConnectFailed,
        0,
    )
    assert fetch_once(prepare=lambda sim: sim.nodes["https://there.example"].crash()) == (ConnectFailed, 0)
    assert fetch_once(prepare=lambda sim: sim.network.cut(HERE, "https://there.example")) == (FetchTimedOut, 0)


def test_refusal_of_a_server_is_an_answer():
    assert fetch_once(url="https://there.example/refused") == (422, 1)


def test_shared_fetches_are_sent_once():
    served: list[str] = []

    def serve(request: Request) -> Op[Response]:
        served.append(request.url)
        yield from Now()
        return Response(200)

    sim, node = single_node()
    sim.node("https://there.example", boot_server(serve))
    fetch = Fetch(Request("GET", "https://there.example/page"), share="page")
    processes = [node.spawn(ask(fetch)) for _ in range(3)]
    sim.run(for_s=60)
    assert [process.outcome for process in processes] == [Returned(Response(200))] * 3
    assert len(served) == 1
    later = node.spawn(ask(fetch))
    sim.run(for_s=60)
    assert (later.outcome, len(served)) == (Returned(Response(200)), 2)


@pytest.mark.parametrize(
    "odds",
    [{"failed": -0.1}, {"lost": 1.1}, {"late": float("nan")}, {"failed": 0.6, "lost": 0.6}],
    ids=["negative", "over-one", "nan", "together"],
)
def test_odds_must_be_probabilities(odds):
    with pytest.raises(ValueError, match=r"probability from 0 to 1|at most 1 together"):
        Odds(**odds)


def test_swarms_use_different_faults_and_all_faults_occur():
    fault_plans = [swarm(seed) for seed in range(100)]
    assert swarm(7) == swarm(7)
    used = {name for faults in fault_plans for odds in faults.by_kind.values() for name in ODDS if getattr(odds, name)}
    unused = {
        name for faults in fault_plans for odds in faults.by_kind.values() for name in ODDS if not getattr(odds, name)
    }
    assert used == unused == ODDS


ODDS = {"failed", "lost", "late", "twice", "slow", "crashed_before", "crashed_after"}


# --- crashes --------------------------------------------------------------------------------------------------------


def write_entries(closed: list[str]) -> Op[None]:
    try:
        for number in range(100):
            yield from commit((), (Put((str(number),), b"v"),))
    except Exception:  # A crash raises nothing here.
        closed.append("told")
    finally:
        closed.append("closed")


@pytest.mark.parametrize(("odds", "entry_count"), [("crashed_before", 0), ("crashed_after", 1)])
def test_crash_before_or_after_a_commit(odds, entry_count):
    closed: list[str] = []
    sim, node = single_node(faults=faults_of(Commit, **{odds: 1.0}))
    process = node.spawn(write_entries(closed))
    sim.run(for_s=600)
    assert (process.outcome, closed, sim.crashes) == (None, ["closed"], 1)
    assert len(node.store.scan((), limit=9)) == entry_count
    assert (node.is_up, node.boots) == (True, 2)


@pytest.mark.parametrize("kind", [Now, RandomBytes, Get])
def test_node_may_crash_at_any_effect(kind):
    effect = {Now: Now(), RandomBytes: RandomBytes(1), Get: Get((("k",),))}[kind]
    assert outcome_of(ask(effect), faults=faults_of(kind, crashed_before=1.0)) is None
    assert outcome_of(ask(effect), faults=faults_of(kind, crashed_after=1.0)) is None


def test_handlers_end_with_their_node():
    endings: list[str] = []

    def plain(ctx: Reads) -> None:
        try:
            ctx.read("k")
        except Exception:
            endings.append("told")
        finally:
            endings.append("plain")

    async def coroutine(ctx: Reads) -> None:
        try:
            await ctx.read("k")
        except Exception:
            endings.append("told")
        finally:
            endings.append("coroutine")
            await ctx.read("k")  # Never answered: the machine is down.

    def op(fn) -> Op[None]:
        yield from Call(fn, contexts_for=Reads())

    with ends_its_threads():
        sim, node = single_node(faults=faults_of(Get, crashed_before=1.0))
        processes = [node.spawn(op(plain)), node.spawn(op(coroutine))]
        sim.run(for_s=600)
        assert [process.outcome for process in processes] == [None, None]
        assert sorted(endings) == ["coroutine", "plain"]


def test_handler_that_cannot_be_stopped_is_reported():
    def stubborn(ctx: Reads) -> None:
        for _ in range(1000):
            try:
                ctx.read("k")
            except BaseException:
                continue

    def op() -> Op[None]:
        yield from Call(stubborn, contexts_for=Reads())

    with pytest.raises(ContractError, match="cannot be stopped"):
        outcome_of(op(), faults=faults_of(Get, crashed_before=1.0))


def test_loops_restart_after_a_crash_and_are_started_only_in_boot():
    boot_numbers: list[int] = []
    sim = Simulation(0)

    def boot(node) -> None:
        def tick() -> Op[None]:
            boot_numbers.append(node.boots)
            yield from Now()

        node.loop(tick, pause_s=10)

    node = sim.node(HERE, boot)
    sim.run(for_s=100)
    sim.crash(node)
    with pytest.raises(ContractError, match="is down"):
        node.loop(lambda: ask(Now()), pause_s=1)
    assert node.spawn(ask(Now())).outcome is None
    sim.run(for_s=500)
    assert set(boot_numbers) == {1, 2}
    assert boot_numbers == sorted(boot_numbers)


def test_lease_outlives_its_crashed_worker_until_it_expires():
    sim, node = single_node()
    node.look(ask(Enqueue((Message(b"m" * 16, "lane", b""),))))
    lease = node.spawn(ask(Lease(("lane",), limit=1, lease_s=60)))
    sim.run(for_s=1)
    node.crash()
    node.start()
    assert len(lease.outcome.value) == 1
    assert node.look(ask(Lease(("lane",), limit=1, lease_s=60))) == []
    sim.run(for_s=60)
    [second_lease] = node.look(ask(Lease(("lane",), limit=1, lease_s=60)))
    assert second_lease.attempt == 2


@pytest.mark.parametrize(("atomic", "ready_count"), [(True, 1), (False, 0)])
def test_crash_may_lose_a_queue_that_is_not_the_store(atomic, ready_count):
    sim = Simulation(0, faults=Faults(queue_loss=1.0))
    node = sim.node(HERE, boot_idle, atomic=atomic)
    node.look(ask(Enqueue((Message(b"m" * 16, "lane", b""),))))
    node.crash()
    node.start()
    assert node.queue.depth(("lane",)).ready == ready_count


def test_clocks_of_nodes_differ_within_the_limit():
    sim = Simulation(0, faults=Faults(skew_s_max=5))
    nodes = [sim.node(f"https://{number}.example", boot_idle) for number in range(20)]
    skews = [abs((node.now() - EPOCH).total_seconds()) for node in nodes]
    assert 1 < max(skews) <= 5


# --- a law ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_coins_are_never_lost_or_created(start):
    for seed in range(start, start + 20):
        exchange(seed, for_s=120)


def test_crashes_occur():
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
def test_simulation_finds_each_missing_rule(rules, words):
    """Without this test, the simulation could miss the faults that the rules prevent."""
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


def test_program_prints_the_failing_seed(capsys):
    def play_without_memory(seed: int, **options: object) -> Simulation:
        return exchange(seed, rules=Rules(remembers_ids=False))

    assert main(["--count", "30"], play=play_without_memory) == 1
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
def test_program_plays_the_given_seeds(arguments, seeds, capsys):
    played_seeds: list[int] = []

    def play_nothing(seed: int, **options: object) -> Simulation:
        played_seeds.append(seed)
        return Simulation(seed)

    assert main(arguments, play=play_nothing) == 0
    assert played_seeds == list(seeds)
    assert f"{len(played_seeds)} histories, 0 steps, 0 crashes: the law held" in capsys.readouterr().out
