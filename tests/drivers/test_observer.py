"""Check that the observer gets every effect with its place, and every outcome."""

from __future__ import annotations

import contextlib

from apcore.effects import Call, Fetch, Get, Now, Op, Raised, Returned, gather
from apcore.errors import ConnectFailed
from apcore.http import Request
from worlds import WORLDS, Web, default_ports, in_each_world

PAGE = Request("GET", "https://a.example/page")


def leaf() -> Op[None]:
    yield from Now()


def op() -> Op[None]:
    yield from Get((("k",),))
    yield from gather(leaf(), leaf(), limit=1)
    with contextlib.suppress(ConnectFailed):
        yield from Fetch(PAGE)
    with contextlib.suppress(ZeroDivisionError):
        yield from Call(lambda: 1 / 0)


def test_observer_may_ignore_outcomes():
    for world in WORLDS.values():
        effects: list[tuple[str, tuple[int, ...]]] = []

        def observer(effect, place, /, effects=effects):
            effects.append((type(effect).__name__, place))

        ports = {**default_ports(), "transport": Web({PAGE.url: ConnectFailed("nobody there")}), "observer": observer}
        world(op(), ports)
        assert sorted(effects, key=lambda item: item[1]) == [
            ("Get", (0,)),
            ("All", (1,)),
            ("Now", (1, 0, 0)),
            ("Now", (1, 1, 0)),
            ("Fetch", (2,)),
            ("Call", (3,)),
        ]


@in_each_world
def test_observer_gets_results_and_errors(world):
    outcome_list: list[object] = []

    def observer(effect, place, /):
        return lambda outcome: outcome_list.append((place, outcome))

    error = ConnectFailed("nobody there")
    world(op(), {**default_ports(), "transport": Web({PAGE.url: error}), "observer": observer})
    outcomes = dict(outcome_list)
    assert outcomes[0,] == Returned([None])
    assert outcomes[2,] == Raised(error)
    assert isinstance(outcomes[3,], Raised)
    assert isinstance(outcomes[3,].error, ZeroDivisionError)


@in_each_world
def test_observer_gets_effects_before_outcomes_and_members_before_the_gather(world):
    log: list[tuple[str, tuple[int, ...]]] = []

    def observer(effect, place, /):
        log.append(("effect", place))
        return lambda outcome: log.append(("outcome", place))

    def gather_one() -> Op[None]:
        yield from gather(leaf(), limit=1)

    world(gather_one(), {**default_ports(), "observer": observer})
    assert log == [("effect", (0,)), ("effect", (0, 0, 0)), ("outcome", (0, 0, 0)), ("outcome", (0,))]
