"""The observer hears every question with its place, and every outcome."""

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


def test_an_observer_may_take_no_interest_in_the_answer():
    for world in WORLDS.values():
        asked: list[tuple[str, tuple[int, ...]]] = []

        def observer(effect, place, /, asked=asked):
            asked.append((type(effect).__name__, place))

        ports = {**default_ports(), "transport": Web({PAGE.url: ConnectFailed("nobody there")}), "observer": observer}
        world(op(), ports)
        assert sorted(asked, key=lambda one: one[1]) == [
            ("Get", (0,)),
            ("All", (1,)),
            ("Now", (1, 0, 0)),
            ("Now", (1, 1, 0)),
            ("Fetch", (2,)),
            ("Call", (3,)),
        ]


@in_each_world
def test_outcomes_are_told_values_and_errors(world):
    told: list[object] = []

    def observer(effect, place, /):
        return lambda outcome: told.append((place, outcome))

    error = ConnectFailed("nobody there")
    world(op(), {**default_ports(), "transport": Web({PAGE.url: error}), "observer": observer})
    outcomes = dict(told)
    assert outcomes[0,] == Returned([None])
    assert outcomes[2,] == Raised(error)
    assert isinstance(outcomes[3,], Raised)
    assert isinstance(outcomes[3,].error, ZeroDivisionError)


@in_each_world
def test_the_question_is_told_before_its_answer_and_members_before_the_whole(world):
    log: list[tuple[str, tuple[int, ...]]] = []

    def observer(effect, place, /):
        log.append(("asked", place))
        return lambda outcome: log.append(("answered", place))

    def whole() -> Op[None]:
        yield from gather(leaf(), limit=1)

    world(whole(), {**default_ports(), "observer": observer})
    assert log == [("asked", (0,)), ("asked", (0, 0, 0)), ("answered", (0, 0, 0)), ("answered", (0,))]
