"""Play 500 histories of lies, failures and races, and ten times as many with APCORE_FUZZ=all.

`nox -s fuzz -- federation --inputs N` plays as many as you like.
"""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from apcore.http import Response
from apcore.ports import Put
from apcore.records.format import encode_record
from fuzzed_bytes import judge, read_wire, run

SEED = 5
INPUTS = 5_000 if os.environ.get("APCORE_FUZZ") == "all" else 500


@pytest.fixture(scope="module")
def fuzz():
    """Import the fuzzer, which is a program and not part of a package."""
    spec = importlib.util.spec_from_file_location("federation_fuzz", Path(__file__).with_name("fuzz.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
def test_lies_are_never_believed_and_every_answer_is_well_formed(fuzz):
    counts, findings = run(fuzz.CASES, seed=SEED, inputs=INPUTS)
    assert not findings, "\n".join(map(str, findings))
    statuses: Counter[str] = Counter()
    for name, times in counts.items():
        for status in name.partition(": ")[2].split():
            statuses[status] += times
    # Without all of these answers, authentication would not have been tested.
    assert statuses.keys() >= {"202", "400", "401", "403", "413", "415", "503"}
    assert statuses["202"] > INPUTS / 20


def test_honest_deliveries_are_accepted_without_failures(fuzz):
    accepted_count = 0
    for data in fuzz.honest_deliveries():
        world = fuzz.World(Random(1))
        world.fails = {}
        world.all_lie = False
        response = world.deliver(read_wire(data))
        fuzz.check_answer(response)
        world.check_store()
        accepted_count += response.status == 202
    assert accepted_count >= len(fuzz.ACTIVITIES) * 3


@pytest.mark.parametrize(
    ("key", "members", "body"),
    [
        ("key", {"key_id": "BOB#main-key", "owner": "BOB"}, b"another key"),
        ("key", {"key_id": "https://evil.example/k", "owner": "BOB"}, b"BOB_KEY"),
        ("key", {"key_id": "BOB#main-key", "owner": "https://evil.example/a"}, b"BOB_KEY"),
        ("document", {"uri": "BOB"}, b'{"id": "BOB"}'),
        ("in-todo", {"actor": "BOB"}, b'{"id": "BOB/1", "type": "Create", "actor": "BOB", "object": "x:y"}'),
    ],
)
def test_stored_lie_is_found(fuzz, key, members, body):
    world = fuzz.World(Random(1))
    stored_members = {name: value.replace("BOB", fuzz.BOB) for name, value in members.items()}
    spki = fuzz.BOB_KEY.public.spki if body == b"BOB_KEY" else body.replace(b"BOB", fuzz.BOB.encode())
    assert world.store.commit((), (Put((key, "1", "x"), encode_record(stored_members, spki)),), token=b"t" * 16)
    with pytest.raises(AssertionError, match=r"a lie is kept|never did that"):
        world.check_store()


def test_unbounded_work_is_found(fuzz):
    def endless():
        while True:
            yield from fuzz.Now()

    with pytest.raises(AssertionError, match="unbounded work"):
        fuzz.World(Random(1)).drive(endless())


@pytest.mark.parametrize("response", [Response(500), Response(200), Response(503, {}, b"{}"), Response(404)])
def test_malformed_answer_is_found(fuzz, response):
    with pytest.raises((AssertionError, ValueError, KeyError)):
        fuzz.check_answer(response)


def test_equal_seeds_play_equal_histories(fuzz):
    assert [judge(fuzz.CASES[0], b"%d" % number) for number in range(20)] == [
        judge(fuzz.CASES[0], b"%d" % number) for number in range(20)
    ]
