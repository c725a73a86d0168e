"""A federation is simulated through public names: servers follow, publish and hear, and a seed is a history."""

from __future__ import annotations

import pytest

from apcore import Federation
from apcore.collections import members_page
from apcore.effects import Raised, Returned
from apcore.testing.simulation import SimulatedServer, Simulation, SimulationFailed
from apcore.vocab import Create, Follow, Note, Person

ONE, TWO = "https://one.example", "https://two.example"


def make_federation() -> Federation[None]:
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username=identifier) if identifier == "alice" else None

    @federation.on(Create)
    def created(ctx, activity):
        ctx.append(f"{ctx.origin}/timeline", activity.id or "")

    return federation


def members(server: SimulatedServer, collection: str) -> list[str]:
    return [member.id for member in server.node.look(members_page(collection, limit=10)).items]


def play(seed: int) -> tuple[Simulation, SimulatedServer, SimulatedServer]:
    simulation = Simulation(seed)
    one, two = (SimulatedServer(simulation, make_federation(), origin) for origin in (ONE, TWO))
    follow = two.send(Follow(object=f"{ONE}/users/alice"), by="alice", to=f"{ONE}/users/alice")
    simulation.run_until(lambda: bool(members(one, f"{ONE}/users/alice/followers")), within_s=60)
    assert isinstance(follow.outcome, Returned)
    note = one.publish(Note(content="hi"), by="alice")
    simulation.run_until(lambda: bool(members(two, f"{TWO}/timeline")), within_s=60)
    assert isinstance(note.outcome, Returned)
    return simulation, one, two


def test_a_follower_on_another_server_hears_a_note():
    _, one, two = play(1)
    assert members(one, f"{ONE}/users/alice/followers") == [f"{TWO}/users/alice"]
    assert members(two, f"{TWO}/timeline") == members(one, f"{ONE}/users/alice/outbox")


def test_the_same_seed_gives_the_same_history():
    assert play(2)[0].digest == play(2)[0].digest
    assert play(2)[0].digest != play(3)[0].digest


def test_an_unknown_actor_fails_its_process_and_the_simulation():
    simulation = Simulation(1)
    server = SimulatedServer(simulation, make_federation(), ONE)
    note = server.publish(Note(content="hi"), by="nobody", to=[f"{TWO}/users/alice"])
    with pytest.raises(SimulationFailed, match="no such actor"):
        simulation.run(for_s=10)
    assert isinstance(note.outcome, Raised)


def test_an_address_without_a_resource_answers_404():
    simulation = Simulation(1)
    one, two = (SimulatedServer(simulation, make_federation(), origin) for origin in (ONE, TWO))
    lost_follow = two.send(Follow(object=f"{ONE}/nothing"), by="alice", to=f"{ONE}/nothing")
    simulation.run(for_s=60)
    assert isinstance(lost_follow.outcome, Returned)
    assert members(one, f"{ONE}/users/alice/followers") == []
